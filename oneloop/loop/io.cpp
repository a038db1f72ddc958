#include "oneloop/loop/io.hpp"

#include <cerrno>

#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/loop/reactor_internal.hpp"

namespace oneloop::inline v0 {
namespace {

/// The driver of the calling thread's waiter; null: a plain thread's.
io_driver* current_driver() noexcept {
  loop* l = loop::current();
  return l != nullptr ? &l->io() : nullptr;
}

/// May the waiter make system calls itself?
bool calls_directly(const io_driver* d) noexcept { return d == nullptr || d->direct(); }
std::uint32_t looks_of(const io_driver* d) noexcept { return d != nullptr ? d->looks() : 0; }
std::uint64_t moment_of(const io_driver* d) noexcept { return d != nullptr ? d->moment() : 0; }

std::string about(const descriptor_state* s) {
  return s == nullptr ? "closed" : "fd " + std::to_string(s->handle().fd);
}

}  // namespace

// ---- calls ----

const operation_info io_operation::infos[] = {
    {"io.read", cancel, describe},
    {"io.write", cancel, describe},
    {"io.receive", cancel, describe},
    {"io.send", cancel, describe},
    {"io.receive_message", cancel, describe},
    {"io.send_message", cancel, describe},
    {"io.accept", cancel, describe},
    {"io.connect", cancel, describe},
};

io_operation::io_operation(io_operation&& o) noexcept
    : state_{o.state_}, address_size_{o.address_size_} {
  op = o.op;
  flags = o.flags;
  data = o.data;
  size = o.size;
  address = o.address;
}

std::string io_operation::describe(const void* op) {
  return about(static_cast<const io_operation*>(op)->state_);
}

bool io_operation::refused() noexcept {
  if (state_ != nullptr && state_->hold()) return false;
  result = -EBADF;
  return true;
}

// Whether the next call this way is worth trying.
void io_operation::learn(std::int64_t n) noexcept {
  const direction d = direction_of(op);
  const bool was_short = n > 0 && static_cast<std::size_t>(n) < size && flags == 0;
  const bool used_up = n == -EAGAIN || (was_short && state_->stream());
  state_->set_drained(d, used_up);
}

bool io_operation::await_ready() noexcept {
  if (refused()) return true;
  handle = state_->handle();
  address_size = address != nullptr ? &address_size_ : nullptr;
  bool finished = false;
  // A connect is never tried: it would have to be started, and then belongs to the driver.
  const direction d = direction_of(op);
  drained = state_->drained(d) || state_->tired(d);
  io_driver* const driver = current_driver();
  if (op != io_op::connect && !drained && calls_directly(driver)) {
    result = try_call(*this);
    learn(result);
    // Not of a call that the driver has made: what it has heard since may be of what came later.
    if (d == direction::in && state_->drained(d)) state_->note_empty(moment_of(driver));
    finished = result != -EAGAIN;
    state_->note_try(d, finished);
    tried = !finished;
    tried_at_ = looks_of(driver);
  }
  state_->drop();
  return finished;
}

bool io_operation::await_suspend(waiter& w) {
  if (refused()) return false;
  w.arm(this, infos[static_cast<std::size_t>(op)]);
  waiter_ = &w;
  driver_ = &io_of(w);
  // Only if nothing has been heard from the kernel since: a composite may have let turns pass.
  tried = tried && (w.home() == nullptr || tried_at_ == driver_->looks());
  done = over;
  stream = size != 0 && flags == 0 && state_->stream();
  driver_->submit(*this);
  return true;
}

void io_operation::over(io_request& r) noexcept {
  auto& self = static_cast<io_operation&>(r);
  descriptor_state& s = *self.state_;
  const bool closed = s.closed();
  if (!closed) self.learn(r.result);
  bool cancelled = false;
  if (r.result == -ECANCELED) {
    cancelled = self.cancel_asked_ && !closed;
    r.result = -EBADF;
  } else if (closed && r.result <= 0) {
    r.result = -EBADF;  // the end of the stream that closing itself has made
  }
  s.drop();
  waiter& w = *self.waiter_;
  if (!w.try_claim()) return;
  cancelled ? w.wake_cancelled() : w.wake();
}

void io_operation::cancel(void* op, waiter&) noexcept {
  auto& self = *static_cast<io_operation*>(op);
  self.cancel_asked_ = true;
  self.driver_->cancel(self);
}

// ---- readiness ----

const operation_info readiness_operation::infos[] = {
    {"io.readable", cancel, describe},
    {"io.writable", cancel, describe},
};

std::string readiness_operation::describe(const void* op) {
  return about(static_cast<const readiness_operation*>(op)->state_);
}

bool readiness_operation::look() noexcept {
  if (state_ == nullptr || !state_->hold()) return true;
  bool yes = false;
  io_driver* const driver = current_driver();
  if (driver != nullptr && way == direction::in && state_->empty_at(driver->moment())) {
    seen_unready(true);
  } else if (calls_directly(driver)) {
    yes = ready_now(state_->handle().fd, way);
    tried = !yes;
    tried_at_ = looks_of(driver);
  }
  state_->drop();
  return yes;
}

void readiness_operation::seen_unready(bool only_by_short) noexcept {
  io_driver* const driver = current_driver();
  tried = calls_directly(driver);
  by_short = only_by_short;
  tried_at_ = looks_of(driver);
}

bool readiness_operation::await_ready() noexcept {
  won_ = look();
  return won_;
}

enlisted readiness_operation::enlist(waiter& w) {
  won_ = false;
  if (state_ == nullptr || !state_->hold()) {
    if (!w.try_claim()) return enlisted::lost;
    won_ = true;
    return enlisted::completed;
  }
  waiter_ = &w;
  driver_ = &io_of(w);
  handle = state_->handle();
  ready = became_ready;
  tried = tried && w.home() != nullptr && tried_at_ == driver_->looks();
  driver_->watch(*this);
  tried = by_short = false;
  return enlisted::waiting;
}

bool readiness_operation::await_suspend(waiter& w) {
  w.arm(this, infos[static_cast<std::size_t>(way)]);
  if (enlist(w) == enlisted::waiting) return true;
  w.disarm();
  return false;
}

void readiness_operation::delist() noexcept {
  if (driver_ == nullptr) return;
  // Out of every list: the driver has gone, with its loop.
  if (linked()) driver_->unwatch(*this);
  driver_ = nullptr;
  state_->drop();
}

void readiness_operation::became_ready(io_watch& w) noexcept {
  auto& self = static_cast<readiness_operation&>(w);
  self.driver_ = nullptr;
  self.state_->set_drained(w.way, false);
  self.state_->drop();
  if (!self.waiter_->try_claim()) return;
  self.won_ = true;
  self.waiter_->wake();
}

void readiness_operation::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<readiness_operation*>(op);
  if (!w.try_claim()) return;
  self.delist();
  w.wake_cancelled();
}

// ---- the functions ----

struct io_factory {
  static io_operation transfer(descriptor& d, io_op op, void* data, std::size_t size, int flags) {
    io_operation o{d, op};
    o.data = data;
    o.size = size;
    o.flags = flags;
    return o;
  }
  static io_operation message(descriptor& d, io_op op, msghdr* m, int flags) {
    return transfer(d, op, m, 0, flags);
  }
  static io_operation address(descriptor& d, io_op op, sockaddr* a, socklen_t size) {
    io_operation o{d, op};
    o.address = a;
    o.address_size_ = size;
    return o;
  }
};

namespace io {

io_operation receive(descriptor& d, std::span<std::byte> to, int flags) noexcept {
  return io_factory::transfer(d, io_op::recv, to.data(), to.size(), flags);
}
io_operation send(descriptor& d, std::span<const std::byte> from, int flags) noexcept {
  return io_factory::transfer(d, io_op::send, const_cast<std::byte*>(from.data()), from.size(),
                              flags);
}
io_operation read(descriptor& d, std::span<std::byte> to) noexcept {
  return io_factory::transfer(d, io_op::read, to.data(), to.size(), 0);
}
io_operation write(descriptor& d, std::span<const std::byte> from) noexcept {
  return io_factory::transfer(d, io_op::write, const_cast<std::byte*>(from.data()), from.size(), 0);
}
io_operation receive_message(descriptor& d, msghdr& message, int flags) noexcept {
  return io_factory::message(d, io_op::recvmsg, &message, flags);
}
io_operation send_message(descriptor& d, const msghdr& message, int flags) noexcept {
  return io_factory::message(d, io_op::sendmsg, const_cast<msghdr*>(&message), flags);
}
io_operation accept(descriptor& d, sockaddr_storage* peer) noexcept {
  return io_factory::address(d, io_op::accept, reinterpret_cast<sockaddr*>(peer),
                             peer != nullptr ? sizeof *peer : 0);
}
io_operation connect(descriptor& d, const sockaddr* address, socklen_t size) noexcept {
  return io_factory::address(d, io_op::connect, const_cast<sockaddr*>(address), size);
}

}  // namespace io
}  // namespace oneloop::inline v0
