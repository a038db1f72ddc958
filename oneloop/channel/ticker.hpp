// A ticker: a time that comes again and again, as a case of a select. Go's time.Ticker.
//
//     oneloop::ticker every_second{1s};
//     for (;;) {
//       auto r = co_await select(jobs.receive(), every_second.next());
//       if (r.index() == 1) report();
//     }
//
// The first tick is one period after construction. Ticks keep to the grid, however late somebody
// takes one; those that nobody took in time are dropped. (Go's time.After is `sleep_for`.)
//
// *Cancellation*: `next` is retractable; a tick that lost or was cancelled comes at the next wait.
// *Threads*: one party at a time; time is that of the loop or thread that made it. *Errors*: none.
// *Cost*: a sleep.
#pragma once

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/sleep.hpp"

namespace oneloop::inline v0 {

class ticker;

/// What ticker::next returns.
class tick_operation : public sleep_operation {
 public:
  explicit tick_operation(ticker& t) noexcept;
  /// When the tick was due.
  ONELOOP_API time_point await_resume() noexcept;

 private:
  ticker* ticker_;
};

class ONELOOP_API ticker {
 public:
  /// Throws misuse unless `period` is positive.
  explicit ticker(duration period);

  /// Until the next tick. Result: the time at which it was due.
  [[nodiscard]] tick_operation next() noexcept { return tick_operation{*this}; }
  /// From now on.
  void reset(duration period);

 private:
  friend class tick_operation;
  duration period_;
  time_point next_;
};

inline tick_operation::tick_operation(ticker& t) noexcept : sleep_operation{t.next_}, ticker_{&t} {}

}  // namespace oneloop::inline v0
