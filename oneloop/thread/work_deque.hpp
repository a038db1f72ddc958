// The deque of a worker that others may steal from (Chase and Lev, 2005): its owner pushes and pops
// at one end, thieves take from the other. Internal to thread/.
//
// Lock-free, over a policy of atomics. Without stand-alone fences: what decides who gets the last
// item is in one order by being sequentially consistent. A ring that has become too small is kept
// until the deque dies, because a thief may still be reading it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "oneloop/base/atomics.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::detail {

template <class Item, class Atomics = std_atomics>
class work_deque {
 public:
  work_deque() { ring_.store(rings_.emplace_back(std::make_unique<ring>(64)).get()); }

  /// The owner.
  void push(Item& item) {
    const std::int64_t b = bottom_.load(std::memory_order_relaxed);
    const std::int64_t t = top_.load(std::memory_order_acquire);
    ring* r = ring_.load(std::memory_order_relaxed);
    if (b - t >= r->size()) r = grow(*r, t, b);
    r->at(b).store(&item, std::memory_order_relaxed);
    // Against a worker that goes to sleep: it sees the item, or we see the sleeper.
    bottom_.store(b + 1, std::memory_order_seq_cst);
  }
  /// The owner: the newest; null if there is none.
  Item* pop() noexcept {
    const std::int64_t b = bottom_.load(std::memory_order_relaxed) - 1;
    bottom_.store(b, std::memory_order_seq_cst);
    std::int64_t t = top_.load(std::memory_order_seq_cst);
    Item* item = nullptr;
    if (t <= b) {
      item = ring_.load(std::memory_order_relaxed)->at(b).load(std::memory_order_relaxed);
      if (t < b) return item;
      // The last one: thieves may be after it.
      if (!top_.compare_exchange_strong(t, t + 1, std::memory_order_seq_cst)) item = nullptr;
    }
    bottom_.store(b + 1, std::memory_order_release);
    return item;
  }
  /// Anybody: the oldest; null if there is none.
  Item* steal() noexcept {
    for (;;) {
      std::int64_t t = top_.load(std::memory_order_seq_cst);
      const std::int64_t b = bottom_.load(std::memory_order_seq_cst);
      if (t >= b) return nullptr;
      Item* item = ring_.load(std::memory_order_acquire)->at(t).load(std::memory_order_relaxed);
      if (top_.compare_exchange_strong(t, t + 1, std::memory_order_seq_cst)) return item;
      Atomics::pause();
    }
  }

 private:
  using slot = typename Atomics::template atomic<Item*>;
  class ring {
   public:
    explicit ring(std::int64_t size)
        : size_{size}, slots_{std::make_unique<slot[]>(static_cast<std::size_t>(size))} {}
    [[nodiscard]] std::int64_t size() const noexcept { return size_; }
    slot& at(std::int64_t i) noexcept { return slots_[static_cast<std::size_t>(i & (size_ - 1))]; }

   private:
    std::int64_t size_;  // a power of two
    std::unique_ptr<slot[]> slots_;
  };

  ring* grow(ring& old, std::int64_t top, std::int64_t bottom) {
    ring* larger = rings_.emplace_back(std::make_unique<ring>(old.size() * 2)).get();
    for (std::int64_t i = top; i < bottom; ++i) {
      larger->at(i).store(old.at(i).load(std::memory_order_relaxed), std::memory_order_relaxed);
    }
    ring_.store(larger, std::memory_order_release);
    return larger;
  }

  typename Atomics::template atomic<std::int64_t> top_{0};
  typename Atomics::template atomic<std::int64_t> bottom_{0};
  typename Atomics::template atomic<ring*> ring_{nullptr};
  std::vector<std::unique_ptr<ring>> rings_;
};

}  // namespace oneloop::inline v0::detail
