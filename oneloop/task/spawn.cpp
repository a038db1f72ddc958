#include "oneloop/task/spawn.hpp"

#include <mutex>
#include <string>

namespace oneloop::inline v0::detail {

join_state::~join_state() {
  if (board_ != nullptr) board_->release();
  if (link_ != nullptr) link_->release();
}

void join_state::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void join_state::let_go() noexcept {
  if (holders_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  failure_board* board = nullptr;
  {
    std::scoped_lock l{lock_};
    if (done_) board = board_;
  }
  // Before it is done nothing is on the board, and when it is, `keep` will see that nobody holds.
  if (board != nullptr) board->give_up(failure_);
}

void join_state::cancel() const noexcept {
  if (link_ == nullptr) return;
  link_->retain();
  cancel_handle{link_}.cancel();
}

void join_state::kill() noexcept {
  stage expected = stage::waiting;
  stage_.compare_exchange_strong(expected, stage::refused, std::memory_order_acq_rel);
  cancel();
}

bool join_state::begin() noexcept {
  stage expected = stage::waiting;
  return stage_.compare_exchange_strong(expected, stage::begun, std::memory_order_acq_rel);
}

std::exception_ptr join_state::failure() noexcept {
  if (!failure_.error) return nullptr;
  asked_.store(true, std::memory_order_relaxed);
  if (board_ != nullptr) board_->asked(failure_);
  return failure_.error;
}

bool join_state::finished() const noexcept {
  std::scoped_lock l{lock_};
  return done_;
}

void join_state::belong_to(nursery& n) {
  failure_board& board = n.failures();
  board.retain();
  board_ = &board;
}

std::exception_ptr join_state::finish(std::exception_ptr error, bool absorbed) noexcept {
  if (at_end) std::exchange(at_end, nullptr)();
  const bool cancelled = is_cancelled(error);
  std::exception_ptr left;
  if (cancelled) {
    if (!absorbed) left = std::move(error);
  } else if (error) {
    failure_.error = error;
    if (fails_nursery_ || (board_ != nullptr && !board_->keep(failure_, holders_))) {
      left = std::move(error);
    }
  }
  wake_list woken;
  bool abandoned = false;
  {
    std::scoped_lock l{lock_};
    done_ = true;
    cancelled_ = cancelled;
    abandoned = holders_.load(std::memory_order_acquire) == 0;
    while (join_wait* next = joiners_.take()) woken.add(*next);
  }
  // The last holder may have gone between `keep` and the lock.
  if (abandoned && board_ != nullptr) board_->give_up(failure_);
  woken.wake_all();
  return left;
}

void join_state::ask() {
  if (cancelled_) throw cancelled_error{std::string{"join '"} + name_ + "'"};
  if (auto error = failure()) std::rethrow_exception(std::move(error));
}

enlisted join_wait::attempt(waiter* w) noexcept {
  join_state& s = owner();
  std::scoped_lock hold{s.lock_};
  if (s.done_) {
    if (!commit(w)) return enlisted::lost;
    set_done();
    return enlisted::completed;
  }
  if (w != nullptr) s.joiners_.park(*this, *w);
  return enlisted::waiting;
}

}  // namespace oneloop::inline v0::detail
