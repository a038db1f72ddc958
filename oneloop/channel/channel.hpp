// A channel, as Go's: values pass from senders to receivers, in order, between parties of any kind.
// Capacity 0 is a rendezvous: a send finishes when a receiver has the value.
//
//     oneloop::channel<int> c;               // or c{100}
//     co_await c.send(1);                    // one party
//     for (;;) {                             // another: until c is closed and drained
//       auto v = co_await c.receive();
//       if (!v) break;
//       use(*v);
//     }
//
// Wait for several channels, or with a timeout, with `select` (select.hpp).
//
// *Cancellation*: a cancelled send was not received by anybody and its value is still in the
// operation; a cancelled receive took nothing. A hand-over that happened first is delivered.
//
// *Threads*: every member from any thread, loop or model. The channel must outlive every operation
// on it; it may be destroyed as soon as those have returned.
//
// *Cost*: one lock and at most one compare-and-swap an operation; no allocation after construction.
// Values move under the lock: T's move must not throw, and must not use the channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "oneloop/channel/conduit.hpp"

namespace oneloop::inline v0 {

/// What channel::statistics reports.
struct channel_statistics {
  std::size_t capacity;
  std::size_t buffered;
  std::size_t waiting_senders;
  std::size_t waiting_receivers;
  std::uint64_t sent;  // values, since the beginning
  bool closed;
};

namespace detail {
struct channel_names {
  static constexpr const char* send = "channel.send";
  static constexpr const char* receive = "channel.receive";
};
[[noreturn]] ONELOOP_API void throw_closed_twice();
}  // namespace detail

template <class T>
class channel : private conduit<T, detail::channel_names> {
  using base = conduit<T, detail::channel_names>;

 public:
  using value_type = T;
  using typename base::receive_operation;
  using typename base::send_operation;

  /// Allocates the buffer, if `capacity` is not 0.
  explicit channel(std::size_t capacity = 0) : base{capacity} {}

  /// Until a receiver or the buffer has taken the value. Result: nothing. Throws closed_error if
  /// the channel is closed, or is closed while this waits. A value that was not sent stays in the
  /// operation: name it and ask `value()`.
  [[nodiscard]] send_operation send(T value) noexcept { return base::send(std::move(value)); }

  /// Until there is a value. Result: std::optional<T>; nullopt when the channel is closed and
  /// everything sent has been received (Go's `v, ok := <-c`).
  [[nodiscard]] receive_operation receive() noexcept { return base::receive(); }

  /// Never waits. False, and `value` untouched, if nobody receives and the buffer is full. Throws
  /// closed_error, `value` untouched, if the channel is closed.
  [[nodiscard]] bool try_send(T&& value) { return base::try_send(value); }
  [[nodiscard]] bool try_send(const T& value) {
    T copy{value};
    return base::try_send(copy);
  }

  /// Never waits. nullopt: nothing is there now; `drained()` tells whether anything can still come.
  [[nodiscard]] std::optional<T> try_receive() noexcept { return base::try_receive(); }

  /// No more sends: those that wait now and later ones throw closed_error. Receivers get what is
  /// buffered, and then nullopt. For the sending side; throws misuse if it is closed already.
  void close() {
    wake_list woken;
    bool first;
    {
      std::scoped_lock hold{this->lock_};
      first = this->close_locked(woken);
    }
    woken.wake_all();
    if (!first) detail::throw_closed_twice();
  }

  [[nodiscard]] bool closed() const noexcept {
    std::scoped_lock hold{this->lock_};
    return this->closed_;
  }
  /// Closed, and nothing is left in the buffer.
  [[nodiscard]] bool drained() const noexcept {
    std::scoped_lock hold{this->lock_};
    return this->closed_ && this->ring_.empty();
  }
  /// A consistent snapshot. Walks the queues under the lock.
  [[nodiscard]] channel_statistics statistics() const noexcept {
    std::scoped_lock hold{this->lock_};
    return {this->ring_.capacity(),  this->ring_.size(), this->senders_.size(),
            this->receivers_.size(), this->accepted_,    this->closed_};
  }
};

}  // namespace oneloop::inline v0
