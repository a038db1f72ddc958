// Protocols and factories, as Twisted's: a class with a callback for each thing that can happen to
// a connection, and a maker of such objects for a port that listens.
//
//     struct echo : protocol {
//       void data_received(bytes data) override { transport().write(data); }
//     };
//     // on a loop:
//     auto port = listen_tcp(net::endpoint{net::ip_address::any_v4(), 1234}, factory_of<echo>());
//
// For each connection: `connection_made`, any number of `data_received`, then `connection_lost`:
// exactly once, whatever happens (the peer, a failure, lose_connection, the cancellation of the
// nursery, the end of the loop), and never from within another callback of the same protocol. An
// exception that leaves a callback is logged and aborts the connection; it is the reason then.
//
// *Ownership*: a port and its connections are children of the nursery that the code is in the body
// of, or else of the loop's root nursery; so they are dumped, cancelled and waited for like
// everything else. Handles own nothing. A protocol is kept until connection_lost has returned, and
// longer by those who hold its shared_ptr. *Threads*: one loop; from elsewhere, wrong_thread.
// Callbacks run on the loop's own stack: they may start things (defer, nurseries), never wait.
// *Cancellation* ends a connection at once; the reason is `cancelled`.
// *Cost*: a connection is one object of about 750 bytes and the protocol; reading allocates nothing
// (the bytes are in a buffer that belongs to the loop), and neither does a write that the socket
// takes at once. An idle connection has no buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/deferred/failure.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/protocol/transport.hpp"

namespace oneloop::inline v0 {

class connection;
class connector;
class factory;

/// One side of one connection. Derive, and override what matters.
class ONELOOP_API protocol {
 public:
  /// Received bytes are valid until the callback returns.
  using bytes = std::span<const std::byte>;

  protocol() noexcept;
  protocol(const protocol&) = delete;
  protocol& operator=(const protocol&) = delete;
  virtual ~protocol();

  virtual void connection_made() {}
  /// What has come; never empty.
  virtual void data_received(bytes) {}
  /// `reason`: connection_done, connection_aborted, an error of the socket or of TLS, `cancelled`,
  /// or whatever a callback threw. The transport still knows its addresses.
  virtual void connection_lost(failure) {}

  /// The peer has ended its direction. Calls drop_connection unless overridden; then ours goes on
  /// until lose_connection.
  virtual void read_connection_lost();
  /// lose_write_connection is done.
  virtual void write_connection_lost() {}
  /// TLS has been agreed on.
  virtual void handshake_completed() {}

  /// One that does nothing, before connection_made and after connection_lost.
  [[nodiscard]] oneloop::transport& transport() const noexcept { return *transport_; }
  /// Who built it, from connection_made to connection_lost: `made_by<chat_factory>()`.
  template <class Factory = factory>
  [[nodiscard]] Factory& made_by() const noexcept {
    return static_cast<Factory&>(*factory_);
  }

  /// Who shall be its made_by, in place of the factory that the port knows.
  void set_factory(factory& f) noexcept { factory_ = &f; }

  /// Begins, as a transport does it: for tests with a transport of their own, and for protocols
  /// that hold others. Calls connection_made.
  void make_connection(oneloop::transport& t, factory* by = nullptr);
  /// The end of that, after connection_lost.
  void leave_connection() noexcept;

 protected:
  /// After connection_lost, for mixins: the transport has gone.
  virtual void detached() noexcept {}

 private:
  oneloop::transport* transport_;
  factory* factory_ = nullptr;
};

/// Makes protocols, for a port or a connector. Shared: hold it by shared_ptr.
class ONELOOP_API factory {
 public:
  factory() noexcept = default;
  factory(const factory&) = delete;
  factory& operator=(const factory&) = delete;
  virtual ~factory();

  /// For a new connection with `peer`; null: close it.
  virtual std::shared_ptr<protocol> build_protocol(const socket_address& peer) = 0;
  /// Before the first of its ports listens (its connectors connect), and after the last has ended.
  virtual void start_factory() {}
  virtual void stop_factory() {}
  /// After the connection_lost of each protocol that it has built.
  virtual void connection_ended(protocol& /*p*/, const socket_address& /*peer*/) {}

  // ---- for ports and connectors ----
  void do_start();
  void do_stop() noexcept;

 private:
  std::size_t users_ = 0;
};

/// One for connections that we make: see client.hpp. It may serve as well.
class ONELOOP_API client_factory : public factory {
 public:
  virtual void started_connecting(connector&) {}
  /// No connection came about. `connector::connect` tries again. Logged unless overridden.
  virtual void client_connection_failed(connector& c, failure reason);
  /// After connection_lost and connection_ended. `connector::connect` connects again.
  virtual void client_connection_lost(connector&, failure) {}
};

/// A factory for a type of protocol, which is made of copies of `args` each time. It is a `Base`:
/// `factory_of<news, reconnecting_client_factory>()`.
template <class P, class Base = client_factory, class... Args>
[[nodiscard]] std::shared_ptr<Base> factory_of(Args... args) {
  class maker final : public Base {
   public:
    explicit maker(Args&&... a) : args_{std::move(a)...} {}
    std::shared_ptr<protocol> build_protocol(const socket_address&) override {
      return std::apply([](const Args&... a) { return std::make_shared<P>(a...); }, args_);
    }

   private:
    std::tuple<Args...> args_;
  };
  return std::make_shared<maker>(std::move(args)...);
}

/// A port that listens. A handle; dropping it changes nothing.
class ONELOOP_API listening_port {
 public:
  /// Ends listening; the connections go on. Gives when it has ended. From its loop.
  deferred<> stop_listening();
  /// When it has ended, by whatever means; with the error that ended it, if there was one.
  [[nodiscard]] deferred<> closed();
  /// Where it listens: with port 0 asked for, the port that the kernel chose.
  [[nodiscard]] const socket_address& get_host() const noexcept;
  [[nodiscard]] std::uint16_t port() const noexcept { return get_host().port(); }

  // ---- for listen_* ----
  struct state;
  explicit listening_port(std::shared_ptr<state> s) noexcept : state_{std::move(s)} {}

 private:
  std::shared_ptr<state> state_;
};

/// Listens from now on, until stop_listening or the end of the nursery. Throws what
/// net::tcp_listener throws ("listen 127.0.0.1:80: Permission denied"), and loop_not_running
/// outside every loop. When descriptors run out, accepting pauses.
ONELOOP_API listening_port listen_tcp(const net::endpoint& at, std::shared_ptr<factory> f,
                                      const net::listen_options& options = {});
/// On all IPv4 addresses of this machine.
ONELOOP_API listening_port listen_tcp(std::uint16_t port, std::shared_ptr<factory> f);
/// The same over a listener that exists.
ONELOOP_API listening_port listen(net::tcp_listener l, std::shared_ptr<factory> f);
ONELOOP_API listening_port listen(net::unix_listener l, std::shared_ptr<factory> f);
/// On a Unix socket. `replace`: see net::unix_listener.
ONELOOP_API listening_port listen_unix(const net::unix_address& at, std::shared_ptr<factory> f,
                                       bool replace = false);
/// Over TLS: connection_made comes before the handshake, what is written waits for it.
ONELOOP_API listening_port listen_tls(const net::endpoint& at, std::shared_ptr<factory> f,
                                      const net::tls_context& context,
                                      const net::listen_options& options = {});

}  // namespace oneloop::inline v0
