// What a client does with servers that misbehave: every failure has its kind, its phase and a text,
// and leaves neither a descriptor nor a half-read connection behind.
#include "oneloop/http/client_phases_internal.hpp"
#include "oneloop/http/client_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::phase_timeouts;

class http_failures_on : public http_on_backends {
 protected:
  /// What reading all of the answer `text` ends with. The server closes behind it, or waits.
  http_failure after(std::string text, bool closes = true, client_options options = {},
                     std::uint64_t limit = client_options::default_max_body) {
    http_failure f;
    auto script = [&](peer& p) -> task<> {
      (void)co_await p.request();
      co_await p.say(text);
      if (!closes) co_await p.until_closed();
    };
    with_server(script, [&](server& s) -> task<> {
      client c{options};
      auto whole = [&]() -> task<> {
        auto r = co_await c.get(s.at("/x"));
        (void)co_await r.text(limit);
      };
      f = co_await failure_of(whole());
      EXPECT_EQ(c.statistics().in_use, 0u);
      EXPECT_EQ(c.statistics().idle, 0u);
      const std::string port = ":" + std::to_string(s.port());
      if (const auto at = f.text.find(port); at != f.text.npos) f.text.replace(at, port.size(), "");
      co_await eventually([&] { return s.open == 0; });
    });
    return f;
  }
};
ON_BACKENDS(http_failures_on);

// ---- connecting ----

TEST_P(http_failures_on, nobody_listens) {
  go([]() -> task<> {
    client c;
    const auto f = co_await failure_of(c.get("http://127.0.0.1:1/"));
    EXPECT_EQ(f.kind, "refused");
    EXPECT_EQ(f.phase, "connect");
    EXPECT_EQ(f.text, "connect 127.0.0.1:1: Connection refused");
    const auto v6 = co_await failure_of(c.get("http://[::1]:1/"));
    EXPECT_EQ(v6.phase, "connect");
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_failures_on, names_without_an_address) {
  go([]() -> task<> {
    co_await with_names([](client_options o) -> task<> {
      client c{o};
      const auto nx = co_await failure_of(c.get("http://nx.test/"));
      EXPECT_EQ(nx.kind, "dns");
      EXPECT_EQ(nx.phase, "dns");
      EXPECT_EQ(nx.text, "resolve nx.test: no such host (NXDOMAIN)");
      const auto broken = co_await failure_of(c.get("http://servfail.test/"));
      EXPECT_EQ(broken.kind, "dns");
      EXPECT_EQ(broken.phase, "dns");
    });
  });
}

TEST_P(http_failures_on, a_client_may_have_a_resolver_of_its_own) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.answer("x");
  };
  with_server(script, [](server& s) -> task<> {
    auto body = [&](client_options o) -> task<> {
      client c{o};
      const std::string port = std::to_string(s.port());
      auto r = co_await c.get("http://local4.test:" + port + "/");
      EXPECT_GT(r.times().dns, 0ns);
      EXPECT_GT(r.times().connect, 0ns);
      EXPECT_NE(s.requests[0].find("Host: local4.test:" + port), std::string::npos);
    };
    co_await with_names(std::ref(body));
  });
}

// ---- timeouts ----

TEST_P(http_failures_on, timeout_of_the_name) {
  go([]() -> task<> {
    co_await with_names([](client_options o) -> task<> {
      phase_timeouts t;
      t.dns = 50ms;
      client c{o.timeouts(t)};
      const auto f = co_await failure_of(c.get("http://silent.test/"));
      EXPECT_EQ(f.kind, "timeout");
      EXPECT_EQ(f.phase, "dns");
      EXPECT_EQ(f.text, "timeout after 50 ms resolving silent.test");
    });
  });
}

TEST_P(http_failures_on, timeout_of_the_connection) {
  go([]() -> task<> {
    full_listener full;
    phase_timeouts t;
    t.connect = 50ms;
    client c{client_options{}.timeouts(t)};
    const auto f = co_await failure_of(c.get(full.url()));
    EXPECT_EQ(f.kind, "timeout");
    EXPECT_EQ(f.phase, "connect");
    EXPECT_TRUE(f.text.starts_with("timeout after 50 ms connecting to 127.0.0.1:")) << f.text;
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

/// More than the buffers of two sockets hold.
http::request oversized_request(const std::string& to) {
  http::request r{"GET", url::parse(to).value()};
  r.fields().add("X-Large", std::string(16 * 1024 * 1024, 'x'));
  return r;
}

TEST_P(http_failures_on, p26_timeout_of_sending) {
  auto script = [](peer&) -> task<> { co_await sleep_for(10s); };
  with_server(script, [](server& s) -> task<> {
    phase_timeouts t;
    t.write = 80ms;
    client c{client_options{}.timeouts(t)};
    const auto f = co_await failure_of(c.send(oversized_request(s.at())));
    EXPECT_EQ(f.kind, "timeout");
    EXPECT_EQ(f.phase, "write");
    EXPECT_TRUE(f.text.starts_with("timeout after 80 ms sending the request to 127.0.0.1:"))
        << f.text;
  });
}

TEST_P(http_failures_on, p26_timeout_of_the_first_byte) {
  phase_timeouts t;
  t.first_byte = 50ms;
  const auto f = after("", false, client_options{}.timeouts(t));
  EXPECT_EQ(f.kind, "timeout");
  EXPECT_EQ(f.phase, "first_byte");
  EXPECT_EQ(f.text, "timeout after 50 ms waiting for the first byte from 127.0.0.1");
}

TEST_P(http_failures_on, p26_timeout_between_bytes) {
  phase_timeouts t;
  t.stall = 50ms;
  for (const char* text : {"HTTP/1.1 200 OK\r\nConte", "HTTP/1.1 200 OK\r\n\r\n", "H",
                           "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel"}) {
    const auto f = after(text, false, client_options{}.timeouts(t));
    EXPECT_EQ(f.kind, "timeout") << text;
    EXPECT_EQ(f.phase, "stall") << text;
    EXPECT_EQ(f.text, "timeout after 50 ms waiting for more of the response from 127.0.0.1");
  }
}

TEST_P(http_failures_on, p26_a_server_that_drips_runs_into_the_total) {
  for (const std::string head : {"HTTP/1.1 200 OK\r\nX: ", "HTTP/1.1 200 OK\r\n\r\n"}) {
    auto script = [&](peer& p) -> task<> {
      (void)co_await p.request();
      co_await p.say(head);
      while (true) {
        co_await p.say("x");
        co_await sleep_for(5ms);
      }
    };
    with_server(script, [&](server& s) -> task<> {
      phase_timeouts t;
      t.stall = 2s;
      client c{client_options{}.timeouts(t).total_timeout(100ms)};
      auto whole = [&]() -> task<> {
        auto r = co_await c.get(s.at());
        (void)co_await r.text();
      };
      const auto f = co_await failure_of(whole());
      EXPECT_EQ(f.kind, "timeout");
      EXPECT_EQ(f.phase, "total");
      EXPECT_TRUE(f.text.starts_with("timeout after 100 ms in total, waiting for more of"))
          << f.text;
      co_await eventually([&] { return s.open == 0; });
    });
  }
}

TEST_P(http_failures_on, an_outer_cancel_is_no_timeout_of_ours) {
  auto script = [](peer& p) -> task<> { co_await p.until_closed(); };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto got = co_await move_on_after(20ms, c.get(s.at()));
    EXPECT_FALSE(got.has_value());
    co_await eventually([&] { return s.open == 0; });
  });
}

// ---- what is no response ----

TEST_P(http_failures_on, what_is_not_http) {
  const auto ssh = after("SSH-2.0-OpenSSH_9.2\r\n");
  EXPECT_EQ(ssh.kind, "protocol");
  EXPECT_EQ(ssh.phase, "head");
  EXPECT_TRUE(ssh.text.starts_with("response from 127.0.0.1: not HTTP: begins with")) << ssh.text;
  for (const char* text :
       {"<html>\n</html>\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n", "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    const auto f = after(text);
    EXPECT_EQ(f.kind, "protocol") << text;
    EXPECT_TRUE(f.text.starts_with("response from 127.0.0.1: ")) << f.text;
  }
}

TEST_P(http_failures_on, p05_what_ends_too_early) {
  for (const char* text :
       {"HTTP/1.1 20", "HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"}) {
    const auto f = after(text);
    EXPECT_EQ(f.kind, "protocol") << text;
    EXPECT_NE(f.text.find("end of stream"), std::string::npos) << f.text;
  }
  EXPECT_EQ(after("").kind, "reset");
}

TEST_P(http_failures_on, a_reset_in_the_middle) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    co_await sleep_for(20ms);
    p.reset();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    const auto f = co_await failure_of(r.text());
    EXPECT_EQ(f.kind, "reset");
    EXPECT_EQ(f.phase, "body");
    const auto again = co_await failure_of(r.text());
    EXPECT_EQ(again.text, f.text);
    EXPECT_EQ(r.bytes(), 4u);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_failures_on, p34_the_answer_of_a_server_that_does_not_read_on_counts) {
  auto script = [](peer& p) -> task<> {
    co_await p.say("HTTP/1.1 431 Too Much\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch");
    co_await p.stream.shutdown_write();
    (void)co_await read_text(p.stream);
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.send(oversized_request(s.at()));
    EXPECT_EQ(r.status(), 431);
    const auto body = co_await r.text();
    EXPECT_EQ(body, "much");
  });
}

// ---- limits ----

TEST_P(http_failures_on, a_head_that_is_too_large) {
  const std::string field = "X: " + std::string(1000, 'x') + "\r\n";
  auto head = [&](int fields) {
    std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n";
    for (int i = 0; i < fields; ++i) text += field;
    return text + "\r\n";
  };
  EXPECT_EQ(after(head(60)).kind, "none");
  const auto f = after(head(70), false);
  EXPECT_EQ(f.kind, "too_large");
  EXPECT_EQ(f.text, "response from 127.0.0.1: the head is larger than 65536 bytes");
  client_options larger;
  larger.max_head(200 * 1024);
  EXPECT_EQ(after(head(190), true, larger).kind, "none");
  larger.max_head(10'000'000);
  EXPECT_EQ(after(head(250), true, larger).kind, "none");
  EXPECT_EQ(after("HTTP/1.1 200 OK\r\nX: " + std::string(400'000, 'x'), false, larger).text,
            "response from 127.0.0.1: the head is larger than 307200 bytes");
}

TEST_P(http_failures_on, a_body_that_is_larger_than_the_reader_allows) {
  const std::string body(5000, 'x');
  const auto declared =
      after("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + body, false, {}, 4999);
  EXPECT_EQ(declared.kind, "too_large");
  EXPECT_EQ(declared.phase, "body");
  EXPECT_EQ(declared.text, "body of http://127.0.0.1/x: more than 4999 bytes");
  const auto found = after("HTTP/1.1 200 OK\r\n\r\n" + body, false, {}, 4999);
  EXPECT_EQ(found.text, declared.text);
  EXPECT_EQ(after("HTTP/1.1 200 OK\r\n\r\n" + body, true, {}, 5000).kind, "none");
  EXPECT_EQ(after("HTTP/1.1 200 OK\r\n\r\n", true, {}, 0).kind, "none");
}

TEST_P(http_failures_on, discard_has_a_limit_too) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.answer(std::string(100'000, 'x'));
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    const auto n = co_await r.discard();
    EXPECT_EQ(n, 100'000u);
    EXPECT_EQ(c.statistics().idle, 1u);
    auto again = co_await c.get(s.at());
    const auto f = co_await failure_of(again.discard(50'000));
    EXPECT_EQ(f.kind, "too_large");
    EXPECT_EQ(c.statistics().idle, 0u);
  });
}

// ---- cancelled at each wait ----

/// What `op` leaves open when it is cancelled while it waits.
template <class Make>
task<> cancelled_leaves_nothing(Make make) {
  const std::size_t before = open_sockets();
  for (const auto d : {0ms, 1ms, 30ms}) {
    auto op = make();
    const auto got = co_await move_on_after(d, std::move(op));
    EXPECT_FALSE(got);
  }
  co_await eventually([&] { return open_sockets() <= before; });
  EXPECT_EQ(open_sockets(), before);
}

TEST_P(http_failures_on, cancelled_while_the_name_is_looked_up) {
  go([]() -> task<> {
    co_await with_names([](client_options o) -> task<> {
      client c{o};
      // The resolver keeps its socket.
      (void)co_await move_on_after(5ms, c.get("http://silent.test/"));
      auto make = [&] { return c.get("http://silent.test/"); };
      co_await cancelled_leaves_nothing(make);
      EXPECT_EQ(c.statistics().in_use, 0u);
    });
  });
}

TEST_P(http_failures_on, cancelled_while_connecting) {
  go([]() -> task<> {
    full_listener full;
    client c;
    auto make = [&] { return c.get(full.url()); };
    co_await cancelled_leaves_nothing(make);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_failures_on, cancelled_while_sending) {
  auto script = [](peer& p) -> task<> {
    co_await sleep_for(60ms);
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto make = [&] { return c.send(oversized_request(s.at())); };
    co_await cancelled_leaves_nothing(make);
    EXPECT_EQ(c.statistics().in_use, 0u);
    EXPECT_EQ(c.statistics().idle, 0u);
  });
}

TEST_P(http_failures_on, cancelled_while_waiting_for_the_head) {
  for (const std::string text : {"", "HTTP/1.1 200 OK\r\nA"}) {
    auto script = [&](peer& p) -> task<> {
      (void)co_await p.request();
      co_await p.say(text);
      co_await p.until_closed();
    };
    with_server(script, [](server& s) -> task<> {
      client c;
      auto make = [&] { return c.get(s.at()); };
      co_await cancelled_leaves_nothing(make);
      EXPECT_EQ(c.statistics().in_use, 0u);
      EXPECT_EQ(c.statistics().idle, 0u);
    });
  }
}

TEST_P(http_failures_on, cancelled_while_waiting_for_the_body) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto make = [&] { return fetch(c, s.at()); };
    co_await cancelled_leaves_nothing(make);
    EXPECT_EQ(c.statistics().in_use, 0u);
    EXPECT_EQ(c.statistics().idle, 0u);
  });
}

TEST_P(http_failures_on, cancelled_while_waiting_for_a_place) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n");
      co_await sleep_for(150ms);
      co_await p.say("x");
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c{client_options{}.per_host(1)};
    auto first = co_await c.get(s.at());
    auto make = [&] { return c.get(s.at()); };
    co_await cancelled_leaves_nothing(make);
    EXPECT_EQ(c.statistics().waiting, 0u);
    EXPECT_EQ(c.statistics().in_use, 1u);
    (void)co_await first.text();
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(s.connections, 1);
  });
}

TEST_P(http_failures_on, a_cancelled_read_loses_nothing) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    co_await sleep_for(30ms);
    co_await p.say("lo\r\n0\r\n\r\n");
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    std::string all;
    std::vector<std::byte> b(10);
    int cancelled = 0;
    while (true) {
      const auto n = co_await move_on_after(4ms, r.read_some(b));
      if (!n) {
        ++cancelled;
        continue;
      }
      if (*n == 0) break;
      all += text_of(std::span{b}.first(*n));
    }
    EXPECT_EQ(all, "hello");
    EXPECT_GT(cancelled, 0);
    EXPECT_EQ(c.statistics().idle, 1u);
  });
}

TEST_P(http_failures_on, cancelled_from_the_start_nothing_begins) {
  auto script = [](peer& p) -> task<> { co_await p.until_closed(); };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto in_scope = [&](cancel_scope& scope) -> task<> {
      scope.cancel();
      (void)co_await c.get(s.at());
    };
    const bool ended = co_await with_scope(scope_options{}, std::ref(in_scope));
    EXPECT_FALSE(ended);
    EXPECT_EQ(c.statistics().opened, 0u);
    EXPECT_EQ(s.connections, 0);
  });
}

TEST(http_phases, durations_are_written_for_people) {
  using http::detail::text_of;
  EXPECT_EQ(text_of(2s), "2 s");
  EXPECT_EQ(text_of(250ms), "250 ms");
  EXPECT_EQ(text_of(1500ms), "1.5 s");
  EXPECT_EQ(text_of(1005ms), "1.005 s");
  EXPECT_EQ(text_of(90s), "90 s");
}

TEST(http_error, every_kind_has_a_name) {
  using http::error_kind;
  EXPECT_EQ(http::to_string(error_kind::bad_url), "bad_url");
  EXPECT_EQ(http::to_string(error_kind::too_large), "too_large");
  EXPECT_EQ(http::to_string(error_kind::cancelled), "cancelled");
  EXPECT_EQ(http::to_string(error_kind::missing), "missing");
}

}  // namespace
}  // namespace oneloop::inline v0::test
