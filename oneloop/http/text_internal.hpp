// What reading header fields takes, again and again. Internal to http/.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::http::detail {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// ASCII only, whatever the locale.
constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

/// Without spaces and tabs around it.
[[nodiscard]] inline std::string_view trimmed(std::string_view s) noexcept {
  const std::size_t first = s.find_first_not_of(" \t");
  if (first == s.npos) return {};
  return s.substr(first, s.find_last_not_of(" \t") - first + 1);
}

/// A piece of what the peer sent, fit for a message: short and printable.
[[nodiscard]] std::string quoted(std::string_view s);

}  // namespace oneloop::inline v0::http::detail
