// The hook of those who look for deadlocks. Internal: what the locks of sync/ tell, and
// scope/deadlock.cpp listens to while the program runs with ONELOOP_DEBUG=1.
#pragma once

#include <atomic>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

struct lock_watch {
  /// On the home thread of `w`: it waits for a lock (operation_info::lock), outside every lock of
  /// the library; it does not any more.
  void (*waits)(waiter& w) noexcept;
  void (*waits_no_more)(waiter& w) noexcept;
  /// The calling party.
  party_id (*current)() noexcept;
  /// `party` holds `lock`, of those that parties know themselves (held_lock); it does not any more.
  void (*holds)(const void* lock, party_id party) noexcept;
  void (*holds_no_more)(const void* lock, party_id party) noexcept;
};

/// Null: nobody looks. (Not std_atomics: nothing is ordered by it.)
inline constinit std::atomic<const lock_watch*> lock_watcher{nullptr};

}  // namespace oneloop::inline v0
