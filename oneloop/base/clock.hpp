// Time as the loops count it: a monotonic point, in nanoseconds.
//
// A loop on a kernel reads CLOCK_MONOTONIC; a virtual loop keeps its own. Never compare time points
// of a virtual loop with the wall.
//
//     using namespace std::chrono_literals;
//     oneloop::time_point t = l.now() + 250ms;
#pragma once

#include <chrono>

namespace oneloop::inline v0 {

using clock = std::chrono::steady_clock;
using duration = std::chrono::nanoseconds;
using time_point = std::chrono::time_point<clock, duration>;

/// "No deadline": later than every other time point.
inline constexpr time_point never = time_point::max();

/// `t + d` that stops at `never` instead of overflowing; a negative `d` gives `t`.
constexpr time_point after(time_point t, duration d) noexcept {
  if (d <= duration::zero()) return t;
  return d >= never - t ? never : t + d;
}

}  // namespace oneloop::inline v0
