// TCP: streams, listeners, and connecting to an endpoint or to a name.
//
//     net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 8080}};
//     net::tcp_stream peer = co_await l.accept();
//     std::array<std::byte, 4096> b;
//     while (true) {
//       const auto n = co_await peer.read_some(b);
//       if (n == 0) break;
//       co_await peer.write_all(std::span{b}.first(n));
//     }
//
// Nagle's delay is off (TCP_NODELAY) unless switched on. connect() to a name is in connect.hpp.
// Errors, cancellation, threads: socket.hpp.
#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/net/socket.hpp"

namespace oneloop::inline v0::net {

/// A TCP connection. Moves; closes at the end of its life.
class ONELOOP_API tcp_stream : public socket_stream<endpoint> {
 public:
  using socket_stream::socket_stream;

  /// Takes over a connected socket, and makes it non-blocking. Throws error if it is none.
  [[nodiscard]] static tcp_stream adopt(int fd);

  /// Whether small writes go out at once (on unless said otherwise).
  void set_nodelay(bool on);
  /// Whether the kernel probes an idle peer, to find out that it has vanished: by Linux's defaults
  /// after two hours, and then 9 times every 75 s. Reads and writes of a connection whose peer
  /// does not answer fail with ETIMEDOUT.
  void set_keepalive(bool on);
  /// The same after `idle`, and then `probes` times every `interval`: 1 to 32767 s, and 1 to 127
  /// times. Throws error for other values.
  void set_keepalive(std::chrono::seconds idle, std::chrono::seconds interval, int probes);
  [[nodiscard]] endpoint local_endpoint() const noexcept;
  [[nodiscard]] const endpoint& peer_endpoint() const noexcept { return object_; }

  // ---- for connect_operation and accept_operation ----
  static int open(int family, bool nodelay) noexcept;
  static int check_connected(int fd, const endpoint& to) noexcept;
  static tcp_stream accepted(descriptor d, const raw_address& peer, const endpoint&) noexcept {
    return tcp_stream{std::move(d), peer.to_endpoint()};
  }
};

/// How to listen. Setters chain.
class listen_options {
 public:
  /// Bind also while connections of an earlier server linger (on unless said otherwise).
  listen_options& reuse_address(bool on) noexcept {
    reuse_address_ = on;
    return *this;
  }
  /// Several listeners on one endpoint share its connections: one a loop.
  listen_options& reuse_port(bool on = true) noexcept {
    reuse_port_ = on;
    return *this;
  }
  /// [::] takes IPv6 only, so that 0.0.0.0 can be bound beside it.
  listen_options& v6_only(bool on = true) noexcept {
    v6_only_ = on;
    return *this;
  }
  /// How many connections the kernel queues (it cuts the number at net.core.somaxconn).
  listen_options& backlog(int n) noexcept {
    backlog_ = n;
    return *this;
  }

 private:
  friend class tcp_listener;
  bool reuse_address_ = true;
  bool reuse_port_ = false;
  bool v6_only_ = false;
  int backlog_ = 4096;
};

/// Listens from construction on. Port 0: the kernel chooses; local_endpoint() tells.
class ONELOOP_API tcp_listener : public socket_listener<tcp_stream> {
 public:
  tcp_listener() noexcept = default;
  /// Throws error: "listen 127.0.0.1:80: Permission denied".
  explicit tcp_listener(const endpoint& at, const listen_options& options = {});

  [[nodiscard]] const endpoint& local_endpoint() const noexcept { return local_; }
  /// Ends accepts that wait, with errc::closed. Idempotent.
  void close() noexcept { descriptor_.close(); }
};

/// Connects to an endpoint: "connect 127.0.0.1:81: Connection refused". A leaf operation.
[[nodiscard]] inline connect_operation<tcp_stream> connect(const endpoint& to,
                                                           bool nodelay = true) noexcept {
  return connect_operation<tcp_stream>{to, nodelay};
}
/// The same over a socket that was opened before: tcp_stream::open.
[[nodiscard]] inline connect_operation<tcp_stream> connect(const endpoint& to,
                                                           descriptor socket) noexcept {
  return connect_operation<tcp_stream>{to, std::move(socket)};
}

}  // namespace oneloop::inline v0::net
