#include "oneloop/check/crawl.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "oneloop/http/server.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using http::server_request;
using http::server_response;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

/// What a page of a simulated site is.
using answer_fn = std::function<task<server_response>(server_request&)>;

/// A simulated web: hosts that answer by path, and keep a log of what they were asked.
class crawl_test : public ::testing::Test {
 protected:
  crawl_test() { sim.network().default_link().latency(1ms); }

  /// A page on http://a.test with this text of HTML.
  void page(const std::string& path, std::string html, const std::string& host = "a.test") {
    answer(
        path,
        [html = std::move(html)](server_request&) -> task<server_response> {
          co_return server_response{}.body(html, "text/html; charset=utf-8");
        },
        host);
  }
  void status(const std::string& path, int status, const std::string& host = "a.test") {
    answer(
        path,
        [status](server_request&) -> task<server_response> { co_return server_response{status}; },
        host);
  }
  void redirect(const std::string& path, std::string to, const std::string& host = "a.test") {
    answer(
        path,
        [to = std::move(to)](server_request&) -> task<server_response> {
          co_return server_response{302}.field("Location", to);
        },
        host);
  }
  void answer(const std::string& path, answer_fn f, const std::string& host = "a.test") {
    hosts[host][path] = std::move(f);
  }

  /// Crawls, beside the hosts. What happened is in `events`, what was asked in `log`.
  crawl_report crawled(std::vector<std::string> starts, crawl_options options = {}) {
    crawl_report report;
    sim.run([&]() -> task<> {
      auto both = [&](nursery& n) -> task<> {
        for (const auto& [name, pages] : hosts) {
          sim.network().host(name).start(n, [this, name = name] { return serve(name); });
        }
        co_await sleep_for(1ms);
        auto sink = [this](crawl_event e) -> task<> {
          take(std::move(e));
          co_return;
        };
        auto crawling = crawl(starts, sink, std::move(options), &partial);
        report = co_await std::move(crawling);
        n.cancel();
      };
      auto beside = with_nursery(std::ref(both));
      co_await std::move(beside);
    });
    return report;
  }
  /// How often this was asked: "GET a.test/x".
  [[nodiscard]] int asked(const std::string& what) const {
    return static_cast<int>(std::ranges::count(log, what));
  }
  template <class Event>
  [[nodiscard]] std::vector<Event> all() const {
    std::vector<Event> found;
    for (const auto& e : events) {
      if (const auto* x = std::get_if<Event>(&e)) found.push_back(*x);
    }
    return found;
  }
  /// "http://a.test/ -> http://a.test/x (404 Not Found)"
  [[nodiscard]] std::vector<std::string> broken() const {
    std::vector<std::string> lines;
    for (const auto& b : all<crawl_broken_link>()) {
      lines.push_back(b.source.page + " -> " + b.url + " (" + b.error.message() + ")");
    }
    return lines;
  }
  static crawl_options quick() {
    return crawl_options{}.robots(false).check(check_options{}.backoff(10ms, 20ms));
  }

  testing::simulation sim{7};
  std::map<std::string, std::map<std::string, answer_fn>> hosts;
  std::vector<std::string> log;
  std::vector<crawl_event> events;
  crawl_report partial;

 private:
  task<> serve(std::string name) {
    auto handler = [this, name](server_request& r) -> task<server_response> {
      const std::string line = r.method() + " " + name + r.target();
      log.push_back(line);
      const auto& pages = hosts.at(name);
      const auto found = pages.find(std::string{r.path()});
      if (found == pages.end()) co_return server_response{404};
      auto answering = found->second(r);
      auto response = co_await std::move(answering);
      co_return response;
    };
    http::server s{handler};
    net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 80}};
    auto serving = s.serve(l);
    co_await std::move(serving);
  }
  virtual void take(crawl_event e) { events.push_back(std::move(e)); }
};

TEST_F(crawl_test, follows_a_site_and_asks_each_url_once) {
  page("/", R"(<a href="/b">b</a> <a href="/c#x">c</a> <a href="/%7Eu">u</a> <img src="/i.png">)");
  page("/b", R"(<a href="/">home</a> <a href="/c">c</a> <a href="/gone">x</a> <a href="/~u">u</a>)");
  page("/c", R"(<a href="http://b.test/">elsewhere</a>)");
  page("/~u", "");
  page("/%7Eu", "");
  page("/", R"(<a href="/more">not followed</a>)", "b.test");
  answer("/i.png", [](server_request&) -> task<server_response> {
    co_return server_response{}.body("png", "image/png");
  });
  const auto report = crawled({"http://a.test/"}, quick());
  EXPECT_THAT(log, UnorderedElementsAre("GET a.test/", "GET a.test/b", "GET a.test/c",
                                        "GET a.test/%7Eu", "HEAD a.test/i.png", "GET a.test/gone",
                                        "HEAD b.test/"));
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

}  // namespace
}  // namespace oneloop
