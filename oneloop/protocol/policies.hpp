// Policies for protocols: ending idle connections, and limits on how many there are.
//
//     struct session : timeout_mixin<line_receiver> {
//       void connection_made() override { set_timeout(60s); }
//       void line_received(std::string_view) override { reset_timeout(); }
//     };
//     listen_tcp(79, limit_connections(factory_of<session>(), 1000, 10));
#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <optional>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/protocol/protocol.hpp"

namespace oneloop::inline v0 {
namespace detail {

/// Calls back when nobody has touched it for a while. Touching is a look at the clock.
class ONELOOP_API idle_timer final : timer_node {
 public:
  explicit idle_timer(std::function<void()> expired) noexcept;
  ~idle_timer() { stop(); }
  void start(duration limit);
  void touch() noexcept;
  void stop() noexcept;
  [[nodiscard]] std::optional<duration> limit() const noexcept { return limit_; }

 private:
  static void fired(timer_node& t) noexcept;
  std::function<void()> expired_;
  loop* home_ = nullptr;
  std::optional<duration> limit_;
  time_point touched_{};
};

}  // namespace detail

/// A protocol that ends a connection on which nothing has happened for too long. It ends with the
/// connection by itself.
template <class Base = protocol>
class timeout_mixin : public Base {
 public:
  using Base::Base;

  /// From now on, `limit` after the last reset_timeout; nothing: no limit. On the connection's
  /// loop.
  void set_timeout(std::optional<duration> limit) {
    if (limit) {
      timer_.start(*limit);
    } else {
      timer_.stop();
    }
  }
  /// Something has happened.
  void reset_timeout() noexcept { timer_.touch(); }
  [[nodiscard]] std::optional<duration> timeout() const noexcept { return timer_.limit(); }
  /// The time is up. Calls lose_connection, which waits for what was written to be sent; a peer
  /// that might not read either deserves abort_connection.
  virtual void timeout_connection() { this->transport().lose_connection(); }

 protected:
  void detached() noexcept override {
    timer_.stop();
    Base::detached();
  }

 private:
  detail::idle_timer timer_{[this] { this->transport().call([this] { timeout_connection(); }); }};
};

/// Refuses connections beyond `total` at a time, and beyond `per_peer` from one IP address: they
/// are closed as soon as they are accepted. Everything else is up to `f`.
[[nodiscard]] ONELOOP_API std::shared_ptr<factory> limit_connections(
    std::shared_ptr<factory> f, std::size_t total,
    std::size_t per_peer = std::numeric_limits<std::size_t>::max());

}  // namespace oneloop::inline v0
