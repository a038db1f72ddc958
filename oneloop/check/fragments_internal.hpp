// Fragments: the anchors of the pages that were read, and the links to places in pages that have
// not been read yet. Internal to check/.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "oneloop/check/frontier.hpp"
#include "oneloop/check/record_internal.hpp"
#include "oneloop/html/anchors.hpp"

namespace oneloop::inline v0::detail {

/// An anchor_set in one text, and back.
std::string packed(const html::anchor_set& anchors);
html::anchor_set unpacked(std::string_view anchors);

/// Why there is no such place: "there is \"Install\"", or "" if nobody knows. Nothing: there is.
std::optional<std::string> missing_fragment(const html::anchor_set& anchors,
                                            std::string_view fragment);

class fragment_book {
 public:
  /// These are the page's.
  void know(url_id page, std::string packed) { pages_.insert_or_assign(page, std::move(packed)); }
  [[nodiscard]] bool knows(url_id page) const { return pages_.contains(page); }
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
  std::unordered_map<url_id, std::string> pages_;
  std::unordered_map<url_id, html::anchor_set> unpacked_;  // some that were looked at
  std::unordered_map<url_id, std::vector<fragment_link>> waiting_;
};

}  // namespace oneloop::inline v0::detail
