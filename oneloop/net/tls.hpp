// TLS over any stream: client and server.
//
//     auto context = net::tls_context::client();                        // make one, keep it
//     auto tcp = co_await net::connect("example.org", 443);
//     auto s = co_await net::connect_tls(std::move(tcp), context, "example.org");
//     co_await s.write_all(net::bytes_of("GET / HTTP/1.0\r\n\r\n"));
//     ... s.read_some(buffer) ...                                       // 0 after the peer's
//     goodbye co_await s.shutdown();
//
// A tls_stream is a byte_stream. What matters beyond that:
//   - A stream that ends without the peer's goodbye (close_notify) is an error,
//   tls_errc::truncated:
//     somebody may have cut it.
//   - A write is done when all of it has been encrypted and sent. If it is cancelled after some of
//   it
//     has been encrypted, that part counts as written: it is sent before whatever comes next.
//   - A failure of the stream below while sending poisons this one: every later write fails in the
//     same way. Reading goes on.
//   - A read may have to send something (the answer to a key update, an alert). It never waits for
//   a
//     writer to do so.
//   - One reader and one writer at a time. The stream must not move while they are at work.
//
// Errors: tls_error ("tls example.org: certificate has expired ...", tls_engine.hpp), and those of
// the stream below. Cancellation: of reads and handshakes at any time; a stream whose handshake was
// cancelled is of no use. Threads: tasks, on one loop.
// Memory: a read that waits holds no buffer if the stream below has `readable()`.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/net/borrowed_buffer.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::net {

template <byte_stream Stream>
class tls_stream {
 public:
  /// Without a handshake: connect_tls and accept_tls are simpler.
  tls_stream(Stream s, tls_engine e)
      : stream_{std::move(s)}, engine_{std::move(e)}, out_{std::make_unique<outgoing>()} {}

  /// Until both sides agree. Reads and writes before that would fail.
  [[nodiscard]] task<> handshake() {
    while (true) {
      std::exception_ptr failure;
      tls_state state{};
      try {
        state = engine_.handshake();
      } catch (const error&) {
        failure = std::current_exception();
      }
      // An alert is good manners, the other messages are needed.
      if (failure) {
        co_await send_beside();
        std::rethrow_exception(failure);
      }
      co_await send_quietly();
      if (state == tls_state::done) break;
      const bool more = co_await receive();
      if (!more && out_->failure) std::rethrow_exception(out_->failure);
    }
    if (out_->failure) std::rethrow_exception(out_->failure);
  }

  /// At least one byte; 0 after the peer's goodbye (or if `to` is empty).
  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to) {
    context::current().checkpoint();
    if (to.empty()) co_return std::size_t{0};
    if (closed_) throw closed_error{"read " + name()};
    if (peeked_) {
      to[0] = *std::exchange(peeked_, std::nullopt);
      co_return std::size_t{1};
    }
    while (true) {
      std::exception_ptr failure;
      tls_engine::read_result got{};
      try {
        got = engine_.read(to);
      } catch (const error&) {
        failure = std::current_exception();
      }
      if (got.size != 0) co_return got.size;
      co_await send_beside();
      if (failure) std::rethrow_exception(failure);
      if (got.state == tls_state::closed) co_return std::size_t{0};
      (void)co_await receive();
    }
  }

  [[nodiscard]] task<std::size_t> write_all(std::span<const std::byte> from) {
    context::current().checkpoint();
    std::size_t accepted = 0;
    try {
      while (accepted < from.size()) {
        // What has been accepted is the result: no checkpoint may throw it away.
        if (accepted != 0 && context::current().scope().cancelled()) break;
        auto turn = co_await out_->turn.lock();
        if (out_->failure) std::rethrow_exception(out_->failure);
        accepted += engine_.write(from.subspan(accepted));
        co_await send();
      }
    } catch (const cancelled&) {
      if (accepted == 0) throw;
    }
    co_return accepted;
  }

  /// Says goodbye; the peer reads the end of the stream, we may go on reading.
  [[nodiscard]] task<> shutdown_write() {
    auto turn = co_await out_->turn.lock();
    if (out_->failure) std::rethrow_exception(out_->failure);
    if (!std::exchange(said_goodbye_, true)) (void)engine_.shutdown();
    co_await send();
  }
  /// Says goodbye and closes, without waiting for the peer's.
  [[nodiscard]] task<> shutdown() {
    co_await shutdown_write();
    close();
  }
  /// Closes the stream below, without a goodbye: the peer sees a truncated stream.
  void close() noexcept {
    closed_ = true;  // what has been decrypted and not read is gone too
    stream_.close();
  }

  /// Nothing has arrived and the peer is there, as far as can be seen now. Takes what is no data
  /// (session tickets) in. Not while a read waits.
  [[nodiscard]] bool quiet() {
    if (peeked_ || out_->failure) return false;
    try {
      std::byte b{};
      const std::optional<std::size_t> n = try_read_some({&b, 1});
      if (n && *n != 0) peeked_ = b;
      return !n;
    } catch (const error&) {
      return false;
    }
  }

  /// What is there now, without waiting: nothing if there is none, 0 after the peer's goodbye.
  [[nodiscard]] std::optional<std::size_t> try_read_some(std::span<std::byte> to) {
    if (closed_) throw closed_error{"read " + name()};
    if (peeked_ && !to.empty()) {
      to[0] = *std::exchange(peeked_, std::nullopt);
      return 1;
    }
    while (true) {
      const auto got = engine_.read(to);
      if (got.size != 0) return got.size;
      if (got.state == tls_state::closed) return 0;
      if constexpr (requires { stream_.try_read_some(to); }) {
        std::vector<std::byte> buffer(4096);
        const std::optional<std::size_t> n = stream_.try_read_some(buffer);
        if (!n) return {};
        if (*n == 0) engine_.input_ended();
        engine_.input(std::span{buffer}.first(*n));
      } else {
        // Whatever has come below cannot be looked at without waiting.
        if (is_quiet(stream_)) return {};
        throw error{"read", name(), system_code(EAGAIN)};
      }
    }
  }

  /// Until ciphertext has come, if the stream below can tell. What was received before is not
  /// counted: ask quiet().
  [[nodiscard]] readiness_operation readable()
    requires requires(Stream& s) {
      { s.readable() } -> std::same_as<readiness_operation>;
    }
  {
    return stream_.readable();
  }

  [[nodiscard]] std::string name() const { return name_of(stream_); }
  /// What was agreed on, and the rest that the session knows.
  [[nodiscard]] const tls_engine& session() const noexcept { return engine_; }
  /// The protocol agreed on ("h2"); empty if none.
  [[nodiscard]] std::string_view alpn() const noexcept { return engine_.alpn(); }
  /// The stream below: not for reading or writing.
  [[nodiscard]] Stream& lower() noexcept { return stream_; }

 private:
  static constexpr std::size_t read_size = 32 * 1024;

  /// Ciphertext on its way. Who sends has the turn.
  struct outgoing {
    mutex turn;
    std::vector<std::byte> bytes;
    std::size_t sent = 0;
    std::exception_ptr failure;
  };

  [[nodiscard]] bool has_output() const noexcept {
    return out_->sent != out_->bytes.size() || !engine_.output().empty();
  }

  /// Sends all that there is, also what comes meanwhile. With the turn. A cancelled one keeps the
  /// rest for the next.
  task<> send() {
    while (has_output()) {
      if (out_->sent == out_->bytes.size()) {
        // A copy: what the engine shows is valid until the reader's next step only.
        const auto fresh = engine_.output();
        out_->bytes.assign(fresh.begin(), fresh.end());
        out_->sent = 0;
        engine_.consume_output(fresh.size());
      }
      // Not by a checkpoint: write_all makes a result of it.
      if (context::current().scope().cancelled()) throw cancelled{};
      try {
        auto sending = stream_.write_all(std::span{out_->bytes}.subspan(out_->sent));
        out_->sent += co_await std::move(sending);
      } catch (const cancelled&) {
        throw;
      } catch (...) {
        out_->failure = std::current_exception();
        throw;
      }
    }
    out_->bytes = {};
    out_->sent = 0;
  }

  /// As `send`; a failure is kept: what the peer has said before may tell more.
  task<> send_quietly() {
    if (!has_output() || out_->failure) co_return;
    auto turn = co_await out_->turn.lock();
    try {
      co_await send();
    } catch (const error&) {  // in out_->failure
    }
  }

  /// The reader's way to send: not while a writer does it anyway, and not for ever; a failure is
  /// the writers' to hear of.
  task<> send_beside() {
    if (!has_output() || out_->failure) co_return;
    auto turn = out_->turn.try_lock();
    if (!turn) co_return;
    try {
      (void)co_await move_on_after(std::chrono::seconds{1}, send());
    } catch (const error&) {  // kept in out_->failure
    }
  }

  /// Ciphertext from the peer; false at the end.
  task<bool> receive() {
    // TLS over TLS would wait for what has been received and not yet decrypted.
    constexpr bool tells = requires { stream_.readable(); } && !requires { stream_.session(); };
    if constexpr (tells) co_await stream_.readable();
    const borrowed_buffer buffer;
    auto reading = stream_.read_some(buffer.first(read_size));
    const std::size_t n = co_await std::move(reading);
    if (n == 0) {
      engine_.input_ended();
    } else {
      engine_.input(buffer.first(n));
    }
    co_return n != 0;
  }

  Stream stream_;
  tls_engine engine_;
  std::unique_ptr<outgoing> out_;
  bool said_goodbye_ = false;
  bool closed_ = false;
  std::optional<std::byte> peeked_;
};

/// The client's side: takes `stream` over and shakes hands with `host`, whose certificate must be
/// for that name or address. `port` tells remembered sessions apart.
template <byte_stream Stream>
[[nodiscard]] task<tls_stream<Stream>> connect_tls(Stream stream, tls_context with,
                                                   std::string host, std::uint16_t port = 443) {
  tls_stream<Stream> s{std::move(stream), tls_engine{with, host, port}};
  co_await s.handshake();
  co_return std::move(s);
}

/// The server's side.
template <byte_stream Stream>
[[nodiscard]] task<tls_stream<Stream>> accept_tls(Stream stream, tls_context with) {
  tls_stream<Stream> s{std::move(stream), tls_engine{with}};
  co_await s.handshake();
  co_return std::move(s);
}

}  // namespace oneloop::inline v0::net
