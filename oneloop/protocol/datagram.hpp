// Protocols for datagrams, over UDP.
//
//     struct ping : datagram_protocol {
//       void datagram_received(bytes data, const net::endpoint& from) override {
//         transport().write(data, from);
//       }
//     };
//     auto port = listen_udp(net::endpoint{net::ip_address::any_v4(), 7},
//     std::make_shared<ping>());
//
// *Ownership*: the port is a child of the nursery that the code is in the body of, or else of the
// loop's root nursery; it keeps the protocol. *Threads*: one loop. *Errors*: an exception that
// leaves datagram_received is logged, and the next datagram comes. *Cost*: nothing is allocated for
// a datagram.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/net/udp.hpp"

namespace oneloop::inline v0 {

/// A socket that a protocol listens on. A handle; dropping it changes nothing. After the end,
/// writes are ignored.
class ONELOOP_API datagram_port {
 public:
  /// Sends one datagram now. False if the kernel has no room for it: it is dropped, as the network
  /// may do as well. Throws error ("send 127.0.0.1:53: Message too long").
  // NOLINTNEXTLINE(modernize-use-nodiscard): few care
  bool write(std::span<const std::byte> data, const net::endpoint& to) const;
  bool write(std::string_view text, const net::endpoint& to) const {
    return write(std::as_bytes(std::span{text}), to);
  }
  /// To whom it is connected.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  bool write(std::span<const std::byte> data) const;
  bool write(std::string_view text) const { return write(std::as_bytes(std::span{text})); }
  /// From now on only datagrams from `to` are received, and the protocol hears of refusals.
  void connect(const net::endpoint& to) const;

  [[nodiscard]] const net::endpoint& get_host() const noexcept;
  /// Ends it; gives after stop_protocol.
  // NOLINTNEXTLINE(modernize-use-nodiscard)
  deferred<> stop_listening() const;

  // ---- for listen_udp ----
  struct state;
  datagram_port() noexcept = default;
  explicit datagram_port(std::shared_ptr<state> s) noexcept : state_{std::move(s)} {}

 private:
  std::shared_ptr<state> state_;
};

class ONELOOP_API datagram_protocol {
 public:
  using bytes = std::span<const std::byte>;

  datagram_protocol() = default;
  datagram_protocol(const datagram_protocol&) = delete;
  datagram_protocol& operator=(const datagram_protocol&) = delete;
  virtual ~datagram_protocol();

  /// Before the first datagram.
  virtual void start_protocol() {}
  /// After the last, exactly once.
  virtual void stop_protocol() {}
  /// `data` is valid until it returns; it may be empty.
  virtual void datagram_received(bytes data, const net::endpoint& from) = 0;
  /// Nobody listens where it is connected to.
  virtual void connection_refused() {}

  [[nodiscard]] const datagram_port& transport() const noexcept { return transport_; }

 private:
  friend struct datagram_port::state;
  datagram_port transport_;
};

/// Throws what net::udp_socket throws, and loop_not_running outside every loop.
ONELOOP_API datagram_port listen_udp(const net::endpoint& at, std::shared_ptr<datagram_protocol> p,
                                     const net::udp_options& options = {});

}  // namespace oneloop::inline v0
