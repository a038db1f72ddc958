// What the readers of all formats need of text.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace oneloop::inline v0::html::detail {

constexpr bool is_space(char c) noexcept {
  return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r';
}
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr char to_lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
constexpr bool is_letter(char c) noexcept { return to_lower(c) >= 'a' && to_lower(c) <= 'z'; }
constexpr bool is_hex(char c) noexcept {
  return is_digit(c) || (to_lower(c) >= 'a' && to_lower(c) <= 'f');
}
constexpr bool is_ascii(std::string_view s) noexcept {
  return std::ranges::all_of(s, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && std::ranges::equal(a, b, {}, to_lower, to_lower);
}
constexpr bool starts_with_ignoring_case(std::string_view s, std::string_view prefix) noexcept {
  return equal_ignoring_case(s.substr(0, prefix.size()), prefix);
}
inline std::string lower(std::string_view s) {
  std::string r{s};
  std::ranges::transform(r, r.begin(), to_lower);
  return r;
}

/// Takes the words of `s`, which white space parts, from its front; empty when there are no more.
constexpr std::string_view next_word(std::string_view& s) noexcept {
  while (!s.empty() && is_space(s.front())) s.remove_prefix(1);
  const auto end = std::ranges::find_if(s, is_space);
  const std::string_view word = s.substr(0, static_cast<std::size_t>(end - s.begin()));
  s.remove_prefix(word.size());
  return word;
}
constexpr bool has_word(std::string_view list, std::string_view word) noexcept {
  for (std::string_view w = next_word(list); !w.empty(); w = next_word(list)) {
    if (equal_ignoring_case(w, word)) return true;
  }
  return false;
}

/// Takes away from the ends of `s` what the URL standard does; returns how much at the front.
constexpr std::size_t strip(std::string_view& s) noexcept {
  const auto stripped = [](char c) { return static_cast<unsigned char>(c) <= ' '; };
  std::size_t front = 0;
  while (front < s.size() && stripped(s[front])) ++front;
  s.remove_prefix(front);
  while (!s.empty() && stripped(s.back())) s.remove_suffix(1);
  return front;
}

/// Every byte is of a character.
bool is_utf8(std::string_view s) noexcept;
/// `code_point` as UTF-8; what is none becomes U+FFFD.
void append_utf8(std::string& to, char32_t code_point);
/// Every sequence of bytes that is no character becomes U+FFFD.
void repair_utf8(std::string& s);
/// Adds `text` with its white space collapsed and without soft hyphens, until `to` has `most` bytes
/// and perhaps the rest of a character.
void append_collapsed(std::string& to, std::string_view text, std::size_t most);
/// At most so many bytes, whole characters, no space at the end.
void cut_text(std::string& s, std::size_t most);

}  // namespace oneloop::inline v0::html::detail
