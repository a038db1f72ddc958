// Waiters for tests of operations, without any model: one that notes what happens to it, and a
// plain thread that blocks. Not installed.
//
//     attempt a{c.receive()};
//     EXPECT_TRUE(a.waits());
//     EXPECT_TRUE(c.try_send(1));
//     EXPECT_EQ(a.result(), 1);
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0::test {

/// Notes how often it was resumed. Without a home it is resumed inside whoever wakes it.
struct noting_waiter : waiter {
  explicit noting_waiter(loop* home = nullptr) noexcept
      : waiter{home, [](ready_item& item) noexcept {
                 auto& self = static_cast<noting_waiter&>(item);
                 ++self.resumed;
                 if (self.on_resume != nullptr) self.on_resume(self);
               }} {}
  int resumed = 0;
  void (*on_resume)(noting_waiter&) = nullptr;
  void* context = nullptr;
};

/// One operation with its party, started at once.
template <class Op>
class attempt {
 public:
  explicit attempt(Op&& o, loop* home = nullptr) : w_{home}, op_{std::move(o)} {
    suspended_ = !op_.await_ready() && op_.await_suspend(w_);
  }

  /// Started, and not resumed yet.
  [[nodiscard]] bool waits() const { return suspended_ && w_.resumed == 0; }
  /// Finished without ever suspending.
  [[nodiscard]] bool immediate() const { return !suspended_ && w_.resumed == 0; }
  [[nodiscard]] int resumed() const { return w_.resumed; }
  void cancel() { w_.request_cancel(); }
  /// Resumed, with this outcome.
  [[nodiscard]] bool was_cancelled() {
    return suspended_ && w_.resumed == 1 && how() == outcome::cancelled;
  }
  [[nodiscard]] bool completed() {
    return !suspended_ || (w_.resumed == 1 && how() == outcome::completed);
  }
  /// The result of a completed operation.
  auto result() {
    EXPECT_TRUE(completed());
    return op_.await_resume();
  }
  Op& op() { return op_; }
  noting_waiter& party() { return w_; }

 private:
  // Not when it is woken: a cancel may still come in between.
  outcome how() {
    if (!how_) how_ = w_.finish();
    return *how_;
  }
  noting_waiter w_;
  std::optional<outcome> how_;
  Op op_;
  bool suspended_ = false;
};

/// A plain thread that waits, and that others may cancel.
class thread_party {
 public:
  thread_party() : w_{*this} {}
  thread_party(const thread_party&) = delete;
  thread_party& operator=(const thread_party&) = delete;

  /// Waits for `op`; false if it was cancelled. If true, ask `op` for its result.
  template <class Op>
  bool wait(Op& op) {
    if (op.await_ready() || !op.await_suspend(w_)) return true;
    {
      std::scoped_lock scope{scope_};
      waiting_ = true;
    }
    // Spins a little first: so that threads meet inside the primitives, not in the kernel.
    for (int i = 0; i < 300 && !resumed_.load(std::memory_order_relaxed); ++i) std_atomics::pause();
    {
      std::unique_lock lock{m_};  // also after spinning: whoever wakes must have left
      woken_.wait(lock, [&] { return resumed_.load(); });
      resumed_ = false;
    }
    std::scoped_lock scope{scope_};
    waiting_ = false;
    return w_.finish() == outcome::completed;
  }

  /// From any thread, at any time.
  void cancel() {
    std::scoped_lock scope{scope_};
    if (waiting_) w_.request_cancel();
  }

 private:
  struct node : waiter {
    explicit node(thread_party& p) noexcept
        : waiter{nullptr,
                 [](ready_item& item) noexcept {
                   auto& home = static_cast<node&>(item).party;
                   std::scoped_lock lock{home.m_};
                   EXPECT_FALSE(home.resumed_) << "resumed twice";
                   home.resumed_ = true;
                   home.woken_.notify_one();
                 }},
          party{p} {}
    thread_party& party;
  };
  node w_;
  std::mutex scope_;  // the scope's lock, under which a thread is cancelled
  bool waiting_ = false;
  std::mutex m_;
  std::condition_variable woken_;
  std::atomic<bool> resumed_{false};
};

}  // namespace oneloop::inline v0::test
