// Crawls of a web in memory: what is asked, how often, and what it comes to.
#include "oneloop/check/crawl_test.hpp"

namespace oneloop {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TEST_F(crawl_test, follows_a_site_and_asks_each_url_once) {
  page("/", R"(<a href="/b">b</a> <a href="/c#x">c</a> <a href="/%7Eu">u</a> <img src="/i.png">)");
  page("/b",
       R"(<a href="/">home</a> <a href="/c">c</a> <a href="/gone">x</a> <a href="/~u">u</a>)");
  page("/c", R"(<a href="http://b.test/">elsewhere</a>)");
  page("/~u", "");
  page("/%7Eu", "");
  page("/", R"(<a href="/more">not followed</a>)", "b.test");
  answer("/i.png", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("png", "image/png");
  });
  const auto report = crawled({"http://a.test/"}, quick());
  EXPECT_THAT(log,
              UnorderedElementsAre("GET a.test/", "GET a.test/b", "GET a.test/c", "GET a.test/%7Eu",
                                   "HEAD a.test/i.png", "GET a.test/gone", "HEAD b.test/"));
  EXPECT_THAT(broken(), ElementsAre("http://a.test/b -> http://a.test/gone (404 Not Found)"));
  EXPECT_EQ(report.pages, 4u);
  EXPECT_EQ(report.urls, 7u);
  EXPECT_EQ(report.links, 9u);
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].status, 404);
  ASSERT_EQ(report.broken[0].sources.size(), 1u);
  EXPECT_EQ(report.broken[0].sources[0].place.element, "a[href]");
  EXPECT_EQ(report.broken[0].sources[0].place.text, "x");
}

TEST_F(crawl_test, a_level_bounds_how_deep_it_goes) {
  page("/", R"(<a href="/1">1</a>)");
  page("/1", R"(<a href="/2">2</a>)");
  page("/2", R"(<a href="/3">3</a>)");
  auto report = crawled({"a.test"}, quick().frontier(frontier_options{}.level(2)));
  EXPECT_THAT(log, ElementsAre("GET a.test/", "GET a.test/1", "HEAD a.test/2"));
  EXPECT_EQ(report.pages, 2u);
  log.clear();
  report = crawled({"a.test"}, quick().frontier(frontier_options{}.level(0)));
  EXPECT_THAT(log, ElementsAre("HEAD a.test/"));
  EXPECT_EQ(report.pages, 0u);
}

TEST_F(crawl_test, a_limit_bounds_how_many_pages_are_asked) {
  page("/",
       R"(<a href="/1">1</a><a href="/2">2</a><a href="/3">3</a><a href="http://b.test/">b</a>)");
  page("/1", R"(<a href="/4">4</a><a href="/2">2</a>)");
  page("/2", "");
  page("/", "", "b.test");
  const auto report = crawled({"a.test"}, quick().frontier(frontier_options{}.limit(2)));
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/", "GET a.test/1", "HEAD b.test/"));
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::limit)], 4u);
  std::vector<std::string> told;
  for (const auto& s : all<crawl_skipped_link>()) {
    EXPECT_EQ(s.why, crawl_skip_reason::limit);
    told.push_back(s.source.page + " -> " + s.url);
  }
  EXPECT_THAT(told, UnorderedElementsAre("http://a.test/ -> http://a.test/2",
                                         "http://a.test/ -> http://a.test/3",
                                         "http://a.test/1 -> http://a.test/2",
                                         "http://a.test/1 -> http://a.test/4"));
}

TEST_F(crawl_test, a_redirect_to_what_the_limit_leaves_out_is_fine) {
  page("/", R"(<a href="/1">1</a>)");
  redirect("/1", "/2");
  page("/2", "");
  const auto report = crawled({"a.test"}, quick().frontier(frontier_options{}.limit(2)));
  EXPECT_THAT(log, ElementsAre("GET a.test/", "GET a.test/1"));
  EXPECT_EQ(report.urls, 2u);
  EXPECT_TRUE(report.broken.empty());
}

TEST_F(crawl_test, external_links_are_checked_or_skipped_or_followed) {
  page("/", R"(<a href="http://b.test/">b</a>)");
  page("/", R"(<a href="/x">x</a>)", "b.test");
  page("/x", "", "b.test");
  auto report = crawled({"a.test"}, quick());
  EXPECT_THAT(log, ElementsAre("GET a.test/", "HEAD b.test/"));
  log.clear();
  events.clear();
  report = crawled({"a.test"}, quick().frontier(frontier_options{}.external(external_links::skip)));
  EXPECT_THAT(log, ElementsAre("GET a.test/"));
  ASSERT_EQ(all<crawl_skipped_link>().size(), 1u);
  EXPECT_EQ(all<crawl_skipped_link>()[0].why, crawl_skip_reason::external);
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::external)], 1u);
  log.clear();
  report =
      crawled({"a.test"}, quick().frontier(frontier_options{}.external(external_links::follow)));
  EXPECT_THAT(log, ElementsAre("GET a.test/", "GET b.test/", "GET b.test/x"));
}

TEST_F(crawl_test, robots_txt_is_asked_once_and_heeded) {
  answer("/robots.txt", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("User-agent: *\nDisallow: /private\nCrawl-delay: 10\n");
  });
  page("/", R"(<a href="/private/x">x</a><a href="/b">b</a><a href="/c">c</a>)");
  page("/b", R"(<a href="/private/x">x</a>)");
  page("/c", "");
  const auto report = crawled({"a.test"}, quick().robots(true));
  EXPECT_EQ(log.size(), 4u);
  EXPECT_EQ(log.at(0), "GET a.test/robots.txt");
  EXPECT_EQ(asked("GET a.test/robots.txt"), 1);
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::robots)], 2u);
  const auto skipped = all<crawl_skipped_link>();
  ASSERT_EQ(skipped.size(), 2u);
  EXPECT_EQ(skipped[0].source.page, "http://a.test/");
  EXPECT_EQ(skipped[1].source.page, "http://a.test/b");
  EXPECT_GE(report.elapsed, 30s);  // before each page
  EXPECT_LT(report.elapsed, 31s);
}

TEST_F(crawl_test, a_crawl_delay_is_kept_whatever_a_request_is_for) {
  answer("/robots.txt", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("User-agent: *\nCrawl-delay: 10\n");
  });
  std::string links;
  std::vector<time_point> at;
  for (int i = 0; i < 8; ++i) {
    const std::string path = "/" + std::to_string(i);
    links += "<a href=\"" + path + "\">x</a>";
    answer(path, [&](server_request&) -> task<server_response> {
      at.push_back(context::current().home()->now());
      co_return server_response{500};
    });
  }
  page("/", links);
  crawled({"a.test"}, quick().robots(true).check(check_options{}.backoff(2min, 2min)));
  EXPECT_EQ(at.size(), 3u * 8u);
  for (std::size_t i = 1; i < at.size(); ++i) EXPECT_GE(at[i] - at[i - 1], 10s) << i;
}

TEST_F(crawl_test, a_start_page_that_robots_txt_denies_is_bad) {
  answer("/robots.txt", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("User-agent: *\nDisallow: /\n");
  });
  page("/", "");
  const auto report = crawled({"a.test"}, quick().robots(true));
  EXPECT_THAT(log, ElementsAre("GET a.test/robots.txt"));
  EXPECT_THAT(broken(), ElementsAre(" -> http://a.test/ (robots.txt denies it)"));
  EXPECT_EQ(report.urls, 1u);
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].error.kind(), http::error_kind::forbidden);
}

TEST_F(crawl_test, a_start_page_that_redirects_to_what_robots_txt_denies_is_bad) {
  answer("/robots.txt", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("User-agent: *\nDisallow: /private\n");
  });
  redirect("/", "/private");
  crawled({"a.test"}, quick().robots(true));
  EXPECT_THAT(broken(), ElementsAre(" -> http://a.test/ (robots.txt denies it, after a redirect to "
                                    "http://a.test/private)"));
}

TEST_F(crawl_test, a_host_whose_robots_txt_fails_is_not_asked) {
  page("/", R"(<a href="http://b.test/x">x</a><a href="http://nowhere.test/">y</a>)");
  status("/robots.txt", 503, "b.test");
  page("/x", "", "b.test");
  const auto report = crawled({"a.test"}, quick().robots(true));
  EXPECT_EQ(asked("HEAD b.test/x"), 0);
  ASSERT_EQ(all<crawl_note>().size(), 1u);
  EXPECT_THAT(all<crawl_note>()[0].text, HasSubstr("robots.txt of http://b.test"));
  ASSERT_EQ(report.broken.size(), 2u);
  EXPECT_EQ(report.broken[0].url, "http://b.test/x");
  EXPECT_THAT(report.broken[0].error.message(),
              HasSubstr("http://b.test/robots.txt: 503 Service Unavailable"));
  // A host that is not there is a broken link and nothing else.
  EXPECT_EQ(report.broken[1].url, "http://nowhere.test/");
  EXPECT_EQ(report.broken[1].error.kind(), http::error_kind::dns);
}

TEST_F(crawl_test, a_start_page_whose_robots_txt_does_not_come_is_bad) {
  answer("/robots.txt", [](server_request&) -> task<server_response> {
    co_await sleep_for(1h);
    co_return server_response{};
  });
  page("/", "");
  const auto report = crawled({"a.test"}, quick().robots(true));
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].error.kind(), http::error_kind::timeout);
  EXPECT_EQ(asked("GET a.test/"), 0);
}

TEST_F(crawl_test, hops_of_redirects_are_asked_once_and_share_their_verdict) {
  page("/", R"(<a href="/1">1</a><a href="/2">2</a><a href="/end">end</a><a href="/lost">l</a>)");
  redirect("/1", "/2");
  redirect("/2", "/end");
  page("/end", R"(<a href="/x">x</a>)");
  page("/x", "");
  redirect("/lost", "/gone");
  const auto report = crawled({"a.test"}, quick());
  EXPECT_THAT(log,
              UnorderedElementsAre("GET a.test/", "GET a.test/1", "GET a.test/2", "GET a.test/end",
                                   "GET a.test/x", "GET a.test/lost", "GET a.test/gone"));
  EXPECT_THAT(broken(), ElementsAre("http://a.test/ -> http://a.test/lost (404 Not Found, after a "
                                    "redirect to http://a.test/gone)"));
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].url, "http://a.test/lost");
  EXPECT_EQ(report.broken[0].status, 404);
  ASSERT_EQ(report.redirects.size(), 2u);
  EXPECT_EQ(report.redirects[0].from, "http://a.test/1");
  EXPECT_EQ(report.redirects[0].to, "http://a.test/end");
  EXPECT_EQ(report.redirects[0].status, 302);
  EXPECT_EQ(report.redirects[0].sources.size(), 1u);
  EXPECT_EQ(report.redirects[1].from, "http://a.test/2");
  for (const auto& v : all<crawl_verdict>()) {
    if (v.result.url != "http://a.test/1") continue;
    EXPECT_TRUE(v.result.ok);
    EXPECT_EQ(v.result.status, 200);
    EXPECT_EQ(v.result.final_url, "http://a.test/end");
    EXPECT_EQ(v.result.redirects.size(), 2u);
  }
  EXPECT_EQ(all<crawl_verdict>().size(), 7u);
}

TEST_F(crawl_test, redirects_in_a_circle_end) {
  page("/", R"(<a href="/1">1</a><a href="/self">self</a><a href="/long0">long</a>)");
  redirect("/1", "/2");
  redirect("/2", "/1");
  redirect("/self", "/self");
  for (int i = 0; i < 20; ++i) {
    redirect("/long" + std::to_string(i), "/long" + std::to_string(i + 1));
  }
  const auto report = crawled({"a.test"}, quick());
  EXPECT_EQ(asked("GET a.test/1") + asked("GET a.test/2") + asked("GET a.test/self"), 3);
  EXPECT_EQ(asked("GET a.test/long10"), 1);
  EXPECT_EQ(asked("GET a.test/long11"), 0);
  ASSERT_EQ(report.broken.size(), 3u);
  for (const auto& b : report.broken) EXPECT_EQ(b.error.kind(), http::error_kind::redirect);
  EXPECT_THAT(report.broken[2].error.message(), HasSubstr("more than 10 redirects"));
}

TEST_F(crawl_test, a_redirect_that_waits_for_its_own_cookie_is_none) {
  page("/", R"(<a href="/cookie">c</a>)");
  answer("/cookie", [](server_request& r) -> task<server_response> {
    if (r.fields().contains("Cookie")) co_return server_response{}.body("", "text/html");
    co_return server_response{302}.field("Location", "/cookie").field("Set-Cookie", "a=b");
  });
  const auto report = crawled({"a.test"}, quick());
  EXPECT_TRUE(report.broken.empty());
}

TEST_F(crawl_test, redirects_off_the_site_lead_to_external_links) {
  page("/", R"(<a href="/out">out</a>)");
  redirect("/out", "http://b.test/");
  page("/", R"(<a href="/more">more</a>)", "b.test");
  const auto report = crawled({"a.test"}, quick());
  EXPECT_THAT(log, ElementsAre("GET a.test/", "GET a.test/out", "HEAD b.test/"));
  EXPECT_EQ(report.redirects.size(), 1u);
}

TEST_F(crawl_test, what_is_secret_is_told_to_the_site_as_it_was_given) {
  std::vector<std::string> told;
  const auto note = [&](server_request& r, const std::string& host) {
    if (r.fields().contains("Authorization")) told.push_back(host + std::string{r.path()});
    EXPECT_EQ(r.fields().get("Accept-Language"), "en") << host << r.path();
  };
  const auto add = [&](const std::string& host, const std::string& path, std::string html) {
    answer(
        path,
        [=](server_request& r) -> task<server_response> {
          note(r, host);
          co_return server_response{}.body(html, "text/html");
        },
        host);
  };
  const auto lead = [&](const std::string& host, const std::string& path, std::string to) {
    answer(
        path,
        [=](server_request& r) -> task<server_response> {
          note(r, host);
          co_return server_response{302}.field("Location", to);
        },
        host);
  };
  add("a.test", "/",
      R"(<a href="/r">r</a><a href="http://b.test/">b</a>)"
      R"(<a href="http://d.test/">d</a><a href="http://c.test/r">c</a>)");
  add("a.test", "/back", "");
  lead("a.test", "/r", "http://b.test/r");
  lead("a.test", "/start", "http://s.test/");
  for (const char* host : {"b.test", "c.test", "d.test", "s.test"}) add(host, "/", "");
  lead("c.test", "/r", "http://a.test/back");
  add("b.test", "/r", "");
  for (const char* host : {"a.test", "b.test", "c.test", "d.test"}) {
    add(host, "/robots.txt", "");
  }
  lead("s.test", "/robots.txt", "http://b.test/robots.txt");
  http::client_options client;
  client.field("Authorization", "x").field("Accept-Language", "en");
  for (const auto e : {external_links::check, external_links::follow}) {
    told.clear();
    crawled({"a.test", "a.test/start"},
            quick()
                .robots(true)
                .check(check_options{}.backoff(10ms, 20ms).client(client))
                .frontier(frontier_options{}.internal("^http://d[.]test/").external(e)));
    EXPECT_THAT(told,
                UnorderedElementsAre("a.test/robots.txt", "a.test/", "a.test/r", "a.test/start",
                                     "a.test/back", "d.test/robots.txt", "d.test/"));
  }
}

TEST_F(crawl_test, what_may_pass_is_tried_again_at_the_end) {
  page("/", R"(<a href="/once">o</a><a href="/b">b</a><a href="/never">n</a>)");
  int once = 0;
  answer("/once", [&](server_request&) -> task<server_response> {
    if (++once == 1) co_return server_response{500};
    co_return server_response{}.body("", "text/html");
  });
  page("/b", R"(<a href="/c">c</a>)");
  page("/c", "");
  status("/never", 503);
  const auto report = crawled({"a.test"}, quick());
  EXPECT_EQ(asked("GET a.test/once"), 2);
  EXPECT_EQ(asked("GET a.test/never"), 3);
  EXPECT_THAT(broken(),
              ElementsAre("http://a.test/ -> http://a.test/never (503 Service Unavailable)"));
  EXPECT_EQ(report.urls, 5u);
}

TEST_F(crawl_test, the_time_of_a_host_is_that_of_each_request) {
  answer("/", [](server_request&) -> task<server_response> {
    co_await sleep_for(1s);
    co_return server_response{500};
  });
  const auto report = crawled({"a.test"}, quick());
  EXPECT_EQ(asked("GET a.test/"), 3);
  ASSERT_EQ(report.hosts.size(), 1u);
  EXPECT_EQ(report.hosts[0].requests, 3u);
  EXPECT_LT(report.hosts[0].mean, 1100ms);
  EXPECT_LT(report.hosts[0].slowest, 1100ms);
}

TEST_F(crawl_test, a_host_that_asks_for_a_pause_gets_it_and_no_other) {
  page("/", R"(<a href="http://b.test/1">1</a><a href="http://b.test/2">2</a><a href="/x">x</a>)");
  page("/x", "");
  int n = 0;
  std::vector<time_point> at;
  const answer_fn busy = [&](server_request&) -> task<server_response> {
    at.push_back(context::current().home()->now());
    if (++n == 1) co_return server_response{429}.field("Retry-After", "30");
    co_return server_response{}.body("", "text/html");
  };
  answer("/1", busy, "b.test");
  answer("/2", busy, "b.test");
  const auto report = crawled({"a.test"}, quick().limiter(limiter_options{}.per_host(1)));
  EXPECT_TRUE(report.broken.empty());
  ASSERT_GE(at.size(), 3u);
  EXPECT_GE(at[at.size() - 2] - at[0], 30s);
  EXPECT_LT(report.elapsed, 35s);
}

TEST_F(crawl_test, links_that_crawlers_are_asked_not_to_follow_are_checked) {
  page("/", R"(<a rel=nofollow href="/a">a</a><a href="/b">b</a>)");
  page("/a", R"(<a href="/under-a">x</a>)");
  page("/b", R"(<meta name=robots content=nofollow><a href="/under-b">x</a>)");
  page("/under-b", R"(<a href="/deeper">x</a>)");
  crawled({"a.test"}, quick().robots(true));
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/robots.txt", "GET a.test/", "HEAD a.test/a",
                                        "GET a.test/b", "HEAD a.test/under-b"));
  // Who asks nobody for rules follows them.
  log.clear();
  crawled({"a.test"}, quick());
  EXPECT_EQ(asked("GET a.test/deeper"), 1);
  EXPECT_EQ(asked("GET a.test/under-a"), 1);
}

TEST_F(crawl_test, a_page_with_both_kinds_of_links_is_asked_once) {
  page("/",
       R"(<a rel=nofollow href="/a">a</a><a rel=nofollow href="/b">b</a><a href="/slow">s</a>)");
  page("/a", R"(<a href="/under-a">x</a>)");
  page("/b", "");
  page("/under-a", "");
  answer("/slow", [](server_request&) -> task<server_response> {
    co_await sleep_for(5s);
    co_return server_response{}.body(R"(<a href="/a">a</a>)", "text/html");
  });
  crawled({"a.test"}, quick().robots(true));
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/robots.txt", "GET a.test/", "GET a.test/slow",
                                        "GET a.test/a", "GET a.test/under-a", "HEAD a.test/b"));
}

TEST_F(crawl_test, what_may_be_a_page_is_asked_for_once_though_a_picture_leads_there_first) {
  page("/", R"(<img src="/x"><a href="/slow">s</a>)");
  answer("/slow", [](server_request&) -> task<server_response> {
    co_await sleep_for(5s);
    co_return server_response{}.body(R"(<a href="/x">x</a>)", "text/html");
  });
  page("/x", R"(<a href="/y">y</a>)");
  page("/y", "");
  const auto report = crawled({"a.test"}, quick());
  EXPECT_THAT(
      log, UnorderedElementsAre("GET a.test/", "GET a.test/x", "GET a.test/slow", "GET a.test/y"));
  EXPECT_EQ(report.pages, 4u);
  EXPECT_EQ(report.urls, 4u);
}

TEST_F(crawl_test, a_page_that_was_named_like_a_picture_is_read_after_all) {
  page("/", R"(<img src="/x.PNG"><a href="/slow">s</a>)");
  answer("/slow", [](server_request&) -> task<server_response> {
    co_await sleep_for(5s);
    co_return server_response{}.body(R"(<a href="/x.PNG">x</a>)", "text/html");
  });
  page("/x.PNG", R"(<a href="/y">y</a>)");
  page("/y", "");
  const auto report = crawled({"a.test"}, quick());
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/", "HEAD a.test/x.PNG", "GET a.test/slow",
                                        "GET a.test/x.PNG", "GET a.test/y"));
  EXPECT_EQ(report.pages, 4u);
  EXPECT_EQ(report.urls, 4u);
}

}  // namespace
}  // namespace oneloop
