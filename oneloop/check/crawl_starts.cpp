// Where a crawl begins: what was given, and what earlier runs did.
#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/crawl_run_internal.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0::detail {
namespace {

/// Where it is to be looked for on this machine.
std::string path_of_start(const std::string& text) {
  if (!text.starts_with("file:")) return text;
  const auto u = url::parse(text);
  const auto path = u ? path_of_url(*u) : std::nullopt;
  return path.value_or(text);
}

/// A URL as people write it: "example.org/x" is one, too.
url start_url(const std::string& text, bool offline) {
  const auto fail = [&](std::string_view why) {
    throw error{make_error_code(errc::misuse),
                "\"" + text + "\" is neither a URL nor there: " + std::string{why}};
  };
  if (text.starts_with("file:")) fail("No such file or directory");
  if (text.find("://") != text.npos) {
    auto u = url::parse(text);
    if (!u) fail(u.error().message());
    return *std::move(u);
  }
  // Its first directory might be a host's name, but hardly anybody means that.
  const bool document =
      text.ends_with(".xml") || html::media_of("", text).kind != html::document_kind::none;
  if (offline || document) {
    fail("No such file or directory (and a URL has \"://\" in it)");
  }
  const std::string_view host = std::string_view{text}.substr(0, text.find('/'));
  // A port comes after the host, and nothing else: "mailto:" is none.
  const std::string_view port = host.substr(std::min(host.find(':'), host.size()));
  if (!host.starts_with('[') && port.find_first_not_of("0123456789", 1) != port.npos) {
    fail("only what is behind \"://\" or \"file:\" is crawled");
  }
  if (host.find_first_of(".:") == host.npos && host != "localhost") {
    fail("No such file or directory");
  }
  if (host.empty() || host.starts_with('.')) fail("No such file or directory");
  auto u = url::parse("http://" + text);
  if (!u) fail(u.error().message());
  return *std::move(u);
}

}  // namespace

task<> crawl_run::claim_starts() {
  std::vector<url> begin;
  auto look = [&] {
    if (!settings_.root_dir.empty()) local_.root_dir(settings_.root_dir);
    for (const auto& text : starts_) {
      auto documents = local_.add(path_of_start(text));
      if (!documents) {
        begin.push_back(start_url(text, settings_.offline));
        continue;
      }
      if (documents->empty()) {
        throw error{make_error_code(errc::misuse), text + ": nothing to crawl: no documents in it"};
      }
      for (const auto& path : *documents) begin.push_back(url_of_path(path));
    }
  };
  auto looking = [&]() -> task<> { co_await to_thread(std::ref(look)); };
  co_await looking();
  const bool files = std::ranges::any_of(begin, [](const url& u) { return u.scheme() == "file"; });
  if (files || !local_.empty()) settings_.take_files();
  so_far_.start = starts_;
  frontier_.emplace(settings_.frontier);
  if (!settings_.state_file.empty()) {
    auto opening = crawl_state::open(settings_.state_file, settings_.identity(starts_));
    state_.emplace(co_await std::move(opening));
    auto restoring = restore();
    co_await std::move(restoring);
  }
  for (const auto& u : begin) {
    const auto claim = frontier_->start(u);
    if (!claim.id) {
      throw error{make_error_code(errc::misuse),
                  "\"" + u.display() + "\": \"" + std::string{u.scheme()} + ":\" is not crawled"};
    }
    auto& mark = ledger_[*claim.id];
    mark.start = mark.navigated = 1;
    const auto fragment = u.fragment().value_or("");
    if (settings_.fragments && !fragment.empty() && !settings_.fragment_excluded(u)) {
      unknown_fragments_.push_back({*claim.id, no_page, {.fragment = std::string{fragment}}});
    }
  }
  take_up_fragments();
  outcome earlier = settle_waiting();
  auto publishing = publish(std::move(earlier));
  co_await std::move(publishing);
}

task<> crawl_run::restore() {
  so_far_.resumed = state_->resumed();
  auto restoring = state_->restore(*frontier_, [this](saved_verdict v) { take_up(std::move(v)); });
  co_await std::move(restoring);
  // What was to be read after all, and had not been.
  for (url_id id = 0; id < ledger_.size(); ++id) {
    auto& mark = ledger_[id];
    if (mark.ok == 0 || mark.asked == 0) continue;
    const bool links = mark.navigated != 0 && frontier_->follows(id);
    const bool anchors = mark.anchors != 0 && settings_.fragments && !fragments_.knows(id);
    if (!links && !anchors) continue;
    mark.late = 1;
    reopened_.push_back(id);
  }
}

void crawl_run::take_up(saved_verdict v) {
  auto record = url_record::of(v.more);
  const url_id id = v.id;
  for (const url_id to : record.navigated) ledger_[to].navigated = 1;
  for (const url_id to : record.anchored) ledger_[to].anchors = 1;
  for (auto& l : record.fragments) {
    l.page = id;
    unknown_fragments_.push_back(std::move(l));
  }
  for (const auto& l : record.false_links) keep_false_link(id, l);
  if (record.anchors) fragments_.know(id, *std::move(record.anchors));
  if (record.moved) {
    if (ledger_.circle(id, record.moved->to)) {
      throw error{make_error_code(errc::protocol), v.result.url + ": redirects in a circle"};
    }
    ledger_.move(id, *record.moved);
  }
  count(record);
  if (const auto at = url::parse(v.result.url); at && at->is_http()) {
    note_host(at->host_header(), v.result.error.has_value(),
              static_cast<std::uint64_t>(v.result.attempts), v.result.times.total);
  }
  auto& mark = ledger_[id];
  mark.status = static_cast<std::uint16_t>(v.result.status);
  if (record.pending) {
    ledger_.wait(id, record.moved->to,
                 {static_cast<std::uint32_t>(v.result.attempts), v.result.times.total});
    return;
  }
  ++so_far_.urls;
  mark.settled = 1;
  mark.ok = v.result.ok;
  mark.read = record.read || record.anchors;
  mark.asked = record.asked;
  if (!v.result.ok) {
    ledger_.bad(id, {v.result.status, *v.result.error});
  } else if (!record.moved) {
    frontier_->forget_sources(id);
  }
}

/// Links to places, as earlier runs and the start pages left them. What could be told of them was
/// told then.
void crawl_run::take_up_fragments() {
  url_record none;
  for (auto& l : std::exchange(unknown_fragments_, {})) {
    l = redirected(std::move(l));
    if (fragments_.knows(l.to)) {
      check_fragment(fragments_.anchors(l.to), l, nullptr);
    } else {
      outcome nothing;
      take_fragment(std::move(l), none, nothing);
    }
  }
}

/// Redirects whose end has its verdict, after a resume.
crawl_run::outcome crawl_run::settle_waiting() {
  outcome out;
  for (const url_id to : ledger_.waited_for()) {
    if (ledger_[to].settled == 0) continue;
    std::vector<verdict> ready;
    for (const auto& [from, p] : ledger_.take_waiting(to)) ready.push_back(end_of_move(from, p));
    settle_all(std::move(ready), out);
  }
  return out;
}

}  // namespace oneloop::inline v0::detail
