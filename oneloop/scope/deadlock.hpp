// Who holds what and waits for what, and the cycles in it. Internal: loop::dump() asks about the
// parties of its loop; with ONELOOP_DEBUG=1 all parties of the program are watched, on all loops
// and threads, and a wait that closes a cycle is reported at once.
//
// What is known: who has locked a mutex (by lock(), and when watched also by try_lock()), and which
// parties hold a shared_mutex or recursive_mutex. A wait for a semaphore, an event or a channel, or
// by a select, is nobody's to end in particular: it is in no cycle.
#pragma once

#include <string>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

class context;

/// Starts to watch; idempotent, any thread.
ONELOOP_API void watch_for_deadlocks() noexcept;

/// The waits for locks of `parties`, all of one loop, and with them all that are watched: a line
/// for each lock that is waited for, and one for each cycle ("deadlock: task A holds m1, waits m2;
/// task B holds m2, waits m1"). Empty if nobody waits for a lock.
ONELOOP_API std::string describe_locks(const std::vector<context*>& parties);

}  // namespace oneloop::inline v0
