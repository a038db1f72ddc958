// Crawls that are interrupted and go on, and verdicts of other days.
#include <set>

#include "oneloop/check/crawl_test.hpp"

namespace oneloop {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

class crawl_resumed : public crawl_test {
 protected:
  crawl_resumed() {
    page("/", R"(<a href="/1">1</a><a href="/gone">x</a><a href="/old#x">o</a><a href="tel:1">t</a>
                 <a href="http://b.test/">b</a><a href="http://[">n</a>)");
    page("/1", R"(<a href="/2">2</a><a href="/gone">x</a><a href="/3#no">3</a>)");
    page("/2", R"(<a href="/3#yes">3</a><a href="/gone">x</a><a href="/old">o</a>
                  <a href="/placed#yes">p</a>)");
    page("/3", R"(<p id="yes"><a href="/moved-gone">x</a>)");
    redirect("/old", "/3");
    redirect("/placed", "/3#nowhere");
    redirect("/moved-gone", "/gone");
    page("/", "", "b.test");
  }
  [[nodiscard]] crawl_options kept() const {
    return quick().fragments(true).state_file(where.path("s.db"));
  }
  static std::string line(const crawl_broken_url& b) {
    std::string text = b.url + " " + b.error.message() + " <-";
    for (const auto& s : b.sources) text += " " + s.page;
    return text;
  }
  static std::vector<std::string> summary(const crawl_report& r) {
    std::vector<std::string> lines{std::to_string(r.pages) + " pages, " + std::to_string(r.links) +
                                   " links, " + std::to_string(r.urls) + " urls"};
    for (const auto& b : r.broken) lines.push_back(line(b));
    std::vector<std::string> fragments;
    for (const auto& f : r.fragments)
      fragments.push_back(f.source.page + " " + f.url + "#" + f.fragment);
    std::ranges::sort(fragments);
    std::ranges::move(fragments, std::back_inserter(lines));
    for (const auto& m : r.redirects) lines.push_back(m.from + " -> " + m.to);
    for (const auto n : r.skipped) lines.push_back(std::to_string(n));
    return lines;
  }
  folder where;
};

TEST_F(crawl_resumed, the_report_is_the_same_with_a_state_file_and_without) {
  const auto without = summary(crawled({"a.test"}, quick().fragments(true)));
  const auto with = summary(crawled({"a.test"}, kept()));
  EXPECT_EQ(with, without);
  // Once more: nothing is asked, and the report is there.
  const auto again = crawled({"a.test"}, kept());
  EXPECT_EQ(summary(again), without);
  EXPECT_TRUE(again.resumed);
  EXPECT_TRUE(log.empty());
  EXPECT_TRUE(events.empty());
}

/// Cancelled after each number of events: whatever was under way then is asked again, and nothing
/// else.
TEST_F(crawl_resumed, after_a_cancel_at_any_event_it_goes_on_where_it_was) {
  const auto expected = summary(crawled({"a.test"}, quick().fragments(true)));
  const auto requests = log;
  const auto verdicts = all<crawl_verdict>().size();
  std::size_t most = events.size();
  ASSERT_GT(most, 10u);
  for (std::size_t stop = 1; stop < most; ++stop) {
    std::filesystem::remove(where.path("s.db"));
    std::size_t seen = 0;
    on_event = [&](const crawl_event&) {
      if (++seen == stop) scope->cancel();
    };
    crawled({"a.test"}, kept());
    if (finished) continue;  // too late to stop anything
    std::vector<std::string> told;
    const auto note = [&] {
      for (const auto& v : all<crawl_verdict>()) told.push_back(v.result.url);
    };
    note();
    EXPECT_EQ(partial.urls, told.size());
    const auto asked_before = log;
    std::set<std::string> known;
    for (const auto& url : told) known.insert(url.substr(std::string_view{"http://"}.size()));
    on_event = [](const crawl_event&) {};
    const auto report = crawled({"a.test"}, kept());
    note();
    EXPECT_EQ(summary(report), expected) << "stopped after " << stop;
    // Each verdict once over both runs.
    std::ranges::sort(told);
    EXPECT_EQ(told.size(), verdicts) << "stopped after " << stop;
    EXPECT_EQ(std::ranges::unique(told).size(), 0u);
    // What had a verdict is not asked again.
    for (const auto& line : log)
      EXPECT_EQ(known.count(line.substr(line.find(' ') + 1)), 0u) << line;
    EXPECT_GE(asked_before.size() + log.size(), requests.size());
  }
}

TEST_F(crawl_resumed, another_crawl_is_refused) {
  crawled({"a.test"}, kept());
  try {
    crawled({"a.test"}, kept().fragments(false));
    ADD_FAILURE() << "it went on";
  } catch (const error& e) {
    EXPECT_THAT(e.what(), HasSubstr("fragments is \"on\", here, fragments is \"off\""));
  }
  // What does not change the meaning may be another.
  crawled({"a.test"}, kept().limiter(limiter_options{}.per_host(1)));
  EXPECT_TRUE(log.empty());
}

TEST_F(crawl_resumed, a_cancelled_crawl_has_a_partial_report) {
  on_event = [&](const crawl_event& e) {
    if (std::holds_alternative<crawl_broken_link>(e)) scope->cancel();
  };
  crawled({"a.test"}, quick());
  EXPECT_FALSE(finished);
  EXPECT_GE(partial.urls, 1u);
  EXPECT_EQ(partial.start.size(), 1u);
}

TEST_F(crawl_resumed, external_verdicts_of_other_days_are_taken_from_the_cache) {
  const auto cached = [&] { return quick().cache_file(where.path("c.db"), 24h); };
  crawled({"a.test"}, cached());
  EXPECT_EQ(asked("HEAD b.test/"), 1);
  crawled({"a.test"}, cached());
  EXPECT_EQ(asked("HEAD b.test/"), 0);
  EXPECT_EQ(asked("GET a.test/"), 1);
  for (const auto& v : all<crawl_verdict>()) {
    EXPECT_EQ(v.from_cache, v.result.url == "http://b.test/") << v.result.url;
  }
}

}  // namespace
}  // namespace oneloop
