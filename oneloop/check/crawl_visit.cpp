// Asking: one URL, by one try.
#include <array>
#include <charconv>
#include <functional>
#include <span>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/crawl_run_internal.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0::detail {
namespace {

using html::document_kind;
using http::error_kind;

/// A document that is longer is read on a thread: the loop has others to serve meanwhile.
constexpr std::size_t long_document = std::size_t{256} * 1024;
/// So much shows what it is.
constexpr std::size_t enough_to_know = 1024;

/// Whether something of this type might be a document, whatever is in it.
bool may_be_document(std::string_view content_type, const url& from) {
  return html::media_of(content_type, from.path(), "<urlset").kind != document_kind::none;
}

/// The body of a page, as far as it is one: read whole, or not at all.
class page_body {
 public:
  page_body(const url& from, std::uint64_t most) : from_{from}, most_{most} {}

  task<> take(http::response& r) {
    const std::string type{r.fields().get("Content-Type").value_or("")};
    media = {};
    text.clear();
    bool taken = may_be_document(type, from_);
    if (taken) refuse_if_longer(r);
    std::array<std::byte, 16 * 1024> piece;
    bool known = false, ended = false;
    while (taken && !ended) {
      const auto n = co_await r.read_some(piece);
      text.append(reinterpret_cast<const char*>(piece.data()), n);
      ended = n == 0;
      if (text.size() > most_) too_large();
      if (!known && (ended || text.size() >= enough_to_know)) {
        known = true;
        media = html::media_of(type, from_.path(), text);
        taken = media.kind != document_kind::none;
      }
    }
    if (!taken) {
      text.clear();
      auto leaving = leave_body(r);
      co_await std::move(leaving);
    }
  }

  html::media media;
  std::string text;

 private:
  void refuse_if_longer(const http::response& r) const {
    const auto length = r.fields().get("Content-Length");
    if (!length || r.fields().contains("Content-Encoding")) return;
    std::uint64_t n = 0;
    const auto read = std::from_chars(length->data(), length->data() + length->size(), n);
    if (read.ec == std::errc{} && n > most_) too_large();
  }
  [[noreturn]] void too_large() const {
    throw http::http_error{
        error_kind::too_large, "body", make_error_code(errc::limit_exceeded),
        "GET " + from_.display() + ": a page of more than " + std::to_string(most_) + " bytes"};
  }
  const url& from_;
  std::uint64_t most_;
};

}  // namespace

bool crawl_run::wants_body(url_id id) {
  const auto mark = ledger_[id];
  return (mark.navigated != 0 && frontier_->follows(id)) ||
         (mark.anchors != 0 && settings_.fragments);
}

/// Somebody leads there in a way that asks for more than its status.
void crawl_run::want(url_id id, bool navigated, bool anchors, url_record& record) {
  auto& mark = ledger_[id];
  const bool more = (navigated && mark.navigated == 0) || (anchors && mark.anchors == 0);
  if (!more) return;
  if (navigated && mark.navigated == 0) {
    mark.navigated = 1;
    record.navigated.push_back(id);
  }
  if (anchors && mark.anchors == 0) {
    mark.anchors = 1;
    record.anchored.push_back(id);
  }
  if (mark.settled == 0 || mark.ok == 0 || mark.asked == 0 || mark.late != 0) return;
  if (!wants_body(id)) return;
  mark.late = 1;
  reopened_.push_back(id);
}

/// Its body is not to be had; its verdict stays.
void crawl_run::give_up_late(url_id id, outcome& out) {
  auto& mark = ledger_[id];
  mark.late = mark.asked = 0;
  settle_fragments(id, out);
}

task<bool> crawl_run::look_in_cache(url_id id) {
  auto at = url::parse(frontier_->said(id));
  if (!at || !at->is_http()) co_return false;
  const std::string host = at->host_header();
  auto looking = cache_->find(*std::move(at));
  auto known = co_await std::move(looking);
  if (!known || wants_body(id)) co_return false;
  check_result r = *std::move(known);
  r.url = name_of(id);
  // What is accepted may be another today.
  if (r.status != 0 && (r.ok || r.error->kind() == error_kind::status)) {
    const bool ok = settings_.accepted(host).contains(r.status);
    if (ok != r.ok) co_return false;
  }
  url_record record;
  record.from_cache = true;
  outcome out;
  frontier_->done(id);
  settle(id, std::move(r), std::move(record), out);
  auto publishing = publish(std::move(out));
  co_await std::move(publishing);
  close_one();
  co_return true;
}

task<html::document> crawl_run::document_of(html::media media, std::string text, url base,
                                            bool of_file) const {
  html::options how;
  how.perhaps_utf8 = of_file;
  how.charset = std::move(media.charset);
  how.code_blocks = settings_.code_blocks;
  std::optional<html::document> d;
  auto extract = [&] { d = html::extract(media.kind, std::as_bytes(std::span{text}), base, how); };
  if (text.size() > long_document) {
    co_await to_thread(std::ref(extract));
  } else {
    extract();
  }
  co_return *std::move(d);
}

task<> crawl_run::visit_url(url_id id, url target, host_limiter::turn& turn) {
  const std::string host = target.host_header();
  check_result r{name_of(id)};
  if (auto before = tried_.extract(id)) r = std::move(before.mapped());
  const duration spent = r.times.total;
  const time_point begun = loop_.now();
  ++r.attempts;

  const bool whole = wants_body(id);
  page_body body{target, settings_.max_page};
  inquiry i{target};
  i.method = whole ? check_method::get : settings_.method;
  i.follow = in_one_go_.contains(id);
  i.stranger = is_stranger(id);
  i.patient = r.attempts <= settings_.retries.retries;
  i.accept = &settings_.accepted(host);
  if (whole) i.body = [&body](http::response& from) { return body.take(from); };
  if (const auto jar = jars_.find(id); jar != jars_.end()) i.cookies = jar->second;
  auto trying = probe_.try_once(r, i);
  const auto tried = co_await std::move(trying);
  const duration took = loop_.now() - begun;
  r.times.total = spent + took;
  turn.end();
  note_host(host, r.error.has_value(), 1, took);

  const auto next = settings_.retries.after_try(loop_, r, tried);
  if (next.pause) {
    limiter_.pause(host, *next.pause - loop_.now());
    if (const auto asked = hosts_.find(host); asked != hosts_.end()) ++asked->second.pauses;
  }
  if (next.again) {
    later_.push(*next.again, {id, std::move(r)});
    retries_changed_.set();
    co_return;
  }

  const bool late = ledger_[id].late != 0;
  const bool document = r.ok && body.media.kind != document_kind::none;
  const bool may_be =
      r.ok && !document && !(whole && i.got) && may_be_document(i.content_type, target);
  if (may_be && wants_body(id)) {
    // That was found out after it had been asked by HEAD.
    queue(id, target);
    co_return;
  }
  url_record record;
  record.content_type = i.content_type;
  record.asked = may_be;
  outcome out;
  if (document) {
    const reading_as how{body.media.kind};
    auto base = url::parse(i.follow ? r.final_url : frontier_->said(id));
    auto reading =
        document_of(std::move(body.media), std::move(body.text), base ? *base : target, false);
    const auto d = co_await std::move(reading);
    if (!late) frontier_->done(id);
    read(id, std::move(r), std::move(record), d, how, out);
  } else if (late) {
    give_up_late(id, out);
  } else if (i.moved) {
    if (!moved(id, std::move(r), *std::move(i.moved), &i, out)) {
      queue(id, target);
      co_return;
    }
    frontier_->done(id);
  } else {
    record.not_read = r.ok && whole && ledger_[id].navigated != 0 && frontier_->follows(id);
    frontier_->done(id);
    settle(id, std::move(r), std::move(record), out);
  }
  auto publishing = publish(std::move(out));
  co_await std::move(publishing);
  close_one();
}

task<> crawl_run::visit_file(url_id id, url target) {
  const auto path = path_of_url(target);
  const bool whole = wants_body(id);
  local_answer answer;
  if (path) {
    auto look = [&] { answer = local_.look(*path, whole, settings_.max_page); };
    co_await to_thread(std::ref(look));
  } else {
    answer.error = std::make_error_code(std::errc::no_such_file_or_directory);
  }
  check_result r{name_of(id)};
  r.attempts = 1;
  r.final_url = r.url;
  r.bytes = answer.text.size();
  r.ok = answer.what != local_answer::kind::missing && !answer.too_large;
  if (answer.too_large) {
    r.error.emplace(error_kind::too_large,
                    "a page of more than " + std::to_string(settings_.max_page) + " bytes");
  } else if (!r.ok) {
    r.error.emplace(error_kind::missing, answer.error.message());
  }
  url_record record;
  outcome out;
  if (r.ok && answer.media != document_kind::none) {
    auto base = url::parse(frontier_->said(id));
    const bool local = base->scheme() == "file";
    if (local) base = settings_.base ? *settings_.base : base_of_path(*path_of_url(*base));
    html::media media;
    media.kind = answer.media;
    auto reading = document_of(std::move(media), std::move(answer.text), *std::move(base), true);
    const auto d = co_await std::move(reading);
    if (ledger_[id].late == 0) frontier_->done(id);
    read(id, std::move(r), std::move(record), d, {answer.media, local}, out);
  } else if (ledger_[id].late != 0) {
    give_up_late(id, out);
  } else {
    frontier_->done(id);
    const bool index = answer.has_index && whole && path;
    if (index) {
      std::string inside = *path;
      if (!inside.ends_with('/')) inside += '/';
      (void)moved(id, std::move(r), url_of_path(inside + "index.html"), nullptr, out);
    } else {
      record.not_read =
          whole && r.ok && answer.what == local_answer::kind::file && ledger_[id].navigated != 0;
      record.asked = r.ok && !whole && answer.what == local_answer::kind::file;
      settle(id, std::move(r), std::move(record), out);
    }
  }
  auto publishing = publish(std::move(out));
  co_await std::move(publishing);
  close_one();
}

/// It redirects: the verdict is that on where it leads. `i` is null for a directory and its index.
/// False: it is to be asked once more, in one go.
bool crawl_run::moved(url_id id, check_result r, url to, const inquiry* i, outcome& out) {
  const int status = i == nullptr ? 0 : r.status;
  const std::string shown = name_of(to);
  const auto bad = [&](std::string why) {
    r.ok = false;
    r.error.emplace(error_kind::redirect, std::move(why));
    r.redirects.push_back({status, r.url, shown});
    settle(id, std::move(r), {}, out);
    return true;
  };
  const std::size_t hops = ledger_.hops(id) + 1;
  if (hops > settings_.max_redirects) {
    return bad("more than " + std::to_string(settings_.max_redirects) + " redirects");
  }
  const bool cookies = i != nullptr && !i->cookies->header_for(to, http::wall_now()).empty();
  if (const auto known = frontier_->find(to); known && ledger_.circle(id, *known)) {
    // With cookies the answer may be another the next time: the client knows when it is not.
    if (cookies && in_one_go_.insert(id).second) return false;
    return bad("redirect loop at " + shown);
  }
  const auto claim = frontier_->redirect(id, to);
  if (!claim.id) {
    if (claim.why == url_refusal::trap) return bad("redirect to " + shown + ": it looks endless");
    r.ok = true;
    r.redirects.push_back({status, r.url, shown});
    url_record record;
    const auto why = reason_of(*claim.why);
    ++record.skipped[static_cast<std::size_t>(why)];
    crawl_source from{r.url, {}};
    from.place.element = "redirect";
    out.events.emplace_back(crawl_skipped_link{shown, why, std::move(from)});
    settle(id, std::move(r), std::move(record), out);
    return true;
  }
  const url_id target = *claim.id;
  if (claim.fresh) ledger_.led_by(target, hops);
  url_record record;
  record.moved = url_move{target, status, std::string{to.fragment().value_or("")}};
  ledger_.move(id, *record.moved);
  want(target, ledger_[id].navigated != 0, ledger_[id].anchors != 0, record);
  const pending_move p{static_cast<std::uint32_t>(r.attempts), r.times.total};
  if (ledger_[target].settled != 0) {
    verdict v = end_of_move(id, p);
    v.record = std::move(record);
    std::vector<verdict> ready;
    ready.push_back(std::move(v));
    settle_all(std::move(ready), out);
    return true;
  }
  if (cookies) jars_.insert_or_assign(target, i->cookies);
  ledger_.wait(id, target, p);
  record.pending = true;
  r.ok = false;
  verdict hop{id, std::move(r), std::move(record)};
  hop.told = false;
  out.verdicts.push_back(std::move(hop));
  settle_fragments(id, out);
  return true;
}

}  // namespace oneloop::inline v0::detail
