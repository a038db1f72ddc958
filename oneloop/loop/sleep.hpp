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
// Errors: none. Cost: no allocation; a sleep is 56 bytes.
#pragma once

#include <chrono>
#include <source_location>
#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

/// How long, and the line of the call; every duration converts to it.
struct delay_at {
  template <class R, class P>
  // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
  delay_at(std::chrono::duration<R, P> d,
           std::source_location a = std::source_location::current()) noexcept
      : delay{std::chrono::duration_cast<duration>(d)}, at{a} {}
  duration delay;
  std::source_location at;
};

/// What sleep_for, sleep_until and sleep_forever return.
class ONELOOP_API sleep_operation : timer_node {
 public:
  explicit sleep_operation(duration d) noexcept : timer_node{&fire_now}, when_{d.count()} {}
  explicit sleep_operation(time_point t) noexcept
      : timer_node{&fire_now}, when_{t.time_since_epoch().count()}, absolute_{true} {}
  /// Before it is started.
  sleep_operation(sleep_operation&& o) noexcept
      : timer_node{&fire_now}, when_{o.when_}, absolute_{o.absolute_} {}
  ~sleep_operation() { delist(); }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w);
  void await_resume() const noexcept {}

  enlisted enlist(waiter& w);
  void delist() noexcept {
    if (pending()) remove();
  }
  [[nodiscard]] bool won() const noexcept { return won_; }
  /// Whether it is due already, by the clock of the calling loop or thread.
  [[nodiscard]] bool try_now() noexcept;

 private:
  static void cancel(void* op, waiter& w) noexcept;
  static void fire_now(timer_node& t) noexcept;
  void remove() noexcept;
  static const operation_info info;

  waiter* waiter_ = nullptr;
  duration::rep when_;  // a time point if absolute_, else a duration
  bool absolute_ = false;
  bool won_ = false;
};

/// Waits for `d`; a `d` that is not positive lets others run once.
// A template: what is converted where it is called would take room in the caller's frame.
template <class R, class P>
[[nodiscard]] sleep_operation sleep_for(std::chrono::duration<R, P> d) noexcept {
  return sleep_operation{std::chrono::duration_cast<duration>(d)};
}
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
