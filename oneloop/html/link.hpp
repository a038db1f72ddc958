// A link that was found in a document: what it says, where it stands and what it leads to.
//
//     for (const oneloop::html::link& l : page.links) {
//       if (l.target && l.followed()) visit(*l.target);
//       else if (!l.target) print(l.at.line, l.at.column, l.raw, l.target.error().message());
//     }
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <system_error>

#include "oneloop/base/config.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::html {

/// A place in a document as it came: before any conversion.
struct position {
  /// From 1. A line ends with LF, CR LF or CR.
  std::uint32_t line = 0;
  /// From 1, in characters (code points), whatever their bytes; a tab is one, and so is a byte that
  /// is no character. A byte order mark is none.
  std::uint32_t column = 0;
  /// From 0, in bytes.
  std::size_t offset = 0;

  friend bool operator==(const position&, const position&) = default;
};

/// What a link is there for.
enum class link_use : std::uint8_t {
  navigation,  // leads to another document: <a>, <iframe>, <link rel=next>, meta refresh, a
               // sitemap's
  resource,    // belongs to the document: an image, a script, a font
  stylesheet,  // a resource with links of its own: <link rel=stylesheet>, @import
  submission,  // data is sent there: action, formaction, ping. A GET may well be refused
  hint,        // <link rel=preconnect>: a host, no document; there need not be anything
};

/// One link of a document. A value: it keeps nothing of the document alive.
struct link {
  /// As it is written, entities and escapes decoded and the space around it taken away. Of texts
  /// that are too long for a URL only so much is kept as shows that.
  std::string raw;
  /// Resolved against the document's base, or why that failed.
  std::expected<url, std::error_code> target{std::unexpect, make_error_code(url_errc::relative)};
  /// The element and the attribute that hold it, in lower case: "img" and "srcset". In style sheets
  /// "url" or "@import"; in Markdown what it will become ("a", "img"); in sitemaps "loc".
  std::string element, attribute;
  /// What a reader sees of it: text inside, else alt or title. White space is collapsed.
  std::string text;
  /// The rel attribute, in lower case.
  std::string rel;
  /// Where the first byte of `raw` stands.
  position at;
  link_use use = link_use::navigation;
  /// rel says "nofollow".
  bool nofollow = false;

  /// A crawler goes on there.
  [[nodiscard]] bool followed() const noexcept {
    return use == link_use::navigation || use == link_use::stylesheet;
  }
};

}  // namespace oneloop::inline v0::html
