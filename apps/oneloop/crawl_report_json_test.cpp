#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "crawl_report.hpp"
#include "crawl_report_test.hpp"

namespace tool {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

oneloop::crawl_report small_report() {
  oneloop::crawl_report r;
  r.start = {"http://a/", "docs"};
  r.pages = 3;
  r.links = 20;
  r.urls = 9;
  r.not_read = 1;
  r.elapsed = 1500us;
  r.broken.push_back(broken_url("http://x/1", {at("docs/a.md", 1, 2), at("http://a/", 0, 0)}));
  r.broken[0].linked = 30;
  r.broken.push_back(
      {"http://y/",
       0,
       oneloop::check_error{oneloop::http::error_kind::dns, "lookup y: no such host"},
       {},
       0});
  r.fragments.push_back({"http://a/", "f", "there is \"F\"", at("docs/a.md", 3, 4)});
  r.fragments.push_back({"http://a/", "g", "", at("docs/a.md", 5, 6)});
  r.fragments.push_back({"http://a/", "f", "there is \"F\"", at("docs/b.md", 7, 8)});
  r.redirects.push_back({301, "http://a/old", "http://a/new", {at("docs/a.md", 9, 1)}});
  r.skipped[static_cast<std::size_t>(oneloop::crawl_skip_reason::mail)] = 4;
  r.hosts.push_back({"a", 8, 1, 0, 2500us, 10ms});
  return r;
}

TEST(crawl_json, has_the_report_by_its_names) {
  const auto w = crawl_writer::make(crawl_format::json, false);
  EXPECT_EQ(w->begin(), "");
  EXPECT_EQ(w->event(good("http://a/")), "");
  const auto j = json::parse(w->end(small_report()));
  EXPECT_EQ(j["start"], json::parse(R"(["http://a/","docs"])"));
  EXPECT_EQ(j["pages"], 3);
  EXPECT_EQ(j["links"], 20);
  EXPECT_EQ(j["urls"], 9);
  EXPECT_EQ(j["not_html"], 1);
  EXPECT_EQ(j["elapsed_ms"], 1.5);
  EXPECT_EQ(j["resumed"], false);
  EXPECT_EQ(j["broken"], json::parse(R"([
    {"url": "http://x/1", "reason": "404 Not Found", "kind": "status", "status": 404, "linked": 30,
     "sources": [{"page": "docs/a.md", "line": 1, "column": 2, "text": "a text",
                  "element": "a[href]"},
                 {"page": "http://a/", "line": null, "column": null, "text": "a text",
                  "element": "a[href]"}]},
    {"url": "http://y/", "reason": "lookup y: no such host", "kind": "dns", "status": null,
     "linked": 0, "sources": []}])"));
  EXPECT_EQ(j["fragments"], json::parse(R"([
    {"url": "http://a/", "fragment": "f", "reason": "no such place in the page; there is \"F\"",
     "sources": [{"page": "docs/a.md", "line": 3, "column": 4, "text": "a text",
                  "element": "a[href]"},
                 {"page": "docs/b.md", "line": 7, "column": 8, "text": "a text",
                  "element": "a[href]"}]},
    {"url": "http://a/", "fragment": "g", "reason": "no such place in the page",
     "sources": [{"page": "docs/a.md", "line": 5, "column": 6, "text": "a text",
                  "element": "a[href]"}]}])"));
  EXPECT_EQ(j["redirects"], json::parse(R"([
    {"status": 301, "from": "http://a/old", "to": "http://a/new",
     "sources": [{"page": "docs/a.md", "line": 9, "column": 1, "text": "a text",
                  "element": "a[href]"}]}])"));
  EXPECT_EQ(j["skipped"], json::parse(R"({"scheme": 0, "mail": 4, "telephone": 0, "excluded": 0,
    "external": 0, "robots": 0, "trap": 0, "limit": 0, "offline": 0, "hint": 0, "submission": 0})"));
  EXPECT_EQ(j["hosts"], json::parse(R"([{"name": "a", "requests": 8, "bad": 1, "pauses": 0,
    "mean_ms": 2.5, "slowest_ms": 10.0}])"));
  EXPECT_FALSE(j.contains("found"));
}

TEST(crawl_json, of_nothing_is_a_document_too) {
  const auto j = json::parse(crawl_writer::make(crawl_format::json, false)->end({}));
  for (const char* name : {"start", "broken", "fragments", "redirects", "hosts"}) {
    EXPECT_EQ(j[name], json::array()) << name;
  }
}

TEST(crawl_json, has_the_links_of_a_dump) {
  const auto w = crawl_writer::make(crawl_format::json, false);
  EXPECT_EQ(w->event(oneloop::crawl_found_link{"http://x/1", at("a.md", 1, 2)}), "");
  EXPECT_EQ(w->event(oneloop::crawl_found_link{"http://x/2", at("a.md", 3, 4)}), "");
  const auto j = json::parse(w->end({}));
  ASSERT_EQ(j["found"].size(), 2U);
  EXPECT_EQ(j["found"][1]["url"], "http://x/2");
  EXPECT_EQ(j["found"][1]["source"]["line"], 3);
}

TEST(crawl_json, stays_valid_whatever_pages_say) {
  const auto w = crawl_writer::make(crawl_format::json, false);
  for (const auto& e : nasty_events()) EXPECT_EQ(w->event(e), "");
  const auto j = json::parse(w->end(nasty_report()));
  EXPECT_EQ(j["broken"].size(), nasty_texts().size());
  EXPECT_EQ(j["broken"][9]["url"], "</script><script>alert(1)</script>");
  EXPECT_EQ(j["broken"][3]["reason"], (std::string{"nul\0nul", 7}));
  EXPECT_EQ(j["broken"][6]["sources"][0]["text"], "caf\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd");
}

std::vector<json> lines_of(const std::string& text) {
  std::vector<json> all;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) all.push_back(json::parse(line));
  EXPECT_TRUE(text.empty() || text.back() == '\n');
  return all;
}

TEST(crawl_ndjson, is_one_object_an_event) {
  const auto w = crawl_writer::make(crawl_format::ndjson, false);
  const auto one = [&w](const oneloop::crawl_event& e) {
    const auto all = lines_of(w->event(e));
    EXPECT_EQ(all.size(), 1U);
    return all.at(0);
  };
  auto v = moved("http://a/old", "http://a/new");
  v.depth = 2;
  v.internal = v.read = true;
  v.links = 7;
  v.content_type = "text/html";
  auto j = one(v);
  EXPECT_EQ(j["type"], "verdict");
  EXPECT_EQ(j["ok"], true);
  EXPECT_EQ(j["redirects"][0]["to"], "http://a/new");
  EXPECT_EQ(j["depth"], 2);
  EXPECT_EQ(j["read"], true);
  EXPECT_EQ(j["links"], 7);
  EXPECT_EQ(j["content_type"], "text/html");
  EXPECT_EQ(one(bad("http://a/gone"))["error"]["kind"], "status");
  j = one(broken_link("http://x/", at("a.md", 1, 2)));
  EXPECT_EQ(j, json::parse(R"({"type": "broken", "url": "http://x/", "reason": "404 Not Found",
    "kind": "status", "status": 404, "source": {"page": "a.md", "line": 1, "column": 2,
    "text": "a text", "element": "a[href]"}})"));
  EXPECT_EQ(one(broken_link("http://x/", {}))["source"], nullptr);
  j = one(oneloop::crawl_broken_fragment{"http://x/", "f", "there is \"F\"", at("a.md", 1, 2)});
  EXPECT_EQ(j["type"], "fragment");
  EXPECT_EQ(j["fragment"], "f");
  EXPECT_EQ(j["source"]["page"], "a.md");
  j = one(
      oneloop::crawl_skipped_link{"mailto:x", oneloop::crawl_skip_reason::mail, at("a.md", 1, 2)});
  EXPECT_EQ(j["type"], "skipped");
  EXPECT_EQ(j["reason"], "mail");
  EXPECT_EQ(
      one(oneloop::crawl_not_read{"http://a/x.png", "image/png"}),
      json::parse(R"({"type": "not_html", "url": "http://a/x.png", "content_type": "image/png"})"));
  EXPECT_EQ(one(oneloop::crawl_found_link{"http://x/", at("a.md", 1, 2)})["type"], "link");
  EXPECT_EQ(one(oneloop::crawl_note{"hear"}), json::parse(R"({"type": "note", "text": "hear"})"));
  const auto end = lines_of(w->end(small_report()));
  ASSERT_EQ(end.size(), 1U);
  EXPECT_EQ(end[0]["type"], "summary");
  EXPECT_EQ(end[0]["broken"], 2);
  EXPECT_EQ(end[0]["fragments"], 3);
  EXPECT_EQ(end[0]["skipped"]["mail"], 4);
}

TEST(crawl_ndjson, stays_valid_whatever_pages_say) {
  const auto w = crawl_writer::make(crawl_format::ndjson, false);
  std::string text;
  for (const auto& e : nasty_events()) text += w->event(e);
  EXPECT_EQ(lines_of(text).size(), nasty_events().size());
  auto r = nasty_report();
  r.resumed = true;
  EXPECT_EQ(lines_of(w->end(r)).back()["type"], "summary");
}

TEST(crawl_sarif, is_what_code_scanning_takes) {
  const auto w = crawl_writer::make(crawl_format::sarif, false);
  const auto j = json::parse(w->begin() + w->end(small_report()));
  EXPECT_EQ(j["version"], "2.1.0");
  EXPECT_THAT(j["$schema"].get<std::string>(), HasSubstr("sarif-schema-2.1.0.json"));
  ASSERT_EQ(j["runs"].size(), 1U);
  const auto& run = j["runs"][0];
  EXPECT_EQ(run["tool"]["driver"]["name"], "oneloop");
  const auto& rules = run["tool"]["driver"]["rules"];
  const auto& results = run["results"];
  ASSERT_EQ(results.size(), 6U);
  std::vector<std::string> prints;
  for (const auto& r : results) {
    EXPECT_EQ(rules.at(r["ruleIndex"].get<std::size_t>())["id"], r["ruleId"]);
    EXPECT_FALSE(r["message"]["text"].get<std::string>().empty());
    ASSERT_EQ(r["locations"].size(), 1U);
    const auto& place = r["locations"][0]["physicalLocation"];
    EXPECT_FALSE(place["artifactLocation"]["uri"].get<std::string>().empty());
    EXPECT_GE(place["region"]["startLine"], 1);
    prints.push_back(r["partialFingerprints"]["primaryLocationLineHash"]);
  }
  for (const auto& rule : rules) {
    for (const char* name : {"shortDescription", "fullDescription", "help"}) {
      EXPECT_FALSE(rule[name]["text"].get<std::string>().empty());
    }
  }
  EXPECT_EQ(results[0]["ruleId"], "broken-link/status");
  EXPECT_EQ(results[0]["message"]["text"], "Broken link to http://x/1 (404 Not Found)");
  EXPECT_EQ(results[0]["locations"][0]["physicalLocation"], json::parse(R"({
    "artifactLocation": {"uri": "docs/a.md", "uriBaseId": "%SRCROOT%"},
    "region": {"startLine": 1, "startColumn": 2}})"));
  EXPECT_EQ(results[1]["locations"][0]["physicalLocation"]["artifactLocation"],
            json::parse(R"({"uri": "http://a/"})"));
  EXPECT_EQ(results[2]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], "http://y/");
  EXPECT_EQ(results[3]["level"], "warning");
  std::ranges::sort(prints);
  EXPECT_EQ(std::ranges::adjacent_find(prints), prints.end()) << "two links with one fingerprint";
}

TEST(crawl_sarif, tells_permanent_redirects_only_if_asked) {
  for (const bool verbose : {false, true}) {
    const auto text = crawl_writer::make(crawl_format::sarif, verbose)->end(small_report());
    EXPECT_EQ(json::parse(text)["runs"][0]["results"].size(), verbose ? 7U : 6U);
  }
}

TEST(crawl_sarif, names_a_link_by_the_same_print_when_its_line_has_changed) {
  std::vector<std::string> prints;
  for (const std::uint32_t line : {1U, 100U}) {
    oneloop::crawl_report r;
    r.broken.push_back(broken_url("http://x/", {at("a.md", line, 2)}));
    const auto j = json::parse(crawl_writer::make(crawl_format::sarif, false)->end(r));
    prints.push_back(j["runs"][0]["results"][0]["partialFingerprints"]["primaryLocationLineHash"]);
  }
  EXPECT_EQ(prints[0], prints[1]);
}

TEST(crawl_sarif, has_uris_for_odd_file_names) {
  const auto uri = [](std::string page) {
    oneloop::crawl_report r;
    r.broken.push_back(broken_url("http://x/", {at(std::move(page), 1, 1)}));
    const auto j = json::parse(crawl_writer::make(crawl_format::sarif, false)->end(r));
    return j["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"].value(
        "uri", "");
  };
  EXPECT_EQ(uri("a b/c:d#e?f%20.md"), "a%20b/c%3Ad%23e%3Ff%2520.md");
  EXPECT_EQ(uri("./x/../a.md"), "a.md");
  EXPECT_EQ(uri("/nowhere/a.md"), "file:///nowhere/a.md");
  EXPECT_EQ(uri("http://user:word@a/b"), "http://a/b");
}

TEST(crawl_sarif, is_not_longer_than_code_scanning_takes) {
  oneloop::crawl_report r;
  r.broken.push_back(
      broken_url("http://x/", std::vector<oneloop::crawl_source>(25'010, at("a.md", 1, 1))));
  const auto j = json::parse(crawl_writer::make(crawl_format::sarif, false)->end(r));
  EXPECT_EQ(j["runs"][0]["results"].size(), 25'000U);
  EXPECT_THAT(j["runs"][0]["invocations"][0]["toolExecutionNotifications"].dump(),
              HasSubstr("10 more results"));
}

TEST(crawl_sarif, stays_valid_whatever_pages_say) {
  const auto j = json::parse(crawl_writer::make(crawl_format::sarif, true)->end(nasty_report()));
  EXPECT_EQ(j["runs"][0]["results"].size(), nasty_texts().size() * 11);
  const auto none = json::parse(crawl_writer::make(crawl_format::sarif, true)->end({}));
  EXPECT_EQ(none["runs"][0]["results"], json::array());
}

}  // namespace
}  // namespace tool
