// A four-byte lock for critical sections of a few instructions: two atomic operations uncontended,
// a short spin and then a futex when contended. Never held across a wait of any kind.
//
//     oneloop::short_mutex m;
//     std::scoped_lock guard{m};
#pragma once

#include <atomic>
#include <cstdint>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class short_mutex {
 public:
  short_mutex() = default;
  short_mutex(const short_mutex&) = delete;
  short_mutex& operator=(const short_mutex&) = delete;

  void lock() noexcept {
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
    if (word_.exchange(free, std::memory_order_release) == contended) wake_one();
  }

 private:
  static constexpr std::uint32_t free = 0, held = 1,
                                 contended = 2;  // contended: held, and waited for
  ONELOOP_API void lock_slow() noexcept;
  ONELOOP_API void wake_one() noexcept;
  std::atomic<std::uint32_t> word_{free};
};

}  // namespace oneloop::inline v0
