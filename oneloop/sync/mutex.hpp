// A mutex that any party can wait for without stopping its thread. First come, first served.
//
//     oneloop::mutex m;
//     {
//       auto guard = co_await m.lock();   // a fiber or a thread: await(m.lock())
//       balance += amount;                // may wait in here: other parties queue, loops go on
//     }                                   // the guard unlocks
//
// For a few instructions without waiting, short_mutex or std::mutex is cheaper. FIFO hand-over
// across threads makes convoys: a contended lock costs a wake-up of the next loop a section. So the
// fast path is open only while nobody is queued, and keep sections short.
//
// *Cancellation*: a cancelled lock() does not hold the mutex and never did. If it was handed over
// before the cancel came, it is delivered; nobody's turn is lost.
//
// *Threads*: every member from any thread, loop or model. It may be unlocked by another party than
// the one that locked it. It may be destroyed by whoever holds it, if nobody waits for it.
//
// *Deadlocks*: a name, `mutex m{"accounts"}`, is shown by loop::dump() and by the reports of
// ONELOOP_DEBUG=1, which name the cycle of who holds what and waits for what. The holder is who
// locked it, also when the guard has gone to somebody else.
//
// *Cost*: uncontended one compare-and-swap to lock and one to unlock, no allocation. 40 bytes.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "oneloop/scope/context.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

class mutex;

/// Holds a mutex, or nothing. Unlocks when it dies. Move-only, may be moved to another party.
class [[nodiscard]] mutex_guard {
 public:
  mutex_guard() noexcept = default;
  mutex_guard(mutex_guard&& o) noexcept : mutex_{std::exchange(o.mutex_, nullptr)} {}
  mutex_guard& operator=(mutex_guard&& o) noexcept {
    mutex_guard old{std::move(*this)};
    mutex_ = std::exchange(o.mutex_, nullptr);
    return *this;
  }
  ~mutex_guard() { unlock(); }

  /// Whether it holds a mutex.
  explicit operator bool() const noexcept { return mutex_ != nullptr; }
  /// Unlocks now. Nothing happens if it holds nothing.
  void unlock() noexcept;
  /// Lets go without unlocking: somebody must call mutex::unlock.
  mutex* release() noexcept { return std::exchange(mutex_, nullptr); }
  /// The contrary: for a mutex that is locked, and that nobody else will unlock.
  static mutex_guard adopt(mutex& m) noexcept { return mutex_guard{m}; }

 private:
  friend class mutex;
  explicit mutex_guard(mutex& m) noexcept : mutex_{&m} {}
  mutex* mutex_ = nullptr;
};

/// What mutex::statistics reports.
struct mutex_statistics {
  bool locked;
  std::size_t waiting;
};

class mutex {
 public:
  class lock_operation : public parking_operation<lock_operation, mutex> {
   public:
    static constexpr const char* name = "mutex.lock";
    lock_operation(lock_operation&&) noexcept = default;
    /// A lock that was granted but never picked up is passed on.
    ~lock_operation() {
      if (!won()) return;
      picked_up();
      owner().unlock_held();
    }
    mutex_guard await_resume() noexcept {
      picked_up();
      set_idle();
      return mutex_guard{owner()};
    }
    [[nodiscard]] std::string describe() const { return owner().label(); }
    [[nodiscard]] lock_wait held_up_by() const noexcept {
      const mutex& m = owner();
      return {&m, m.name_, m.holder_.load(std::memory_order_acquire)};
    }

   private:
    friend class mutex;
    template <class, class>
    friend class parking_operation;
    using parking_operation::parking_operation;
    enlisted attempt(waiter* w) noexcept;
  };

  /// `name` is for dumps and must outlive the mutex (use a literal); null: none.
  explicit mutex(const char* name = nullptr) noexcept : name_{name} {}
  mutex(const mutex&) = delete;
  mutex& operator=(const mutex&) = delete;

  /// Until it is this party's turn. Result: a mutex_guard. Not recursive: a party that locks twice
  /// waits for itself.
  [[nodiscard]] lock_operation lock() noexcept { return lock_operation{*this}; }
  /// Never waits. The guard is empty if the mutex is held.
  [[nodiscard]] mutex_guard try_lock() noexcept {
    if (!take_free()) return {};
    held_by_caller();
    return mutex_guard{*this};
  }
  /// For a lock whose guard was released: hands over to the party that has waited longest. From any
  /// party. Throws misuse if the mutex is not locked.
  void unlock();

  /// Null if it has none.
  [[nodiscard]] const char* name() const noexcept { return name_; }
  [[nodiscard]] bool locked() const noexcept {
    return word_.load(std::memory_order_relaxed) != free;
  }
  /// Walks the queue under the lock.
  [[nodiscard]] mutex_statistics statistics() const noexcept;

 private:
  friend class mutex_guard;
  template <class, class>
  friend class parking_operation;

  bool take_free() noexcept {
    std::uint32_t expected = free;
    return word_.compare_exchange_strong(expected, held, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  bool give_back() noexcept {
    std::uint32_t expected = held;
    return word_.compare_exchange_strong(expected, free, std::memory_order_release,
                                         std::memory_order_relaxed);
  }
  void unlock_held() noexcept {
    holder_.store(0, std::memory_order_relaxed);
    if (!give_back()) hand_over();
  }
  /// By a try. To find out who that is costs more than the lock.
  void held_by_caller() noexcept {
    const lock_watch* watch = lock_watcher.load(std::memory_order_relaxed);
    if (watch != nullptr) [[unlikely]]
      holder_.store(watch->current(), std::memory_order_relaxed);
  }
  [[nodiscard]] std::string label() const { return name_ != nullptr ? name_ : ""; }
  ONELOOP_API void hand_over() noexcept;

  // free -> held: anybody, without the lock. held -> free: the holder, without the lock, and then
  // the last thing it does with the mutex. held -> queued: whoever is about to park, under lock_.
  // queued is left under lock_ only: so whoever sees it may rely on the queue.
  static constexpr std::uint32_t free = 0, held = 1, queued = 2;
  std_atomics::atomic<std::uint32_t> word_{free};
  mutable short_mutex lock_;
  parking_lot<lock_operation> waiting_;
  // For those who look for deadlocks: who locked it; 0 while it is free, and if that is not known.
  // (Not std_atomics: the lock does not depend on it.)
  std::atomic<party_id> holder_{0};
  const char* name_;
};

inline void mutex_guard::unlock() noexcept {
  if (mutex_ != nullptr) std::exchange(mutex_, nullptr)->unlock_held();
}

inline enlisted mutex::lock_operation::attempt(waiter* w) noexcept {
  mutex& m = owner();
  if (!m.take_free()) {
    if (w == nullptr) return enlisted::waiting;
    std::scoped_lock hold{m.lock_};
    for (;;) {
      std::uint32_t state = m.word_.load(std::memory_order_relaxed);
      if (state == free) {
        if (m.take_free()) break;
      } else if (state == queued ||
                 m.word_.compare_exchange_strong(state, queued, std::memory_order_relaxed)) {
        m.waiting_.park(*this, *w);
        return enlisted::waiting;
      }
    }
  }
  // A select takes the mutex first and then asks whether it still may: nobody else could give back.
  if (!commit(w)) {
    m.unlock_held();
    return enlisted::lost;
  }
  if (w == nullptr) {
    m.held_by_caller();
  } else {
    m.holder_.store(party_of(*w), std::memory_order_relaxed);
  }
  set_done();
  return enlisted::completed;
}

inline mutex_statistics mutex::statistics() const noexcept {
  std::scoped_lock hold{lock_};
  return {locked(), waiting_.size()};
}

}  // namespace oneloop::inline v0
