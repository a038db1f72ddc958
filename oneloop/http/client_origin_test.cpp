// https beside http: kept TLS connections that are dead, and redirects that leave TLS. (Points 11
// and 21 of what a serious client must get right.)
#include "oneloop/http/client_tls_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;

class http_origins_on : public http_tls_on_backends {};
ON_BACKENDS(http_origins_on);

TEST_P(http_origins_on, p21_a_kept_tls_connection_that_answers_with_an_alert_is_replaced_once) {
  // Not even encrypted: the server has forgotten the session.
  static constexpr std::string_view alert{"\x15\x03\x03\x00\x02\x02\x50", 7};
  auto script = [](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    (void)co_await p.request();
    (void)co_await p.in.stream().lower().write_all(net::bytes_of(alert));
  };
  with_server(identity(), script, [](server& s) -> task<> {
    client c{trusting()};
    for (int i = 0; i < 3; ++i) {
      const auto body = co_await fetch(c, s.at());
      EXPECT_EQ(body, "x");
    }
    EXPECT_EQ(c.statistics().retried, 2u);
    (void)co_await fetch(c, s.at());
    http::request post{"POST", url::parse(s.at()).value()};
    const auto f = co_await failure_of(c.send(post));
    EXPECT_EQ(f.kind, "tls");
    EXPECT_EQ(f.phase, "first_byte");
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_origins_on, p11_what_is_bound_to_a_host_does_not_go_over_http_after_https) {
  auto plain_script = [](http_peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.answer("x");
    }
  };
  http_script_server plain{plain_script};
  auto script = [&](secure_peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 307 Go\r\nContent-Length: 0\r\nLocation: " + plain.elsewhere("/end") +
                   "\r\n\r\n");
    (void)co_await p.request();
  };
  with_server(identity(), script, [&](server& s) -> task<> {
    auto both = [&](nursery& n) -> task<> {
      n.start(&http_script_server::serve, &plain);
      client c{trusting()
                   .field("X-Token", "secret", "localhost")
                   .field("X-Any", "secret")
                   .credentials("localhost", "u", "p")};
      http::request r{"GET", url::parse(s.at()).value()};
      r.fields().add("X-Mine", "secret");
      (void)co_await c.send(r);
      EXPECT_EQ(plain.requests.at(0).find("secret"), std::string::npos) << plain.requests.at(0);
      EXPECT_EQ(plain.requests.at(0).find("Authorization"), std::string::npos);
      // Asked for directly it is what the user wants.
      (void)co_await c.get(plain.elsewhere("/end"));
      EXPECT_NE(plain.requests.at(1).find("X-Token: secret"), std::string::npos);
      EXPECT_NE(plain.requests.at(1).find("Authorization"), std::string::npos);
      n.cancel();
    };
    auto running = with_nursery(std::ref(both));
    co_await std::move(running);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
