// Requests with a body: bytes and sources, chunks and lengths, servers that answer before they have
// read everything, and what happens to a body that is needed twice. (Points 6, 21 and 34 of what a
// serious client must get right; the numbers in the names.)
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <stdexcept>

#include "oneloop/http/client.hpp"
#include "oneloop/http/client_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::body_source;
using http::client;
using http::client_options;
using http::request;
using http::request_body;

class http_uploads_on : public http_on_backends {
 protected:
  /// Answers every request with its method and its body: "PUT hello".
  static task<> echo(http_peer& p) {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      const auto got = co_await p.body();
      co_await p.answer(p.last_method() + " " + got);
    }
  }
};
ON_BACKENDS(http_uploads_on);

request to(const std::string& text, std::string method = "PUT") {
  return {std::move(method), url::parse(text).value()};
}

/// Gives these pieces, one at a time.
body_source pieces(std::vector<std::string> all) {
  return [all = std::move(all),
          i = std::size_t{0}](std::span<std::byte> room) mutable -> task<std::size_t> {
    if (i == all.size()) co_return 0;
    const std::string& one = all[i++];
    std::memcpy(room.data(), one.data(), one.size());
    co_await yield_now();
    co_return one.size();
  };
}

/// Gives `size` bytes, as many at a time as there is room for.
body_source many(std::size_t size) {
  return [left = size](std::span<std::byte> room) mutable -> task<std::size_t> {
    const std::size_t n = std::min(left, room.size());
    std::memset(room.data(), 'x', n);
    left -= n;
    co_return n;
  };
}

task<std::string> answer_to(client& c, request r) {
  auto sending = c.send(std::move(r));
  auto answer = co_await std::move(sending);
  auto reading = answer.text();
  auto text = co_await std::move(reading);
  co_return text;
}

TEST_P(http_uploads_on, bytes_go_with_their_length_and_type) {
  with_server(echo, [](server& s) -> task<> {
    client c;
    auto r = co_await c.post(s.at("/a"), "hello", "text/plain");
    const auto text = co_await r.text();
    EXPECT_EQ(text, "POST hello");
    EXPECT_NE(s.requests[0].find("\r\nContent-Length: 5\r\n"), std::string::npos);
    EXPECT_NE(s.requests[0].find("\r\nContent-Type: text/plain\r\n"), std::string::npos);
    auto empty = to(s.at());
    empty.body("");
    const auto none = co_await answer_to(c, empty);
    EXPECT_EQ(none, "PUT ");
    EXPECT_NE(s.requests[1].find("\r\nContent-Length: 0\r\n"), std::string::npos);
    const std::string large(3'000'000, 'l');
    auto much = to(s.at());
    much.body(large);
    const auto all = co_await answer_to(c, much);
    EXPECT_TRUE(all == "PUT " + large);
    EXPECT_EQ(s.connections, 1);
  });
}

TEST_P(http_uploads_on, a_source_without_a_size_goes_in_chunks) {
  with_server(echo, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body(request_body::streamed([] { return pieces({"a", "bc", "def"}); }));
    for (int i = 0; i < 2; ++i) {
      const auto text = co_await answer_to(c, r);
      EXPECT_EQ(text, "PUT abcdef");
    }
    EXPECT_NE(s.requests[0].find("\r\nTransfer-Encoding: chunked\r\n"), std::string::npos);
    EXPECT_EQ(s.requests[0].find("Content-Length"), std::string::npos);
    auto nothing = to(s.at());
    nothing.body(request_body::once(pieces({})));
    const auto none = co_await answer_to(c, nothing);
    EXPECT_EQ(none, "PUT ");
    auto large = to(s.at());
    large.body(request_body::streamed([] { return many(1'000'000); }));
    const auto all = co_await answer_to(c, large);
    EXPECT_EQ(all.size(), 1'000'004u);
    EXPECT_EQ(s.connections, 1);
  });
}

TEST_P(http_uploads_on, a_source_with_a_size_goes_with_its_length) {
  with_server(echo, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body(request_body::streamed([] { return many(200'000); }, 200'000));
    const auto all = co_await answer_to(c, r);
    EXPECT_EQ(all.size(), 200'004u);
    EXPECT_NE(s.requests[0].find("\r\nContent-Length: 200000\r\n"), std::string::npos);
    EXPECT_EQ(c.statistics().idle, 1u);
  });
}

TEST_P(http_uploads_on, a_source_that_does_not_keep_its_promise_is_an_error) {
  std::vector<std::string> got;
  auto script = [&](peer& p) -> task<> {
    (void)co_await p.request();
    const auto body = co_await p.body();
    got.push_back(body);
    co_await p.answer("took it");
  };
  with_server(script, [&](server& s) -> task<> {
    client c;
    for (const std::uint64_t promised : {std::uint64_t{7}, std::uint64_t{5}, std::uint64_t{0}}) {
      auto r = to(s.at());
      r.body(request_body::once(pieces({"abc", "def"}), promised));
      const auto f = co_await failure_of(c.send(r));
      EXPECT_EQ(f.kind, "protocol");
      EXPECT_EQ(f.phase, "write");
      EXPECT_EQ(f.text, "body of PUT " + s.at() + ": its source " +
                            (promised == 7   ? "ended after 6"
                             : promised == 5 ? "gives at least 6"
                                             : "gives at least 3") +
                            " bytes, and " + std::to_string(promised) + " were promised");
      EXPECT_EQ(c.statistics().in_use, 0u);
      EXPECT_EQ(c.statistics().idle, 0u);
    }
    co_await eventually([&] { return s.open == 0; });
    // No server could take what it got for the whole (but that nothing is all of nothing).
    EXPECT_EQ(got.size(), 3u);
    EXPECT_EQ(got[0], "abcdef");
    EXPECT_EQ(got[1], "abc");
  });
}

TEST_P(http_uploads_on, what_a_source_throws_reaches_the_sender_unchanged) {
  with_server(echo, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body(request_body::once([i = 0](std::span<std::byte> room) mutable -> task<std::size_t> {
      if (i++ == 1) throw std::out_of_range{"the file has gone"};
      room[0] = std::byte{'x'};
      co_return 1;
    }));
    std::string said;
    try {
      (void)co_await c.send(r);
    } catch (const std::out_of_range& e) {
      said = e.what();
    }
    EXPECT_EQ(said, "the file has gone");
    EXPECT_EQ(c.statistics().in_use, 0u);
    EXPECT_EQ(c.statistics().idle, 0u);
  });
}

TEST_P(http_uploads_on, chunks_are_not_sent_to_a_server_known_to_be_of_http10) {
  auto script = [](peer& p) -> task<> {
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      (void)co_await p.body();
      co_await p.say("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok");
    }
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto known = to(s.at());
    known.body("hello");
    for (int i = 0; i < 2; ++i) {
      const auto text = co_await answer_to(c, known);
      EXPECT_EQ(text, "ok");
    }
    auto unknown = to(s.at());
    unknown.body(request_body::streamed([] { return many(10); }));
    const auto f = co_await failure_of(c.send(unknown));
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_NE(f.text.find("HTTP/1.0"), std::string::npos) << f.text;
    EXPECT_EQ(s.connections, 1);
  });
}

TEST_P(http_uploads_on, framing_is_not_for_users_to_set) {
  with_server(echo, [](server& s) -> task<> {
    client c;
    for (const char* name : {"Content-Length", "transfer-encoding"}) {
      auto r = to(s.at());
      r.body("hello");
      r.fields().add(name, "5");
      const auto f = co_await failure_of(c.send(r));
      EXPECT_EQ(f.kind, "other");
      EXPECT_NE(f.text.find("is not for users to set"), std::string::npos) << f.text;
    }
    EXPECT_EQ(s.connections, 0);
  });
}

// ---- 6: interim responses ----

TEST_P(http_uploads_on, p06_with_expect_the_body_waits_for_the_go_ahead) {
  bool early = false;
  auto script = [&](peer& p) -> task<> {
    (void)co_await p.request();
    co_await sleep_for(20ms);
    early = p.has_input() || !p.stream.quiet();
    co_await p.say("HTTP/1.1 103 Early Hints\r\n\r\n");
    co_await sleep_for(20ms);
    early = early || !p.stream.quiet();
    co_await p.say("HTTP/1.1 100 Continue\r\n\r\n");
    const auto got = co_await p.body();
    co_await p.answer(got);
  };
  with_server(script, [&](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body("hello").expect_continue();
    const auto text = co_await answer_to(c, r);
    EXPECT_EQ(text, "hello");
    EXPECT_FALSE(early);
    EXPECT_NE(s.requests[0].find("\r\nExpect: 100-continue\r\n"), std::string::npos);
    EXPECT_EQ(c.statistics().idle, 1u);
  });
}

TEST_P(http_uploads_on, p06_a_server_that_does_not_know_expect_gets_the_body_after_a_second) {
  with_server(echo, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body("hello").expect_continue();
    const auto begin = clock::now();
    const auto text = co_await answer_to(c, r);
    EXPECT_EQ(text, "PUT hello");
    EXPECT_GE(clock::now() - begin, 900ms);
  });
}

TEST_P(http_uploads_on, p06_a_refusal_spares_the_body) {
  std::string left;
  auto script = [&](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 401 Who\r\nContent-Length: 2\r\n\r\nno");
    left = co_await read_all(p.stream);
  };
  with_server(script, [&](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    int opened = 0;
    auto counted = [&opened] {
      ++opened;
      return many(100);
    };
    r.body(request_body::streamed(counted)).expect_continue();
    auto answer = co_await c.send(r);
    EXPECT_EQ(answer.status(), 401);
    const auto text = co_await answer.text();
    EXPECT_EQ(text, "no");
    EXPECT_EQ(opened, 0);
    EXPECT_EQ(c.statistics().idle, 0u);
    co_await eventually([&] { return s.open == 0; });
    EXPECT_EQ(left, "");
  });
}

TEST_P(http_uploads_on, p06_417_asks_again_without_expect) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    if (p.number == 1) {
      co_await p.say("HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n");
    } else {
      const auto got = co_await p.body();
      co_await p.answer(got);
    }
    co_await p.until_closed();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body(request_body::once(many(5))).expect_continue();
    const auto text = co_await answer_to(c, r);
    EXPECT_EQ(text, "xxxxx");
    EXPECT_EQ(s.requests[1].find("Expect"), std::string::npos);
  });
}

TEST_P(http_uploads_on, p06_a_100_that_nobody_asked_for_is_ignored) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    const auto got = co_await p.body();
    co_await p.say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    co_await p.answer(got);
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body("hello");
    const auto text = co_await answer_to(c, r);
    EXPECT_EQ(text, "hello");
  });
}

TEST_P(http_uploads_on, p06_a_close_after_an_interim_response_is_an_error) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 100 Continue\r\n\r\n");
    (void)co_await p.body();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body("hello").expect_continue();
    const auto f = co_await failure_of(c.send(r));
    EXPECT_EQ(f.kind, "protocol");
    EXPECT_EQ(f.phase, "head");
    EXPECT_EQ(c.statistics().retried, 0u);
  });
}

// ---- 34: an answer before all was sent ----

/// Never ends.
request_body endless(std::size_t& given) {
  return request_body::streamed([&given]() -> body_source {
    return [&given](std::span<std::byte> room) -> task<std::size_t> {
      std::memset(room.data(), 'x', room.size());
      given += room.size();
      co_return room.size();
    };
  });
}

TEST_P(http_uploads_on, p34_an_early_refusal_stops_the_sending) {
  for (const bool reads_on : {true, false}) {
    auto script = [&](peer& p) -> task<> {
      (void)co_await p.request();
      co_await p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch");
      if (reads_on) {
        co_await p.until_closed();
      } else {
        co_await sleep_for(300ms);
      }
    };
    with_server(script, [](server& s) -> task<> {
      client c;
      std::size_t given = 0;
      auto r = to(s.at(), "POST");
      r.body(endless(given));
      auto answer = co_await c.send(r);
      EXPECT_EQ(answer.status(), 413);
      const auto text = co_await answer.text();
      EXPECT_EQ(text, "much");
      EXPECT_EQ(c.statistics().idle, 0u) << "the connection is not used again";
      EXPECT_EQ(c.statistics().in_use, 0u);
      const std::size_t then = given;
      co_await sleep_for(5ms);
      EXPECT_EQ(given, then);
    });
  }
}

TEST_P(http_uploads_on, p34_a_refusal_in_the_middle_of_the_last_piece_ends_the_connection) {
  std::optional<std::size_t> got;
  auto script = [&](peer& p) -> task<> {
    (void)co_await p.request();
    co_await sleep_for(100ms);  // by now the client is stuck
    co_await p.say("HTTP/1.1 413 Too Large\r\nContent-Length: 4\r\n\r\nmuch");
    co_await sleep_for(100ms);
    const auto body = co_await p.body();
    got = body.size();
  };
  with_server(script, [&](server& s) -> task<> {
    // How much it takes until a client is stuck in the middle of a piece, and then that much (the
    // source may have been asked once more).
    static constexpr std::size_t one_piece = 50'001;
    std::size_t given = 0, size = std::numeric_limits<std::size_t>::max();
    for (int turn = 0; turn < 3; ++turn) {
      if (turn != 0) size = given;
      if (turn == 2) size -= one_piece;
      got.reset();
      auto source = [&given, size]() -> body_source {
        given = 0;
        return [&given, size](std::span<std::byte> room) -> task<std::size_t> {
          const std::size_t n = given == size ? 0 : std::min(room.size(), one_piece);
          std::memset(room.data(), 'x', n);
          given += n;
          co_return n;
        };
      };
      client c;
      auto r = to(s.at());
      r.body(request_body::streamed(source, size));
      auto answer = co_await c.send(r);
      EXPECT_EQ(answer.status(), 413);
      const auto text = co_await answer.text();
      EXPECT_EQ(text, "much");
      const bool kept = c.statistics().idle != 0;
      co_await c.close();
      co_await eventually([&] { return got.has_value(); });
      EXPECT_TRUE(!kept || got == size) << *got << " of " << size;
    }
  });
}

TEST_P(http_uploads_on, p34_a_reset_does_not_hide_the_answer) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nmuch");
    co_await p.stream.shutdown_write();
    // Closed with bytes unread: the kernel sends a reset.
  };
  with_server(script, [](server& s) -> task<> {
    for (int i = 0; i < 20; ++i) {
      client c;
      auto r = to(s.at(), "POST");
      r.body(std::string(4'000'000, 'x'));
      auto answer = co_await c.send(r);
      EXPECT_EQ(answer.status(), 413);
      const auto text = co_await answer.text();
      EXPECT_EQ(text, "much");
    }
  });
}

TEST_P(http_uploads_on, p34_a_server_that_is_content_early_gets_the_rest) {
  std::size_t got = 0;
  auto script = [&](peer& p) -> task<> {
    (void)co_await p.request();
    co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    const auto body = co_await p.body();
    got = body.size();
    co_await p.say("thanks");
  };
  with_server(script, [&](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body(request_body::streamed([] { return many(5'000'000); }));
    auto answer = co_await c.send(r);
    const auto text = co_await answer.text();
    EXPECT_EQ(text, "thank");
    EXPECT_EQ(got, 5'000'000u);
  });
}

TEST_P(http_uploads_on, p34_a_server_that_talks_before_it_listens_is_not_stuck) {
  static constexpr std::size_t size = 900'000;
  std::size_t got = 0;
  auto script = [&](peer& p) -> task<> {
    const int small = 16 * 1024;
    ::setsockopt(p.stream.fd(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
    while (true) {
      const bool more = co_await p.request();
      if (!more) break;
      co_await p.say("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
      co_await p.say(std::string(size, 'y'));
      const auto body = co_await p.body();
      got += body.size();
    }
  };
  with_server(script, [&](server& s) -> task<> {
    client c;
    auto r = to(s.at());
    r.body(request_body::streamed([] { return many(9'000'000); }));
    for (const bool reads : {true, false}) {
      auto answer = co_await c.send(r);
      if (reads) {
        const auto text = co_await answer.text();
        EXPECT_EQ(text.size(), size);
      }
    }
    co_await eventually([&] { return got == 18'000'000u; });
  });
}

TEST_P(http_uploads_on, p34_a_connection_that_breaks_while_sending_is_an_error_with_its_phase) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    p.reset();
  };
  with_server(script, [](server& s) -> task<> {
    client c;
    std::size_t given = 0;
    auto r = to(s.at());
    r.body(endless(given));
    const auto f = co_await failure_of(c.send(r));
    EXPECT_EQ(f.kind, "reset");
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_uploads_on, p26_a_server_that_does_not_read_runs_into_the_time_for_a_piece) {
  auto script = [](peer& p) -> task<> {
    (void)co_await p.request();
    co_await sleep_for(5s);
  };
  with_server(script, [](server& s) -> task<> {
    http::phase_timeouts t;
    t.write = 80ms;
    client c{client_options{}.timeouts(t)};
    std::size_t given = 0;
    auto r = to(s.at());
    r.body(endless(given));
    const auto f = co_await failure_of(c.send(r));
    EXPECT_EQ(f.kind, "timeout");
    EXPECT_EQ(f.phase, "write");
  });
}

TEST_P(http_uploads_on, p26_a_slow_source_is_no_fault_of_the_server) {
  with_server(echo, [](server& s) -> task<> {
    http::phase_timeouts t;
    t.write = t.first_byte = t.stall = 60ms;
    client c{client_options{}.timeouts(t)};
    auto slow = [i = 0](std::span<std::byte> room) mutable -> task<std::size_t> {
      co_await sleep_for(80ms);
      room[0] = std::byte{'x'};
      co_return i++ < 2 ? 1u : 0u;
    };
    auto r = to(s.at());
    r.body(request_body::once(slow));
    const auto text = co_await answer_to(c, r);
    EXPECT_EQ(text, "PUT xx");
  });
}

// ---- 10: redirects and bodies ----

/// Sends from "/<status>" to "/end", which tells what it got.
task<> moves(http_peer& p) {
  while (true) {
    const bool more = co_await p.request();
    if (!more) break;
    const auto got = co_await p.body();
    const std::string path = p.last_path();
    if (path == "/end") {
      co_await p.answer(p.last_method() + " " + got);
    } else {
      co_await p.redirect(std::stoi(path.substr(1)), "/end");
    }
  }
}

TEST_P(http_uploads_on, p10_307_and_308_send_the_body_again) {
  with_server(moves, [](server& s) -> task<> {
    client c;
    for (const char* path : {"/307", "/308"}) {
      auto bytes = to(s.at(path), "POST");
      bytes.body("hello", "text/plain");
      const auto text = co_await answer_to(c, bytes);
      EXPECT_EQ(text, "POST hello");
      EXPECT_NE(s.requests.back().find("Content-Type: text/plain"), std::string::npos);
      auto stream = to(s.at(path));
      stream.body(request_body::streamed([] { return pieces({"a", "b"}); }));
      const auto streamed = co_await answer_to(c, stream);
      EXPECT_EQ(streamed, "PUT ab");
    }
  });
}

TEST_P(http_uploads_on, p10_a_body_that_was_sent_once_cannot_follow) {
  with_server(moves, [](server& s) -> task<> {
    client c;
    auto r = to(s.at("/307"));
    r.body(request_body::once(pieces({"a"})));
    const auto f = co_await failure_of(c.send(r));
    EXPECT_EQ(f.kind, "redirect");
    EXPECT_EQ(f.text, "redirect from " + s.at("/307") + " to " + s.at("/end") +
                          " asks for the body again, and it could be sent only once");
    auto get = to(s.at("/303"));
    get.body(request_body::once(pieces({"a"})));
    const auto text = co_await answer_to(c, get);
    EXPECT_EQ(text, "GET ");
  });
}

TEST_P(http_uploads_on, p10_what_becomes_a_get_loses_body_and_content_fields) {
  with_server(moves, [](server& s) -> task<> {
    client c;
    for (const char* path : {"/301", "/302", "/303"}) {
      auto r = to(s.at(path), "POST");
      r.body("hello", "text/plain");
      r.fields().add("Content-Language", "de");
      r.fields().add("Content-Encoding", "x");
      r.fields().add("X-Kept", "yes");
      const auto text = co_await answer_to(c, r);
      EXPECT_EQ(text, "GET ");
      EXPECT_EQ(s.requests.back().find("Content-"), std::string::npos) << s.requests.back();
      EXPECT_NE(s.requests.back().find("X-Kept: yes"), std::string::npos);
    }
    auto put = to(s.at("/302"));
    put.body("hello");
    const auto kept = co_await answer_to(c, put);
    EXPECT_EQ(kept, "PUT hello");
  });
}

// ---- 21: kept connections that are dead ----

/// The first connection answers one request and dies at the second.
task<> dies_once(http_peer& p) {
  while (true) {
    const bool more = co_await p.request();
    if (!more) break;
    if (p.number == 1 && p.last_path() != "/first") {
      p.reset();
      break;
    }
    const auto got = co_await p.body();
    co_await p.answer(got);
  }
}

TEST_P(http_uploads_on, p21_a_body_that_can_be_made_again_is_sent_again) {
  for (const std::size_t size : {std::size_t{5}, std::size_t{300'000}}) {
    with_server(dies_once, [&](server& s) -> task<> {
      client c;
      (void)co_await fetch(c, s.at("/first"));
      auto r = to(s.at("/x"));
      r.body(request_body::streamed([&] { return many(size); }));
      const auto text = co_await answer_to(c, r);
      EXPECT_EQ(text.size(), size);
      EXPECT_EQ(c.statistics().retried, 1u);
    });
  }
}

TEST_P(http_uploads_on, p21_what_must_not_or_cannot_be_sent_twice_is_an_error) {
  with_server(dies_once, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at("/first"));
    auto r = to(s.at("/x"), "POST");
    r.body("hello");
    const auto f = co_await failure_of(c.send(r));
    EXPECT_EQ(f.kind, "reset");
    EXPECT_EQ(c.statistics().retried, 0u);
  });
  with_server(dies_once, [](server& s) -> task<> {
    client c;
    (void)co_await fetch(c, s.at("/first"));
    auto r = to(s.at("/x"));
    r.body(request_body::once(many(5)));
    const auto f = co_await failure_of(c.send(r));
    EXPECT_EQ(f.kind, "reset");
    EXPECT_EQ(c.statistics().retried, 0u);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
