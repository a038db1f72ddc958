#include "oneloop/http/server.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneloop/base/log.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/http/server_test.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::http {
namespace {

using namespace test;
using net::bytes_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class http_server : public on_backends {};
ON_BACKENDS(http_server);

task<> count_to_three(body_writer& out) {
  for (const char* piece : {"one ", "", "two ", "three"}) {
    co_await out.write(piece);
    co_await yield_now();
  }
}

task<> break_off(body_writer& out) {
  co_await out.write("begun");
  throw error{errc::misuse, "broken off"};
}

task<server_response> answer(server_request& r) {
  if (r.path() == "/echo") co_return server_response{}.body(r.body());
  if (r.path() == "/throw") throw std::runtime_error{"a bug in a handler"};
  if (r.path() == "/stream") co_return server_response{}.stream(count_to_three);
  if (r.path() == "/broken") co_return server_response{}.stream(break_off);
  if (r.path() == "/empty") co_return server_response{204};
  if (r.path() == "/big") co_return server_response{}.body(std::string(3'000'000, 'x'));
  if (r.path() == "/last") co_return server_response{}.body("bye\n").close();
  if (r.path() == "/slow") co_await sleep_for(200ms);
  std::string text = r.method() + " " + std::string{r.path()} + " " + std::string{r.query()} + "\n";
  co_return server_response{}.body(std::move(text)).field("X-Server", "test");
}

/// What a server with these options replies to `text`.
std::string reply_to(const std::string& backend, const std::string& text,
                     server_options options = {}, bool end = true,
                     server_statistics* statistics = nullptr) {
  return test::reply_to(answer, backend, text, options, end, statistics);
}

TEST_P(http_server, answers_and_keeps_the_connection) {
  server_statistics statistics;
  const auto reply = reply_to(
      GetParam(), "GET /a?b=c HTTP/1.1\r\n" + host + "\r\nGET /last HTTP/1.1\r\n" + host + "\r\n",
      {}, false, &statistics);
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\nX-Server: test\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\nContent-Length: 11\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\nContent-Type: text/plain; charset=utf-8\r\n"));
  EXPECT_THAT(reply, HasSubstr(" GMT\r\n"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\nGET /a b=c\nHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\nbye\n"));
  EXPECT_EQ(statistics.accepted, 1u);
  EXPECT_EQ(statistics.requests, 2u);
  EXPECT_EQ(statistics.connections, 0u);
}

TEST_P(http_server, answers_pipelined_requests_in_order) {
  std::string text;
  for (int i = 0; i < 50; ++i) {
    text += "GET /" + std::string(i % 7 == 0 ? "slow" : "p") + "?" + std::to_string(i) +
            " HTTP/1.1\r\n" + host + "\r\n";
  }
  const auto reply = reply_to(GetParam(), text);
  std::size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    const std::string line = std::string{" "}.append(std::to_string(i)).append("\n");
    const auto found = reply.find(line, at);
    ASSERT_NE(found, reply.npos) << i;
    at = found;
  }
}

TEST_P(http_server, leaves_the_body_of_a_head_out) {
  const auto reply = reply_to(GetParam(), "HEAD /a HTTP/1.1\r\n" + host + "\r\nHEAD /stream " +
                                              "HTTP/1.1\r\n" + host + "\r\n");
  EXPECT_THAT(reply, HasSubstr("Content-Length: 9\r\n"));
  EXPECT_THAT(reply, Not(HasSubstr("HEAD /a")));
  EXPECT_THAT(reply, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\n"));
}

TEST_P(http_server, gives_no_body_to_204) {
  const auto reply = reply_to(GetParam(), "GET /empty HTTP/1.1\r\n" + host + "\r\n");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 204 No Content\r\n"));
  EXPECT_THAT(reply, Not(HasSubstr("Content-Length")));
}

TEST_P(http_server, streams_a_body_in_chunks) {
  const auto reply = reply_to(GetParam(), "GET /stream HTTP/1.1\r\n" + host + "\r\n");
  EXPECT_THAT(reply, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n0\r\n\r\n"));
}

TEST_P(http_server, streams_to_the_end_of_the_connection_for_http_1_0) {
  const auto reply = reply_to(GetParam(), "GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(reply, Not(HasSubstr("chunked")));
  EXPECT_THAT(reply, EndsWith("\r\n\r\none two three"));
}

TEST_P(http_server, closes_after_http_1_0_unless_asked_to_keep) {
  EXPECT_THAT(reply_to(GetParam(), "GET / HTTP/1.0\r\n\r\n", {}, false),
              HasSubstr("Connection: close\r\n"));
  const auto kept = reply_to(GetParam(), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(kept, HasSubstr("Connection: keep-alive\r\n"));
}

TEST_P(http_server, cuts_the_connection_when_a_streamed_body_fails) {
  const auto reply = reply_to(GetParam(), "GET /broken HTTP/1.1\r\n" + host + "\r\n", {}, false);
  EXPECT_THAT(reply, EndsWith("5\r\nbegun\r\n"));
}

TEST_P(http_server, sends_large_bodies_whole) {
  const auto reply = reply_to(GetParam(), "GET /big HTTP/1.1\r\n" + host + "\r\n");
  const auto head_end = reply.find("\r\n\r\n");
  ASSERT_NE(head_end, reply.npos);
  EXPECT_EQ(reply.size() - head_end - 4, 3'000'000u);
}

TEST_P(http_server, reads_bodies_by_length_and_in_chunks) {
  const auto reply = reply_to(
      GetParam(), "POST /echo HTTP/1.1\r\n" + host +
                      "Content-Length: 6\r\n\r\nfirst,POST /echo HTTP/1.1\r\n" + host +
                      "Transfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n3\r\nond\r\n0\r\n\r\n");
  EXPECT_THAT(reply, HasSubstr("\r\n\r\nfirst,HTTP/1.1 200 OK"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\nsecond"));
}

TEST_P(http_server, says_100_continue_when_it_is_expected) {
  std::string seen;
  auto program = [&]() -> task<> {
    server s{answer};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto peer = co_await net::connect(l.local_endpoint());
      const std::string head =
          "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 4\r\nExpect: 100-continue\r\n\r\n";
      (void)co_await peer.write_all(bytes_of(head));
      seen = co_await read_text(peer);
      (void)co_await peer.write_all(bytes_of("body"));
      co_await peer.shutdown_write();
      seen += co_await read_all(peer);
    };
    co_await fail_after(20s, beside_server(s, body));
  };
  run(program(), GetParam());
  EXPECT_THAT(seen, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(seen, EndsWith("\r\n\r\nbody"));
}

TEST_P(http_server, answers_400_to_garbage) {
  for (const char* text : {"\x16\x03\x01\x02\x01\x01", "GET / HTTP/1.1\r\n\r\n", "nonsense\r\n\r\n",
                           "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"}) {
    server_statistics statistics;
    const auto reply = reply_to(GetParam(), text, {}, false, &statistics);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 400 Bad Request\r\n")) << text;
    EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
    EXPECT_EQ(statistics.refused, 1u);
  }
}

TEST_P(http_server, answers_431_to_a_huge_head) {
  const std::string text =
      "GET / HTTP/1.1\r\n" + host + "X: " + std::string(100'000, 'x') + "\r\n\r\n";
  EXPECT_THAT(reply_to(GetParam(), text, {}, false), StartsWith("HTTP/1.1 431 "));
  const auto options = server_options{}.max_head(200'000);
  EXPECT_THAT(reply_to(GetParam(), text, options), StartsWith("HTTP/1.1 200 "));
}

TEST_P(http_server, answers_413_to_a_huge_body) {
  const auto options = server_options{}.max_body(1000);
  const auto announced =
      "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 1001\r\n\r\n" + std::string(1001, 'x');
  EXPECT_THAT(reply_to(GetParam(), announced, options, false), StartsWith("HTTP/1.1 413 "));
  const auto chunked = "POST /echo HTTP/1.1\r\n" + host +
                       "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + std::string(1001, 'x') +
                       "\r\n0\r\n\r\n";
  EXPECT_THAT(reply_to(GetParam(), chunked, options, false), StartsWith("HTTP/1.1 413 "));
}

TEST_P(http_server, answers_408_to_a_slow_head) {
  const auto options = server_options{}.head_timeout(50ms);
  EXPECT_THAT(reply_to(GetParam(), "GET / HTTP/1.1\r\nHo", options, false),
              StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
}

TEST_P(http_server, answers_408_to_a_slow_body) {
  const auto options = server_options{}.body_timeout(50ms);
  EXPECT_THAT(reply_to(GetParam(), "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nab",
                       options, false),
              StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
}

TEST_P(http_server, closes_an_idle_connection_silently) {
  const auto options = server_options{}.idle_timeout(50ms);
  EXPECT_EQ(reply_to(GetParam(), "", options, false), "");
  EXPECT_THAT(reply_to(GetParam(), "GET / HTTP/1.1\r\n" + host + "\r\n", options, false),
              EndsWith("GET / \n"));
}

TEST_P(http_server, gives_up_on_a_peer_that_does_not_read) {
  server_statistics statistics;
  auto program = [&]() -> task<> {
    server s{answer, server_options{}.write_timeout(100ms)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto peer = co_await net::connect(l.local_endpoint());
      std::string text;
      for (int i = 0; i < 10; ++i) text += "GET /big HTTP/1.1\r\n" + host + "\r\n";
      (void)co_await peer.write_all(bytes_of(text));
      while (s.statistics().failed == 0) co_await sleep_for(10ms);
    };
    co_await fail_after(20s, beside_server(s, body));
    statistics = s.statistics();
  };
  run(program(), GetParam());
  EXPECT_EQ(statistics.failed, 1u);
  EXPECT_EQ(statistics.connections, 0u);
}

std::string said;  // NOLINT
void keep_said(severity, std::string_view text) noexcept { said += text; }

TEST_P(http_server, answers_500_when_a_handler_throws_and_goes_on) {
  said.clear();
  const auto before = set_log_hook(keep_said);
  const auto reply = reply_to(
      GetParam(), "GET /throw HTTP/1.1\r\n" + host + "\r\nGET /next HTTP/1.1\r\n" + host + "\r\n");
  set_log_hook(before);
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_THAT(reply, EndsWith("GET /next \n"));
  EXPECT_THAT(reply, Not(HasSubstr("a bug in a handler")));
  EXPECT_EQ(said, "GET /throw: a bug in a handler");
}

TEST_P(http_server, whatever_a_handler_throws_ends_no_other_connection) {
  auto handler = [](server_request& r) -> task<server_response> {
    if (r.path() == "/number") throw 42;
    if (r.path() == "/cancelled") throw cancelled{};  // as of a child that was cancelled
    if (r.path() == "/streamed-number") {
      co_return server_response{}.stream([](body_writer&) -> task<> {
        throw 42;
        co_return;
      });
    }
    if (r.path() == "/streamed-cancelled") {
      co_return server_response{}.stream([](body_writer&) -> task<> {
        throw cancelled{};
        co_return;
      });
    }
    co_return server_response{}.body("fine\n");
  };
  const auto before = set_log_hook([](severity, std::string_view) noexcept {});
  go([&]() -> task<> {
    server s{handler};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto idle = co_await net::connect(l.local_endpoint());
      while (s.statistics().idle != 1) co_await sleep_for(1ms);
      for (const std::string path : {"/number", "/cancelled"}) {
        auto exchanging = exchange(
            l, "GET " + path + " HTTP/1.1\r\n" + host + "\r\nGET / HTTP/1.1\r\n" + host + "\r\n");
        const auto reply = co_await std::move(exchanging);
        EXPECT_THAT(reply, StartsWith("HTTP/1.1 500 ")) << path;
        EXPECT_THAT(reply, EndsWith("fine\n")) << path;
      }
      EXPECT_EQ(s.statistics().failed, 0u);
      for (const std::string path : {"/streamed-number", "/streamed-cancelled"}) {
        auto exchanging = exchange(l, "GET " + path + " HTTP/1.1\r\n" + host + "\r\n");
        const auto reply = co_await std::move(exchanging);
        EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 ")) << path;
        EXPECT_THAT(reply, Not(EndsWith("\r\n0\r\n\r\n"))) << path;
      }
      EXPECT_EQ(s.statistics().failed, 2u);
      (void)co_await idle.write_all(bytes_of("GET / HTTP/1.1\r\n" + host + "\r\n"));
      const auto reply = co_await read_until(idle, "fine\n");
      EXPECT_THAT(reply, EndsWith("fine\n"));
    };
    co_await fail_after(20s, beside_server(s, body));
  });
  set_log_hook(before);
}

TEST_P(http_server, cancelled_it_finishes_what_is_under_way_and_closes_idle_connections) {
  go([]() -> task<> {
    net::tcp_listener l{any_port};
    server s{answer};
    event stop;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        (void)co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
          co_await with_nursery([&](nursery& inner) -> task<> {
            inner.start([&]() -> task<> {
              auto serving = s.serve(l);
              co_await std::move(serving);
            });
            co_await stop.wait();
            scope.cancel();
          });
        });
        l.close();
      });
      auto idle = co_await net::connect(l.local_endpoint());
      auto busy = co_await net::connect(l.local_endpoint());
      const std::string head = "GET /slow HTTP/1.1\r\n" + host + "\r\n";
      (void)co_await busy.write_all(bytes_of(head));
      while (s.statistics().requests == 0) co_await sleep_for(5ms);
      stop.set();
      const auto nothing = co_await read_all(idle);
      EXPECT_EQ(nothing, "");
      const auto reply = co_await read_all(busy);
      EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
      EXPECT_THAT(reply, EndsWith("GET /slow \n"));
    });
    EXPECT_EQ(s.statistics().connections, 0u);
  });
}

TEST_P(http_server, cancelled_it_waits_no_longer_than_stop_timeout) {
  go([]() -> task<> {
    net::tcp_listener l{any_port};
    auto forever = [](server_request&) -> task<server_response> {
      co_await sleep_forever();
      co_return server_response{};
    };
    server s{forever, server_options{}.stop_timeout(50ms)};
    auto body = [&](net::tcp_listener& at) -> task<> {
      auto peer = co_await net::connect(at.local_endpoint());
      const std::string head = "GET / HTTP/1.1\r\n" + host + "\r\n";
      (void)co_await peer.write_all(bytes_of(head));
      while (s.statistics().requests == 0) co_await sleep_for(5ms);
    };
    co_await fail_after(5s, beside_server(s, body));
  });
}

TEST_P(http_server, returns_when_its_listener_is_closed) {
  go([]() -> task<> {
    net::tcp_listener l{any_port};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = serve(l, answer);
        co_await std::move(serving);
      });
      auto peer = co_await net::connect(l.local_endpoint());
      co_await sleep_for(10ms);
      l.close();
      const auto nothing = co_await read_all(peer);
      EXPECT_EQ(nothing, "");
    });
  });
}

/// Fails once in the way that it is told to, then says that it was closed.
class failing_listener {
 public:
  explicit failing_listener(int cause) noexcept : cause_{cause} {}
  task<net::tcp_stream> accept() {
    if (const int cause = std::exchange(cause_, 0)) throw error{"accept", "x", system_code(cause)};
    throw closed_error{"accept x"};
    co_return net::tcp_stream{};
  }

 private:
  int cause_;
};

TEST_P(http_server, accepts_on_after_failures_that_are_not_the_listeners) {
  go([]() -> task<> {
    // The last ones are what became of the connection while it stood in the queue: accept(2).
    for (const int cause : {EMFILE, ENFILE, ECONNABORTED, ENETDOWN, ENETUNREACH, EHOSTDOWN,
                            EHOSTUNREACH, ENONET, ENOPROTOOPT}) {
      failing_listener l{cause};
      server s{answer};
      auto serving = s.serve(l);
      co_await std::move(serving);
    }
    failing_listener broken{ENOTSOCK};
    server s{answer};
    const auto why = co_await message_of(s.serve(broken));
    EXPECT_THAT(why, HasSubstr("accept x"));
  });
}

TEST_P(http_server, tolerates_an_empty_line_behind_a_body) {
  const auto options = server_options{}.head_timeout(50ms);
  const std::string text = "POST /echo HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc\r\n";
  EXPECT_THAT(reply_to(GetParam(), text, options, false), EndsWith("\r\n\r\nabc"));
}

TEST_P(http_server, holds_to_its_limit_of_connections) {
  go([]() -> task<> {
    server s{answer, server_options{}.max_connections(1)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto first = co_await net::connect(l.local_endpoint());
      auto second = co_await net::connect(l.local_endpoint());
      const std::string head = "GET /x HTTP/1.1\r\n" + host + "\r\n";
      (void)co_await second.write_all(bytes_of(head));
      co_await sleep_for(30ms);
      EXPECT_EQ(s.statistics().connections, 1u);
      EXPECT_EQ(s.statistics().requests, 0u);
      first.close();
      const auto reply = co_await read_text(second);
      EXPECT_THAT(reply, EndsWith("GET /x \n"));
    };
    co_await fail_after(5s, beside_server(s, body));
  });
}

TEST_P(http_server, serves_unix_sockets_too) {
  go([]() -> task<> {
    const net::unix_address at{"@oneloop-http-server-test-" + std::to_string(::getpid())};
    net::unix_listener l{at};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto serving = serve(l, answer);
        co_await std::move(serving);
      });
      auto peer = co_await net::connect(at);
      const std::string head = "GET /u HTTP/1.1\r\n" + host + "\r\n";
      (void)co_await peer.write_all(bytes_of(head));
      const auto reply = co_await read_text(peer);
      EXPECT_THAT(reply, EndsWith("GET /u \n"));
      n.cancel();
    });
  });
}

}  // namespace
}  // namespace oneloop::http
