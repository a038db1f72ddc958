#include <utility>

#include "oneloop/check/schedule_internal.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::detail {
std::string host_under_limits(const std::string& url) {
  const auto parsed = url::parse(url);
  return parsed ? parsed->host_header() : std::string{};
}

check_schedule::check_schedule(check_source source, check_sink sink, check_prober probe,
                               const check_options& options)
    : source_{std::move(source)},
      sink_{std::move(sink)},
      probe_{std::move(probe)},
      options_{options},
      loop_{*context::current().home()},
      places_{options.model_ == check_model::sequential ? 1 : options.concurrency_} {}

task<check_summary> check_schedule::run() {
  const time_point begun = loop_.now();
  bool given_up = false;
  try {
    co_await with_nursery([this](nursery& outer) -> task<> {
      outer.start(named{"watch for cancel", watch}, this);
      co_await with_nursery([this](nursery& n) -> task<> {
        n.start(
            named{"retries", [](check_schedule* self, nursery* in) { return self->again(*in); }},
            this, &n);
        auto feeding = feed(n);
        co_await std::move(feeding);
      });
      outer.cancel();
    });
  } catch (const cancelled&) {
    given_up = true;
  }
  if (given_up) {
    auto rest = report_rest();
    co_await std::move(rest);
    throw cancelled{};
  }
  summary_.took(loop_.now() - begun);
  co_return summary_;
}

/// From a cancel on, the sink has so much time and no more.
task<> check_schedule::watch(check_schedule* self) {
  try {
    co_await sleep_forever();
  } catch (const cancelled&) {
    self->give_up_at_ = after(self->loop_.now(), self->options_.last_words_);
    if (self->delivering_ != nullptr) self->delivering_->set_deadline(self->give_up_at_);
    throw;
  }
}

task<> check_schedule::feed(nursery& n) {
  while (true) {
    co_await room_.wait();
    {
      // The source is asked when there is a place, and not while this holds one: a retry may need
      // it.
      const auto place = co_await places_.permit();
    }
    asking_ = true;
    if (!later_.empty()) changed_.set();
    auto asking = source_();
    auto input = co_await std::move(asking);
    asking_ = false;
    if (!input) break;
    in_hand_.emplace(*std::move(input));
    auto place = co_await places_.permit();
    n.start(named{"check", check}, this, std::move(*in_hand_), std::move(place));
    in_hand_.reset();
    ++running_;
    note_progress();
  }
  ended_ = true;
  changed_.set();
}

task<> check_schedule::again(nursery& n) {
  while (true) {
    changed_.reset();
    if (later_.empty() && ended_ && running_ == 0) break;
    if (later_.empty() || !(asking_ || ended_ || later_.full())) {
      co_await changed_.wait();
      continue;
    }
    const duration early = later_.due() - loop_.now();
    if (early > duration::zero()) {
      auto waiting = move_on_after(early, changed_.wait());
      (void)co_await std::move(waiting);
      continue;
    }
    auto place = co_await places_.permit();
    n.start(named{"retry", check}, this, later_.pop(), std::move(place));
    if (!later_.full()) room_.set();
    ++running_;
    note_progress();
  }
}

task<> check_schedule::check(check_schedule* self, check_result r,
                             [[maybe_unused]] semaphore_permit place) {
  const struct leaving {
    check_schedule& self;
    ~leaving() {
      --self.running_;
      self.note_progress();
      if (self.ended_) self.changed_.set();
    }
  } at_end{*self};
  if (self->held_back(r)) co_return;
  std::optional<check_result> before;  // what is known if this try is given up
  if (r.error) before = r;
  ++r.attempts;
  const duration spent = r.times.total;
  const time_point begun = self->loop_.now();
  bool given_up = false;
  try {
    auto probing = self->probe_(r);
    const auto outcome = co_await std::move(probing);
    r.times.total = spent + (self->loop_.now() - begun);
    if (self->to_be_tried_again(r, outcome)) co_return;
  } catch (const cancelled&) {
    given_up = true;
    if (before) {
      r = *std::move(before);
    } else {
      r.ok = false;
      r.error.emplace(http::error_kind::cancelled, "cancelled");
      r.times.total = spent + (self->loop_.now() - begun);
    }
  }
  auto delivering = self->deliver(std::move(r));
  co_await std::move(delivering);
  if (given_up) throw cancelled{};
}

bool check_schedule::held_back(check_result& r) {
  if (pauses_.empty()) return false;
  const time_point now = loop_.now();
  const time_point until = pauses_.until(host_under_limits(r.url), now);
  if (until <= now) return false;
  put_aside(std::move(r), soon_after(loop_, until));
  return true;
}

bool check_schedule::to_be_tried_again(check_result& r, const probe_outcome& o) {
  const retry_rules rules{options_.retries_, options_.backoff_first_, options_.backoff_most_};
  const auto next = rules.after_try(loop_, r, o);
  if (next.pause) pauses_.pause(host_under_limits(r.final_url), *next.pause, loop_.now());
  if (next.again) put_aside(std::move(r), *next.again);
  return next.again.has_value();
}

void check_schedule::put_aside(check_result r, time_point due) {
  later_.push(due, std::move(r));
  if (later_.full()) room_.reset();
  changed_.set();
}

task<> check_schedule::deliver(check_result r) {
  summary_.add(r);
  auto handing = [&]() -> task<> {
    auto turn = co_await turn_.lock();
    if (sink_failed_) co_return;
    (void)co_await with_scope(scope_options{}.at(give_up_at_), [&](cancel_scope& s) -> task<> {
      delivering_ = &s;
      const struct leaving {
        check_schedule& self;
        ~leaving() { self.delivering_ = nullptr; }
      } at_end{*this};
      try {
        auto taking = sink_(std::move(r));
        co_await std::move(taking);
      } catch (const std::exception&) {
        sink_failed_ = true;
        throw;
      }
    });
  };
  co_await shielded(std::ref(handing));
}

task<> check_schedule::report_rest() {
  auto report = [this](check_result r) -> task<> {
    if (!r.error) r.error.emplace(http::error_kind::cancelled, "cancelled");
    return deliver(std::move(r));
  };
  try {
    while (!later_.empty() && loop_.now() < give_up_at_) {
      auto delivering = report(later_.pop());
      co_await std::move(delivering);
    }
    if (in_hand_) {
      auto delivering = report(*std::exchange(in_hand_, {}));
      co_await std::move(delivering);
    }
    while (loop_.now() < give_up_at_) {
      auto asking = source_();
      auto input = co_await std::move(asking);
      if (!input) break;
      auto delivering = report(check_result{*std::move(input)});
      co_await std::move(delivering);
    }
  } catch (const cancelled&) {
    co_return;  // nothing more without waiting
  }
}

void check_schedule::note_progress() {
  if (options_.progress_ != nullptr) *options_.progress_ = {running_, later_.size()};
}

}  // namespace oneloop::inline v0::detail
