// The atomics that lock-free code is written against, as a policy.
//
// Lock-free classes take `class Atomics = std_atomics` and name `typename Atomics::template
// atomic<T>` only, so that a test can put a scheduler under every load and store and explore
// interleavings. ThreadSanitizer does not model stand-alone fences: none are used, orders sit on
// the operations.
#pragma once

#include <atomic>

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
};

}  // namespace oneloop::inline v0
