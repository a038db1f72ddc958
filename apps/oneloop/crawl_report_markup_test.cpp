#include <expat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "crawl_report.hpp"
#include "crawl_report_test.hpp"
#include "oneloop/html/extract.hpp"

namespace tool {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

struct element {
  std::string name;
  std::map<std::string, std::string> attributes;
  std::string text;
  std::size_t depth = 0;
};

/// All elements in their order; fails where the text is no XML.
std::vector<element> read_xml(const std::string& text) {
  struct state {
    std::vector<element> all;
    std::vector<std::size_t> open;
  } s;
  const std::unique_ptr<XML_ParserStruct, decltype(&XML_ParserFree)> p{XML_ParserCreate(nullptr),
                                                                       XML_ParserFree};
  XML_SetUserData(p.get(), &s);
  XML_SetElementHandler(
      p.get(),
      [](void* to, const char* name, const char** attributes) {
        auto& in = *static_cast<state*>(to);
        element e{name, {}, "", in.open.size()};
        for (; *attributes != nullptr; attributes += 2) e.attributes[attributes[0]] = attributes[1];
        in.open.push_back(in.all.size());
        in.all.push_back(std::move(e));
      },
      [](void* to, const char*) { static_cast<state*>(to)->open.pop_back(); });
  XML_SetCharacterDataHandler(p.get(), [](void* to, const char* data, int size) {
    auto& in = *static_cast<state*>(to);
    in.all[in.open.back()].text.append(data, static_cast<std::size_t>(size));
  });
  EXPECT_EQ(XML_Parse(p.get(), text.data(), static_cast<int>(text.size()), 1), XML_STATUS_OK)
      << XML_ErrorString(XML_GetErrorCode(p.get())) << " in line "
      << XML_GetCurrentLineNumber(p.get());
  return s.all;
}

std::string junit_of(const std::vector<oneloop::crawl_event>& events,
                     const oneloop::crawl_report& r) {
  const auto w = crawl_writer::make(crawl_format::junit, false);
  std::string text = w->begin();
  for (const auto& e : events) text += w->event(e);
  return text + w->end(r);
}

/// That the counts of the suites are those of their test cases.
void expect_counts(const std::vector<element>& all) {
  std::map<std::string, int> sums;
  std::map<std::string, std::string> suite;
  int tests = 0;
  int failures = 0;
  const auto check = [&] {
    if (suite.empty()) return;
    EXPECT_EQ(suite["tests"], std::to_string(tests));
    EXPECT_EQ(suite["failures"], std::to_string(failures));
    sums["tests"] += tests;
    sums["failures"] += failures;
    tests = failures = 0;
  };
  for (const auto& e : all) {
    if (e.name == "testsuite") {
      check();
      suite = e.attributes;
    }
    tests += e.name == "testcase" ? 1 : 0;
    failures += e.name == "failure" ? 1 : 0;
  }
  check();
  EXPECT_EQ(all.at(0).attributes.at("tests"), std::to_string(sums["tests"]));
  EXPECT_EQ(all.at(0).attributes.at("failures"), std::to_string(sums["failures"]));
}

TEST(crawl_junit, has_a_test_case_for_each_url) {
  oneloop::crawl_report r;
  r.urls = 5;
  r.broken.push_back(broken_url("http://x/1", {at("a.md", 1, 2), at("http://a/", 0, 0)}));
  r.broken[0].linked = 1004;
  r.fragments.push_back({"http://x/", "f", "there is \"F\"", at("a.md", 3, 4)});
  r.fragments.push_back({"http://x/", "f", "there is \"F\"", at("a.md", 5, 6)});
  const auto all = read_xml(junit_of({good("http://a/"), bad("http://x/1")}, r));
  expect_counts(all);
  std::vector<std::string> told;
  for (const auto& e : all) {
    if (e.name == "testcase") {
      told.push_back(e.attributes.at("classname") + " " + e.attributes.at("name"));
    } else if (e.name == "failure") {
      told.push_back(e.attributes.at("message") + "|" + e.text);
    }
  }
  EXPECT_THAT(told,
              ElementsAre("x http://x/1",
                          "404 Not Found|a.md:1:2: a text\nhttp://a/: a text\nand 1,002 more\n",
                          "a http://a/", "others 3 more URLs", "x http://x/#f",
                          "no such place in the page; there is \"F\"|a.md:3:4: a text\n"
                          "a.md:5:6: a text\n"));
}

TEST(crawl_junit, of_a_million_urls_names_some) {
  const auto w = crawl_writer::make(crawl_format::junit, false);
  for (int i = 0; i < 20'000; ++i) {
    EXPECT_EQ(w->event(good("http://a/" + std::to_string(i))), "");
  }
  oneloop::crawl_report r;
  r.urls = 1'000'000;
  const auto all = read_xml(w->end(r));
  expect_counts(all);
  EXPECT_EQ(all.at(0).attributes.at("tests"), "10001");
  EXPECT_EQ(all.back().attributes.at("name"), "990,000 more URLs");
}

TEST(crawl_junit, stays_xml_whatever_pages_say) {
  const auto all = read_xml(junit_of(nasty_events(), nasty_report()));
  expect_counts(all);
  bool found = false;
  for (const auto& e : all) {
    found =
        found || (e.name == "failure" && e.attributes.at("message") == "]]> <![CDATA[ <!-- --> ?>");
  }
  EXPECT_TRUE(found);
  expect_counts(read_xml(junit_of({}, {})));
}

std::string html_of(const oneloop::crawl_report& r) {
  const auto w = crawl_writer::make(crawl_format::html, false);
  EXPECT_EQ(w->begin(), "");
  return w->end(r);
}

std::size_t times(std::string_view text, std::string_view what) {
  std::size_t n = 0;
  for (auto i = text.find(what); i != std::string_view::npos; i = text.find(what, i + 1)) ++n;
  return n;
}

TEST(crawl_html, has_what_the_report_has) {
  oneloop::crawl_report r;
  r.start = {"http://a/"};
  r.pages = 1204;
  r.broken.push_back(broken_url("http://x/1?a=1&b=2", std::vector(5, at("docs/a.md", 12, 5))));
  r.broken[0].linked = 1005;
  r.fragments.push_back({"http://a/b", "f", "there is \"F\"", at("http://a/", 3, 4)});
  r.redirects.push_back({301, "http://a/old", "http://a/new", {at("docs/a.md", 9, 1)}});
  r.skipped[static_cast<std::size_t>(oneloop::crawl_skip_reason::robots)] = 4;
  r.hosts.push_back({"a:8080", 8, 1, 0, std::chrono::microseconds{2500}, std::chrono::seconds{2}});
  const auto text = html_of(r);
  for (const char* part :
       {"1,204", "<a href=\"http://x/1?a=1&amp;b=2\"", "Not Found", "docs/a.md", ":12:5", "a text",
        "a[href]", "1,002 more", "and 1,000 others", "http://a/b#f", "there is &quot;F&quot;",
        "http://a/old", "http://a/new", "robots.txt", "a:8080", "2.5 ms", "2.00 s"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(crawl_html, says_when_all_is_well) {
  const auto text = html_of({});
  EXPECT_THAT(text, HasSubstr("No broken links"));
  EXPECT_EQ(times(text, "<tr"), 0U);
}

TEST(crawl_html, keeps_texts_of_pages_texts) {
  const auto text = html_of(nasty_report());
  EXPECT_EQ(times(text, "<script"), 1U);
  EXPECT_EQ(times(text, "<img"), 0U);
  EXPECT_EQ(times(text, "onmouseover=\""), 0U);
  EXPECT_EQ(times(text, "href=\"javascript"), 0U);
  EXPECT_EQ(text.find_first_of(std::string_view{"\0\x1b\x07\x7f\r", 5}), std::string::npos);
  // Nothing is loaded: what is linked is linked for people, and that is of the web or a part of it.
  const auto page =
      oneloop::html::extract(oneloop::html::document_kind::html, std::as_bytes(std::span{text}),
                             oneloop::url::parse("http://report/").value());
  for (const auto& l : page.links) {
    EXPECT_EQ(l.element, "a");
    EXPECT_THAT(l.raw, ::testing::AnyOf(::testing::StartsWith("http"), ::testing::StartsWith("#")));
  }
}

}  // namespace
}  // namespace tool
