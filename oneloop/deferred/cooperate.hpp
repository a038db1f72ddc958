// Long work in small steps between everybody else's, as Twisted's task.cooperate.
//
//     cooperative_task work = cooperate([&] { index(*next++); return next != pages.end(); });
//     work.when_done().add_callback([] { print("indexed"); });
//
// A step gives a bool, whether there is more to do, or a deferred or task of one, which is waited
// for. Between two steps everything runs that is ready.
//
// *Ownership*: the work is a child of the nursery that the code is in the body of, or else of the
// loop's root nursery. Dropping the handle changes nothing. *Threads*: the loop's own.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <source_location>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {

/// What when_done of a cooperative_task fails with after `stop`.
class ONELOOP_API task_stopped : public error {
 public:
  task_stopped();
};

/// Copies are handles of the same work.
class ONELOOP_API cooperative_task {
 public:
  /// A new deferred that fires when the work is done: fails if a step failed, with task_stopped
  /// after `stop`, with `cancelled` if its nursery was cancelled.
  [[nodiscard]] deferred<> when_done() const;
  /// No step begins until as many `resume` have come. Throw misuse if the work is done, resume also
  /// if it is not paused.
  void pause() const;
  void resume() const;
  /// No more steps; when_done fires at once. Throws misuse if the work is done.
  void stop() const;

  // ---- for models ----
  cooperative_task(std::move_only_function<deferred<bool>()> step, std::source_location at);

 private:
  struct state;
  static task<> steps(std::shared_ptr<state> s);
  void check(const char* what) const;
  std::shared_ptr<state> state_;
};

/// Starts it; the first step comes from the loop's queue. Throws loop_not_running outside every
/// loop.
template <class Step>
  requires std::invocable<std::decay_t<Step>&> &&
           std::convertible_to<detail::chained_t<std::invoke_result_t<std::decay_t<Step>&>>, bool>
cooperative_task cooperate(Step&& step, std::source_location at = std::source_location::current()) {
  return cooperative_task{[f = std::decay_t<Step>(std::forward<Step>(step))]() mutable {
                            return maybe_deferred(f).add_callback([](bool more) { return more; });
                          },
                          at};
}

}  // namespace oneloop::inline v0
