// A function called again and again, as Twisted's task.LoopingCall.
//
//     looping_call beat{[] { print("tick"); }};
//     beat.start(1s).add_errback([](failure f) { complain(f.what()); });
//     ...
//     beat.stop();                                // the deferred of start fires
//
// Beats are at whole multiples of the interval after the start, by the loop's clock, without drift.
// If the function gives a deferred or a task, the next beat waits for it; beats whose time passes
// meanwhile are skipped, never made up for. `with_count` tells the function how many intervals have
// passed since its last call, so that it can. A function that fails ends the loop: the deferred of
// start fails.
//
// *Ownership*: a loop that runs is a child of the nursery in whose body start was called, or else
// of the loop's root nursery. Dropping the handle changes nothing.
// *Cancellation*: cancel of the deferred of start ends it, and cancels what a beat waits for.
// *Threads*: the loop's own.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/deferred/call_later.hpp"
#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {

/// Copies are handles of the same one.
class ONELOOP_API looping_call {
 public:
  /// Will call f(args...).
  template <class F, class... Args>
    requires std::invocable<std::decay_t<F>&, std::decay_t<Args>&...>
  explicit looping_call(F&& f, Args&&... args)
      : looping_call{work{[f = std::decay_t<F>(std::forward<F>(f)),
                           args = std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}](
                              std::int64_t) mutable {
          return nothing(maybe_deferred([&]() -> decltype(auto) { return std::apply(f, args); }));
        }}} {}
  /// Will call f(n): n is 1 if no beat was skipped since the last call.
  template <class F>
    requires std::invocable<std::decay_t<F>&, std::int64_t>
  static looping_call with_count(F&& f) {
    looping_call made{work{[f = std::decay_t<F>(std::forward<F>(f))](std::int64_t n) mutable {
      return nothing(maybe_deferred(f, std::int64_t{n}));
    }}};
    made.count();
    return made;
  }

  /// Calls at once (unless `now` is false) and then at every interval. An interval of zero: as
  /// often as the loop turns. Fires when it has been stopped and the last call has ended, fails
  /// when a call fails. Throws misuse if it runs already or the interval is negative.
  deferred<> start(delay_at interval, bool now = true) const;
  /// No more calls. Throws misuse if it does not run.
  void stop() const;
  /// The next call is one interval from now, and those after it counted from now. If a call is
  /// under way nothing happens. Throws misuse if it does not run.
  void reset() const;
  [[nodiscard]] bool running() const noexcept;
  [[nodiscard]] duration interval() const noexcept;

 private:
  using work = std::move_only_function<deferred<>(std::int64_t)>;
  template <class T>
  static deferred<> nothing(const deferred<T>& d) {
    if constexpr (std::is_void_v<T>) {
      return d;
    } else {
      return d.add_callback([] {});
    }
  }
  explicit looping_call(work w);
  void count() const noexcept;
  struct state;
  static task<> beats(std::shared_ptr<state> s, deferred<> first, std::uint64_t round);
  std::shared_ptr<state> state_;
};

}  // namespace oneloop::inline v0
