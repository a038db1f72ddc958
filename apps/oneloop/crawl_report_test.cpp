#include "crawl_report.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "crawl_report_test.hpp"

namespace tool {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using oneloop::http::error_kind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(crawl_text, tells_links_with_their_place) {
  const auto w = crawl_writer::make(crawl_format::text, false);
  EXPECT_EQ(w->begin(), "");
  EXPECT_EQ(w->event(broken_link("http://x/y", at("docs/a.md", 12, 5))),
            "Broken link docs/a.md:12:5 -> http://x/y (404 Not Found)\n");
  EXPECT_EQ(w->event(broken_link("http://x/y", at("http://a/", 0, 0))),
            "Broken link http://a/ -> http://x/y (404 Not Found)\n");
  EXPECT_EQ(w->event(broken_link("http://x/", {})), "Broken link http://x/ (404 Not Found)\n");
  EXPECT_EQ(
      w->event(oneloop::crawl_broken_fragment{"http://x/y", "install", "there is \"Install\"",
                                              at("docs/a.md", 3, 1)}),
      "Broken fragment docs/a.md:3:1 -> http://x/y#install (no such place in the page; there is "
      "\"Install\")\n");
  EXPECT_EQ(
      w->event(oneloop::crawl_broken_fragment{"http://x/y", "install", "", at("docs/a.md", 3, 1)}),
      "Broken fragment docs/a.md:3:1 -> http://x/y#install (no such place in the page)\n");
  // Of a start page.
  EXPECT_EQ(w->event(oneloop::crawl_broken_fragment{"http://x/y", "install", "", {}}),
            "Broken fragment http://x/y#install (no such place in the page)\n");
  EXPECT_EQ(w->event(oneloop::crawl_found_link{"http://x/z", at("http://a/", 1, 1)}),
            "http://x/z\n");
  EXPECT_EQ(w->end(oneloop::crawl_report{}), "");
}

TEST(crawl_text, tells_what_was_not_checked_only_if_asked) {
  const auto quiet = crawl_writer::make(crawl_format::text, false);
  const auto w = crawl_writer::make(crawl_format::text, true);
  using oneloop::crawl_skip_reason;
  const auto skipped = [](std::string url, crawl_skip_reason why) {
    return oneloop::crawl_skipped_link{std::move(url), why, at("http://a/", 1, 1)};
  };
  const std::vector<std::pair<oneloop::crawl_event, std::string>> told{
      {skipped("data:x", crawl_skip_reason::scheme), "Not http: data:x\n"},
      {skipped("mailto:x@y", crawl_skip_reason::mail), "Not http: mailto:x@y\n"},
      {skipped("tel:1", crawl_skip_reason::telephone), "Not http: tel:1\n"},
      {skipped("http://a/p", crawl_skip_reason::robots), "Skipped http://a/p (robots)\n"},
      {skipped("http://a/t", crawl_skip_reason::trap), "Skipped http://a/t (trap)\n"},
      {oneloop::crawl_not_read{"http://a/x.png", "image/png"}, "Not html: http://a/x.png\n"},
      {good("http://a/"), "OK http://a/\n"},
      {moved("http://a/old", "http://a/new"), "OK http://a/old (301 to http://a/new)\n"},
      {bad("http://a/gone"), ""},  // each link to it is told
      {oneloop::crawl_note{"robots.txt of http://a: 503"}, ""},
  };
  for (const auto& [e, text] : told) {
    EXPECT_EQ(w->event(e), text);
    EXPECT_EQ(quiet->event(e), "");
  }
}

TEST(crawl_text, keeps_the_cursor_of_the_terminal_where_it_is) {
  const auto w = crawl_writer::make(crawl_format::text, true);
  for (const auto& e : nasty_events()) {
    const auto text = w->event(e);
    EXPECT_EQ(text.find_first_of("\x1b\r\t\x7f"), std::string::npos) << text;
    EXPECT_EQ(text.find("\xc2\x9b"), std::string::npos) << text;
    if (!text.empty()) {
      EXPECT_EQ(text.find('\n'), text.size() - 1) << text;
    }
  }
}

TEST(crawl_text, tells_at_the_end_what_an_earlier_run_found) {
  oneloop::crawl_report r;
  r.broken.push_back(broken_url("http://x/1", {at("a.md", 1, 1), at("a.md", 2, 1)}));
  r.broken.push_back(broken_url("http://x/2", {at("a.md", 3, 1)}));
  r.broken.push_back(broken_url("http://x/start", {}));
  r.fragments.push_back({"http://x/", "f", "", at("a.md", 4, 1)});
  r.fragments.push_back({"http://x/", "g", "", at("a.md", 4, 1)});
  for (const auto f : {crawl_format::text, crawl_format::ndjson, crawl_format::github}) {
    const auto w = crawl_writer::make(f, false);
    std::string all = w->begin();
    all += w->event(broken_link("http://x/1", at("a.md", 2, 1)));
    all += w->event(r.fragments[0]);
    r.resumed = true;
    all += w->end(r);
    const auto times = [&all](std::string_view what) {
      std::size_t n = 0;
      for (auto i = all.find(what); i != std::string::npos; i = all.find(what, i + 1)) ++n;
      return n;
    };
    if (f == crawl_format::text) {
      EXPECT_EQ(all,
                "Broken link a.md:2:1 -> http://x/1 (404 Not Found)\n"
                "Broken fragment a.md:4:1 -> http://x/#f (no such place in the page)\n"
                "Broken link a.md:1:1 -> http://x/1 (404 Not Found)\n"
                "Broken link a.md:3:1 -> http://x/2 (404 Not Found)\n"
                "Broken link http://x/start (404 Not Found)\n"
                "Broken fragment a.md:4:1 -> http://x/#g (no such place in the page)\n");
    }
    EXPECT_EQ(times("http://x/1"), 2U);
    EXPECT_EQ(times("http://x/2"), 1U);
    EXPECT_EQ(times("http://x/start"), 1U);
    // What one run has found alone was told when it was found.
    r.resumed = false;
    EXPECT_THAT(crawl_writer::make(f, false)->end(r), Not(HasSubstr("http://x/1")));
  }
}

TEST(crawl_github, names_file_line_and_column_of_files) {
  const auto w = crawl_writer::make(crawl_format::github, false);
  EXPECT_EQ(w->event(broken_link("http://x/y", at("docs/a.md", 12, 5))),
            "::error file=docs/a.md,line=12,col=5,title=Broken link::http://x/y (404 Not Found)\n");
  EXPECT_EQ(w->event(broken_link("http://x/y", at("./docs/../docs/a.md", 12, 0))),
            "::error file=docs/a.md,line=12,title=Broken link::http://x/y (404 Not Found)\n");
  EXPECT_EQ(w->event(broken_link("http://x/y", at("http://a/", 12, 5))),
            "::error title=Broken link::http://a/:12:5 -> http://x/y (404 Not Found)\n");
  EXPECT_EQ(w->event(broken_link("http://x/y", {})),
            "::error title=Broken link::http://x/y (404 Not Found)\n");
  EXPECT_EQ(
      w->event(oneloop::crawl_broken_fragment{"http://x/y", "z", "", at("a.md", 1, 2)}),
      "::warning file=a.md,line=1,col=2,title=Broken fragment::http://x/y#z (no such place in "
      "the page)\n");
}

TEST(crawl_github, is_given_no_orders_by_pages) {
  const auto w = crawl_writer::make(crawl_format::github, false);
  EXPECT_EQ(w->event(broken_link("http://x/50%\r\n::stop-commands::x", at("a:b,c%\n.md", 1, 2))),
            "::error file=a%3Ab%2Cc%25%0A.md,line=1,col=2,title=Broken link::"
            "http://x/50%25%0D%0A::stop-commands::x (404 Not Found)\n");
}

std::vector<std::vector<std::string>> read_csv(std::string_view text) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string cell;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"') {
        cell += c;
      } else if (i + 1 < text.size() && text[i + 1] == '"') {
        cell += '"';
        ++i;
      } else {
        quoted = false;
      }
    } else if (c == '"') {
      EXPECT_EQ(cell, "") << "a quote inside a cell";
      quoted = true;
    } else if (c == ',') {
      row.push_back(std::exchange(cell, {}));
    } else if (c == '\r') {
      EXPECT_EQ(text.at(i + 1), '\n');
      ++i;
      row.push_back(std::exchange(cell, {}));
      rows.push_back(std::exchange(row, {}));
    } else {
      EXPECT_NE(c, '\n');
      cell += c;
    }
  }
  EXPECT_FALSE(quoted);
  EXPECT_TRUE(row.empty() && cell.empty()) << "the last line is open";
  return rows;
}

TEST(crawl_csv, is_a_table_with_a_row_for_each_link) {
  oneloop::crawl_report r;
  r.broken.push_back(broken_url("http://x/,\"1\"", {at("a.md", 1, 2), at("b.md", 3, 4)}));
  r.broken.push_back(broken_url("http://x/start", {}));
  r.fragments.push_back({"http://x/", "f", "there is \"F\"", at("a.md", 4, 1)});
  r.redirects.push_back({301, "http://x/old", "http://x/new", {at("a.md", 5, 1)}});
  const auto w = crawl_writer::make(crawl_format::csv, false);
  const auto rows = read_csv(w->begin() + w->end(r));
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_THAT(rows[0], ElementsAre("type", "url", "fragment", "status", "kind", "reason", "page",
                                   "line", "column", "text", "element", "linked"));
  EXPECT_THAT(rows[1], ElementsAre("broken", "http://x/,\"1\"", "", "404", "status",
                                   "404 Not Found", "a.md", "1", "2", "a text", "a[href]", "2"));
  EXPECT_EQ(rows[2][6], "b.md");
  EXPECT_EQ(rows[3][6], "");
  EXPECT_THAT(rows[4], ElementsAre("fragment", "http://x/", "f", "", "",
                                   "no such place in the page; there is \"F\"", "a.md", "4", "1",
                                   "a text", "a[href]", ""));
  const auto more = crawl_writer::make(crawl_format::csv, true);
  const auto all = read_csv(more->begin() + more->end(r));
  ASSERT_EQ(all.size(), 6U);
  EXPECT_EQ(all[5][5], "moved to http://x/new");
}

TEST(crawl_csv, has_no_formulas) {
  for (const std::string text :
       {"=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\n=x", " =1", "=\"a\",b"}) {
    oneloop::crawl_report r;
    auto source = at("a.md", 1, 1);
    source.place.text = text;
    r.broken.push_back(broken_url("http://x/", {source}));
    const auto w = crawl_writer::make(crawl_format::csv, false);
    const auto rows = read_csv(w->begin() + w->end(r));
    EXPECT_THAT(rows.at(1).at(9), StartsWith("'")) << text;
  }
}

TEST(crawl_csv, stays_a_table_of_utf_8_whatever_pages_say) {
  const auto w = crawl_writer::make(crawl_format::csv, true);
  std::string text = w->begin();
  for (const auto& e : nasty_events()) text += w->event(e);
  text += w->end(nasty_report());
  for (const auto& row : read_csv(text)) {
    EXPECT_EQ(row.size(), 12U);
    for (const auto& cell : row) EXPECT_NO_THROW((void)json(cell).dump());
  }
}

TEST(crawl_summary, counts_in_words) {
  oneloop::crawl_report r;
  r.pages = 1204;
  r.links = 20311;
  r.urls = 3120;
  r.elapsed = 3210ms;
  for (int i = 0; i < 12; ++i) r.broken.push_back(broken_url("http://x/", {}));
  EXPECT_EQ(crawl_summary_line(r), "1,204 pages, 20,311 links, 3,120 URLs, 12 broken in 3.21 s");
  r.fragments.resize(2);
  EXPECT_EQ(crawl_summary_line(r),
            "1,204 pages, 20,311 links, 3,120 URLs, 12 broken, 2 fragments in 3.21 s");
  r.pages = r.links = r.urls = 1;
  r.fragments.resize(1);
  r.broken.clear();
  EXPECT_EQ(crawl_summary_line(r), "1 page, 1 link, 1 URL, 0 broken, 1 fragment in 3.21 s");
  r.links = 1234567890;
  r.fragments.clear();
  EXPECT_EQ(crawl_summary_line(r), "1 page, 1,234,567,890 links, 1 URL, 0 broken in 3.21 s");
}

TEST(crawl_progress, is_as_wide_as_there_is_room) {
  oneloop::crawl_progress p;
  p.pages = 1204;
  p.links = 20311;
  p.queued = 60;
  p.retries = 4;
  p.bad = 12;
  p.done = 804;
  p.hosts_waiting = 2;
  const std::string whole = "1,204 pages, 20,311 links, 64 queued, 12 bad, 402/s, 2 hosts waiting";
  EXPECT_EQ(crawl_progress_text(p, 2s, false, 80), whole);
  EXPECT_EQ(crawl_progress_text(p, 2s, true, 80),
            "1,204 pages, 20,311 links, 64 queued, \033[31m12 bad\033[0m, 402/s, 2 hosts waiting");
  EXPECT_EQ(crawl_progress_text(p, 2s, false, whole.size()),
            "1,204 pages, 20,311 links, 64 queued, 12 bad, 402/s");
  for (std::size_t width = 0; width < 80; ++width) {
    const auto text = crawl_progress_text(p, 2s, false, width);
    EXPECT_LE(text.size(), width == 0 ? 0 : width - 1);
    EXPECT_THAT(whole, StartsWith(text));
  }
  p = {};
  EXPECT_EQ(crawl_progress_text(p, 0s, true, 80), "0 pages, 0 links, 0 queued, 0 bad, 0/s");
}

}  // namespace
}  // namespace tool
