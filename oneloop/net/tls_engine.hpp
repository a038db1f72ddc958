// A TLS session without any I/O: plain bytes on one side, ciphertext on the other, and the caller
// carries the ciphertext. What TLS streams over TCP, pipes or memory are built from.
//
//     oneloop::net::tls_context ctx = oneloop::net::tls_context::client();
//     oneloop::net::tls_engine tls{ctx, "example.org", 443};
//     while (tls.handshake() == oneloop::net::tls_state::want_input) {
//       send(tls.output()), tls.consume_output(tls.output().size());
//       tls.input(receive());
//     }
//
// After every call, also after one that throws, output() may hold bytes for the peer (an alert, the
// answer to a key update): send them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::net {

/// What went wrong with TLS, for programs.
enum class tls_errc {
  certificate = 1,  // the peer's certificate was not accepted
  alert,            // the peer refused, and said why
  protocol,         // the peer does not speak TLS, or breaks it
  truncated,        // the stream ended without the peer's goodbye (close_notify)
  setup,            // a certificate, key or option of our own cannot be used
};

ONELOOP_API const std::error_category& tls_category() noexcept;
ONELOOP_API std::error_code make_error_code(tls_errc e) noexcept;

/// A failure of TLS: "tls example.org: certificate has expired (on 2020-01-31)".
class ONELOOP_API tls_error : public error {
 public:
  using error::error;
};

enum class tls_version : std::uint8_t { tls1_2, tls1_3 };

/// How a client makes sessions. All texts are PEM.
struct ONELOOP_API tls_client_options {
  tls_client_options();
  ~tls_client_options();
  tls_client_options(const tls_client_options&);
  tls_client_options& operator=(const tls_client_options&);

  /// Check the peer's certificate: its chain, its dates, and that it is for the host asked for.
  bool verify = true;
  /// Certificates to trust, from a file or as text. If there are any, the system's are trusted only
  /// with `system_cas`.
  std::string ca_file;
  std::string ca;
  bool system_cas = false;
  /// Our own certificate (with its chain) and key, for servers that ask for one.
  std::string certificate_file, key_file;
  std::string certificate, key;
  /// Protocols to offer, the best first: "h2", "http/1.1".
  std::vector<std::string> alpn;
  tls_version min_version = tls_version::tls1_2;
  /// Remember sessions, so that the next handshake with the same host and port is shorter.
  bool resume = true;
};

/// How a server makes sessions.
struct ONELOOP_API tls_server_options {
  tls_server_options();
  ~tls_server_options();
  tls_server_options(const tls_server_options&);
  tls_server_options& operator=(const tls_server_options&);

  /// The certificate (with its chain) and its key: as files or as PEM text. Needed.
  std::string certificate_file, key_file;
  std::string certificate, key;
  /// Whom a client's certificate must come from: PEM, a file or text. If there is one, a client
  /// without such a certificate is refused.
  std::string client_ca_file, client_ca;
  /// Protocols to accept, the best first. A client that offers others only is refused.
  std::vector<std::string> alpn;
  tls_version min_version = tls_version::tls1_2;
};

/// Settings, keys, trusted certificates and remembered sessions, shared by many engines. A handle:
/// copies are the same context. May be used from several threads at a time.
///
/// Cost: making a client context that trusts the system's certificates reads all of them (10 ms or
/// so): make one and keep it. It remembers at most 1,024 sessions.
class ONELOOP_API tls_context {
 public:
  /// Errors: tls_error (tls_errc::setup) that names the file or the option.
  static tls_context client(const tls_client_options& options = {});
  static tls_context server(const tls_server_options& options);

  /// Sessions remembered for resumption, at the moment.
  [[nodiscard]] std::size_t remembered_sessions() const;

 private:
  friend class tls_engine;
  struct impl;
  explicit tls_context(std::shared_ptr<impl> i) noexcept : impl_{std::move(i)} {}
  std::shared_ptr<impl> impl_;
};

/// What a step of an engine came to.
enum class tls_state : std::uint8_t {
  done,        // the step is finished
  want_input,  // it needs more ciphertext from the peer
  closed,      // the peer has said goodbye: no more data will come
};

/// One TLS session. One thread at a time.
///
/// read() and write() come after the handshake: misuse before it is done.
/// Bounds: write() stops accepting while max_output bytes of ciphertext wait to be sent. Received
/// ciphertext is kept until it is read: read until want_input before receiving more.
/// Errors: tls_error; afterwards every step throws the same again, but output() still works.
/// Memory: an idle session holds no buffers; what OpenSSL keeps is some 15 KiB on a server's side,
/// and 20 on a client's, which knows its peer's certificates.
class ONELOOP_API tls_engine {
 public:
  static constexpr std::size_t max_output = 256 * 1024;

  /// The client's side of a session with `host`: its name (sent as SNI, and checked against the
  /// certificate) or its IP address (checked only). `port` tells remembered sessions apart.
  /// Errors: misuse if `host` is empty or holds a NUL, or if `context` is a server's.
  tls_engine(const tls_context& context, std::string_view host, std::uint16_t port);
  /// The server's side of a session. Errors: misuse if `context` is a client's.
  explicit tls_engine(const tls_context& context);
  ~tls_engine();
  tls_engine(tls_engine&&) noexcept;
  tls_engine& operator=(tls_engine&&) noexcept;

  /// Goes on with the handshake: done or want_input. Errors besides TLS's own: the peer's
  /// certificate (tls_errc::certificate).
  tls_state handshake();

  struct read_result {
    std::size_t size;
    tls_state state;  // done if size is not 0
  };
  /// Decrypts into `to`, as much as there is. `closed` after the peer's close_notify, and only
  /// then: a stream that just stops is an error (tls_errc::truncated).
  read_result read(std::span<std::byte> to);

  /// Encrypts; how many bytes were accepted: fewer than given while output() is long.
  std::size_t write(std::span<const std::byte> from);

  /// Says goodbye (close_notify; nothing before the handshake is done); nothing can be written
  /// afterwards. `closed` if the peer has said
  /// it too, else want_input: waiting for that is up to the caller.
  tls_state shutdown();

  /// Ciphertext for the peer. Valid until the next call of any other member.
  [[nodiscard]] std::span<const std::byte> output() const noexcept;
  /// The first `size` bytes of output() have been sent.
  void consume_output(std::size_t size) noexcept;
  /// Ciphertext from the peer; all of it is taken.
  void input(std::span<const std::byte> from);
  /// The transport has ended: no more ciphertext will come.
  void input_ended() noexcept;

  [[nodiscard]] bool handshake_done() const noexcept;
  /// The protocol that was agreed on; empty if none.
  [[nodiscard]] std::string_view alpn() const noexcept;
  /// "TLSv1.3", and the name of the cipher.
  [[nodiscard]] std::string_view version() const noexcept;
  [[nodiscard]] std::string_view cipher() const noexcept;
  /// The session goes on from a remembered one.
  [[nodiscard]] bool resumed() const noexcept;
  /// The host name that the client asked for (server's side); empty if none.
  [[nodiscard]] std::string_view server_name() const noexcept;
  /// Without verification: what would have been wrong with the peer's certificate.
  [[nodiscard]] std::optional<std::string> certificate_problem() const;

 private:
  friend class tls_context;
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace oneloop::inline v0::net

template <>
struct std::is_error_code_enum<oneloop::net::tls_errc> : std::true_type {};
