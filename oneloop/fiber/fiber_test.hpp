// For the tests of fibers.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::test {

/// Runs it in a fiber, with a clock that jumps.
template <class F>
void run_virtual(F&& fn) {
  loop l{"virtual"};
  run(l, std::forward<F>(fn));
}

}  // namespace oneloop::test
