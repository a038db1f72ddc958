#include "oneloop/loop/socket_kernel.hpp"

#include <sys/uio.h>

#include <cerrno>
#include <new>
#include <utility>

#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
namespace {

thread_local socket_kernel* t_latest = nullptr;

// Never inlined, as every thread_local that fibers reach.
[[gnu::noinline]] socket_kernel*& latest() noexcept { return t_latest; }

socket_kernel* of_current_loop() noexcept {
  loop* l = loop::current();
  return l != nullptr ? l->io().sockets() : nullptr;
}

/// As the C library has it: -1 and errno. A call may throw for want of memory only.
template <class F>
auto call(F f) noexcept -> decltype(f(*socket_kernel::current())) {
  using result = decltype(f(*socket_kernel::current()));
  socket_kernel* k = socket_kernel::current();
  result n = -EBADF;
  if (k != nullptr) {
    try {
      n = f(*k);
    } catch (const std::bad_alloc&) {
      n = -ENOBUFS;
    }
  }
  if (n >= 0) return n;
  errno = static_cast<int>(-n);
  return -1;
}

}  // namespace

socket_kernel::~socket_kernel() {
  if (!enlisted_) return;
  for (socket_kernel** at = &latest(); *at != nullptr; at = &(*at)->older_) {
    if (*at != this) continue;
    *at = older_;
    return;
  }
}

void socket_kernel::enlist() noexcept {
  older_ = std::exchange(latest(), this);
  enlisted_ = true;
}

socket_kernel* socket_kernel::current() noexcept {
  socket_kernel* k = of_current_loop();
  return k != nullptr ? k : latest();
}

namespace sys {

int socket(int family, int type, int protocol) noexcept {
  if (of_current_loop() == nullptr) return ::socket(family, type, protocol);
  return call([=](socket_kernel& k) { return k.socket(family, type, protocol); });
}

int socketpair(int family, int type, int protocol, int (&fds)[2]) noexcept {
  if (of_current_loop() == nullptr) return ::socketpair(family, type, protocol, fds);
  return call([&](socket_kernel& k) { return k.socketpair(family, type, protocol, fds); });
}

namespace detail {

int bind(int fd, const sockaddr* at, socklen_t size) noexcept {
  return call([=](socket_kernel& k) { return k.bind(fd, at, size); });
}
int listen(int fd, int backlog) noexcept {
  return call([=](socket_kernel& k) { return k.listen(fd, backlog); });
}
int connect(int fd, const sockaddr* to, socklen_t size) noexcept {
  return call([=](socket_kernel& k) { return k.connect(fd, to, size); });
}
int shutdown(int fd, int how) noexcept {
  return call([=](socket_kernel& k) { return k.shutdown(fd, how); });
}
int close(int fd) noexcept {
  return call([=](socket_kernel& k) { return k.close(fd); });
}
int getsockname(int fd, sockaddr* to, socklen_t* size) noexcept {
  return call([=](socket_kernel& k) { return k.getsockname(fd, to, size); });
}
int getpeername(int fd, sockaddr* to, socklen_t* size) noexcept {
  return call([=](socket_kernel& k) { return k.getpeername(fd, to, size); });
}
int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  return call([=](socket_kernel& k) { return k.setsockopt(fd, level, name, value, size); });
}
int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  return call([=](socket_kernel& k) { return k.getsockopt(fd, level, name, value, size); });
}

ssize_t recvfrom(int fd, void* to, std::size_t size, int flags, sockaddr* from,
                 socklen_t* from_size) noexcept {
  iovec part{to, size};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_name = from;
  m.msg_namelen = from_size != nullptr ? *from_size : 0;
  const std::int64_t n = call([&](socket_kernel& k) { return k.recvmsg(fd, m, flags); });
  if (n >= 0 && from_size != nullptr) *from_size = m.msg_namelen;
  return n;
}

ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
               socklen_t to_size) noexcept {
  iovec part{const_cast<void*>(data), size};
  msghdr m{};
  m.msg_iov = &part;
  m.msg_iovlen = 1;
  m.msg_name = const_cast<sockaddr*>(to);
  m.msg_namelen = to_size;
  return detail::sendmsg(fd, &m, flags);
}

ssize_t sendmsg(int fd, const msghdr* m, int flags) noexcept {
  return call([=](socket_kernel& k) { return k.sendmsg(fd, *m, flags); });
}

}  // namespace detail
}  // namespace sys
}  // namespace oneloop::inline v0
