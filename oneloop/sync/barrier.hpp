// A barrier: a number of parties meet there; none goes on before all have come. Then it is ready
// for the next round.
//
//     oneloop::barrier round{4};
//     for (;;) {
//       compute(my_part);
//       if (co_await round.wait() == 0) swap_buffers();   // one of the four, each round
//       co_await round.wait();
//     }
//
// *Cancellation*: a cancelled wait leaves as if it had never come; the others wait on for somebody
// in its place. Where they should not, call abort() (Python's threads do that by themselves).
//
// *Errors*: wait() throws broken_barrier once the barrier is aborted, and when it is reset while it
// waits.
//
// *Threads*: every member from any thread, loop or model. It must outlive every operation on it. A
// wait is no case of a select: all that meet go on together or not at all.
//
// *Cost*: a lock an arrival, a hand-over a party; no allocation. 48 bytes.
#pragma once

#include <cstddef>

#include "oneloop/base/error.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

/// The barrier was aborted, or reset under those who waited. Its code is errc::closed.
class ONELOOP_API broken_barrier : public error {
 public:
  explicit broken_barrier(std::string_view operation);
};

/// What barrier::statistics reports.
struct barrier_statistics {
  std::size_t parties;
  std::size_t waiting;
  bool broken;
};

class barrier {
 public:
  class wait_operation : public parking_operation<wait_operation, barrier> {
   public:
    static constexpr const char* name = "barrier.wait";
    /// A number below `parties()`, another one for each that met: in the order of their coming.
    std::size_t await_resume() const {
      if (broken_) throw broken_barrier{name};
      return index_;
    }
    enlisted enlist(waiter&) = delete;  // no case of a select

   private:
    friend class barrier;
    template <class, class>
    friend class parking_operation;
    using parking_operation::parking_operation;
    ONELOOP_API enlisted attempt(waiter* w) noexcept;
    void unparked() noexcept { --owner().arrived_; }
    bool broken_ = false;
    std::size_t index_ = 0;
  };

  /// Throws misuse if `parties` is 0.
  ONELOOP_API explicit barrier(std::size_t parties);
  barrier(const barrier&) = delete;
  barrier& operator=(const barrier&) = delete;

  /// Until `parties()` have come. Result: the index in the round.
  [[nodiscard]] wait_operation wait() noexcept { return wait_operation{*this}; }
  /// Breaks it: whoever waits, and whoever will, gets broken_barrier, until `reset`.
  ONELOOP_API void abort() noexcept;
  /// As new. Whoever waits gets broken_barrier.
  ONELOOP_API void reset() noexcept;

  [[nodiscard]] std::size_t parties() const noexcept { return parties_; }
  [[nodiscard]] bool broken() const noexcept { return statistics().broken; }
  [[nodiscard]] barrier_statistics statistics() const noexcept {
    std::scoped_lock hold{lock_};
    return {parties_, arrived_, broken_};
  }

 private:
  template <class, class>
  friend class parking_operation;
  void break_all(bool stays_broken) noexcept;

  mutable short_mutex lock_;
  bool broken_ = false;
  const std::size_t parties_;
  std::size_t arrived_ = 0;              // how many are in the lot
  parking_lot<wait_operation> waiting_;  // nobody here is in a select: each can be claimed
};

}  // namespace oneloop::inline v0
