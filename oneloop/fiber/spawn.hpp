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
#include <memory>
#include <optional>
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
               std::tuple<Args...>&& args, std::optional<duration> delay)
      : fiber_child{info, n},
        state_{&state},
        scope_{self(), state},
        fn_{std::move(fn)},
        args_{std::move(args)} {
    if (delay) {
      delay_ = std::make_unique<sleep_operation>(*delay);
      launch(*delay_);
    } else {
      launch();
    }
  }

 private:
  void body() override {
    state_->keep([this]() -> decltype(auto) {
      return std::apply(
          [this](Args&... a) -> decltype(auto) {
            return std::invoke(std::move(fn_), std::move(a)...);
          },
          args_);
    });
  }
  bool may_begin() noexcept override {
    if (delay_ != nullptr && self().scope().cancelled()) return false;
    if (state_->begin()) return true;
    scope_.cancel();
    return false;
  }
  std::exception_ptr finish(std::exception_ptr error) noexcept override {
    return scope_.finish(std::move(error));
  }
  join_ref<join_state_of<T>, false> state_;
  join_scope scope_;
  F fn_;
  std::tuple<Args...> args_;
  std::unique_ptr<sleep_operation> delay_;
};

template <class Result>
struct join_starter {
  using value_type = Result;
  template <class F, class... Args>
  static void start(join_state_of<Result>& state, nursery& n, spawn_info info, F&& fn,
                    std::tuple<Args...> args, std::optional<duration> delay = {}) {
    if (n.home() != nullptr) {
      new joined_fiber<Result, std::remove_cvref_t<F>, Args...>(state, n, info, std::move(fn),
                                                                std::move(args), delay);
    } else {
      start_joined_thread(state, n, info, std::move(fn), std::move(args), delay);
    }
  }
};

}  // namespace detail
}  // namespace oneloop::inline v0
