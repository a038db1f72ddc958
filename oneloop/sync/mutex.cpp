#include "oneloop/sync/mutex.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

void mutex::unlock() {
  if (!locked()) throw misuse{"mutex.unlock: the mutex is not locked"};
  unlock_held();
}

// The holder, when the mutex has been seen in the state queued.
void mutex::hand_over() noexcept {
  do {
    lock_operation* next;
    {
      std::scoped_lock hold{lock_};
      next = waiting_.take();
      // After the claim: whoever finds a waiter that holds what it waits for can see that it was
      // woken.
      if (next != nullptr) holder_.store(party_of(*next->who()), std::memory_order_release);
      // With nobody left the state goes back to held, not to free: that step must be the last
      // touch, for the next holder may destroy the mutex.
      word_.store(waiting_.empty() ? held : queued, std::memory_order_relaxed);
    }
    if (next != nullptr) return next->who()->wake();
  } while (!give_back());
}

}  // namespace oneloop::inline v0
