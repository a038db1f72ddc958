#include "oneloop/protocol/client.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/connect.hpp"
#include "oneloop/protocol/dialling_internal.hpp"
#include "oneloop/scope/timeout.hpp"

namespace oneloop::inline v0 {
namespace {

task<connected_socket> dial_tcp(std::string host, std::uint16_t port) {
  auto connecting = net::connect(std::move(host), port);
  auto stream = co_await std::move(connecting);
  co_return take_socket(std::move(stream));
}

task<connected_socket> dial_unix(net::unix_address to) {
  auto stream = co_await net::connect(to);
  co_return connected_socket{std::move(stream).take_descriptor(), to};
}

/// One attempt. `how` outlives it.
task<connected_socket> attempt(const dialling* how) {
  auto dial = how->dial();
  if (how->timeout <= duration::zero()) {
    auto made = co_await std::move(dial);
    co_return made;
  }
  auto made = co_await move_on_after(how->timeout, std::move(dial));
  if (!made) throw timeout_error{"connect " + how->to};
  co_return std::move(*made);
}

void begin(const dialling& how, connected_socket s, std::shared_ptr<protocol> p,
           std::shared_ptr<factory> by, std::shared_ptr<connector> from) {
  std::optional<connection::tls_start> tls;
  if (how.tls) tls.emplace(connection::tls_start{*how.tls, how.host});
  connection::start(nursery_here("connect"), std::move(s), std::move(p), std::move(by),
                    std::move(from), tls ? &*tls : nullptr);
}

dialling tcp(std::string host, std::uint16_t port, const net::tls_context* tls, duration timeout) {
  std::string to = host + ":" + std::to_string(port);
  dialling how{std::move(to), [host, port] { return dial_tcp(host, port); }, timeout};
  if (tls != nullptr) {
    (void)net::tls_engine{*tls, host, port};  // throws what it has to throw here
    how.tls = *tls;
    how.host = std::move(host);
  }
  return how;
}

dialling at_unix(const net::unix_address& to, duration timeout) {
  return {to.to_string(), [to] { return dial_unix(to); }, timeout};
}

std::shared_ptr<connector> connect(dialling how, std::shared_ptr<client_factory> f) {
  (void)nursery_here("connect");
  if (!f) throw misuse{"connect without a factory"};
  auto c = std::make_shared<connector>(std::move(how), std::move(f));
  c->connect();
  return c;
}

deferred<> begin_one(dialling with, std::shared_ptr<protocol> p) {
  auto how = std::make_shared<const dialling>(std::move(with));
  return defer(attempt(how.get())).add_callback([how, p = std::move(p)](connected_socket s) {
    begin(*how, std::move(s), p, nullptr, nullptr);
  });
}

}  // namespace

// ---- connectors ----

connector::connector(dialling how, std::shared_ptr<client_factory> f)
    : how_{std::make_unique<dialling>(std::move(how))}, factory_{std::move(f)} {}
connector::~connector() = default;

const std::string& connector::destination() const noexcept { return how_->to; }

void connector::connect() {
  if (phase_ != phase::disconnected) {
    throw misuse{"connector::connect: it is connected, or about to be"};
  }
  (void)nursery_here("connector::connect");
  phase_ = phase::connecting;
  if (!std::exchange(started_, true)) factory_->do_start();
  auto self = shared_from_this();
  attempt_ =
      defer(attempt(how_.get()))
          .add_callback([self](connected_socket s) {
            self->attempt_.reset();
            self->phase_ = phase::connected;
            auto p = self->factory_->build_protocol(s.peer);
            const bool wanted = p != nullptr;
            if (!wanted) p = std::make_shared<protocol>();
            begin(*self->how_, std::move(s), std::move(p), wanted ? self->factory_ : nullptr, self);
            if (!wanted) self->disconnect();
          })
          .add_errback([self](failure f) { self->failed(std::move(f)); });
  factory_->started_connecting(*this);
}

void connector::stop_connecting() {
  if (phase_ != phase::connecting) throw misuse{"connector::stop_connecting: it is not connecting"};
  attempt_->cancel();
}

void connector::disconnect() {
  if (phase_ == phase::connecting) {
    stop_connecting();
  } else if (transport_ != nullptr) {
    transport_->lose_connection();
  }
}

struct connector::settling {
  connector& c;
  ~settling() { c.settle(); }  // also if the factory's callback throws
};

void connector::failed(failure reason) {
  attempt_.reset();
  phase_ = phase::disconnected;
  const settling at_end{*this};
  factory_->client_connection_failed(*this, std::move(reason));
}

void connector::lost(failure reason) {
  transport_ = nullptr;
  phase_ = phase::disconnected;
  const settling at_end{*this};
  factory_->client_connection_lost(*this, std::move(reason));
}

/// Unless the factory has connected again.
void connector::settle() noexcept {
  if (phase_ == phase::disconnected && std::exchange(started_, false)) factory_->do_stop();
}

std::shared_ptr<connector> connect_tcp(std::string host, std::uint16_t port,
                                       std::shared_ptr<client_factory> f, duration timeout) {
  return connect(tcp(std::move(host), port, nullptr, timeout), std::move(f));
}

std::shared_ptr<connector> connect_unix(const net::unix_address& to,
                                        std::shared_ptr<client_factory> f, duration timeout) {
  return connect(at_unix(to, timeout), std::move(f));
}

std::shared_ptr<connector> connect_tls(std::string host, std::uint16_t port,
                                       std::shared_ptr<client_factory> f,
                                       const net::tls_context& context, duration timeout) {
  return connect(tcp(std::move(host), port, &context, timeout), std::move(f));
}

namespace detail {

deferred<> begin_tcp(std::string host, std::uint16_t port, std::shared_ptr<protocol> p,
                     const net::tls_context* tls, duration timeout) {
  return begin_one(tcp(std::move(host), port, tls, timeout), std::move(p));
}

deferred<> begin_unix(const net::unix_address& to, std::shared_ptr<protocol> p, duration timeout) {
  return begin_one(at_unix(to, timeout), std::move(p));
}

}  // namespace detail

void start_protocol(net::tcp_stream s, std::shared_ptr<protocol> p) {
  connection::start(nursery_here("start_protocol"), take_socket(std::move(s)), std::move(p),
                    nullptr, nullptr, nullptr);
}

void start_protocol(net::unix_stream s, std::shared_ptr<protocol> p) {
  connection::start(nursery_here("start_protocol"), take_socket(std::move(s)), std::move(p),
                    nullptr, nullptr, nullptr);
}

// ---- reconnecting ----

namespace {

/// A standard normal number (Box and Muller), from the loop's.
double normal(loop& l) {
  const auto unit = [&l] { return (static_cast<double>(l.random() >> 11) + 0.5) * 0x1p-53; };
  const double radius = std::sqrt(-2 * std::log(unit()));
  return radius * std::cos(2 * std::numbers::pi * unit());
}

}  // namespace

void reconnecting_client_factory::reset_delay() noexcept {
  delay_ = initial_;
  retries_ = 0;
  trying_ = true;
}

void reconnecting_client_factory::stop_trying() {
  trying_ = false;
  if (auto waiting = std::exchange(waiting_, std::nullopt)) waiting->cancel();
  const auto c = connector_.lock();
  if (c && c->state() == connector::phase::connecting) c->stop_connecting();
}

void reconnecting_client_factory::retry(connector& c) {
  connector_ = c.weak_from_this();
  if (!trying_ || (waiting_ && !waiting_->called())) return;  // called: that one was cancelled
  if (max_retries_ && retries_ >= *max_retries_) {
    log(severity::warning,
        "connect " + c.destination() + ": given up after " + std::to_string(retries_) + " retries");
    return;
  }
  ++retries_;
  using seconds = std::chrono::duration<double>;
  const seconds grown{std::min(seconds{delay_} * factor_, seconds{max_})};
  double next = grown.count();
  delay_ = std::chrono::duration_cast<duration>(grown);
  if (jitter_ > 0) next = std::max(0.0, next + next * jitter_ * normal(*loop::current()));
  waiting_ = defer(sleep_for(std::chrono::duration_cast<duration>(seconds{next})))
                 .add_callbacks(
                     [this, to = c.shared_from_this()] {
                       waiting_.reset();
                       to->connect();
                     },
                     [](const failure&) {});
}

void reconnecting_client_factory::client_connection_failed(connector& c, failure reason) {
  if (is_cancelled(reason.exception())) return;
  retry(c);
}

void reconnecting_client_factory::client_connection_lost(connector& c, failure reason) {
  if (is_cancelled(reason.exception())) return;
  retry(c);
}

}  // namespace oneloop::inline v0
