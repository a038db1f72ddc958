// Time in tests: the clock of a virtual loop, and waiting until nothing else can run.
//
//     loop l{"virtual"};
//     run(l, [&] {
//       auto f = start_something();
//       await(testing::wait_all_tasks_blocked());       // it has come as far as it can
//       testing::clock_of(l).advance(30s);              // and now half a minute has passed
//     });
//
// A virtual loop's clock jumps by itself when nothing can run; see loop/virtual_clock.hpp for the
// other ways. simulation.hpp has all of it together.
//
// *Threads*: on the loop's thread.
#pragma once

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/virtual_clock.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

namespace testing {

/// The clock of a loop that was made with the backend "virtual", or of a simulation's. Throws
/// misuse if the loop goes by the machine's clock.
[[nodiscard]] ONELOOP_API virtual_clock& clock_of(loop& l);
/// That of the loop that the calling thread runs. Throws loop_not_running outside a loop.
[[nodiscard]] ONELOOP_API virtual_clock& clock_here();

/// What wait_all_tasks_blocked returns.
class ONELOOP_API idle_operation : idle_node {
 public:
  explicit idle_operation(duration d) noexcept;
  /// Before it is started.
  idle_operation(idle_operation&& o) noexcept;
  ~idle_operation() { delist(); }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w);
  void await_resume() const noexcept {}

  enlisted enlist(waiter& w);
  void delist() noexcept;
  [[nodiscard]] bool won() const noexcept { return won_; }

 private:
  static void cancel(void* op, waiter& w) noexcept;
  static const operation_info info;
  waiter* waiter_ = nullptr;
  bool won_ = false;
};

/// Waits until all other parties of the loop wait for something, and have done so for `cushion` of
/// the loop's time: then a test knows that what it has started has come as far as it can. Parties
/// that wait for a timer, for I/O or for a call on a thread count as waiting; virtual time does not
/// jump before this has returned.
///
/// If several wait for it, those with the shortest cushion go on, together; the others wait until
/// these wait again. So `wait_all_tasks_blocked(1ns)` comes after everybody's
/// `wait_all_tasks_blocked()`. On a clock that is moved by hand every cushion ends at once.
///
/// *Cancellation*: retractable. *Errors*: loop_not_running in a plain thread.
[[nodiscard]] inline idle_operation wait_all_tasks_blocked(duration cushion = {}) noexcept {
  return idle_operation{cushion};
}

}  // namespace testing
}  // namespace oneloop::inline v0
