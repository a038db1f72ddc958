// What the tests of the HTTP server share: a server beside a test's own code, and raw exchanges
// with it. Not installed.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <utility>

#include "oneloop/http/server.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/tcp.hpp"

namespace oneloop::inline v0::test {

inline const net::endpoint any_port{net::ip_address::loopback_v4(), 0};
inline const std::string host = "Host: test\r\n";

inline std::size_t descriptors_in_use() {
  const std::filesystem::directory_iterator all{"/proc/self/fd"};
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// Runs `body(listener)` beside a server.
template <class Body>
task<> beside_server(http::server& s, Body& body, http::server::stream_step prepare = {}) {
  net::tcp_listener l{any_port};
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      auto serving = s.serve(l, prepare);
      co_await std::move(serving);
    });
    auto running = body(l);
    co_await std::move(running);
    n.cancel();
  });
}

/// Sends `text` on a new connection, ends its direction, and gives all that comes back.
inline task<std::string> exchange(net::tcp_listener& l, std::string text, bool end = true) {
  auto s = co_await net::connect(l.local_endpoint());
  (void)co_await s.write_all(net::bytes_of(text));
  if (end) co_await s.shutdown_write();
  std::string reply;
  try {
    reply = co_await read_all(s);
  } catch (const error& e) {
    reply = std::string{"error: "} + e.what();
  }
  co_return reply;
}

/// Reads until what came ends with `end`.
template <class Stream>
task<std::string> read_until(Stream& s, std::string end) {
  std::string all;
  while (!all.ends_with(end)) {
    auto reading = read_text(s);
    const auto piece = co_await std::move(reading);
    if (piece.empty()) break;
    all += piece;
  }
  co_return all;
}

/// What a server with this handler and these options replies to `text`.
inline std::string reply_to(http::request_handler handler, const std::string& backend,
                            const std::string& text, http::server_options options = {},
                            bool end = true, http::server_statistics* statistics = nullptr) {
  std::string reply;
  auto program = [&]() -> task<> {
    http::server s{handler, options};
    auto body = [&](net::tcp_listener& l) -> task<> {
      auto exchanging = exchange(l, text, end);
      reply = co_await std::move(exchanging);
    };
    co_await fail_after(20s, beside_server(s, body));
    if (statistics != nullptr) *statistics = s.statistics();
  };
  run(program(), backend);
  return reply;
}

}  // namespace oneloop::inline v0::test
