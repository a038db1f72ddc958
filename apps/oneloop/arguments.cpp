#include "arguments.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>

namespace tool {

using namespace std::chrono_literals;

oneloop::duration parse_duration(std::string_view option, std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  const std::string_view unit{rest, static_cast<std::size_t>(end - rest)};
  oneloop::duration scale{};
  if (unit == "ms") {
    scale = 1ms;
  } else if (unit == "s" || unit.empty()) {
    scale = 1s;
  } else if (unit == "m") {
    scale = 1min;
  } else if (unit == "h") {
    scale = 1h;
  }
  if (error != std::errc{} || scale == oneloop::duration::zero()) {
    throw usage_error{fmt::format(
        "{} {}: not a duration: write 500ms, 5s, 1m or a number of seconds", option, text)};
  }
  const double ns = value * static_cast<double>(scale.count());
  if (!(ns >= 1e6) || ns > static_cast<double>(oneloop::duration{24h}.count())) {
    throw usage_error{fmt::format("{} {}: must be from 1ms to 24h", option, text)};
  }
  return oneloop::duration{std::llround(ns)};
}

std::uint64_t parse_count(std::string_view option, std::string_view text, std::uint64_t low,
                          std::uint64_t high) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || value < low || value > high) {
    throw usage_error{
        fmt::format("{} {}: must be a whole number from {} to {}", option, text, low, high)};
  }
  return value;
}

}  // namespace tool
