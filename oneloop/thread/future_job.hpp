// A function call that gives the result of a future: what executors queue. Internal to thread/.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/blocking_pool.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/thread/future.hpp"

namespace oneloop::inline v0::detail {

/// The task-locals of the caller, for code that runs elsewhere.
class inherited_locals {
 public:
  inherited_locals() : locals_{local_binding::share(context::current().locals)} {}
  inherited_locals(const inherited_locals&) = delete;
  inherited_locals& operator=(const inherited_locals&) = delete;
  ~inherited_locals() { local_binding::drop(locals_); }
  [[nodiscard]] local_binding* get() const noexcept { return locals_; }

 private:
  local_binding* locals_;
};

/// A call whose result is a future's, as a job of an executor.
template <class T, class Code>
class future_job final : public blocking_job {
 public:
  future_job(future_ref<T> state, Code code) : state_{std::move(state)}, code_{std::move(code)} {}

 private:
  void execute() noexcept override {
    const std::unique_ptr<future_job> self{this};
    future_control& control = state_->control;
    // Only an executor starts its futures, and each once; but it may have been cancelled.
    if (!control.start()) return;
    std::exception_ptr error;
    {
      thread_party party{spawn_info{state_->name(), {}}, locals_.get()};
      control.code.enter(party.scope());
      try {
        state_->keep([&]() -> decltype(auto) { return (*code_)(); });
      } catch (...) {
        error = std::current_exception();
      }
      // What the call held is gone when its result is known.
      code_.reset();
      control.code.leave();
    }
    if (control.claim()) control.complete(std::move(error), true);
  }
  void refuse(std::exception_ptr why) noexcept override {
    const std::unique_ptr<future_job> self{this};
    code_.reset();
    if (!why) {
      state_->control.cancel();
    } else if (state_->control.claim()) {
      state_->control.complete(std::move(why), false);
    }
  }
  future_ref<T> state_;
  std::optional<Code> code_;
  inherited_locals locals_;
};

/// What an executor makes of a callable and its arguments: a future, and the job that gives its
/// result. `what` is what errors call it, unless it is `named`.
template <class F, class... Args>
struct submitted {
  using unnamed = detail::unnamed<std::decay_t<F>>;
  using fn_type = typename unnamed::type;
  using direct = std::invoke_result_t<fn_type, std::decay_t<Args>...>;
  static constexpr bool is_task = is_task_v<std::remove_cvref_t<direct>>;
  template <class R>
  struct of {
    using type = R;
  };
  template <class R>
  struct of<task<R>> {
    using type = R;
  };
  using value_type = typename of<direct>::type;

  /// The call itself, ready to be made once.
  struct code {
    fn_type fn;
    std::tuple<std::decay_t<Args>...> args;
    decltype(auto) operator()() {
      return std::apply(
          [this](std::decay_t<Args>&... a) -> decltype(auto) {
            if constexpr (is_task) {
              auto t = std::invoke(std::move(fn), std::move(a)...);
              return await(std::move(t));
            } else {
              return std::invoke(std::move(fn), std::move(a)...);
            }
          },
          args);
    }
  };
  future_ref<value_type> state;
  std::unique_ptr<blocking_job> job;

  submitted(const char* what, F&& fn, Args&&... args) {
    std::decay_t<F> f{std::forward<F>(fn)};
    if constexpr (!std::is_same_v<fn_type, std::decay_t<F>>) what = f.name;
    state = make_future_state<value_type>(what);
    job = std::make_unique<future_job<value_type, code>>(
        state, code{unnamed::fn(f), {std::forward<Args>(args)...}});
  }
};

}  // namespace oneloop::inline v0::detail
