#include "oneloop/base/short_mutex.hpp"

namespace oneloop::inline v0 {

void short_mutex::lock_slow() noexcept {
  for (int i = 0; i < std_atomics::spins; ++i) {
    if (word_.load(std::memory_order_relaxed) == free && try_lock()) return;
    std_atomics::pause();
  }
  while (word_.exchange(contended, std::memory_order_acquire) != free) {
    std_atomics::wait(word_, contended);
  }
}

void short_mutex::wake_one() noexcept { std_atomics::wake_one(word_); }

}  // namespace oneloop::inline v0
