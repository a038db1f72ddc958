#include "oneloop/net/unix.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "oneloop/loop/socket_kernel.hpp"

namespace oneloop::inline v0::net {
namespace {

/// Removes the file of a listener. A simulated socket has none.
void remove_file(int fd, const char* path) noexcept {
  if (!sys::simulated(fd)) (void)::unlink(path);
}

/// A socket file on which nobody listens.
bool is_stale(const raw_address& a) noexcept {
  const int fd = detail::open_socket(AF_UNIX, SOCK_STREAM);
  if (fd < 0) return false;
  const bool refused = sys::connect(fd, a.data(), a.size()) != 0 && errno == ECONNREFUSED;
  sys::close(fd);
  return refused;
}

}  // namespace

std::pair<unix_stream, unix_stream> unix_stream::pair() {
  int fds[2];
  if (sys::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
    throw error{"socketpair", {}, system_code(errno)};
  }
  unix_stream second;  // so that one that throws leaks nothing
  try {
    second = unix_stream{descriptor::adopt(fds[1]), unix_address{}};
  } catch (...) {
    sys::close(fds[0]);
    throw;
  }
  return {unix_stream{descriptor::adopt(fds[0]), unix_address{}}, std::move(second)};
}

unix_stream unix_stream::adopt(int fd) {
  descriptor d = descriptor::adopt(fd);
  if (!d.is_open()) detail::fail("adopt", "unix stream", -EINVAL);
  const raw_address peer = raw_address::peer_of(fd);
  const int n = make_nonblocking(fd);
  if (n < 0) detail::fail("adopt", "unix stream", n);
  if (peer.family() != AF_UNIX) detail::fail("adopt", "unix stream", -ENOTCONN);
  return unix_stream{std::move(d), peer.to_unix()};
}

unix_address unix_stream::local_address() const noexcept {
  return raw_address::local_of(fd()).to_unix();
}

unix_address unix_stream::peer_address() const noexcept {
  return raw_address::peer_of(fd()).to_unix();
}

int unix_stream::open(int family, bool) noexcept {
  return detail::open_socket(family, SOCK_STREAM);
}

unix_listener::unix_listener(const unix_address& at, bool replace, int backlog) {
  const raw_address address{at};
  int n = detail::open_socket(AF_UNIX, SOCK_STREAM);
  if (n >= 0) {
    const int fd = n;
    descriptor d = descriptor::adopt(fd);
    n = sys::bind(fd, address.data(), address.size()) == 0 ? 0 : -errno;
    if (n == -EADDRINUSE && replace && !at.is_abstract() && is_stale(address)) {
      remove_file(fd, std::string{at.name()}.c_str());
      n = sys::bind(fd, address.data(), address.size()) == 0 ? 0 : -errno;
    }
    if (n >= 0 && sys::listen(fd, backlog) != 0) {
      n = -errno;
      if (!at.is_abstract()) remove_file(fd, std::string{at.name()}.c_str());
    }
    if (n >= 0) {
      descriptor_ = std::move(d);
      local_ = raw_address::local_of(fd).to_unix();
    }
  }
  if (n < 0) detail::fail("listen", at.to_string(), n);
}

void unix_listener::close() noexcept {
  if (!descriptor_.is_open()) return;
  if (!local_.is_abstract() && !local_.is_unnamed()) {
    char path[unix_address::max_size + 1] = {};
    local_.name().copy(path, unix_address::max_size);
    remove_file(fd(), path);
  }
  descriptor_.close();
}

}  // namespace oneloop::inline v0::net
