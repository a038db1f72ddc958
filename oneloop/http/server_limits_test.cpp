// What a peer can make the server keep, do or wait for is bounded; and the server stops in order:
// over TCP, Unix sockets, TLS and streams that cannot tell whether something has come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneloop/http/server_test.hpp"
#include "oneloop/http/server_tls.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/net/tls_contexts_test.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::http {
namespace {

using test::identity;
using test::trust;

using namespace test;
using net::bytes_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class http_server_limits : public on_backends {};
ON_BACKENDS(http_server_limits);
class http_server_stop : public on_backends {};
ON_BACKENDS(http_server_stop);

task<server_response> answer_with_size(server_request& r) {
  if (r.path() == "/slow") co_await sleep_for(500ms);
  co_return server_response{}.body(std::string{r.path()} + " " + std::to_string(r.body().size()) +
                                   "\n");
}

std::string get_with(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\n" + host + fields + "\r\n";
}

// ---- sizes ----

TEST_P(http_server_limits, refuses_what_is_too_large_or_unknown_by_the_right_status) {
  const auto small = server_options{}.max_head(2'000).max_target(100).max_fields(5);
  const std::string chunked = "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: ";
  std::string many;
  for (int i = 0; i < 5; ++i) many += "X-" + std::to_string(i) + ": y\r\n";
  const std::pair<int, std::string> cases[] = {
      {200, get_with("/" + std::string(99, 'a'))},
      {414, get_with("/" + std::string(100, 'a'))},
      {414, get_with("/" + std::string(3'000, 'a'))},
      {414, "GET /" + std::string(3'000, 'a')},  // its end never comes
      {431, get_with("/", "X: " + std::string(3'000, 'x') + "\r\n")},
      {431, get_with("/", many)},
      {505, "GET / HTTP/2.0\r\n" + host + "\r\n"},
      {505, "GET / HTTP/1.2\r\n" + host + "\r\n"},
      {501, chunked + "gzip, chunked\r\n\r\n0\r\n\r\n"},
      {501, "CONNECT test:443 HTTP/1.1\r\n" + host + "\r\n"},
      {400, chunked + "gzip\r\n\r\n"},
      {400, chunked + "chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"},
      {400, "POST / HTTP/1.1\r\n" + host + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"},
      {400, "GET / HTTP/1.1\n" + host + "\r\n"},
      {400, get_with("/", "X : y\r\n")},
  };
  for (const auto& [status, text] : cases) {
    const auto reply = reply_to(answer_with_size, GetParam(), text, small, status == 200);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 " + std::to_string(status) + " ")) << text;
    if (status != 200) {
      EXPECT_THAT(reply, HasSubstr("Connection: close\r\n")) << text;
    }
  }
}

TEST_P(http_server_limits, endless_trailers_and_chunk_extensions_are_refused) {
  const auto small = server_options{}.max_head(2'000);
  const std::string head = "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n";
  EXPECT_THAT(
      reply_to(answer_with_size, GetParam(), head + "1;" + std::string(5'000, 'x'), small, false),
      StartsWith("HTTP/1.1 431 "));
  std::string trailers = "0\r\n";
  for (int i = 0; i < 100; ++i) trailers += "X-Trailer: " + std::string(50, 'x') + "\r\n";
  EXPECT_THAT(reply_to(answer_with_size, GetParam(), head + trailers, small, false),
              StartsWith("HTTP/1.1 431 "));
}

TEST_P(http_server_limits, the_last_of_max_requests_is_told_to_be_the_last) {
  const auto reply =
      reply_to(answer_with_size, GetParam(), get_with("/1") + get_with("/2") + get_with("/3"),
               server_options{}.max_requests(2), false);
  EXPECT_THAT(reply, HasSubstr("/1 0\nHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, EndsWith("/2 0\n"));
  EXPECT_EQ(reply.find("Connection: close"), reply.rfind("Connection: close"));
  EXPECT_GT(reply.find("Connection: close"), reply.find("/1 0"));
}

// ---- patience ----

/// Sends `head`, then a byte every 20 ms until an answer comes.
task<std::string> dribble(net::tcp_listener& l, std::string head, char c) {
  auto peer = co_await net::connect(l.local_endpoint());
  (void)co_await peer.write_all(bytes_of(head));
  std::string reply;
  while (reply.empty()) {
    auto reading = read_text(peer);
    const auto piece = co_await move_on_after(20ms, std::move(reading));
    if (piece) {
      reply = *piece;
      break;
    }
    (void)co_await peer.write_all(bytes_of(std::string_view{&c, 1}));
  }
  co_return reply;
}

TEST_P(http_server_limits, a_dribble_does_not_outlast_the_timeouts) {
  go([]() -> task<> {
    server s{answer_with_size,
             server_options{}.head_timeout(150ms).body_timeout(150ms).stall_timeout(10s)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto head = dribble(l, "GET / HTTP/1.1\r\nX: ", 'x');
      const auto slow_head = co_await std::move(head);
      EXPECT_THAT(slow_head, StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
      auto rest = dribble(l, "POST / HTTP/1.1\r\n" + host + "Content-Length: 100000\r\n\r\n", 'x');
      const auto slow_body = co_await std::move(rest);
      EXPECT_THAT(slow_body, StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
    };
    co_await fail_after(20s, beside_server(s, body));
    EXPECT_EQ(s.statistics().refused, 2u);
  });
}

TEST_P(http_server_limits, a_body_that_comes_at_the_rate_may_take_longer) {
  go([]() -> task<> {
    // 10 bytes a second: each byte adds 100 ms, and comes after 20.
    server s{answer_with_size, server_options{}.body_timeout(100ms).body_rate(10)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto sending = dribble(l, "POST / HTTP/1.1\r\n" + host + "Content-Length: 20\r\n\r\n", 'x');
      const auto reply = co_await std::move(sending);
      EXPECT_THAT(reply, EndsWith("/ 20\n"));
    };
    co_await fail_after(20s, beside_server(s, body));
  });
}

TEST_P(http_server_limits, a_stalled_body_is_given_up_early) {
  EXPECT_THAT(reply_to(answer_with_size, GetParam(),
                       "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nab",
                       server_options{}.stall_timeout(50ms), false),
              StartsWith("HTTP/1.1 408 "));
}

TEST_P(http_server_limits, a_pipelined_request_is_not_idleness) {
  go([]() -> task<> {
    server s{answer_with_size, server_options{}.idle_timeout(30ms)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto exchanging =
          exchange(l, get_with("/slow") + get_with("/slow") + get_with("/slow"), false);
      const auto reply = co_await std::move(exchanging);
      EXPECT_EQ(s.statistics().requests, 3u);
      EXPECT_THAT(reply, EndsWith("/slow 0\n"));
    };
    co_await fail_after(20s, beside_server(s, body));
    EXPECT_EQ(s.statistics().failed, 0u);
  });
}

TEST_P(http_server_limits, idle_connections_end_in_the_order_of_their_last_requests) {
  go([]() -> task<> {
    server s{answer_with_size, server_options{}.idle_timeout(300ms)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto first = co_await net::connect(l.local_endpoint());
      auto second = co_await net::connect(l.local_endpoint());
      while (s.statistics().idle < 2) co_await sleep_for(1ms);
      co_await sleep_for(150ms);
      const auto request = get_with("/again");
      (void)co_await first.write_all(bytes_of(request));
      const auto reply = co_await read_until(first, "0\n");
      EXPECT_THAT(reply, EndsWith("/again 0\n"));
      const auto nothing = co_await read_all(second);
      EXPECT_EQ(nothing, "");
      EXPECT_EQ(s.statistics().idle, 1u);  // the first has gone on waiting
      const auto rest = co_await read_all(first);
      EXPECT_EQ(rest, "");
      while (s.statistics().connections != 0) co_await sleep_for(1ms);
      EXPECT_EQ(s.statistics().idle, 0u);
    };
    co_await fail_after(20s, beside_server(s, body));
  });
}

// ---- stopping, over every kind of stream ----

/// A stream that cannot tell whether something has come.
class mute_stream {
 public:
  explicit mute_stream(net::tcp_stream s) : stream_{std::move(s)} {}
  [[nodiscard]] auto read_some(std::span<std::byte> to) { return stream_.read_some(to); }
  [[nodiscard]] auto write_all(std::span<const std::byte> from) { return stream_.write_all(from); }
  [[nodiscard]] auto shutdown_write() { return stream_.shutdown_write(); }
  void close() { stream_.close(); }

 private:
  net::tcp_stream stream_;
};

task<net::any_stream> muted(net::any_stream stream) {
  co_return net::any_stream{mute_stream{std::move(*stream.get_if<net::tcp_stream>())}};
}

/// Three connections: one idle and never used, one idle after a request, one with a request under
/// way, when the server is cancelled.
template <class Listener, class Connect>
task<> stop_in_order(Listener& l, server::stream_step prepare, Connect connect) {
  const std::size_t before = descriptors_in_use();
  {
    server s{answer_with_size};
    event stop;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto inside = [&](cancel_scope& scope) -> task<> {
          co_await with_nursery([&](nursery& inner) -> task<> {
            inner.start([&]() -> task<> {
              auto serving = s.serve(l, prepare);
              co_await std::move(serving);
            });
            co_await stop.wait();
            scope.cancel();
          });
        };
        const bool finished = co_await with_scope(scope_options{}, inside);
        EXPECT_FALSE(finished);
      });
      auto first = connect();
      auto fresh = co_await std::move(first);
      auto second = connect();
      auto used = co_await std::move(second);
      auto third = connect();
      auto busy = co_await std::move(third);
      const std::string request = get_with("/used"), slow = get_with("/slow") + get_with("/never");
      (void)co_await used.write_all(bytes_of(request));
      const auto reply = co_await read_until(used, "/used 0\n");
      EXPECT_THAT(reply, EndsWith("/used 0\n"));
      (void)co_await busy.write_all(bytes_of(slow));
      while (s.statistics().requests < 2) co_await sleep_for(1ms);
      stop.set();
      const auto nothing = co_await read_all(fresh);
      EXPECT_EQ(nothing, "");
      const auto no_more = co_await read_all(used);
      EXPECT_EQ(no_more, "");
      const auto last = co_await read_all(busy);
      EXPECT_THAT(last, HasSubstr("Connection: close\r\n"));
      EXPECT_THAT(last, EndsWith("/slow 0\n"));
    });
    EXPECT_EQ(s.statistics().connections, 0u);
    EXPECT_EQ(s.statistics().idle, 0u);
    EXPECT_EQ(s.statistics().requests, 2u);
    EXPECT_EQ(s.statistics().failed, 0u);
  }
  EXPECT_EQ(descriptors_in_use(), before);
}

TEST_P(http_server_stop, in_order_over_tcp) {
  go([]() -> task<> {
    net::tcp_listener l{any_port};
    auto connect = [&]() -> task<net::tcp_stream> {
      auto s = co_await net::connect(l.local_endpoint());
      co_return std::move(s);
    };
    auto stopping = stop_in_order(l, {}, connect);
    co_await std::move(stopping);
  });
}

TEST_P(http_server_stop, in_order_over_unix_sockets) {
  go([]() -> task<> {
    const net::unix_address at{"@oneloop-http-stop-test-" + std::to_string(::getpid())};
    net::unix_listener l{at};
    auto connect = [&]() -> task<net::unix_stream> {
      auto s = co_await net::connect(at);
      co_return std::move(s);
    };
    auto stopping = stop_in_order(l, {}, connect);
    co_await std::move(stopping);
  });
}

TEST_P(http_server_stop, in_order_over_tls_with_goodbyes) {
  go([]() -> task<> {
    const testing::test_ca ca;
    const auto context = trust(ca);
    net::tcp_listener l{any_port};
    auto connect = [&]() -> task<net::tls_stream<net::tcp_stream>> {
      auto s = co_await net::connect(l.local_endpoint());
      auto shaking = net::connect_tls(std::move(s), context, "localhost");
      auto secure = co_await std::move(shaking);
      co_return std::move(secure);
    };
    // read_all throws where a goodbye is missing.
    auto stopping = stop_in_order(l, tls_handshake(identity(ca)), connect);
    co_await std::move(stopping);
  });
}

TEST_P(http_server_stop, in_order_over_tls_on_unix_sockets) {
  go([]() -> task<> {
    const testing::test_ca ca;
    const auto context = trust(ca);
    const net::unix_address at{"@oneloop-http-tls-stop-test-" + std::to_string(::getpid())};
    net::unix_listener l{at};
    auto connect = [&]() -> task<net::tls_stream<net::unix_stream>> {
      auto s = co_await net::connect(at);
      auto shaking = net::connect_tls(std::move(s), context, "localhost");
      auto secure = co_await std::move(shaking);
      co_return std::move(secure);
    };
    auto stopping = stop_in_order(l, tls_handshake(identity(ca)), connect);
    co_await std::move(stopping);
  });
}

TEST_P(http_server_stop, in_order_over_a_stream_that_cannot_tell) {
  go([]() -> task<> {
    net::tcp_listener l{any_port};
    auto connect = [&]() -> task<net::tcp_stream> {
      auto s = co_await net::connect(l.local_endpoint());
      co_return std::move(s);
    };
    auto stopping = stop_in_order(l, muted, connect);
    co_await std::move(stopping);
  });
}

TEST_P(http_server_stop, idle_timeouts_hold_over_tls_and_over_a_stream_that_cannot_tell) {
  go([]() -> task<> {
    const testing::test_ca ca;
    const auto context = trust(ca);
    server s{answer_with_size, server_options{}.idle_timeout(50ms)};
    auto over_tls = [&](net::tcp_listener& l) -> task<> {
      auto plain = co_await net::connect(l.local_endpoint());
      auto shaking = net::connect_tls(std::move(plain), context, "localhost");
      auto peer = co_await std::move(shaking);
      const std::string request = get_with("/a");
      (void)co_await peer.write_all(bytes_of(request));
      const auto reply = co_await read_all(peer);
      EXPECT_THAT(reply, EndsWith("/a 0\n"));
    };
    co_await fail_after(20s, beside_server(s, over_tls, tls_handshake(identity(ca))));
    auto over_mute = [&](net::tcp_listener& l) -> task<> {
      auto peer = co_await net::connect(l.local_endpoint());
      const std::string request = get_with("/b");
      (void)co_await peer.write_all(bytes_of(request));
      const auto reply = co_await read_all(peer);
      EXPECT_THAT(reply, EndsWith("/b 0\n"));
    };
    co_await fail_after(20s, beside_server(s, over_mute, muted));
    EXPECT_EQ(s.statistics().failed, 0u);
  });
}

TEST_P(http_server_stop, one_stream_is_served_in_the_calling_party) {
  go([]() -> task<> {
    server s{answer_with_size, server_options{}.idle_timeout(500ms)};
    auto [mine, yours] = net::unix_stream::pair();
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = s.serve_stream(net::any_stream{std::move(yours)});
        co_await std::move(serving);
      });
      for (const char* path : {"/one", "/two"}) {
        const auto request = get_with(path);
        (void)co_await mine.write_all(bytes_of(request));
        const auto reply = co_await read_until(mine, " 0\n");
        EXPECT_THAT(reply, EndsWith(std::string{path} + " 0\n"));
        co_await sleep_for(10ms);
      }
      const auto rest = co_await read_all(mine);
      EXPECT_EQ(rest, "");
    });
    EXPECT_EQ(s.statistics().connections, 0u);
    EXPECT_EQ(s.statistics().requests, 2u);
    // And cancelled, it ends.
    auto [other, served] = net::unix_stream::pair();
    const auto ended =
        co_await move_on_after(10ms, s.serve_stream(net::any_stream{std::move(served)}));
    EXPECT_FALSE(ended);
    EXPECT_EQ(s.statistics().connections, 0u);
  });
}

TEST_P(http_server_stop, cancelled_before_it_begins_it_ends_at_once) {
  go([]() -> task<> {
    net::tcp_listener l{any_port};
    server s{answer_with_size};
    const auto ended = co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
      scope.cancel();
      auto serving = s.serve(l);
      co_await std::move(serving);
    });
    EXPECT_FALSE(ended);
  });
}

TEST_P(http_server_stop, several_listeners_share_one_server) {
  go([]() -> task<> {
    net::tcp_listener a{any_port}, b{any_port};
    server s{answer_with_size};
    co_await with_nursery([&](nursery& n) -> task<> {
      for (net::tcp_listener* l : {&a, &b}) {
        n.start([&s, l]() -> task<> {
          auto serving = s.serve(*l);
          co_await std::move(serving);
        });
      }
      auto first = exchange(a, get_with("/a"));
      const auto one = co_await std::move(first);
      EXPECT_THAT(one, EndsWith("/a 0\n"));
      a.close();
      auto second = exchange(b, get_with("/b"));
      const auto two = co_await std::move(second);
      EXPECT_THAT(two, EndsWith("/b 0\n"));
      n.cancel();
    });
    EXPECT_EQ(s.statistics().accepted, 2u);
  });
}

}  // namespace
}  // namespace oneloop::http
