// Blocking calls, on threads of their own: an elastic pool that the whole process shares.
//
//     std::string text = co_await oneloop::to_thread([&] { return read_whole_file(path); });
//
// A thread is started when a job is submitted and no thread is idle, up to a limit (64 unless
// set_blocking_threads changes it); further jobs wait in a queue, first come, first served. An idle
// thread ends after 5 seconds. No thread exists before the first job, and nothing happens at exit:
// idle threads just end with the process, a running job is not waited for.
//
// Threads: any waiter, a plain thread too (it parks while the pool works).
// Cancellation: a job that has not started is taken back; one that has started runs to its end, is
// waited for, and its result is delivered.
// Errors: what `f` throws is rethrown to the waiter; error if not a single thread can be started.
// Fork: a forked child starts with an empty pool.
// Cost: two context switches; no allocation but what a new thread takes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

/// One call in the pool. It belongs to the pool from submit until `finished` has been called (or
/// take_back has returned true).
class ONELOOP_API blocking_job : list_hook<> {
 public:
  virtual ~blocking_job() = default;
  /// On a pool thread: the call.
  virtual void execute() noexcept = 0;
  /// On the same thread, afterwards: tells whoever waits. The job may be gone when it returns.
  virtual void finished() noexcept = 0;

 private:
  friend class blocking_pool;
  friend class intrusive_list<blocking_job>;
};

struct blocking_pool_statistics {
  std::size_t threads = 0;  // existing
  std::size_t idle = 0;     // of them, without a job
  std::size_t queued = 0;   // jobs that have not started
  std::size_t limit = 0;
};

/// Queues `job`. Any thread. Throws error if there is no thread and none can be started.
ONELOOP_API void submit_blocking(blocking_job& job);
/// True: the job had not started, and is the caller's again. Any thread.
ONELOOP_API bool take_back_blocking(blocking_job& job) noexcept;
/// At most this many threads (at least 1); those above it end when they become idle. Any thread.
ONELOOP_API void set_blocking_threads(std::size_t limit);
ONELOOP_API blocking_pool_statistics blocking_statistics();

/// The part of to_thread that does not depend on the function.
class ONELOOP_API to_thread_base : public blocking_job {
 public:
  to_thread_base(const to_thread_base&) = delete;
  to_thread_base& operator=(const to_thread_base&) = delete;

  bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w);

 protected:
  to_thread_base() = default;

 private:
  struct arrival : ready_item {
    to_thread_base* owner = nullptr;
  };
  void finished() noexcept final;
  void arrived() noexcept;
  static void cancel(void* op, waiter& w) noexcept;
  static const operation_info info;
  waiter* waiter_ = nullptr;
  arrival arrival_;
};

/// What to_thread returns. It may be moved until it is started.
template <class F>
class to_thread_operation final : public to_thread_base {
  using result = std::invoke_result_t<F&>;
  static_assert(!std::is_reference_v<result>, "to_thread: return a pointer or a value");
  struct nothing {};
  using stored = std::conditional_t<std::is_void_v<result>, nothing, result>;

 public:
  explicit to_thread_operation(F f) : f_{std::move(f)} {}
  to_thread_operation(to_thread_operation&& o) noexcept(std::is_nothrow_move_constructible_v<F>)
      : f_{std::move(o.f_)} {}

  result await_resume() {
    if (error_) std::rethrow_exception(std::move(error_));
    if constexpr (!std::is_void_v<result>) return std::move(*value_);
  }

 private:
  void execute() noexcept override {
    try {
      if constexpr (std::is_void_v<result>) {
        std::invoke(f_);
      } else {
        value_.emplace(std::invoke(f_));
      }
    } catch (...) {
      error_ = std::current_exception();
    }
  }

  F f_;
  std::optional<stored> value_;
  std::exception_ptr error_;
};

/// Calls `f` on a thread of the pool; the operation results in what it returns or throws.
template <class F>
[[nodiscard]] to_thread_operation<std::decay_t<F>> to_thread(F&& f) {
  return to_thread_operation<std::decay_t<F>>{std::forward<F>(f)};
}

}  // namespace oneloop::inline v0
