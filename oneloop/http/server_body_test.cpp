// Bodies of requests and responses as streams: backpressure, 100 Continue, what a handler leaves
// unread, promised lengths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneloop/base/log.hpp"
#include "oneloop/http/server_test.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::http {
namespace {

using namespace test;
using net::bytes_of;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class http_server_body : public on_backends {};
ON_BACKENDS(http_server_body);

/// Reads its body in pieces of 1,000 bytes, if the path says so.
task<server_response> piecewise(server_request& r) {
  if (r.path() == "/ignore") co_return server_response{}.body("ignored\n");
  if (r.path() == "/whole") {
    auto reading = r.read_body();
    const std::string& whole = co_await std::move(reading);
    co_return server_response{}.body("whole " + whole + "\n");
  }
  std::size_t size = 0, pieces = 0;
  std::array<std::byte, 1000> piece;
  while (true) {
    auto reading = r.read_some(piece);
    const auto n = co_await std::move(reading);
    if (n == 0) break;
    size += n;
    ++pieces;
  }
  EXPECT_GE(pieces, size / 1000);
  std::string text = std::to_string(size) + " bytes";
  for (const field f : r.trailers()) text.append(" ").append(f.name).append("=").append(f.value);
  co_return server_response{}.body(text + "\n");
}

const auto streamed = server_options{}.stream_bodies();

std::string post(const std::string& path, const std::string& fields, const std::string& body) {
  return "POST " + path + " HTTP/1.1\r\n" + host + fields + "\r\n" + body;
}
std::string sized(std::size_t n) { return "Content-Length: " + std::to_string(n) + "\r\n"; }

TEST_P(http_server_body, is_read_piecewise) {
  const auto reply = reply_to(
      piecewise, GetParam(),
      post("/a", sized(100'000), std::string(100'000, 'x')) +
          post("/b", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n") +
          post("/none", "", "") + post("/whole", sized(3), "xyz"),
      streamed);
  EXPECT_THAT(reply, HasSubstr("\r\n\r\n100000 bytes\nHTTP/1.1"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\n7 bytes\nHTTP/1.1"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\n0 bytes\nHTTP/1.1"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\nwhole xyz\n"));
}

TEST_P(http_server_body, is_read_piecewise_by_the_same_handler_when_it_was_read_whole) {
  const auto reply =
      reply_to(piecewise, GetParam(),
               post("/a", sized(5'000), std::string(5'000, 'x')) + post("/whole", sized(3), "xyz"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\n5000 bytes\nHTTP/1.1"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\nwhole xyz\n"));
}

TEST_P(http_server_body, trailers_are_there_when_it_has_been_read) {
  const auto text = post("/a", "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n",
                         "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n");
  EXPECT_THAT(reply_to(piecewise, GetParam(), text, streamed), EndsWith("3 bytes X-Sum=6\n"));
  EXPECT_THAT(reply_to(piecewise, GetParam(), text), EndsWith("3 bytes X-Sum=6\n"));
}

TEST_P(http_server_body, a_handler_that_reads_slowly_slows_the_sender) {
  go([]() -> task<> {
    event read_on;
    auto handler = [&](server_request& r) -> task<server_response> {
      co_await read_on.wait();
      auto answering = piecewise(r);
      auto response = co_await std::move(answering);
      co_return std::move(response);
    };
    server s{handler, server_options{}.stream_bodies().max_body(64 * 1024 * 1024)};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto peer = co_await net::connect(l.local_endpoint());
      constexpr std::size_t size = 32 * 1024 * 1024;
      const std::string head = post("/slow", sized(size), "");
      (void)co_await peer.write_all(bytes_of(head));
      const std::string piece(1024 * 1024, 'x');
      std::size_t sent = 0;
      while (sent < size) {
        const auto n = co_await move_on_after(200ms, peer.write_all(bytes_of(piece)));
        sent += n.value_or(0);
        if (n.value_or(0) < piece.size()) break;
      }
      EXPECT_LT(sent, size);  // the rest waits in the sender
      read_on.set();
      while (sent < size) {
        const auto rest = std::min(piece.size(), size - sent);
        sent += co_await peer.write_all(bytes_of(std::string_view{piece}.substr(0, rest)));
      }
      const auto reply = co_await read_until(peer, "bytes\n");
      EXPECT_THAT(reply, EndsWith("\r\n\r\n" + std::to_string(size) + " bytes\n"));
    };
    co_await fail_after(25s, beside_server(s, body));
  });
}

TEST_P(http_server_body, a_small_one_that_the_handler_leaves_is_thrown_away) {
  for (const auto& text :
       {post("/ignore", sized(30'000), std::string(30'000, 'x')),
        post("/ignore", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n")}) {
    const auto reply =
        reply_to(piecewise, GetParam(), text + post("/whole", sized(4), "next"), streamed);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(reply, Not(HasSubstr("Connection: close")));
    EXPECT_THAT(reply, EndsWith("\r\n\r\nwhole next\n"));
  }
}

TEST_P(http_server_body, a_large_one_that_the_handler_leaves_ends_the_connection) {
  const auto options = server_options{}.stream_bodies().max_body(10'000'000);
  const auto announced =
      reply_to(piecewise, GetParam(),
               post("/ignore", sized(200'000), std::string(200'000, 'x')) + post("/b", "", ""),
               options, false);
  EXPECT_THAT(announced, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(announced, EndsWith("\r\n\r\nignored\n"));
  const auto chunked = reply_to(piecewise, GetParam(),
                                post("/ignore", "Transfer-Encoding: chunked\r\n",
                                     "20000\r\n" + std::string(0x20000, 'x') + "\r\n0\r\n\r\n") +
                                    post("/b", "", ""),
                                options, false);
  EXPECT_THAT(chunked, EndsWith("\r\n\r\nignored\n"));
}

TEST_P(http_server_body, continue_100_is_said_only_when_the_body_is_wanted) {
  go([]() -> task<> {
    server s{piecewise, streamed};
    auto body = [&](net::tcp_listener& l) -> task<> {
      const std::string expect = "Expect: 100-Continue\r\n" + sized(4);
      auto wanted = co_await net::connect(l.local_endpoint());
      const std::string first = post("/whole", expect, "");
      (void)co_await wanted.write_all(bytes_of(first));
      const auto go_on = co_await read_until(wanted, "\r\n\r\n");
      EXPECT_EQ(go_on, "HTTP/1.1 100 Continue\r\n\r\n");
      (void)co_await wanted.write_all(bytes_of("body"));
      const auto reply = co_await read_until(wanted, "body\n");
      EXPECT_THAT(reply, StartsWith("HTTP/1.1 200 OK\r\n"));

      auto unwanted = co_await net::connect(l.local_endpoint());
      const std::string second = post("/ignore", expect, "");
      (void)co_await unwanted.write_all(bytes_of(second));
      const auto at_once = co_await read_all(unwanted);
      EXPECT_THAT(at_once, StartsWith("HTTP/1.1 200 OK\r\n"));
      EXPECT_THAT(at_once, HasSubstr("Connection: close\r\n"));

      // It came without waiting: nothing needs to be said.
      auto hasty = co_await net::connect(l.local_endpoint());
      const std::string third = post("/whole", expect, "body");
      (void)co_await hasty.write_all(bytes_of(third));
      const auto direct = co_await read_until(hasty, "body\n");
      EXPECT_THAT(direct, StartsWith("HTTP/1.1 200 OK\r\n"));
    };
    co_await fail_after(20s, beside_server(s, body));
  });
}

TEST_P(http_server_body, other_expectations_are_refused) {
  EXPECT_THAT(reply_to(piecewise, GetParam(), post("/", "Expect: miracles\r\n" + sized(4), "body"),
                       {}, false),
              StartsWith("HTTP/1.1 417 Expectation Failed\r\n"));
}

TEST_P(http_server_body, a_handler_may_pass_on_what_is_wrong_with_it) {
  const auto large =
      post("/a", "Transfer-Encoding: chunked\r\n", "10\r\n0123456789abcdef\r\n0\r\n\r\n");
  EXPECT_THAT(
      reply_to(piecewise, GetParam(), large, server_options{}.stream_bodies().max_body(10), false),
      StartsWith("HTTP/1.1 413 "));
  const auto broken = post("/a", "Transfer-Encoding: chunked\r\n", "zz\r\n");
  EXPECT_THAT(reply_to(piecewise, GetParam(), broken, streamed, false),
              StartsWith("HTTP/1.1 400 "));
  const auto late = post("/a", sized(10), "abc");
  EXPECT_THAT(reply_to(piecewise, GetParam(), late,
                       server_options{}.stream_bodies().stall_timeout(50ms), false),
              StartsWith("HTTP/1.1 408 "));
}

std::string logged;  // NOLINT
void keep_log(severity, std::string_view text) noexcept { logged.append(text).append("\n"); }

TEST_P(http_server_body, a_peer_that_leaves_in_the_middle_is_a_failure_and_nothing_else) {
  logged.clear();
  const auto before = set_log_hook(keep_log);
  for (const bool by_reset : {false, true}) {
    for (const auto& options : {server_options{}, streamed}) {
      go([&]() -> task<> {
        server s{piecewise, options};
        auto body = [&](net::tcp_listener& l) -> task<> {
          auto peer = co_await net::connect(l.local_endpoint());
          const auto text = post("/a", sized(10), "abc");
          (void)co_await peer.write_all(bytes_of(text));
          co_await sleep_for(10ms);
          by_reset ? peer.reset() : peer.close();
          while (s.statistics().failed == 0) co_await sleep_for(1ms);
        };
        co_await fail_after(20s, beside_server(s, body));
        EXPECT_EQ(s.statistics().failed, 1u);
        EXPECT_EQ(s.statistics().connections, 0u);
      });
    }
  }
  set_log_hook(before);
  EXPECT_EQ(logged, "");
}

// ---- responses ----

task<> ten_bytes(body_writer& out) {
  co_await out.write("01234");
  co_await yield_now();
  co_await out.write("56789");
}

task<server_response> promising(server_request& r) {
  server_response response;
  response.stream(ten_bytes);
  if (r.path() == "/ten") response.length(10);
  if (r.path() == "/more") response.length(11);
  if (r.path() == "/fewer") response.length(9);
  if (r.path() == "/reset") co_return server_response{205}.body("none");
  if (r.path() == "/odd") co_return server_response{101};
  if (r.path() == "/unchanged")
    co_return server_response{304}.stream(ten_bytes).field("ETag", "\"a\"");
  co_return response;
}

std::string get(const std::string& path, const std::string& method = "GET") {
  return method + " " + path + " HTTP/1.1\r\n" + host + "\r\n";
}

TEST_P(http_server_body, a_streamed_response_may_promise_its_length) {
  const auto reply =
      reply_to(promising, GetParam(), get("/ten") + get("/ten", "HEAD") + get("/ten"));
  EXPECT_THAT(reply, HasSubstr("Content-Length: 10\r\n"));
  EXPECT_THAT(reply, Not(HasSubstr("chunked")));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\n0123456789HTTP/1.1 200 OK"));
  EXPECT_THAT(reply, HasSubstr("\r\n\r\nHTTP/1.1 200 OK"));  // the HEAD
  EXPECT_THAT(reply, EndsWith("\r\n\r\n0123456789"));
}

TEST_P(http_server_body, a_promised_length_keeps_a_connection_of_http_1_0) {
  const std::string old = "GET /ten HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
  const auto reply = reply_to(promising, GetParam(), old + old);
  EXPECT_THAT(reply, HasSubstr("0123456789HTTP/1.1 200 OK"));
  EXPECT_THAT(reply, HasSubstr("Connection: keep-alive\r\n"));
}

TEST_P(http_server_body, a_broken_promise_cuts_the_connection) {
  logged.clear();
  const auto before = set_log_hook(keep_log);
  server_statistics statistics;
  EXPECT_THAT(reply_to(promising, GetParam(), get("/more") + get("/ten"), {}, false, &statistics),
              EndsWith("\r\n\r\n0123456789"));
  EXPECT_EQ(statistics.failed, 1u);
  EXPECT_THAT(reply_to(promising, GetParam(), get("/fewer") + get("/ten"), {}, false, &statistics),
              EndsWith("\r\n\r\n01234"));
  EXPECT_EQ(statistics.failed, 1u);
  set_log_hook(before);
  EXPECT_THAT(logged, HasSubstr("shorter than was promised"));
  EXPECT_THAT(logged, HasSubstr("longer than was promised"));
}

TEST_P(http_server_body, a_source_that_goes_on_after_a_write_that_failed_cuts_the_connection) {
  const std::string large(8 * 1024 * 1024, 'x');
  bool tried_again = false;
  auto impatient = [&](body_writer& out) -> task<> {
    auto writing = out.write(large);
    const bool all = co_await move_on_after(50ms, std::move(writing));
    EXPECT_FALSE(all);
    if (!tried_again) co_return;
    std::string message;
    try {
      auto once_more = out.write("more");
      co_await std::move(once_more);
    } catch (const error& e) {
      message = e.what();
    }
    EXPECT_NE(message, "");
  };
  for (const bool promised : {true, false}) {
    for (const bool again : {false, true}) {
      tried_again = again;
      auto handler = [&](server_request& r) -> task<server_response> {
        if (r.path() == "/next") co_return server_response{}.body("next\n");
        server_response response;
        response.stream(impatient);
        if (promised) response.length(large.size() + (again ? 4 : 0));
        co_return response;
      };
      go([&]() -> task<> {
        server s{handler};
        auto body = [&](net::tcp_listener& l) -> task<> {
          auto peer = co_await net::connect(l.local_endpoint());
          const std::string both = get("/large") + get("/next");
          (void)co_await peer.write_all(bytes_of(both));
          co_await sleep_for(100ms);
          std::string all;
          try {
            all = co_await read_all(peer);
          } catch (const error&) {  // a reset is fine
          }
          EXPECT_THAT(all, Not(EndsWith("next\n")));
        };
        co_await fail_after(20s, beside_server(s, body));
        EXPECT_EQ(s.statistics().requests, 1u);
        EXPECT_EQ(s.statistics().failed, 1u);
      });
    }
  }
}

TEST_P(http_server_body, that_is_wrong_and_that_nobody_read_does_not_destroy_the_response) {
  server_statistics statistics;
  const auto text = post("/ignore", "Transfer-Encoding: chunked\r\n",
                         "c350\r\n" + std::string(50'000, 'x') + "\r\n0\r\n\r\n");
  EXPECT_THAT(reply_to(piecewise, GetParam(), text, server_options{}.stream_bodies().max_body(10),
                       false, &statistics),
              EndsWith("\r\n\r\nignored\n"));
  EXPECT_EQ(statistics.failed, 0u);
}

TEST_P(http_server_body, may_take_for_ever_if_the_options_say_so) {
  const auto options = server_options{}
                           .body_timeout(duration::max())
                           .stall_timeout(duration::max())
                           .max_body(10'000'000);
  const auto text = post("/a", sized(1'000'000), std::string(1'000'000, 'x'));
  EXPECT_THAT(reply_to(piecewise, GetParam(), text, options), EndsWith("1000000 bytes\n"));
}

TEST_P(http_server_body, some_statuses_have_none) {
  const auto unchanged = reply_to(promising, GetParam(), get("/unchanged"));
  EXPECT_THAT(unchanged, StartsWith("HTTP/1.1 304 Not Modified\r\n"));
  EXPECT_THAT(unchanged, Not(HasSubstr("Transfer-Encoding")));
  EXPECT_THAT(unchanged, Not(HasSubstr("Content-Length")));
  EXPECT_THAT(unchanged, EndsWith("\r\n\r\n"));
  const auto reset = reply_to(promising, GetParam(), get("/reset"));
  EXPECT_THAT(reset, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(reset, EndsWith("\r\n\r\n"));
  logged.clear();
  const auto before = set_log_hook(keep_log);
  EXPECT_THAT(reply_to(promising, GetParam(), get("/odd")), StartsWith("HTTP/1.1 500 "));
  set_log_hook(before);
  EXPECT_THAT(logged, HasSubstr("final status"));
}

TEST(http_server_request, can_be_made_for_a_test_of_a_handler) {
  request_head head{"POST", "/whole?q"};
  auto program = [&]() -> task<> {
    server_request r{head, "the body", "192.0.2.1:80"};
    EXPECT_EQ(r.path(), "/whole");
    EXPECT_EQ(r.query(), "q");
    EXPECT_EQ(r.peer(), "192.0.2.1:80");
    EXPECT_TRUE(r.trailers().empty());
    auto answering = piecewise(r);
    auto response = co_await std::move(answering);
    EXPECT_EQ(response.status(), 200);
    std::array<std::byte, 4> b;
    auto reading = r.read_some(b);
    const auto n = co_await std::move(reading);
    EXPECT_EQ(text_of(std::span{b}.first(n)), "the ");
  };
  run(program());
}

}  // namespace
}  // namespace oneloop::http
