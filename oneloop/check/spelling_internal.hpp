// One spelling for texts that mean the same URL: what needs no escape has none, what needs one has
// it, in capitals (RFC 3986, 6.2.2). Delimiters stay as they were: "%2F" is no "/". Internal to
// check/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace oneloop::inline v0::detail {

/// How a rule of a robots.txt is compared (RFC 9309, 2.2.2 and 2.2.3): besides, "*" and "$" are
/// one with their escapes, and behind a "?" so are : / ? # [ ] @.
enum class spelling : std::uint8_t { of_urls, of_robots };

class speller {
 public:
  explicit speller(spelling s) noexcept : spelling_{s} {}
  /// Appends the next piece of a text; an escape must not be cut in two.
  void add(std::string& to, std::string_view piece);

 private:
  [[nodiscard]] bool bare(unsigned char escaped) const noexcept;
  spelling spelling_;
  bool in_query_ = false;
};

inline std::string spelled(std::string_view text, spelling s) {
  std::string result;
  result.reserve(text.size());
  speller{s}.add(result, text);
  return result;
}

/// So many bytes of it at most, whole characters, and "..." in place of the rest.
inline std::string shortened(std::string_view text, std::size_t most) {
  if (text.size() <= most) return std::string{text};
  auto end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string{text.substr(0, end)}.append("...");
}

}  // namespace oneloop::inline v0::detail
