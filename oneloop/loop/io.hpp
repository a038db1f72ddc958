// I/O on descriptors, as operations: on whatever loop or thread waits.
//
//     std::array<std::byte, 4096> b;
//     std::int64_t n = co_await io::receive(d, b);     // bytes, 0: end of stream, or -errno
//     if (n < 0) throw error{"receive", "peer", system_code(-n)};
//     n = co_await io::send(d, std::span{b}.first(n)); // may be fewer: send the rest again
//
// Results are raw (>= 0, or -errno); net/ makes exceptions of them. -EBADF also means that the
// descriptor was closed while the operation waited.
//
// Threads: any waiter. Several may wait on one descriptor; each direction serves first come, first
// served. The descriptor must stay where it is until an operation on it has been started.
// Cancellation: settling, except readable and writable, which are retractable. A cancelled
// operation that did happen after all delivers its result: no byte is lost. Errors: none are
// thrown. Cost: no allocation. The call is tried first when it may succeed, and goes to the driver
// of the waiter's loop when not.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io_request.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

/// What the functions of `io` return: one call. It may be moved until it is started.
class ONELOOP_API io_operation : io_request {
 public:
  io_operation(descriptor& d, io_op which) noexcept : state_{d.state()} { op = which; }
  io_operation(io_operation&& o) noexcept;
  ~io_operation() = default;

  bool await_ready() noexcept;
  bool await_suspend(waiter& w);
  /// >= 0, or -errno.
  std::int64_t await_resume() const noexcept { return result; }

 private:
  friend struct io_factory;
  static void cancel(void* op, waiter& w) noexcept;
  static void over(io_request& r) noexcept;
  static std::string describe(const void* op);
  static const operation_info infos[];
  void learn(std::int64_t n) noexcept;
  [[nodiscard]] bool refused() noexcept;

  descriptor_state* state_;
  waiter* waiter_ = nullptr;
  io_driver* driver_ = nullptr;
  bool cancel_asked_ = false;
  std::uint32_t tried_at_ = 0;  // io_driver::looks() then
  socklen_t address_size_ = 0;
};

/// What io::readable and io::writable return. It may be moved until it is started.
class ONELOOP_API readiness_operation : io_watch {
 public:
  readiness_operation(descriptor& d, direction to_look) noexcept : state_{d.state()} {
    way = to_look;
  }
  readiness_operation(readiness_operation&& o) noexcept : state_{o.state_} { way = o.way; }
  ~readiness_operation() { delist(); }

  bool await_ready() noexcept;
  bool await_suspend(waiter& w);
  void await_resume() const noexcept {}

  /// In place of await_ready: the caller's own call has just found it not ready, by EAGAIN or, on a
  /// stream, by having moved less than it could (`only_by_short`). Spares the wait a look at the
  /// kernel.
  void seen_unready(bool only_by_short) noexcept;

  enlisted enlist(waiter& w);
  void delist() noexcept;
  [[nodiscard]] bool won() const noexcept { return won_; }
  /// One look at the descriptor.
  [[nodiscard]] bool try_now() noexcept { return await_ready(); }

 private:
  static void cancel(void* op, waiter& w) noexcept;
  static void became_ready(io_watch& w) noexcept;
  static std::string describe(const void* op);
  static const operation_info infos[];
  bool look() noexcept;

  descriptor_state* state_;
  waiter* waiter_ = nullptr;
  io_driver* driver_ = nullptr;  // null when not watching
  std::uint32_t tried_at_ = 0;   // io_driver::looks() then
  bool won_ = false;
};

namespace io {

/// recv(2): bytes, 0 at the end of the stream.
[[nodiscard]] ONELOOP_API io_operation receive(descriptor& d, std::span<std::byte> to,
                                               int flags = 0) noexcept;
/// send(2), never with SIGPIPE: how many bytes were taken.
[[nodiscard]] ONELOOP_API io_operation send(descriptor& d, std::span<const std::byte> from,
                                            int flags = 0) noexcept;
/// read(2): for pipes, terminals, eventfds. A regular file is read at once, blocking.
[[nodiscard]] ONELOOP_API io_operation read(descriptor& d, std::span<std::byte> to) noexcept;
/// write(2): for pipes and terminals. A pipe without a reader raises SIGPIPE, as ever.
[[nodiscard]] ONELOOP_API io_operation write(descriptor& d,
                                             std::span<const std::byte> from) noexcept;
/// recvmsg(2): datagrams with addresses, ancillary data. `message` stays until it has ended.
[[nodiscard]] ONELOOP_API io_operation receive_message(descriptor& d, msghdr& message,
                                                       int flags = 0) noexcept;
/// sendmsg(2).
[[nodiscard]] ONELOOP_API io_operation send_message(descriptor& d, const msghdr& message,
                                                    int flags = 0) noexcept;
/// accept4(2): the new descriptor's number, non-blocking and close-on-exec, which the caller owns.
/// -EMFILE when the process has none left; the connection stays in the queue. `peer` may be null.
[[nodiscard]] ONELOOP_API io_operation accept(descriptor& d,
                                              sockaddr_storage* peer = nullptr) noexcept;
/// connect(2): 0 when the connection stands. `address` stays until it has ended. After a failure or
/// a cancellation the socket is of no use but to be closed.
[[nodiscard]] ONELOOP_API io_operation connect(descriptor& d, const sockaddr* address,
                                               socklen_t size) noexcept;

/// Until a read would not block. Ends also by an error, and when the descriptor is closed.
[[nodiscard]] inline readiness_operation readable(descriptor& d) noexcept {
  return {d, direction::in};
}
/// Until a write would not block. As `readable`.
[[nodiscard]] inline readiness_operation writable(descriptor& d) noexcept {
  return {d, direction::out};
}

}  // namespace io
}  // namespace oneloop::inline v0
