// A read-write lock: one party alone, or any number together. Writers come first: while one waits,
// no new reader is let in.
//
//     oneloop::shared_mutex m{"routes"};
//     {
//       auto reading = co_await m.lock_shared();    // a fiber or a thread: await(m.lock_shared())
//       use(routes);
//     }
//     auto writing = co_await m.lock();
//
// Writers are served in their order, readers all at once when no writer waits. Many writers can
// keep readers waiting for long: that is the price of never starving a writer. A party may enter
// again what it has entered, also to read while it writes (when it then stops writing, it goes on
// reading), and to read again while a writer waits. To write while it only reads would wait for
// itself: misuse. As aiorwlock's RWLock, but for the yield after each acquire.
//
// The owner is the party; see recursive_mutex for what that means with callbacks.
//
// *Cancellation*: a cancelled lock() or lock_shared() holds nothing and never did. If it was the
// writer that held readers up, they come in.
//
// *Threads*: every member from any thread, loop or model. Only a party that holds it may unlock it.
// It must outlive every operation on it.
//
// *Errors*: misuse, as recursive_mutex.
//
// *Cost*: uncontended one compare-and-swap each way, without a lock or the loop; no allocation once
// warm. Readers on many cores still share that one word: for a value that is read all the time and
// replaced rarely, share an immutable one (std::atomic<std::shared_ptr>).
#pragma once

#include <cstddef>

#include "oneloop/sync/owned_lock.hpp"

namespace oneloop::inline v0 {

/// What shared_mutex::statistics reports.
struct shared_mutex_statistics {
  bool locked;          // by a writer
  std::size_t readers;  // parties that read (a writer that also reads is none)
  std::size_t waiting_writers;
  std::size_t waiting_readers;
};

class shared_mutex : private owned_lock<detail::shared_mutex_names> {
  using base = owned_lock<detail::shared_mutex_names>;

 public:
  using lock_operation = base::operation<lock_mode::exclusive>;
  using lock_shared_operation = base::operation<lock_mode::shared>;
  using guard = base::guard<lock_mode::exclusive>;
  using shared_guard = base::guard<lock_mode::shared>;

  /// `name` is for dumps and must outlive the mutex (use a literal); null: none.
  explicit shared_mutex(const char* name = nullptr) noexcept : base{name} {}

  /// Until nobody else holds it and it is this writer's turn. Result: a guard. Throws misuse if
  /// this party only reads.
  [[nodiscard]] lock_operation lock() noexcept { return enter<lock_mode::exclusive>(); }
  /// Until no writer holds it or waits for it. Result: a shared_guard.
  [[nodiscard]] lock_shared_operation lock_shared() noexcept { return enter<lock_mode::shared>(); }
  /// Never waits. The guard is empty if it is not free for that. Throws misuse as lock().
  [[nodiscard]] guard try_lock() { return try_enter<lock_mode::exclusive>(); }
  [[nodiscard]] shared_guard try_lock_shared() { return try_enter<lock_mode::shared>(); }
  /// For locks whose guard was released. Throw misuse if the calling party does not hold it so.
  void unlock() { leave_once<lock_mode::exclusive>(); }
  void unlock_shared() { leave_once<lock_mode::shared>(); }

  /// By a writer.
  using base::locked;
  using base::name;
  /// Walks the queues under the lock.
  [[nodiscard]] shared_mutex_statistics statistics() const noexcept {
    const auto [writers, readers] = waiting();
    return {locked(), sharing(), writers, readers};
  }
};

using shared_mutex_guard = shared_mutex::guard;
using shared_mutex_shared_guard = shared_mutex::shared_guard;

}  // namespace oneloop::inline v0
