#include "oneloop/net/socket.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/socket_kernel.hpp"

namespace oneloop::inline v0::net::detail {

void fail(const char* what, const std::string& object, std::int64_t n) {
  // A descriptor is only ever bad here because it was closed.
  if (n == -EBADF) throw closed_error{std::string{what} + " " + object};
  throw error{what, object, system_code(static_cast<int>(-n))};
}

int open_socket(int family, int type) noexcept {
  const int fd = sys::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return fd < 0 ? -errno : fd;
}

int set_option(int fd, int level, int name, int value) noexcept {
  return sys::setsockopt(fd, level, name, &value, sizeof value) != 0 ? -errno : 0;
}

int end_sending(const descriptor& d) noexcept {
  if (!d.is_open()) return -EBADF;
  if (sys::shutdown(d.fd(), SHUT_WR) == 0) return 0;
  // The peer has reset the connection meanwhile: our direction has ended too.
  return errno == ENOTCONN ? 0 : -errno;
}

bool is_quiet(const descriptor& d) noexcept {
  if (!d.is_open()) return false;
  std::byte b;
  return sys::recv(d.fd(), &b, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
         (errno == EAGAIN || errno == EWOULDBLOCK);
}

std::int64_t receive_now(const descriptor& d, std::span<std::byte> to) noexcept {
  if (!d.is_open()) return -EBADF;
  for (;;) {
    const ssize_t n = sys::recv(d.fd(), to.data(), to.size(), MSG_DONTWAIT);
    if (n >= 0) return n;
    if (errno != EINTR) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  }
}

bool accept_may_go_on(const error& e) noexcept {
  const auto& code = e.code();
  if (code.category() != std::system_category() && code.category() != std::generic_category()) {
    return false;
  }
  switch (code.value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case ECONNABORTED:
    case EPROTO:
    case EPERM:
    // What became of a connection in the queue: accept(2).
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT: return true;
    default: return false;
  }
}

void reset_connection(descriptor& d) noexcept {
  if (!d.is_open()) return;
  const linger off{.l_onoff = 1, .l_linger = 0};
  (void)sys::setsockopt(d.fd(), SOL_SOCKET, SO_LINGER, &off, sizeof off);
  d.close();
}

// ---- write_all ----

const operation_info write_all_core::info{"net.write_all", &cancel};

/// The result of one call; true: the end.
bool write_all_core::take(std::int64_t n) noexcept {
  if (n < 0) {
    error_ = static_cast<int>(n);
    return true;
  }
  written_ += static_cast<std::size_t>(n);
  rest_ = rest_.subspan(static_cast<std::size_t>(n));
  return rest_.empty();
}

bool write_all_core::await_ready() noexcept {
  while (!rest_.empty()) {
    step_.emplace(io::send(descriptor_, rest_));
    if (!step_->await_ready()) return false;
    if (take(step_->await_resume())) return true;
  }
  return true;
}

bool write_all_core::await_suspend(waiter& w) {
  w.arm(this, info);
  waiter_ = &w;
  stepper_.emplace(w.home(), *this);
  for (;;) {
    if (step_->await_suspend(*stepper_)) return true;
    if (take(step_->await_resume()) || await_ready()) break;
  }
  w.disarm();
  return false;
}

void write_all_core::stepper::resumed(ready_item& item) noexcept {
  auto& self = static_cast<stepper&>(item);
  write_all_core& op = self.owner;
  bool cancelled = self.finish() == outcome::cancelled;
  bool ended = cancelled || op.take(op.step_->await_resume());
  if (!ended && op.cancel_asked_) ended = cancelled = true;
  while (!ended) {
    if (op.await_ready()) break;
    if (op.step_->await_suspend(self)) return;
    ended = op.take(op.step_->await_resume());
  }
  waiter& w = *op.waiter_;
  if (!w.try_claim()) return;
  // Bytes that have gone are reported; the next checkpoint throws.
  cancelled&& op.written_ == 0 ? w.wake_cancelled() : w.wake();
}

void write_all_core::cancel(void* op, waiter&) noexcept {
  auto& self = *static_cast<write_all_core*>(op);
  self.cancel_asked_ = true;
  self.stepper_->request_cancel();
}

}  // namespace oneloop::inline v0::net::detail
