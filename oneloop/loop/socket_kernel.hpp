// The system calls on sockets that the library makes: the machine's, or those of a simulated
// network (testing/network.hpp).
//
//     const int fd = sys::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);   // as socket(2)
//     if (sys::bind(fd, address, size) != 0) return -errno;
//
// A simulation's descriptors have numbers from 2^30 on, so a call knows by one compare where it
// belongs. Only `socket` and `socketpair` ask the loop that the calling thread runs: if a
// simulation is attached to it, the socket is one of the simulation's. Descriptors of a simulation
// are known only to the thread of its loop; elsewhere they are bad (EBADF). Internal to the
// library.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/io_request.hpp"

namespace oneloop::inline v0 {

namespace net {
struct name_answer;
}

/// What a simulation of sockets implements. Calls never block (MSG_DONTWAIT is implied), give the
/// result or -errno, and happen on the loop's thread. Requests follow the protocol of
/// io_request.hpp; `done` and `ready` are called from `dispatch`, `forget`, and the loop's timers.
class ONELOOP_API socket_kernel {
 public:
  socket_kernel() = default;
  socket_kernel(const socket_kernel&) = delete;
  socket_kernel& operator=(const socket_kernel&) = delete;
  virtual ~socket_kernel();

  virtual int socket(int family, int type, int protocol) = 0;
  virtual int socketpair(int family, int type, int protocol, int (&fds)[2]) = 0;
  virtual int bind(int fd, const sockaddr* at, socklen_t size) = 0;
  virtual int listen(int fd, int backlog) = 0;
  virtual int connect(int fd, const sockaddr* to, socklen_t size) = 0;
  virtual int shutdown(int fd, int how) = 0;
  virtual int close(int fd) = 0;
  virtual int getsockname(int fd, sockaddr* to, socklen_t* size) = 0;
  virtual int getpeername(int fd, sockaddr* to, socklen_t* size) = 0;
  virtual int setsockopt(int fd, int level, int name, const void* value, socklen_t size) = 0;
  virtual int getsockopt(int fd, int level, int name, void* value, socklen_t* size) = 0;
  virtual std::int64_t recvmsg(int fd, msghdr& m, int flags) = 0;
  virtual std::int64_t sendmsg(int fd, const msghdr& m, int flags) = 0;

  virtual void submit(io_request& r) noexcept = 0;
  virtual void cancel(io_request& r) noexcept = 0;
  virtual void watch(io_watch& w) noexcept = 0;  // unwatched by unlinking it
  virtual void forget(io_handle h) noexcept = 0;
  /// Whether `dispatch` has something to call.
  [[nodiscard]] virtual bool has_results() noexcept = 0;
  virtual void dispatch() noexcept = 0;

  /// One question to the simulation's name servers: `family` is AF_INET or AF_INET6.
  virtual void ask(const std::string& name, int family, net::name_answer& answer) = 0;

  /// The kernel of the simulation to which the calling thread's descriptors belong: that of the
  /// loop which it runs, else the one that was attached last on this thread; null if there is none.
  [[nodiscard]] static socket_kernel* current() noexcept;

 protected:
  /// For `current` outside the loop, on the calling thread, until it is destroyed there.
  void enlist() noexcept;

 private:
  socket_kernel* older_ = nullptr;
  bool enlisted_ = false;
};

namespace sys {

/// Whether `fd` belongs to a simulation.
[[nodiscard]] constexpr bool simulated(int fd) noexcept { return fd >= 1 << 30; }

namespace detail {
ONELOOP_API int bind(int fd, const sockaddr* at, socklen_t size) noexcept;
ONELOOP_API int listen(int fd, int backlog) noexcept;
ONELOOP_API int connect(int fd, const sockaddr* to, socklen_t size) noexcept;
ONELOOP_API int shutdown(int fd, int how) noexcept;
ONELOOP_API int close(int fd) noexcept;
ONELOOP_API int getsockname(int fd, sockaddr* to, socklen_t* size) noexcept;
ONELOOP_API int getpeername(int fd, sockaddr* to, socklen_t* size) noexcept;
ONELOOP_API int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept;
ONELOOP_API int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept;
ONELOOP_API ssize_t recvfrom(int fd, void* to, std::size_t size, int flags, sockaddr* from,
                             socklen_t* from_size) noexcept;
ONELOOP_API ssize_t sendto(int fd, const void* data, std::size_t size, int flags,
                           const sockaddr* to, socklen_t to_size) noexcept;
ONELOOP_API ssize_t sendmsg(int fd, const msghdr* m, int flags) noexcept;
}  // namespace detail

// Each as the call of that name in section 2 of the manual.

ONELOOP_API int socket(int family, int type, int protocol) noexcept;
ONELOOP_API int socketpair(int family, int type, int protocol, int (&fds)[2]) noexcept;

inline int bind(int fd, const sockaddr* at, socklen_t size) noexcept {
  return simulated(fd) ? detail::bind(fd, at, size) : ::bind(fd, at, size);
}
inline int listen(int fd, int backlog) noexcept {
  return simulated(fd) ? detail::listen(fd, backlog) : ::listen(fd, backlog);
}
inline int connect(int fd, const sockaddr* to, socklen_t size) noexcept {
  return simulated(fd) ? detail::connect(fd, to, size) : ::connect(fd, to, size);
}
inline int shutdown(int fd, int how) noexcept {
  return simulated(fd) ? detail::shutdown(fd, how) : ::shutdown(fd, how);
}
inline int close(int fd) noexcept { return simulated(fd) ? detail::close(fd) : ::close(fd); }
inline int getsockname(int fd, sockaddr* to, socklen_t* size) noexcept {
  return simulated(fd) ? detail::getsockname(fd, to, size) : ::getsockname(fd, to, size);
}
inline int getpeername(int fd, sockaddr* to, socklen_t* size) noexcept {
  return simulated(fd) ? detail::getpeername(fd, to, size) : ::getpeername(fd, to, size);
}
inline int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
  return simulated(fd) ? detail::setsockopt(fd, level, name, value, size)
                       : ::setsockopt(fd, level, name, value, size);
}
inline int getsockopt(int fd, int level, int name, void* value, socklen_t* size) noexcept {
  return simulated(fd) ? detail::getsockopt(fd, level, name, value, size)
                       : ::getsockopt(fd, level, name, value, size);
}
inline ssize_t recvfrom(int fd, void* to, std::size_t size, int flags, sockaddr* from,
                        socklen_t* from_size) noexcept {
  return simulated(fd) ? detail::recvfrom(fd, to, size, flags, from, from_size)
                       : ::recvfrom(fd, to, size, flags, from, from_size);
}
inline ssize_t recv(int fd, void* to, std::size_t size, int flags) noexcept {
  return simulated(fd) ? detail::recvfrom(fd, to, size, flags, nullptr, nullptr)
                       : ::recv(fd, to, size, flags);
}
inline ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                      socklen_t to_size) noexcept {
  return simulated(fd) ? detail::sendto(fd, data, size, flags, to, to_size)
                       : ::sendto(fd, data, size, flags, to, to_size);
}
inline ssize_t send(int fd, const void* data, std::size_t size, int flags) noexcept {
  return simulated(fd) ? detail::sendto(fd, data, size, flags, nullptr, 0)
                       : ::send(fd, data, size, flags);
}
inline ssize_t sendmsg(int fd, const msghdr* m, int flags) noexcept {
  return simulated(fd) ? detail::sendmsg(fd, m, flags) : ::sendmsg(fd, m, flags);
}

}  // namespace sys
}  // namespace oneloop::inline v0
