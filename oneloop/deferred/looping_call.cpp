#include "oneloop/deferred/looping_call.hpp"

#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

struct looping_call::state {
  explicit state(work w) : call{std::move(w)} {}

  /// In whole intervals since the start.
  [[nodiscard]] std::int64_t beat_of(time_point t) const noexcept {
    return (t - started) / interval;
  }
  deferred<> beat() {
    if (!counts) return call(1);
    const time_point now = home->now();
    const std::int64_t passed = interval == duration::zero() ? 1 : beat_of(now) - beat_of(last);
    if (passed <= 0) return succeed();
    last = now;
    return call(passed);
  }
  void aim() noexcept {
    const time_point now = home->now();
    due.move_to(interval == duration::zero() ? now : now + interval - (now - started) % interval);
  }

  /// Whether the start that was the `r`-th has neither been stopped nor followed by another one.
  [[nodiscard]] bool runs(std::uint64_t r) const noexcept { return running && round == r; }

  work call;
  std::uint64_t round = 0;  // how often it was started
  bool counts = false;
  bool running = false;
  bool resting = false;  // between two calls
  loop* home = nullptr;
  duration interval{};
  time_point started, last;
  detail::alarm due{time_point{}};
};

looping_call::looping_call(work w) : state_{std::make_shared<state>(std::move(w))} {}

void looping_call::count() const noexcept { state_->counts = true; }
bool looping_call::running() const noexcept { return state_->running; }
duration looping_call::interval() const noexcept { return state_->interval; }

task<> looping_call::beats(std::shared_ptr<state> s, deferred<> first, std::uint64_t round) {
  const struct ending {
    ~ending() {
      if (s.round == round) s.running = false;
    }
    state& s;
    std::uint64_t round;
  } ending{*s, round};
  co_await std::move(first);
  while (s->runs(round)) {
    s->aim();
    s->resting = true;
    while (s->runs(round)) {
      co_await s->due;
      if (s->home->now() >= s->due.when()) break;  // not moved after it had rung
    }
    if (!s->runs(round)) break;
    s->resting = false;
    auto called = s->beat();
    co_await std::move(called);
  }
}

deferred<> looping_call::start(delay_at interval, bool now) const {
  state& s = *state_;
  if (s.running) throw misuse{"looping_call::start: it runs already"};
  if (interval.delay < duration::zero()) throw misuse{"looping_call::start: a negative interval"};
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{"looping_call::start"};
  s.home = l;
  s.interval = interval.delay;
  s.started = l->now();
  s.last = now ? s.started - s.interval : s.started;
  s.running = true;
  s.resting = false;
  const std::uint64_t round = ++s.round;
  // A lambda's first call may stop or fail: what runs then only hears of it.
  auto first = now ? s.beat() : succeed();
  return detail::defer_as(spawn_info{"looping_call", interval.at},
                          beats(state_, std::move(first), round));
}

void looping_call::stop() const {
  if (!running()) throw misuse{"looping_call::stop: it does not run"};
  state_->home->check_thread("looping_call::stop");
  state_->running = false;
  state_->resting = false;
  state_->due.end();
}

void looping_call::reset() const {
  if (!running()) throw misuse{"looping_call::reset: it does not run"};
  state_->home->check_thread("looping_call::reset");
  if (!state_->resting) return;
  state_->started = state_->home->now();
  state_->aim();
}

}  // namespace oneloop::inline v0
