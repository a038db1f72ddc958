// spawn() and spawn_on() for functions that are no coroutines: a fiber, or in the nursery of a
// plain thread a thread, that can be joined. See task/spawn.hpp for the rules.
//
//     with_nursery([](nursery& n) {
//       auto a = spawn(n, resolve, "a.example");
//       auto b = spawn(n, resolve, "b.example");
//       use(await(a.join()), await(b.join()));
//     });
#pragma once

#include <exception>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/fiber/fiber.hpp"
#include "oneloop/task/spawn.hpp"

namespace oneloop::inline v0 {
namespace detail {

template <class T, class F, class... Args>
class joined_fiber final : public fiber_child {
 public:
  joined_fiber(join_state_of<T>& state, nursery& n, spawn_info info, F&& fn,
               std::tuple<Args...>&& args)
      : fiber_child{info, n},
        state_{&state},
        scope_{self(), state},
        fn_{std::move(fn)},
        args_{std::move(args)} {
    launch();
  }

 private:
  void body() override {
    std::exception_ptr error;
    try {
      state_->keep([this]() -> decltype(auto) {
        return std::apply(
            [this](Args&... a) -> decltype(auto) {
              return std::invoke(std::move(fn_), std::move(a)...);
            },
            args_);
      });
    } catch (...) {
      error = std::current_exception();
    }
    if (auto left = scope_.finish(std::move(error))) std::rethrow_exception(std::move(left));
  }
  join_ref<join_state_of<T>, false> state_;
  join_scope scope_;
  F fn_;
  std::tuple<Args...> args_;
};

/// Starts a thread that can be joined, as a child of any nursery.
template <class T, class F, class... Args>
void start_joined_thread(join_state_of<T>& state, nursery& n, spawn_info info, F&& fn,
                         std::tuple<Args...> args) {
  start_thread_child(
      n, info,
      [state = join_ref<join_state_of<T>, false>{&state},
       fn = std::remove_cvref_t<F>{std::forward<F>(fn)}, args = std::move(args)]() mutable {
        join_scope scope{context::current(), *state.get()};
        std::exception_ptr error;
        try {
          state->keep([&]() -> decltype(auto) {
            return std::apply(
                [&](Args&... a) -> decltype(auto) {
                  return std::invoke(std::move(fn), std::move(a)...);
                },
                args);
          });
        } catch (...) {
          error = std::current_exception();
        }
        if (auto left = scope.finish(std::move(error))) std::rethrow_exception(std::move(left));
      });
}

template <class Result>
struct join_starter {
  using value_type = Result;
  template <class F, class... Args>
  static void start(join_state_of<Result>& state, nursery& n, spawn_info info, F&& fn,
                    std::tuple<Args...> args) {
    if (n.home() != nullptr) {
      new joined_fiber<Result, std::remove_cvref_t<F>, Args...>(state, n, info, std::move(fn),
                                                                std::move(args));
    } else {
      start_joined_thread(state, n, info, std::move(fn), std::move(args));
    }
  }
};

}  // namespace detail
}  // namespace oneloop::inline v0
