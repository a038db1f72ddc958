// react(): a program made of callbacks, from its main function to its exit code, as Twisted's
// task.react.
//
//     deferred<> serve(std::uint16_t port) { ... }    // fires when there is nothing left to do
//     int main() { return react(serve, 8080); }
//
// main(args...) is called on a new loop. It gives a deferred or a task (or just a value); when that
// has ended, what it left behind is cancelled and waited for, as `run` does. The exit code:
//   - 0, or the number that it ended with if it gives an int;
//   - 1 if it failed: the error is logged (by default to standard error);
//   - that of a system_exit, thrown anywhere in the chain;
//   - 0 after SIGINT, SIGTERM or stop_reactor(): then main's deferred is cancelled and may clean
//     up. What it ends with counts if it is not `cancelled`. A second signal does what it would do
//     without react: it ends the process.
//
// Before anything is cancelled the functions given to before_shutdown are called, in order, and
// what they give is waited for; those of after_shutdown are called when the loop has ended.
//
// *Threads*: like `run`, not inside another loop of the same thread. The other functions are called
// on a loop that react runs.
#pragma once

#include <concepts>
#include <functional>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {

/// Thrown in main's chain: ends react with this exit code. Not a std::exception, as SystemExit is
/// no Exception.
class ONELOOP_API system_exit final {
 public:
  explicit system_exit(int code) noexcept : code_{code} {}
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

/// Ends react as a signal would.
ONELOOP_API void stop_reactor();

namespace detail {
ONELOOP_API int run_reactor(loop& l, std::move_only_function<deferred<int>()> main);
ONELOOP_API void add_before_shutdown(std::move_only_function<deferred<>()> f);
}  // namespace detail

/// Will call f() before the loop ends, and wait for the deferred or task that it may give.
template <class F>
  requires std::invocable<std::decay_t<F>&>
void before_shutdown(F&& f) {
  detail::add_before_shutdown([f = std::decay_t<F>(std::forward<F>(f))]() mutable {
    return maybe_deferred(f).add_callback([] {});
  });
}
/// Will call f() when the loop has ended. It must not throw.
ONELOOP_API void after_shutdown(std::move_only_function<void()> f);

/// On `l`, which nobody runs at the moment.
template <class Main, class... Args>
  requires std::invocable<Main, Args...>
int react(loop& l, Main&& main, Args&&... args) {
  return detail::run_reactor(l, [&] {
    auto ending = maybe_deferred(std::forward<Main>(main), std::forward<Args>(args)...);
    using value = typename decltype(ending)::value_type;
    if constexpr (std::integral<value> && !std::same_as<value, bool>) {
      return ending.add_callback([](value code) { return static_cast<int>(code); });
    } else {
      return ending.add_callback([] { return 0; });
    }
  });
}

/// On a loop of its own.
template <class Main, class... Args>
  requires std::invocable<Main, Args...>
int react(Main&& main, Args&&... args) {
  loop l;
  return react(l, std::forward<Main>(main), std::forward<Args>(args)...);
}

}  // namespace oneloop::inline v0
