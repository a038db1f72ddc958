#include "oneloop/sync/once.hpp"

namespace oneloop::inline v0 {

enlisted once::begin_operation::attempt(waiter* w) noexcept {
  once& o = owner();
  std::scoped_lock hold{o.lock_};
  const bool done = o.done_.load(std::memory_order_relaxed);
  if (!done && o.running_) {
    if (w != nullptr) o.waiting_.park(*this, *w);
    return enlisted::waiting;
  }
  if (!commit(w)) return enlisted::lost;
  turn_ = !done;
  if (turn_) o.running_ = true;
  set_done();
  return enlisted::completed;
}

void once::finish(bool done) noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    if (done) done_.store(true, std::memory_order_release);
    begin_operation* next = waiting_.take();
    running_ = !done && next != nullptr;
    if (next != nullptr) {
      next->turn_ = !done;
      woken.add(*next);
    }
    while (done && (next = waiting_.take()) != nullptr) {
      next->turn_ = false;
      woken.add(*next);
    }
  }
  woken.wake_all();
}

}  // namespace oneloop::inline v0
