// What the tests of check/ share. Not installed.
#pragma once

#include <chrono>
#include <string_view>
#include <utility>

#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop {

inline url at(std::string_view text) { return *url::parse(text); }

/// Runs a coroutine with a clock that jumps.
template <class Body>
void go(Body body) {
  auto main = body();
  run(std::move(main), "virtual");
}

/// Seconds on the clock of the loop that this runs on.
inline double now() {
  return std::chrono::duration<double>(context::current().home()->now().time_since_epoch()).count();
}

}  // namespace oneloop
