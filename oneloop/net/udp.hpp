// UDP: datagrams, to and from anybody or one peer.
//
//     net::udp_socket s{net::endpoint{net::ip_address::loopback_v4(), 0}};
//     co_await s.send_to(net::bytes_of("ping"), peer);
//     std::array<std::byte, 1500> b;
//     net::datagram d = co_await s.receive_from(b);
//     if (d.truncated()) log("only", d.size, "of", d.full_size, "bytes from", d.from.to_string());
//
// A datagram is sent and received whole or not at all; an empty one is a datagram too. Leaf
// operations, as in socket.hpp.
//
// Cancellation: settling; a datagram that was received after all is delivered. Threads: one sender
// and one receiver at a time, on any thread. Errors: "send 127.0.0.1:53: Message too long"; on a
// connected socket also those that the peer's machine reports, such as Connection refused.
// Cost: no allocation.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/raw_address.hpp"

namespace oneloop::inline v0::net {

/// What was received.
struct datagram {
  std::size_t size = 0;       // bytes in the buffer
  std::size_t full_size = 0;  // bytes that were sent
  endpoint from;
  /// The buffer was too small: the rest is gone.
  [[nodiscard]] bool truncated() const noexcept { return full_size > size; }
};

class udp_socket;

/// What send_to and send return: the size of the datagram.
class ONELOOP_API send_to_operation {
 public:
  send_to_operation(descriptor& d, std::span<const std::byte> from, const endpoint& to,
                    bool connected) noexcept
      : descriptor_{d}, data_{from}, to_{to}, connected_{connected} {}
  /// Before it is started.
  send_to_operation(send_to_operation&& o) noexcept
      : descriptor_{o.descriptor_}, data_{o.data_}, to_{o.to_}, connected_{o.connected_} {}

  bool await_ready() noexcept;
  bool await_suspend(waiter& w) { return call_->await_suspend(w); }
  std::size_t await_resume() const;

 private:
  descriptor& descriptor_;
  std::span<const std::byte> data_;
  endpoint to_;
  bool connected_;
  raw_address address_;
  iovec part_{};
  msghdr message_{};
  std::optional<io_operation> call_;
};

/// What receive_from and receive return.
class ONELOOP_API receive_from_operation {
 public:
  receive_from_operation(descriptor& d, std::span<std::byte> to, const endpoint& local) noexcept
      : descriptor_{d}, to_{to}, local_{local} {}
  /// Before it is started.
  receive_from_operation(receive_from_operation&& o) noexcept
      : descriptor_{o.descriptor_}, to_{o.to_}, local_{o.local_} {}

  bool await_ready() noexcept;
  bool await_suspend(waiter& w) { return call_->await_suspend(w); }
  datagram await_resume();

 private:
  descriptor& descriptor_;
  std::span<std::byte> to_;
  endpoint local_;
  raw_address address_;
  iovec part_{};
  msghdr message_{};
  std::optional<io_operation> call_;
};

/// How a UDP socket is bound. Setters chain.
class udp_options {
 public:
  udp_options& reuse_address(bool on = true) noexcept {
    reuse_address_ = on;
    return *this;
  }
  /// Several sockets on one endpoint share its datagrams: one a loop.
  udp_options& reuse_port(bool on = true) noexcept {
    reuse_port_ = on;
    return *this;
  }
  /// [::] takes IPv6 only.
  udp_options& v6_only(bool on = true) noexcept {
    v6_only_ = on;
    return *this;
  }
  /// May send to broadcast addresses.
  udp_options& broadcast(bool on = true) noexcept {
    broadcast_ = on;
    return *this;
  }

 private:
  friend class udp_socket;
  bool reuse_address_ = false;
  bool reuse_port_ = false;
  bool v6_only_ = false;
  bool broadcast_ = false;
};

/// Moves; closes at the end of its life. It must not move while an operation is under way.
class ONELOOP_API udp_socket {
 public:
  udp_socket() noexcept = default;
  /// Bound to `at`; port 0: the kernel chooses. Throws error: "bind 127.0.0.1:53: Permission
  /// denied".
  explicit udp_socket(const endpoint& at, const udp_options& options = {});
  /// Bound to any port and connected to `to`.
  [[nodiscard]] static udp_socket connected(const endpoint& to);

  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  [[nodiscard]] const endpoint& local_endpoint() const noexcept { return local_; }
  /// From now on `send` goes there, and only datagrams from there are received. Never waits. Throws
  /// error.
  void connect(const endpoint& to);

  [[nodiscard]] send_to_operation send_to(std::span<const std::byte> from,
                                          const endpoint& to) noexcept {
    return {descriptor_, from, to, false};
  }
  /// To the endpoint that it was connected to.
  [[nodiscard]] send_to_operation send(std::span<const std::byte> from) noexcept {
    return {descriptor_, from, peer_, true};
  }
  /// The next datagram, from anybody (or the peer, if connected).
  [[nodiscard]] receive_from_operation receive_from(std::span<std::byte> to) noexcept {
    return {descriptor_, to, local_};
  }
  [[nodiscard]] readiness_operation readable() noexcept { return io::readable(descriptor_); }
  [[nodiscard]] readiness_operation writable() noexcept { return io::writable(descriptor_); }

  /// Ends operations that wait, with errc::closed. Idempotent.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] int fd() const noexcept { return descriptor_.fd(); }

 private:
  descriptor descriptor_;
  endpoint local_;
  endpoint peer_;
};

}  // namespace oneloop::inline v0::net
