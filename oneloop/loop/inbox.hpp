// The inbox of a loop: how other threads make its waiters ready. A lock-free stack that many push
// to and the loop takes as a whole, with an eventfd for a loop that sleeps.
//
// Wake-ups outlive loops: the inbox is a reference-counted block of its own. A waker pins it before
// it publishes anything, and afterwards touches only the block; the loop may be gone by then.
//
//     inbox_pin pin{l.mail()};
//     pin->push(item);   // `item`, and the loop behind it, may be gone now
#pragma once

#include <atomic>
#include <cstdint>

#include "oneloop/base/atomics.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0 {

/// The lock-free part, over a policy of atomics. `push` links `item` and tells whether the consumer
/// must be woken; `closed` refuses.
template <class Item, class Atomics = std_atomics>
class basic_mpsc_stack {
 public:
  enum class pushed { quiet, wake, closed };

  /// Any thread. After it returned, `item` belongs to the consumer.
  pushed push(Item& item) noexcept {
    Item* head = head_.load(std::memory_order_relaxed);
    do {
      if (head == closed_mark()) return pushed::closed;
      item.next = head;
    } while (!head_.compare_exchange_weak(head, &item, std::memory_order_seq_cst,
                                          std::memory_order_relaxed));
    // seq_cst against `sleep`: either the sleeper sees the item, or we see the sleeper.
    if (!sleeping_.load(std::memory_order_seq_cst)) return pushed::quiet;
    return sleeping_.exchange(false, std::memory_order_seq_cst) ? pushed::wake : pushed::quiet;
  }

  /// The consumer: everything pushed so far, oldest first.
  intrusive_queue<Item> take_all() noexcept {
    if (head_.load(std::memory_order_relaxed) == nullptr) return {};
    return in_order(head_.exchange(nullptr, std::memory_order_acquire));
  }

  /// The consumer announces that it will sleep; false (and awake) if something has come.
  bool sleep() noexcept {
    sleeping_.store(true, std::memory_order_seq_cst);
    if (head_.load(std::memory_order_seq_cst) == nullptr) return true;
    sleeping_.store(false, std::memory_order_relaxed);
    return false;
  }
  void awake() noexcept { sleeping_.store(false, std::memory_order_relaxed); }
  [[nodiscard]] bool empty() const noexcept {
    return head_.load(std::memory_order_acquire) == nullptr;
  }

  /// The consumer, for good: later pushes are refused; what had come is returned.
  intrusive_queue<Item> close() noexcept {
    Item* last = head_.exchange(closed_mark(), std::memory_order_acq_rel);
    return last == closed_mark() ? intrusive_queue<Item>{} : in_order(last);
  }

 private:
  static intrusive_queue<Item> in_order(Item* newest) noexcept {
    Item* oldest = nullptr;
    while (newest != nullptr) {
      Item* next = newest->next;
      newest->next = oldest;
      oldest = newest;
      newest = next;
    }
    intrusive_queue<Item> q;
    while (oldest != nullptr) {
      Item* next = oldest->next;
      q.push(*oldest);
      oldest = next;
    }
    return q;
  }
  static Item* closed_mark() noexcept { return reinterpret_cast<Item*>(std::uintptr_t{1}); }

  // Each on a cache line of its own: a consumer that looks at the head again and again must not
  // take from a producer what this touches next.
  alignas(64) typename Atomics::template atomic<Item*> head_{nullptr};
  alignas(64) typename Atomics::template atomic<bool> sleeping_{false};
};

/// The block. Created by its loop; freed when the loop and all pins have let go.
class ONELOOP_API inbox {
 public:
  /// Throws error if no eventfd can be had.
  static inbox* create();
  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;

  /// Any thread that holds a pin. False: the loop is gone, the item still belongs to the caller.
  bool push(ready_item& item) noexcept;
  /// Ends the loop's sleep without an item. Async-signal-safe.
  void wake() noexcept;

  /// A bit for each signal that has come since the last look; set by the signal handler.
  std::atomic<std::uint64_t> signals{0};

  // ---- the loop's side ----
  basic_mpsc_stack<ready_item>& stack() noexcept { return stack_; }
  /// Becomes readable when the loop must look; `drain` makes it unreadable again.
  [[nodiscard]] int fd() const noexcept { return event_fd_; }
  void drain() noexcept;

 private:
  explicit inbox(int fd) noexcept : event_fd_{fd} {}
  ~inbox();
  basic_mpsc_stack<ready_item> stack_;
  // As its line: away from the head.
  alignas(64) std_atomics::atomic<std::uint32_t> references_{1};
  int event_fd_;
};

/// Keeps an inbox alive for a scope.
class inbox_pin {
 public:
  explicit inbox_pin(inbox& i) noexcept : inbox_{&i} { i.retain(); }
  inbox_pin(const inbox_pin& o) noexcept : inbox_{o.inbox_} { inbox_->retain(); }
  inbox_pin& operator=(const inbox_pin&) = delete;
  ~inbox_pin() { inbox_->release(); }
  inbox* operator->() const noexcept { return inbox_; }

 private:
  inbox* inbox_;
};

}  // namespace oneloop::inline v0
