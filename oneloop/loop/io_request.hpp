// What a loop asks its backend for: one I/O call that finishes later, completion-shaped.
//
// A request lives in the operation that waits for it. The protocol, the same for every driver:
//   - `submit` starts it on the driver's thread. `done` is called later on that thread, exactly
//     once, never from within `submit`; `result` is then the call's return value or -errno.
//   - Until `done`, the request and its buffers belong to the driver.
//   - `cancel` asks for an early end. `done` still comes, with -ECANCELED if the call did not
//     happen, with the call's own result if it did.
//   - A `watch` only waits for readiness: it moves no data, so `unwatch` takes it back at once.
//   - `forget` comes before every close: what is pending on the descriptor ends within the call.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>

#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"

namespace oneloop::inline v0 {

enum class io_op : std::uint8_t {
  read,     // read(fd, data, size): pipes, terminals, eventfds
  write,    // write(fd, data, size)
  recv,     // recv(fd, data, size, flags)
  send,     // send(fd, data, size, flags | MSG_NOSIGNAL)
  recvmsg,  // recvmsg(fd, msg, flags)
  sendmsg,  // sendmsg(fd, msg, flags | MSG_NOSIGNAL)
  accept,   // accept4(fd, address, address_size, SOCK_NONBLOCK | SOCK_CLOEXEC): the new descriptor
  connect,  // connect(fd, address, *address_size)
};

enum class direction : std::uint8_t { in, out };

/// Which way an operation waits.
constexpr direction direction_of(io_op op) noexcept {
  switch (op) {
    case io_op::read:
    case io_op::recv:
    case io_op::recvmsg:
    case io_op::accept: return direction::in;
    default: return direction::out;
  }
}

/// A descriptor and the number of its incarnation: numbers of descriptors are reused, ids are not,
/// so what a driver remembers about an earlier incarnation is never applied to a later one.
struct io_handle {
  int fd = -1;
  std::uint32_t id = 0;
};

struct io_request : list_hook<> {
  using done_fn = void (*)(io_request&) noexcept;

  io_handle handle;
  io_op op = io_op::read;
  /// The caller has just made the call itself and got EAGAIN: wait before trying again.
  bool tried = false;
  /// A hint: an earlier call emptied (or filled) the descriptor, so trying is worthless unless it
  /// has become ready since. A driver that cannot tell asks the kernel.
  bool drained = false;
  /// A TCP stream: a call that moved less than `size` has emptied (or filled) the descriptor.
  bool stream = false;
  int flags = 0;
  /// Where the bytes are; of recvmsg and sendmsg, the msghdr.
  void* data = nullptr;
  std::size_t size = 0;
  sockaddr* address = nullptr;
  socklen_t* address_size = nullptr;

  done_fn done = nullptr;
  /// Bytes, a descriptor, 0; or -errno.
  std::int64_t result = 0;
  /// The driver's own.
  std::uint32_t driver_state = 0;

  [[nodiscard]] msghdr* message() const noexcept { return static_cast<msghdr*>(data); }
};

/// A wait for "readable" or "writable"; errors and hang-up count as both.
struct io_watch : list_hook<> {
  using ready_fn = void (*)(io_watch&) noexcept;
  io_handle handle;
  direction way = direction::in;
  /// The caller has just seen that it is not ready.
  bool tried = false;
  /// It has seen that only by a call on a stream that moved less than it could. That proves nothing
  /// once the peer has hung up, which the driver may know.
  bool by_short = false;
  /// Called once on the driver's thread; the watch is out of the driver then.
  ready_fn ready = nullptr;
};

class socket_kernel;

/// Who carries out requests: a loop's backend, or a plain thread that polls for itself.
class ONELOOP_API io_driver {
 public:
  virtual ~io_driver();
  virtual void submit(io_request& r) noexcept = 0;
  virtual void cancel(io_request& r) noexcept = 0;
  /// Readiness is reported also if it was there before the call. Never from within the call.
  virtual void watch(io_watch& w) noexcept = 0;
  /// Idempotent; `ready` will not be called any more.
  virtual void unwatch(io_watch& w) noexcept = 0;
  /// `h` is about to be closed: what is pending on it here ends (requests with -ECANCELED, watches
  /// become ready), and what is remembered about it is dropped. `done` and `ready` have been called
  /// when this returns, so that afterwards the number may be closed.
  virtual void forget(io_handle h) noexcept = 0;

  /// Whether an operation may make its call itself before it submits it. False on a simulation.
  [[nodiscard]] bool direct() const noexcept { return direct_; }
  /// The simulation to which new sockets belong; null: the machine's kernel.
  [[nodiscard]] socket_kernel* sockets() const noexcept { return sockets_; }
  /// On a driver that is not direct(). `k` stays until it has been taken away (null).
  void set_sockets(socket_kernel* k) noexcept { sockets_ = k; }
  /// How often it has fetched events: `tried` is true only while this has not changed since.
  [[nodiscard]] std::uint32_t looks() const noexcept { return looks_; }
  /// The same, told apart from that of every other driver; never 0.
  [[nodiscard]] std::uint64_t moment() const noexcept {
    return std::uint64_t{number_} << 32 | looks_;
  }

 protected:
  explicit io_driver(bool direct = true) noexcept;
  void looked() noexcept { ++looks_; }

 private:
  socket_kernel* sockets_ = nullptr;
  std::uint32_t looks_ = 0;
  const std::uint32_t number_;  // of the program's drivers, from 1
  bool direct_;
};

/// Makes the call of `r` once, without blocking: its result or -errno (-EAGAIN: would block). EINTR
/// is retried. `connect` starts the connection: -EINPROGRESS.
ONELOOP_API std::int64_t try_call(io_request& r) noexcept;

}  // namespace oneloop::inline v0
