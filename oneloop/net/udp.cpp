#include "oneloop/net/udp.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/net/socket.hpp"

namespace oneloop::inline v0::net {

bool send_to_operation::await_ready() noexcept {
  part_ = {const_cast<std::byte*>(data_.data()), data_.size()};
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  if (!connected_) {
    address_ = raw_address{to_};
    message_.msg_name = address_.data();
    message_.msg_namelen = address_.size();
  }
  call_.emplace(io::send_message(descriptor_, message_));
  return call_->await_ready();
}

std::size_t send_to_operation::await_resume() const {
  const std::int64_t n = call_->await_resume();
  if (n < 0) detail::fail("send", to_.to_string(), n);
  return static_cast<std::size_t>(n);
}

bool receive_from_operation::await_ready() noexcept {
  part_ = {to_.data(), to_.size()};
  message_.msg_iov = &part_;
  message_.msg_iovlen = 1;
  message_.msg_name = address_.data();
  message_.msg_namelen = address_.size();
  // MSG_TRUNC: the result is the size that was sent.
  call_.emplace(io::receive_message(descriptor_, message_, MSG_TRUNC));
  return call_->await_ready();
}

datagram receive_from_operation::await_resume() {
  const std::int64_t n = call_->await_resume();
  if (n < 0) detail::fail("receive", local_.to_string(), n);
  datagram d;
  d.full_size = static_cast<std::size_t>(n);
  d.size = std::min(d.full_size, to_.size());
  d.from = address_.to_endpoint();
  return d;
}

udp_socket::udp_socket(const endpoint& at, const udp_options& options) {
  const raw_address address{at};
  int n = detail::open_socket(address.family(), SOCK_DGRAM);
  if (n >= 0) {
    const int fd = n;
    descriptor_ = descriptor::adopt(fd);
    n = 0;
    if (options.reuse_address_) n = detail::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (n >= 0 && options.reuse_port_) n = detail::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (n >= 0 && options.broadcast_) n = detail::set_option(fd, SOL_SOCKET, SO_BROADCAST, 1);
    if (n >= 0 && at.address().is_v6()) {
      n = detail::set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.v6_only_ ? 1 : 0);
    }
    if (n >= 0 && sys::bind(fd, address.data(), address.size()) != 0) n = -errno;
    if (n >= 0) local_ = raw_address::local_of(fd).to_endpoint();
  }
  if (n < 0) detail::fail("bind", at.to_string(), n);
}

udp_socket udp_socket::connected(const endpoint& to) {
  udp_socket s{endpoint{to.address().is_v4() ? ip_address::any_v4() : ip_address::any_v6(), 0}};
  s.connect(to);
  return s;
}

void udp_socket::connect(const endpoint& to) {
  const raw_address address{to};
  if (!is_open()) detail::fail("connect", to.to_string(), -EBADF);
  if (sys::connect(fd(), address.data(), address.size()) != 0) {
    detail::fail("connect", to.to_string(), -errno);
  }
  peer_ = to;
  local_ = raw_address::local_of(fd()).to_endpoint();
}

}  // namespace oneloop::inline v0::net
