// Fragments, and what is read because of them.
#include "oneloop/check/crawl_test.hpp"

namespace oneloop {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

class crawl_fragments : public crawl_test {
 protected:
  [[nodiscard]] std::vector<std::string> missing() const {
    std::vector<std::string> lines;
    for (const auto& b : all<crawl_broken_fragment>()) {
      lines.push_back(b.source.page + " -> " + b.url + "#" + b.fragment + " " + b.hint);
    }
    return lines;
  }
  static crawl_options with_fragments() { return quick().fragments(true); }
};

TEST_F(crawl_fragments, are_looked_up_in_the_pages_that_they_lead_to) {
  page("/", R"(<h1 id="top1">x</h1><a href="#top1">1</a><a href="#nope">2</a><a href="#top">3</a>
               <a href="/b#Install">4</a><a href="/b#install">5</a><a href="/b#:~:text=x">6</a>
               <a href="/b#skip-me">7</a>)");
  page("/b", R"(<h1 id="Install">x</h1><a href="/#top1">1</a><a href="/#gone">2</a>)");
  const auto report = crawled({"a.test"}, with_fragments().fragment_exclude("skip-").robots(false));
  EXPECT_THAT(missing(), UnorderedElementsAre("http://a.test/ -> http://a.test/#nope ",
                                              "http://a.test/ -> http://a.test/b#install "
                                              "there is \"Install\"",
                                              "http://a.test/b -> http://a.test/#gone "));
  EXPECT_EQ(report.fragments.size(), 3u);
  EXPECT_TRUE(report.broken.empty());
  EXPECT_EQ(log.size(), 2u);
}

TEST_F(crawl_fragments, of_start_pages_are_looked_up) {
  page("/", R"(<h1 id="top">x</h1>)");
  redirect("/moved", "/");
  const auto report = crawled({"a.test#top", "a.test#nope", "a.test/moved#gone"}, with_fragments());
  EXPECT_THAT(missing(),
              UnorderedElementsAre(" -> http://a.test/#nope ", " -> http://a.test/#gone "));
  EXPECT_EQ(report.fragments.size(), 2u);
  EXPECT_TRUE(report.broken.empty());
  EXPECT_TRUE(crawled({"a.test#nope"}, quick()).fragments.empty());
}

TEST_F(crawl_fragments, are_not_looked_up_unless_asked_for) {
  page("/", R"(<a href="#nope">2</a>)");
  EXPECT_TRUE(crawled({"a.test"}, quick()).fragments.empty());
}

TEST_F(crawl_fragments, of_external_pages_and_of_those_at_the_last_level) {
  page("/", R"(<a href="http://b.test/#x">1</a><a href="/last#y">2</a><a href="/plain">3</a>)");
  page("/", R"(<p id="x"><a href="/more">no</a>)", "b.test");
  page("/last", "");
  page("/plain", "");
  const auto report = crawled({"a.test"}, with_fragments().frontier(frontier_options{}.level(1)));
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/", "GET b.test/", "GET a.test/last",
                                        "GET a.test/plain"));
  EXPECT_THAT(missing(), ElementsAre("http://a.test/ -> http://a.test/last#y "));
  EXPECT_EQ(report.pages, 1u);
}

TEST_F(crawl_fragments, that_turn_up_late_are_looked_up_in_what_was_read) {
  page("/", R"(<a href="http://b.test/">1</a><a href="/slow">2</a>)");
  page("/", R"(<p id="x">)", "b.test");
  answer("/slow", [](server_request&) -> task<server_response> {
    co_await sleep_for(5s);
    co_return server_response{}.body(
        R"(<a href="http://b.test/#x">1</a><a href="http://b.test/#y">2</a>)", "text/html");
  });
  const auto report = crawled({"a.test"}, with_fragments());
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/", "GET b.test/", "GET a.test/slow"));
  EXPECT_THAT(missing(), ElementsAre("http://a.test/slow -> http://b.test/#y "));
  EXPECT_EQ(report.urls, 3u);
  EXPECT_EQ(all<crawl_verdict>().size(), 3u);
}

TEST_F(crawl_fragments, go_along_with_redirects) {
  page("/", R"(<a href="/old#x">1</a><a href="/old#y">2</a>)");
  redirect("/old", "/new");
  page("/new", R"(<p id="x"><a href="/old#z">3</a>)");
  crawled({"a.test"}, with_fragments());
  EXPECT_THAT(missing(), UnorderedElementsAre("http://a.test/ -> http://a.test/new#y ",
                                              "http://a.test/new -> http://a.test/new#z "));
}

TEST_F(crawl_fragments, of_redirects_go_before_those_of_links) {
  page("/", R"(<a href="/old#gone">1</a><a href="/lost#x">2</a>)");
  redirect("/old", "/older#x");
  redirect("/older", "/new");
  redirect("/lost", "/new#nowhere");
  page("/new", R"(<p id="x"><a href="/old#gone">3</a><a href="/lost#x">4</a>)");
  crawled({"a.test"}, with_fragments());
  EXPECT_THAT(missing(), UnorderedElementsAre("http://a.test/ -> http://a.test/new#nowhere ",
                                              "http://a.test/new -> http://a.test/new#nowhere "));
}

TEST_F(crawl_fragments, of_what_is_no_page_are_not_looked_up) {
  page("/", R"(<a href="/doc.pdf#page=3">1</a><a href="/gone#x">2</a>)");
  answer("/doc.pdf", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("%PDF", "application/pdf");
  });
  const auto report = crawled({"a.test"}, with_fragments());
  EXPECT_TRUE(missing().empty());
  EXPECT_EQ(report.broken.size(), 1u);
  ASSERT_EQ(all<crawl_not_read>().size(), 1u);
  EXPECT_EQ(all<crawl_not_read>()[0].content_type, "application/pdf");
  EXPECT_EQ(report.not_read, 1u);
}

}  // namespace
}  // namespace oneloop
