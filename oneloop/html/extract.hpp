// Links and anchors of documents: HTML, CSS, Markdown and sitemaps.
//
//     using namespace oneloop;
//     auto media = html::media_of(response.fields.get("Content-Type").value_or(""), u.path());
//     html::document page = html::extract(media.kind, bytes, u, {.charset = media.charset});
//     for (const html::link& l : page.links) check(l);
//     bool there = page.anchors.contains("chapter-2");
//
// Nothing here does I/O or waits; time and memory are linear in the size of the document, whatever
// is in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/html/anchors.hpp"
#include "oneloop/html/link.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::html {

enum class document_kind : std::uint8_t {
  none,  // nothing that links could be found in
  html,  // also XHTML and SVG
  css,
  markdown,  // CommonMark, with GitHub's bare URLs and heading anchors
  sitemap,   // XML or a text with a URL a line, also gzipped
};

/// What a document says it is.
struct media {
  document_kind kind = document_kind::none;
  /// The charset parameter, or "".
  std::string charset;
};

/// Reads the value of a Content-Type field; "" if there is none. Where the type says little (none,
/// plain text, bytes, XML) the end of `path` and the document's `first` bytes decide, as far as
/// they are given: that is how local files are told apart.
ONELOOP_API media media_of(std::string_view content_type, std::string_view path = {},
                           std::string_view first = {});

struct options {
  /// From the Content-Type field. A byte order mark outranks it; it outranks <meta> and @charset.
  /// Labels are those of the WHATWG Encoding Standard; others count as not given. Without any,
  /// HTML is windows-1252 and everything else UTF-8.
  std::string charset = {};
  /// Without any, HTML is UTF-8 if its bytes are: for files, which no server says anything about.
  bool perhaps_utf8 = false;
  /// Links inside <pre>, <code>, <samp>, <kbd>, <var>, <tt>, <listing>, <xmp>, <plaintext>: they
  /// are examples more often than not.
  bool code_blocks = false;
  /// Links inside <template>: a browser makes nothing of it by itself. (What is in <noscript>
  /// counts, comments never do.)
  bool templates = false;
  /// In Markdown, links that are no more than a URL in the text, as GitHub has them.
  bool bare_urls = true;
  /// Bytes of link::text.
  std::size_t max_text = 160;
  /// Links of one document.
  std::size_t max_links = 1'000'000;
  /// Bytes of a document that are looked at, and what a gzipped sitemap may grow to.
  std::size_t max_size = std::size_t{64} * 1024 * 1024;
};

/// What was found. A value.
struct document {
  /// In the order in which they stand in the document.
  std::vector<link> links;
  /// Where fragments can lead to: HTML and Markdown (whose headings have the anchors of GitHub).
  anchor_set anchors;
  /// What links were resolved against: the document's URL, or that of the first <base href>.
  url base;
  /// The encoding that it was read in, by its WHATWG name: "UTF-8", "windows-1252".
  std::string charset;
  /// <meta name=robots> says nofollow.
  bool nofollow = false;
  /// A sitemap of sitemaps: the links are to be read as sitemaps.
  bool sitemap_index = false;
  /// Why reading ended before the document did, if so; what had been found until then is there.
  /// errc::limit_exceeded (max_size, max_links) and, from sitemaps, errc::protocol: broken gzip or
  /// XML, entities of its own.
  std::optional<error> problem;
};

/// Finds the links in `bytes`, a document at `base`. Broken documents are read as browsers do;
/// bytes that are no characters count as U+FFFD. Throws nothing but std::bad_alloc.
///
/// Threads: any; no state is kept. The stack it needs is small and does not depend on the document.
ONELOOP_API document extract(document_kind kind, std::span<const std::byte> bytes, const url& base,
                             const options& how = {});

}  // namespace oneloop::inline v0::html
