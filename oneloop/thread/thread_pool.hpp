// A pool of threads for calls that block or compute: submit gives a future, map the results of many
// calls in order.
//
//     oneloop::thread_pool pool{20};
//     oneloop::future<page> f = pool.submit(fetch, url);
//     for (page p : pool.map(fetch, urls)) use(p);
//     page x = f.result();                              // co_await f in a coroutine
//
// Threads are started when a job is submitted and none is idle, up to the limit, and stay until the
// pool ends. Jobs run in the order in which they were submitted. Each is a party of its own: it has
// the task-locals of whoever submitted it, may `await` (its thread parks; for a task it drives a
// loop), and can be cancelled (future::interrupt). A coroutine is a job too.
//
// The end: `shutdown` accepts no more, lets everything run to its end and waits for it, as Python's
// `with ThreadPoolExecutor()` does at the end of its block. The *destructor* does not wait for what
// has no end: it cancels what has not begun, cancels the code that runs at its next wait, and waits
// for that, for `grace` (5 s) at most; then it leaves the rest to itself and says so in the log. So
// a program with a pool always ends.
//
// *Threads*: every member from any thread; the destructor where nobody uses the pool any more, and
// not on one of its own threads.
// *Errors*: what a job throws is its future's. submit throws closed_error after the end,
// broken_pool if the initializer has failed, error if not a single thread can be started.
// *Cost*: two allocations a job, a lock to submit it and one to take it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/blocking_pool.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/thread/future.hpp"
#include "oneloop/thread/future_job.hpp"

namespace oneloop::inline v0 {

/// The initializer of a pool's threads has failed: what had not begun fails with it, and nothing
/// more is accepted.
class ONELOOP_API broken_pool : public error {
 public:
  explicit broken_pool(std::string_view what);
};

/// What a pool starts with. Setters chain: `thread_pool_options{}.name("fetch").grace(1s)`.
class thread_pool_options {
 public:
  /// The threads are called "name-0", "name-1"...; the system keeps 15 characters.
  thread_pool_options& name(std::string n) {
    name_ = std::move(n);
    return *this;
  }
  /// Called first on each thread. If it throws, the pool is broken.
  thread_pool_options& initializer(std::function<void()> f) {
    initializer_ = std::move(f);
    return *this;
  }
  /// How long the destructor waits for jobs that run.
  thread_pool_options& grace(duration d) noexcept {
    grace_ = d;
    return *this;
  }

 private:
  friend class thread_pool;
  std::string name_ = "pool";
  std::function<void()> initializer_;
  duration grace_ = std::chrono::seconds{5};
};

template <class T>
class map_results;

class ONELOOP_API thread_pool {
 public:
  /// As many threads as Python's: four more than this process may use cores at once, at most 32.
  thread_pool();
  explicit thread_pool(std::size_t threads, thread_pool_options options = {});
  ~thread_pool();
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  /// Queues the call `fn(args...)`, which are moved or copied (std::ref passes a reference).
  template <class F, class... Args>
  auto submit(F&& fn, Args&&... args)
      -> future<typename detail::submitted<F, Args...>::value_type> {
    detail::submitted<F, Args...> call{"a job", std::forward<F>(fn), std::forward<Args>(args)...};
    future result{*call.state.get()};
    add(std::move(call.job));
    return result;
  }

  /// Submits fn(x, y...) for all elements of the ranges, side by side until the shortest ends, and
  /// gives a range of the results in that order. Whatever has not begun when that range dies is
  /// cancelled. With `timeout`, which counts from this call, waiting for a result throws
  /// timeout_error.
  template <class F, std::ranges::input_range... Rs>
    requires(sizeof...(Rs) > 0 && std::invocable<F&, std::ranges::range_reference_t<Rs>...>)
  auto map(F fn, Rs&&... ranges) {
    return map_until(never, std::move(fn), std::forward<Rs>(ranges)...);
  }
  template <class F, std::ranges::input_range... Rs>
    requires(sizeof...(Rs) > 0 && std::invocable<F&, std::ranges::range_reference_t<Rs>...>)
  auto map(duration timeout, F fn, Rs&&... ranges) {
    return map_until(after(loop::now_here(), timeout), std::move(fn), std::forward<Rs>(ranges)...);
  }

  /// Accepts no more jobs. `cancel_futures`: those that have not begun are cancelled. `wait`: until
  /// all threads have ended; in a thread or a fiber (a coroutine awaits `ended`). Idempotent.
  void shutdown(bool wait = true, bool cancel_futures = false);
  /// An operation: until all threads of a pool that was shut down have ended.
  [[nodiscard]] event::wait_operation ended() noexcept;
  [[nodiscard]] blocking_pool_statistics statistics() const;

 private:
  struct core;
  void add(std::unique_ptr<blocking_job> job);
  template <class F, class... Rs>
  auto map_until(time_point deadline, F fn, Rs&&... ranges) {
    using value_type =
        typename detail::submitted<F&, std::ranges::range_reference_t<Rs>...>::value_type;
    map_results<value_type> results{deadline};
    auto step = [&](auto... at) {
      for (; ((at.first != at.second) && ...); (++at.first, ...)) {
        results.add(submit(fn, *at.first...));
      }
    };
    step(std::pair{std::ranges::begin(ranges), std::ranges::end(ranges)}...);
    return results;
  }
  std::shared_ptr<core> core_;
};

/// What thread_pool::map gives: an input range, for a thread or a fiber. Of calls without a result
/// its elements are std::monostate.
template <class T>
class map_results {
 public:
  using value_type = detail::gathered_t<T>;
  map_results(map_results&&) noexcept = default;
  map_results& operator=(map_results&&) = delete;
  ~map_results() {
    for (auto& f : left_) f.cancel();
  }

  /// The next result, or what its call threw; nothing after the last.
  std::optional<value_type> next() {
    if (left_.empty()) return std::nullopt;
    if (deadline_ == never || left_.front().done()) {
      await(left_.front().finished());
    } else {
      await(fail_after(deadline_ - loop::now_here(), left_.front().finished()));
    }
    const future<T> f = std::move(left_.front());
    left_.pop_front();
    if constexpr (std::is_void_v<T>) {
      f.result();
      return value_type{};
    } else {
      return f.result();
    }
  }

  class iterator {
   public:
    using value_type = map_results::value_type;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    explicit iterator(map_results& owner) : owner_{&owner} { ++*this; }
    value_type& operator*() const { return *now_; }
    iterator& operator++() {
      now_ = owner_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return !i.now_; }

   private:
    map_results* owner_ = nullptr;
    mutable std::optional<value_type> now_;
  };
  iterator begin() { return iterator{*this}; }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend class thread_pool;
  explicit map_results(time_point deadline) noexcept : deadline_{deadline} {}
  void add(future<T> f) { left_.push_back(std::move(f)); }
  time_point deadline_;
  std::deque<future<T>> left_;
};

}  // namespace oneloop::inline v0
