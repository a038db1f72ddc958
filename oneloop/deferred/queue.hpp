// A queue between callbacks, as Twisted's DeferredQueue: put never waits, get gives a deferred.
//
//     deferred_queue<job> q{100};                       // size; and how many may wait: backlog
//     q.get().add_callback([](job j) { work(j); });
//     q.put(job{1});
//
// It is a channel with deferreds in front: `shared()` is that channel, for parties that can wait
// for room.
//
// *Ownership*: who waits is a child of the nursery that the code is in the body of, or else of the
// loop's root nursery. The queue must outlive all who wait.
// *Cancellation*: cancel of a get that still waits takes it out of the line.
// *Threads*: put from any thread; get on a loop.
#pragma once

#include <cstddef>
#include <limits>
#include <optional>
#include <source_location>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {

/// A put into a deferred_queue that is full.
class ONELOOP_API queue_overflow : public error {
 public:
  explicit queue_overflow(std::size_t size);
};
/// A get from a deferred_queue for which as many wait as may.
class ONELOOP_API queue_underflow : public error {
 public:
  explicit queue_underflow(std::size_t backlog);
};

template <class T>
class deferred_queue {
 public:
  static constexpr std::size_t unlimited = std::numeric_limits<std::size_t>::max();

  /// `size`: how many values may be in it; 0: a put needs somebody who waits. `backlog`: how many
  /// gets may wait.
  explicit deferred_queue(std::size_t size = unlimited, std::size_t backlog = unlimited)
      : channel_{size == unlimited ? channel<T>{unbounded} : channel<T>{size}},
        size_{size},
        backlog_{backlog} {}

  /// Gives the value to the get that has waited longest, or keeps it. Throws queue_overflow if it
  /// is full, closed_error after `shared().close()`.
  void put(T value) {
    if (!channel_.try_send(std::move(value))) throw queue_overflow{size_};
  }
  /// Fires with the next value, in the order of the gets. Throws queue_underflow if there is none
  /// and too many wait already. Fails with closed_error when the channel was closed and is empty.
  [[nodiscard]] deferred<T> get(std::source_location at = std::source_location::current()) {
    const auto now = channel_.statistics();
    if (now.buffered == 0 && now.waiting_receivers >= backlog_) throw queue_underflow{backlog_};
    return defer(channel_.receive(), at).add_callback([](std::optional<T> v) {
      if (!v) throw closed_error{"deferred_queue::get"};
      return *std::move(v);
    });
  }
  /// Values that are in it.
  [[nodiscard]] std::size_t pending() const noexcept { return channel_.statistics().buffered; }
  /// Gets that wait.
  [[nodiscard]] std::size_t waiting() const noexcept {
    return channel_.statistics().waiting_receivers;
  }
  /// For other kinds of waiters.
  [[nodiscard]] channel<T>& shared() noexcept { return channel_; }

 private:
  channel<T> channel_;
  std::size_t size_, backlog_;
};

}  // namespace oneloop::inline v0
