// What URLs came to: verdicts, and their way into the state file, to the sink and into the report.
#include <algorithm>
#include <functional>
#include <utility>

#include "oneloop/check/crawl_run_internal.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::detail {
namespace {

constexpr std::string_view by_redirect = "redirect";

/// Whoever names a start wants to know about it: one that is not asked for is bad.
check_error not_asked(crawl_skip_reason why) {
  std::string text{to_string(why)};
  if (why == crawl_skip_reason::robots) text = "robots.txt denies it";
  return {http::error_kind::forbidden, std::move(text)};
}

/// Of which is known what they were asked.
constexpr std::size_t most_hosts = 65'536;

}  // namespace

std::string crawl_run::name_of(const url& u) const {
  if (u.scheme() == "file") {
    if (const auto path = path_of_url(u)) {
      std::string name = local_.name_of(*path);
      if (const auto f = u.fragment()) name.append("#").append(*f);
      return name;
    }
  }
  return u.display();
}

std::string crawl_run::name_of(url_id id) const {
  std::string said = frontier_->said(id);
  if (!said.starts_with("file:") && said.find('@') == said.npos) return said;
  const auto u = url::parse(said);
  return u ? name_of(*u) : said;
}

void crawl_run::count(const url_record& record) noexcept {
  so_far_.pages += record.read ? 1 : 0;
  so_far_.links += record.links;
  so_far_.not_read += record.not_read ? 1 : 0;
  for (std::size_t i = 0; i < record.skipped.size(); ++i) so_far_.skipped[i] += record.skipped[i];
}

/// `spent`: in those requests, and no earlier ones.
void crawl_run::note_host(std::string_view host, bool bad, std::uint64_t requests, duration spent) {
  if (host.empty() || requests == 0) return;
  const auto known = hosts_.find(std::string{host});
  if (known == hosts_.end() && hosts_.size() >= most_hosts) return;
  auto& h = known != hosts_.end() ? known->second : hosts_[std::string{host}];
  h.requests += requests;
  h.bad += bad ? 1 : 0;
  h.total += spent;
  h.slowest = std::max(h.slowest, spent / static_cast<duration::rep>(requests));
}

void crawl_run::settle(url_id id, check_result r, url_record record, outcome& out) {
  std::vector<verdict> ready;
  ready.emplace_back(id, std::move(r), std::move(record));
  settle_all(std::move(ready), out);
}

/// These, and the redirects that have waited for them.
void crawl_run::settle_all(std::vector<verdict> ready, outcome& out) {
  for (std::size_t i = 0; i < ready.size(); ++i) {
    const url_id id = ready[i].id;
    settle_one(std::move(ready[i]), out);
    for (const auto& [from, p] : ledger_.take_waiting(id)) ready.push_back(end_of_move(from, p));
  }
}

void crawl_run::settle_one(verdict v, outcome& out) {
  auto& mark = ledger_[v.id];
  count(v.record);
  v.links = frontier_->links_to(v.id);
  if (mark.late != 0) {  // it has been told
    mark.late = 0;
    mark.asked = 0;
    v.told = false;
  } else if (v.skipped) {
    mark.settled = mark.skipped = 1;
    mark.why = static_cast<std::uint16_t>(*v.skipped);
  } else {
    mark.settled = 1;
    mark.ok = v.result.ok;
    mark.asked = v.record.asked;
    mark.status = static_cast<std::uint16_t>(v.result.status);
    ++so_far_.urls;
  }
  if (v.told && (v.skipped || !v.result.ok)) {
    if (!v.skipped) ledger_.bad(v.id, {v.result.status, *v.result.error});
    if (!state_) v.sources = sources_named(frontier_->sources(v.id), v.links);
  } else if (mark.moved == 0) {
    frontier_->forget_sources(v.id);
  }
  if (cache_ && v.told && !v.skipped && !wants_body(v.id)) keep_for_other_days(v);
  ledger_.found(v.id);
  jars_.erase(v.id);
  in_one_go_.erase(v.id);
  const url_id id = v.id;
  out.verdicts.push_back(std::move(v));
  settle_fragments(id, out);
}

/// Verdicts that are likely to be the same tomorrow.
void crawl_run::keep_for_other_days(const verdict& v) {
  const check_result& r = v.result;
  const bool lasting = r.ok || (r.error->kind() == http::error_kind::status && !may_pass(r.status));
  const auto at = url::parse(frontier_->said(v.id));
  if (v.record.from_cache || !lasting || !at || !at->is_http()) return;
  [[maybe_unused]] const auto written = cache_->put(*at, r);  // at the latest when it is closed
}

/// It is not asked for.
void crawl_run::skip(url_id id, crawl_skip_reason why, outcome& out) {
  frontier_->done(id);
  if (ledger_[id].start != 0) {
    check_result r{name_of(id)};
    r.error = not_asked(why);
    return settle(id, std::move(r), {}, out);
  }
  leave_out(id, why, out);
}

/// Nor is it bad.
void crawl_run::leave_out(url_id id, crawl_skip_reason why, outcome& out) {
  verdict v{id, check_result{name_of(id)}, {}};
  v.skipped = why;
  v.kept = false;
  so_far_.skipped[static_cast<std::size_t>(why)] +=
      std::max<std::uint64_t>(frontier_->links_to(id), ledger_[id].start);
  std::vector<verdict> ready;
  ready.push_back(std::move(v));
  settle_all(std::move(ready), out);
}

/// The verdict on a redirect: that on what it leads to.
crawl_run::verdict crawl_run::end_of_move(url_id from, const pending_move& p) {
  check_result r{name_of(from)};
  r.attempts = static_cast<int>(p.attempts);
  r.times.total = p.total;
  url_record record;
  url_id at = from;
  int last = 0;
  bool too_many = false;
  while (const auto* next = ledger_.moved(at)) {
    if (at == from) record.moved = *next;
    too_many = r.redirects.size() == settings_.max_redirects && next->status != 0;
    if (too_many) break;
    last = next->status;
    if (last != 0) r.redirects.push_back({last, name_of(at), name_of(next->to)});
    at = next->to;
  }
  const auto end = ledger_[at];
  r.final_url = name_of(at);
  const bool unknown = end.skipped != 0 && ledger_[from].start != 0;
  r.ok = !too_many && !unknown && (end.ok != 0 || end.skipped != 0);
  r.status = too_many || end.skipped != 0 ? last : end.status;
  if (too_many) {
    r.error.emplace(http::error_kind::redirect,
                    "more than " + std::to_string(settings_.max_redirects) + " redirects");
  } else if (!r.ok) {
    const auto why =
        unknown ? not_asked(static_cast<crawl_skip_reason>(end.why)) : ledger_.bad(at).error;
    std::string message = why.message();
    if (last != 0) message.append(", after a redirect to ").append(r.final_url);
    r.error.emplace(why.kind(), std::move(message));
  }
  return verdict{from, std::move(r), std::move(record)};
}

/// Keeps it, and then tells it.
task<> crawl_run::publish(outcome out) {
  std::optional<task<>> kept;
  if (state_) {
    // One change of the frontier, and the last task for all: they are committed in order.
    auto changes = frontier_->changes();
    for (const auto& v : out.verdicts) {
      if (!v.kept) continue;
      kept.emplace(state_->save({v.id, v.result, v.record.bytes()}, std::exchange(changes, {})));
    }
    if (!changes.empty()) kept.emplace(state_->save(std::move(changes)));
  }
  auto keep_and_tell = [&]() -> task<> {
    if (kept) co_await *std::move(kept);
    auto telling = tell(out);
    co_await std::move(telling);
  };
  co_await shielded(std::ref(keep_and_tell));
}

task<> crawl_run::tell(outcome& out) {
  std::vector<crawl_event> all;
  for (auto& v : out.verdicts) {
    if (!v.told) continue;
    const bool start = ledger_[v.id].start != 0;
    const std::string name = v.result.url;
    const bool with_sources = v.skipped || !v.result.ok;
    if (with_sources && state_) {
      auto asking = sources_of(v.id, v.links);
      v.sources = co_await std::move(asking);
    }
    if (with_sources && v.sources.empty() && start) v.sources.emplace_back();
    if (v.skipped) {
      for (auto& s : v.sources) {
        all.emplace_back(crawl_skipped_link{name, *v.skipped, std::move(s)});
      }
      continue;
    }
    std::optional<check_error> error = v.result.error;
    const int status = v.result.status;
    crawl_verdict told{std::move(v.result)};
    told.depth = frontier_->depth(v.id);
    told.internal = frontier_->internal(v.id);
    told.read = v.record.read;
    told.links = v.record.links;
    told.from_cache = v.record.from_cache;
    told.content_type = v.record.content_type;
    all.emplace_back(std::move(told));
    if (v.record.not_read) all.emplace_back(crawl_not_read{name, v.record.content_type});
    for (auto& s : v.sources) {
      all.emplace_back(crawl_broken_link{name, status, *error, std::move(s)});
    }
  }
  std::ranges::move(out.events, std::back_inserter(all));
  auto telling = teller_.tell(std::move(all));
  co_await std::move(telling);
}

/// Pages' links, without redirects.
std::vector<crawl_source> crawl_run::sources_named(const std::vector<link_source>& all,
                                                   std::uint64_t most) const {
  std::vector<crawl_source> result;
  for (const auto& s : all) {
    if (s.place.element == by_redirect) continue;
    if (result.size() == most) break;
    result.push_back({name_of(s.page), s.place});
  }
  return result;
}

task<std::vector<crawl_source>> crawl_run::sources_of(url_id id, std::uint64_t most) {
  std::vector<link_source> all;
  if (state_) {
    auto asking = state_->sources(id);
    all = co_await std::move(asking);
  } else {
    all = frontier_->sources(id);
  }
  co_return sources_named(all, most);
}

task<crawl_report> crawl_run::report() {
  constexpr auto every = ~std::uint64_t{0};
  crawl_report r = so_far_;
  r.elapsed = loop_.now() - begun_;
  std::vector<url_id> ids;
  for (const auto& [id, why] : ledger_.all_bad()) ids.push_back(id);
  std::ranges::sort(ids);
  for (const url_id id : ids) {
    auto asking = sources_of(id, every);
    auto sources = co_await std::move(asking);
    // One that only redirects lead to is told of with those.
    if (sources.empty() && ledger_[id].start == 0) continue;
    const auto& b = ledger_.bad(id);
    r.broken.push_back(
        {name_of(id), b.status, b.error, std::move(sources), frontier_->links_to(id)});
  }
  for (const auto& text : false_order_) {
    const auto& f = false_urls_.at(text);
    r.broken.push_back(
        {text, 0, check_error{http::error_kind::bad_url, f.why}, f.sources, f.linked});
  }
  ids.clear();
  for (const auto& [id, to] : ledger_.all_moves()) {
    if (to.status != 0 && ledger_[id].settled != 0 && ledger_[id].ok != 0) ids.push_back(id);
  }
  std::ranges::sort(ids);
  for (const url_id id : ids) {
    auto asking = sources_of(id, every);
    auto sources = co_await std::move(asking);
    if (sources.empty() && ledger_[id].start == 0) continue;
    r.redirects.push_back(
        {ledger_.moved(id)->status, name_of(id), name_of(ledger_.end_of(id)), std::move(sources)});
  }
  for (const auto& [name, h] : hosts_) {
    const auto n = static_cast<duration::rep>(std::max<std::uint64_t>(h.requests, 1));
    r.hosts.push_back({name, h.requests, h.bad, h.pauses, h.total / n, h.slowest});
  }
  const auto most_first = [](const crawl_host& a, const crawl_host& b) {
    return a.requests != b.requests ? a.requests > b.requests : a.name < b.name;
  };
  std::ranges::sort(r.hosts, most_first);
  if (r.hosts.size() > crawl_report::max_hosts) r.hosts.resize(crawl_report::max_hosts);
  co_return r;
}

}  // namespace oneloop::inline v0::detail
