// A semaphore: a number of permits; taking one waits until there is one. First come, first served.
//
//     oneloop::semaphore at_most{10};
//     auto permit = co_await at_most.permit();   // given back when `permit` dies
//     co_await fetch(url);
//
//     co_await items.acquire();                  // without a guard: somebody else calls release()
//
// A bounded_semaphore refuses to get more permits than it began with. For permits that belong to
// whoever took them, and for a number that changes, see capacity_limiter.
//
// *Cancellation*: a cancelled acquire took nothing. A permit that was handed over before the cancel
// came is delivered; none is lost.
//
// *Threads*: every member from any thread, loop or model. It must outlive every operation on it.
//
// *Cost*: one lock (two atomic operations) to acquire or release, no allocation. 40 bytes.
#pragma once

#include <cstddef>
#include <limits>
#include <utility>

#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

class semaphore;

/// Holds one permit, or nothing; gives it back when it dies. Move-only.
class [[nodiscard]] semaphore_permit {
 public:
  semaphore_permit() noexcept = default;
  semaphore_permit(semaphore_permit&& o) noexcept
      : semaphore_{std::exchange(o.semaphore_, nullptr)} {}
  semaphore_permit& operator=(semaphore_permit&& o) noexcept {
    semaphore_permit old{std::move(*this)};
    semaphore_ = std::exchange(o.semaphore_, nullptr);
    return *this;
  }
  ~semaphore_permit() { give_back(); }

  explicit operator bool() const noexcept { return semaphore_ != nullptr; }
  /// Gives the permit back now. Nothing happens if it holds none.
  void give_back() noexcept;
  /// Keeps the permit taken: somebody must call semaphore::release.
  semaphore* release() noexcept { return std::exchange(semaphore_, nullptr); }

 private:
  friend class semaphore;
  explicit semaphore_permit(semaphore& s) noexcept : semaphore_{&s} {}
  semaphore* semaphore_ = nullptr;
};

/// What semaphore::statistics reports.
struct semaphore_statistics {
  std::size_t available;
  std::size_t maximum;
  std::size_t waiting;
};

class semaphore {
 public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  class acquire_operation : public parking_operation<acquire_operation, semaphore> {
   public:
    static constexpr const char* name = "semaphore.acquire";
    acquire_operation(acquire_operation&&) noexcept = default;
    /// A permit that was granted but never picked up is passed on.
    ~acquire_operation() {
      if (won()) owner().give(1);
    }
    void await_resume() noexcept { set_idle(); }

   private:
    friend class semaphore;
    template <class, class>
    friend class parking_operation;
    using parking_operation::parking_operation;
    enlisted attempt(waiter* w) noexcept;
  };

  class permit_operation : public acquire_operation {
   public:
    semaphore_permit await_resume() noexcept {
      acquire_operation::await_resume();
      return semaphore_permit{owner()};
    }

   private:
    friend class semaphore;
    explicit permit_operation(acquire_operation&& o) noexcept : acquire_operation{std::move(o)} {}
  };

  /// Throws misuse if `initial` is more than `maximum`.
  ONELOOP_API explicit semaphore(std::size_t initial, std::size_t maximum = unlimited);
  semaphore(const semaphore&) = delete;
  semaphore& operator=(const semaphore&) = delete;

  /// Takes one permit. Result: nothing; give it back with `release`.
  [[nodiscard]] acquire_operation acquire() noexcept { return acquire_operation{*this}; }
  /// Takes one permit. Result: a semaphore_permit that gives it back.
  [[nodiscard]] permit_operation permit() noexcept { return permit_operation{acquire()}; }
  /// Never waits. True if it took a permit.
  [[nodiscard]] bool try_acquire() noexcept;
  /// Never waits. The permit is empty if there was none.
  [[nodiscard]] semaphore_permit try_permit() noexcept {
    return try_acquire() ? semaphore_permit{*this} : semaphore_permit{};
  }

  /// Adds `n` permits; those who wait get them first. From any party. Throws misuse, without having
  /// added any, if there would be more than the maximum.
  ONELOOP_API void release(std::size_t n = 1);

  /// Permits that are free now.
  [[nodiscard]] std::size_t available() const noexcept;
  /// Walks the queue under the lock.
  [[nodiscard]] semaphore_statistics statistics() const noexcept;

 private:
  friend class semaphore_permit;
  template <class, class>
  friend class parking_operation;
  /// False, without effect, if that exceeds the maximum.
  ONELOOP_API bool give(std::size_t n) noexcept;

  mutable short_mutex lock_;
  std::size_t available_;  // not 0 only while nobody waits
  std::size_t maximum_;
  parking_lot<acquire_operation> waiting_;
};

/// A semaphore that never has more permits than at its start: releasing one too many throws misuse,
/// at the place of the error.
class bounded_semaphore : public semaphore {
 public:
  explicit bounded_semaphore(std::size_t permits) : semaphore{permits, permits} {}
};

inline void semaphore_permit::give_back() noexcept {
  if (semaphore_ != nullptr) std::exchange(semaphore_, nullptr)->give(1);
}

inline bool semaphore::try_acquire() noexcept {
  std::scoped_lock hold{lock_};
  if (available_ == 0) return false;
  --available_;
  return true;
}

inline enlisted semaphore::acquire_operation::attempt(waiter* w) noexcept {
  semaphore& s = owner();
  std::scoped_lock hold{s.lock_};
  if (s.available_ == 0) {
    if (w != nullptr) s.waiting_.park(*this, *w);
    return enlisted::waiting;
  }
  if (!commit(w)) return enlisted::lost;
  --s.available_;
  set_done();
  return enlisted::completed;
}

inline std::size_t semaphore::available() const noexcept {
  std::scoped_lock hold{lock_};
  return available_;
}

inline semaphore_statistics semaphore::statistics() const noexcept {
  std::scoped_lock hold{lock_};
  return {available_, maximum_, waiting_.size()};
}

}  // namespace oneloop::inline v0
