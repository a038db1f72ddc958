// Blocking calls, on threads of their own, for every kind of waiter.
//
//     std::string text = co_await oneloop::to_thread([&] { return read_whole_file(path); });
//     auto r = co_await oneloop::to_thread(look_up).abandon_on_cancel();
//     auto page = co_await oneloop::to_thread(render).limited_by(at_most_four);
//
// The calls go to an elastic crew that the whole process shares (loop/blocking_pool.hpp): threads
// are started when all are busy, up to 64, and end after 5 idle seconds.
//
// The code of a call is a party of its own: it has the task-locals of who waits, it may `await`
// (its thread parks), and it is told of cancellation: its waits throw `cancelled`, and so does
// check_cancelled. It may call back to the loop that waits, by from_thread.
//
// *Threads*: any waiter, a plain thread too (it parks while the crew works).
// *Cancellation*: a call that has not started is taken back. One that has started is told, and
// waited for: what it gives all the same is delivered. With abandon_on_cancel it is not waited for:
// the wait ends at once, the call goes on by itself, and its result is dropped.
// *Errors*: what `f` throws is rethrown to the waiter; error if not a single thread can be started.
// *Exit*: nothing waits for calls that still run when the program ends.
// *Cost*: two context switches and one allocation.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/blocking_pool.hpp"
#include "oneloop/loop/waiter.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/sync/capacity_limiter.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/thread/thread.hpp"

namespace oneloop::inline v0 {
namespace detail {

class thread_call;

/// Who carries calls out.
class ONELOOP_API call_executor {
 public:
  virtual const char* name() const noexcept = 0;
  virtual void submit(thread_call& c) = 0;
  /// True if the call had not begun, and will not.
  virtual bool take_back(thread_call& c) noexcept = 0;
  /// A thread is about to park until `w` is resumed.
  virtual void help(waiter& w);
  /// The shared crew.
  static call_executor& crew() noexcept;

 protected:
  ~call_executor() = default;
};

/// One call, shared by who waits and the thread that carries it out.
class ONELOOP_API thread_call : public blocking_job {
 public:
  explicit thread_call(call_executor& e) noexcept : executor_{e} {}
  thread_call(const thread_call&) = delete;
  thread_call& operator=(const thread_call&) = delete;
  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  void begin(waiter& w);
  /// Instead of executing it: false if that has begun. What it holds is gone then.
  bool withdraw() noexcept;
  /// Calls `send(loop)` while that loop surely exists; false if nobody waits any more.
  template <class Send>
  bool to_origin(Send&& send) {
    const std::scoped_lock hold{origin_lock_};
    if (state_.load(std::memory_order_relaxed) == abandoned) return false;
    if (waiter_->home() == nullptr) throw loop_not_running{"from_thread: a plain thread waits"};
    send(*waiter_->home());
    return true;
  }
  /// On the loop that waits: while the call waits for that loop in turn, it owes it nothing.
  void owe(loop& home) noexcept;
  void disown(loop& home) noexcept;
  /// The call that the calling thread carries out. Throws misuse.
  static thread_call& current(const char* what);

  [[nodiscard]] call_executor& executor() const noexcept { return executor_; }

  bool abandon = false;                                   // on cancel
  std::variant<semaphore_permit, limiter_permit> permit;  // until the call has ended

 protected:
  ~thread_call() override;
  std::exception_ptr error_;

 private:
  struct arrival : ready_item {
    thread_call* owner = nullptr;
  };
  virtual void call() = 0;
  virtual void drop() noexcept = 0;
  void execute() noexcept final;
  void refuse(std::exception_ptr why) noexcept final;
  void settle() noexcept;
  void arrived() noexcept;
  static void cancel(void* op, waiter& w) noexcept;
  static std::string describe_call(const void* op);
  static const operation_info info;

  enum : std::uint8_t { queued, running, finished, abandoned, withdrawn };
  std::atomic<std::uint8_t> state_{queued};
  std::atomic<std::uint32_t> references_{1};
  call_executor& executor_;
  waiter* waiter_ = nullptr;
  const context* party_ = nullptr;  // its code's
  bool owes_ = false;               // touched where it is waited for
  local_binding* locals_ = nullptr;
  job_scope scope_;
  short_mutex origin_lock_;
  arrival arrival_;
};

template <class F>
class thread_call_of final : public thread_call {
 public:
  using result = std::invoke_result_t<F&>;
  static_assert(!std::is_reference_v<result>, "to_thread: return a pointer or a value");
  thread_call_of(call_executor& e, F f) : thread_call{e}, f_{std::move(f)} {}
  result take() {
    if (error_) std::rethrow_exception(std::move(error_));
    if constexpr (!std::is_void_v<result>) return *std::move(value_);
  }

 private:
  void call() override {
    if constexpr (std::is_void_v<result>) {
      std::invoke(*f_);
    } else {
      value_.emplace(std::invoke(*f_));
    }
  }
  void drop() noexcept override { f_.reset(); }
  std::optional<F> f_;
  std::conditional_t<std::is_void_v<result>, char, std::optional<result>> value_{};
};

struct release_call {
  void operator()(thread_call* c) const noexcept { c->release(); }
};
using call_ref = std::unique_ptr<thread_call, release_call>;

/// The time in which a call waits for its loop: ends with the code there, before its result is
/// known.
class callback_time {
 public:
  explicit callback_time(thread_call& c) noexcept : call_{c}, home_{*loop::current()} {
    call_.disown(home_);
  }
  ~callback_time() { call_.owe(home_); }
  callback_time(const callback_time&) = delete;
  callback_time& operator=(const callback_time&) = delete;

 private:
  thread_call& call_;
  loop& home_;
};

// An object, because clang 16 finds no single function in a template with constraints.
struct call_back {
  template <class F, class... Args>
  auto operator()(call_ref call, F fn, Args... args) const -> std::invoke_result_t<F, Args...> {
    const callback_time here{*call};
    return std::invoke(std::move(fn), std::move(args)...);
  }
  template <class F, class... Args>
    requires is_task_v<std::remove_cvref_t<std::invoke_result_t<F, Args...>>>
  auto operator()(call_ref call, F fn, Args... args) const -> std::invoke_result_t<F, Args...> {
    const callback_time here{*call};
    auto t = std::invoke(std::move(fn), std::move(args)...);
    co_return co_await std::move(t);
  }
};

}  // namespace detail

/// What to_thread returns: an operation. It may be moved until it is started.
template <class F>
class [[nodiscard]] to_thread_operation {
  using call = detail::thread_call_of<F>;
  using result = typename call::result;

 public:
  to_thread_operation(detail::call_executor& e, F f) : call_{new call{e, std::move(f)}} {}

  /// On cancel the call is left to itself: the wait ends at once, and the result is dropped.
  to_thread_operation abandon_on_cancel() && noexcept {
    call_->abandon = true;
    return std::move(*this);
  }
  /// Waits for a permit first; it is given back when the call has really ended, abandoned or not,
  /// so `limiter` must outlive it. A cancelled wait for the permit has done nothing. Of a
  /// capacity_limiter the party that waits is the borrower: misuse if it has borrowed already.
  task<result> limited_by(semaphore& limiter) && { return limited(std::move(*this), limiter); }
  task<result> limited_by(capacity_limiter& limiter) && {
    return limited(std::move(*this), limiter);
  }

  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    call_->begin(w);
    if (w.home() == nullptr) call_->executor().help(w);
    return true;
  }
  result await_resume() { return call_->take(); }

 private:
  template <class Limiter>
  static task<result> limited(to_thread_operation op, Limiter& limiter) {
    op.call_->permit = co_await limiter.permit();
    if constexpr (std::is_void_v<result>) {
      co_await op;
    } else {
      auto value = co_await op;
      co_return std::move(value);
    }
  }
  std::unique_ptr<call, detail::release_call> call_;
};

/// Calls `f` on a thread of the shared crew; the operation results in what it returns or throws.
template <class F>
to_thread_operation<std::decay_t<F>> to_thread(F&& f) {
  return {detail::call_executor::crew(), std::forward<F>(f)};
}

/// Throws `cancelled` if the code that calls it has been cancelled, in every model: for long
/// computations on a thread, between two waits.
inline void check_cancelled() { context::current().checkpoint(); }

/// In the code of a to_thread: calls `fn(args...)` on the loop of who waits for it (a task or a
/// fiber, as call_on) and gives its result. Throws `cancelled` if nobody waits any more, misuse
/// outside such code, and loop_not_running if a plain thread waits.
template <class F, class... Args>
auto from_thread(F&& fn, Args&&... args) -> typename detail::spawned<F, Args...>::value_type {
  using value_type = typename detail::spawned<F, Args...>::value_type;
  detail::thread_call& call = detail::thread_call::current("from_thread");
  check_cancelled();
  joinable<value_type> handle;
  const bool sent = call.to_origin([&](loop& home) {
    call.retain();
    handle = spawn_on(home, detail::call_back{}, detail::call_ref{&call}, std::forward<F>(fn),
                      std::forward<Args>(args)...);
  });
  if (!sent) throw cancelled{};
  return await_owned(handle);
}

}  // namespace oneloop::inline v0
