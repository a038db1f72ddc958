#include "oneloop/loop/virtual_clock.hpp"

#include <algorithm>
#include <cmath>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {
namespace {

/// As a duration, which ends at some 292 years.
duration nanoseconds_of(double n) noexcept {
  return n < 9.2e18 ? duration{static_cast<duration::rep>(n)} : duration::max();
}

}  // namespace

time_point virtual_clock::flowing() const noexcept {
  const auto passed = static_cast<double>((clock::now() - real_).count());
  return after(now_, nanoseconds_of(passed * rate_));
}

void virtual_clock::jump_to(time_point t) noexcept {
  if (rate_ != 0) real_ = clock::now();
  now_ = t;
}

void virtual_clock::advance(duration d) {
  if (d < duration::zero()) throw misuse{"virtual_clock::advance: time does not go back"};
  jump_to(after(now(), d));
}

void virtual_clock::set_rate(double virtual_per_real) {
  if (!(virtual_per_real >= 0) || std::isinf(virtual_per_real)) {
    throw misuse{"virtual_clock::set_rate: a rate is a number that is not negative"};
  }
  now_ = now();
  real_ = clock::now();
  rate_ = virtual_per_real;
}

duration virtual_clock::real_time_to(time_point t) const noexcept {
  const auto left = static_cast<double>((t - now()).count());
  return nanoseconds_of(std::max(0.0, std::ceil(left / rate_)));
}

}  // namespace oneloop::inline v0
