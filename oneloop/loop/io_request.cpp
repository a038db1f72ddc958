#include "oneloop/loop/io_request.hpp"

#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace oneloop::inline v0 {
namespace {

std::int64_t call_once(io_request& r) noexcept {
  const int fd = r.handle.fd;
  // MSG_DONTWAIT: also a socket that was handed in blocking must not stop the loop.
  switch (r.op) {
    case io_op::read: return ::read(fd, r.data, r.size);
    case io_op::write: return ::write(fd, r.data, r.size);
    case io_op::recv: return ::recv(fd, r.data, r.size, r.flags | MSG_DONTWAIT);
    case io_op::send: return ::send(fd, r.data, r.size, r.flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    case io_op::recvmsg: return ::recvmsg(fd, r.message(), r.flags | MSG_DONTWAIT);
    case io_op::sendmsg: return ::sendmsg(fd, r.message(), r.flags | MSG_DONTWAIT | MSG_NOSIGNAL);
    case io_op::accept:
      return ::accept4(fd, r.address, r.address_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    case io_op::connect: return ::connect(fd, r.address, *r.address_size);
  }
  errno = EINVAL;
  return -1;
}

}  // namespace

io_driver::io_driver(bool direct) noexcept
    : number_{[] {
        static std::atomic<std::uint32_t> drivers{0};
        return drivers.fetch_add(1, std::memory_order_relaxed) + 1;
      }()},
      direct_{direct} {}
io_driver::~io_driver() = default;

std::int64_t try_call(io_request& r) noexcept {
  for (;;) {
    const std::int64_t n = call_once(r);
    if (n >= 0) return n;
    switch (errno) {
      case EINTR:
        // An interrupted connect goes on by itself.
        if (r.op == io_op::connect) return -EINPROGRESS;
        continue;
      case ECONNABORTED:
        // The peer gave up while it stood in the queue: the next one, please.
        if (r.op == io_op::accept) continue;
        return -ECONNABORTED;
#if EWOULDBLOCK != EAGAIN
      case EWOULDBLOCK: return -EAGAIN;
#endif
      default: return -errno;
    }
  }
}

}  // namespace oneloop::inline v0
