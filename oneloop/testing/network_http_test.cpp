// The library's own HTTP client and server and the link checker, unchanged, on the simulated
// network.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "oneloop/check/check.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;

/// A simulation with a web server that answers by path; `body` runs on the host "client".
class network_http_test : public ::testing::Test {
 protected:
  network_http_test() { net.default_link().latency(10ms); }

  task<http::server_response> answer(http::server_request& r) {
    ++requests;
    const std::string path{r.path()};
    if (path == "/slow") co_await sleep_for(5min);
    if (path == "/moved") co_return http::server_response{302}.field("Location", "http://b.test/");
    if (path == "/flaky" && ++flaky < 3) co_return http::server_response{503};
    if (path == "/large") co_return http::server_response{}.body(std::string(1'000'000, 'x'));
    co_return http::server_response{}.body("hello from " + path + "\n");
  }
  task<> serve() {
    http::server s{[this](http::server_request& r) { return answer(r); }};
    net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 80}};
    auto serving = s.serve(l);
    co_await std::move(serving);
  }
  task<std::string> get(http::client* c, std::string url) {
    try {
      auto getting = c->get(url);
      auto r = co_await std::move(getting);
      auto reading = r.text();
      auto text = co_await std::move(reading);
      co_return std::to_string(r.status()) + " " + text;
    } catch (const error& e) {
      co_return e.what();
    }
  }
  /// Beside the server on b.test.
  template <class Body>
  void go(Body body) {
    sim.run([&]() -> task<> {
      auto both = [&](nursery& n) -> task<> {
        b.start(n, [this] { return serve(); });
        co_await sleep_for(1ms);
        auto running = client.run(std::ref(body));
        co_await std::move(running);
        n.cancel();
      };
      auto beside = with_nursery(std::ref(both));
      co_await std::move(beside);
    });
  }

  simulation sim{7};
  network& net = sim.network();
  host& b = net.host("b.test");
  host& client = net.host("client");
  int requests = 0;
  int flaky = 0;
};

TEST_F(network_http_test, client_and_server_with_names_redirects_and_kept_connections) {
  go([&]() -> task<> {
    http::client c;
    for (int i = 0; i < 5; ++i) {
      auto getting = get(&c, "http://b.test/page");
      EXPECT_EQ(co_await std::move(getting), "200 hello from /page\n");
    }
    EXPECT_EQ(net.statistics().connections, 1u);
    EXPECT_EQ(net.statistics().questions, 2u);  // one for each kind of address
    auto moved = get(&c, "http://b.test/moved");
    EXPECT_EQ(co_await std::move(moved), "200 hello from /\n");
    auto none = get(&c, "http://none.test/");
    EXPECT_EQ(co_await std::move(none), "resolve none.test: no such host (NXDOMAIN)");
    auto refused = get(&c, "http://b.test:81/");
    EXPECT_EQ(co_await std::move(refused),
              "connect " + b.at(81).to_string() + ": Connection refused");
  });
}

TEST_F(network_http_test, timeouts_take_their_time_and_none_of_ours) {
  go([&]() -> task<> {
    http::client c{http::client_options{}.total_timeout(30s)};
    const auto begin = sim.loop().now();
    auto slow = get(&c, "http://b.test/slow");
    const auto text = co_await std::move(slow);
    EXPECT_NE(text.find("timeout"), text.npos) << text;
    EXPECT_EQ(sim.loop().now() - begin, 30s);
  });
}

TEST_F(network_http_test, a_large_body_takes_what_the_bandwidth_says) {
  net.link(b, client).bandwidth(1'000'000).latency(10ms);
  go([&]() -> task<> {
    http::client c;
    const auto begin = sim.loop().now();
    auto large = get(&c, "http://b.test/large");
    const auto text = co_await std::move(large);
    EXPECT_EQ(text.size(), 1'000'004u);
    EXPECT_GT(sim.loop().now() - begin, 1s);
    EXPECT_LT(sim.loop().now() - begin, 1200ms);
  });
}

TEST_F(network_http_test, a_kept_connection_that_was_reset_is_replaced) {
  go([&]() -> task<> {
    http::client c;
    auto first = get(&c, "http://b.test/1");
    EXPECT_EQ(co_await std::move(first), "200 hello from /1\n");
    client.fail(call::read, 1, ECONNRESET);
    auto second = get(&c, "http://b.test/2");
    EXPECT_EQ(co_await std::move(second), "200 hello from /2\n");
    EXPECT_EQ(net.statistics().connections, 2u);
  });
}

TEST_F(network_http_test, the_checker_retries_with_backoff) {
  go([&]() -> task<> {
    std::vector<std::string> seen;
    auto sink = [&](check_result r) -> task<> {
      seen.push_back(r.url + (r.ok ? " OK " : " bad ") + std::to_string(r.attempts));
      co_return;
    };
    net.host("down.test").crash();
    std::vector<std::string> urls{"http://b.test/ok", "http://b.test/flaky", "http://down.test/",
                                  "http://b.test:81/"};
    auto checking = check_urls(urls, sink, check_options{}.method(check_method::get));
    const auto summary = co_await std::move(checking);
    EXPECT_EQ(summary.ok(), 2u);
    EXPECT_EQ(summary.bad(), 2u);
    EXPECT_EQ(seen.size(), 4u);
    EXPECT_NE(std::ranges::find(seen, "http://b.test/flaky OK 3"), seen.end());
  });
}

}  // namespace
}  // namespace oneloop::inline v0::testing
