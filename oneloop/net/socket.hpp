// What TCP and Unix sockets share: the operations of a connected stream and of a listener, over a
// descriptor. Programs use tcp.hpp and unix.hpp.
//
// Every operation here is a leaf: coroutine, fiber, plain thread without a loop, callback. None
// allocates. Errors name operation, object and cause: "read 127.0.0.1:81: Connection reset by
// peer"; after close() their code is errc::closed.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/raw_address.hpp"

namespace oneloop::inline v0::net {
namespace detail {

/// Throws for the raw result `n` = -errno.
[[noreturn]] ONELOOP_API void fail(const char* what, const std::string& object, std::int64_t n);

/// A non-blocking socket; -errno.
ONELOOP_API int open_socket(int family, int type) noexcept;
ONELOOP_API int set_option(int fd, int level, int name, int value) noexcept;
/// shutdown(2) of the sending side; 0 or -errno.
ONELOOP_API int end_sending(const descriptor& d) noexcept;
/// One look without waiting: nothing to read, and no end of the stream.
ONELOOP_API bool is_quiet(const descriptor& d) noexcept;
/// recv(2) without waiting; -EAGAIN.
ONELOOP_API std::int64_t receive_now(const descriptor& d, std::span<std::byte> to) noexcept;
/// Whether an accept that failed with `e` is worth repeating, after a pause: descriptors ran out,
/// or it was the connection that failed, not the listener.
ONELOOP_API bool accept_may_go_on(const error& e) noexcept;
/// close() that makes the peer see a reset.
ONELOOP_API void reset_connection(descriptor& d) noexcept;

/// Sends until all has gone. A waiter of its own stands between the calls and whoever waits.
class ONELOOP_API write_all_core {
 public:
  write_all_core(descriptor& d, std::span<const std::byte> from) noexcept
      : descriptor_{d}, rest_{from} {}
  /// Before it is started.
  write_all_core(write_all_core&& o) noexcept : descriptor_{o.descriptor_}, rest_{o.rest_} {}
  ~write_all_core() = default;

  bool await_ready() noexcept;
  bool await_suspend(waiter& w);

 protected:
  /// Bytes written, or -errno.
  [[nodiscard]] std::int64_t result() const noexcept {
    return error_ != 0 ? error_ : static_cast<std::int64_t>(written_);
  }

 private:
  struct stepper : waiter {
    stepper(loop* home, write_all_core& o) noexcept : waiter{home, &resumed}, owner{o} {}
    static void resumed(ready_item& item) noexcept;
    write_all_core& owner;
  };
  static void cancel(void* op, waiter& w) noexcept;
  static const operation_info info;
  bool take(std::int64_t n) noexcept;

  descriptor& descriptor_;
  std::span<const std::byte> rest_;
  std::size_t written_ = 0;
  int error_ = 0;
  bool cancel_asked_ = false;
  waiter* waiter_ = nullptr;
  std::optional<io_operation> step_;
  std::optional<stepper> stepper_;
};

}  // namespace detail

/// What read_some and write_some return: one call, giving bytes.
template <class Address>
class transfer_operation {
 public:
  transfer_operation(const char* what, const Address& object, std::size_t size,
                     io_operation&& op) noexcept
      : what_{what}, object_{&object}, empty_{size == 0}, op_{std::move(op)} {}

  bool await_ready() noexcept { return empty_ || op_.await_ready(); }
  bool await_suspend(waiter& w) { return op_.await_suspend(w); }
  std::size_t await_resume() const {
    if (empty_) return 0;
    const std::int64_t n = op_.await_resume();
    if (n < 0) detail::fail(what_, object_->to_string(), n);
    return static_cast<std::size_t>(n);
  }

 private:
  const char* what_;
  const Address* object_;
  bool empty_;
  io_operation op_;
};

/// What write_all returns.
template <class Address>
class write_all_operation : public detail::write_all_core {
 public:
  write_all_operation(const Address& object, descriptor& d,
                      std::span<const std::byte> from) noexcept
      : write_all_core{d, from}, object_{&object} {}
  std::size_t await_resume() const {
    const std::int64_t n = result();
    if (n < 0) detail::fail("write", object_->to_string(), n);
    return static_cast<std::size_t>(n);
  }

 private:
  const Address* object_;
};

/// What shutdown_write returns; never waits.
template <class Address>
class shutdown_operation {
 public:
  shutdown_operation(const Address& object, const descriptor& d) noexcept
      : object_{&object}, descriptor_{d} {}
  bool await_ready() const noexcept { return true; }
  bool await_suspend(waiter&) const noexcept { return false; }
  void await_resume() const {
    const int n = detail::end_sending(descriptor_);
    if (n < 0) detail::fail("shutdown", object_->to_string(), n);
  }

 private:
  const Address* object_;
  const descriptor& descriptor_;
};

/// A connected stream socket; `Address` is endpoint or unix_address. The base of tcp_stream and
/// unix_stream.
///
/// Cancellation: reads and writes are settling: a cancelled one that did happen delivers its count,
/// no byte is lost; `readable` and `writable` are retractable (for select).
/// Threads: one reader and one writer at a time, on any thread; close() from any thread. Lifetime:
/// it stays where it is until all operations on it have ended (close() ends them).
template <class Address>
class socket_stream {
 public:
  using address_type = Address;

  socket_stream() noexcept = default;
  /// `object` is what errors call it.
  socket_stream(descriptor d, const Address& object) noexcept
      : descriptor_{std::move(d)}, object_{object} {}

  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  explicit operator bool() const noexcept { return is_open(); }

  /// At least one byte, into the front of `to`; 0 at the end of the stream (or if `to` is empty).
  [[nodiscard]] transfer_operation<Address> read_some(std::span<std::byte> to) noexcept {
    return {"read", object_, to.size(), io::receive(descriptor_, to)};
  }
  /// What is there now, without waiting: nothing if there is none, 0 at the end of the stream.
  [[nodiscard]] std::optional<std::size_t> try_read_some(std::span<std::byte> to) {
    const std::int64_t n = detail::receive_now(descriptor_, to);
    if (n == -EAGAIN) return {};
    if (n < 0) detail::fail("read", object_.to_string(), n);
    return static_cast<std::size_t>(n);
  }
  /// As many bytes as the socket takes now, at least one.
  [[nodiscard]] transfer_operation<Address> write_some(std::span<const std::byte> from) noexcept {
    return {"write", object_, from.size(), io::send(descriptor_, from)};
  }
  /// All of `from`. Gives from.size(); fewer if it was cancelled after some had gone. The stream
  /// must stay where it is meanwhile.
  [[nodiscard]] write_all_operation<Address> write_all(std::span<const std::byte> from) noexcept {
    return {object_, descriptor_, from};
  }
  /// Ends our direction (FIN): the peer reads the end of the stream; we may go on reading.
  [[nodiscard]] shutdown_operation<Address> shutdown_write() noexcept {
    return {object_, descriptor_};
  }
  /// Until read_some would not wait.
  [[nodiscard]] readiness_operation readable() noexcept { return io::readable(descriptor_); }
  /// Until write_some would not wait.
  [[nodiscard]] readiness_operation writable() noexcept { return io::writable(descriptor_); }

  /// Ends operations that wait, with errc::closed, and the connection. Idempotent.
  void close() noexcept { descriptor_.close(); }
  /// The same, with a reset: what has not been delivered is thrown away.
  void reset() noexcept { detail::reset_connection(descriptor_); }

  /// Nothing has arrived and the peer has not closed, as far as can be seen now.
  [[nodiscard]] bool quiet() const noexcept { return detail::is_quiet(descriptor_); }
  /// What errors call it.
  [[nodiscard]] std::string name() const { return object_.to_string(); }
  [[nodiscard]] int fd() const noexcept { return descriptor_.fd(); }
  /// Gives the descriptor away, open.
  [[nodiscard]] int release() noexcept { return descriptor_.release(); }
  /// The same, as what operations take.
  [[nodiscard]] descriptor take_descriptor() && noexcept { return std::move(descriptor_); }

 protected:
  descriptor descriptor_;
  Address object_;
};

/// What connecting returns: the connected Stream. Makes the socket when it is started.
///
/// Cancellation: the attempt is given up and the socket closed; a connection that stood already is
/// delivered.
template <class Stream>
class connect_operation {
  using address = typename Stream::address_type;

 public:
  explicit connect_operation(const address& to, bool nodelay = true) noexcept
      : to_{to}, nodelay_{nodelay} {}
  /// Over a socket that was opened before (Stream::open).
  connect_operation(const address& to, descriptor socket) noexcept
      : to_{to}, nodelay_{true}, descriptor_{std::move(socket)} {}
  /// Before it is started.
  connect_operation(connect_operation&& o) noexcept
      : to_{o.to_}, nodelay_{o.nodelay_}, descriptor_{std::move(o.descriptor_)} {}

  bool await_ready() {
    raw_ = raw_address{to_};
    if (!descriptor_.is_open()) {
      const int fd = Stream::open(raw_.family(), nodelay_);
      if (fd < 0) {
        error_ = fd;
        return true;
      }
      descriptor_ = descriptor::adopt(fd);
    }
    call_.emplace(io::connect(descriptor_, raw_.data(), raw_.size()));
    return call_->await_ready();
  }
  bool await_suspend(waiter& w) { return call_->await_suspend(w); }
  Stream await_resume() {
    if (call_) error_ = call_->await_resume();
    if (error_ >= 0) error_ = Stream::check_connected(descriptor_.fd(), to_);
    if (error_ < 0) detail::fail("connect", to_.to_string(), error_);
    return Stream{std::move(descriptor_), to_};
  }

 private:
  address to_;
  bool nodelay_;
  std::int64_t error_ = 0;
  raw_address raw_;
  descriptor descriptor_;
  std::optional<io_operation> call_;
};

/// What a listener's accept returns: the accepted Stream.
template <class Stream>
class accept_operation {
  using address = typename Stream::address_type;

 public:
  accept_operation(descriptor& d, const address& local) noexcept : descriptor_{d}, local_{local} {}
  /// Before it is started.
  accept_operation(accept_operation&& o) noexcept : descriptor_{o.descriptor_}, local_{o.local_} {}

  bool await_ready() noexcept {
    call_.emplace(io::accept(descriptor_, peer_.storage()));
    return call_->await_ready();
  }
  bool await_suspend(waiter& w) { return call_->await_suspend(w); }
  Stream await_resume() {
    const std::int64_t n = call_->await_resume();
    if (n < 0) detail::fail("accept", local_.to_string(), n);
    return Stream::accepted(descriptor::adopt(static_cast<int>(n)), peer_, local_);
  }

 private:
  descriptor& descriptor_;
  address local_;
  raw_address peer_;
  std::optional<io_operation> call_;
};

/// A listening socket; the base of tcp_listener and unix_listener.
///
/// Cancellation of accept: settling; a connection that was accepted is delivered.
/// Errors: when the process has no descriptor left, accept fails with EMFILE ("accept 127.0.0.1:80:
/// Too many open files"); the connection stays in the queue and the listener usable: wait until
/// something has been closed, then accept again.
/// Threads: several may accept at the same time; on one loop first come, first served.
template <class Stream>
class socket_listener {
 public:
  using address_type = typename Stream::address_type;

  socket_listener() noexcept = default;
  socket_listener(descriptor d, const address_type& local) noexcept
      : descriptor_{std::move(d)}, local_{local} {}

  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }
  explicit operator bool() const noexcept { return is_open(); }
  /// The next connection.
  [[nodiscard]] accept_operation<Stream> accept() noexcept { return {descriptor_, local_}; }
  /// Until accept would not wait (another acceptor may still be faster).
  [[nodiscard]] readiness_operation acceptable() noexcept { return io::readable(descriptor_); }
  /// What errors call it.
  [[nodiscard]] std::string name() const { return local_.to_string(); }
  [[nodiscard]] int fd() const noexcept { return descriptor_.fd(); }

 protected:
  descriptor descriptor_;
  address_type local_;
};

}  // namespace oneloop::inline v0::net
