// Stands before the library's own header of this name where the library's lock-free parts are
// compiled for the interleaving tests: the same policy, over the atomics of the model checker.
#pragma once

#include "oneloop/base/config.hpp"
#include "tests/interleave/checker.hpp"

namespace oneloop::inline v0 {

struct std_atomics {
  template <class T>
  using atomic = interleave::atomic<T>;
  static void pause() noexcept { interleave::pause(); }
  static constexpr int spins = 1;
  template <class T>
  static void wait(atomic<T>& word, T value) noexcept {
    interleave::wait(word.cell(), interleave::pack(value));
  }
  template <class T>
  static void wake_one(atomic<T>& word) noexcept {
    interleave::wake_one(word.cell());
  }
};

}  // namespace oneloop::inline v0
