// run() for functions: a loop, one fiber on it (or one task, if the function is a coroutine), and
// an orderly end. See task/run.hpp.
//
//     int main() {
//       return oneloop::run([] {
//         await(sleep_for(1s));
//         return 0;
//       });
//     }
//
// *Threads*: like every run, not inside another loop of the same thread.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/fiber/fiber.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0 {

namespace detail {
/// Runs code(argument), which does not throw, as the main fiber of `l`; gives the failure of what
/// had no other owner.
ONELOOP_API std::exception_ptr run_main_fiber(loop& l, void (*code)(void*), void* argument);
}  // namespace detail

/// Runs fn(args...) as a fiber on `l`, which nobody runs at the moment: its result or exception.
template <class F, class... Args>
  requires blocking_body<F, Args...>
auto run(loop& l, F&& fn, Args&&... args) -> std::invoke_result_t<F, Args...> {
  using result = std::invoke_result_t<F, Args...>;
  using stored =
      std::conditional_t<std::is_reference_v<result>, std::remove_reference_t<result>*, result>;
  struct call {
    F& fn;
    std::tuple<Args&&...> args;
    std::conditional_t<std::is_void_v<result>, char, std::optional<stored>> value{};
    std::exception_ptr failure;
  } c{fn, std::tuple<Args&&...>{std::forward<Args>(args)...}, {}, {}};
  std::exception_ptr other = detail::run_main_fiber(
      l,
      [](void* p) {
        auto& me = *static_cast<call*>(p);
        try {
          auto invoke = [&me](Args&&... a) -> decltype(auto) {
            return std::invoke(std::forward<F>(me.fn), std::forward<Args>(a)...);
          };
          if constexpr (std::is_void_v<result>) {
            std::apply(invoke, std::move(me.args));
          } else if constexpr (std::is_reference_v<result>) {
            me.value = &std::apply(invoke, std::move(me.args));
          } else {
            me.value.emplace(std::apply(invoke, std::move(me.args)));
          }
        } catch (...) {
          me.failure = std::current_exception();
        }
      },
      &c);
  loop_root::rethrow(std::move(c.failure), std::move(other));
  if constexpr (std::is_reference_v<result>) {
    return static_cast<result>(**c.value);
  } else if constexpr (!std::is_void_v<result>) {
    return *std::move(c.value);
  }
}

/// Runs the task that fn(args...) gives. `fn` and `args` live until it has ended.
template <class F, class... Args>
  requires task_body<F, Args...>
auto run(loop& l, F&& fn, Args&&... args) -> task_result_t<F, Args...> {
  return run(l, std::invoke(std::forward<F>(fn), std::forward<Args>(args)...));
}

/// Either of them, on a loop of its own.
template <class F, class... Args>
  requires std::invocable<F, Args...>
decltype(auto) run(F&& fn, Args&&... args) {
  loop l;
  return run(l, std::forward<F>(fn), std::forward<Args>(args)...);
}

}  // namespace oneloop::inline v0
