// Events and reports for the tests of the formats: plain ones, and such as hostile pages make.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/check/crawl.hpp"

namespace tool {

inline oneloop::crawl_source at(std::string page, std::uint32_t line, std::uint32_t column) {
  return {std::move(page), {line, column, "a text", "a[href]", ""}};
}

inline oneloop::check_error not_found() {
  return {oneloop::http::error_kind::status, "404 Not Found"};
}

inline oneloop::crawl_broken_link broken_link(std::string url, oneloop::crawl_source source) {
  return {std::move(url), 404, not_found(), std::move(source)};
}

inline oneloop::crawl_broken_url broken_url(std::string url,
                                            std::vector<oneloop::crawl_source> sources) {
  const auto linked = sources.size();
  return {std::move(url), 404, not_found(), std::move(sources), linked};
}

inline oneloop::crawl_verdict good(std::string url) {
  oneloop::crawl_verdict v{oneloop::check_result{std::move(url)}, 0, false, false, 0, false, ""};
  v.result.ok = true;
  v.result.status = 200;
  v.result.final_url = v.result.url;
  return v;
}

inline oneloop::crawl_verdict moved(std::string from, std::string to) {
  auto v = good(from);
  v.result.redirects.push_back({301, std::move(from), to});
  v.result.final_url = std::move(to);
  return v;
}

inline oneloop::crawl_verdict bad(std::string url) {
  oneloop::crawl_verdict v{oneloop::check_result{std::move(url)}, 0, false, false, 0, false, ""};
  v.result.status = 404;
  v.result.error = not_found();
  return v;
}

/// What no reader of a report wants to find in it.
inline const std::vector<std::string>& nasty_texts() {
  static const std::vector<std::string> texts{
      "",
      "\"quoted\", 'twice' \\",
      "two\r\nlines\n",
      std::string{"nul\0nul", 7},
      "\033[2J\x07\x7f\t bell",
      "\xc2\x9b"
      "2J",
      "caf\xe9 \xff\xfe",
      "\xed\xa0\x80 \xc0\xaf \xf4\x90\x80\x80 \xef\xbf\xbe \xf0\x9f",
      "]]> <![CDATA[ <!-- --> ?>",
      "</script><script>alert(1)</script>",
      "\" onmouseover=\"alert(1)",
      "<img src=x onerror=alert(1)>&amp;",
      "=HYPERLINK(\"http://evil/\",\"x\")",
      "@x,y;z|w",
      "{} {0} %s %n",
      "::error::x",
      "javascript:alert(1)",
      "\xe2\x80\xae txet \xf0\x9f\x8e\x89",
      std::string(20'000, 'w'),
  };
  return texts;
}

inline oneloop::crawl_source nasty_source(const std::string& text) {
  return {text, {3, 7, text, text, text}};
}

inline std::vector<oneloop::crawl_event> nasty_events() {
  std::vector<oneloop::crawl_event> events;
  for (const auto& text : nasty_texts()) {
    const auto source = nasty_source(text);
    const oneloop::check_error error{oneloop::http::error_kind::tls, text};
    auto verdict = moved(text, text);
    verdict.content_type = text;
    events.emplace_back(verdict);
    verdict.result.ok = false;
    verdict.result.error = error;
    events.emplace_back(verdict);
    events.emplace_back(oneloop::crawl_broken_link{text, 0, error, source});
    events.emplace_back(oneloop::crawl_broken_fragment{text, text, text, source});
    events.emplace_back(
        oneloop::crawl_skipped_link{text, oneloop::crawl_skip_reason::scheme, source});
    events.emplace_back(oneloop::crawl_not_read{text, text});
    events.emplace_back(oneloop::crawl_found_link{text, source});
    events.emplace_back(oneloop::crawl_note{text});
  }
  return events;
}

/// As many of each thing as there are nasty texts.
inline oneloop::crawl_report nasty_report() {
  using namespace std::chrono_literals;
  oneloop::crawl_report r;
  for (const auto& text : nasty_texts()) {
    const std::vector<oneloop::crawl_source> sources(5, nasty_source(text));
    r.start.push_back(text);
    r.broken.push_back(
        {text, 0, oneloop::check_error{oneloop::http::error_kind::tls, text}, sources, 7});
    r.fragments.push_back({text, text, text, sources[0]});
    r.redirects.push_back({301, text, text, sources});
    r.hosts.push_back({text, 3, 2, 1, 12ms, 1234ms});
  }
  r.skipped.fill(3);
  r.not_read = 2;
  r.elapsed = 1234ms;
  return r;
}

}  // namespace tool
