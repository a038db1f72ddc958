#include "oneloop/sync/condition.hpp"

#include <utility>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

const operation_info condition::wait_operation::info{"condition.wait", &cancel, nullptr,
                                                     &held_up_by};

condition::wait_operation::~wait_operation() {
  bool notified = false;
  {
    if (step_ == step::none) return;
    std::scoped_lock hold{owner_->lock_};
    unlink();
    notified = won();
  }
  if (notified) owner_->notify();
  // `relock_` leaves the mutex's queue, or unlocks it.
}

bool condition::wait_operation::await_suspend(waiter& w) {
  if (!*guard_) throw misuse{"condition.wait: the guard holds no lock"};
  mutex* m = guard_->release();
  w.arm(this, info);
  bool other = false;
  {
    std::scoped_lock hold{owner_->lock_};
    other = owner_->mutex_ != m && !owner_->waiting_.empty();
    if (!other) {
      owner_->mutex_ = m;
      relock_.emplace(m->lock());
      step_ = step::waiting;
      owner_->waiting_.park(*this, w);
    }
  }
  if (other) {
    w.disarm();
    *guard_ = mutex_guard::adopt(*m);
    throw misuse{"condition.wait: others wait with another mutex"};
  }
  m->unlock();
  return true;
}

// Whoever has the waiter's claim: it goes to the mutex with a new one, which nobody takes back.
void condition::wait_operation::lock_again() noexcept {
  waiter& w = *who();
  w.claim_word().open();
  if (relock_->enlist(w) == enlisted::waiting) return;
  w.try_claim();
  w.wake();
}

void condition::wait_operation::cancel(void* op, waiter& w) noexcept {
  // Once completed, the owner may be gone before the waiter has run: look at the claim first.
  if (!w.claim_word().is_open()) return;
  auto& me = *static_cast<wait_operation*>(op);
  {
    std::scoped_lock hold{me.owner_->lock_};
    if (me.step_ != step::waiting) return;  // it has happened, or was cancelled before
    w.try_claim();
    me.unlink();
    me.set_idle();
    me.step_ = step::locking;
  }
  // The guard must have its lock again however the party is told: before it is.
  me.resume_ = std::exchange(w.run, &resume_locked);
  w.note_cancelled();
  me.lock_again();
}

// In place of the party's resume function, where that would run: for a plain thread, in whoever
// unlocked the mutex.
void condition::wait_operation::resume_locked(ready_item& item) noexcept {
  auto& w = static_cast<waiter&>(item);
  auto& me = *static_cast<wait_operation*>(const_cast<void*>(w.operation()));
  me.await_resume();
  w.run = me.resume_;
  w.run(w);
}

lock_wait condition::wait_operation::held_up_by(const void* op) {
  const auto& me = *static_cast<const wait_operation*>(op);
  std::scoped_lock hold{me.owner_->lock_};
  if (me.step_ != step::locking) return {};
  return me.relock_->held_up_by();
}

void condition::wait_operation::await_resume() noexcept {
  if (step_ == step::none) return;
  step_ = step::none;
  set_idle();
  *guard_ = relock_->await_resume();
}

std::size_t condition::notify(std::size_t n) noexcept {
  intrusive_list<wait_operation> chosen;
  std::size_t count = 0;
  {
    std::scoped_lock hold{lock_};
    for (; count != n; ++count) {
      wait_operation* next = waiting_.take();
      if (next == nullptr) break;
      next->step_ = wait_operation::step::locking;
      chosen.push_back(*next);
    }
  }
  while (wait_operation* next = chosen.pop_front()) next->lock_again();
  return count;
}

}  // namespace oneloop::inline v0
