// A small HTTP/1.1 server over any listener: TCP, Unix sockets, and TLS (server_tls.hpp);
// keep-alive, pipelining in order, HEAD, chunked bodies both ways, limits and timeouts on
// everything that a peer can make it wait for.
//
//     task<http::server_response> hello(http::server_request& request) {
//       co_return http::server_response{}.body("hello " + std::string{request.path()} + "\n");
//     }
//     net::tcp_listener at{net::endpoint{net::ip_address::loopback_v4(), 8080}};
//     co_await http::serve(at, hello);
//
// What the server does by itself: Date, Content-Length or Transfer-Encoding, Connection, the body
// of a HEAD left out, 100 Continue; 400 for what is not HTTP, 408, 413, 431; 500 when a handler
// throws.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http {

/// Limits and patience of a server. Setters chain.
class server_options {
 public:
  /// Bytes of a request's start line and header fields (64 KiB).
  server_options& max_head(std::size_t bytes) noexcept {
    max_head_ = bytes;
    return *this;
  }
  /// Bytes of a request's body (1 MiB).
  server_options& max_body(std::size_t bytes) noexcept {
    max_body_ = bytes;
    return *this;
  }
  /// Connections at a time; further ones wait in the kernel's queue (10,000).
  server_options& max_connections(std::size_t n) noexcept {
    max_connections_ = n;
    return *this;
  }
  /// From the first byte of a request to the end of its head; a TLS handshake, alike (10 s).
  server_options& head_timeout(duration d) noexcept {
    head_timeout_ = d;
    return *this;
  }
  /// From the end of the head to the end of the body (60 s).
  server_options& body_timeout(duration d) noexcept {
    body_timeout_ = d;
    return *this;
  }
  /// How long a connection may wait for its next request (60 s).
  server_options& idle_timeout(duration d) noexcept {
    idle_timeout_ = d;
    return *this;
  }
  /// How long the peer may take to accept 64 KiB of a response (30 s).
  server_options& write_timeout(duration d) noexcept {
    write_timeout_ = d;
    return *this;
  }
  /// How long requests under way may still take when the server is told to stop (5 s).
  server_options& stop_timeout(duration d) noexcept {
    stop_timeout_ = d;
    return *this;
  }

 private:
  friend class server;
  friend class server_connection;
  std::size_t max_head_ = std::size_t{64} * 1024;
  std::size_t max_body_ = std::size_t{1024} * 1024;
  std::size_t max_connections_ = 10'000;
  duration head_timeout_ = std::chrono::seconds{10};
  duration body_timeout_ = std::chrono::seconds{60};
  duration idle_timeout_ = std::chrono::seconds{60};
  duration write_timeout_ = std::chrono::seconds{30};
  duration stop_timeout_ = std::chrono::seconds{5};
};

/// A request, complete with its body. Lives until its response has been sent.
class ONELOOP_API server_request {
 public:
  server_request(request_head head, std::string body, std::string peer)
      : head_{std::move(head)}, body_{std::move(body)}, peer_{std::move(peer)} {}

  [[nodiscard]] const std::string& method() const noexcept { return head_.method; }
  /// As it came: "/path?query", also a whole URL or "*".
  [[nodiscard]] const std::string& target() const noexcept { return head_.target; }
  /// The target up to "?".
  [[nodiscard]] std::string_view path() const noexcept;
  /// The target behind "?"; empty if there is none.
  [[nodiscard]] std::string_view query() const noexcept;
  [[nodiscard]] const headers& fields() const noexcept { return head_.fields; }
  [[nodiscard]] const request_head& head() const noexcept { return head_; }
  /// The whole body, without its framing.
  [[nodiscard]] std::string& body() noexcept { return body_; }
  /// Who asks: "127.0.0.1:50312".
  [[nodiscard]] const std::string& peer() const noexcept { return peer_; }

 private:
  request_head head_;
  std::string body_;
  std::string peer_;
};

class server_connection;

/// Where a streamed body goes.
class ONELOOP_API body_writer {
 public:
  explicit body_writer(server_connection& to) noexcept : to_{to} {}
  /// Sends a piece; when it returns, the connection has taken it, so a slow peer slows the writer.
  /// `bytes` stays until then. Cancellation: the connection ends, the peer sees a cut body. Errors:
  /// those of the connection, timeout_error. For a HEAD nothing is sent.
  [[nodiscard]] task<> write(std::string_view bytes);

 private:
  server_connection& to_;
};

/// What a handler gives back. Setters chain.
class ONELOOP_API server_response {
 public:
  using body_source = std::move_only_function<task<>(body_writer&)>;

  explicit server_response(int status = 200) noexcept : head_{status} {}

  /// An additional header field. Framing fields (Content-Length, Transfer-Encoding) are the
  /// server's own and are dropped. Errors: those of headers::add.
  server_response& field(std::string_view name, std::string_view value) & {
    head_.fields.add(name, value);
    return *this;
  }
  server_response&& field(std::string_view name, std::string_view value) && {
    return std::move(field(name, value));
  }
  /// In place of the usual reason phrase.
  server_response& reason(std::string text) & {
    head_.reason = std::move(text);
    return *this;
  }
  server_response&& reason(std::string text) && { return std::move(reason(std::move(text))); }
  /// The body. `type` becomes Content-Type unless there is one; empty: none.
  server_response& body(std::string bytes, std::string_view type = "text/plain; charset=utf-8") & {
    body_ = std::move(bytes);
    type_ = type;
    return *this;
  }
  server_response&& body(std::string bytes,
                         std::string_view type = "text/plain; charset=utf-8") && {
    return std::move(body(std::move(bytes), type));
  }
  /// A body that is made while it is sent: chunked, or up to the end of the connection for an
  /// HTTP/1.0 peer. `source` runs after the head has gone; what it throws cuts the connection.
  server_response& stream(body_source source,
                          std::string_view type = "text/plain; charset=utf-8") & {
    source_ = std::move(source);
    type_ = type;
    return *this;
  }
  server_response&& stream(body_source source,
                           std::string_view type = "text/plain; charset=utf-8") && {
    return std::move(stream(std::move(source), type));
  }
  /// Ends the connection after this response.
  server_response& close() & noexcept {
    close_ = true;
    return *this;
  }
  server_response&& close() && noexcept { return std::move(close()); }

  [[nodiscard]] int status() const noexcept { return head_.status; }

 private:
  friend class server_connection;
  response_head head_;
  std::string body_;
  std::string type_;
  body_source source_;
  bool close_ = false;
};

/// Answers one request. Called for many connections at a time, on the server's loop; the request
/// stays until the task has ended.
using request_handler = std::function<task<server_response>(server_request&)>;

/// What server::statistics reports.
struct server_statistics {
  std::size_t connections = 0;  // open now
  std::uint64_t accepted = 0;   // connections, since the beginning
  std::uint64_t requests = 0;   // complete ones
  std::uint64_t refused = 0;    // answered with an error by the server itself
  std::uint64_t failed = 0;     // connections that ended by an error
};

/// The server behind `serve`: one handler for any number of listeners.
///
/// Threads: one loop; make a server for each loop (listen_options::reuse_port).
/// Cancellation of serve: no new connections, idle ones are closed, requests under way are finished
/// (at most stop_timeout long); then `cancelled`. Closing the listener does the same, and then
/// serve returns. Errors: serve throws what accept throws, but for EMFILE and its kin, on which it
/// pauses. Errors of one connection end that connection. Cost: a connection is a party with about
/// 10 KiB while it is open.
class ONELOOP_API server {
 public:
  using stream_step = std::function<task<net::any_stream>(net::any_stream)>;

  explicit server(request_handler handler, server_options options = {});
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Until it is cancelled or `listener`, which stays that long, is closed.
  /// `prepare` turns an accepted connection into the stream to speak over (a TLS handshake); it
  /// runs in that connection's party, at most head_timeout long, and its failure ends that
  /// connection.
  template <class Listener>
  [[nodiscard]] task<> serve(Listener& listener, stream_step prepare = {}) {
    group g{*this, std::move(prepare)};
    co_await with_nursery([&](nursery& n) -> task<> {
      auto accepting = accept_all(n, listener, g);
      co_await std::move(accepting);
    });
  }
  /// Serves one connection until it ends, in the calling party.
  [[nodiscard]] task<> serve_stream(net::any_stream stream);

  [[nodiscard]] server_statistics statistics() const noexcept { return statistics_; }

 private:
  friend class server_connection;
  /// The connections of one listener.
  struct ONELOOP_API group {
    group(server& s, stream_step p) : owner{s}, prepare{std::move(p)} {}
    void stop() noexcept;
    server& owner;
    stream_step prepare;
    intrusive_list<server_connection> open;
    bool stopping = false;
  };

  template <class Listener>
  task<> accept_all(nursery& n, Listener& listener, group& g) {
    try {
      while (true) {
        auto slot = co_await slots_.permit();
        net::any_stream peer;
        try {
          auto accepted = co_await listener.accept();
          peer = net::any_stream{std::move(accepted)};
        } catch (const error& e) {
          if (e.code() == errc::closed) break;
          if (!passes(e)) throw;
        }
        if (peer) {
          n.start(named{"connection", converse}, std::ref(g), std::move(peer), std::move(slot));
        } else {
          co_await sleep_for(std::chrono::milliseconds{50});
        }
      }
    } catch (const cancelled&) {
      g.stop();
      throw;
    }
    g.stop();
  }
  static task<> converse(std::reference_wrapper<group> g, net::any_stream stream,
                         semaphore_permit slot);
  /// Whether an accept that failed like this may work later.
  static bool passes(const error& e) noexcept;

  request_handler handler_;
  server_options options_;
  semaphore slots_;
  server_statistics statistics_;
};

/// A server for one listener. Everything given by value lives as long as the task.
template <class Listener>
[[nodiscard]] task<> serve(Listener& listener, request_handler handler,
                           server_options options = {}) {
  server s{std::move(handler), options};
  auto serving = s.serve(listener);
  co_await std::move(serving);
}

}  // namespace oneloop::inline v0::http
