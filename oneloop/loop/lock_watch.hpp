// The hook of those who look for deadlocks. Internal: what the locks of sync/ tell, and
// scope/deadlock.cpp listens to while the program runs with ONELOOP_DEBUG=1.
#pragma once

#include <atomic>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class waiter;

struct lock_watch {
  /// On the home thread of `w`: it waits for a lock (operation_info::lock), outside every lock of
  /// the library; it does not any more.
  void (*waits)(waiter& w) noexcept;
  void (*waits_no_more)(waiter& w) noexcept;
  /// The calling party; null if there is none yet.
  const waiter* (*current)() noexcept;
  /// `party` holds `lock`, of those that parties know themselves (held_lock); it does not any more.
  void (*holds)(const void* lock, const waiter* party) noexcept;
  void (*holds_no_more)(const void* lock, const waiter* party) noexcept;
};

/// Null: nobody looks. (Not std_atomics: nothing is ordered by it.)
inline constinit std::atomic<const lock_watch*> lock_watcher{nullptr};

}  // namespace oneloop::inline v0
