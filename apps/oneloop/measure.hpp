// A program run to its end, and what it took.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/task/task.hpp"

namespace tool {

struct measured {
  int status = 0;  // exit status, or minus the signal that ended it
  bool timed_out = false;
  std::string out;  // standard output
  std::string err;  // standard error, its first 4 KiB
  oneloop::duration wall{};
  // All its processes together:
  oneloop::duration cpu{};     // user and system
  std::uint64_t switches = 0;  // of context
  std::uint64_t peak_kb = 0;   // resident: its own, and what is its workers' alone
  std::uint64_t threads = 0;   // at a time, at most; a process has at least one
};

/// Runs this program again with these arguments and this standard input; kills it after `limit`, or
/// when cancelled. Throws oneloop::error if it cannot be started.
oneloop::task<measured> measure(std::vector<std::string> arguments, std::string input,
                                oneloop::duration limit);

}  // namespace tool
