// The conduit: what a channel and a queue have in common. Values go from senders to receivers
// through a ring, or hand to hand. Users take `channel` or `queue`; this is their machine.
//
// Invariants, under lock_ (nodes with a lost claim do not count):
//   - a receiver waits only while the ring is empty and no sender waits, never once it is closed
//   - a sender waits only while the ring is full, never once it is closed
//   - sends are accepted in the order in which they started
//
// `Names` has the names of the two operations, for messages and dumps. `Store` keeps what nobody
// has received yet, and decides what is next: a ring (first in, first out), or what lifo_queue and
// priority_queue have. With a capacity its push never throws.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "oneloop/channel/ring.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0 {

/// Why a value was not taken.
enum class refusal : std::uint8_t { none, closed, no_memory };
/// Throws closed_error or std::bad_alloc; apart, so that the headers stay light.
[[noreturn]] ONELOOP_API void throw_refused(refusal why, const char* operation);

template <class T, class Names, class Store = ring<T>>
class conduit {
  static_assert(std::is_nothrow_move_constructible_v<T> && std::is_nothrow_destructible_v<T>,
                "values move under a lock: moving must not throw (send a std::unique_ptr instead)");

 public:
  class send_operation : public parking_operation<send_operation, conduit> {
   public:
    static constexpr const char* name = Names::send;
    /// Throws closed_error if the value was not taken because the other side is closed.
    void await_resume() {
      if (refused_ != refusal::none) throw_refused(refused_, name);
    }
    /// The value, for as long as it has not been sent: also after `cancelled`, after closed_error,
    /// and as a losing case of a select.
    [[nodiscard]] T& value() noexcept { return value_; }

   private:
    friend class conduit;
    template <class, class>
    friend class parking_operation;
    send_operation(conduit& c, T&& value) noexcept
        : parking_operation<send_operation, conduit>{c}, value_(std::move(value)) {}
    enlisted attempt(waiter* w) noexcept {
      return this->owner().send_value(value_, refused_, w, this);
    }

    refusal refused_ = refusal::none;
    T value_;
  };

  class receive_operation : public parking_operation<receive_operation, conduit> {
   public:
    static constexpr const char* name = Names::receive;
    /// The value; nullopt: closed, and everything that was sent has been received.
    std::optional<T> await_resume() noexcept {
      this->set_idle();
      std::optional<T> value{std::move(slot_)};
      slot_.reset();
      return value;
    }

   private:
    friend class conduit;
    template <class, class>
    friend class parking_operation;
    explicit receive_operation(conduit& c) noexcept
        : parking_operation<receive_operation, conduit>{c} {}
    enlisted attempt(waiter* w) noexcept { return this->owner().receive_value(slot_, w, this); }

    std::optional<T> slot_;
  };

  explicit conduit(std::size_t capacity) : ring_{capacity} {}
  explicit conduit(unbounded_t u) : ring_{u} {}
  explicit conduit(Store&& store) : ring_{std::move(store)} {}
  conduit(const conduit&) = delete;
  conduit& operator=(const conduit&) = delete;

  send_operation send(T&& value) noexcept { return {*this, std::move(value)}; }
  receive_operation receive() noexcept { return receive_operation{*this}; }

  bool try_send(T& value) {
    refusal refused = refusal::none;
    const bool sent = send_value(value, refused, nullptr, nullptr) == enlisted::completed;
    if (refused != refusal::none) throw_refused(refused, Names::send);
    return sent;
  }
  std::optional<T> try_receive() noexcept {
    std::optional<T> slot;
    receive_value(slot, nullptr, nullptr);
    return slot;
  }

 protected:
  /// Under the lock. Everybody who waits is refused, or told that nothing more comes. False if it
  /// was closed already.
  bool close_locked(wake_list& woken) noexcept {
    if (closed_) return false;
    closed_ = true;
    while (send_operation* s = senders_.take()) {
      s->refused_ = refusal::closed;
      woken.add(*s);
    }
    while (receive_operation* r = receivers_.take()) woken.add(*r);
    return true;
  }

  template <class, class>
  friend class parking_operation;
  mutable short_mutex lock_;
  bool closed_ = false;
  std::uint64_t accepted_ = 0;  // values that were sent, ever
  Store ring_;
  parking_lot<send_operation> senders_;
  parking_lot<receive_operation> receivers_;

 private:
  // Both: `op` is the operation that parks, null (with `w`) for a try.
  enlisted send_value(T& value, refusal& refused, waiter* w, send_operation* op) noexcept {
    waiter* receiver = nullptr;
    {
      std::scoped_lock hold{lock_};
      if (closed_) {
        if (!parked::commit(w)) return enlisted::lost;
        refused = refusal::closed;
      } else {
        const auto [r, lost] = receivers_.take(w);
        if (lost) return enlisted::lost;
        if (r != nullptr) {
          r->slot_.emplace(std::move(value));
          receiver = r->who();
        } else if (!ring_.full()) {
          if (!parked::commit(w)) return enlisted::lost;
          try {
            ring_.push(std::move(value));
          } catch (...) {
            refused = refusal::no_memory;
          }
        } else {
          if (w != nullptr) senders_.park(*op, *w);
          return enlisted::waiting;
        }
        if (refused == refusal::none) ++accepted_;
      }
    }
    if (op != nullptr) op->set_done();
    if (receiver != nullptr) receiver->wake();
    return enlisted::completed;
  }

  enlisted receive_value(std::optional<T>& slot, waiter* w, receive_operation* op) noexcept {
    waiter* sender = nullptr;
    {
      std::scoped_lock hold{lock_};
      if (!ring_.empty()) {
        if (!parked::commit(w)) return enlisted::lost;
        slot.emplace(ring_.pop());
        if (send_operation* s = senders_.take()) {
          ring_.push(std::move(s->value_));
          ++accepted_;
          sender = s->who();
        }
      } else {
        const auto [s, lost] = senders_.take(w);
        if (lost) return enlisted::lost;
        if (s != nullptr) {
          slot.emplace(std::move(s->value_));
          ++accepted_;
          sender = s->who();
        } else if (closed_) {
          if (!parked::commit(w)) return enlisted::lost;
        } else {
          if (w != nullptr) receivers_.park(*op, *w);
          return enlisted::waiting;
        }
      }
    }
    if (op != nullptr) op->set_done();
    if (sender != nullptr) sender->wake();
    return enlisted::completed;
  }
};

}  // namespace oneloop::inline v0
