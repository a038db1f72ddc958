// Timers: a pairing heap of nodes that live in whoever waits. Adding is O(1), removing O(log n)
// amortised, a million pending timers allocate nothing. Equal deadlines fire in the order in which
// they were added, or in one drawn from a seed.
//
//     struct alarm : oneloop::timer_node { ... };   // sets fire
//     q.add(a, deadline);
//     while (timer_node* t = q.pop_due(now)) t->fire(*t);
#pragma once

#include <cstdint>
#include <limits>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// One pending timer, embedded by its owner. 48 bytes. The owner removes it before it dies.
struct timer_node {
  using fire_fn = void (*)(timer_node&) noexcept;
  explicit timer_node(fire_fn f) noexcept : fire{f} {}
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;

  /// On the loop's thread, when the deadline has passed; the node is out of the queue then.
  fire_fn fire;
  time_point deadline{};

  [[nodiscard]] bool pending() const noexcept { return pending_; }

 private:
  friend class timer_queue;
  timer_node* child_ = nullptr;    // leftmost child
  timer_node* sibling_ = nullptr;  // next to the right
  timer_node* before_ = nullptr;   // left sibling, or the parent of a leftmost child
  std::uint32_t sequence_ = 0;
  bool pending_ = false;
};

/// The timers of one loop; used on its thread only.
class ONELOOP_API timer_queue {
 public:
  timer_queue() = default;
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;

  void add(timer_node& t, time_point deadline) noexcept;
  /// Takes it out; false if it is not pending (fired already, or never added).
  bool remove(timer_node& t) noexcept;
  /// The earliest deadline, `never` if there is none.
  [[nodiscard]] time_point next() const noexcept { return root_ ? root_->deadline : never; }
  /// Takes out one timer whose deadline is not after `now`; null if there is none.
  timer_node* pop_due(time_point now) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// From now on, equal deadlines fire in an order drawn from `seed`, which is not 0.
  void shuffle(std::uint64_t seed) noexcept { seed_ = seed; }

 private:
  static bool earlier(const timer_node& a, const timer_node& b) noexcept {
    if (a.deadline != b.deadline) return a.deadline < b.deadline;
    // By their distance, which is right also where the numbers have begun anew in between.
    return static_cast<std::int32_t>(a.sequence_ - b.sequence_) < 0;
  }
  static timer_node* meld(timer_node* a, timer_node* b) noexcept;
  static timer_node* merge_pairs(timer_node* first) noexcept;

  timer_node* root_ = nullptr;
  // The first numbers come before that end: what happens there happens in every program.
  std::uint32_t next_sequence_ = std::numeric_limits<std::uint32_t>::max() - 1000;
  std::uint64_t seed_ = 0;
  std::size_t size_ = 0;
};

}  // namespace oneloop::inline v0
