// A document as UTF-8, and the way back to its own bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace oneloop::inline v0::html::detail {

/// An encoding of the WHATWG standard.
struct encoding {
  std::string_view name;
  /// What ICU calls it; empty: we read it ourselves (UTF-8, replacement).
  std::string_view converter;
  std::string_view labels;
};

/// The encoding with this label, or null.
const encoding* find_encoding(std::string_view label);
const encoding& utf8_encoding();
const encoding& windows_1252_encoding();

/// What <meta> says in the first 1,024 bytes (the standard's prescan), or null.
const encoding* prescan(std::string_view bytes);

/// A document's text in UTF-8. It refers to the bytes where no conversion is needed.
class source_text {
 public:
  /// A byte order mark at the front outranks `declared`.
  source_text(std::string_view bytes, const encoding& declared);
  source_text(const source_text&) = delete;
  source_text& operator=(const source_text&) = delete;

  /// Without the byte order mark. Bytes that are no UTF-8 may be in it where the document is UTF-8.
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  [[nodiscard]] const encoding& charset() const noexcept { return *encoding_; }
  /// The byte of the document that the byte `at` of text() comes from; at <= text().size().
  [[nodiscard]] std::size_t offset(std::size_t at) const noexcept {
    return (map_.empty() ? at : map_[at]) + skipped_;
  }

 private:
  void convert(std::string_view bytes);

  const encoding* encoding_;
  std::size_t skipped_ = 0;
  std::string_view text_;
  std::string converted_;
  std::vector<std::uint32_t> map_;
};

/// `query` as a URL has it that stands in a document of this encoding: characters that are not
/// ASCII as the percent-encoded bytes of the encoding.
std::string encode_query(std::string_view query, const encoding& e);

}  // namespace oneloop::inline v0::html::detail
