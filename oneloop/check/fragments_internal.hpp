// Fragments: the anchors of the pages that were read, and the links to places in pages that have
// not been read yet. Internal to check/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "oneloop/check/frontier.hpp"
#include "oneloop/check/record_internal.hpp"
#include "oneloop/html/anchors.hpp"
#include "oneloop/loop/descriptor.hpp"

namespace oneloop::inline v0::detail {

/// An anchor_set in one text, and back.
std::string packed(const html::anchor_set& anchors);
html::anchor_set unpacked(std::string_view anchors);

/// Why there is no such place: "there is \"Install\"", or "" if nobody knows. Nothing: there is.
std::optional<std::string> missing_fragment(const html::anchor_set& anchors,
                                            std::string_view fragment);

/// Texts in a file that has no name and goes with the process. Errors: error.
class text_file {
 public:
  struct place {
    std::uint64_t at = 0;
    std::uint64_t size = 0;
  };
  place add(std::string_view text);
  [[nodiscard]] std::string read(place p) const;

 private:
  descriptor file_;
  std::uint64_t end_ = 0;
};

/// Anchors are in memory up to `most_in_memory` bytes; those that come later are in a file.
class fragment_book {
 public:
  static constexpr std::size_t most_in_memory = std::size_t{32} * 1024 * 1024;
  explicit fragment_book(std::size_t most = most_in_memory) noexcept : most_{most} {}

  /// These are the page's. Errors: error, if they cannot be written.
  void know(url_id page, std::string packed);
  [[nodiscard]] bool knows(url_id page) const {
    return pages_.contains(page) || written_.contains(page);
  }
  /// The anchors of a page that is known, until the next call.
  [[nodiscard]] const html::anchor_set& anchors(url_id page);

  /// Keeps a link until its page is known.
  void wait(fragment_link l) {
    const url_id to = l.to;
    waiting_[to].push_back(std::move(l));
  }
  /// Those that wait for this page.
  [[nodiscard]] std::vector<fragment_link> take(url_id page);

 private:
  static constexpr std::size_t most_unpacked = 256;
  std::size_t most_;
  std::size_t bytes_ = 0;
  std::unordered_map<url_id, std::string> pages_;
  std::unordered_map<url_id, text_file::place> written_;
  text_file file_;
  std::unordered_map<url_id, html::anchor_set> unpacked_;  // some that were looked at
  std::unordered_map<url_id, std::vector<fragment_link>> waiting_;
};

}  // namespace oneloop::inline v0::detail
