#include <unicode/utf8.h>

#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html::detail {

void append_utf8(std::string& to, char32_t code_point) {
  if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff)) code_point = 0xfffd;
  char bytes[U8_MAX_LENGTH];
  std::size_t n = 0;
  U8_APPEND_UNSAFE(bytes, n, code_point);
  to.append(bytes, n);
}

void repair_utf8(std::string& s) {
  if (is_ascii(s)) return;
  std::string repaired;
  bool broken = false;
  for (std::size_t i = 0; i < s.size();) {
    const std::size_t begin = i;
    UChar32 c = 0;
    U8_NEXT(s.data(), i, s.size(), c);
    if (c < 0 && !broken) {
      broken = true;
      repaired.assign(s, 0, begin);
    }
    if (broken) append_utf8(repaired, c < 0 ? 0xfffd : static_cast<char32_t>(c));
  }
  if (broken) s = std::move(repaired);
}

bool is_utf8(std::string_view s) noexcept {
  if (is_ascii(s)) return true;
  UChar32 c = 0;
  for (std::size_t i = 0; i < s.size() && c >= 0;) U8_NEXT(s.data(), i, s.size(), c);
  return c >= 0;
}

void append_collapsed(std::string& to, std::string_view text, std::size_t most) {
  constexpr std::string_view soft_hyphen = "\u00ad";
  for (std::size_t i = 0; i < text.size() && to.size() < most + U8_MAX_LENGTH;) {
    if (is_space(text[i])) {
      if (!to.empty() && to.back() != ' ') to += ' ';
      ++i;
    } else if (text.substr(i).starts_with(soft_hyphen)) {
      i += soft_hyphen.size();
    } else {
      const std::size_t end = std::min(text.size(), i + most + U8_MAX_LENGTH - to.size());
      const std::size_t begin = i++;
      while (i < end && !is_space(text[i]) && text[i] != soft_hyphen.front()) ++i;
      to.append(text, begin, i - begin);
    }
  }
}

void cut_text(std::string& s, std::size_t most) {
  if (s.size() > most) {
    std::size_t end = most;
    while (end > 0 && U8_IS_TRAIL(s[end])) --end;
    s.resize(end);
  }
  while (s.ends_with(' ')) s.pop_back();
}

}  // namespace oneloop::inline v0::html::detail
