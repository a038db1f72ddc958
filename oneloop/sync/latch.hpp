// A latch: a number that only goes down. Whoever waits for it goes on when it has come to zero.
//
//     oneloop::latch ready{3};
//     // each of three            // any number of others
//     ready.count_down();         co_await ready.wait();
//
// It is used once. For parties that meet again and again, see barrier; for work that grows
// meanwhile, queue's task_done and join, or a nursery.
//
// *Cancellation*: a cancelled wait had no effect.
//
// *Threads*: every member from any thread, loop or model. It must outlive every operation on it; it
// may be destroyed as soon as all waits for it have returned, and the count_down that ended them
// need not have.
//
// *Cost*: as event. 32 bytes.
#pragma once

#include <cstddef>

#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

/// What latch::statistics reports.
struct latch_statistics {
  std::size_t count;
  std::size_t waiting;
};

class latch {
 public:
  class wait_operation : public parking_operation<wait_operation, latch> {
   public:
    static constexpr const char* name = "latch.wait";
    void await_resume() const noexcept {}

   private:
    friend class latch;
    template <class, class>
    friend class parking_operation;
    using parking_operation::parking_operation;
    enlisted attempt(waiter* w) noexcept;
  };

  explicit latch(std::size_t count) noexcept : count_{count} {}
  latch(const latch&) = delete;
  latch& operator=(const latch&) = delete;

  /// Throws misuse, without effect, if that is more than is left.
  ONELOOP_API void count_down(std::size_t n = 1);
  /// Until it has come to zero. Result: nothing. Never throws but `cancelled`.
  [[nodiscard]] wait_operation wait() noexcept { return wait_operation{*this}; }
  /// A look without waiting.
  [[nodiscard]] bool try_wait() const noexcept { return statistics().count == 0; }
  /// A consistent snapshot. Walks the queue under the lock.
  [[nodiscard]] latch_statistics statistics() const noexcept {
    std::scoped_lock hold{lock_};
    return {count_, waiting_.size()};
  }

 private:
  template <class, class>
  friend class parking_operation;
  mutable short_mutex lock_;
  std::size_t count_;
  parking_lot<wait_operation> waiting_;
};

inline enlisted latch::wait_operation::attempt(waiter* w) noexcept {
  latch& l = owner();
  std::scoped_lock hold{l.lock_};
  if (l.count_ != 0) {
    if (w != nullptr) l.waiting_.park(*this, *w);
    return enlisted::waiting;
  }
  if (!commit(w)) return enlisted::lost;
  set_done();
  return enlisted::completed;
}

}  // namespace oneloop::inline v0
