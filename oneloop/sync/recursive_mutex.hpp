// A mutex that the party which holds it may lock again. It is free when it has been unlocked as
// often.
//
//     oneloop::recursive_mutex m{"tree"};
//     auto outer = co_await m.lock();          // a fiber or a thread: await(m.lock())
//     auto inner = co_await m.lock();          // the same party: at once
//
// The owner is the party: a root task with everything that it awaits, a fiber, a thread. A callback
// (defer) is a party for one wait only: there the guard is the owner, and nobody enters again.
//
// First come, first served; nobody overtakes the queue. Prefer mutex: code that has to lock again
// what it holds rarely knows what state it finds.
//
// *Cancellation*: a cancelled lock() does not hold it once more, and never did.
//
// *Threads*: every member from any thread, loop or model. Only the party that holds it may unlock
// it. It must outlive every operation on it.
//
// *Errors*: misuse from lock() once a party has ended that held it (what it guards may be half
// done): this is logged, everybody who waits hears of it, and everybody later.
//
// *Cost*: uncontended one compare-and-swap to lock and one to unlock; again, none; no allocation
// once warm.
#pragma once

#include <cstddef>

#include "oneloop/sync/owned_lock.hpp"

namespace oneloop::inline v0 {

/// What recursive_mutex::statistics reports.
struct recursive_mutex_statistics {
  bool locked;
  std::size_t depth;  // how often its owner has locked it
  std::size_t waiting;
};

class recursive_mutex : private owned_lock<detail::recursive_mutex_names> {
  using base = owned_lock<detail::recursive_mutex_names>;

 public:
  using lock_operation = base::operation<lock_mode::exclusive>;
  using guard = base::guard<lock_mode::exclusive>;

  /// `name` is for dumps and must outlive the mutex (use a literal); null: none.
  explicit recursive_mutex(const char* name = nullptr) noexcept : base{name} {}

  /// Until it is this party's turn; at once if it holds it already. Result: a guard.
  [[nodiscard]] lock_operation lock() noexcept { return enter<lock_mode::exclusive>(); }
  /// Never waits. The guard is empty if another party holds it.
  [[nodiscard]] guard try_lock() { return try_enter<lock_mode::exclusive>(); }
  /// For a lock whose guard was released. Throws misuse if the calling party does not hold it.
  void unlock() { leave_once<lock_mode::exclusive>(); }

  using base::locked;
  using base::name;
  /// Walks the queue under the lock.
  [[nodiscard]] recursive_mutex_statistics statistics() const noexcept {
    return {locked(), depth(), waiting().first};
  }
};

using recursive_mutex_guard = recursive_mutex::guard;

}  // namespace oneloop::inline v0
