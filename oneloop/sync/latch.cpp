#include "oneloop/sync/latch.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

void latch::count_down(std::size_t n) {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    if (n > count_) throw misuse{"latch.count_down: more often than it was made for"};
    count_ -= n;
    if (count_ == 0) {
      while (wait_operation* next = waiting_.take()) woken.add(*next);
    }
  }
  woken.wake_all();
}

}  // namespace oneloop::inline v0
