// A small HTTP/1.1 server (RFC 9110, 9112) over any listener: TCP, Unix sockets, and TLS
// (server_tls.hpp); keep-alive, pipelining in order, HEAD, chunked bodies both ways, limits and
// timeouts on everything that a peer can make it wait for.
//
//     task<http::server_response> hello(http::server_request& request) {
//       co_return http::server_response{}.body("hello " + std::string{request.path()} + "\n");
//     }
//     net::tcp_listener at{net::endpoint{net::ip_address::loopback_v4(), 8080}};
//     co_await http::serve(at, hello);
//
// What the server does by itself: Date, Content-Length or Transfer-Encoding, Connection, the body
// of a HEAD left out, 100 Continue when the body is wanted. It refuses what it will not hand to the
// handler, and then closes: 400 what is not HTTP, 408 what comes too slowly, 413 a large body, 414
// a long target, 431 large fields, 417 an unknown expectation, 501 CONNECT and transfer codings but
// chunked, 505 other versions. 500 when a handler throws; the connection goes on.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/net/socket.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http {

/// Limits and patience of a server. Setters chain.
class server_options {
 public:
  /// Bytes of a request's start line and header fields; of the trailers, alike (64 KiB).
  server_options& max_head(std::size_t bytes) noexcept {
    max_head_ = bytes;
    return *this;
  }
  /// Bytes of a request's target (8 KiB).
  server_options& max_target(std::size_t bytes) noexcept {
    max_target_ = bytes;
    return *this;
  }
  /// Header fields of a request (256).
  server_options& max_fields(std::size_t n) noexcept {
    max_fields_ = n;
    return *this;
  }
  /// Bytes of a request's body, whole or read piece by piece (1 MiB).
  server_options& max_body(std::size_t bytes) noexcept {
    max_body_ = bytes;
    return *this;
  }
  /// Requests over one connection, the last of which is told "Connection: close" (no limit).
  server_options& max_requests(std::uint64_t n) noexcept {
    max_requests_ = n;
    return *this;
  }
  /// Connections at a time, idle ones too; further ones wait in the kernel's queue (65,536; at
  /// least 1). A server that is full notices that its listener is closed when a connection has
  /// ended.
  server_options& max_connections(std::size_t n) noexcept {
    max_connections_ = n == 0 ? 1 : n;
    return *this;
  }
  /// Handlers are called as soon as the head is there, and read the body themselves
  /// (server_request::read_some, read_body); what they leave is thrown away. Otherwise they get it
  /// whole.
  server_options& stream_bodies(bool on = true) noexcept {
    stream_bodies_ = on;
    return *this;
  }
  /// From the first byte of a request to the end of its head; a TLS handshake, alike (10 s).
  server_options& head_timeout(duration d) noexcept {
    head_timeout_ = d;
    return *this;
  }
  /// How long the server waits for a body, all its waits together (60 s); each `body_rate` bytes
  /// that come add a second.
  server_options& body_timeout(duration d) noexcept {
    body_timeout_ = d;
    return *this;
  }
  /// Bytes a second (64 KiB).
  server_options& body_rate(std::size_t bytes) noexcept {
    body_rate_ = std::max<std::size_t>(bytes, 1);
    return *this;
  }
  /// How long it waits for the next piece of a body (15 s).
  server_options& stall_timeout(duration d) noexcept {
    stall_timeout_ = d;
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
  friend class server_conversation;
  std::size_t max_head_ = std::size_t{64} * 1024;
  std::size_t max_target_ = std::size_t{8} * 1024;
  std::size_t max_fields_ = 256;
  std::size_t max_body_ = std::size_t{1024} * 1024;
  std::uint64_t max_requests_ = std::numeric_limits<std::uint64_t>::max();
  std::size_t max_connections_ = 65'536;
  duration head_timeout_ = std::chrono::seconds{10};
  duration body_timeout_ = std::chrono::seconds{60};
  std::size_t body_rate_ = std::size_t{64} * 1024;
  duration stall_timeout_ = std::chrono::seconds{15};
  duration idle_timeout_ = std::chrono::seconds{60};
  duration write_timeout_ = std::chrono::seconds{30};
  duration stop_timeout_ = std::chrono::seconds{5};
  bool stream_bodies_ = false;
};

class server_conversation;
class server_connection;

/// A request. Lives until its response has been sent. One reader of the body at a time.
class ONELOOP_API server_request {
 public:
  /// Complete, for calling a handler in a test.
  explicit server_request(request_head head, std::string body = {}, std::string peer = {})
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
  /// The whole body, without its framing; with stream_bodies, what read_body has read.
  [[nodiscard]] std::string& body() noexcept { return body_; }
  /// At least one byte of the body into the front of `to`, 0 at its end: a handler that reads
  /// slowly slows the sender. Errors: of the connection, and of what is too slow, too large or no
  /// HTTP; one that leaves the handler becomes the answer that the server gives by itself.
  /// Cancellation: loses nothing.
  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to);
  /// The rest of the body, in body(). Errors: as read_some.
  [[nodiscard]] task<std::string&> read_body();
  /// The fields after a chunked body, once it has been read.
  [[nodiscard]] const headers& trailers() const noexcept;
  /// Who asks: "127.0.0.1:50312".
  [[nodiscard]] std::string peer() const;

 private:
  friend class server_conversation;
  server_request(request_head head, server_conversation& from)
      : head_{std::move(head)}, from_{&from} {}
  request_head head_;
  std::string body_;
  std::size_t taken_ = 0;  // of body_, by read_some
  std::string peer_;
  server_conversation* from_ = nullptr;
};

/// Where a streamed body goes.
class ONELOOP_API body_writer {
 public:
  explicit body_writer(server_conversation& to) noexcept : to_{to} {}
  /// Sends a piece; when it returns, the connection has taken it, so a slow peer slows the writer.
  /// `bytes` stays until then. Cancellation: the connection ends, the peer sees a cut body. Errors:
  /// those of the connection, timeout_error; misuse beyond the length that was promised.
  [[nodiscard]] task<> write(std::string_view bytes);

 private:
  server_conversation& to_;
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
  /// A body that is made while it is sent: with the `length` that was promised, else chunked, or up
  /// to the end of the connection for an HTTP/1.0 peer. `source` runs after the head has gone, not
  /// for a HEAD; what it throws cuts the connection.
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
  /// How long the streamed body is. A source that gives less or more cuts the connection, so that
  /// the peer does not take a part for the whole.
  server_response& length(std::uint64_t bytes) & noexcept {
    length_ = bytes;
    return *this;
  }
  server_response&& length(std::uint64_t bytes) && noexcept { return std::move(length(bytes)); }
  /// Ends the connection after this response.
  server_response& close() & noexcept {
    close_ = true;
    return *this;
  }
  server_response&& close() && noexcept { return std::move(close()); }

  [[nodiscard]] int status() const noexcept { return head_.status; }

 private:
  friend class server_conversation;
  response_head head_;
  std::string body_;
  std::string type_;
  body_source source_;
  std::optional<std::uint64_t> length_;
  bool close_ = false;
};

/// Answers one request. Called for many connections at a time, on the server's loop; the request
/// stays until the task has ended. A peer that leaves meanwhile is noticed when the body is read or
/// the response written, not before.
using request_handler = std::function<task<server_response>(server_request&)>;

/// What server::statistics reports.
struct server_statistics {
  std::size_t connections = 0;  // open now
  std::size_t idle = 0;         // of them, those that wait for a request
  std::uint64_t accepted = 0;   // connections, since the beginning
  std::uint64_t requests = 0;   // given to the handler
  std::uint64_t refused = 0;    // answered with an error by the server itself
  std::uint64_t failed = 0;     // connections that ended by an error
};

/// The server behind `serve`: one handler for any number of listeners.
///
/// Threads: one loop; make a server for each loop (listen_options::reuse_port).
/// Cancellation of serve: no new connections, idle ones are closed, requests under way are finished
/// (at most stop_timeout long) and answered with "Connection: close"; then `cancelled`. Closing the
/// listener does the same, and then serve returns. Errors: serve throws what accept throws, but for
/// EMFILE and its kin, on which it pauses. Errors of one connection end that connection.
/// Cost: an idle connection is no party and has no buffer: it is some 480 bytes (TLS: 12 to 17 KiB,
/// OpenSSL's own). While a request is under way it is a party with about 12 KiB; of what a peer has
/// pipelined at most 8 KiB are read ahead.
class ONELOOP_API server {
 public:
  using stream_step = std::function<task<net::any_stream>(net::any_stream)>;

  explicit server(request_handler handler, server_options options = {});
  ~server();
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
      n.start(named{"accept", accept_all<Listener>}, std::ref(listener), std::ref(g));
      auto keeping = g.keep();
      co_await std::move(keeping);
    });
  }
  /// Serves one connection until it ends, in the calling party.
  [[nodiscard]] task<> serve_stream(net::any_stream stream);

  [[nodiscard]] server_statistics statistics() const noexcept { return statistics_; }

 private:
  friend class server_connection;
  friend class server_conversation;

  /// The connections of one listener. The busy ones are children of a nursery that only `stop`
  /// reaches; the idle ones are in the order in which they will have been idle for too long.
  struct ONELOOP_API group {
    group(server& s, stream_step p);
    ~group();
    group(const group&) = delete;
    group& operator=(const group&) = delete;
    /// Holds the nursery until all have ended after `stop`.
    task<> keep();
    void admit(net::any_stream stream, semaphore_permit slot);
    /// No further request; one that is under way has `stop_timeout` left.
    void stop() noexcept;

    // ---- for connections ----
    void start(std::unique_ptr<server_connection> c);
    void rest(std::unique_ptr<server_connection> c);
    void left_idle() noexcept;

    server& owner;
    stream_step prepare;
    loop& home;
    nursery* busy_nursery = nullptr;
    event all_left;  // nobody is idle, and nobody will be
    intrusive_list<server_connection> idle, busy;
    struct timer final : timer_node {
      explicit timer(group& g) noexcept;
      group& owner;
    } idle_timer{*this};
    bool stopping = false;
  };

  template <class Listener>
  static task<> accept_all(std::reference_wrapper<Listener> listener,
                           std::reference_wrapper<group> g) {
    const struct stopper {
      group& stopped;
      ~stopper() { stopped.stop(); }
    } at_end{g.get()};
    server& s = g.get().owner;
    while (true) {
      auto slot = co_await s.slots_.permit();
      net::any_stream peer;
      try {
        auto accepted = co_await listener.get().accept();
        peer = net::any_stream{std::move(accepted)};
      } catch (const error& e) {
        if (e.code() == errc::closed) break;
        if (!net::detail::accept_may_go_on(e)) throw;
      }
      if (peer) {
        g.get().admit(std::move(peer), std::move(slot));
      } else {
        co_await sleep_for(std::chrono::milliseconds{50});
      }
    }
  }
  static task<> converse(std::unique_ptr<server_connection> c);

  /// What a conversation needs only while it lasts; kept for the next one.
  struct workspace;
  std::unique_ptr<workspace> borrow();
  void give_back(std::unique_ptr<workspace> w);

  request_handler handler_;
  server_options options_;
  semaphore slots_;
  server_statistics statistics_;
  std::vector<std::unique_ptr<workspace>> workspaces_;
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
