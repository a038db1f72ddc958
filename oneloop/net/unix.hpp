// Unix sockets: streams between processes of one machine.
//
//     net::unix_listener l{net::unix_address{"/run/app.sock"}};
//     net::unix_stream peer = co_await l.accept();
//     net::unix_stream mine = co_await net::connect(net::unix_address{"/run/app.sock"});
//     auto [a, b] = net::unix_stream::pair();
//
// Errors, cancellation, threads: socket.hpp.
#pragma once

#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/net/socket.hpp"

namespace oneloop::inline v0::net {

/// A connected Unix stream socket. Moves; closes at the end of its life.
class ONELOOP_API unix_stream : public socket_stream<unix_address> {
 public:
  using socket_stream::socket_stream;

  /// Two that are connected with each other. Throws error.
  [[nodiscard]] static std::pair<unix_stream, unix_stream> pair();
  /// Takes over a connected socket, and makes it non-blocking. Throws error if it is none.
  [[nodiscard]] static unix_stream adopt(int fd);

  [[nodiscard]] unix_address local_address() const noexcept;
  /// Unnamed, usually, on the accepting side.
  [[nodiscard]] unix_address peer_address() const noexcept;

  // ---- for connect_operation and accept_operation ----
  static int open(int family, bool) noexcept;
  static int check_connected(int, const unix_address&) noexcept { return 0; }
  static unix_stream accepted(descriptor d, const raw_address&,
                              const unix_address& local) noexcept {
    return unix_stream{std::move(d), local};
  }
};

/// Listens from construction on; removes its path from the file system when it closes.
class ONELOOP_API unix_listener : public socket_listener<unix_stream> {
 public:
  unix_listener() noexcept = default;
  /// Throws error ("listen /run/app.sock: Address already in use"). `replace`: a socket that an
  /// earlier process left at this path is removed first, if nobody listens on it any more.
  explicit unix_listener(const unix_address& at, bool replace = false, int backlog = 4096);
  unix_listener(unix_listener&& o) noexcept = default;
  unix_listener& operator=(unix_listener&& o) noexcept {
    if (this != &o) {
      close();
      socket_listener::operator=(std::move(o));
    }
    return *this;
  }
  ~unix_listener() { close(); }

  [[nodiscard]] const unix_address& local_address() const noexcept { return local_; }
  /// Ends accepts that wait, with errc::closed. Idempotent.
  void close() noexcept;
};

/// Connects: "connect /run/app.sock: No such file or directory". A leaf operation. A listener whose
/// queue is full refuses.
[[nodiscard]] inline connect_operation<unix_stream> connect(const unix_address& to) noexcept {
  return connect_operation<unix_stream>{to};
}

}  // namespace oneloop::inline v0::net
