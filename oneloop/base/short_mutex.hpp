// A four-byte lock for critical sections of a few instructions: two atomic operations uncontended
// (plain ones while the program has a single thread), a short spin and then a futex when contended.
// Never held across a wait of any kind.
//
//     oneloop::short_mutex m;
//     std::scoped_lock guard{m};
#pragma once

#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#endif

#include <atomic>
#include <cstdint>

#include "oneloop/base/atomics.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class short_mutex {
 public:
  short_mutex() = default;
  short_mutex(const short_mutex&) = delete;
  short_mutex& operator=(const short_mutex&) = delete;

  void lock() noexcept {
    if (alone()) return word_.store(held, std::memory_order_relaxed);
    std::uint32_t expected = free;
    if (!word_.compare_exchange_strong(expected, held, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
      lock_slow();
    }
  }
  bool try_lock() noexcept {
    std::uint32_t expected = free;
    return word_.compare_exchange_strong(expected, held, std::memory_order_acquire,
                                         std::memory_order_relaxed);
  }
  void unlock() noexcept {
    if (alone()) return word_.store(free, std::memory_order_relaxed);
    if (word_.exchange(free, std::memory_order_release) == contended) wake_one();
  }

 private:
  // The C library's word for it. It may change inside a section: the states stay the same.
  static bool alone() noexcept {
#if __has_include(<sys/single_threaded.h>)
    return __libc_single_threaded != 0;
#else
    return false;
#endif
  }
  static constexpr std::uint32_t free = 0, held = 1,
                                 contended = 2;  // contended: held, and waited for
  ONELOOP_API void lock_slow() noexcept;
  ONELOOP_API void wake_one() noexcept;
  std_atomics::atomic<std::uint32_t> word_{free};
};

}  // namespace oneloop::inline v0
