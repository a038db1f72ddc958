// An event: a flag that parties wait for. Setting it wakes them all; it stays set until `reset`.
//
//     oneloop::event ready;
//     // one party               // any number of others
//     ready.set();               co_await ready.wait();
//
// *Cancellation*: a cancelled wait had no effect; the event is unchanged.
//
// *Threads*: every member from any thread, loop or model. The event must outlive every operation on
// it; it may be destroyed as soon as all waits for it have returned, and the `set` that ended them
// need not have.
//
// *Cost*: a wait or set is one lock (two atomic operations), set also one hand-over a waiter; no
// allocation. 24 bytes.
#pragma once

#include <atomic>
#include <cstddef>

#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

/// What event::statistics reports.
struct event_statistics {
  bool is_set;
  std::size_t waiting;
};

class event {
 public:
  class wait_operation : public parking_operation<wait_operation, event> {
   public:
    static constexpr const char* name = "event.wait";
    void await_resume() const noexcept {}

   private:
    friend class event;
    template <class, class>
    friend class parking_operation;
    using parking_operation::parking_operation;
    enlisted attempt(waiter* w) noexcept;
  };

  explicit event(bool set = false) noexcept : set_{set} {}
  event(const event&) = delete;
  event& operator=(const event&) = delete;

  /// Wakes everybody who waits, in the order in which they came; later waits finish at once.
  /// Nothing happens if it is set already.
  void set() noexcept;
  /// Later waits wait again. Those that `set` has woken are not affected.
  void reset() noexcept;
  /// A look without waiting. To destroy the event after somebody's last `set`, `wait` for it
  /// instead: true here does not mean that this `set` has returned.
  [[nodiscard]] bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }

  /// Until the event is set. Result: nothing. Never throws but `cancelled`.
  [[nodiscard]] wait_operation wait() noexcept { return wait_operation{*this}; }

  /// A consistent snapshot. Walks the queue under the lock.
  [[nodiscard]] event_statistics statistics() const noexcept;

 private:
  template <class, class>
  friend class parking_operation;
  mutable short_mutex lock_;
  std_atomics::atomic<bool> set_;  // written under lock_
  parking_lot<wait_operation> waiting_;
};

inline enlisted event::wait_operation::attempt(waiter* w) noexcept {
  event& e = owner();
  // Under the lock even if it is set: the setter has left the event then, and it may be destroyed.
  std::scoped_lock hold{e.lock_};
  if (e.set_.load(std::memory_order_relaxed)) {
    if (!commit(w)) return enlisted::lost;
    set_done();
    return enlisted::completed;
  }
  if (w != nullptr) e.waiting_.park(*this, *w);
  return enlisted::waiting;
}

inline void event::set() noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    set_.store(true, std::memory_order_release);
    while (wait_operation* next = waiting_.take()) woken.add(*next);
  }
  woken.wake_all();
}

inline void event::reset() noexcept {
  std::scoped_lock hold{lock_};
  set_.store(false, std::memory_order_release);
}

inline event_statistics event::statistics() const noexcept {
  std::scoped_lock hold{lock_};
  return {set_.load(std::memory_order_relaxed), waiting_.size()};
}

}  // namespace oneloop::inline v0
