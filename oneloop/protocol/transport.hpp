// Transports: what a protocol speaks through. And producers: what a transport can hold back.
//
//     transport().write("hello\r\n");                  // copies; never waits
//     transport().write_sequence({"a", "b"});
//     log(transport().get_peer().to_string());
//     transport().lose_connection();                   // when all of it has been sent
//
// *Writing* tries the socket at once if nothing waits before it, and keeps a copy of what the
// socket does not take. A callback's second and later writes go out together when it has returned.
// Writes after the connection has been lost are ignored.
// *Flow control*: what waits is bounded by producers, which are told to pause and to go on, as far
// as there are any. Beyond `write_limit` bytes a write throws errc::limit_exceeded (and so ends the
// connection, unless the caller catches it).
// *Threads*: the loop that the connection lives on; other threads get wrong_thread: let
// `loop::post` carry the call. *Lifetime*: `transport()` may be called for as long as the protocol
// lives; after connection_lost it is one that does nothing. A reference that was kept from before
// is valid until the protocol's connection_lost has returned.
#pragma once

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/net/address.hpp"

namespace oneloop::inline v0 {

namespace net {
class tls_context;
}
class transport;

/// The reason of a connection that ended as it should: the peer, or lose_connection, has closed it.
class ONELOOP_API connection_done : public error {
 public:
  explicit connection_done(std::string_view peer);
};
/// The reason after abort_connection. Its code is std::errc::connection_aborted.
class ONELOOP_API connection_aborted : public error {
 public:
  explicit connection_aborted(std::string_view peer);
};

/// Where a connection goes: a TCP endpoint or a Unix address.
class ONELOOP_API socket_address {
 public:
  socket_address() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): an endpoint is one
  socket_address(const net::endpoint& e) noexcept : endpoint_{e} {}
  // NOLINTNEXTLINE(google-explicit-constructor): a Unix address is one
  socket_address(const net::unix_address& u)
      : unix_{std::make_shared<const net::unix_address>(u)} {}

  /// 0.0.0.0:0 for a Unix address.
  [[nodiscard]] const net::endpoint& endpoint() const noexcept { return endpoint_; }
  [[nodiscard]] const net::ip_address& host() const noexcept { return endpoint_.address(); }
  [[nodiscard]] std::uint16_t port() const noexcept { return endpoint_.port(); }
  /// Null for an endpoint.
  [[nodiscard]] const net::unix_address* if_unix() const noexcept { return unix_.get(); }
  [[nodiscard]] std::string to_string() const {
    return unix_ ? unix_->to_string() : endpoint_.to_string();
  }
  friend bool operator==(const socket_address& a, const socket_address& b) noexcept {
    if (a.unix_ && b.unix_) return *a.unix_ == *b.unix_;
    return !a.unix_ && !b.unix_ && a.endpoint_ == b.endpoint_;
  }

 private:
  net::endpoint endpoint_;
  std::shared_ptr<const net::unix_address> unix_;
};

/// Something that writes to a transport and can be told when. One that dies unregisters itself.
class ONELOOP_API producer {
 public:
  producer() noexcept = default;
  producer(const producer&) = delete;
  producer& operator=(const producer&) = delete;
  virtual ~producer();

  /// The transport holds enough. Asked of streaming producers only.
  virtual void pause_producing() {}
  /// A streaming producer goes on; any other writes its next piece, or unregisters.
  virtual void resume_producing() = 0;
  /// Nobody wants it any more: the connection was lost. It is not registered any more.
  virtual void stop_producing() = 0;

 private:
  friend class transport;
  transport* consumer_ = nullptr;
};

/// The interface; connections implement it, and so may tests. Every transport is a producer of what
/// it receives: `b.register_producer(a, true)` lets a slow b hold a back.
class ONELOOP_API transport : public producer {
 public:
  transport() noexcept = default;
  ~transport() override;

  // ---- writing ----

  virtual void write(std::span<const std::byte> data) = 0;
  void write(std::string_view text) { write(std::as_bytes(std::span{text})); }
  /// All pieces, in one go.
  virtual void write_sequence(std::span<const std::span<const std::byte>> pieces);
  void write_sequence(std::initializer_list<std::string_view> pieces);
  /// Bytes that wait to be sent.
  [[nodiscard]] virtual std::size_t buffered() const noexcept { return 0; }
  /// A write throws errc::limit_exceeded if more than this waits already (64 MiB).
  virtual void set_write_limit(std::size_t) {}
  /// A streaming producer is paused when more than `high` bytes (64 KiB) wait, and resumed when
  /// `low` (16 KiB) or fewer do.
  virtual void set_write_watermarks(std::size_t /*high*/, std::size_t /*low*/) {}

  // ---- ending ----

  /// Ends the connection when all that was written has been sent and the producer, if there is one,
  /// has unregistered. Nothing is received any more.
  virtual void lose_connection() = 0;
  /// The same, but the producer is stopped, not waited for.
  virtual void drop_connection() { lose_connection(); }
  /// Ends it now, with a reset; what waits to be sent is thrown away.
  virtual void abort_connection() = 0;
  /// Ends our direction when all that was written has been sent; then the protocol's
  /// write_connection_lost is called. Later writes are ignored, reading goes on.
  virtual void lose_write_connection() { lose_connection(); }
  /// From before connection_made until connection_lost.
  [[nodiscard]] virtual bool connected() const noexcept { return false; }
  /// It is going to end, by one of the above or by a failure: nothing is received any more.
  [[nodiscard]] virtual bool disconnecting() const noexcept { return !connected(); }

  // ---- addresses, options ----

  [[nodiscard]] virtual socket_address get_peer() const { return {}; }
  [[nodiscard]] virtual socket_address get_host() const { return {}; }
  /// Whether small writes go out at once (they do, unless switched off). Nothing on Unix sockets.
  virtual void set_tcp_no_delay(bool) {}
  /// Whether the kernel probes an idle peer.
  virtual void set_tcp_keep_alive(bool) {}
  /// From here on everything is TLS: what is written later, and what the peer sends in answer. As
  /// the client of `host` if that is not empty, else as the server. Writes wait for the handshake;
  /// the protocol's handshake_completed tells of its end, a failure ends the connection. What is
  /// received in plain text behind the peer's last plain message must be thrown away: a line
  /// receiver's clear_line_buffer. Throws misuse if it is TLS already.
  virtual void start_tls(const net::tls_context& context, std::string_view host = {});

  // ---- flow control ----

  /// What is received waits in the kernel, and so holds the peer back. The end of the connection is
  /// not noticed meanwhile.
  void pause_producing() override {}
  void resume_producing() override {}
  void stop_producing() override { lose_connection(); }
  /// A streaming producer (push) writes when it likes, between resume_producing and
  /// pause_producing. Any other (pull) writes one piece for each resume_producing; the first call
  /// comes from within this one. Throws misuse if one is registered already.
  virtual void register_producer(producer& p, bool streaming);
  /// It has written all that it had.
  virtual void unregister_producer() {}

  /// Calls `f` as if it was a callback of the protocol: what it throws ends the connection, what it
  /// starts belongs to the connection's nursery. Not at all after connection_lost.
  virtual void call(std::function<void()> f) { f(); }

 protected:
  static void bind(producer& p, transport* to) noexcept { p.consumer_ = to; }
};

}  // namespace oneloop::inline v0
