#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/net/raw_address.hpp"
#include "oneloop/net/socket.hpp"
#include "oneloop/protocol/client.hpp"
#include "oneloop/protocol/connection_internal.hpp"
#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0 {
namespace {

/// Of what has come unread, so much is thrown away before closing: see close_socket.
constexpr std::size_t drained_size = std::size_t{256} * 1024;
/// As often a connection reads before others have their turn.
constexpr int reads_a_turn = 8;

constexpr operation_info info_of(void (*cancel)(void*, waiter&) noexcept,
                                 std::string (*describe)(const void*)) {
  return {"connection", cancel, describe};
}

std::int64_t receive(int fd, std::span<std::byte> to) noexcept {
  for (;;) {
    const ssize_t n = sys::recv(fd, to.data(), to.size(), MSG_DONTWAIT);
    if (n >= 0) return n;
    if (errno != EINTR) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  }
}

}  // namespace

nursery& nursery_here(const char* what) {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{what};
  nursery* n = context::current().innermost_nursery();
  return n != nullptr ? *n : loop_root::of(*l).children();
}

connected_socket take_socket(net::tcp_stream s) {
  const socket_address peer{s.peer_endpoint()};
  return {std::move(s).take_descriptor(), peer};
}

connected_socket take_socket(net::unix_stream s) {
  const socket_address peer{s.peer_address()};
  return {std::move(s).take_descriptor(), peer};
}

connection::reader::reader(connection& c) noexcept
    : socket_waiter{c.home(), c.socket_, direction::in,
                    [](ready_item& item) noexcept {
                      auto& self = static_cast<reader&>(item);
                      self.resumed();
                      self.owner.read();
                    }},
      owner{c} {}

connection::writer::writer(connection& c) noexcept
    : socket_waiter{c.home(), c.socket_, direction::out,
                    [](ready_item& item) noexcept {
                      auto& self = static_cast<writer&>(item);
                      self.resumed();
                      self.owner.flush();
                      self.owner.sent_all();
                    }},
      owner{c} {}

void connection::start(nursery& n, connected_socket s, std::shared_ptr<protocol> p,
                       std::shared_ptr<factory> by, std::shared_ptr<connector> from,
                       const tls_start* tls) {
  auto* c = new connection{n, std::move(s), std::move(p), std::move(by), std::move(from)};
  c->open(tls);
}

connection::connection(nursery& n, connected_socket s, std::shared_ptr<protocol> p,
                       std::shared_ptr<factory> by, std::shared_ptr<connector> from)
    : child{party_kind::callback, n, ended, spawn_info{"connection", {}}},
      socket_{std::move(s.socket)},
      peer_{std::move(s.peer)},
      protocol_{std::move(p)},
      factory_{std::move(by)},
      connector_{std::move(from)},
      space_{receive_space::of(home())},
      reader_{*this},
      writer_{*this} {
  static constexpr operation_info info = info_of(
      [](void* op, waiter&) noexcept {
        static_cast<connection*>(op)->finish(std::make_exception_ptr(cancelled{}));
      },
      [](const void* op) { return static_cast<const connection*>(op)->name(); });
  self().set_innermost_nursery(&n);  // what its callbacks start belongs there too
  self().arm(this, info);
  begin();
}

connection::~connection() = default;

void connection::open(const tls_start* tls) noexcept {
  if (connector_) connector_->transport_ = this;
  callback([&] {
    if (tls != nullptr) start_tls(tls->context, tls->host);
    made_ = true;
    protocol_->make_connection(*this, factory_.get());
  });
  if (self().scope().cancelled()) finish(std::make_exception_ptr(cancelled{}));
  if (wants_input()) reader_.wait();
}

/// Calls the user's code. What it throws is the end of the connection.
template <class F>
void connection::callback(F&& f) noexcept {
  const bool outermost = !std::exchange(in_callback_, true);
  if (outermost) sent_ = false;
  try {
    run_as(self(), f);
  } catch (...) {
    const auto e = std::current_exception();
    log(severity::error, "the protocol of " + name() + " failed: " + describe(e));
    finish(e, true);
  }
  if (!outermost) return;
  in_callback_ = false;
  if (!out_.empty() && writer_.idle()) {
    flush();
    look_at_rest();
  }
}

void connection::call(std::function<void()> f) {
  check("transport::call");
  if (connected()) callback(f);
}

// ---- the end ----

void connection::finish(std::exception_ptr reason, bool reset) noexcept {
  if (finished_) return;
  finished_ = true;
  reset_ = reset;
  reason_ = std::move(reason);
  reader_.stop();
  writer_.stop();
  self().try_claim();
  self().wake();
}

void connection::finish_done() noexcept {
  finish(std::make_exception_ptr(connection_done{name()}));
}

void connection::fail(const char* what, std::int64_t n) noexcept {
  finish(std::make_exception_ptr(error{what, name(), system_code(static_cast<int>(-n))}));
}

void connection::ended(ready_item& item) noexcept {
  auto& c = static_cast<context&>(item);
  (void)c.finish();
  static_cast<connection&>(of(item)).conclude();
}

void connection::conclude() noexcept {
  const auto guarded = [this](const char* what, auto&& f) {
    try {
      run_as(self(), f);
    } catch (...) {
      log(severity::error, std::string{what} + " of the connection with " + name() +
                               " failed: " + describe(std::current_exception()));
    }
  };
  in_callback_ = true;
  guarded("stop_producing", [&] { drop_producer(); });
  if (made_) guarded("connection_lost", [&] { protocol_->connection_lost(failure{reason_}); });
  close_socket();
  protocol_->leave_connection();
  guarded("connection_ended", [&] {
    if (factory_) factory_->connection_ended(*protocol_, peer_);
  });
  protocol_.reset();
  guarded("client_connection_lost", [&] {
    if (connector_) connector_->lost(failure{reason_});
  });
  connector_.reset();
  factory_.reset();
  end(*this);
}

void connection::close_socket() noexcept {
  if (reset_) return net::detail::reset_connection(socket_);
  if (out_.empty()) (void)say_goodbye();
  // Closing with unread input makes the kernel send a reset, which may destroy what the peer has
  // not read yet. So what has come is thrown away before.
  for (std::size_t seen = 0; !read_ended_ && seen < drained_size;) {
    const std::int64_t n = receive(socket_.fd(), space_);
    if (n <= 0) break;
    seen += static_cast<std::size_t>(n);
  }
  socket_.close();
}

void connection::lose_connection() {
  check("transport::lose_connection");
  if (disconnecting()) return;
  losing_ = true;
  if (!wants_input()) reader_.stop();
  look_at_rest();
}

void connection::drop_connection() {
  lose_connection();
  drop_producer();
  look_at_rest();
}

void connection::abort_connection() {
  check("transport::abort_connection");
  finish(std::make_exception_ptr(connection_aborted{name()}), true);
}

void connection::lose_write_connection() {
  check("transport::lose_write_connection");
  if (finished_ || losing_write_) return;
  losing_write_ = true;
  look_at_rest();
}

// ---- receiving ----

bool connection::wants_input() const noexcept {
  if (finished_ || read_ended_) return false;
  if (tls_ && !tls_->agreed && (!losing_ || !tls_->waiting.empty())) return true;  // the handshake
  return !paused_ && !losing_;
}

void connection::pause_producing() {
  check("transport::pause_producing");
  paused_ = true;
  if (!wants_input()) reader_.stop();
}

void connection::resume_producing() {
  check("transport::resume_producing");
  paused_ = false;
  if (wants_input() && !reading_) reader_.soon();
}

void connection::read() noexcept {
  reading_ = true;
  if (tls_ && tls_->agreed) pump();  // what was left there when reading was paused
  for (int i = 0; wants_input(); ++i) {
    if (i == reads_a_turn) {
      reader_.soon();
      break;
    }
    const std::int64_t n = receive(socket_.fd(), space_);
    if (n > 0) {
      const auto size = static_cast<std::size_t>(n);
      received(space_.first(size));
      if (size < space_.size() && wants_input() && socket_.state()->stream()) {
        reader_.wait_after_try(true);
        break;
      }
    } else if (n == 0) {
      input_ended();
    } else if (n == -EAGAIN) {
      reader_.wait_after_try(false);
      break;
    } else {
      fail("read", n);
    }
  }
  reading_ = false;
}

void connection::received(std::span<std::byte> got) noexcept {
  if (!tls_) {
    callback([&] { protocol_->data_received(got); });
    return;
  }
  try {
    tls_->engine.input(got);
  } catch (...) {
    return finish(std::current_exception());
  }
  pump();
}

void connection::input_ended() noexcept {
  if (tls_ && !read_ended_) {
    tls_->engine.input_ended();
    pump();  // the goodbye has come before, or this is an error
    if (finished_) return;
  }
  if (std::exchange(read_ended_, true)) return;
  callback([&] { protocol_->read_connection_lost(); });
  if (write_ended_) finish_done();
}

/// Goes on with the session, as far as what has come allows.
void connection::pump() noexcept {
  tls_layer& t = *tls_;
  try {
    if (!t.agreed) {
      t.agreed = t.engine.handshake() == net::tls_state::done;
      send_ciphertext();
      if (!t.agreed) return;
      encrypt(std::exchange(t.waiting, {}).data());
      callback([&] { protocol_->handshake_completed(); });
      look_at_rest();
    }
    while (wants_input()) {
      const auto got = t.engine.read(space_);
      send_ciphertext();
      if (got.size != 0) {
        callback([&] { protocol_->data_received(space_.first(got.size)); });
      } else if (got.state == net::tls_state::closed) {
        read_ended_ = true;
        callback([&] { protocol_->read_connection_lost(); });
        if (write_ended_) finish_done();
      } else {
        break;
      }
    }
  } catch (...) {
    const auto e = std::current_exception();
    send_ciphertext();  // the alert
    finish(e);
  }
}

// ---- sending ----

std::int64_t connection::try_send(std::span<const std::byte> data) noexcept {
  for (;;) {
    const ssize_t n =
        sys::send(socket_.fd(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) return n;
    if (errno != EINTR) return errno == EWOULDBLOCK ? -EAGAIN : -errno;
  }
}

/// To the socket, or behind what waits for it.
void connection::send(std::span<const std::byte> data) {
  if (finished_) return;
  if (out_.empty() && !(in_callback_ && sent_)) {
    sent_ = true;
    const std::int64_t n = try_send(data);
    if (n < 0 && n != -EAGAIN) return fail("write", n);
    data = data.subspan(static_cast<std::size_t>(std::max<std::int64_t>(n, 0)));
    if (data.empty()) return;
    writer_.wait();
  }
  out_.append(data);
}

void connection::flush() noexcept {
  while (!out_.empty()) {
    if (finished_) return;
    const std::int64_t n = try_send(out_.data());
    if (n == -EAGAIN) return writer_.wait_after_try(false);
    if (n < 0) return fail("write", n);
    out_.consume(static_cast<std::size_t>(n));
  }
  out_ = {};
}

void connection::encrypt(std::span<const std::byte> data) {
  while (!data.empty() && !finished_) {
    data = data.subspan(tls_->engine.write(data));
    send_ciphertext();
  }
}

void connection::send_ciphertext() {
  const auto bytes = tls_->engine.output();
  if (bytes.empty()) return;
  send(bytes);
  tls_->engine.consume_output(bytes.size());
}

std::size_t connection::buffered() const noexcept {
  return out_.size() + (tls_ ? tls_->waiting.size() : 0);
}

void connection::write(std::span<const std::byte> data) {
  check("transport::write");
  if (finished_ || losing_write_ || data.empty()) return;
  if (buffered() > limit_) {
    throw error{"write", name(), make_error_code(errc::limit_exceeded)};
  }
  if (!tls_) {
    send(data);
  } else if (tls_->agreed) {
    try {
      encrypt(data);
    } catch (const net::tls_error&) {
      finish(std::current_exception());
    }
  } else {
    tls_->waiting.append(data);
  }
  wrote();
}

void connection::write_sequence(std::span<const std::span<const std::byte>> pieces) {
  net::read_buffer all;
  for (const auto& p : pieces) all.append(p);
  write(all.data());
}

/// After a write: holds the producer back, or gives it its next turn.
void connection::wrote() {
  if (finished_) return;
  if (producer_ != nullptr && streaming_ && !paused_producer_ && buffered() > high_) {
    paused_producer_ = true;
    producer_->pause_producing();
  }
  look_at_rest();
}

/// What waits until all was sent goes on from the ready queue, if it has been.
void connection::look_at_rest() noexcept {
  if (!finished_ && buffered() == 0 && (producer_waits() || losing_ || losing_write_))
    writer_.soon();
}

/// From the ready queue: goes on with what waited until all, or enough, was sent.
void connection::sent_all() noexcept {
  if (finished_) return;
  if (producer_waits() && buffered() <= (streaming_ ? low_ : 0)) {
    paused_producer_ = false;
    callback([&] {
      producer_->resume_producing();
      wrote();
    });
    return;
  }
  if (buffered() != 0 || producer_ != nullptr) return;
  if (losing_) {
    if (say_goodbye()) return;
    finish_done();
  } else if (losing_write_ && !write_ended_) {
    if (say_goodbye()) return;
    if (!tls_) (void)net::detail::end_sending(socket_);
    write_ended_ = true;
    callback([&] { protocol_->write_connection_lost(); });
    if (read_ended_) finish_done();
  }
}

/// TLS's, if it has not been said. True if it waits to be sent.
bool connection::say_goodbye() noexcept {
  if (!tls_ || !tls_->agreed || std::exchange(tls_->said_goodbye, true)) return false;
  try {
    (void)tls_->engine.shutdown();
    const auto bytes = tls_->engine.output();
    if (finished_) {
      (void)try_send(bytes);  // the last thing that happens here
    } else {
      send_ciphertext();
    }
  } catch (const error&) {  // the session has failed
  }
  return !out_.empty();
}

void connection::set_write_watermarks(std::size_t high, std::size_t low) {
  if (low > high) throw misuse{"set_write_watermarks: the low mark is above the high one"};
  high_ = high;
  low_ = low;
}

void connection::register_producer(producer& p, bool streaming) {
  check("transport::register_producer");
  if (finished_) return p.stop_producing();
  if (producer_ != nullptr) throw misuse{"register_producer: there is one already"};
  bind(p, this);
  producer_ = &p;
  streaming_ = streaming;
  paused_producer_ = false;
  if (!streaming) p.resume_producing();
  wrote();
}

void connection::unregister_producer() {
  check("transport::unregister_producer");
  if (producer_ == nullptr) return;
  bind(*std::exchange(producer_, nullptr), nullptr);
  look_at_rest();
}

void connection::drop_producer() {
  producer* p = std::exchange(producer_, nullptr);
  if (p == nullptr) return;
  bind(*p, nullptr);
  p->stop_producing();
}

// ---- the rest ----

socket_address connection::get_host() const {
  if (!socket_.is_open()) return {};
  const auto raw = net::raw_address::local_of(socket_.fd());
  if (raw.family() == AF_UNIX) return raw.to_unix();
  return raw.to_endpoint();
}

void connection::set_tcp_no_delay(bool on) {
  if (peer_.if_unix() != nullptr) return;
  (void)net::detail::set_option(socket_.fd(), IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0);
}

void connection::set_tcp_keep_alive(bool on) {
  (void)net::detail::set_option(socket_.fd(), SOL_SOCKET, SO_KEEPALIVE, on ? 1 : 0);
}

void connection::start_tls(const net::tls_context& by, std::string_view host) {
  check("transport::start_tls");
  if (finished_) return;
  if (tls_) throw misuse{"start_tls: the connection is TLS already"};
  tls_ = std::make_unique<tls_layer>(host.empty() ? net::tls_engine{by}
                                                  : net::tls_engine{by, host, peer_.port()});
  pump();  // a client speaks first
  if (wants_input() && !reading_) reader_.wait();
}

}  // namespace oneloop::inline v0
