// What reading header fields takes, again and again. Internal to http/.
#pragma once

#include <array>
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

/// Those that a token is made of (RFC 9110, 5.6.2): of field names, for one.
inline constexpr auto token_characters = [] {
  std::array<bool, 256> all{};
  for (char c = '0'; c <= '9'; ++c) all[static_cast<unsigned char>(c)] = true;
  for (char c = 'A'; c <= 'Z'; ++c) all[static_cast<unsigned char>(c)] = true;
  for (char c = 'a'; c <= 'z'; ++c) all[static_cast<unsigned char>(c)] = true;
  for (const char c : std::string_view{"!#$%&'*+-.^_`|~"})
    all[static_cast<unsigned char>(c)] = true;
  return all;
}();

/// Without spaces and tabs around it.
[[nodiscard]] constexpr std::string_view trimmed(std::string_view s) noexcept {
  while (s.starts_with(' ') || s.starts_with('\t')) s.remove_prefix(1);
  while (s.ends_with(' ') || s.ends_with('\t')) s.remove_suffix(1);
  return s;
}

/// A piece of what the peer sent, fit for a message: short and printable.
[[nodiscard]] std::string quoted(std::string_view s);

}  // namespace oneloop::inline v0::http::detail
