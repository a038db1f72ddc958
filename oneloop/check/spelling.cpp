#include <array>

#include "oneloop/check/spelling_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

enum class octet : std::uint8_t { escaped, unreserved, sub_delimiter, delimiter };

constexpr std::array<octet, 256> octets = [] {
  std::array<octet, 256> all{};
  for (int c = 'a'; c <= 'z'; ++c) all[static_cast<unsigned char>(c)] = octet::unreserved;
  for (int c = 'A'; c <= 'Z'; ++c) all[static_cast<unsigned char>(c)] = octet::unreserved;
  for (int c = '0'; c <= '9'; ++c) all[static_cast<unsigned char>(c)] = octet::unreserved;
  for (const char c : std::string_view{"-._~"}) {
    all[static_cast<unsigned char>(c)] = octet::unreserved;
  }
  for (const char c : std::string_view{"!$&'()*+,;="}) {
    all[static_cast<unsigned char>(c)] = octet::sub_delimiter;
  }
  for (const char c : std::string_view{":/?#[]@"}) {
    all[static_cast<unsigned char>(c)] = octet::delimiter;
  }
  return all;
}();

int digit_of(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void add_escape(std::string& to, unsigned char c) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  to += '%';
  to += digits[c >> 4U];
  to += digits[c & 15U];
}

}  // namespace

/// Is this octet, which was escaped, one that stands for itself?
bool speller::bare(unsigned char c) const noexcept {
  if (octets[c] == octet::unreserved) return true;
  if (spelling_ == spelling::of_urls) return false;
  return c == '*' || c == '$' || (in_query_ && octets[c] == octet::delimiter);
}

void speller::add(std::string& to, std::string_view piece) {
  for (std::size_t i = 0; i < piece.size();) {
    const std::size_t begin = i;
    while (i < piece.size() && octets[static_cast<unsigned char>(piece[i])] != octet::escaped) {
      if (piece[i++] == '?') in_query_ = true;
    }
    to.append(piece, begin, i - begin);
    if (i == piece.size()) break;
    const auto c = static_cast<unsigned char>(piece[i++]);
    if (c != '%') {
      add_escape(to, c);
      continue;
    }
    const int high = i + 1 < piece.size() ? digit_of(piece[i]) : -1;
    const int low = high >= 0 ? digit_of(piece[i + 1]) : -1;
    if (low < 0) {
      to += '%';
      continue;
    }
    const auto escaped = static_cast<unsigned char>(high * 16 + low);
    if (bare(escaped)) {
      to += static_cast<char>(escaped);
    } else {
      add_escape(to, escaped);
    }
    i += 2;
  }
}

}  // namespace oneloop::inline v0::detail
