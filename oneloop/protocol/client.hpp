// Connecting with a protocol: connectors, one connection by a deferred, and a factory that
// reconnects.
//
//     auto c = connect_tcp("example.org", 79, factory_of<finger>());
//     connect_protocol("example.org", 79, std::make_shared<finger>())
//         .add_callback([](std::shared_ptr<finger> p) { p->ask("me"); });
//     connect_tcp("example.org", 79, factory_of<news, reconnecting_client_factory>());
//
// A connection is started in the nursery that the code is in the body of, or else in the loop's
// root nursery; inside a callback of a factory or protocol that is the nursery of its connection.
// *Threads*: one loop. *Cancellation* of an attempt fails with `cancelled`. *Errors*: all go to
// the factory (or down the deferred); the functions themselves throw loop_not_running, and misuse
// for a TLS context of the wrong kind.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/protocol/protocol.hpp"

namespace oneloop::inline v0 {

struct dialling;

/// Where a client factory connects to, and how far it has come. Shared: a factory that wants to use
/// one later keeps its shared_from_this().
class ONELOOP_API connector : public std::enable_shared_from_this<connector> {
 public:
  enum class phase : std::uint8_t { disconnected, connecting, connected };

  /// Starts an attempt. Throws misuse unless it is disconnected.
  void connect();
  /// Gives the attempt up: it fails with `cancelled`. Throws misuse if there is none.
  void stop_connecting();
  /// Ends the connection (as lose_connection) or the attempt, whichever there is.
  void disconnect();
  [[nodiscard]] phase state() const noexcept { return phase_; }
  /// "example.org:79".
  [[nodiscard]] const std::string& destination() const noexcept;

  // ---- for connect_* ----
  connector(dialling how, std::shared_ptr<client_factory> f);
  connector(const connector&) = delete;
  connector& operator=(const connector&) = delete;
  ~connector();

 private:
  friend class connection;
  void failed(failure reason);
  void lost(failure reason);
  struct settling;
  void settle() noexcept;

  std::unique_ptr<dialling> how_;
  std::shared_ptr<client_factory> factory_;
  phase phase_ = phase::disconnected;
  bool started_ = false;  // the factory has been told
  std::optional<deferred<>> attempt_;
  transport* transport_ = nullptr;
};

inline constexpr duration connect_timeout = std::chrono::seconds{30};

/// `host`: a name, or an address without brackets. An attempt that takes longer than `timeout`
/// fails with timeout_error; zero: no limit.
ONELOOP_API std::shared_ptr<connector> connect_tcp(std::string host, std::uint16_t port,
                                                   std::shared_ptr<client_factory> f,
                                                   duration timeout = connect_timeout);
ONELOOP_API std::shared_ptr<connector> connect_unix(const net::unix_address& to,
                                                    std::shared_ptr<client_factory> f,
                                                    duration timeout = connect_timeout);
/// connection_made comes before the handshake; a handshake that fails ends the connection.
ONELOOP_API std::shared_ptr<connector> connect_tls(std::string host, std::uint16_t port,
                                                   std::shared_ptr<client_factory> f,
                                                   const net::tls_context& context,
                                                   duration timeout = connect_timeout);

namespace detail {
ONELOOP_API deferred<> begin_tcp(std::string host, std::uint16_t port, std::shared_ptr<protocol> p,
                                 const net::tls_context* tls, duration timeout);
ONELOOP_API deferred<> begin_unix(const net::unix_address& to, std::shared_ptr<protocol> p,
                                  duration timeout);
}  // namespace detail

/// One connection for one protocol, without a factory: gives it after its connection_made. Cancel
/// the deferred to give up.
template <class P>
deferred<std::shared_ptr<P>> connect_protocol(std::string host, std::uint16_t port,
                                              std::shared_ptr<P> p,
                                              duration timeout = connect_timeout) {
  return detail::begin_tcp(std::move(host), port, p, nullptr, timeout).add_callback([p] {
    return p;
  });
}
/// The same over TLS.
template <class P>
deferred<std::shared_ptr<P>> connect_protocol(std::string host, std::uint16_t port,
                                              std::shared_ptr<P> p, const net::tls_context& tls,
                                              duration timeout = connect_timeout) {
  return detail::begin_tcp(std::move(host), port, p, &tls, timeout).add_callback([p] { return p; });
}
template <class P>
deferred<std::shared_ptr<P>> connect_protocol(const net::unix_address& to, std::shared_ptr<P> p,
                                              duration timeout = connect_timeout) {
  return detail::begin_unix(to, p, timeout).add_callback([p] { return p; });
}

/// Over a stream that is connected: calls connection_made before it returns.
ONELOOP_API void start_protocol(net::tcp_stream s, std::shared_ptr<protocol> p);
ONELOOP_API void start_protocol(net::unix_stream s, std::shared_ptr<protocol> p);

/// Connects again after a failure and after each connection, later each time: the delays grow by
/// `factor` up to `max_delay`, and each is off by a random part of itself, so that the clients of a
/// server that comes back do not all come at once. Call `reset_delay` when a connection was of use.
///
/// The random numbers are the loop's: the same in every run on a virtual loop.
class ONELOOP_API reconnecting_client_factory : public client_factory {
 public:
  /// The first delay is this times `factor` (1 s).
  void set_initial_delay(duration d) noexcept { initial_ = delay_ = d; }
  /// (An hour.)
  void set_max_delay(duration d) noexcept { max_ = d; }
  /// (e.)
  void set_factor(double f) noexcept { factor_ = f; }
  /// The standard deviation of a delay, as a part of it (0.12; 0: none).
  void set_jitter(double j) noexcept { jitter_ = j; }
  /// As many attempts in a row after the first failure (no limit).
  void set_max_retries(std::optional<unsigned> n) noexcept { max_retries_ = n; }

  /// As at the beginning: the next delay is short again.
  void reset_delay() noexcept;
  /// Ends the delay or attempt that is under way; no more are made.
  void stop_trying();
  /// Allows them again; `retry` begins.
  void continue_trying() noexcept { trying_ = true; }
  /// Connects after the next delay, unless that is not wanted any more. The two callbacks below
  /// call it.
  void retry(connector& c);
  [[nodiscard]] unsigned retries() const noexcept { return retries_; }

  /// Overridden ones call these. After a cancellation nothing is tried again.
  void client_connection_failed(connector& c, failure reason) override;
  void client_connection_lost(connector& c, failure reason) override;

 private:
  duration initial_ = std::chrono::seconds{1};
  duration max_ = std::chrono::hours{1};
  duration delay_ = initial_;
  double factor_ = 2.718281828459045;
  double jitter_ = 0.11962656472;
  std::optional<unsigned> max_retries_;
  unsigned retries_ = 0;
  bool trying_ = true;
  std::optional<deferred<>> waiting_;
  std::weak_ptr<connector> connector_;
};

}  // namespace oneloop::inline v0
