// Computations on all cores: a work-stealing pool, and calls on it for every kind of waiter.
//
//     double d = co_await oneloop::on_pool([&] { return determinant(m); });
//
//     long fib(int n) {                                     // fork and join
//       if (n < 20) return fib_sequential(n);
//       auto a = stealing_pool::shared().start(fib, n - 1);
//       const long b = fib(n - 2);
//       return await(a) + b;
//     }
//
// The shared pool has a thread for each core that the process may use (set_pool_threads changes
// that before its first use); it starts them with the first job. Each has a deque of its own: what
// a job starts goes to the near end of it, and a thread without work takes from the far end of
// another's.
//
// It is for code that computes. The thread of a job that waits for an on_pool, or for a future of
// `start`, carries out other jobs meanwhile, on the same stack; so do not hold a lock over such a
// wait. The thread of a job that awaits anything else lends its place to another one, which is
// started if need be (up to 256 more); blocking calls that are no `await` belong in to_thread.
//
// A job is a party of its own, as in to_thread: it has task-locals, can be told of cancellation
// (check_cancelled) and call back (from_thread).
//
// *Cancellation* of on_pool: as to_thread; abandon_on_cancel and limited_by are there too.
// *Errors*: what the code throws is rethrown; closed_error if the pool ends before it has begun.
// *The end*: a stealing_pool's destructor refuses what has not begun, tells the code that runs, and
// waits for it, for 5 s at most; then it leaves it to itself and says so in the log. Nothing waits
// for the shared pool when the program ends.
// *Threads*: every member from any thread.
// *Cost*: one allocation an on_pool, two a start; a few atomic operations to push, pop and steal.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/thread/future.hpp"
#include "oneloop/thread/future_job.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0 {

struct stealing_pool_statistics {
  std::size_t threads = 0;  // started
  std::size_t idle = 0;     // of them, without a job
  std::size_t stolen = 0;   // jobs that another thread carried out than the one that started them
};

class ONELOOP_API stealing_pool {
 public:
  /// As many threads as this process may use cores at once. None is started yet.
  stealing_pool();
  explicit stealing_pool(std::size_t threads, std::string name = "on_pool");
  ~stealing_pool();
  stealing_pool(const stealing_pool&) = delete;
  stealing_pool& operator=(const stealing_pool&) = delete;

  /// The one of the process.
  [[nodiscard]] static stealing_pool& shared();

  /// Queues the call `fn(args...)`, and gives its future. Throws closed_error when the pool ends,
  /// and error if not a single thread can be started.
  template <class F, class... Args>
  auto start(F&& fn, Args&&... args) -> future<typename detail::submitted<F, Args...>::value_type> {
    detail::submitted<F, Args...> call{"a job", std::forward<F>(fn), std::forward<Args>(args)...};
    call.state->control.help = help;
    future result{*call.state.get()};
    push(*call.job);
    static_cast<void>(call.job.release());
    return result;
  }

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] stealing_pool_statistics statistics() const noexcept;

  // ---- for on_pool ----
  [[nodiscard]] detail::call_executor& executor() noexcept;

 private:
  struct core;
  struct worker;
  void push(blocking_job& job);
  static void help(waiter& w);
  std::shared_ptr<core> core_;
};

/// Calls `f` on a thread of the pool; the operation results in what it returns or throws. `pool`
/// must outlive it.
template <class F>
to_thread_operation<std::decay_t<F>> on_pool(stealing_pool& pool, F&& f) {
  return {pool.executor(), std::forward<F>(f)};
}
template <class F>
to_thread_operation<std::decay_t<F>> on_pool(F&& f) {
  return on_pool(stealing_pool::shared(), std::forward<F>(f));
}

/// How many threads the shared pool will have. Throws misuse once it exists.
ONELOOP_API void set_pool_threads(std::size_t threads);

}  // namespace oneloop::inline v0
