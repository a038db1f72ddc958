// The client through proxies: http and https (requests in absolute form, CONNECT) and SOCKS5.
#include "oneloop/http/client_tls_test.hpp"
#include "oneloop/http/tunnel_internal.hpp"
#include "oneloop/net/connect.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::phase_timeouts;
using http::proxy_rules;

template <class From, class To>
task<> copy_all(From& from, To& to) {
  std::vector<std::byte> b(16 * 1024);
  try {
    while (true) {
      const auto n = co_await from.read_some(b);
      if (n == 0) break;
      (void)co_await to.write_all(std::span{b}.first(n));
    }
    co_await to.shutdown_write();
  } catch (const error&) {
  }
}

/// Until one side has ended.
template <class A, class B>
task<> relay(A& a, B& b) {
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> { return copy_all(b, a); });
    auto there = copy_all(a, b);
    co_await std::move(there);
    n.cancel();
  });
}

/// Connects to a port of this machine, whatever was asked for.
template <class Stream>
task<> lead_to(std::uint16_t port, Stream& s) {
  const net::endpoint there{net::ip_address::loopback_v4(), port};
  auto up = co_await net::connect(there);
  auto relaying = relay(s, up);
  co_await std::move(relaying);
}

/// A proxy that opens a tunnel to `port`.
http_script_server::script tunnel_to(const std::uint16_t& port) {
  return [&port](http_peer& p) -> task<> {
    const bool asked = co_await p.request();
    if (!asked) co_return;
    co_await p.say("HTTP/1.1 200 Connection established\r\n\r\n");
    auto leading = lead_to(port, p.stream);
    co_await std::move(leading);
  };
}

client_options through(const http_script_server& s, std::string scheme = "http://") {
  const std::string proxy = scheme + "127.0.0.1:" + std::to_string(s.port());
  return trusting().proxies(proxy_rules::all(proxy));
}

class http_point_28_on : public http_on_backends {
 protected:
  std::size_t idle = 0;
  /// What a request to `target` through a proxy that follows `s` ends with.
  http_failure through_proxy(server::script s, std::string target, std::string scheme = "http://",
                             phase_timeouts t = {}) {
    http_failure f;
    with_server(std::move(s), [&](server& proxy) -> task<> {
      client c{through(proxy, scheme).timeouts(t)};
      f = co_await failure_of(fetch(c, target));
      EXPECT_EQ(c.statistics().in_use, 0u);
      idle = c.statistics().idle;
      const std::string name = "proxy 127.0.0.1:" + std::to_string(proxy.port());
      if (const auto at = f.text.find(name); at != f.text.npos) {
        f.text.replace(at, name.size(), "PROXY");
      }
      co_await eventually([&] { return proxy.open == 0; });
    });
    return f;
  }
};
ON_BACKENDS(http_point_28_on);

// ---- requests in absolute form ----

TEST_P(http_point_28_on, plain_requests_name_the_whole_url) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.answer("x");
    }
  };
  with_server(script, [](server& proxy) -> task<> {
    client c{through(proxy, "http://me:pa%3Ass@")};
    // No name server is asked for this name.
    const auto body = co_await fetch(c, "http://u:p@Example.test:8080/a?b#c");
    EXPECT_EQ(body, "x");
    const std::string& first = proxy.requests[0];
    EXPECT_TRUE(first.starts_with("GET http://example.test:8080/a?b HTTP/1.1\r\n")) << first;
    EXPECT_NE(first.find("\r\nHost: example.test:8080\r\n"), first.npos) << first;
    EXPECT_NE(first.find("\r\nProxy-Authorization: Basic bWU6cGE6c3M=\r\n"), first.npos) << first;
    EXPECT_NE(first.find("\r\nAuthorization: Basic dTpw\r\n"), first.npos) << first;
    (void)co_await fetch(c, "http://example.test:8080");
    EXPECT_EQ(proxy.connections, 1);
    EXPECT_TRUE(proxy.requests[1].starts_with("GET http://example.test:8080/ HTTP/1.1\r\n"));
    EXPECT_EQ(proxy.requests[1].find("\r\nAuthorization"), first.npos);
    // Each origin has connections of its own, to the proxy as well.
    (void)co_await fetch(c, "http://other.test/");
    EXPECT_EQ(proxy.connections, 2);
  });
}

TEST_P(http_point_28_on, exceptions_are_reached_directly_and_learn_nothing_of_the_proxy) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.answer("direct");
  };
  with_server(script, [](server& s) -> task<> {
    auto rules = proxy_rules::all("http://me:secret@127.0.0.1:1");
    rules.except("localhost");
    client c{client_options{}.proxies(rules)};
    const auto body = co_await fetch(c, s.elsewhere("/x"));
    EXPECT_EQ(body, "direct");
    EXPECT_TRUE(s.requests[0].starts_with("GET /x HTTP/1.1\r\n")) << s.requests[0];
    EXPECT_EQ(s.requests[0].find("Proxy-Authorization"), std::string::npos);
    const auto other = co_await failure_of(c.get("http://other.test/"));
    EXPECT_EQ(other.kind, "proxy");
    EXPECT_EQ(other.phase, "proxy");
    EXPECT_EQ(other.text, "proxy 127.0.0.1:1: connect 127.0.0.1:1: Connection refused");
  });
}

TEST_P(http_point_28_on, a_proxy_that_wants_a_password_is_no_answer_of_the_site) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno");
  };
  const auto f = through_proxy(script, "http://example.test/");
  EXPECT_EQ(f.kind, "proxy");
  EXPECT_EQ(f.phase, "proxy");
  EXPECT_EQ(f.text, "PROXY: 407 Proxy Authentication Required");
}

// ---- CONNECT ----

/// Runs `body(proxy, secure server)`; the proxy follows `make(port of the secure server)`.
template <class Body>
task<> beside_tls(http_script_server& proxy, secure_server& s, Body body) {
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start(&http_script_server::serve, &proxy);
    n.start(&secure_server::serve, &s);
    auto testing = body(proxy, s);
    co_await std::move(testing);
    n.cancel();
  });
}

TEST_P(http_point_28_on, https_goes_through_a_tunnel) {
  go([]() -> task<> {
    std::string seen, name;
    auto script = [&](secure_peer& p) -> task<> {
      name = p.in.stream().session().server_name();
      while (true) {
        const bool more = co_await p.request();
        if (!more) break;
        seen = p.last;
        co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
      }
    };
    secure_server s{.with = identity(testing::validity::valid, "example.test"), .follow = script};
    const std::uint16_t port = s.port();
    http_script_server proxy{tunnel_to(port)};
    auto body = [&](http_script_server&, secure_server&) -> task<> {
      client c{through(proxy, "http://me:pass@")};
      for (int i = 0; i < 2; ++i) {
        const auto text = co_await fetch(c, "https://example.test/x");
        EXPECT_EQ(text, "secret");
      }
      EXPECT_EQ(c.statistics().reused, 1u);
    };
    co_await beside_tls(proxy, s, std::ref(body));
    EXPECT_EQ(proxy.requests.size(), 1u);
    const std::string& asked = proxy.requests[0];
    EXPECT_TRUE(asked.starts_with("CONNECT example.test:443 HTTP/1.1\r\n")) << asked;
    EXPECT_NE(asked.find("\r\nHost: example.test:443\r\n"), asked.npos) << asked;
    EXPECT_NE(asked.find("\r\nProxy-Authorization: Basic bWU6cGFzcw==\r\n"), asked.npos) << asked;
    EXPECT_EQ(asked.find("/x"), asked.npos);
    EXPECT_EQ(name, "example.test");
    EXPECT_TRUE(seen.starts_with("GET /x HTTP/1.1\r\n")) << seen;
    EXPECT_EQ(seen.find("Proxy-"), seen.npos) << seen;
  });
}

TEST_P(http_point_28_on, what_a_proxy_refuses_is_told) {
  auto answering = [](std::string text) {
    return [text](peer& p) -> task<> {
      (void)co_await p.request();
      co_await p.say(text);
    };
  };
  const std::pair<std::string, std::string> rows[] = {
      {"HTTP/1.1 407 Who are you\r\nContent-Length: 5\r\n\r\nlogin", "407 Who are you"},
      {"HTTP/1.1 407\r\n\r\n" + std::string(100'000, 'x'), "407 Proxy Authentication Required"},
      {"HTTP/1.0 502 Bad Gateway\r\n\r\n", "502 Bad Gateway"},
      {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 302 Found\r\nLocation: http://evil.test/\r\n\r\n",
       "302 Found"},
      {"", "closed the connection without an answer"},
      {"HTTP/1.1 200 OK\r\n\r\nand more", "bytes behind the answer"},
  };
  for (const auto& [answer, why] : rows) {
    const auto f = through_proxy(answering(answer), "https://[2001:db8::1]/");
    EXPECT_EQ(f.kind, "proxy") << f.text;
    EXPECT_EQ(f.phase, "proxy");
    EXPECT_EQ(f.text, "PROXY: CONNECT [2001:db8::1]:443: " + why);
    EXPECT_EQ(idle, 0u);
  }
  for (const std::string& nonsense :
       {std::string{"SSH-2.0-x\r\n"}, std::string{"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"},
        "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x'), std::string{"HTTP/1.1 20"}}) {
    const auto f = through_proxy(answering(nonsense), "https://example.test/");
    EXPECT_EQ(f.kind, "proxy") << f.text;
    EXPECT_TRUE(f.text.starts_with("PROXY: ")) << f.text;
  }
}

TEST_P(http_point_28_on, tls_inside_tls_for_https_and_absolute_form_inside_tls_for_http) {
  go([]() -> task<> {
    secure_server origin{.with = identity(testing::validity::valid, "example.test"),
                         .follow = answers_all};
    std::vector<std::string> asked;
    auto as_proxy = [&](secure_peer& p) -> task<> {
      while (true) {
        const bool more = co_await p.request();
        if (!more) break;
        asked.push_back(p.last);
        if (p.last.starts_with("CONNECT ")) {
          co_await p.say("HTTP/1.1 200 OK\r\n\r\n");
          auto leading = lead_to(origin.port(), p.in.stream());
          co_await std::move(leading);
          break;
        }
        co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain");
      }
    };
    secure_server proxy{.with = identity(), .follow = as_proxy};
    auto both = [&](nursery& n) -> task<> {
      n.start(&secure_server::serve, &origin);
      n.start(&secure_server::serve, &proxy);
      const std::string at = "https://localhost:" + std::to_string(proxy.port());
      client c{trusting().proxies(proxy_rules::all(at))};
      for (int i = 0; i < 3; ++i) {
        const auto inner = co_await fetch(c, "https://example.test/");
        EXPECT_EQ(inner, "secret");
        const auto plain = co_await fetch(c, "http://example.test/");
        EXPECT_EQ(plain, "plain");
        co_await sleep_for(2ms);
      }
      EXPECT_EQ(c.statistics().reused, 4u);
      EXPECT_EQ(c.statistics().opened, 2u);
      client stranger{client_options{}.proxies(proxy_rules::all(at))};
      const auto f = co_await failure_of(stranger.get("http://example.test/"));
      EXPECT_EQ(f.kind, "proxy");
      EXPECT_NE(f.text.find("TLS handshake with localhost: "), f.text.npos) << f.text;
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
    EXPECT_TRUE(asked[0].starts_with("CONNECT example.test:443 ")) << asked[0];
    EXPECT_TRUE(asked[1].starts_with("GET http://example.test/ ")) << asked[1];
  });
}

TEST_P(http_point_28_on, addresses_that_we_were_told_are_told_to_the_proxy) {
  const auto address = *net::ip_address::parse("9.8.7.6");
  for (const bool https : {false, true}) {
    std::vector<std::string> asked;
    auto script = [&](peer& p) -> task<> {
      (void)co_await p.request();
      asked.push_back(p.last_path());
      co_await p.say("HTTP/1.1 403 Forbidden\r\n\r\n");
    };
    with_server(script, [&](server& proxy) -> task<> {
      const std::uint16_t port = https ? 443 : 80;
      client c{through(proxy).exclude_private().resolve("example.test", port, address)};
      const auto f =
          co_await failure_of(c.get(https ? "https://example.test/" : "http://example.test/"));
      EXPECT_EQ(f.kind, "proxy");
      // A proxy that is told an address needs a tunnel: the Host of a plain request is lost on it.
      EXPECT_TRUE(proxy.requests[0].starts_with("CONNECT 9.8.7.6:" + std::to_string(port)))
          << proxy.requests[0];
      const auto inner = co_await failure_of(c.get("http://127.0.0.1/"));
      EXPECT_EQ(inner.kind, "forbidden");
      const auto local = co_await failure_of(c.get("https://localhost/"));
      EXPECT_EQ(local.kind, "forbidden");
      EXPECT_EQ(proxy.requests.size(), 1u);
    });
  }
}

// ---- SOCKS5 ----

/// The proxy's side of a SOCKS conversation: reads `size` bytes.
task<std::string> take(http_peer& p, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t have = 0;
  while (have < size) {
    const auto rest = std::as_writable_bytes(std::span{bytes}.subspan(have));
    const auto n = co_await p.stream.read_some(rest);
    if (n == 0) throw closed_error{"socks"};
    have += n;
  }
  co_return bytes;
}

/// A SOCKS5 proxy: with a password if `login` is not empty ("user:password"), leads to `port`.
struct socks_proxy {
  std::uint16_t port = 0;
  std::string login{};
  std::string asked{};  // "3 example.test 443"
  char reply = 0;
  std::string bound{"\1\0\0\0\0\0\0", 7};

  task<> serve(http_peer& p) {
    auto opening = open(p);
    const bool opened = co_await std::move(opening);
    if (!opened) co_return;
    auto leading = lead_to(port, p.stream);
    co_await std::move(leading);
  }
  task<bool> open(http_peer& p) {
    std::string head = co_await take(p, 2);
    EXPECT_EQ(head[0], 5);
    const std::string methods = co_await take(p, static_cast<std::size_t>(head[1]));
    const char wanted = login.empty() ? '\0' : '\2';
    const bool known = methods.find(wanted) != methods.npos;
    const std::string chosen{5, known ? wanted : '\xff'};
    co_await p.say(chosen);
    if (!known) co_return false;
    if (!login.empty()) {
      head = co_await take(p, 2);
      EXPECT_EQ(head[0], 1);
      std::string given = co_await take(p, static_cast<std::size_t>(head[1]));
      head = co_await take(p, 1);
      const std::string password = co_await take(p, static_cast<std::size_t>(head[0]));
      given += ":" + password;
      const std::string verdict{1, given == login ? '\0' : '\1'};
      co_await p.say(verdict);
      if (given != login) co_return false;
    }
    head = co_await take(p, 4);
    EXPECT_EQ(head.substr(0, 3), (std::string{5, 1, 0}));
    std::string host;
    std::size_t size = head[3] == 1 ? 4 : 16;
    if (head[3] == 3) {
      const std::string length = co_await take(p, 1);
      size = static_cast<std::size_t>(length[0]);
    }
    host = co_await take(p, size);
    if (head[3] == 1) {
      std::array<std::uint8_t, 4> b;
      std::copy(host.begin(), host.end(), b.begin());
      host = net::ip_address::v4(b).to_string();
    } else if (head[3] == 4) {
      std::array<std::uint8_t, 16> b;
      std::copy(host.begin(), host.end(), b.begin());
      host = net::ip_address::v6(b).to_string();
    }
    const std::string number = co_await take(p, 2);
    const int to =
        static_cast<unsigned char>(number[0]) << 8 | static_cast<unsigned char>(number[1]);
    asked += (asked.empty() ? "" : ", ") + std::to_string(head[3]) + " " + host + " " +
             std::to_string(to);
    const std::string answer = std::string{5, reply, 0} + bound;
    co_await p.say(answer);
    co_return reply == 0;
  }
};

TEST_P(http_point_28_on, socks5_with_names_addresses_and_passwords) {
  auto answering = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.answer("x");
    }
  };
  with_server(answering, [](server& origin) -> task<> {
    struct row {
      const char* scheme;
      const char* login;
      const char* target;
      const char* asked;
    };
    const row rows[] = {
        {"socks5h://", "", "http://example.test/a", "3 example.test 80"},
        {"socks5h://", "", "http://127.0.0.1:81/a", "1 127.0.0.1 81"},
        {"socks5h://", "", "http://[::1]/a", "4 ::1 80"},
        {"socks5://me:p%40ss@", "me:p@ss", "http://127.0.0.2/a", "1 127.0.0.2 80"},
        {"socks5h://me:pass@", "", "http://a.test/a", "3 a.test 80"},
    };
    for (const auto& r : rows) {
      socks_proxy socks{.port = origin.port(), .login = r.login};
      http_script_server proxy{[&](http_peer& p) { return socks.serve(p); }};
      auto both = [&](nursery& n) -> task<> {
        n.start(&http_script_server::serve, &proxy);
        client c{through(proxy, r.scheme)};
        for (int i = 0; i < 2; ++i) {
          const auto body = co_await fetch(c, r.target);
          EXPECT_EQ(body, "x");
        }
        EXPECT_EQ(c.statistics().reused, 1u);
        n.cancel();
      };
      co_await with_nursery(std::ref(both));
      EXPECT_EQ(socks.asked, r.asked);
      EXPECT_TRUE(origin.requests.back().starts_with("GET /a HTTP/1.1\r\n"));
      EXPECT_EQ(origin.requests.back().find("Proxy"), std::string::npos);
    }
  });
}

TEST_P(http_point_28_on, socks5_resolves_here_and_tries_every_address) {
  go([]() -> task<> {
    socks_proxy socks{.reply = 5};
    http_script_server proxy{[&](http_peer& p) { return socks.serve(p); }};
    auto both = [&](nursery& n) -> task<> {
      n.start(&http_script_server::serve, &proxy);
      client c{through(proxy, "socks5://")};
      const auto f = co_await failure_of(c.get("http://localhost/"));
      EXPECT_EQ(f.kind, "proxy");
      EXPECT_TRUE(f.text.ends_with(": connect 127.0.0.1:80: connection refused")) << f.text;
      n.cancel();
    };
    co_await with_nursery(std::ref(both));
    EXPECT_EQ(socks.asked, "4 ::1 80, 1 127.0.0.1 80");
  });
}

TEST_P(http_point_28_on, https_inside_socks5) {
  go([]() -> task<> {
    secure_server s{.with = identity(testing::validity::valid, "example.test"),
                    .follow = answers_all};
    socks_proxy socks{.port = s.port(), .bound = std::string{"\3\4abcd\0\1", 8}};
    http_script_server proxy{[&](http_peer& p) { return socks.serve(p); }};
    auto body = [&](http_script_server&, secure_server&) -> task<> {
      client c{through(proxy, "socks5h://")};
      const auto text = co_await fetch(c, "https://example.test/");
      EXPECT_EQ(text, "secret");
    };
    co_await beside_tls(proxy, s, std::ref(body));
    EXPECT_EQ(socks.asked, "3 example.test 443");
  });
}

TEST_P(http_point_28_on, what_a_socks_proxy_refuses_is_told) {
  const std::string target = "http://example.test/";
  auto saying = [](std::vector<std::string> answers) {
    return [answers](peer& p) -> task<> {
      for (const auto& a : answers) {
        (void)co_await read_text(p.stream);
        co_await p.say(a);
      }
    };
  };
  const std::string no_password{5, 0};
  const std::string password{5, 2};
  const std::string nothing{5, '\xff'};
  struct row {
    std::vector<std::string> answers;
    std::string why;
    const char* scheme = "socks5h://";
  };
  const row rows[] = {
      {{nothing}, "asks for a user name and a password"},
      {{password}, "asks for a user name and a password"},
      {{nothing}, "no way of authentication in common", "socks5h://a:b@"},
      {{password, std::string{1, 1}}, "user name or password not accepted", "socks5h://a:b@"},
      {{password}, "a password must have 1 to 255 bytes", "socks5h://a@"},
      {{"HT"}, "does not speak SOCKS5"},
      {{no_password, "HTTP"}, "does not speak SOCKS5"},
      {{no_password, {5, 4, 0, 1}}, "connect example.test:80: host unreachable"},
      {{no_password, {5, 2, 0, 1}}, "connect example.test:80: not allowed by its rules"},
      {{no_password, {5, 99, 0, 1}}, "connect example.test:80: an unknown refusal"},
      {{no_password, {5, 0, 0, 7}}, "answers with an unknown type of address"},
  };
  for (const auto& r : rows) {
    const auto f = through_proxy(saying(r.answers), target, r.scheme);
    EXPECT_EQ(f.kind, "proxy") << f.text;
    EXPECT_EQ(f.phase, "proxy");
    EXPECT_EQ(f.text, "PROXY: " + r.why);
  }
  const auto cut = through_proxy(saying({std::string{5}}), target, "socks5h://");
  EXPECT_EQ(cut.kind, "proxy") << cut.text;
  EXPECT_NE(cut.text.find("end of stream"), cut.text.npos) << cut.text;
  const std::string long_name = "http://" + std::string(60, 'a') + "." + std::string(63, 'b') +
                                "." + std::string(63, 'c') + "." + std::string(63, 'd') + ".test/";
  const auto name = through_proxy(saying({no_password}), long_name, "socks5h://");
  EXPECT_EQ(name.kind, "proxy") << name.text;
}

// ---- time, cancellation ----

TEST_P(http_point_28_on, http_point_26_a_proxy_that_says_nothing_times_out) {
  phase_timeouts t;
  t.proxy = 50ms;
  auto silent = [](peer& p) -> task<> { co_await p.until_closed(); };
  for (const char* scheme : {"http://", "socks5h://"}) {
    const auto f = through_proxy(silent, "https://example.test/", scheme, t);
    EXPECT_EQ(f.kind, "timeout");
    EXPECT_EQ(f.phase, "proxy");
    EXPECT_TRUE(f.text.starts_with("timeout after 50 ms waiting for the PROXY")) << f.text;
  }
}

TEST_P(http_point_28_on, http_point_33_cancelling_in_a_tunnel_leaves_nothing) {
  auto silent = [](peer& p) -> task<> { co_await p.until_closed(); };
  with_server(silent, [](server& proxy) -> task<> {
    for (const char* scheme : {"http://", "socks5h://"}) {
      client c{through(proxy, scheme)};
      const std::size_t before = open_sockets();
      const auto got = co_await move_on_after(20ms, c.get("https://example.test/"));
      EXPECT_FALSE(got);
      co_await eventually([&] { return proxy.open == 0 && open_sockets() <= before; });
      EXPECT_EQ(c.statistics().in_use, 0u);
    }
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
