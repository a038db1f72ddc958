// Children that are started and then say when they are ready (trio's nursery.start and
// task_status.started): a server that listens, with the port that it got.
//
//     task<> serve(ready_signal<int> ready) {               // the signal is the last parameter
//       auto l = co_await listen(0);
//       ready.started(l.port());
//       ...
//     }
//     int port = co_await n.start_and_wait_ready(serve);    // await(...) in a fiber or a thread
//
// Until it calls `started` the child belongs to the call: its failure is thrown there, a cancel of
// the caller ends it and is waited for. From then on it is a child of the nursery like any other.
// The nursery stays open meanwhile. Children are of the same kinds as those of nursery::start, and
// have the task-locals of the caller.
//
// *Errors*: a child that ends without `started` and without a failure is a misuse, thrown to the
// caller. *Cancellation*: in a cancelled scope of the caller `started` moves nothing: the child
// stays where it is cancelled. *Threads*: the operation is awaited where the nursery is used.
// *Cost*: a start, a scope and a shared record.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/base/short_mutex.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/nursery.hpp"

namespace oneloop::inline v0 {
namespace detail {

/// What the call, the child and its signal share. The child is one of `before`, a nursery around
/// the wait of the caller, until it is moved to the target.
class ONELOOP_API start_state : scope_listener {
 public:
  explicit start_state(nursery& target) noexcept : target_{target} {}
  virtual ~start_state() = default;
  start_state(const start_state&) = delete;
  start_state& operator=(const start_state&) = delete;

  // ---- the caller ----
  [[nodiscard]] nursery& target() const noexcept { return target_; }
  void open(nursery& before);
  /// When `before` has no child any more: closes it. What there is to throw.
  [[nodiscard]] std::exception_ptr close();

  // ---- the child ----
  /// The child: a record on the loop, or a thread with this scope.
  void is(child& c) noexcept { child_ = &c; }
  void is(cancel_handle thread);
  /// A thread has ended: whom to tell.
  [[nodiscard]] nursery& owner_at_end() noexcept;

  // ---- the signal: in one step with the child's end ----
  /// Under the lock that it gives, the value is set. Throws misuse.
  [[nodiscard]] std::unique_lock<short_mutex> claim();
  void move(std::unique_lock<short_mutex> claimed) noexcept;

 private:
  void changed(bool cancelled) noexcept override;

  nursery& target_;
  nursery* before_ = nullptr;
  child* child_ = nullptr;
  cancel_handle thread_;
  short_mutex lock_;
  bool called_ = false;
  bool moved_ = false;
  bool over_ = false;
};

template <class T>
struct start_state_of final : start_state {
  using start_state::start_state;
  std::conditional_t<std::is_void_v<T>, char, std::optional<T>> value{};
};

}  // namespace detail

/// How a child tells that it is ready. May be copied and handed on.
template <class T = void>
class ready_signal {
 public:
  /// Whoever waits in start_and_wait_ready goes on, with `value`. Once, while the child runs:
  /// otherwise it throws misuse. On the child's loop (wrong_thread); of a child that is a thread,
  /// on any. T is moved under a lock: its move must not use the signal.
  template <std::convertible_to<T> U = T>
    requires(!std::is_void_v<T>)
  void started(U&& value) const {
    T made(std::forward<U>(value));
    auto claimed = state_->claim();
    state_->value.emplace(std::move(made));
    state_->move(std::move(claimed));
  }
  void started() const
    requires std::is_void_v<T>
  {
    state_->move(state_->claim());
  }

  // ---- for models ----
  explicit ready_signal(std::shared_ptr<detail::start_state_of<T>> s) noexcept
      : state_{std::move(s)} {}

 private:
  std::shared_ptr<detail::start_state_of<T>> state_;
};

namespace detail {

/// T, of a callable whose last parameter is a ready_signal<T>; void where that cannot be seen (a
/// generic lambda).
template <class P>
struct signalled {};
template <class T>
struct signalled<ready_signal<T>> {
  using type = T;
};
template <class... P>
using last_of = std::remove_cvref_t<std::tuple_element_t<sizeof...(P) - 1, std::tuple<P...>>>;
template <class F>
struct signal_of : std::type_identity<void> {};
template <class F>
  requires requires { &F::operator(); }
struct signal_of<F> : signal_of<decltype(&F::operator())> {};
template <class R, class... P, bool N>
struct signal_of<R (*)(P...) noexcept(N)> : signalled<last_of<P...>> {};
template <class R, class C, class... P, bool N>
struct signal_of<R (C::*)(P...) noexcept(N)> : signalled<last_of<P...>> {};
template <class R, class C, class... P, bool N>
struct signal_of<R (C::*)(P...) const noexcept(N)> : signalled<last_of<P...>> {};

}  // namespace detail

/// What start_and_wait_ready gives. Its result is what was given to `started`.
template <class T, class F, class... Args>
class start_operation {
 public:
  start_operation(nursery& n, spawn_info info, F&& fn, std::tuple<Args...>&& args)
      : target_{n}, info_{info}, fn_{std::move(fn)}, args_{std::move(args)} {}
  /// Before it is started.
  start_operation(start_operation&& o) noexcept
      : target_{o.target_}, info_{o.info_}, fn_{std::move(o.fn_)}, args_{std::move(o.args_)} {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    context& c = context_of(w);
    if (c.home() != target_.home()) throw wrong_thread{"nursery::start_and_wait_ready"};
    state_ = std::make_shared<detail::start_state_of<T>>(target_);
    target_.adopt();  // it stays open from here on
    before_.emplace(c);
    state_->open(*before_);
    try {
      using result = std::invoke_result_t<F, Args..., ready_signal<T>>;
      starter<result>::start(*before_, info_, std::move(fn_),
                             std::tuple_cat(std::move(args_), std::tuple{ready_signal<T>{state_}}),
                             std::shared_ptr<detail::start_state>{state_});
    } catch (...) {
      before_->body_failed(std::current_exception());
    }
    return join_.emplace(before_->join()).await_suspend(w);
  }
  T await_resume() {
    context& c = before_->owner();
    std::exception_ptr error = state_->close();
    before_.reset();
    if (error) {
      if (is_cancelled(error)) c.raise_timeout();
      std::rethrow_exception(std::move(error));
    }
    if constexpr (!std::is_void_v<T>) return *std::move(state_->value);
  }

 private:
  nursery& target_;
  spawn_info info_;
  F fn_;
  std::tuple<Args...> args_;
  std::shared_ptr<detail::start_state_of<T>> state_;
  std::optional<nursery> before_;
  std::optional<nursery::join_operation> join_;
};

template <class F, class... Args>
auto nursery::start_ready_at(std::source_location at, F&& fn, Args&&... args) {
  using unnamed = detail::unnamed<std::decay_t<F>>;
  using fn_type = typename unnamed::type;
  using value = typename detail::signal_of<fn_type>::type;
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{unnamed::name(f), unnamed::at(f, at)};
  return start_operation<value, fn_type, std::decay_t<Args>...>{
      *this, info, fn_type{unnamed::fn(f)},
      std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}};
}

}  // namespace oneloop::inline v0
