// What the interleaving tests say of a program.
#pragma once

#include <gtest/gtest.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include <functional>

#include "oneloop/base/sanitized_test.hpp"
#include "tests/interleave/checker.hpp"

namespace oneloop::interleaved_tests {

using interleave::expect;
using interleave::explore;
using interleave::plain;
using interleave::report;
using interleave::world;

/// It holds in all schedules within the bounds (under a sanitizer, which makes each of them a
/// hundred times slower, in the first ones).
inline void holds(interleave::options o, const std::function<void(world&)>& program) {
  if (test::sanitized) o.most = 60;
  const report r = explore(o, program);
  EXPECT_TRUE(r) << r.text;
  EXPECT_TRUE(r.complete || test::sanitized || o.random != 0) << r.executions << " executions";
}

/// It does not, and this is what the checker says.
inline void is_broken(const char* how, interleave::options o,
                      const std::function<void(world&)>& program) {
#ifdef __SANITIZE_ADDRESS__
  // What has failed is left in the middle of what it did, with all that it owns.
  const __lsan::ScopedDisabler abandoned;
#endif
  const report r = explore(o, program);
  EXPECT_NE(r.text.find(how), std::string::npos) << r.executions << " executions: " << r.text;
}

}  // namespace oneloop::interleaved_tests
