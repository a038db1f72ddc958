#include "oneloop/check/crawl.hpp"

#include <exception>
#include <functional>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/crawl_run_internal.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0 {

std::string_view to_string(crawl_skip_reason r) noexcept {
  switch (r) {
    case crawl_skip_reason::scheme: return "scheme";
    case crawl_skip_reason::mail: return "mail";
    case crawl_skip_reason::telephone: return "telephone";
    case crawl_skip_reason::excluded: return "excluded";
    case crawl_skip_reason::external: return "external";
    case crawl_skip_reason::robots: return "robots";
    case crawl_skip_reason::trap: return "trap";
    case crawl_skip_reason::limit: return "limit";
    case crawl_skip_reason::offline: return "offline";
    case crawl_skip_reason::hint: return "hint";
    case crawl_skip_reason::submission: return "submission";
  }
  return "";
}

task<crawl_report> crawl(std::vector<std::string> starts, crawl_sink sink, crawl_options options,
                         crawl_report* partial) {
  detail::crawl_run run{std::move(starts), std::move(sink), std::move(options)};
  auto running = run.run(partial);
  auto report = co_await std::move(running);
  co_return report;
}

namespace detail {
namespace {

/// URLs that are handed out before others have a turn.
constexpr std::size_t some = 64;
/// Hosts are looked through for those that wait so often.
constexpr duration host_count_interval = std::chrono::milliseconds{200};

}  // namespace

crawl_run::crawl_run(std::vector<std::string> starts, crawl_sink sink, crawl_options options)
    : loop_{*context::current().home()},
      starts_{std::move(starts)},
      settings_{std::move(options)},
      teller_{std::move(sink), settings_.last_words},
      probe_{settings_.check},
      limiter_{settings_.limiter},
      places_{settings_.concurrency},
      begun_{loop_.now()} {}

task<crawl_report> crawl_run::run(crawl_report* partial) {
  std::exception_ptr failure;
  try {
    auto opening = open();
    co_await std::move(opening);
    auto working = work();
    co_await std::move(working);
  } catch (...) {
    failure = std::current_exception();
  }
  std::optional<crawl_report> result;
  auto end = [&]() -> task<> {
    if (frontier_) {
      auto reporting = report();
      result.emplace(co_await std::move(reporting));
    }
    auto closing = close();
    co_await std::move(closing);
  };
  try {
    co_await shielded(std::ref(end));
  } catch (...) {
    if (!failure) failure = std::current_exception();
  }
  if (failure) {
    if (partial != nullptr && result) *partial = *std::move(result);
    std::rethrow_exception(failure);
  }
  co_return *std::move(result);
}

task<> crawl_run::open() {
  auto claiming = claim_starts();
  co_await std::move(claiming);
  if (!settings_.cache_file.empty()) {
    auto opening = verdict_cache::open(settings_.cache_file, settings_.cache_age);
    cache_.emplace(co_await std::move(opening));
  }
}

task<> crawl_run::close() {
  if (state_) {
    auto closing = state_->close();
    co_await std::move(closing);
  }
  if (cache_) {
    auto closing = cache_->close();
    co_await std::move(closing);
  }
  auto closing = probe_.close();
  co_await std::move(closing);
}

task<> crawl_run::work() {
  co_await with_nursery([this](nursery& n) -> task<> {
    if (settings_.robots && !settings_.offline) {
      robots_.emplace(probe_.client(), n, settings_.robots_how());
    }
    n.start(named{"watch for cancel", [](crawl_teller* t) { return t->watch(); }}, &teller_);
    n.start(named{"turns", take_turns}, this, &n);
    n.start(named{"retries", try_again}, this);
    auto handing = hand_out();
    co_await std::move(handing);
    n.cancel();
  });
  note_progress();
}

/// From the frontier to the hosts' queues, as long as there is something to come.
task<> crawl_run::hand_out() {
  std::size_t n = 0;
  while (true) {
    changed_.reset();
    while (true) {
      std::optional<url_id> id;
      if (!reopened_.empty()) {
        id = reopened_.back();
        reopened_.pop_back();
      } else {
        id = frontier_->next();
      }
      if (!id) break;
      ++open_;
      auto handing = hand_out_one(*id);
      co_await std::move(handing);
      if (++n % some == 0) co_await yield_now();
    }
    const std::vector<url_id> left_out = frontier_->left_out();
    for (const url_id id : left_out) {
      outcome out;
      leave_out(id, crawl_skip_reason::limit, out);
      auto publishing = publish(std::move(out));
      co_await std::move(publishing);
    }
    if (!left_out.empty()) continue;
    note_progress();
    if (open_ == 0) co_return;
    co_await changed_.wait();
  }
}

url crawl_run::asked_for(url_id id) const {
  const std::string said = frontier_->said(id);
  auto to = url::parse(settings_.remapped(said));
  // What is no URL after the remapping fails like one that nobody can be asked for.
  if (!to) to = url::parse("about:" + percent_encode(said, percent_set::component));
  return *std::move(to);
}

/// What is secret is for the site as it was given.
bool crawl_run::is_stranger(url_id id) const {
  const auto said = url::parse(frontier_->said(id));
  return !said || !frontier_->given(*said);
}

/// Its host is asked for it when it is its turn; fresh or again, with the delay of its robots.txt.
void crawl_run::queue(url_id id, const url& target) {
  if (!target.is_http()) return limiter_.push("", id);
  const auto file = robots_ ? robots_->known(target) : nullptr;
  const auto delay = file ? file->rules.crawl_delay() : std::nullopt;
  limiter_.push(target.host_header(), id, delay.value_or(duration::zero()));
}

task<> crawl_run::hand_out_one(url_id id) {
  outcome out;
  if (settings_.dump && frontier_->depth(id) > 0) {
    frontier_->done(id);
    close_one();
    co_return;
  }
  if (cache_ && !wants_body(id)) {
    auto looking = look_in_cache(id);
    const bool known = co_await std::move(looking);
    if (known) co_return;
  }
  const url target = asked_for(id);
  if (!target.is_http()) {
    queue(id, target);
    co_return;
  }
  const auto file = robots_ ? robots_->known(target) : nullptr;
  if (robots_ && !file) {
    const auto [origin, first] = undecided_.try_emplace(target.origin(), undecided{id, {}});
    if (first) {
      queue(id, target);
    } else {
      origin->second.others.push_back(id);
    }
    co_return;
  }
  const bool denied = file && !file->rules.allows(target);
  if (!settings_.offline && !denied) {
    queue(id, target);
    co_return;
  }
  if (ledger_[id].late != 0) {
    give_up_late(id, out);
  } else if (settings_.offline) {
    skip(id, crawl_skip_reason::offline, out);
  } else if (file->said == robots_file::answer::unreachable) {
    // It is the same for all that is there: so nobody waits for it again and again.
    check_result r{name_of(id)};
    r.attempts = 1;
    r.status = file->status;
    r.error = file->error;
    frontier_->done(id);
    settle(id, std::move(r), {}, out);
  } else {
    skip(id, crawl_skip_reason::robots, out);
  }
  auto publishing = publish(std::move(out));
  co_await std::move(publishing);
  close_one();
}

/// The first turn at an origin is for its robots.txt; then it is known what becomes of the rest.
task<> crawl_run::ask_robots(url_id id, url target) {
  const std::string origin = target.origin();
  auto asking = robots_->get(target, is_stranger(id));
  const auto file = co_await std::move(asking);
  if (file->said == robots_file::answer::unreachable && !file->host_failed) {
    std::vector<crawl_event> note;
    note.emplace_back(crawl_note{"robots.txt of " + origin + ": " + file->error->message() +
                                 ": nothing is asked of it"});
    auto telling = teller_.tell(std::move(note));
    co_await std::move(telling);
  }
  const auto waiting = undecided_.extract(origin);
  auto first = hand_out_one(id);
  co_await std::move(first);
  if (waiting.empty()) co_return;
  for (const url_id other : waiting.mapped().others) {
    auto handing = hand_out_one(other);
    co_await std::move(handing);
  }
}

task<> crawl_run::take_turns(crawl_run* self, nursery* n) {
  while (true) {
    auto place = co_await self->places_.permit();
    auto waiting = self->limiter_.next();
    auto turn = co_await std::move(waiting);
    n->start(named{"visit", visit}, self, std::move(turn), std::move(place));
  }
}

task<> crawl_run::visit(crawl_run* self, host_limiter::turn turn,
                        [[maybe_unused]] semaphore_permit place) {
  ++self->running_;
  const struct leaving {
    crawl_run& self;
    ~leaving() {
      --self.running_;
      if (!self.later_.empty()) self.retries_changed_.set();
    }
  } at_end{*self};
  const url_id id = turn.value();
  url target = self->asked_for(id);
  if (!self->undecided_.empty() && target.is_http()) {
    const auto found = self->undecided_.find(target.origin());
    if (found != self->undecided_.end() && found->second.asker == id) {
      auto asking = self->ask_robots(id, std::move(target));
      co_await std::move(asking);
      co_return;
    }
  }
  if (target.scheme() == "file") {
    auto visiting = self->visit_file(id, std::move(target));
    co_await std::move(visiting);
  } else {
    auto visiting = self->visit_url(id, std::move(target), turn);
    co_await std::move(visiting);
  }
}

/// Gives what is to be tried again back to the hosts' queues, when that is due and nothing else
/// could be asked meanwhile.
task<> crawl_run::try_again(crawl_run* self) {
  while (true) {
    self->retries_changed_.reset();
    if (self->later_.empty()) {
      co_await self->retries_changed_.wait();
      continue;
    }
    const time_point now = self->loop_.now();
    const bool idle = self->limiter_.next_at() > now || self->later_.full();
    if (self->later_.due() > now) {
      auto waiting = move_on_after(self->later_.due() - now, self->retries_changed_.wait());
      (void)co_await std::move(waiting);
      continue;
    }
    if (!idle) {
      co_await self->retries_changed_.wait();
      continue;
    }
    another_try next = self->later_.pop();
    const url target = self->asked_for(next.id);
    self->tried_.insert_or_assign(next.id, std::move(next.result));
    self->queue(next.id, target);
  }
}

void crawl_run::close_one() {
  --open_;
  changed_.set();
  note_progress();
}

void crawl_run::note_progress() {
  if (settings_.progress == nullptr || !frontier_) return;
  crawl_progress& p = *settings_.progress;
  p.pages = so_far_.pages;
  p.links = so_far_.links;
  p.urls = ledger_.size();
  p.done = so_far_.urls;
  p.bad = ledger_.all_bad().size();
  p.running = running_;
  p.retries = later_.size();
  p.queued = frontier_->waiting() +
             (open_ > running_ + later_.size() ? open_ - running_ - later_.size() : 0);
  const time_point now = loop_.now();
  if (now - looked_at_hosts_ < host_count_interval) return;
  looked_at_hosts_ = now;
  p.hosts_waiting = limiter_.statistics().held;
}

}  // namespace detail
}  // namespace oneloop::inline v0
