// What must not bring a crawl down: traps, long pages, endless bodies.
#include <ctime>
#include <sstream>

#include "oneloop/check/crawl_test.hpp"

namespace oneloop {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class crawl_limits : public crawl_test {};

TEST_F(crawl_limits, a_site_that_makes_up_links_ends) {
  answer("/", [](server_request&) -> task<server_response> {
    co_return server_response{}.body(R"(<a href="/day/1">x</a><a href="/in/">y</a>)", "text/html");
  });
  for (int i = 0; i < 200; ++i) {
    page("/day/" + std::to_string(i), "<a href=\"/day/" + std::to_string(i + 1) + "\">next</a>");
  }
  std::string path = "/in/";
  for (int i = 0; i < 20; ++i, path += "in/") page(path, R"(<a href="in/">deeper</a>)");
  trap_limits few;
  few.alike = 50;
  const auto report = crawled({"a.test"}, quick().frontier(frontier_options{}.traps(few)));
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::trap)], 2u);
  EXPECT_EQ(log.size(), 1u + 50u + 3u);
}

TEST_F(crawl_limits, a_page_with_100_000_links_takes_linear_time) {
  const auto took = [&](int n) {
    std::ostringstream text;
    for (int i = 0; i < n; ++i)
      text << "<a href=\"/x#" << i << "\">x</a><a href=\"mailto:x\">m</a>";
    page("/", text.str());
    page("/x", "");
    const auto begun = std::clock();  // of this process: others do not count
    const auto report = crawled({"a.test"}, quick());
    EXPECT_EQ(report.links, 2u * static_cast<unsigned>(n));
    EXPECT_THAT(log, ElementsAre("GET a.test/", "GET a.test/x"));
    return std::clock() - begun;
  };
  took(1'000);
  const auto some = took(5'000);
  const auto many = took(50'000);
  EXPECT_LT(many, some * 40);  // ten times as many; a square would be a hundred
}

TEST_F(crawl_limits, links_into_a_long_chain_of_redirects_take_what_they_are_worth) {
  constexpr int n = 500;
  std::string links;
  for (int i = 0; i < n; ++i) {
    redirect("/" + std::to_string(i), "/" + std::to_string(i + 1));
    links += "<a href=\"/" + std::to_string(i) + "#x\">x</a>";
  }
  page("/" + std::to_string(n), "<p id=x>");
  page("/", links);
  const auto report = crawled({"a.test"}, quick().fragments(true));
  EXPECT_THAT(report.redirects, SizeIs(10));
  ASSERT_THAT(report.broken, SizeIs(n - 10));
  EXPECT_EQ(report.broken[0].error.message(), "more than 10 redirects");
  for (const auto& v : all<crawl_verdict>()) EXPECT_LE(v.result.redirects.size(), 10u);
  EXPECT_EQ(report.broken[0].status, 302);
}

TEST_F(crawl_limits, a_long_page_is_cut_and_bad) {
  page("/", R"(<a href="/endless">e</a><a href="/promised">p</a><a href="/long.pdf">q</a>)");
  std::uint64_t sent = 0;
  answer("/endless", [&](server_request&) -> task<server_response> {
    server_response r;
    r.stream(
        [&](http::body_writer& to) -> task<> {
          const std::string piece(64 * 1024, 'x');
          for (int i = 0; i < 16 * 1024; ++i) {
            auto writing = to.write(piece);
            co_await std::move(writing);
            sent += piece.size();
          }
        },
        "text/html");
    co_return r;
  });
  const answer_fn gigabyte = [](server_request& q) -> task<server_response> {
    server_response r;
    r.length(1'000'000'000);
    r.stream([](http::body_writer&) -> task<> { co_await sleep_forever(); },
             q.path() == "/promised" ? "text/html" : "application/pdf");
    co_return r;
  };
  answer("/promised", gigabyte);
  answer("/long.pdf", gigabyte);
  const auto report = crawled({"a.test"}, quick().max_page(1'000'000));
  ASSERT_THAT(report.broken, SizeIs(2));
  for (const auto& b : report.broken) {
    EXPECT_EQ(b.error.kind(), http::error_kind::too_large);
    EXPECT_THAT(b.error.message(), HasSubstr("more than 1000000 bytes"));
    EXPECT_EQ(b.status, 200);
  }
  EXPECT_LT(sent, 4'000'000u);
  EXPECT_EQ(report.not_read, 1u);
  EXPECT_EQ(log.size(), 4u);
}

TEST_F(crawl_limits, heads_may_be_longer_than_elsewhere) {
  const auto with = [](std::size_t policies) -> answer_fn {
    return [=](server_request&) -> task<server_response> {
      server_response r;
      for (std::size_t i = 0; i < policies; ++i) {
        r.field("Content-Security-Policy", std::string(1000, 'x'));
      }
      co_return r;
    };
  };
  page("/", R"(<a href="/long">l</a><a href="/longer">e</a>)");
  answer("/long", with(200));
  answer("/longer", with(290));
  crawled({"a.test"}, quick().check(check_options{}.retries(0)));
  EXPECT_THAT(broken(), ElementsAre(HasSubstr("http://a.test/ -> http://a.test/longer (")));
}

TEST_F(crawl_limits, bodies_that_end_early_or_never_are_bad) {
  page("/", R"(<a href="/early">e</a><a href="/stalls">s</a>)");
  answer("/early", [](server_request&) -> task<server_response> {
    server_response r;
    r.length(1000).stream(
        [](http::body_writer& to) -> task<> {
          auto writing = to.write("<a href=/never>");
          co_await std::move(writing);
        },
        "text/html");
    co_return r;
  });
  answer("/stalls", [](server_request&) -> task<server_response> {
    server_response r;
    r.stream(
        [](http::body_writer& to) -> task<> {
          while (true) {
            auto writing = to.write("x");
            co_await std::move(writing);
            co_await sleep_for(5s);
          }
        },
        "text/html");
    co_return r;
  });
  const auto report = crawled(
      {"a.test"}, crawl_options{}.robots(false).check(check_options{}.timeout(30s).retries(0)));
  ASSERT_THAT(report.broken, SizeIs(2));
  EXPECT_EQ(report.broken[0].error.kind(), http::error_kind::protocol);
  EXPECT_EQ(report.broken[1].error.kind(), http::error_kind::timeout);
}

TEST_F(crawl_limits, what_is_no_link_to_check_is_told) {
  page("/", R"(<a href="mailto:x@example.org">m</a><a href="tel:+1-2">t</a><a href="tel:one">t</a>
               <a href="mailto:nobody">n</a><a href="javascript:x">j</a><a href="data:,x">d</a>
               <link rel=preconnect href="//b.test/"><form action="/delete"></form>
               <a href="http://[bad/">b</a>)");
  auto report = crawled({"a.test"}, quick());
  const auto skipped = [&](crawl_skip_reason r) {
    return report.skipped[static_cast<std::size_t>(r)];
  };
  EXPECT_EQ(skipped(crawl_skip_reason::mail), 2u);
  EXPECT_EQ(skipped(crawl_skip_reason::telephone), 2u);
  EXPECT_EQ(skipped(crawl_skip_reason::scheme), 2u);
  EXPECT_EQ(skipped(crawl_skip_reason::hint), 1u);
  EXPECT_EQ(skipped(crawl_skip_reason::submission), 1u);
  ASSERT_THAT(report.broken, SizeIs(1));
  EXPECT_EQ(report.broken[0].error.kind(), http::error_kind::bad_url);
  EXPECT_THAT(log, ElementsAre("GET a.test/"));
  report = crawled({"a.test"}, quick().mail(true).telephone(true));
  ASSERT_THAT(report.broken, SizeIs(3));
  EXPECT_EQ(report.broken[0].url, "tel:one");
  EXPECT_EQ(report.broken[1].url, "mailto:nobody");
}

TEST_F(crawl_limits, what_nobody_asks_for_is_skipped_however_long_it_is) {
  const std::string pixels(100'000, 'A');
  page("/", "<img src=\"DATA:image/png;base64," + pixels + "\"><img src=\"data:,x\">" +
                "<a href=\"http://a.test/" + pixels + "\">x</a><a href=\"mailto:" + pixels +
                "\">x</a>");
  const auto report = crawled({"a.test"}, quick());
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::scheme)], 2u);
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::mail)], 1u);
  for (const auto& s : all<crawl_skipped_link>()) EXPECT_LT(s.url.size(), 210u);
  ASSERT_THAT(report.broken, SizeIs(1));
  EXPECT_LT(report.broken[0].url.size(), 210u);
  EXPECT_TRUE(report.broken[0].url.ends_with("AAA..."));
}

TEST_F(crawl_limits, dump_tells_links_and_asks_for_none) {
  page("/", R"(<a href="/1">1</a><a href="http://b.test/">b</a><a href="/1#x">1</a>)");
  const auto report = crawled({"a.test"}, quick().dump(true));
  EXPECT_THAT(log, ElementsAre("GET a.test/"));
  std::vector<std::string> found;
  for (const auto& f : all<crawl_found_link>()) found.push_back(f.url);
  EXPECT_THAT(found, ElementsAre("http://a.test/1", "http://b.test/", "http://a.test/1#x"));
}

TEST_F(crawl_limits, a_bad_start_page_is_told_once) {
  page("/x", "");
  crawled({"a.test", "nowhere.test"}, quick());
  EXPECT_THAT(broken(), UnorderedElementsAre(" -> http://a.test/ (404 Not Found)",
                                             HasSubstr(" -> http://nowhere.test/ (")));
}

TEST_F(crawl_limits, what_the_sink_throws_ends_the_crawl) {
  page("/", R"(<a href="/1">1</a>)");
  on_event = [](const crawl_event&) { throw std::runtime_error{"enough"}; };
  EXPECT_THROW(crawled({"a.test"}, quick()), std::runtime_error);
  EXPECT_THAT(log, ElementsAre("GET a.test/"));
}

TEST_F(crawl_limits, style_sheets_and_sitemaps_are_read) {
  page("/", R"(<link rel=stylesheet href="/s.css"><a href="/sitemap.xml">m</a>)");
  answer("/s.css", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("a { background: url(i.png) } @import 't.css';", "text/css");
  });
  answer("/sitemap.xml", [](server_request&) -> task<server_response> {
    co_return server_response{}.body(
        "<urlset><url><loc>http://a.test/from-map</loc></url></urlset>", "application/xml");
  });
  crawled({"a.test"}, quick());
  EXPECT_THAT(broken(), UnorderedElementsAre(HasSubstr("/s.css -> http://a.test/i.png"),
                                             HasSubstr("/s.css -> http://a.test/t.css"),
                                             HasSubstr("/sitemap.xml -> http://a.test/from-map")));
}

}  // namespace
}  // namespace oneloop
