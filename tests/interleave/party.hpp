// A party of the interleaving tests: waits as a plain thread does (context::park, parker), reduced
// to one word: its own waiter wakes it, and others may rouse it so that it cancels its operation.
//
//     party p;
//     auto op = m.lock();
//     if (p.await(op)) { ... op.await_resume() ... }     // false: it was cancelled
#pragma once

#include "oneloop/loop/waiter.hpp"
#include "tests/interleave/checker.hpp"

namespace oneloop::interleaved_tests {

class party : public waiter {
 public:
  party() noexcept
      : waiter{nullptr, [](ready_item& item) noexcept {
                 static_cast<party&>(item).set(resumed, "a waiter was resumed twice");
               }} {}

  /// Any thread: the operation that this party is in, or its next one, is asked to end.
  void cancel() { set(cancelled, nullptr); }

  /// Whether somebody has asked for that.
  [[nodiscard]] bool asked() const noexcept {
    return (state_.load(std::memory_order_relaxed) & cancelled) != 0;
  }

  /// False: cancelled, it did not happen.
  template <class Op>
  bool await(Op& op) {
    if (op.await_ready() || !op.await_suspend(*this)) return true;
    bool asked = false;
    for (;;) {
      const unsigned seen = state_.load(std::memory_order_acquire);
      if ((seen & resumed) != 0) break;
      if ((seen & cancelled) != 0 && !asked) {
        asked = true;
        request_cancel();
        continue;
      }
      std_atomics::wait(state_, seen);
    }
    state_.fetch_sub(resumed, std::memory_order_relaxed);
    return finish() == outcome::completed;
  }

 private:
  static constexpr unsigned resumed = 1, cancelled = 2;
  void set(unsigned bit, const char* twice) noexcept {
    unsigned was = state_.load(std::memory_order_relaxed);
    do {
      if ((was & bit) != 0) {
        if (twice != nullptr) interleave::expect(false, twice);
        return;
      }
    } while (!state_.compare_exchange_strong(was, was | bit, std::memory_order_acq_rel,
                                             std::memory_order_relaxed));
    std_atomics::wake_one(state_);
  }
  std_atomics::atomic<unsigned> state_{0};
};

}  // namespace oneloop::interleaved_tests
