#include "oneloop/base/atomics.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace oneloop::inline v0 {

void std_atomics::wait(atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

void std_atomics::wake_one(atomic<std::uint32_t>& word) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
}

}  // namespace oneloop::inline v0
