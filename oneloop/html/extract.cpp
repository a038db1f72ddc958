#include "oneloop/html/extract.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "oneloop/html/gathering_internal.hpp"
#include "oneloop/html/text_internal.hpp"

namespace oneloop::inline v0::html {
namespace {

using namespace detail;

constexpr std::string_view gzip_magic = "\x1f\x8b";

bool ends_with_any(std::string_view path, std::initializer_list<std::string_view> ends) {
  return std::ranges::any_of(ends, [&](std::string_view e) {
    return path.size() > e.size() && equal_ignoring_case(path.substr(path.size() - e.size()), e);
  });
}

document_kind kind_of_path(std::string_view path) {
  if (ends_with_any(path, {".html", ".htm", ".xhtml", ".xht", ".shtml", ".svg"})) {
    return document_kind::html;
  }
  if (ends_with_any(path, {".md", ".markdown", ".mdown", ".mkdn", ".mkd"})) {
    return document_kind::markdown;
  }
  if (ends_with_any(path, {".css"})) return document_kind::css;
  if (ends_with_any(path, {"sitemap.txt", "sitemap.xml", "sitemap.xml.gz", "sitemap_index.xml",
                           "sitemap-index.xml"})) {
    return document_kind::sitemap;
  }
  return document_kind::none;
}

document_kind kind_of_bytes(std::string_view first) {
  first = first.substr(0, 1024);
  if (first.starts_with("\xef\xbb\xbf")) first.remove_prefix(3);
  strip(first);
  if (!first.starts_with('<')) return document_kind::none;
  for (const std::string_view root : {"<urlset", "<sitemapindex"}) {
    if (first.find(root) != first.npos) return document_kind::sitemap;
  }
  const std::string head = lower(first);
  for (const std::string_view root : {"<!doctype html", "<html", "<svg", "<head", "<body"}) {
    if (head.find(root) != head.npos) return document_kind::html;
  }
  return document_kind::none;
}

/// Value of the parameter `charset`.
std::string charset_of(std::string_view parameters) {
  while (!parameters.empty()) {
    std::size_t end = 0;
    bool quoted = false;
    for (; end < parameters.size() && (quoted || parameters[end] != ';'); ++end) {
      if (parameters[end] == '"') quoted = !quoted;
    }
    std::string_view one = parameters.substr(0, end);
    parameters.remove_prefix(std::min(parameters.size(), end + 1));
    strip(one);
    if (!starts_with_ignoring_case(one, "charset=")) continue;
    one.remove_prefix(8);
    if (one.size() > 1 && one.starts_with('"') && one.ends_with('"')) {
      one = one.substr(1, one.size() - 2);
    }
    return std::string{one};
  }
  return {};
}

struct inflated {
  std::string text;
  errc code{};
  std::string_view why;
};

/// A gzip stream with its further members, up to `most` bytes.
inflated gunzip(std::string_view bytes, std::size_t most) {
  struct stream : z_stream {
    stream() : z_stream{} {
      if (inflateInit2(this, MAX_WBITS + 16) != Z_OK) throw std::bad_alloc{};
    }
    ~stream() { inflateEnd(this); }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;
  } z;
  inflated r;
  z.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  std::array<char, 8192> piece{};
  for (;;) {
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    const int status = inflate(&z, Z_NO_FLUSH);
    const std::size_t made = piece.size() - z.avail_out;
    r.text.append(piece.data(), std::min(made, most - r.text.size()));
    if (made != 0 && r.text.size() == most) {
      r.code = errc::limit_exceeded;
      r.why = "it grows beyond the limit when it is decompressed";
      return r;
    }
    if (status == Z_MEM_ERROR) throw std::bad_alloc{};
    if (status == Z_STREAM_END) {
      if (z.avail_in < 2 || z.next_in[0] != 0x1f || z.next_in[1] != 0x8b) return r;
      inflateReset(&z);
    } else if (status != Z_OK || (made == 0 && z.avail_in == 0)) {
      r.code = errc::protocol;
      r.why = status == Z_OK || status == Z_BUF_ERROR ? "its gzip stream is cut off"
                                                      : "its gzip stream is broken";
      return r;
    }
  }
}

/// What the style sheet says of itself, which has to be its very first bytes.
const encoding* css_charset(std::string_view bytes) {
  constexpr std::string_view rule = "@charset \"";
  if (!bytes.starts_with(rule)) return nullptr;
  const std::string_view label = bytes.substr(rule.size(), 64);
  const std::size_t end = label.find("\";");
  const encoding* e = end == label.npos ? nullptr : find_encoding(label.substr(0, end));
  return e != nullptr && e->name.starts_with("UTF-16") ? &utf8_encoding() : e;
}

const encoding* xml_charset(std::string_view bytes) {
  return bytes.starts_with("<?xml") ? prescan(bytes.substr(0, bytes.find("?>"))) : nullptr;
}

const encoding& charset_for(document_kind kind, std::string_view bytes, const options& how) {
  if (const encoding* e = find_encoding(how.charset)) return *e;
  const encoding* said = nullptr;
  if (kind == document_kind::html) said = prescan(bytes);
  if (kind == document_kind::css) said = css_charset(bytes);
  if (kind == document_kind::sitemap) said = xml_charset(bytes);
  if (said != nullptr) return *said;
  const bool utf8 = kind != document_kind::html || (how.perhaps_utf8 && is_utf8(bytes));
  return utf8 ? utf8_encoding() : windows_1252_encoding();
}

}  // namespace

media media_of(std::string_view content_type, std::string_view path, std::string_view first) {
  media m;
  const std::size_t end = std::min(content_type.find(';'), content_type.size());
  std::string_view type = content_type.substr(0, end);
  strip(type);
  m.charset = charset_of(content_type.substr(std::min(end + 1, content_type.size())));
  const std::string t = lower(type);
  if (t == "text/html" || t == "application/xhtml+xml" || t == "image/svg+xml") {
    m.kind = document_kind::html;
  } else if (t == "text/css") {
    m.kind = document_kind::css;
  } else if (t == "text/markdown" || t == "text/x-markdown") {
    m.kind = document_kind::markdown;
  } else if (t == "application/xml" || t == "text/xml" || t.ends_with("+xml")) {
    m.kind = kind_of_bytes(first);
    if (m.kind == document_kind::none && first.empty()) m.kind = kind_of_path(path);
  } else if (t.empty() || t == "text/plain" || t == "application/octet-stream" ||
             t == "binary/octet-stream" || t == "application/gzip" || t == "application/x-gzip") {
    m.kind = kind_of_path(path);
    // Nobody's plain text is taken for HTML because it looks like it.
    if (m.kind == document_kind::none && t.empty()) m.kind = kind_of_bytes(first);
  }
  return m;
}

document extract(document_kind kind, std::span<const std::byte> bytes, const url& base,
                 const options& how) {
  const std::string_view whole{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  // gumbo, cmark and zlib count in 32 bits.
  const std::size_t most = std::min(how.max_size, std::size_t{1} << 30);
  std::string_view seen = whole.substr(0, most);
  inflated unpacked;
  if (kind == document_kind::sitemap && seen.starts_with(gzip_magic)) {
    unpacked = gunzip(seen, most);
    seen = unpacked.text;
  }
  const source_text source{seen, charset_for(kind, seen, how)};
  gathering out{source, base, how};
  if (whole.size() > most) {
    out.stop(errc::limit_exceeded, "it has more than " + std::to_string(most) + " bytes");
  }
  if (!unpacked.why.empty()) out.stop(unpacked.code, unpacked.why);
  const offset_map same = offset_map::identity();
  switch (kind) {
    case document_kind::none: break;
    case document_kind::html: read_markup({source.text(), same}, out); break;
    case document_kind::css: read_css(source.text(), same, "", "", out); break;
    case document_kind::markdown: read_markdown(out); break;
    case document_kind::sitemap: read_sitemap(out); break;
  }
  return out.finish();
}

}  // namespace oneloop::inline v0::html
