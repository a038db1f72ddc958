#include "oneloop/http/server_tls.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneloop/net/net_test.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/net/tls_contexts_test.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::http {
namespace {

using test::identity;
using test::trust;

using namespace test;

class http_server_tls : public on_backends {};
INSTANTIATE_TEST_SUITE_P(backends, http_server_tls, ::testing::ValuesIn(kernel_backends()),
                         [](const auto& chosen) { return chosen.param; });

task<server_response> answer(server_request& r) {
  co_return server_response{}.body(std::string{r.path()} + "\n");
}

TEST_P(http_server_tls, answers_several_requests_over_one_session_and_says_goodbye) {
  go([]() -> task<> {
    const testing::test_ca ca;
    net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = serve_tls(l, identity(ca), answer);
        co_await std::move(serving);
      });
      auto plain = co_await net::connect(l.local_endpoint());
      auto shaking = net::connect_tls(std::move(plain), trust(ca), "localhost");
      auto s = co_await std::move(shaking);
      for (const char* path : {"/one", "/two"}) {
        const std::string text =
            std::string{"GET "} + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
        (void)co_await s.write_all(net::bytes_of(text));
        const auto reply = co_await read_text(s);
        EXPECT_THAT(reply, ::testing::EndsWith(std::string{path} + "\n"));
      }
      const std::string last = "GET /bye HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
      (void)co_await s.write_all(net::bytes_of(last));
      const auto reply = co_await read_all(s);  // throws if there is no goodbye
      EXPECT_THAT(reply, ::testing::EndsWith("/bye\n"));
      n.cancel();
    });
  });
}

/// A listener whose connections speak TLS when it gives them away.
class tls_listener {
 public:
  tls_listener(net::tcp_listener& l, net::tls_context c) : listener_{l}, context_{std::move(c)} {}
  task<net::tls_stream<net::tcp_stream>> accept() {
    auto plain = co_await listener_.accept();
    auto shaking = net::accept_tls(std::move(plain), context_);
    auto secure = co_await std::move(shaking);
    co_return std::move(secure);
  }

 private:
  net::tcp_listener& listener_;
  net::tls_context context_;
};

/// Two requests in records of their own that arrive together: the second one has been received, and
/// not read, when the first has been answered.
task<> ask_twice_at_once(net::tcp_listener& l, net::tls_context context) {
  auto plain = co_await net::connect(l.local_endpoint());
  auto shaking = net::connect_tls(std::move(plain), std::move(context), "localhost");
  auto peer = co_await std::move(shaking);
  for (const std::string path : {"/one", "/two"}) {
    const std::string text = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    (void)co_await peer.write_all(net::bytes_of(text));
  }
  std::string all;
  while (!all.ends_with("/two\n")) {
    auto reading = read_text(peer);
    const auto piece = co_await std::move(reading);
    if (piece.empty()) break;
    all += piece;
  }
  EXPECT_THAT(all, ::testing::EndsWith("/two\n"));
}

TEST_P(http_server_tls, requests_that_were_received_and_not_read_are_not_idleness) {
  go([]() -> task<> {
    const testing::test_ca ca;
    const auto context = identity(ca);
    net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
    server s{answer};
    // Over a stream that speaks TLS already.
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto plain = co_await l.accept();
        auto shaking = net::accept_tls(std::move(plain), context);
        auto secure = co_await std::move(shaking);
        co_await sleep_for(50ms);
        auto serving = s.serve_stream(net::any_stream{std::move(secure)});
        co_await std::move(serving);
      });
      co_await fail_after(5s, ask_twice_at_once(l, trust(ca)));
      n.cancel();
    });
    // Behind a listener of such streams.
    tls_listener secure{l, context};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve(secure);
        co_await std::move(serving);
      });
      co_await fail_after(5s, ask_twice_at_once(l, trust(ca)));
      n.cancel();
    });
    // And where the server shakes hands.
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve(l, tls_handshake(context));
        co_await std::move(serving);
      });
      co_await fail_after(5s, ask_twice_at_once(l, trust(ca)));
      n.cancel();
    });
    EXPECT_EQ(s.statistics().requests, 6u);
  });
}

TEST_P(http_server_tls, survives_handshakes_that_fail_or_never_come) {
  go([]() -> task<> {
    const testing::test_ca ca, other;
    net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
    server s{answer, server_options{}.head_timeout(100ms)};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve(l, tls_handshake(identity(ca)));
        co_await std::move(serving);
      });
      auto silent = co_await net::connect(l.local_endpoint());
      auto garbage = co_await net::connect(l.local_endpoint());
      (void)co_await garbage.write_all(net::bytes_of("GET / HTTP/1.1\r\n\r\n"));
      auto plain = co_await net::connect(l.local_endpoint());
      auto shaking = net::connect_tls(std::move(plain), trust(other), "localhost");
      const auto why = co_await message_of(std::move(shaking));
      EXPECT_THAT(why, ::testing::HasSubstr("tls localhost"));
      while (s.statistics().failed < 3) co_await sleep_for(10ms);
      auto again = co_await net::connect(l.local_endpoint());
      auto good = net::connect_tls(std::move(again), trust(ca), "localhost");
      auto fine = co_await std::move(good);
      EXPECT_TRUE(fine.session().handshake_done());
      n.cancel();
    });
  });
}

}  // namespace
}  // namespace oneloop::http
