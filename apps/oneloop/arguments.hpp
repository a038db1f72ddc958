// What people write on the command line, and what is wrong with it.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "oneloop/base/clock.hpp"

namespace tool {

/// Exit statuses.
inline constexpr int exit_ok = 0;
inline constexpr int exit_bad = 1;
inline constexpr int exit_usage = 2;

/// Wrong usage; the message names what, where and why. Leads to exit status 2.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "500ms", "5s", "1m", "2h", "1.5s"; a plain number counts seconds. `option` is for the message.
oneloop::duration parse_duration(std::string_view option, std::string_view text);

/// A whole number from `low` to `high`.
std::uint64_t parse_count(std::string_view option, std::string_view text, std::uint64_t low,
                          std::uint64_t high);

}  // namespace tool
