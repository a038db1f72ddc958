#include "oneloop/sync/semaphore.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

semaphore::semaphore(std::size_t initial, std::size_t maximum)
    : available_{initial}, maximum_{maximum} {
  if (initial > maximum) throw misuse{"semaphore: starts with more permits than its maximum"};
}

void semaphore::release(std::size_t n) {
  if (!give(n)) throw misuse{"semaphore.release: more permits than its maximum"};
}

bool semaphore::give(std::size_t n) noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    if (n > maximum_ - available_) return false;
    for (; n != 0; --n) {
      acquire_operation* next = waiting_.take();
      if (next == nullptr) break;
      woken.add(*next);
    }
    available_ += n;
  }
  woken.wake_all();
  return true;
}

}  // namespace oneloop::inline v0
