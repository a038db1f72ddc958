#include "oneloop/loop/timer_queue.hpp"

#include <algorithm>
#include <bit>
#include <utility>

#include "oneloop/loop/split_mix_internal.hpp"

namespace oneloop::inline v0 {
namespace {

/// So many timers are looked at for the earliest one.
constexpr int most_looks = 64;

}  // namespace

timer_queue::place timer_queue::place_of(time_point deadline) const noexcept {
  const ticks t = std::max(ticks_of(deadline), time_);
  const ticks differs = t ^ time_;
  const unsigned w =
      differs == 0 ? 0 : (63 - static_cast<unsigned>(std::countl_zero(differs))) / digit_bits;
  return {w, static_cast<unsigned>(t >> (w * digit_bits)) % slots};
}

timer_queue::place timer_queue::lowest() const noexcept {
  const auto w = static_cast<unsigned>(std::countr_zero(used_));
  return {w, static_cast<unsigned>(std::countr_zero(wheels_[w].used))};
}

timer_queue::ticks timer_queue::begin_of(place p) const noexcept {
  const unsigned shift = p.wheel * digit_bits;
  const ticks above = shift + digit_bits < 64 ? time_ >> (shift + digit_bits) : 0;
  return ((above << digit_bits) | p.slot) << shift;
}

void timer_queue::link(timer_node& t) noexcept {
  const place p = place_of(t.deadline);
  wheel& w = wheels_[p.wheel];
  timer_node*& first = w.first[p.slot];
  if (first == nullptr) {
    first = t.next_ = t.before_ = &t;
    w.used |= std::uint64_t{1} << p.slot;
    used_ |= std::uint32_t{1} << p.wheel;
    return;
  }
  timer_node* after = first->before_;
  if (seed_ != 0) [[unlikely]] {
    // Behind or before one of the two at the ends; each move to a lower wheel mixes them again.
    const std::uint64_t drawn = split_mix(seed_);
    if ((drawn & 1) != 0) after = after->before_;
    if ((drawn & 2) != 0) after = after->next_->next_;
    if ((drawn & 4) != 0 && after == first->before_) {
      t.next_ = first;
      t.before_ = std::exchange(first->before_, &t);
      t.before_->next_ = &t;
      first = &t;
      return;
    }
  }
  t.next_ = std::exchange(after->next_, &t);
  t.before_ = after;
  t.next_->before_ = &t;
}

void timer_queue::unlink(timer_node& t, place p) noexcept {
  wheel& w = wheels_[p.wheel];
  if (t.next_ == &t) {
    w.first[p.slot] = nullptr;
    w.used &= ~(std::uint64_t{1} << p.slot);
    if (w.used == 0) used_ &= ~(std::uint32_t{1} << p.wheel);
  } else {
    t.next_->before_ = t.before_;
    t.before_->next_ = t.next_;
    if (w.first[p.slot] == &t) w.first[p.slot] = t.next_;
  }
  t.next_ = t.before_ = nullptr;
}

void timer_queue::add(timer_node& t, time_point deadline) noexcept {
  t.deadline = deadline;
  link(t);
  if (size_++ == 0 || (known_ && deadline < next_)) {
    next_ = deadline;
    known_ = true;
  }
}

bool timer_queue::remove(timer_node& t) noexcept {
  if (!t.pending()) return false;
  unlink(t, place_of(t.deadline));
  --size_;
  if (t.deadline <= next_) known_ = false;
  return true;
}

/// Whether the first one of the lowest slot is due then.
bool timer_queue::come_to(time_point now) noexcept {
  if (size_ == 0 || (known_ && next_ > now)) return false;
  known_ = false;
  const ticks to = std::max(ticks_of(now), time_);
  while (true) {
    const place p = lowest();
    const ticks begin = begin_of(p);
    if (begin > to) return false;
    time_ = begin;
    if (p.wheel == 0) return true;
    wheel& w = wheels_[p.wheel];
    timer_node* const first = std::exchange(w.first[p.slot], nullptr);
    w.used &= ~(std::uint64_t{1} << p.slot);
    if (w.used == 0) used_ &= ~(std::uint32_t{1} << p.wheel);
    first->before_->next_ = nullptr;
    for (timer_node* t = first; t != nullptr;) {
      timer_node& moved = *std::exchange(t, t->next_);
      __builtin_prefetch(t);
      link(moved);
    }
  }
}

timer_node* timer_queue::pop_due(time_point now) noexcept {
  if (!come_to(now)) return nullptr;
  const place p = lowest();
  timer_node* const t = wheels_[0].first[p.slot];
  __builtin_prefetch(t->next_);
  unlink(*t, p);
  --size_;
  return t;
}

time_point timer_queue::next() noexcept {
  if (size_ == 0) return never;
  if (!known_) {
    const place p = lowest();
    const timer_node* const first = wheels_[p.wheel].first[p.slot];
    next_ = first->deadline;
    int looks = 0;
    const timer_node* t = first->next_;
    for (; p.wheel != 0 && t != first && looks < most_looks; t = t->next_, ++looks) {
      next_ = std::min(next_, t->deadline);
    }
    if (p.wheel != 0 && t != first) next_ = time_of(begin_of(p));
    known_ = true;
  }
  return next_;
}

time_point timer_queue::next(time_point now) noexcept {
  (void)come_to(now);
  return next();
}

}  // namespace oneloop::inline v0
