// What an HTML parser has to see of a page so that it finds the links: in pieces, and without what
// has nothing to do with them.
//
// In pieces, because the standard's algorithm looks, at each tag, at all elements that are open,
// and may open every formatting element anew in every paragraph: a hostile page of 1 MB takes
// minutes and gigabytes. Links hardly depend on what stands far before them. So a page with very
// many or very deeply nested elements is read as several, one after the other.
//
// Without text, scripts, comments and attributes that hold no link, because gumbo's work is by the
// byte; and where a text or an attribute's value is the same once it is decoded, one character
// stands in for it. All tags stay: the tree is the same.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/html/gathering_internal.hpp"

namespace oneloop::inline v0::html::detail {

/// Bounds of one piece: a little more where a link would be cut.
struct segment_limits {
  std::size_t tags = 4096;  // start tags
  std::size_t depth = 512;  // elements that are open, as far as a look at the tags tells
  std::size_t bytes = std::size_t{1} << 20;

  [[nodiscard]] segment_limits smaller() const { return {tags / 8, depth / 8, bytes / 8}; }
};

/// Stands for text that is no link's: a soft hyphen, which no link's text shows either.
inline constexpr std::string_view some_text = "\u00ad";

/// Stands in for a link's text, one character a piece of it.
inline constexpr std::string_view link_text = "\ue000";

struct segment {
  /// One character (of a text) or byte (of a value) that the parser sees, and what of the page it
  /// stands in for.
  struct stand_in {
    std::size_t at;
    std::size_t begin, size;
  };
  using stand_ins = std::vector<stand_in>;
  /// The first one at `at` or later.
  [[nodiscard]] stand_ins::const_iterator stand_in_from(std::size_t at) const {
    return std::ranges::lower_bound(replaced, at, {}, &stand_in::at);
  }

  /// What the parser is to see, and where that comes from.
  std::string text;
  offset_map where;
  stand_ins replaced;
  bool has_text = false;
  /// Where it ends in the page.
  std::size_t end = 0;
};

/// A walk over the pieces of a text, which `where` maps to the document's. A copy goes on by
/// itself.
class segmenter {
 public:
  segmenter(std::string_view text, const offset_map& where) : text_{text}, where_{&where} {}

  [[nodiscard]] std::size_t at() const noexcept { return at_; }
  [[nodiscard]] bool done() const noexcept { return at_ >= text_.size(); }
  segment next(const segment_limits& limits);

 private:
  struct tag {
    std::string_view name;
    bool end = false;
    bool self_closing = false;
  };

  bool step(const segment_limits& limits, segment& s);
  void put(segment& s, std::size_t begin, std::size_t size) const;
  void stand_in(segment& s, std::string_view seen, std::size_t begin, std::size_t size) const;
  void put_text(segment& s, std::size_t begin, std::size_t end) const;
  void skip_markup(segment& s);
  tag read_tag(segment& s);
  void read_attribute(segment& s, const tag& t);
  void raw_text(segment& s, const tag& t);
  [[nodiscard]] std::size_t end_of_raw_text(std::string_view name) const;
  [[nodiscard]] std::size_t end_of_script() const;
  [[nodiscard]] bool ends_element(std::size_t at, std::string_view name) const;
  [[nodiscard]] bool integrates(std::string_view name) const;
  void note(const tag& t);
  [[nodiscard]] bool in_foreign() const { return open_[0] + open_[1] != 0 && integration_ == 0; }
  [[nodiscard]] std::size_t behind(std::string_view what, std::size_t from) const;

  std::string_view text_;
  const offset_map* where_;
  std::size_t at_ = 0;
  std::array<std::uint32_t, 11> open_{};  // svg, math, and other contexts
  /// Elements inside SVG and MathML whose content is HTML.
  std::uint32_t integration_ = 0;
  // Of the piece at hand.
  bool in_link_ = false;
  bool in_style_ = false;  // of SVG: that of HTML is raw text
  std::size_t tags_ = 0;
  std::size_t depth_ = 0;
  std::array<std::uint32_t, 64> same_{};  // open elements, by a hash of the name
};

}  // namespace oneloop::inline v0::html::detail
