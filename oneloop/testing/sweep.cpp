#include "oneloop/testing/sweep.hpp"

#include <string>

#include "oneloop/base/log.hpp"

namespace oneloop::inline v0::testing::detail {
namespace {

void say_failed(std::uint64_t seed, std::uint64_t passed) {
  log(severity::error, "sweep failed, after " + std::to_string(passed) + " that passed, with " +
                           how_to_replay(seed));
}

}  // namespace

std::uint64_t sweep(const seeds& s, const std::function<bool(std::uint64_t)>& passes) {
  const auto replayed = seed_to_replay();
  const std::uint64_t first = replayed.value_or(s.first);
  const std::uint64_t count = replayed ? 1 : s.count;
  const time_point end = after(clock::now(), s.time);
  for (std::uint64_t n = 0; n < count; ++n) {
    if (n != 0 && clock::now() >= end) {
      log(severity::info, "sweep: " + std::to_string(n) + " of " + std::to_string(count) +
                              " seeds have passed, and the time is over");
      return n;
    }
    bool passed = false;
    try {
      passed = passes(first + n);
    } catch (...) {
      say_failed(first + n, n);
      throw;
    }
    if (!passed) {
      say_failed(first + n, n);
      return n;
    }
  }
  return count;
}

}  // namespace oneloop::inline v0::testing::detail
