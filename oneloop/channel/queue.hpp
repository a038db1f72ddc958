// A queue for work, as Python's JoinableQueue: a channel that also counts what has been
// taken but not finished, so that somebody can wait until all of it is done.
//
//     oneloop::queue<job> q{100};            // or q{unbounded}
//     auto j = co_await q.get();             // in the loop of any number of workers; nullopt: end
//     work(*j), q.task_done();
//     co_await q.put(next_job);              // any number of producers
//     co_await q.join();                     // all that was put is done
//     q.shutdown();                          // the workers get nullopt
//
// First in, first out. lifo_queue and priority_queue are the same in another order. Producers and
// consumers may be threads, fibers, coroutines and callbacks at once, on any loops: what janus has
// two sides for.
//
// *Cancellation*: a cancelled put put nothing, and its value is still in the operation; a cancelled
// get took nothing; a cancelled join changes nothing.
//
// *Threads*: every member from any thread, loop or model. The queue must outlive every operation on
// it.
//
// *Cost*: as channel: one lock an operation; with a capacity no allocation after construction.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "oneloop/channel/conduit.hpp"

namespace oneloop::inline v0 {

/// What queue::statistics reports.
struct queue_statistics {
  std::size_t capacity;
  std::size_t size;
  std::size_t waiting_puts;
  std::size_t waiting_gets;
  std::size_t waiting_joins;
  std::uint64_t unfinished;
  bool closed;
};

namespace detail {
struct queue_names {
  static constexpr const char* send = "queue.put";
  static constexpr const char* receive = "queue.get";
};
/// Throws misuse if it is 0.
ONELOOP_API std::size_t queue_capacity(std::size_t capacity);
[[noreturn]] ONELOOP_API void throw_done_too_often();
}  // namespace detail

/// What the three queues have in common; `Store`: see conduit.
template <class T, class Store>
class basic_queue : private conduit<T, detail::queue_names, Store> {
  using base = conduit<T, detail::queue_names, Store>;

 public:
  using value_type = T;
  using put_operation = typename base::send_operation;
  using get_operation = typename base::receive_operation;

  class join_operation : public parking_operation<join_operation, basic_queue> {
   public:
    static constexpr const char* name = "queue.join";
    void await_resume() const noexcept {}

   private:
    friend class basic_queue;
    template <class, class>
    friend class parking_operation;
    using parking_operation<join_operation, basic_queue>::parking_operation;
    enlisted attempt(waiter* w) noexcept {
      basic_queue& q = this->owner();
      std::scoped_lock hold{q.lock_};
      if (q.done_ != q.accepted_) {
        if (w != nullptr) q.joining_.park(*this, *w);
        return enlisted::waiting;
      }
      if (!parked::commit(w)) return enlisted::lost;
      this->set_done();
      return enlisted::completed;
    }
  };

  /// Throws misuse if `capacity` is 0.
  explicit basic_queue(std::size_t capacity)
      : base{detail::queue_capacity(capacity)}, capacity_{capacity} {}
  /// Puts never wait: see `unbounded`.
  explicit basic_queue(unbounded_t u) : base{u}, capacity_{unlimited} {}
  /// With the order of a priority_queue.
  template <class Order>
  basic_queue(std::size_t capacity, Order order)
      : base{Store{detail::queue_capacity(capacity), std::move(order)}}, capacity_{capacity} {}
  template <class Order>
  basic_queue(unbounded_t u, Order order)
      : base{Store{u, std::move(order)}}, capacity_{unlimited} {}

  /// Until there is room. Result: nothing. Throws closed_error if the queue is shut down, or is
  /// shut down while this waits. A value that was not put stays in the operation: `value()`.
  [[nodiscard]] put_operation put(T value) noexcept { return base::send(std::move(value)); }
  /// Until there is something. Result: std::optional<T>; nullopt when the queue is shut down and
  /// empty. Call `task_done` when the work on it is finished.
  [[nodiscard]] get_operation get() noexcept { return base::receive(); }

  /// Never waits. False, and `value` untouched, if the queue is full. Throws closed_error, `value`
  /// untouched, if it is shut down.
  [[nodiscard]] bool try_put(T&& value) { return base::try_send(value); }
  [[nodiscard]] bool try_put(const T& value) {
    T copy(value);
    return base::try_send(copy);
  }
  /// Never waits. nullopt: nothing is there now.
  [[nodiscard]] std::optional<T> try_get() noexcept { return base::try_receive(); }

  /// One thing that was taken is finished. Throws misuse if it is called more often than something
  /// was put.
  void task_done();
  /// Until everything that was put is finished: also what nobody has taken yet.
  [[nodiscard]] join_operation join() noexcept { return join_operation{*this}; }

  /// No more puts; gets take what is left, and then nullopt. `immediate`: what is left is dropped
  /// and counts as finished. May be called again, also to make it immediate.
  void shutdown(bool immediate = false);

  [[nodiscard]] bool closed() const noexcept {
    std::scoped_lock hold{this->lock_};
    return this->closed_;
  }
  [[nodiscard]] std::size_t size() const noexcept {
    std::scoped_lock hold{this->lock_};
    return this->ring_.size();
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  /// A consistent snapshot. Walks the queues under the lock.
  [[nodiscard]] queue_statistics statistics() const noexcept {
    std::scoped_lock hold{this->lock_};
    return {
        capacity_,       this->ring_.size(),      this->senders_.size(), this->receivers_.size(),
        joining_.size(), this->accepted_ - done_, this->closed_};
  }

 private:
  template <class, class>
  friend class parking_operation;

  /// Under the lock: `n` more are finished.
  void finish(std::uint64_t n, wake_list& woken) noexcept {
    done_ += n;
    if (done_ != this->accepted_) return;
    while (join_operation* j = joining_.take()) woken.add(*j);
  }

  const std::size_t capacity_;
  std::uint64_t done_ = 0;
  parking_lot<join_operation> joining_;
};

template <class T>
class queue : public basic_queue<T, ring<T>> {
 public:
  using basic_queue<T, ring<T>>::basic_queue;
};

template <class T, class Store>
void basic_queue<T, Store>::task_done() {
  wake_list woken;
  {
    std::scoped_lock hold{this->lock_};
    if (done_ == this->accepted_) detail::throw_done_too_often();
    finish(1, woken);
  }
  woken.wake_all();
}

template <class T, class Store>
void basic_queue<T, Store>::shutdown(bool immediate) {
  wake_list woken;
  std::optional<Store> dropped;  // dies after the lock: destructors are the user's code
  {
    std::scoped_lock hold{this->lock_};
    this->close_locked(woken);
    if (immediate) {
      dropped.emplace(std::move(this->ring_));
      const std::uint64_t unfinished = this->accepted_ - done_;
      finish(std::min<std::uint64_t>(dropped->size(), unfinished), woken);
    }
  }
  woken.wake_all();
}

}  // namespace oneloop::inline v0
