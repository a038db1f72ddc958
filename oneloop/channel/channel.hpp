// A channel, as Go's: values pass from senders to receivers, in order, between parties of any kind.
// Capacity 0 is a rendezvous: a send finishes when a receiver has the value.
//
//     oneloop::channel<int> c;               // or c{100}, or c{unbounded}
//     co_await c.send(1);                    // one party; it ends with c.close()
//     while (auto v = co_await c.receive()) use(*v);  // until it is closed and drained
//     for (int v : c) use(v);                         // the same in a fiber or a plain thread
//
// Wait for several channels, or with a timeout, with `select` (select.hpp). Code that should only
// send or only receive takes a `sender<T>` or a `receiver<T>`; c converts to both.
//
// *Cancellation*: a cancelled send was not received by anybody and its value is still in the
// operation; a cancelled receive took nothing. A hand-over that happened first is delivered.
//
// *Threads*: every member from any thread, loop or model. The channel must outlive every operation
// on it; it may be destroyed as soon as those have returned.
//
// *Cost*: one lock and at most one compare-and-swap an operation; no allocation after construction.
// An unbounded one allocates about 1 KiB at a time, and frees it when that much has been received.
// Values move under the lock: T's move must not throw, and must not use the channel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

#include "oneloop/channel/conduit.hpp"
#include "oneloop/scope/await.hpp"

namespace oneloop::inline v0 {

/// What channel::statistics reports.
struct channel_statistics {
  std::size_t capacity;  // `unlimited` if there is none
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
/// The context of a fiber or thread; throws would_block_loop with the coroutine's idiom.
ONELOOP_API void check_range_for();
}  // namespace detail

/// What a range-for over a channel goes by: an input iterator. It receives when it is compared or
/// looked at, not before: `c | std::views::take(3)` takes three values from the channel, not four.
template <class Channel>
class channel_iterator {
 public:
  using value_type = typename Channel::value_type;
  using difference_type = std::ptrdiff_t;

  explicit channel_iterator(Channel& c) : channel_{&c} { detail::check_range_for(); }

  value_type& operator*() const { return *fetched(); }
  channel_iterator& operator++() {
    fetched();
    fetched_ = false;
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const channel_iterator& i, std::default_sentinel_t) {
    return !i.fetched();
  }

 private:
  std::optional<value_type>& fetched() const {
    if (!fetched_) {
      value_.reset();
      if (auto v = await(channel_->receive())) value_.emplace(*std::move(v));
      fetched_ = true;
    }
    return value_;
  }
  Channel* channel_;
  mutable std::optional<value_type> value_;
  mutable bool fetched_ = false;
};

template <class T>
class channel : private conduit<T, detail::channel_names> {
  using base = conduit<T, detail::channel_names>;

 public:
  using value_type = T;
  using typename base::receive_operation;
  using typename base::send_operation;

  /// Allocates the buffer, if `capacity` is not 0.
  explicit channel(std::size_t capacity = 0) : base{capacity} {}
  /// Sends never wait; they throw std::bad_alloc, the value untouched, when there is no memory.
  /// Nothing slows a sender down: bound what it may be ahead elsewhere.
  explicit channel(unbounded_t u) : base{u} {}

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
    T copy(value);
    return base::try_send(copy);
  }

  /// Never waits. nullopt: nothing is there now; `drained()` tells whether anything can still come.
  [[nodiscard]] std::optional<T> try_receive() noexcept { return base::try_receive(); }

  /// No more sends: those that wait now and later ones throw closed_error. Receivers get what is
  /// buffered, and then nullopt. For the sending side; throws misuse if it is closed already.
  void close() {
    if (!try_close()) detail::throw_closed_twice();
  }
  /// The same where somebody else may have closed it: false then.
  bool try_close() noexcept {
    wake_list woken;
    bool first;
    {
      std::scoped_lock hold{this->lock_};
      first = this->close_locked(woken);
    }
    woken.wake_all();
    return first;
  }

  /// `for (auto& v : c)` in a fiber or a plain thread: receives until the channel is closed and
  /// drained. Throws what `await(c.receive())` throws. In a coroutine it throws would_block_loop:
  /// there it is `while (auto v = co_await c.receive())`.
  [[nodiscard]] auto begin() { return channel_iterator<channel>{*this}; }
  [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

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

/// The sending side of a channel, for code that should not receive (Go's `chan<- T`). A reference:
/// the channel must outlive it. Members as the channel's.
template <class T>
class sender {
 public:
  using value_type = T;
  // NOLINTNEXTLINE(google-explicit-constructor): a channel is a sender
  sender(channel<T>& c) noexcept : channel_{&c} {}

  [[nodiscard]] auto send(T value) const noexcept { return channel_->send(std::move(value)); }
  [[nodiscard]] bool try_send(T&& value) const { return channel_->try_send(std::move(value)); }
  [[nodiscard]] bool try_send(const T& value) const { return channel_->try_send(value); }
  void close() const { channel_->close(); }
  bool try_close() const noexcept { return channel_->try_close(); }
  [[nodiscard]] bool closed() const noexcept { return channel_->closed(); }

 private:
  channel<T>* channel_;
};

/// The receiving side (Go's `<-chan T`), also in a range-for. A reference, as `sender`.
template <class T>
class receiver {
 public:
  using value_type = T;
  // NOLINTNEXTLINE(google-explicit-constructor): a channel is a receiver
  receiver(channel<T>& c) noexcept : channel_{&c} {}

  [[nodiscard]] auto receive() const noexcept { return channel_->receive(); }
  [[nodiscard]] std::optional<T> try_receive() const noexcept { return channel_->try_receive(); }
  [[nodiscard]] bool drained() const noexcept { return channel_->drained(); }
  [[nodiscard]] auto begin() const { return channel_->begin(); }
  [[nodiscard]] static std::default_sentinel_t end() noexcept { return {}; }

 private:
  channel<T>* channel_;
};

/// Closes a channel when it goes out of scope, unless somebody has before: Go's `defer close(c)`.
template <class T>
class [[nodiscard]] auto_close {
 public:
  explicit auto_close(sender<T> to) noexcept : to_{to} {}
  explicit auto_close(channel<T>& c) noexcept : to_{c} {}
  auto_close(const auto_close&) = delete;
  auto_close& operator=(const auto_close&) = delete;
  ~auto_close() { to_.try_close(); }

 private:
  sender<T> to_;
};

}  // namespace oneloop::inline v0
