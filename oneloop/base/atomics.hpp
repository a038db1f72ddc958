// The atomics that lock-free code is written against, as a policy.
//
//     std_atomics::atomic<std::uint32_t> word_{free};
//
// Lock-free classes name their atomics through `std_atomics` only (or through a parameter `Atomics`
// that is it by default): so a test can put a header of its own in the place of this one, compile
// the same sources in a namespace of their own, and explore interleavings (tests/interleave).
// ThreadSanitizer does not model stand-alone fences: none are used, orders sit on the operations.
#pragma once

#include <atomic>
#include <cstdint>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

struct std_atomics {
  template <class T>
  using atomic = std::atomic<T>;
  /// What a spin does between two looks.
  static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
  /// How often a spin looks before its thread goes to sleep.
  static constexpr int spins = 64;
  /// Sleeps while `word` has this value, until `wake_one`; may return early.
  ONELOOP_API static void wait(atomic<std::uint32_t>& word, std::uint32_t value) noexcept;
  /// Wakes one who sleeps at `word`, which may be gone: only its address is used.
  ONELOOP_API static void wake_one(atomic<std::uint32_t>& word) noexcept;
};

}  // namespace oneloop::inline v0
