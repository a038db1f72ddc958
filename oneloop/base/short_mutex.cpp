#include "oneloop/base/short_mutex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "oneloop/base/atomics.hpp"

namespace oneloop::inline v0 {

void short_mutex::lock_slow() noexcept {
  for (int i = 0; i < 64; ++i) {
    if (word_.load(std::memory_order_relaxed) == free && try_lock()) return;
    std_atomics::pause();
  }
  while (word_.exchange(contended, std::memory_order_acquire) != free) {
    ::syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, contended, nullptr, nullptr, 0);
  }
}

void short_mutex::wake_one() noexcept {
  ::syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace oneloop::inline v0
