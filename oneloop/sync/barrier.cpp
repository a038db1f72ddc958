#include "oneloop/sync/barrier.hpp"

namespace oneloop::inline v0 {

broken_barrier::broken_barrier(std::string_view operation)
    : error{errc::closed, std::string{operation}.append(": the barrier is broken")} {}

barrier::barrier(std::size_t parties) : parties_{parties} {
  if (parties == 0) throw misuse{"barrier: for no parties"};
}

enlisted barrier::wait_operation::attempt(waiter* w) noexcept {
  barrier& b = owner();
  wake_list woken;
  {
    std::scoped_lock hold{b.lock_};
    if (!b.broken_) {
      // Who is cancelled leaves under this lock: so all that are here can be claimed.
      if (b.arrived_ + 1 < b.parties_) {
        if (w != nullptr) {
          b.waiting_.park(*this, *w);
          ++b.arrived_;
        }
        return enlisted::waiting;
      }
      b.arrived_ = 0;
      index_ = 0;
      while (wait_operation* other = b.waiting_.take()) {
        other->index_ = index_++;
        woken.add(*other);
      }
    }
    broken_ = b.broken_;
    set_done();
  }
  woken.wake_all();
  return enlisted::completed;
}

void barrier::break_all(bool stays_broken) noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    broken_ = stays_broken;
    arrived_ = 0;
    while (wait_operation* next = waiting_.take()) {
      next->broken_ = true;
      woken.add(*next);
    }
  }
  woken.wake_all();
}

void barrier::abort() noexcept { break_all(true); }
void barrier::reset() noexcept { break_all(false); }

}  // namespace oneloop::inline v0
