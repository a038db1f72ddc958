#include "report.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace tool {
namespace {

using nlohmann::json;
using oneloop::check_result;
using oneloop::http::error_kind;

check_result good(std::string url) {
  check_result r{std::move(url)};
  r.ok = true;
  r.status = 200;
  r.final_url = r.url;
  return r;
}

check_result bad(std::string url, error_kind kind, std::string message) {
  check_result r{std::move(url)};
  r.error.emplace(kind, std::move(message));
  return r;
}

TEST(text_report, is_one_line_a_verdict) {
  report r{report_format::text};
  EXPECT_EQ(r.result(good("http://a/")), "http://a/ OK\n");
  EXPECT_EQ(r.result(bad("http://b/", error_kind::status, "404 Not Found")),
            "http://b/ Bad: 404 Not Found\n");
  EXPECT_EQ(r.result(bad("http://b/", error_kind::status, "404 Two\r\nLines\033[2J")),
            "http://b/ Bad: 404 Two  Lines [2J\n");
  EXPECT_EQ(r.result(good("http://a/\n\033[2Jb")), "http://a/  [2Jb OK\n");
  EXPECT_EQ(r.end(oneloop::check_summary{}), "");
}

TEST(json_report, is_one_document_of_any_number_of_verdicts) {
  for (const std::size_t n : {0, 1, 3}) {
    report r{report_format::json};
    oneloop::check_summary s;
    std::string text;
    for (std::size_t i = 0; i < n; ++i) {
      const auto result = bad("http://\xff/\"\\\n", error_kind::tls, "caf\xe9");
      s.add(result);
      text += r.result(result);
    }
    text += r.end(s);
    const auto j = json::parse(text);
    EXPECT_EQ(j["results"].size(), n);
    EXPECT_EQ(j["summary"]["by_kind"]["tls"], n);
    EXPECT_EQ(j["summary"]["total"], n);
  }
}

TEST(json_report, tells_how_it_went) {
  report r{report_format::ndjson};
  auto result = good("http://a/");
  result.attempts = 2;
  result.redirects.push_back({301, "http://a/", "http://b/"});
  const auto text = r.result(result);
  EXPECT_EQ(text.back(), '\n');
  EXPECT_EQ(text.find('\n'), text.size() - 1);
  const auto j = json::parse(text);
  EXPECT_EQ(j["attempts"], 2);
  EXPECT_EQ(j["redirects"], json::parse(R"([{"status":301,"from":"http://a/","to":"http://b/"}])"));
  EXPECT_EQ(r.end(oneloop::check_summary{}), "");
}

TEST(details, tell_how_it_went) {
  auto result = good("http://a/");
  result.attempts = 2;
  result.redirects.push_back({301, "http://a/", "http://b/"});
  result.warning = "self-signed\033[2J";
  result.times.total = std::chrono::microseconds{12345};
  EXPECT_EQ(details(result),
            "oneloop: http://a/: 200 in 12.3 ms, 2 tries (dns 0.0, connect 0.0, tls 0.0, first "
            "byte 0.0)\noneloop:   301 to http://b/\noneloop:   warning: self-signed [2J\n");
}

TEST(summary, counts_in_words) {
  oneloop::check_summary s;
  s.add(good("http://a/"));
  s.took(std::chrono::milliseconds{1234});
  EXPECT_EQ(summary_line(s), "1 URL, 1 OK, 0 Bad in 1.23 s");
  s.add(bad("http://b/", error_kind::dns, "x"));
  EXPECT_EQ(summary_line(s), "2 URLs, 1 OK, 1 Bad in 1.23 s");
}

}  // namespace
}  // namespace tool
