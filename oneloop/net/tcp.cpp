#include "oneloop/net/tcp.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "oneloop/loop/socket_kernel.hpp"

namespace oneloop::inline v0::net {

int tcp_stream::open(int family, bool nodelay) noexcept {
  const int fd = detail::open_socket(family, SOCK_STREAM);
  if (fd >= 0 && nodelay) (void)detail::set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return fd;
}

int tcp_stream::check_connected(int fd, const endpoint& to) noexcept {
  // A connect to a port of this machine that nobody listens on can be given that very port as its
  // own, and then meets itself (RFC 9293, simultaneous open). For the caller nobody was there.
  return raw_address::local_of(fd).to_endpoint() == to ? -ECONNREFUSED : 0;
}

tcp_stream tcp_stream::adopt(int fd) {
  descriptor d = descriptor::adopt(fd);
  if (!d.is_open()) detail::fail("adopt", "tcp stream", -EINVAL);
  const raw_address peer = raw_address::peer_of(fd);
  const int n = make_nonblocking(fd);
  if (n < 0) detail::fail("adopt", "tcp stream", n);
  if (peer.family() != AF_INET && peer.family() != AF_INET6) {
    detail::fail("adopt", "tcp stream", -ENOTCONN);
  }
  return tcp_stream{std::move(d), peer.to_endpoint()};
}

void tcp_stream::set_nodelay(bool on) {
  const int n = detail::set_option(fd(), IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
  if (n < 0) detail::fail("set_nodelay", name(), n);
}

void tcp_stream::set_keepalive(bool on) {
  const int n = detail::set_option(fd(), SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);
  if (n < 0) detail::fail("set_keepalive", name(), n);
}

void tcp_stream::set_keepalive(std::chrono::seconds idle, std::chrono::seconds interval,
                               int probes) {
  const std::pair<int, std::int64_t> times[] = {
      {TCP_KEEPIDLE, idle.count()}, {TCP_KEEPINTVL, interval.count()}, {TCP_KEEPCNT, probes}};
  for (const auto& [option, value] : times) {
    const bool fits = std::in_range<int>(value);
    const int n =
        fits ? detail::set_option(fd(), IPPROTO_TCP, option, static_cast<int>(value)) : -EINVAL;
    if (n < 0) detail::fail("set_keepalive", name(), n);
  }
  set_keepalive(true);
}

endpoint tcp_stream::local_endpoint() const noexcept {
  return raw_address::local_of(fd()).to_endpoint();
}

tcp_listener::tcp_listener(const endpoint& at, const listen_options& options) {
  const raw_address address{at};
  // The accepted connections inherit TCP_NODELAY.
  int n = tcp_stream::open(address.family(), true);
  if (n >= 0) {
    const int fd = n;
    descriptor_ = descriptor::adopt(fd);
    n = 0;
    if (options.reuse_address_) n = detail::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (n >= 0 && options.reuse_port_) n = detail::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (n >= 0 && at.address().is_v6()) {
      n = detail::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only_ ? 1 : 0);
    }
    if (n >= 0 && sys::bind(fd, address.data(), address.size()) != 0) n = -errno;
    if (n >= 0 && sys::listen(fd, options.backlog_) != 0) n = -errno;
    if (n >= 0) local_ = raw_address::local_of(fd).to_endpoint();
  }
  if (n < 0) detail::fail("listen", at.to_string(), n);
}

}  // namespace oneloop::inline v0::net
