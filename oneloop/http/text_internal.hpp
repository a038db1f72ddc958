// What reading and writing heads takes, again and again. Internal to http/.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::http::detail {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

/// ASCII only, whatever the locale.
constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

/// What a character is that not every text may hold; for all of a text: kinds_in.
enum character_kind : std::uint8_t {
  no_token = 1,    // cannot be in a token (RFC 9110, 5.6.2), such as a field's name
  breaks = 2,      // CR, LF or NUL: what follows could pass for something else
  is_control = 4,  // but a tab
};
inline constexpr auto character_kinds = [] {
  std::array<std::uint8_t, 256> all{};
  for (unsigned c = 0; c < 256; ++c) {
    const char ch = lower(static_cast<char>(c));
    const bool token = is_digit(ch) || (ch >= 'a' && ch <= 'z') ||
                       std::string_view{"!#$%&'*+-.^_`|~"}.find(ch) != std::string_view::npos;
    if (!token) all[c] |= no_token;
    if (c == '\r' || c == '\n' || c == 0) all[c] |= breaks;
    if ((c < 0x20 && c != '\t') || c == 0x7f) all[c] |= is_control;
  }
  return all;
}();
[[nodiscard]] constexpr unsigned kinds_in(std::string_view s) noexcept {
  unsigned all = 0;
  for (const char c : s) all |= character_kinds[static_cast<unsigned char>(c)];
  return all;
}

/// Without spaces and tabs around it.
[[nodiscard]] constexpr std::string_view trimmed(std::string_view s) noexcept {
  while (s.starts_with(' ') || s.starts_with('\t')) s.remove_prefix(1);
  while (s.ends_with(' ') || s.ends_with('\t')) s.remove_suffix(1);
  return s;
}

/// The value of a field as it goes over the wire: trimmed. Throws misuse if it would break the
/// line.
[[nodiscard]] std::string_view checked_value(std::string_view name, std::string_view value);

/// Appends the first line of a request. Throws as write_head does.
void write_request_line(std::string& out, std::string_view method, std::string_view target,
                        int minor_version);

/// Appends a field that has been checked.
inline void write_field(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

/// A piece of what the peer sent, fit for a message: short and printable.
[[nodiscard]] std::string quoted(std::string_view s);

}  // namespace oneloop::inline v0::http::detail
