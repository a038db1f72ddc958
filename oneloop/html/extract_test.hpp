// What the tests of documents share: a document read, and its links as short texts.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/html/extract.hpp"

namespace oneloop::html_test {

using namespace html;

inline url page() { return url::parse("http://example.com/dir/page?q").value(); }

inline document read(document_kind kind, std::string_view text, const options& how = {}) {
  return extract(kind, std::as_bytes(std::span{text}), page(), how);
}
inline document read_html(std::string_view text, options how = {}) {
  if (how.charset.empty()) how.charset = "utf-8";
  return read(document_kind::html, text, how);
}

/// "a href x" of each link.
inline std::vector<std::string> brief(const document& d) {
  std::vector<std::string> all;
  for (const link& l : d.links) {
    all.push_back(l.element + (l.attribute.empty() ? "" : " ") + l.attribute + " " + l.raw);
  }
  return all;
}
inline std::vector<std::string> raws(const document& d) {
  std::vector<std::string> all;
  for (const link& l : d.links) all.push_back(l.raw);
  return all;
}
/// "line:column" of each link.
inline std::vector<std::string> places(const document& d) {
  std::vector<std::string> all;
  for (const link& l : d.links) {
    all.push_back(std::to_string(l.at.line) + ":" + std::to_string(l.at.column));
  }
  return all;
}

}  // namespace oneloop::html_test
