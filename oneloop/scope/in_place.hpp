// Waiting in a plain thread for an operation that needs a loop: the thread drives one until the
// operation has ended. Internal; `await` does it (await.hpp).
//
// The operation's party is the thread's: it has its name and its task-locals, and is in a proxy of
// its scope, so that deadlines, shields and cancels (by any thread) reach it. What the operation
// left behind on the loop is cancelled and waited for, as run() does. The loop itself is kept
// (thread_root::own_loop).
#pragma once

#include <exception>

#include "oneloop/base/config.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0::detail {

class ONELOOP_API in_place_wait {
 public:
  in_place_wait(const in_place_wait&) = delete;
  in_place_wait& operator=(const in_place_wait&) = delete;

 protected:
  in_place_wait() = default;
  ~in_place_wait() = default;
  /// Returns when the operation has ended and kept its result. Throws what `begin` or `settle`
  /// threw, or the failure of something that had no other owner.
  void run(context& thread);

 private:
  struct party;
  /// Starts the operation; false if it has finished. On the loop, as is what follows.
  virtual bool begin(waiter& w) = 0;
  /// Takes the result.
  virtual void settle(outcome how) = 0;
};

}  // namespace oneloop::inline v0::detail
