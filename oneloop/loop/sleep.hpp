// Sleeping, and letting others run.
//
//     co_await oneloop::sleep_for(250ms);
//     co_await oneloop::sleep_until(l.now() + 1s);
//     co_await oneloop::yield_now();        // to the end of the ready queue
//     co_await oneloop::sleep_forever();    // until cancelled
//
// Time is the waiter's: its loop's clock (which is virtual on a virtual loop), CLOCK_MONOTONIC in a
// plain thread. A sleep that is due already still lets others run once.
//
// Cancellation: sleeps are retractable, so a select takes them as a timeout. yield_now cannot be
// taken back, it is over in a moment.
// Threads: any waiter; start and cancel on the waiter's own thread, as always.
// Errors: none. Cost: no allocation; a sleep is 104 bytes.
#pragma once

#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

/// What sleep_for, sleep_until and sleep_forever return.
class ONELOOP_API sleep_operation {
 public:
  explicit sleep_operation(duration d) noexcept : for_{d} {}
  explicit sleep_operation(time_point t) noexcept : until_{t}, absolute_{true} {}
  /// Before it is started.
  sleep_operation(sleep_operation&& o) noexcept
      : until_{o.until_}, for_{o.for_}, absolute_{o.absolute_} {}
  ~sleep_operation() { delist(); }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w);
  void await_resume() const noexcept {}

  enlisted enlist(waiter& w);
  void delist() noexcept {
    if (timer_.pending()) queue_->remove(timer_);
  }
  [[nodiscard]] bool won() const noexcept { return won_; }

 private:
  struct alarm : timer_node {
    alarm(sleep_operation& o, fire_fn f) noexcept : timer_node{f}, owner{&o} {}
    sleep_operation* owner;
  };
  static void cancel(void* op, waiter& w) noexcept;
  static void fire(timer_node& t) noexcept;
  static const operation_info info;

  time_point until_{};
  duration for_{};
  bool absolute_ = false;
  bool won_ = false;
  waiter* waiter_ = nullptr;
  timer_queue* queue_ = nullptr;
  alarm timer_{*this, &sleep_operation::fire};
};

/// Waits for `d`; a `d` that is not positive lets others run once.
[[nodiscard]] inline sleep_operation sleep_for(duration d) noexcept { return sleep_operation{d}; }
/// Waits until `t` on the waiter's clock.
[[nodiscard]] inline sleep_operation sleep_until(time_point t) noexcept {
  return sleep_operation{t};
}
/// Ends by cancellation only.
[[nodiscard]] inline sleep_operation sleep_forever() noexcept { return sleep_operation{never}; }

/// What yield_now returns.
class ONELOOP_API yield_operation {
 public:
  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w);
  void await_resume() const noexcept {}

 private:
  static const operation_info info;
};

/// Lets everything that is ready run first. A plain thread gives up its time slice.
[[nodiscard]] inline yield_operation yield_now() noexcept { return {}; }

}  // namespace oneloop::inline v0
