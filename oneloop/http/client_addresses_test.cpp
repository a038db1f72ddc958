// Where the client connects to: lookups, races between addresses, addresses that are excluded.
#include "oneloop/http/client_test.hpp"
#include "oneloop/net/connect.hpp"
#include "oneloop/net/dns_server_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::phase_timeouts;
using http::proxy_rules;

task<> answers(http_peer& p) {
  while (true) {
    const bool more = co_await p.request();
    if (!more) break;
    co_await p.answer("x");
  }
}

class http_addresses_on : public http_on_backends {
 protected:
  /// Runs `body(server, options, names)` beside a server on 127.0.0.1 and a name server.
  template <class Body>
  void with_names(server::script s, Body body) {
    with_server(std::move(s), [&](server& here) -> task<> {
      dns_server names;
      client_options options;
      options.resolver(net::resolver_options{}.servers({names.at()}).search({}).hosts_file(""));
      auto both = [&](nursery& n) -> task<> {
        n.start(&dns_server::serve, &names);
        auto testing = body(here, options, names);
        co_await std::move(testing);
        n.cancel();
      };
      auto running = with_nursery(std::ref(both));
      co_await std::move(running);
    });
  }
};
ON_BACKENDS(http_addresses_on);

// ---- 24: lookups ----

TEST_P(http_addresses_on, http_point_24_failures_of_lookups_are_told_apart) {
  with_names(answers, [](server&, client_options o, dns_server&) -> task<> {
    phase_timeouts t;
    t.dns = 80ms;
    client c{o.timeouts(t)};
    struct row {
      const char* target;
      const char* kind;
      const char* words;
    };
    const row rows[] = {
        {"http://nx.test/", "dns", "resolve nx.test: no such host (NXDOMAIN)"},
        {"http://servfail.test/", "dns", "SERVFAIL"},
        {"http://refused.test/", "dns", "REFUSED"},
        {"http://silent.test/", "timeout", "timeout after 80 ms resolving silent.test"},
        {"http://none.test/", "dns", "no address"},
    };
    for (const auto& r : rows) {
      const auto f = co_await failure_of(c.get(r.target));
      EXPECT_EQ(f.kind, r.kind) << f.text;
      EXPECT_EQ(f.phase, "dns");
      EXPECT_NE(f.text.find(r.words), f.text.npos) << f.text;
    }
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_addresses_on, http_point_24_one_lookup_serves_many_and_localhost_needs_none) {
  with_names(answers, [](server& s, client_options o, dns_server& names) -> task<> {
    client c{o.per_host(64)};
    const std::string port = std::to_string(s.port());
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 20; ++i) {
        n.start([](client& from, std::string at) -> task<> { (void)co_await fetch(from, at); },
                std::ref(c), "http://local4.test:" + port + "/");
      }
      co_return;
    });
    EXPECT_EQ(names.questions("local4.test"), 2);  // A and AAAA
    (void)co_await fetch(c, s.elsewhere());
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(names.questions(), 2);
  });
}

TEST_P(http_addresses_on, http_point_24_an_address_that_was_told_is_not_looked_up) {
  with_names(answers, [](server& s, client_options o, dns_server& names) -> task<> {
    o.resolve("Told.test", s.port(), net::ip_address::loopback_v4());
    client c{o};
    const std::string port = std::to_string(s.port());
    const auto body = co_await fetch(c, "http://told.test:" + port + "/");
    EXPECT_EQ(body, "x");
    EXPECT_NE(s.requests[0].find("\r\nHost: told.test:" + port + "\r\n"), std::string::npos);
    EXPECT_EQ(names.questions(), 0);
    // At another port it is a name like any other.
    const auto f = co_await failure_of(c.get("http://told.test:1/"));
    EXPECT_EQ(f.kind, "dns");
    EXPECT_GT(names.questions(), 0);
  });
}

// ---- 25: races ----

TEST_P(http_addresses_on, http_point_25_every_attempt_is_reported) {
  with_names(answers, [](server&, client_options o, dns_server&) -> task<> {
    client c{o};
    const auto f = co_await failure_of(c.get("http://local.test:1/"));
    EXPECT_EQ(f.kind, "refused");
    EXPECT_EQ(f.phase, "connect");
    EXPECT_EQ(f.text,
              "connect local.test:1: all 2 attempts failed: [::1]:1: Connection refused; "
              "127.0.0.1:1: Connection refused");
  });
}

TEST_P(http_addresses_on, http_point_25_the_winner_begins_the_next_time) {
  with_names(answers, [](server& s, client_options o, dns_server&) -> task<> {
    // The server listens on 127.0.0.1 only.
    EXPECT_EQ(net::detail::remembered_winner("local.test"), net::family::v6);
    client c{o};
    (void)co_await fetch(c, "http://local.test:" + std::to_string(s.port()) + "/");
    // One memory for everybody on this loop.
    EXPECT_EQ(net::detail::remembered_winner("local.test"), net::family::v4);
    EXPECT_EQ(net::detail::remembered_winner("other.test"), net::family::v6);
    const auto f = co_await failure_of(c.get("http://local.test:1/"));
    EXPECT_NE(f.text.find("failed: 127.0.0.1:1: "), f.text.npos) << f.text;
  });
}

// ---- 31: addresses that must not be asked ----

TEST_P(http_addresses_on, http_point_31_private_addresses_are_refused_however_they_are_written) {
  with_names(answers, [](server& s, client_options o, dns_server&) -> task<> {
    client c{o.exclude_private()};
    const std::string port = ":" + std::to_string(s.port()) + "/";
    struct row {
      std::string host;
      const char* phase;
      const char* text;
    };
    const row rows[] = {
        {"127.0.0.1", "connect", "127.0.0.1 is a loopback address"},
        {"0x7f.1", "connect", "127.0.0.1 is a loopback address"},
        {"2130706433", "connect", "127.0.0.1 is a loopback address"},
        {"[::1]", "connect", "::1 is a loopback address"},
        {"[::ffff:127.0.0.1]", "connect", "::ffff:127.0.0.1 is a loopback address"},
        {"[64:ff9b::7f00:1]", "connect", "64:ff9b::7f00:1 is a loopback address"},
        {"0.0.0.0", "connect", "0.0.0.0 is an unspecified address"},
        {"169.254.169.254", "connect", "169.254.169.254 is a link-local address"},
        {"localhost", "dns", "localhost: ::1 is a loopback address"},
        {"a.localhost", "dns", "is a loopback address"},
        {"local.test", "dns", "is a loopback address"},
        {"local4.test", "dns", "local4.test: 127.0.0.1 is a loopback address"},
    };
    for (const auto& r : rows) {
      const auto f = co_await failure_of(c.get("http://" + r.host + port));
      EXPECT_EQ(f.kind, "forbidden") << r.host << ": " << f.text;
      EXPECT_EQ(f.phase, r.phase) << r.host;
      EXPECT_NE(f.text.find(r.text), f.text.npos) << f.text;
    }
    // What we were told counts like what a name server says.
    client told{client_options{}.exclude_private().resolve("told.test", s.port(),
                                                           net::ip_address::loopback_v4())};
    const auto f = co_await failure_of(told.get("http://told.test" + port));
    EXPECT_EQ(f.kind, "forbidden");
    // The absence of a name is another matter.
    const auto nx = co_await failure_of(c.get("http://nx.test/"));
    EXPECT_EQ(nx.kind, "dns");
    EXPECT_EQ(s.connections, 0);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_addresses_on, http_point_31_each_hop_is_tested_and_only_public_addresses_are_used) {
  // Through a proxy, because no public address can be asked in a test. The name is looked up once:
  // nothing can change between the test and the use.
  auto as_proxy = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\n\r\n");
    (void)co_await p.request();
    co_await p.redirect(302, "http://local4.test/secret");
  };
  with_names(as_proxy, [](server& s, client_options o, dns_server& names) -> task<> {
    o.exclude_private().proxies(proxy_rules::all(s.at()));
    for (const char* name : {"mixed.test", "rebind.test"}) {
      s.requests.clear();
      client c{o};
      const auto f = co_await failure_of(c.get("http://" + std::string{name} + "/"));
      EXPECT_EQ(f.kind, "forbidden") << f.text;
      EXPECT_EQ(f.text,
                "local4.test: 127.0.0.1 is a loopback address, and private addresses are excluded");
      EXPECT_EQ(s.requests.size(), 2u);
      EXPECT_TRUE(s.requests[0].starts_with("CONNECT 9.8.7.6:80 HTTP/1.1\r\n")) << s.requests[0];
      EXPECT_TRUE(s.requests[1].starts_with("GET / HTTP/1.1\r\nHost: " + std::string{name}))
          << s.requests[1];
      EXPECT_EQ(names.questions(name), 2);
    }
    client again{o};
    const auto f = co_await failure_of(again.get("http://rebind.test/"));
    EXPECT_EQ(f.kind, "forbidden") << f.text;
    EXPECT_EQ(s.connections, 2);
  });
}

// ---- 26: every phase has a limit and a name ----

TEST_P(http_addresses_on, http_point_26_each_phase_has_a_limit_of_its_own_name) {
  auto hangs = [](peer& p) -> task<> {
    const std::string first = co_await read_text(p.stream);
    if (first.starts_with("GET /write")) co_await sleep_for(10s);
    if (first.starts_with("GET /stall")) co_await p.say("HTTP/1.1 200 OK\r\nContent-");
    while (first.starts_with("GET /total")) {
      co_await p.say("HTTP/1.1 102 Processing\r\n\r\n");
      co_await sleep_for(10ms);
    }
    co_await p.until_closed();
  };
  with_names(hangs, [](server& s, client_options o, dns_server&) -> task<> {
    full_listener full;
    const std::string here = "127.0.0.1:" + std::to_string(s.port());
    struct row {
      const char* phase;
      duration phase_timeouts::* limit;
      std::string target;
      std::string proxy;
    };
    const row rows[] = {
        {"dns", &phase_timeouts::dns, "http://silent.test/", ""},
        {"connect", &phase_timeouts::connect, full.url(), ""},
        {"proxy", &phase_timeouts::proxy, "https://a.test/", "http://" + here},
        {"proxy", &phase_timeouts::proxy, "http://a.test/", "socks5h://" + here},
        {"tls", &phase_timeouts::tls, "https://" + here + "/", ""},
        {"tls", &phase_timeouts::tls, "http://a.test/", "https://" + here},
        {"write", &phase_timeouts::write, "http://" + here + "/write", ""},
        {"first_byte", &phase_timeouts::first_byte, "http://" + here + "/", ""},
        {"stall", &phase_timeouts::stall, "http://" + here + "/stall", ""},
        {"total", nullptr, "http://" + here + "/total", ""},
    };
    for (const auto& r : rows) {
      client_options with = o;
      phase_timeouts t;
      if (r.limit != nullptr) {
        t.*r.limit = 60ms;
      } else {
        with.total_timeout(60ms);
      }
      with.timeouts(t);
      if (!r.proxy.empty()) with.proxies(proxy_rules::all(r.proxy));
      client c{with};
      http::request ask{"GET", url::parse(r.target).value()};
      // More than the buffers of two sockets hold.
      if (std::string_view{r.phase} == "write") {
        ask.fields().add("X-Large", std::string(16 * 1024 * 1024, 'x'));
      }
      const auto f = co_await failure_of(c.send(ask));
      EXPECT_EQ(f.kind, "timeout") << r.phase << ": " << f.text;
      EXPECT_EQ(f.phase, r.phase) << f.text;
      EXPECT_TRUE(f.text.starts_with("timeout after 60 ms ")) << f.text;
      EXPECT_EQ(c.statistics().in_use, 0u);
    }
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
