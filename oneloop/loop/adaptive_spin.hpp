// Whether a thread that must wait for others looks for a moment before it sleeps. To sleep and to
// be woken costs some microseconds on both sides; where messages go back and forth between threads,
// the answer comes sooner than that.
//
//     adaptive_spin spin;
//     if (!spin.saw([&] { return !empty(); })) { sleep(); if (!empty()) spin.woken(); }
//
// It spins only after a sleep that another thread ended, for at most `adaptive_spin::longest`. Each
// time that nothing came, twice as many such sleeps pass without a spin, up to 1,024: who is told
// something now and then, or has one processor, pays nothing. (As the adaptive mutexes of Solaris
// and glibc learn how long to spin.)
//
// Threads: of one thread. Cost: no clock is read but in a spin.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "oneloop/base/atomics.hpp"
#include "oneloop/base/clock.hpp"

namespace oneloop::inline v0 {

class adaptive_spin {
 public:
  /// About what a sleep and a wake-up take.
  static constexpr duration longest = std::chrono::microseconds{20};

  /// Looks whether `come()`, again and again if that is worth it. False: sleep.
  template <class Come>
  bool saw(Come come) noexcept {
    if (!worth_it_) return false;
    for (time_point until = never;;) {
      for (int i = 0; i < 16; ++i) {
        if (come()) {
          doubled_ = 0;
          return true;
        }
        std_atomics::pause();
      }
      const time_point t = clock::now();
      if (until == never) until = t + longest;
      if (t < until) continue;
      worth_it_ = false;
      sleeps_ = (1u << doubled_) - 1;
      doubled_ = std::min(doubled_ + 1, 10u);
      return false;
    }
  }

  /// Another thread has ended a sleep.
  void woken() noexcept {
    worth_it_ = sleeps_ == 0;
    if (sleeps_ != 0) --sleeps_;
  }

 private:
  bool worth_it_ = false;
  unsigned doubled_ = 0;
  unsigned sleeps_ = 0;  // without a spin, from now on
};

}  // namespace oneloop::inline v0
