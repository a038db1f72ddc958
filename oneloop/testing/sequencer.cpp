#include "oneloop/testing/sequencer.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::testing {

const operation_info sequencer::place_operation::info{name, &cancel, &describe};

sequencer::place_operation sequencer::operator()(std::size_t place) {
  const std::scoped_lock hold{lock_};
  if (place < current_ || places_.contains(place)) {
    throw misuse{"sequencer: place " + std::to_string(place) + " is taken a second time"};
  }
  places_.try_emplace(place);
  return {*this, place};
}

bool sequencer::place_operation::await_suspend(waiter& w) noexcept {
  w.arm(this, info);
  if (attempt(&w) == enlisted::waiting) return true;
  w.disarm();
  return false;
}

enlisted sequencer::place_operation::attempt(waiter* w) noexcept {
  sequencer& s = owner();
  const std::scoped_lock hold{s.lock_};
  if (s.current_ == place_ || s.broken_at_ != nowhere) {
    if (!commit(w)) return enlisted::lost;
    set_done();
    return enlisted::completed;
  }
  if (w != nullptr) s.places_[place_].park(*this, *w);
  return enlisted::waiting;
}

sequence_place sequencer::place_operation::await_resume() {
  sequencer& s = owner();
  {
    const std::scoped_lock hold{s.lock_};
    if (s.broken_at_ != nowhere) {
      throw misuse{"sequencer: place " + std::to_string(place_) +
                   " cannot come: the sequence is broken, place " + std::to_string(s.broken_at_) +
                   " was given up"};
    }
  }
  pending_ = false;
  return {s, place_};
}

void sequencer::place_operation::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<place_operation*>(op);
  {
    const std::scoped_lock hold{self.owner().lock_};
    if (!w.try_claim()) return;
    self.unlink();
    self.set_idle();
  }
  w.wake_cancelled();
}

std::string sequencer::place_operation::describe(const void* op) {
  const auto& self = *static_cast<const place_operation*>(op);
  const sequencer& s = self.owner();
  const std::scoped_lock hold{s.lock_};
  return "place " + std::to_string(self.place_) + ", place " + std::to_string(s.current_) +
         (s.places_.contains(s.current_) ? " has not been left" : " has not come");
}

sequencer::place_operation::~place_operation() {
  delist();
  if (pending_) owner().break_at(place_);
}

void sequencer::left(std::size_t place) noexcept {
  wake_list woken;
  {
    const std::scoped_lock hold{lock_};
    places_.erase(place);
    current_ = place + 1;
    const auto next = places_.find(current_);
    if (next != places_.end()) {
      if (auto* waiting = next->second.take()) woken.add(*waiting);
    }
  }
  woken.wake_all();
}

void sequencer::break_at(std::size_t place) noexcept {
  wake_list woken;
  {
    const std::scoped_lock hold{lock_};
    if (broken_at_ == nowhere) broken_at_ = place;
    for (auto& entry : places_) {
      if (auto* waiting = entry.second.take()) woken.add(*waiting);
    }
  }
  woken.wake_all();
}

std::size_t sequencer::current() const noexcept {
  const std::scoped_lock hold{lock_};
  return current_;
}

bool sequencer::broken() const noexcept {
  const std::scoped_lock hold{lock_};
  return broken_at_ != nowhere;
}

void sequence_place::leave() noexcept {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->left(place_);
}

}  // namespace oneloop::inline v0::testing
