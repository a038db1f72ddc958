// A capacity limiter: a semaphore that knows who has borrowed, and whose size may change. For "at
// most so many at once": threads, connections, requests to one host.
//
//     oneloop::capacity_limiter at_most{40};
//     auto permit = co_await at_most.permit();     // given back when `permit` dies
//     co_await fetch(url);
//     at_most.set_total(80);                       // at any time, up or down
//
// The borrower is the party, or whatever address the caller names (on behalf of a job, a
// connection): so one that borrows twice, which would soon wait for itself, and one that gives back
// what it has not, are errors where they happen. A callback (defer) is no borrower of its own:
// its permit is only counted.
//
// First come, first served. After set_total to less than is borrowed, nobody gets one until enough
// have been given back.
//
// *Cancellation*: a cancelled acquire borrowed nothing; a permit that was granted before is
// delivered or passed on.
//
// *Threads*: every member from any thread, loop or model. It must outlive every operation on it,
// and every permit.
//
// *Errors*: misuse for the two above. *Cost*: one lock and an entry in a hash set an acquire.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

class capacity_limiter;

/// Who has borrowed: what the caller named, or a party.
struct limiter_borrower {
  const void* who = nullptr;  // null: nobody in particular
  party_id which = 0;         // if it is a party
  bool operator==(const limiter_borrower&) const = default;
};

/// Holds one permit, or nothing; gives it back when it dies. Move-only, may go to another party.
class [[nodiscard]] limiter_permit {
 public:
  limiter_permit() noexcept = default;
  limiter_permit(limiter_permit&& o) noexcept
      : limiter_{std::exchange(o.limiter_, nullptr)}, borrower_{o.borrower_} {}
  limiter_permit& operator=(limiter_permit&& o) noexcept {
    limiter_permit old{std::move(*this)};
    limiter_ = std::exchange(o.limiter_, nullptr);
    borrower_ = o.borrower_;
    return *this;
  }
  ~limiter_permit() { give_back(); }

  explicit operator bool() const noexcept { return limiter_ != nullptr; }
  /// Gives it back now. Nothing happens if it holds none.
  void give_back() noexcept;
  /// Keeps it borrowed: somebody must call release or release_on_behalf_of.
  void release() noexcept { limiter_ = nullptr; }

 private:
  friend class capacity_limiter;
  limiter_permit(capacity_limiter& l, limiter_borrower b) noexcept : limiter_{&l}, borrower_{b} {}
  capacity_limiter* limiter_ = nullptr;
  limiter_borrower borrower_;
};

/// What capacity_limiter::statistics reports.
struct limiter_statistics {
  std::size_t total;
  std::size_t borrowed;
  std::size_t waiting;
  std::vector<const void*> borrowers;  // what was named, and parties (context*), in no order
};

class ONELOOP_API capacity_limiter {
 public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  class ONELOOP_API acquire_operation
      : public parking_operation<acquire_operation, capacity_limiter> {
   public:
    static constexpr const char* name = "capacity_limiter.acquire";
    acquire_operation(acquire_operation&&) noexcept = default;
    /// A permit that was granted but never picked up is passed on.
    ~acquire_operation();
    /// Throws misuse if the borrower has one already.
    void await_resume();
    [[nodiscard]] std::string describe() const;

   protected:
    [[nodiscard]] limiter_borrower borrower() const noexcept { return borrower_; }

   private:
    friend class capacity_limiter;
    template <class, class>
    friend class parking_operation;
    enum class verdict : std::uint8_t { granted, twice, no_memory };
    acquire_operation(capacity_limiter& l, const void* on_behalf_of) noexcept
        : parking_operation<acquire_operation, capacity_limiter>{l}, borrower_{on_behalf_of, 0} {}
    enlisted attempt(waiter* w) noexcept;

    limiter_borrower borrower_;
    verdict verdict_ = verdict::granted;
  };

  class permit_operation : public acquire_operation {
   public:
    limiter_permit await_resume() {
      acquire_operation::await_resume();
      return {owner(), borrower()};
    }

   private:
    friend class capacity_limiter;
    explicit permit_operation(acquire_operation&& o) noexcept : acquire_operation{std::move(o)} {}
  };

  /// `name` is for dumps and must outlive the limiter (use a literal); null: none.
  explicit capacity_limiter(std::size_t total, const char* name = nullptr);
  ~capacity_limiter();
  capacity_limiter(const capacity_limiter&) = delete;
  capacity_limiter& operator=(const capacity_limiter&) = delete;

  /// Until there is a permit. Result: a limiter_permit that gives it back.
  [[nodiscard]] permit_operation permit() noexcept { return permit_operation{acquire()}; }
  /// Result: nothing; the party gives it back with `release`.
  [[nodiscard]] acquire_operation acquire() noexcept { return {*this, nullptr}; }
  /// The same for another borrower, of which only the address counts. Not null.
  [[nodiscard]] permit_operation permit_on_behalf_of(const void* borrower) noexcept {
    return permit_operation{acquire_on_behalf_of(borrower)};
  }
  [[nodiscard]] acquire_operation acquire_on_behalf_of(const void* borrower) noexcept {
    return {*this, borrower};
  }
  /// Never waits. The permit is empty if there was none. Throws misuse as the others.
  [[nodiscard]] limiter_permit try_permit();
  [[nodiscard]] limiter_permit try_permit_on_behalf_of(const void* borrower);

  /// Gives back what the calling party, or `borrower`, has. Throws misuse if it has nothing.
  void release();
  void release_on_behalf_of(const void* borrower);

  /// How many may have borrowed at a time; `unlimited` and 0 are possible. Who waits gets what is
  /// new.
  void set_total(std::size_t total) noexcept;
  [[nodiscard]] std::size_t total() const noexcept;
  [[nodiscard]] std::size_t borrowed() const noexcept;
  /// Permits that are free now; 0 while more are borrowed than there should be.
  [[nodiscard]] std::size_t available() const noexcept;
  /// A consistent snapshot, by walking all of it under the lock.
  [[nodiscard]] limiter_statistics statistics() const;

 private:
  friend class limiter_permit;
  template <class, class>
  friend class parking_operation;
  struct borrowers;
  bool give_back(limiter_borrower b) noexcept;
  // Under the lock.
  acquire_operation::verdict lend(limiter_borrower b) noexcept;
  void pass(wake_list& woken) noexcept;

  mutable short_mutex lock_;
  std::size_t total_;  // while it is more than borrowed_, nobody waits
  std::size_t borrowed_ = 0;
  parking_lot<acquire_operation> waiting_;
  std::unique_ptr<borrowers> borrowers_;
  const char* name_;
};

inline void limiter_permit::give_back() noexcept {
  if (limiter_ != nullptr) std::exchange(limiter_, nullptr)->give_back(borrower_);
}

}  // namespace oneloop::inline v0
