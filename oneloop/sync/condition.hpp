// A condition: parties that hold a mutex wait until another one says that what the mutex guards has
// changed.
//
//     oneloop::mutex m;
//     oneloop::condition changed;
//     // whoever waits                                        // whoever changes
//     auto guard = co_await m.lock();                          auto guard = co_await m.lock();
//     co_await changed.wait_until(guard, [&] { return n > 0; });   ++n;
//     --n;                                                     changed.notify();
//
// A wait unlocks, waits, and locks again before it ends, whatever way it ends. Who is notified goes
// from this queue to the mutex's, in order, and is woken when it has the lock. There are no
// wake-ups without a notify; but another party may have been there first, so look again at what you
// wait for: wait_until does.
//
// *Cancellation*: a wait that is cancelled locks again before it throws, however long that takes;
// nothing of a notify is spent on it. One that was notified before the cancel came has happened: it
// returns with the lock, and the next checkpoint throws. If its party dies in between, the notify
// goes to the next in line.
//
// *Threads*: every member from any thread, loop or model; notify with the lock or without. All who
// wait at one time must use the same mutex. It must outlive every operation on it. A wait is no
// case of a select: it has to lock again.
//
// *Cost*: a lock to wait and to notify, and what the mutex costs; no allocation. 32 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <utility>

#include "oneloop/scope/await.hpp"
#include "oneloop/sync/continued_wait.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

/// What condition::statistics reports.
struct condition_statistics {
  std::size_t waiting;  // not those that were notified and wait for the lock
};

class condition {
 public:
  /// What `wait` returns. If it is destroyed in the middle of the wait, the guard stays empty.
  class ONELOOP_API wait_operation : public parked {
   public:
    wait_operation(wait_operation&& o) noexcept
        : parked{static_cast<parked&&>(o)}, owner_{o.owner_}, guard_{o.guard_} {}
    wait_operation& operator=(wait_operation&&) = delete;
    ~wait_operation();

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    /// Throws misuse if the guard holds nothing, or others wait with another mutex.
    bool await_suspend(waiter& w);
    void await_resume() noexcept;

   protected:
    friend class condition;
    wait_operation(condition& c, mutex_guard& g) noexcept : owner_{&c}, guard_{&g} {}

    [[nodiscard]] condition& owner() const noexcept { return *owner_; }
    [[nodiscard]] mutex_guard& guard() const noexcept { return *guard_; }

   private:
    friend class parking_lot<wait_operation>;
    // Written under the condition's lock. locking: claimed, and on its way to the mutex.
    enum class step : std::uint8_t { none, waiting, locking };
    static const operation_info info;
    static void cancel(void* op, waiter& w) noexcept;
    static lock_wait held_up_by(const void* op);
    void lock_again() noexcept;
    static void resume_locked(ready_item& item) noexcept;

    condition* owner_;
    mutex_guard* guard_;
    step step_ = step::none;
    waiter::run_fn resume_ = nullptr;
    std::optional<mutex::lock_operation> relock_;
  };
  template <class Predicate>
  class wait_until_operation;

  condition() noexcept = default;
  condition(const condition&) = delete;
  condition& operator=(const condition&) = delete;

  /// Until notified. `guard` must hold a mutex and stay where it is; meanwhile it is empty.
  [[nodiscard]] wait_operation wait(mutex_guard& guard) noexcept { return {*this, guard}; }
  /// Until holds() is true, which is called with the lock held, on the party's loop or thread, and
  /// must not wait: before the first wait and after each notify. Throws what it throws.
  template <class Predicate>
  [[nodiscard]] wait_until_operation<Predicate> wait_until(mutex_guard& guard, Predicate holds) {
    return {*this, guard, std::move(holds)};
  }

  /// Wakes the `n` that have waited longest, or all if there are fewer: how many. Later waits are
  /// not affected: a notify is not kept.
  ONELOOP_API std::size_t notify(std::size_t n = 1) noexcept;
  std::size_t notify_all() noexcept { return notify(std::numeric_limits<std::size_t>::max()); }

  /// Walks the queue under the lock.
  [[nodiscard]] condition_statistics statistics() const noexcept {
    std::scoped_lock hold{lock_};
    return {waiting_.size()};
  }

 private:
  mutable short_mutex lock_;
  mutex* mutex_ = nullptr;  // of those who wait
  parking_lot<wait_operation> waiting_;
};

template <class Predicate>
class condition::wait_until_operation
    : public continued_wait<wait_until_operation<Predicate>, wait_operation> {
  using steps = continued_wait<wait_until_operation<Predicate>, wait_operation>;

 public:
  bool await_suspend(waiter& w) {
    if (!this->guard()) throw misuse{"condition.wait_until: the guard holds no lock"};
    if (holds_()) return false;
    wait_operation::await_suspend(w);
    return this->suspended(w);
  }
  void await_resume() {
    if (this->unfinished()) {  // a plain thread or a fiber
      wait_operation::await_resume();
      while (!holds_()) await(this->owner().wait(this->guard()));
    }
    if (failure_) std::rethrow_exception(std::move(failure_));
  }

 private:
  friend class condition;
  friend steps;
  wait_until_operation(condition& c, mutex_guard& g, Predicate&& holds)
      : steps{wait_operation{c, g}}, holds_(std::move(holds)) {}

  bool next_step(waiter& w) noexcept {
    wait_operation::await_resume();
    try {
      if (holds_() || steps::cancelled_meanwhile(w)) return false;
      wait_operation::await_suspend(w);
      return this->suspended(w);
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
  }

  Predicate holds_;
  std::exception_ptr failure_;
};

}  // namespace oneloop::inline v0
