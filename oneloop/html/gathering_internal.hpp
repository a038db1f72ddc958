// Where the readers of all formats put what they find.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/html/extract.hpp"
#include "oneloop/html/source_internal.hpp"

namespace oneloop::inline v0::html::detail {

/// Where the bytes of a text that was made out of another one (an attribute's value, decoded) come
/// from in the document's UTF-8 text.
class offset_map {
 public:
  /// The bytes from `from` on come from `to` on. In the order of `from`.
  void add(std::size_t from, std::size_t to) { runs_.push_back({from, to}); }
  /// The bytes from `from` on come, by way of `outer`, from those from `begin` on.
  void add(std::size_t from, const offset_map& outer, std::size_t begin, std::size_t size);
  [[nodiscard]] std::size_t operator()(std::size_t at) const noexcept;

  /// A text as it is.
  static offset_map identity(std::size_t to = 0) {
    offset_map m;
    m.add(0, to);
    return m;
  }
  /// What is said in other words in a text: nothing, references, or references outside of CDATA
  /// sections, whose ends go.
  enum class coding : std::uint8_t { none, references, foreign };
  /// `decoded` was made from `raw`, which begins at `from` in a text that `outer` maps: line breaks
  /// became LF, what is no character U+FFFD, and what `how` says was decoded.
  static offset_map decoded(std::string_view raw, std::string_view decoded, coding how,
                            std::size_t from, const offset_map& outer);

 private:
  struct run {
    std::size_t from;
    std::size_t to;
  };
  std::vector<run> runs_;
};

/// A document in the making.
class gathering {
 public:
  gathering(const source_text& source, const url& base, const options& how);

  const options& how;

  /// Takes a link with raw text; the position is `at` in the document's UTF-8 text. Returns it, or
  /// null when there are as many as may be (which is a problem) or when nothing is left of it.
  link* add(link l, std::size_t at);
  [[nodiscard]] std::vector<link>& links() noexcept { return made_.links; }
  [[nodiscard]] anchor_set& anchors() noexcept { return made_.anchors; }
  [[nodiscard]] document& made() noexcept { return made_; }
  [[nodiscard]] const source_text& source() const noexcept { return source_; }
  /// The first one counts.
  void set_base(std::string_view href);
  void stop(errc code, std::string_view why);

  /// Sorts, counts lines and resolves.
  document finish();

 private:
  void place();
  void resolve(link& l) const;

  const source_text& source_;
  document made_;
  bool has_base_ = false;
};

// One reader a format. `where` maps the text to the document's.
struct markup {
  std::string_view text;
  const offset_map& where;
  /// A document inside a document: it has no say in base, anchors and robots.
  int nesting = 0;
};
void read_markup(const markup& m, gathering& out);
void read_css(std::string_view text, const offset_map& where, std::string_view element,
              std::string_view attribute, gathering& out);
void read_markdown(gathering& out);
void read_sitemap(gathering& out);

}  // namespace oneloop::inline v0::html::detail
