// Documents: a byte that chooses what kind, a byte of options, the document.
#include <gumbo.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fuzz/check.hpp"
#include "oneloop/html/extract.hpp"

namespace {

using namespace oneloop;
using html::document_kind;

const url& base() {
  static const url b = url::parse("http://example.com/dir/page?q").value();
  return b;
}

bool is_plain(std::string_view s) {
  return std::ranges::all_of(s,
                             [](char c) { return c > ' ' && c < 0x7f && c != '&' && c != '\\'; });
}

/// Whether `source` says `raw`, as far as nothing in it had to be decoded.
bool says(std::string_view source, std::string_view raw) {
  for (std::size_t i = 0; i < raw.size(); ++i) {
    if (i >= source.size()) return false;
    if (source[i] == '&' || source[i] == '\\') return true;
    if (source[i] != raw[i]) return false;
  }
  return true;
}

void holds(const html::document& d, document_kind kind, std::string_view text) {
  std::size_t before = 0;
  for (const html::link& l : d.links) {
    fuzz::check(l.at.offset >= before, "links come in the order of the document");
    before = l.at.offset;
    if (kind != document_kind::sitemap)
      fuzz::check(before <= text.size(), "a link is in the document");
    fuzz::check(l.at.line >= 1 && l.at.column >= 1, "lines and columns begin with 1");
    fuzz::check(l.text.size() <= 160, "text is bounded");
    fuzz::check(!l.target || *l.target == url::parse(l.target->href()).value(),
                "a target is a URL");
    if (kind != document_kind::markdown && kind != document_kind::sitemap && d.charset == "UTF-8" &&
        is_plain(l.raw)) {
      fuzz::check(says(text.substr(before), l.raw), "a link stands where it says");
    }
  }
  for (const std::string& a : d.anchors) {
    if (a.find(":~:") != a.npos) continue;
    fuzz::check(d.anchors.contains(a), "an anchor is found as it is written");
    fuzz::check(d.anchors.contains(percent_encode(a, percent_set::component)),
                "an anchor is found percent-encoded");
  }
}

void same_with_long_lines(const html::document& d, document_kind kind, std::string_view text,
                          const html::options& how) {
  std::string other;
  for (const char c : text) {
    if (c == '\n') other += '\r';
    other += c;
  }
  const html::document e = html::extract(kind, fuzz::bytes(other), base(), how);
  fuzz::check(d.anchors.size() == e.anchors.size(), "CR LF are a line's end: anchors");
  fuzz::check(d.links.size() == e.links.size(), "CR LF are a line's end: links");
  // In Markdown, places are looked for, and where two are not found their order may differ.
  if (kind == document_kind::markdown) return;
  for (std::size_t i = 0; i < d.links.size(); ++i) {
    const html::link& a = d.links[i];
    const html::link& b = e.links[i];
    fuzz::check(a.element == b.element && a.attribute == b.attribute && a.use == b.use,
                "CR LF are a line's end: kind of link");
    fuzz::check(a.target == b.target, "CR LF are a line's end: targets");
    fuzz::check(a.at.line == b.at.line && a.at.column == b.at.column,
                "CR LF are a line's end: places");
  }
}

/// What gumbo makes of the whole document: its <a href> and <img src>, once each, where they stand.
std::vector<std::size_t> links_of_gumbo(std::string_view text) {
  GumboOutput* const o = gumbo_parse_with_options(&kGumboDefaultOptions, text.data(), text.size());
  std::set<std::size_t> found;
  std::vector<const GumboNode*> todo{o->document};
  while (!todo.empty()) {
    const GumboNode* const n = todo.back();
    todo.pop_back();
    const GumboVector* children = nullptr;
    if (n->type == GUMBO_NODE_DOCUMENT) {
      children = &n->v.document.children;
    } else if (n->type == GUMBO_NODE_ELEMENT || n->type == GUMBO_NODE_TEMPLATE) {
      const GumboElement& e = n->v.element;
      children = &e.children;
      const char* const name = e.tag == GUMBO_TAG_A     ? "href"
                               : e.tag == GUMBO_TAG_IMG ? "src"
                                                        : nullptr;
      const GumboAttribute* const a =
          name == nullptr ? nullptr : gumbo_get_attribute(&e.attributes, name);
      // It tells the place wrongly where the value begins with a reference.
      if (a != nullptr && a->value[0] != '\0' && is_plain(a->value) &&
          a->original_value.length != 0) {
        const char quote = a->original_value.data[0];
        const bool quoted = quote == '"' || quote == '\'';
        if (a->value[0] == a->original_value.data[quoted ? 1 : 0]) {
          found.insert(static_cast<std::size_t>(a->original_value.data - text.data()) +
                       (quoted ? 1 : 0));
        }
      }
    }
    if (children == nullptr) continue;
    for (unsigned i = 0; i < children->length; ++i) {
      todo.push_back(static_cast<const GumboNode*>(children->data[i]));
    }
  }
  gumbo_destroy_output(&kGumboDefaultOptions, o);
  return {found.begin(), found.end()};
}

void as_gumbo_has_it(std::string_view text) {
  // Where SVG ends is followed only roughly; it matters for the text of <textarea> and the like.
  std::string low{text};
  std::ranges::transform(low, low.begin(), [](unsigned char c) { return std::tolower(c); });
  if (low.find("<svg") != low.npos || low.find("<math") != low.npos) return;
  // Framesets take back what has been there; a piece with one begins anew.
  if (low.find("frameset") != low.npos) return;
  // It loses U+0000 at the front of an attribute's name.
  if (text.find('\0') != text.npos) return;
  if (text.starts_with("\xfe\xff") || text.starts_with("\xff\xfe")) return;
  const html::document d =
      html::extract(document_kind::html, fuzz::bytes(text), base(),
                    {.charset = "utf-8", .code_blocks = true, .templates = true});
  std::vector<std::size_t> ours;
  for (const html::link& l : d.links) {
    if ((l.element == "a" && l.attribute.ends_with("href")) ||
        (l.element == "img" && l.attribute == "src")) {
      if (is_plain(l.raw)) ours.push_back(l.at.offset);
    }
  }
  for (const std::size_t at : links_of_gumbo(text)) {
    fuzz::check(std::ranges::find(ours, at) != ours.end(), "gumbo sees a link that we do not");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  static constexpr document_kind kinds[] = {document_kind::html, document_kind::css,
                                            document_kind::markdown, document_kind::sitemap};
  static constexpr std::string_view charsets[] = {
      "", "utf-8", "windows-1251", "utf-16le", "utf-16be", "shift_jis", "gbk", "replacement"};
  const document_kind kind = kinds[in.byte() % 4];
  const unsigned choice = in.byte();
  const html::options how{.charset = std::string{charsets[choice % 8]},
                          .code_blocks = (choice & 8) != 0,
                          .templates = (choice & 16) != 0};
  const std::string_view text = in.rest();
  const html::document d = html::extract(kind, fuzz::bytes(text), base(), how);
  holds(d, kind, text);
  if (text.find('\r') == text.npos && (choice % 8 < 2) && !text.starts_with("\x1f\x8b") &&
      !text.starts_with("\xff\xfe") && !text.starts_with("\xfe\xff") &&
      // The prescan for <meta> ends at byte 1,024.
      (kind != document_kind::html || choice % 8 == 1)) {
    same_with_long_lines(d, kind, text, how);
  }
  if (kind == document_kind::html && choice % 8 == 1 && !text.starts_with("\xef\xbb\xbf")) {
    as_gumbo_has_it(text);
  }
  return 0;
}
