// What is kept of a URL in a state file beside its verdict (saved_verdict::more). Internal to
// check/.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/check/crawl.hpp"
#include "oneloop/check/frontier.hpp"
#include "oneloop/check/ledger_internal.hpp"

namespace oneloop::inline v0::detail {

/// In place of a page: whoever named a start.
inline constexpr url_id no_page = ~url_id{0};

/// A link to a place in a page.
struct fragment_link {
  url_id to;
  url_id page;
  link_place place;
};

/// A link to what is no URL.
struct false_link {
  std::string text;
  std::string why;
  link_place place;
};

struct url_record {
  bool read = false;      // as a document, and its links were followed
  bool asked = false;     // by HEAD; its body may be a document
  bool not_read = false;  // it is of the site, and no document
  bool from_cache = false;
  bool pending = false;     // a redirect whose end is not known: the verdict is to come
  std::uint64_t links = 0;  // that were found in it
  std::string content_type;
  std::optional<url_move> moved;
  std::array<std::uint64_t, crawl_skip_reasons> skipped{};  // of its links
  std::vector<url_id> navigated, anchored;                  // that it made so: url_mark
  std::vector<fragment_link> fragments;                     // that are not known to be fine
  std::vector<false_link> false_links;
  std::optional<std::string> anchors;  // packed

  [[nodiscard]] std::string bytes() const;
  /// Throws error (protocol).
  [[nodiscard]] static url_record of(std::string_view bytes);
};

}  // namespace oneloop::inline v0::detail
