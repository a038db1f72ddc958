// Crawls over real sockets, on every backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "oneloop/check/crawl.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/tcp.hpp"

namespace oneloop {
namespace {

using namespace test;
using http::server_request;
using http::server_response;

class crawl_over_sockets : public on_backends {};
ON_BACKENDS(crawl_over_sockets);

/// Pages in a binary tree; every third one also has a picture, every fifth a link that is gone.
class tree {
 public:
  static constexpr int pages = 200;

  [[nodiscard]] std::string url(std::string_view path = "/0") const {
    return "http://" + listener_.local_endpoint().to_string() + std::string{path};
  }
  task<> serve() { return server_.serve(listener_); }
  [[nodiscard]] const std::map<std::string, int>& asked() const { return asked_; }

 private:
  task<server_response> answer(server_request& r) {
    ++asked_[r.method() + " " + r.target()];
    const std::string path{r.path()};
    if (path == "/robots.txt") {
      EXPECT_EQ(r.fields().get("User-Agent"), "oneloop/0.1");
      co_return server_response{}.body("User-agent: oneloop\nDisallow: /secret\n");
    }
    if (path == "/picture") co_return server_response{}.body("png", "image/png");
    int n = pages;
    if (path.find_first_not_of("0123456789", 1) == path.npos) n = std::stoi(path.substr(1));
    if (n >= pages) co_return server_response{404};
    std::string text = "<a href=/secret/x>s</a>";
    for (const int to : {2 * n + 1, 2 * n + 2}) {
      if (to < pages) text += "<a href=\"/" + std::to_string(to) + "\">next</a>";
    }
    if (n % 3 == 0) text += "<img src=/picture>";
    if (n % 5 == 0) text += "<a href=/gone>gone</a>";
    co_return server_response{}.body(std::move(text), "text/html");
  }

  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  http::server server_{[this](server_request& r) { return answer(r); },
                       http::server_options{}.stop_timeout(50ms)};
  std::map<std::string, int> asked_;
};

TEST_P(crawl_over_sockets, a_site_is_asked_once_and_its_robots_txt_too) {
  go([&]() -> task<> {
    tree site;
    std::size_t broken = 0, verdicts = 0;
    crawl_progress progress;
    auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = site.serve();
        co_await std::move(serving);
      });
      auto sink = [&](crawl_event e) -> task<> {
        broken += std::holds_alternative<crawl_broken_link>(e) ? 1 : 0;
        verdicts += std::holds_alternative<crawl_verdict>(e) ? 1 : 0;
        co_return;
      };
      std::vector<std::string> starts{site.url()};
      auto crawling = crawl(std::move(starts), sink, crawl_options{}.progress(progress));
      const auto report = co_await std::move(crawling);
      EXPECT_EQ(report.pages, static_cast<std::uint64_t>(tree::pages));
      EXPECT_EQ(report.urls, tree::pages + 2u);
      EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::robots)],
                static_cast<std::uint64_t>(tree::pages));
      EXPECT_EQ(report.broken.size(), 1u);
      EXPECT_EQ(report.broken.at(0).linked, tree::pages / 5u);
      EXPECT_EQ(report.hosts.size(), 1u);
      n.cancel();
    };
    auto beside = with_nursery(std::ref(body));
    co_await std::move(beside);
    EXPECT_EQ(verdicts, tree::pages + 2u);
    EXPECT_GE(broken, 1u);
    EXPECT_EQ(progress.done, tree::pages + 2u);
    EXPECT_EQ(progress.running, 0u);
    for (const auto& [what, times] : site.asked()) EXPECT_EQ(times, 1) << what;
    EXPECT_FALSE(site.asked().contains("GET /secret/x"));
  });
}

TEST_P(crawl_over_sockets, a_cancel_ends_it_at_once_and_leaves_nothing) {
  go([&]() -> task<> {
    tree site;
    crawl_report partial;
    auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = site.serve();
        co_await std::move(serving);
      });
      auto crawling = [&](cancel_scope& s) -> task<> {
        auto sink = [&](crawl_event) -> task<> {
          s.cancel();
          co_return;
        };
        std::vector<std::string> starts{site.url()};
        auto running = crawl(std::move(starts), sink, {}, &partial);
        (void)co_await std::move(running);
      };
      auto within = with_scope(scope_options{}, std::ref(crawling));
      const bool finished = co_await std::move(within);
      EXPECT_FALSE(finished);
      n.cancel();
    };
    auto beside = with_nursery(std::ref(body));
    co_await std::move(beside);
    EXPECT_GE(partial.urls, 1u);
    EXPECT_LT(partial.urls, static_cast<std::uint64_t>(tree::pages));
  });
}

}  // namespace
}  // namespace oneloop
