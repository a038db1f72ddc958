// For the tests of fibers.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"

namespace oneloop::inline v0::test {

/// Runs it in a fiber, with a clock that jumps.
template <class F>
decltype(auto) run_virtual(F&& fn) {
  loop l{"virtual"};
  return run(l, std::forward<F>(fn));
}

inline void wait_forever() { await(sleep_forever()); }
inline duration passed(time_point since) { return loop::current()->now() - since; }

}  // namespace oneloop::inline v0::test
