// A loop, and the line of the call that names it: the first parameter of calls that start something
// on a loop. A loop& converts to it.
//
//     template <class F, class... Args>
//     void start_there(loop_at where, F&& fn, Args&&... args);   // start_there(l, f, 1, 2)
#pragma once

#include <source_location>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class loop;

struct loop_at {
  // NOLINTNEXTLINE(google-explicit-constructor): converting is its purpose
  loop_at(loop& l, std::source_location a = std::source_location::current()) noexcept
      : where{l}, at{a} {}
  loop& where;
  std::source_location at;
};

}  // namespace oneloop::inline v0
