// Timers: a hierarchy of wheels, exact to the nanosecond, of nodes that live in whoever waits.
// Adding and removing take a few instructions each, whatever else is pending; a timer that fires
// has been moved at most ten times before. Nothing is allocated. Equal deadlines fire in the order
// in which they were added, or in one drawn from a seed.
//
//     struct alarm : oneloop::timer_node { ... };   // sets fire
//     q.add(a, deadline);
//     while (timer_node* t = q.pop_due(now)) t->fire(*t);
//
// A deadline is taken for a number in base 64, a wheel a digit. A timer is on the wheel of the
// first digit, from the left, in which it differs from the queue's own time, and in the slot of
// that digit: so what is on a lower wheel, and there in a lower slot, is due first. When the
// queue's time comes to a slot its timers go to lower wheels; on the lowest a slot is one
// nanosecond. (Varghese and Lauck, "Hashed and hierarchical timing wheels", SOSP 1987, scheme 7; as
// a priority queue: Ahuja, Mehlhorn, Orlin and Tarjan's radix heap, J. ACM 37, 1990.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// One pending timer, embedded by its owner. 32 bytes. The owner removes it before it dies.
struct timer_node {
  using fire_fn = void (*)(timer_node&) noexcept;
  explicit timer_node(fire_fn f) noexcept : fire{f} {}
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;

  /// On the loop's thread, when the deadline has passed; the node is out of the queue then.
  fire_fn fire;
  time_point deadline{};

  [[nodiscard]] bool pending() const noexcept { return next_ != nullptr; }

 private:
  friend class timer_queue;
  timer_node* next_ = nullptr;  // of its slot, in a ring
  timer_node* before_ = nullptr;
};

/// The timers of one loop; used on its thread only. Its time does not go back: a deadline before
/// the last `now` is that `now`.
class ONELOOP_API timer_queue {
 public:
  timer_queue() = default;
  timer_queue(const timer_queue&) = delete;
  timer_queue& operator=(const timer_queue&) = delete;

  void add(timer_node& t, time_point deadline) noexcept;
  /// Takes it out; false if it is not pending (fired already, or never added).
  bool remove(timer_node& t) noexcept;
  /// Takes out one timer whose deadline is not after `now`; null if there is none.
  timer_node* pop_due(time_point now) noexcept;
  /// The earliest deadline; with very many timers perhaps a time before that, to look again then.
  /// `never` if there is none.
  [[nodiscard]] time_point next() noexcept;
  /// The same: after `now` if nothing is due then.
  [[nodiscard]] time_point next(time_point now) noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// From now on, equal deadlines fire in an order drawn from `seed`, which is not 0.
  void shuffle(std::uint64_t seed) noexcept { seed_ = seed; }

 private:
  using ticks = std::uint64_t;  // since time_point::min()
  static constexpr unsigned digit_bits = 6;
  static constexpr unsigned slots = 1U << digit_bits, wheels = 11;

  struct place {
    unsigned wheel, slot;
  };
  struct wheel {
    std::uint64_t used = 0;  // a bit a slot
    std::array<timer_node*, slots> first{};
  };

  static ticks ticks_of(time_point t) noexcept {
    return static_cast<ticks>(t.time_since_epoch().count()) ^ (ticks{1} << 63);
  }
  static time_point time_of(ticks t) noexcept {
    return time_point{duration{static_cast<duration::rep>(t ^ (ticks{1} << 63))}};
  }
  [[nodiscard]] place place_of(time_point deadline) const noexcept;
  [[nodiscard]] place lowest() const noexcept;
  /// When the time comes to it.
  [[nodiscard]] ticks begin_of(place p) const noexcept;
  void link(timer_node& t) noexcept;
  void unlink(timer_node& t, place p) noexcept;
  bool come_to(time_point now) noexcept;

  ticks time_{0};  // not after any deadline, but of what is due since
  std::size_t size_ = 0;
  time_point next_ = never;  // if known_
  bool known_ = false;
  std::uint64_t seed_ = 0;
  std::uint32_t used_ = 0;  // a bit a wheel
  std::array<wheel, wheels> wheels_{};
};

}  // namespace oneloop::inline v0
