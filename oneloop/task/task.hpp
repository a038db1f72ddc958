// task<T>: a C++20 coroutine. Lazy (it runs when it is awaited or started), move-only, awaited
// exactly once, and itself an operation: coroutines, fibers and callbacks can all wait for it.
//
//     oneloop::task<int> twice(oneloop::channel<int>& in) {
//       auto v = co_await in.receive();
//       co_return v.value_or(0) * 2;
//     }
//
// Inside, co_await takes any operation and any other task. A task runs where what awaits it runs,
// in the same party: it has that party's scope and locals, and its body is on the loop's own stack,
// also when a fiber waits for it. Between tasks control goes by symmetric transfer, so that neither
// a long loop of awaits nor a deep chain uses the stack.
//
// *Cancellation*: each co_await of an operation is a checkpoint; one of a task is where the code in
// the task waits. *Cost*: one pooled frame a call. *Errors*: what
// the body throws is thrown by the co_await. g++ 12 miscompiles five idioms: docs/compilers.md.
#pragma once

#include <concepts>
#include <coroutine>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/task/frame_pool.hpp"

namespace oneloop::inline v0 {

template <class T = void>
class task;

template <class T>
inline constexpr bool is_task_v<task<T>> = true;

namespace detail {

// How a parent starts its child. Both ways interoperate, so that a program and the library may be
// built differently (PITFALLS: sanitizers and -O0 do not get tail calls from g++):
//   transfer  await_suspend returns the child's handle
//   nested    await_suspend resumes the child; it returns false when the child has finished by then
enum class start_style { transfer, nested };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__OPTIMIZE__)
inline constexpr start_style this_start_style = start_style::nested;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr start_style this_start_style = start_style::nested;
#else
inline constexpr start_style this_start_style = start_style::transfer;
#endif
#else
inline constexpr start_style this_start_style = start_style::transfer;
#endif

/// The resume function of a party whose code is at a coroutine's suspension point.
ONELOOP_API void resume_coroutine(ready_item& item) noexcept;

/// The awaiter around an operation in a coroutine body. `Op` is a reference to the operation, which
/// stays where it is (a copy would cost its size in every frame), or a value made from what was
/// awaited.
template <class Op>
class operation_awaiter {
 public:
  operation_awaiter(Op&& op, context& self) noexcept : op_(static_cast<Op&&>(op)), self_{self} {}

  bool await_ready() {
    enter_wait<Op>(self_);
    if (!op_.await_ready()) return false;
    if (!self_.home()->spent()) return true;
    self_.give_way();
    return false;
  }
  bool await_suspend(std::coroutine_handle<> h) {
    self_.target = h.address();
    loop& home = *self_.home();
    if (!self_.gives_way()) {
      if (op_.await_suspend(self_)) {
        home.note_progress();
        return true;
      }
      if (!home.spent()) return false;
      self_.give_way();
    }
    // Finished, but many waits in a row have been: let others run before the result is taken.
    home.note_progress();
    home.make_ready(self_);
    return true;
  }
  decltype(auto) await_resume() { return conclude(op_, self_.finish()); }

 private:
  Op op_;
  context& self_;
};

/// Told that a task has finished, where no coroutine waits for it; `frame` is the task's.
struct task_end {
  void (*finished)(context& self, const task_end& end, std::coroutine_handle<> frame) noexcept;
};

/// Who goes on when a task has finished: the coroutine that waits for it, or nobody but a task_end.
/// One word: the lowest bit tells which.
class task_next {
 public:
  void resume(std::coroutine_handle<> waiting) noexcept { word_ = address(waiting); }
  void tell(const task_end& end) noexcept { word_ = reinterpret_cast<std::uintptr_t>(&end) | told; }
  /// At the final suspension: what to transfer control to.
  [[nodiscard]] std::coroutine_handle<> finished(context& self,
                                                 std::coroutine_handle<> frame) const noexcept {
    if ((word_ & told) == 0) {
      return std::coroutine_handle<>::from_address(reinterpret_cast<void*>(word_));
    }
    const auto& end = *reinterpret_cast<const task_end*>(word_ - told);
    end.finished(self, end, frame);
    return std::noop_coroutine();
  }

 private:
  static constexpr std::uintptr_t told = 1;
  static_assert(alignof(task_end) > told);
  static std::uintptr_t address(std::coroutine_handle<> h) noexcept {
    return reinterpret_cast<std::uintptr_t>(h.address());
  }
  std::uintptr_t word_ = address(std::noop_coroutine());
};

class promise_base {
 public:
  static void* operator new(std::size_t size) { return frame_pool::allocate(size); }
  static void operator delete(void* p, std::size_t size) noexcept {
    frame_pool::deallocate(p, size);
  }

  std::suspend_always initial_suspend() const noexcept { return {}; }

  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> h) const noexcept {
      const promise_base& p = h.promise();
      return p.next_.finished(*p.self_, h);
    }
    void await_resume() const noexcept {}
  };
  final_awaiter final_suspend() const noexcept { return {}; }

  void unhandled_exception() noexcept { error_ = std::current_exception(); }

  template <class T>
  auto await_transform(task<T>&& t) noexcept;
  /// A task is awaited once: move a named one, `co_await std::move(t)`.
  template <class T>
  void await_transform(task<T>& t) = delete;
  template <class A>
    requires awaitable<A>
  auto await_transform(A&& a) {
    using op = decltype(as_operation(static_cast<A&&>(a)));
    return operation_awaiter<op>{as_operation(static_cast<A&&>(a)), *self_};
  }
  template <class A>
    requires(!awaitable<A>)
  auto await_transform(A&& foreign);

  // The context flows down; control comes back by `next_`.
  context* self_ = nullptr;
  task_next next_;
  std::exception_ptr error_;
};

template <class T>
class promise final : public promise_base {
 public:
  task<T> get_return_object() noexcept;
  template <class U = T>
    requires std::convertible_to<U&&, T>
  void return_value(U&& value) {
    value_.emplace(std::forward<U>(value));
  }
  T take() {
    if (error_) std::rethrow_exception(std::move(error_));
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
};

template <class T>
class promise<T&> final : public promise_base {
 public:
  task<T&> get_return_object() noexcept;
  void return_value(T& value) noexcept { value_ = &value; }
  T& take() {
    if (error_) std::rethrow_exception(std::move(error_));
    return *value_;
  }

 private:
  T* value_ = nullptr;
};

template <>
class promise<void> final : public promise_base {
 public:
  task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void take() {
    if (error_) std::rethrow_exception(std::move(error_));
  }
};

}  // namespace detail

template <class T>
class [[nodiscard("a task does nothing until it is awaited or started")]] task {
 public:
  using value_type = T;
  using promise_type = detail::promise<T>;

  task() noexcept = default;
  task(task&& o) noexcept : frame_{std::exchange(o.frame_, {})} {}
  task& operator=(task&& o) noexcept {
    if (this != &o) {
      reset();
      frame_ = std::exchange(o.frame_, {});
    }
    return *this;
  }
  /// A task that has started must have finished; one that has not is just dropped.
  ~task() { reset(); }

  /// False after a move.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(frame_); }

  // ---- for models ----
  explicit task(std::coroutine_handle<promise_type> h) noexcept : frame_{h} {}
  [[nodiscard]] std::coroutine_handle<promise_type> frame() const noexcept { return frame_; }
  [[nodiscard]] std::coroutine_handle<promise_type> release() noexcept {
    return std::exchange(frame_, {});
  }

 private:
  void reset() noexcept {
    if (frame_) frame_.destroy();
    frame_ = {};
  }
  std::coroutine_handle<promise_type> frame_;
};

namespace detail {

template <class T>
task<T> promise<T>::get_return_object() noexcept {
  return task<T>{std::coroutine_handle<promise>::from_promise(*this)};
}
template <class T>
task<T&> promise<T&>::get_return_object() noexcept {
  return task<T&>{std::coroutine_handle<promise>::from_promise(*this)};
}
inline task<void> promise<void>::get_return_object() noexcept {
  return task<void>{std::coroutine_handle<promise>::from_promise(*this)};
}

/// A task awaiting a task. The style is a parameter of the type, so that units built differently
/// never share one of these functions.
template <class T, start_style Style>
class task_awaiter {
 public:
  task_awaiter(task<T>&& t, context* self) : task_{std::move(t)}, self_{self} {}

  bool await_ready() const {
    if (!task_) throw misuse{"co_await of a task that was moved from or awaited before"};
    return false;
  }
  auto await_suspend(std::coroutine_handle<> parent) noexcept {
    auto child = task_.frame();
    child.promise().self_ = self_;
    if constexpr (Style == start_style::transfer) {
      child.promise().next_.resume(parent);
      return std::coroutine_handle<>{child};
    } else {
      // Meanwhile the continuation is the no-op coroutine: a child that finishes in here comes back
      // to this frame, whichever way the child was built.
      child.resume();
      if (child.done()) return false;
      child.promise().next_.resume(parent);
      return true;
    }
  }
  T await_resume() { return task_.frame().promise().take(); }

 private:
  task<T> task_;
  context* self_;
};

template <class T>
auto promise_base::await_transform(task<T>&& t) noexcept {
  return task_awaiter<T, this_start_style>{std::move(t), self_};
}

/// A task for waiters that are not coroutines: a fiber, a callback, a part of a gather. The party's
/// code moves to the loop's stack until the task has finished.
template <class T>
class task_operation : task_end {
 public:
  static constexpr bool needs_loop = true;
  explicit task_operation(task<T>&& t) noexcept : task_end{ended}, task_{std::move(t)} {}

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    context& c = context_of(w);
    if (c.home() == nullptr) throw loop_not_running{"await a task from a plain thread"};
    if (!task_) throw misuse{"await of a task that was moved from or awaited before"};
    auto& p = task_.frame().promise();
    p.self_ = &c;
    p.next_.tell(*this);
    run_ = std::exchange(c.run, resume_coroutine);
    target_ = std::exchange(c.target, task_.frame().address());
    parks_ = std::exchange(c.parks, nullptr);  // the body must not block: it is on the loop's stack
    c.home()->note_progress();
    c.home()->make_ready(c);
    return true;
  }
  T await_resume() { return task_.frame().promise().take(); }

 private:
  static void ended(context& self, const task_end& end, std::coroutine_handle<>) noexcept {
    const auto& op = static_cast<const task_operation&>(end);
    self.run = op.run_;
    self.target = op.target_;
    self.parks = op.parks_;
    self.home()->note_progress();
    self.home()->make_ready(self);
  }
  task<T> task_;
  ready_item::run_fn run_ = nullptr;
  void* target_ = nullptr;
  const parking* parks_ = nullptr;
};

/// An awaitable of another library. It runs in a helper coroutine of its own, wherever it likes;
/// the result comes back on the home loop. It cannot be cancelled: it is waited for.
template <class A>
class foreign_operation {
  struct helper {
    struct promise_type {
      helper get_return_object() const noexcept { return {}; }
      std::suspend_never initial_suspend() const noexcept { return {}; }
      std::suspend_never final_suspend() const noexcept { return {}; }
      void return_void() const noexcept {}
      void unhandled_exception() const noexcept { std::terminate(); }
    };
  };
  template <class X>
  static decltype(auto) awaiter_of(X&& x) {
    if constexpr (requires { static_cast<X&&>(x).operator co_await(); }) {
      return static_cast<X&&>(x).operator co_await();
    } else if constexpr (requires { operator co_await(static_cast<X&&>(x)); }) {
      return operator co_await(static_cast<X&&>(x));
    } else {
      return static_cast<X&&>(x);
    }
  }
  using result = decltype(awaiter_of(std::declval<A>()).await_resume());
  using stored = std::conditional_t<std::is_void_v<result>, char, std::optional<result>>;

 public:
  explicit foreign_operation(A&& a) noexcept : awaited_{static_cast<A&&>(a)} {}
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    static constexpr operation_info info{"a foreign awaitable", [](void*, waiter&) noexcept {}};
    w.arm(this, info);
    begin(*this, w);
    return true;
  }
  result await_resume() {
    if (error_) std::rethrow_exception(std::move(error_));
    if constexpr (!std::is_void_v<result>) return *std::move(value_);
  }

 private:
  static helper begin(foreign_operation& op, waiter& w) {
    try {
      if constexpr (std::is_void_v<result>) {
        co_await static_cast<A&&>(op.awaited_);
      } else {
        op.value_.emplace(co_await static_cast<A&&>(op.awaited_));
      }
    } catch (...) {
      op.error_ = std::current_exception();
    }
    w.try_claim();
    w.wake();
  }
  A&& awaited_;
  stored value_{};
  std::exception_ptr error_;
};

template <class A>
  requires(!awaitable<A>)
auto promise_base::await_transform(A&& foreign) {
  return operation_awaiter<foreign_operation<A>>{foreign_operation<A>{static_cast<A&&>(foreign)},
                                                 *self_};
}

}  // namespace detail

/// A task is an operation for every waiter that has a loop.
template <class T>
detail::task_operation<T> as_operation(task<T>&& t) noexcept {
  return detail::task_operation<T>{std::move(t)};
}

namespace detail {

/// A function whose parameters are these arguments themselves: its frame has them.
template <class F, class... Args>
inline constexpr bool takes_all = false;
template <class R, class... Args>
inline constexpr bool takes_all<R (*)(Args...), Args...> = true;
template <class R, class... Args>
inline constexpr bool takes_all<R (*)(Args...) noexcept, Args...> = true;

/// What a coroutine was called with, for as long as it runs: callable and arguments, as far as its
/// frame has them not.
template <class F, class... Args>
class kept_call {
 public:
  kept_call(F& fn, std::tuple<Args...>& args) : fn_{std::move(fn)}, args_{std::move(args)} {}
  /// Calls it; with what the constructor was given.
  auto start(F&, std::tuple<Args...>&) {
    return std::apply([this](Args&... a) { return std::invoke(std::move(fn_), std::move(a)...); },
                      args_);
  }

 private:
  F fn_;
  std::tuple<Args...> args_;
};

template <class F, class... Args>
  requires takes_all<F, Args...>
class kept_call<F, Args...> {
 public:
  kept_call(F&, std::tuple<Args...>&) noexcept {}
  auto start(F& fn, std::tuple<Args...>& args) {
    return std::apply([&fn](Args&... a) { return fn(std::move(a)...); }, args);
  }
};

/// The record of a task that a nursery owns: its context, its callable, and in the end its frame.
template <class T, class F, class... Args>
class task_child final : public child, public pooled {
 public:
  using pooled::operator new;
  using pooled::operator delete;

  template <class... Where>
  task_child(spawn_info info, F&& fn, std::tuple<Args...>&& args, nursery& n, Where&... where)
      : child{party_kind::coroutine, n, where..., resume_coroutine, info}, call_{fn, args} {
    task<T> body = call_.start(fn, args);
    auto& p = body.frame().promise();
    p.self_ = &self();
    p.next_.tell(its_end);
    begin();
    self().target = body.release().address();
    self().home()->make_ready(self());
  }

 private:
  friend class child;
  static void ended(context& self, const task_end&, std::coroutine_handle<> frame) noexcept {
    self.target = frame.address();
    end(static_cast<task_child&>(of(self)));
  }
  static constexpr task_end its_end{ended};
  std::exception_ptr take_error() noexcept {
    const task<T> body{std::coroutine_handle<promise<T>>::from_address(self().target)};
    return std::move(body.frame().promise().error_);
  }
  [[no_unique_address]] kept_call<F, Args...> call_;
};

/// A coroutine as a function for a plain thread.
template <class F>
struct awaiting_call {
  F fn;
  template <class... Args>
  decltype(auto) operator()(Args&&... args) {
    auto t = std::invoke(std::move(fn), std::forward<Args>(args)...);
    return await(std::move(t));
  }
};

}  // namespace detail

template <class T>
struct starter<task<T>> {
  template <class F, class... Args, class... Starting>
  static void start(nursery& n, spawn_info info, F&& fn, std::tuple<Args...> args,
                    Starting... starting) {
    if (n.home() == nullptr) {
      using body = std::remove_cvref_t<F>;
      detail::start_thread_child(
          n, info,
          [call = detail::awaiting_call<body>{std::forward<F>(fn)},
           args = std::move(args)]() mutable {
            std::apply([&](Args&... a) { static_cast<void>(call(std::move(a)...)); }, args);
          },
          std::move(starting)...);
      return;
    }
    new detail::task_child<T, std::remove_cvref_t<F>, Args...>(info, std::move(fn), std::move(args),
                                                               n, starting...);
  }
  template <class F, class... Args>
  static void start_elsewhere(nursery& n, loop& l, scope_link& link, spawn_info info, F&& fn,
                              std::tuple<Args...> args) {
    new detail::task_child<T, std::remove_cvref_t<F>, Args...>(info, std::move(fn), std::move(args),
                                                               n, l, link);
  }
};

}  // namespace oneloop::inline v0
