// What a client does with servers that behave. Bad ones: client_failure_test.cpp.
#include "oneloop/http/client.hpp"

#include <limits>
#include <optional>
#include <thread>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/fiber.hpp"
#include "oneloop/http/client_test.hpp"
#include "oneloop/http/content_coding.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;

class http_client_on : public http_on_backends {};
ON_BACKENDS(http_client_on);

/// Answers every request with its number on the connection: "1.1", "1.2", ...
task<> numbered(http_peer& p) {
  for (int i = 1;; ++i) {
    const bool more = co_await p.request();
    if (!more) break;
    co_await p.answer(std::to_string(p.number) + "." + std::to_string(i));
  }
}

TEST_P(http_client_on, a_response_has_status_fields_and_body) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say(
        "HTTP/1.1 404 Nothing Here\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at("/a?b#c"));
    EXPECT_EQ(r.status(), 404);
    EXPECT_EQ(r.reason(), "Nothing Here");
    EXPECT_EQ(r.fields().get("content-type"), "text/plain");
    EXPECT_EQ(r.final_url().href(), s.at("/a?b#c"));
    EXPECT_TRUE(r.redirects().empty());
    const auto body = co_await r.text();
    EXPECT_EQ(body, "hello");
    EXPECT_EQ(r.bytes(), 5u);
    const auto again = co_await r.text();
    EXPECT_EQ(again, "");
    const auto t = r.times();
    EXPECT_FALSE(t.reused);
    EXPECT_GT(t.connect, 0ns);
    EXPECT_GT(t.first_byte, 0ns);
    EXPECT_GE(t.total, t.connect + t.first_byte);
    EXPECT_EQ(t.tls, 0ns);
    EXPECT_THROW(r.expect_success(), http::http_error);
    EXPECT_EQ(s.requests[0], "GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(s.port()) +
                                 "\r\nUser-Agent: oneloop/0.1\r\nAccept: */*\r\n"
                                 "Accept-Encoding: " +
                                 std::string{http::accept_encoding()} + "\r\n");
  });
}

TEST_P(http_client_on, fields_of_the_request_replace_those_of_the_client) {
  with_server(numbered, [](server& s) -> task<> {
    client c{client_options{}.user_agent("mine/1")};
    http::request r{"GET", url::parse(s.at()).value()};
    r.fields().add("Accept", "text/html");
    r.fields().add("X-Mine", "yes");
    (void)co_await c.send(r);
    EXPECT_EQ(s.requests[0].find("User-Agent: mine/1\r\n") != std::string::npos, true);
    EXPECT_EQ(s.requests[0].find("*/*"), std::string::npos);
    EXPECT_TRUE(s.requests[0].ends_with("\r\nAccept: text/html\r\nX-Mine: yes\r\n"));
  });
}

TEST_P(http_client_on, p12_user_and_password_of_the_url_become_basic_authorization) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    const std::string address =
        "http://Aladdin:open%20sesame@127.0.0.1:" + std::to_string(s.port());
    (void)co_await c.get(address);
    EXPECT_NE(s.requests[0].find("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"),
              std::string::npos);
    EXPECT_EQ(s.requests[0].find("Aladdin"), std::string::npos);
  });
}

TEST_P(http_client_on, a_connection_serves_one_request_after_the_other) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    for (const char* expected : {"1.1", "1.2", "1.3"}) {
      const auto body = co_await fetch(c, s.at());
      EXPECT_EQ(body, expected);
    }
    const auto st = c.statistics();
    EXPECT_EQ(st.opened, 1u);
    EXPECT_EQ(st.reused, 2u);
    EXPECT_EQ(st.idle, 1u);
    EXPECT_EQ(st.in_use, 0u);
    auto r = co_await c.get(s.at());
    EXPECT_TRUE(r.times().reused);
    EXPECT_EQ(r.times().connect, 0ns);
  });
}

TEST_P(http_client_on, other_names_and_ports_are_other_connections) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    const auto one = co_await fetch(c, s.at());
    EXPECT_EQ(one, "1.1");
    const auto two = co_await fetch(c, s.elsewhere());
    EXPECT_EQ(two, "2.1");
    const auto same = co_await fetch(c, s.at("/other"));
    EXPECT_EQ(same, "1.2");
  });
}

TEST_P(http_client_on, bodies_may_be_chunked_byte_by_byte) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      const std::string text =
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
          "5\r\nhello\r\n7;ext=1\r\n, world\r\n0\r\nTrailer: x\r\n\r\n";
      for (const char b : text) {
        co_await p.say(std::string(1, b));
        co_await yield_now();
      }
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    for (int i = 0; i < 2; ++i) {
      const auto body = co_await fetch(c, s.at());
      EXPECT_EQ(body, "hello, world");
    }
    EXPECT_EQ(s.connections, 1);
  });
}

TEST_P(http_client_on, a_body_may_last_until_the_server_closes) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.0 200 OK\r\n\r\nall of ");
    co_await sleep_for(10ms);
    co_await p.say("it");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "all of it");
    EXPECT_EQ(c.statistics().idle, 0u);
  });
}

TEST_P(http_client_on, p01_head_204_and_304_have_no_body_whatever_they_say) {
  auto script = [](peer& p) -> task<> {
    for (const char* status : {"200 OK", "204 No Content", "304 Not Modified"}) {
      (void)co_await p.request();
      const std::string text = std::string{"HTTP/1.1 "} + status + "\r\nContent-Length: 5\r\n\r\n";
      co_await p.say(text);
    }
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto head = co_await c.head(s.at());
    const auto nothing = co_await head.text();
    EXPECT_EQ(nothing, "");
    for (const int status : {204, 304}) {
      auto r = co_await c.get(s.at());
      EXPECT_EQ(r.status(), status);
      const auto n = co_await r.discard();
      EXPECT_EQ(n, 0u);
    }
    EXPECT_EQ(s.connections, 1);
    EXPECT_TRUE(s.requests[0].starts_with("HEAD / HTTP/1.1\r\n"));
  });
}

TEST_P(http_client_on, p06_interim_responses_are_skipped) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
    co_await sleep_for(5ms);
    co_await p.say("HTTP/1.1 102 Processing\r\n\r\n");
    co_await p.answer("done");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    EXPECT_EQ(r.status(), 200);
    EXPECT_FALSE(r.fields().contains("Link"));
    const auto body = co_await r.text();
    EXPECT_EQ(body, "done");
  });
}

TEST_P(http_client_on, a_large_body_streams_through_a_small_buffer) {
  static constexpr std::size_t size = 8'000'000;
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    std::string body(size, '\0');
    for (std::size_t i = 0; i < size; ++i) body[i] = static_cast<char>(i % 251);
    co_await p.answer(std::move(body));
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    for (const std::size_t piece : {1000u, 10'000u}) {
      auto r = co_await c.get(s.at());
      std::vector<std::byte> b(piece);
      std::size_t seen = 0;
      bool right = true;
      while (true) {
        const auto n = co_await r.read_some(b);
        if (n == 0) break;
        for (std::size_t i = 0; i < n; ++i) {
          right = right && b[i] == static_cast<std::byte>((seen + i) % 251);
        }
        seen += n;
      }
      EXPECT_TRUE(right);
      EXPECT_EQ(seen, size);
      EXPECT_EQ(r.bytes(), size);
      if (piece == 1000) co_await c.close();
      if (piece == 1000) c = client{};
    }
  });
}

TEST_P(http_client_on, the_end_of_the_body_gives_the_connection_back_at_once) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    std::vector<std::byte> three(3);
    const auto n = co_await r.read_some(three);
    EXPECT_EQ(n, 3u);
    EXPECT_EQ(c.statistics().idle, 1u);
    EXPECT_EQ(c.statistics().in_use, 0u);
    const auto end = co_await r.read_some(three);
    EXPECT_EQ(end, 0u);
  });
}

TEST_P(http_client_on, dropping_a_response_keeps_the_connection_if_all_has_arrived) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    (void)co_await c.get(s.at());
    const auto st = c.statistics();
    EXPECT_EQ(st.idle, 1u);
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "1.2");
  });
}

TEST_P(http_client_on, dropping_a_response_closes_the_connection_if_something_is_missing) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all");
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await c.get(s.at());
    EXPECT_EQ(c.statistics().idle, 0u);
    EXPECT_EQ(c.statistics().in_use, 0u);
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, a_server_or_a_request_that_says_close_ends_the_connection) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.answer("x", p.number == 1 ? "Connection: close\r\n" : "");
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(c.statistics().idle, 0u);
    http::request r{"GET", url::parse(s.at()).value()};
    r.fields().add("Connection", "close");
    (void)co_await c.send(r);
    EXPECT_EQ(c.statistics().idle, 0u);
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(s.connections, 3);
    EXPECT_EQ(c.statistics().idle, 1u);
  });
}

TEST_P(http_client_on, p02_both_length_and_coding_are_read_once_and_never_reused) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say(
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nhi\r\n0\r\n\r\n");
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "hi");
    EXPECT_EQ(c.statistics().idle, 0u);
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, idle_connections_are_closed_after_a_while) {
  with_server(numbered, [](server& s) -> task<> {
    client c{client_options{}.idle_timeout(40ms)};
    (void)co_await fetch(c, s.at());
    (void)co_await fetch(c, s.elsewhere());
    EXPECT_EQ(c.statistics().idle, 2u);
    co_await eventually([&] { return s.open == 0; });
    EXPECT_EQ(c.statistics().idle, 0u);
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(s.connections, 3);
  });
}

TEST_P(http_client_on, an_idle_connection_with_unexpected_bytes_is_discarded) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.answer("first");
    co_await sleep_for(5ms);
    if (p.number == 1) co_await p.say("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n");
    const bool more = co_await p.request();
    if (more) co_await p.answer("second");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at());
    co_await sleep_for(30ms);
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "first");
    EXPECT_EQ(s.connections, 2);
    EXPECT_EQ(c.statistics().discarded, 1u);
    EXPECT_EQ(c.statistics().retried, 0u);
  });
}

TEST_P(http_client_on, bytes_behind_the_end_of_a_response_end_the_connection) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore");
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto body = co_await fetch(c, s.at());
    EXPECT_EQ(body, "ok");
    EXPECT_EQ(c.statistics().idle, 0u);
  });
}

TEST_P(http_client_on, an_idle_connection_that_the_server_closed_is_discarded) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.answer("x");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at());
    co_await eventually([&] { return s.open == 0; });
    (void)co_await fetch(c, s.at());
    EXPECT_EQ(s.connections, 2);
    EXPECT_EQ(c.statistics().discarded, 1u);
  });
}

/// Answers one request; closes when the next one comes.
task<> closes_on_the_second(http_peer& p) {
  (void)co_await p.request();
  co_await p.answer("x");
  (void)co_await p.request();
  if (p.number % 2 == 0) p.reset();
}

TEST_P(http_client_on, p21_a_kept_connection_that_dies_unanswered_is_replaced_once) {
  with_server(closes_on_the_second, [](server& s) -> task<> {
    client c;
    for (int i = 0; i < 5; ++i) {
      auto r = co_await c.get(s.at());
      const auto body = co_await r.text();
      EXPECT_EQ(body, "x");
      EXPECT_FALSE(r.times().reused);
    }
    EXPECT_EQ(c.statistics().retried, 4u);
    EXPECT_EQ(s.requests.size(), 9u);
    EXPECT_EQ(s.connections, 5);
  });
}

TEST_P(http_client_on, p21_what_must_not_happen_twice_is_not_sent_again) {
  with_server(closes_on_the_second, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at());
    const auto f = co_await failure_of(c.send(http::request{"POST", url::parse(s.at()).value()}));
    EXPECT_EQ(f.kind, "reset");
    EXPECT_EQ(f.phase, "first_byte");
    EXPECT_EQ(s.connections, 1);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_client_on, p21_a_fresh_connection_that_dies_is_an_error_at_once) {
  auto script = [](peer& p) -> task<> { (void)co_await p.request(); };
  with_server(script, [](server& s) -> task<> {
    client c;
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "reset");
    EXPECT_EQ(f.text, "read 127.0.0.1:" + std::to_string(s.port()) +
                          ": the server closed the connection without an answer");
    EXPECT_EQ(s.connections, 1);
  });
}

TEST_P(http_client_on, p21_a_kept_connection_that_dies_after_a_byte_is_an_error) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.answer("x");
    (void)co_await p.request();
    co_await p.say("H");
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at());
    const auto f = co_await failure_of(c.get(s.at()));
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_EQ(s.connections, 1);
    EXPECT_EQ(c.statistics().retried, 0u);
  });
}

TEST_P(http_client_on, requests_wait_for_a_place_first_come_first_served) {
  int most = 0;
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await sleep_for(3ms);
      co_await p.answer("x");
    }
  };
  with_server(script, [&](server& s) -> task<> {
    client c{client_options{}.per_host(2)};
    std::vector<int> order;
    auto one = [&](int i) -> task<> {
      (void)co_await fetch(c, s.at("/" + std::to_string(i)));
      order.push_back(i);
      most = std::max(most, s.open);
    };
    auto all = [&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) n.start(std::ref(one), i);
      co_await sleep_for(1ms);
      EXPECT_EQ(c.statistics().waiting, 8u);
      EXPECT_EQ(c.statistics().in_use, 2u);
    };
    co_await with_nursery(std::ref(all));
    EXPECT_EQ(order.size(), 10u);
    for (std::size_t i = 0; i < s.requests.size(); ++i) {
      EXPECT_TRUE(s.requests[i].starts_with("GET /" + std::to_string(i) + " ")) << s.requests[i];
    }
    EXPECT_EQ(s.connections, 2);
    EXPECT_LE(most, 2);
  });
}

TEST_P(http_client_on, time_in_the_queue_does_not_count_as_the_total) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await sleep_for(40ms);
      co_await p.answer("x");
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c{client_options{}.per_host(1).total_timeout(110ms)};
    duration queued{};
    auto one = [&]() -> task<> {
      auto r = co_await c.get(s.at());
      queued = std::max(queued, r.times().queued);
      (void)co_await r.text();
    };
    auto all = [&](nursery& n) -> task<> {
      for (int i = 0; i < 5; ++i) n.start(std::ref(one));
      co_return;
    };
    co_await with_nursery(std::ref(all));
    EXPECT_GE(queued, 150ms);
  });
}

TEST_P(http_client_on, a_hundred_fetches_at_once) {
  with_server(numbered, [](server& s) -> task<> {
    client c{client_options{}.per_host(100)};
    std::vector<task<std::string>> all;
    for (int i = 0; i < 100; ++i) all.push_back(fetch(c, s.at()));
    const auto bodies = co_await gather(std::move(all));
    EXPECT_EQ(bodies.size(), 100u);
    EXPECT_EQ(c.statistics().idle, 100u);
    EXPECT_EQ(s.connections, 100);
  });
}

TEST_P(http_client_on, a_fiber_waits_for_it_too) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    std::string body;
    auto in_a_fiber = [&] {
      auto r = await(c.get(s.at()));
      body = await(r.text());
    };
    auto all = [&](nursery& n) -> task<> {
      n.start(in_a_fiber);
      co_return;
    };
    co_await with_nursery(std::ref(all));
    EXPECT_EQ(body, "1.1");
  });
}

TEST_P(http_client_on, responses_outlive_their_client) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nbe");
    co_await sleep_for(20ms);
    co_await p.say("hind");
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    std::optional<client> c{std::in_place};
    auto r = co_await c->get(s.at());
    c.reset();
    const auto body = co_await r.text();
    EXPECT_EQ(body, "behind");
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, a_request_outlives_its_client) {
  with_server(numbered, [](server& s) -> task<> {
    std::optional<client> c{std::in_place};
    auto getting = c->get(s.at());
    c.reset();
    const auto f = co_await failure_of(std::move(getting));
    EXPECT_EQ(f.text, "http client: closed");
    c.emplace();
    auto leave = [&]() -> task<> {
      c.reset();
      co_return;
    };
    auto both = co_await gather(fetch(*c, s.at()), leave());
    EXPECT_EQ(std::get<0>(both), "1.1");
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, closing_refuses_requests_and_closes_idle_connections) {
  with_server(numbered, [](server& s) -> task<> {
    client c{client_options{}.per_host(1)};
    (void)co_await fetch(c, s.at());
    auto held = co_await c.get(s.elsewhere("/held"));
    std::string waiting;
    auto wait = [&]() -> task<> {
      const auto f = co_await failure_of(c.get(s.elsewhere("/waits")));
      waiting = f.text;
    };
    auto all = [&](nursery& n) -> task<> {
      n.start(std::ref(wait));
      co_await sleep_for(5ms);
      co_await c.close();
      EXPECT_EQ(c.statistics().idle, 0u);
      const auto f = co_await failure_of(c.get(s.at()));
      EXPECT_EQ(f.text, "http client: closed");
      (void)co_await held.text();
    };
    co_await with_nursery(std::ref(all));
    EXPECT_EQ(waiting, "http client: closed");
    EXPECT_EQ(c.statistics().in_use, 0u);
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, shared_by_loops_it_keeps_connections_for_each_until_that_ends) {
  client c;
  for (int i = 0; i < 2; ++i) {
    with_server(numbered, [&](server& s) -> task<> {
      const auto body = co_await fetch(c, s.at());
      EXPECT_EQ(body, "1.1");
      EXPECT_EQ(c.statistics().idle, 1u);
      auto elsewhere = [&] {
        loop other{GetParam()};
        const auto theirs = run(other, fetch(c, s.at()));
        EXPECT_EQ(c.statistics().idle, 2u);
        return theirs;
      };
      const auto theirs = co_await to_thread(std::ref(elsewhere));
      EXPECT_EQ(theirs, "2.1");
      EXPECT_EQ(c.statistics().idle, 1u);
      const auto again = co_await fetch(c, s.at());
      EXPECT_EQ(again, "1.2");
    });
    EXPECT_EQ(c.statistics().idle, 0u);
  }
  EXPECT_EQ(c.statistics().opened, 4u);
  EXPECT_EQ(c.statistics().reused, 2u);
}

// A plain thread has a loop of its own, kept between its waits.
TEST_P(http_client_on, plain_threads_share_a_client) {
  with_server(numbered, [&](server& s) -> task<> {
    client c;
    auto one = [&] {
      for (int i = 0; i < 3; ++i) {
        auto r = await(c.get(s.at()));
        EXPECT_TRUE(await(r.text()).ends_with("." + std::to_string(i + 1)));
      }
    };
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 4; ++i) (void)spawn_thread(n, std::ref(one));
      co_return;
    });
    EXPECT_EQ(c.statistics().opened, 4u);
    EXPECT_EQ(c.statistics().reused, 8u);
    EXPECT_EQ(c.statistics().idle, 0u);
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, destroyed_in_the_thread_that_used_it_last) {
  channel<std::string> at{1};
  event done;
  std::thread serving{[&] {
    with_server(numbered, [&](server& s) -> task<> {
      co_await at.send(s.at());
      co_await done.wait();
      co_await eventually([&] { return s.open == 0; });
    });
  }};
  {
    client c;
    auto r = await(c.get(*await(at.receive())));
    EXPECT_EQ(await(r.text()), "1.1");
    EXPECT_EQ(c.statistics().idle, 1u);
  }
  done.set();
  serving.join();
}

// Each time the loop is told; once is enough.
TEST_P(http_client_on, closed_and_destroyed_while_another_of_its_loops_stands_still) {
  with_server(numbered, [](server& s) -> task<> {
    auto elsewhere = [&] {
      loop first{GetParam()}, second{GetParam()};
      {
        client c;
        EXPECT_EQ(run(first, fetch(c, s.at())), "1.1");
        run(second, c.close());
      }
      auto a_moment = []() -> task<> { co_await sleep_for(1ms); };
      run(first, a_moment());
    };
    co_await to_thread(std::ref(elsewhere));
    co_await eventually([&] { return s.open == 0; });
  });
}

TEST_P(http_client_on, a_response_may_die_after_its_loop) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
    co_await p.until_closed();
  };
  const std::size_t before = open_sockets();
  client c;
  std::vector<http::response> kept;
  with_server(script, [&](server& s) -> task<> {
    auto r = co_await c.get(s.at());
    kept.push_back(std::move(r));
  });
  kept.clear();
  EXPECT_EQ(c.statistics().in_use, 0u);
  EXPECT_EQ(open_sockets(), before);
}

TEST_P(http_client_on, text_without_a_limit) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    auto r = co_await c.get(s.at());
    const auto body = co_await r.text(std::numeric_limits<std::uint64_t>::max());
    EXPECT_EQ(body, "1.1");
  });
}

TEST_P(http_client_on, rules_of_the_api_are_named) {
  with_server(numbered, [](server& s) -> task<> {
    client c;
    const url target = url::parse(s.at()).value();
    const auto connect = co_await failure_of(c.send(http::request{"CONNECT", target}));
    EXPECT_EQ(connect.text, "http client: CONNECT cannot be sent by send()");
    http::request r{"GET", target};
    r.fields().add("content-length", "5");
    const auto length = co_await failure_of(c.send(r));
    EXPECT_EQ(length.text,
              "http client: Content-Length is not for users to set; see request::body");
    const auto odd = co_await failure_of(c.send(http::request{"G T", target}));
    EXPECT_EQ(odd.kind, "other");
    EXPECT_EQ(s.requests.size(), 0u);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST(http_client, a_text_that_is_no_url_is_named) {
  auto body = []() -> task<> {
    client c;
    const auto bad = co_await failure_of(c.get("http://[::1"));
    EXPECT_EQ(bad.kind, "bad_url");
    EXPECT_EQ(bad.phase, "url");
    EXPECT_TRUE(bad.text.starts_with("bad URL \"http://[::1\": ")) << bad.text;
    const auto relative = co_await failure_of(c.get("example.org"));
    EXPECT_EQ(relative.kind, "bad_url");
    const auto other = co_await failure_of(c.head("ftp://user:secret@example.org/"));
    EXPECT_EQ(other.kind, "bad_url");
    EXPECT_EQ(other.text, "bad URL \"ftp://example.org/\": only http and https can be fetched");
  };
  run(body(), "virtual");
}

}  // namespace
}  // namespace oneloop::inline v0::test
