// The rules, of locks and their kin.
#include <sched.h>

#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <utility>

#include "oneloop/sync/barrier.hpp"
#include "oneloop/sync/capacity_limiter.hpp"
#include "oneloop/sync/condition.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/latch.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/once.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "oneloop/sync/test_waiter.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

class event_subject final : public subject {
 public:
  event_subject() : subject{{.one_each = false, .leaves_trace = false}} {}
  void again() override { e_.reset(); }
  wait_for wait() override { return waiting(e_.wait()); }
  void complete() override { e_.set(); }
  bool untaken() override {
    e_.reset();
    return true;
  }
  std::size_t waiting_now() override { return e_.statistics().waiting; }

 private:
  event e_;
};

/// Held by the last who got it, until `complete`.
class mutex_subject final : public subject {
 public:
  mutex_subject() : subject{{}} {}
  void again() override {
    held_.unlock();
    held_ = m_.try_lock();
  }
  wait_for wait() override {
    return waiting(m_.lock(), [this](mutex_guard g) { held_ = std::move(g); });
  }
  void complete() override { held_.unlock(); }
  bool untaken() override {
    held_ = m_.try_lock();
    return static_cast<bool>(held_);
  }
  std::size_t waiting_now() override { return m_.statistics().waiting; }

 private:
  mutex m_;
  mutex_guard held_ = m_.try_lock();
};

template <class Semaphore>
class semaphore_subject final : public subject {
 public:
  semaphore_subject() : subject{{}} { EXPECT_TRUE(s_.try_acquire()); }
  wait_for wait() override { return waiting(s_.acquire()); }
  void complete() override { s_.release(); }
  bool untaken() override { return s_.try_acquire(); }
  std::size_t waiting_now() override { return s_.statistics().waiting; }

 private:
  Semaphore s_{1};
};

class permit_subject final : public subject {
 public:
  permit_subject() : subject{{}} {}
  wait_for wait() override {
    return waiting(s_.permit(), [this](semaphore_permit p) { held_ = std::move(p); });
  }
  void complete() override { held_.give_back(); }
  bool untaken() override {
    held_ = s_.try_permit();
    return static_cast<bool>(held_);
  }
  std::size_t waiting_now() override { return s_.statistics().waiting; }

 private:
  semaphore s_{1};
  semaphore_permit held_ = s_.try_permit();
};

/// What belongs to the party that took it: the director's until `complete`; whoever gets it gives
/// it back at once, to the next.
template <class Lock>
class owned_subject final : public subject {
 public:
  owned_subject() : subject{{.one_each = false}} {}
  void again() override {
    if (!held_) held_ = lock_.take();
  }
  void end() override { held_ = {}; }
  wait_for wait() override { return waiting(lock_.wait()); }
  void complete() override { held_ = {}; }
  bool untaken() override {
    again();
    return static_cast<bool>(held_);
  }
  std::size_t waiting_now() override { return lock_.waiting(); }

 private:
  Lock lock_;
  decltype(std::declval<Lock&>().take()) held_ = {};
};

struct recursive_lock {
  recursive_mutex m;
  auto take() { return m.try_lock(); }
  auto wait() { return m.lock(); }
  std::size_t waiting() { return m.statistics().waiting; }
};
struct write_lock {
  shared_mutex m;
  auto take() { return m.try_lock(); }
  auto wait() { return m.lock(); }
  std::size_t waiting() { return m.statistics().waiting_writers; }
};
struct read_lock {
  shared_mutex m;
  auto take() { return m.try_lock(); }
  auto wait() { return m.lock_shared(); }
  std::size_t waiting() { return m.statistics().waiting_readers; }
};
struct limiter_lock {
  capacity_limiter l{1};
  auto take() { return l.try_permit(); }
  auto wait() { return l.permit(); }
  std::size_t waiting() { return l.statistics().waiting; }
};

/// Each wait is another borrower's.
class borrow_subject final : public subject {
 public:
  borrow_subject() : subject{{}} { l_.try_permit_on_behalf_of(&l_).release(); }
  wait_for wait() override {
    const char* who = nullptr;
    {
      const std::scoped_lock hold{lock_};
      who = &borrowers_.emplace_back();
    }
    return waiting(l_.acquire_on_behalf_of(who), [this, who] { has_it_ = who; });
  }
  void complete() override { l_.release_on_behalf_of(has_it_.exchange(nullptr)); }
  bool untaken() override {
    auto permit = l_.try_permit_on_behalf_of(&l_);
    if (!permit) return false;
    permit.release();
    has_it_ = &l_;
    return true;
  }
  std::size_t waiting_now() override { return l_.statistics().waiting; }

 private:
  capacity_limiter l_{1};
  std::mutex lock_;
  std::list<char> borrowers_;
  std::atomic<const void*> has_it_{&l_};
};

class latch_subject final : public subject {
 public:
  latch_subject() : subject{{.ahead = false, .one_each = false, .leaves_trace = false}} {}
  void again() override {
    if (l_->try_wait()) l_.emplace(1);
  }
  wait_for wait() override { return waiting(l_->wait()); }
  void complete() override { l_->count_down(); }
  std::size_t waiting_now() override { return l_->statistics().waiting; }

 private:
  std::optional<latch> l_{std::in_place, 1};
};

/// Those who are missing come and go on at once.
class barrier_subject final : public subject {
 public:
  barrier_subject() : subject{{.ahead = false, .one_each = false, .leaves_trace = false}} {}
  wait_for wait() override {
    return waiting(b_.wait(), [](std::size_t index) { EXPECT_LT(index, 5u); });
  }
  void complete() override {
    std::list<test::attempt<barrier::wait_operation>> others;
    for (std::size_t n = b_.parties() - waiting_now(); n != 0; --n) others.emplace_back(b_.wait());
    for (auto& o : others) EXPECT_LT(o.result(), 5u);
  }
  std::size_t waiting_now() override { return b_.statistics().waiting; }

 private:
  barrier b_{5};
};

/// Whoever waits for a condition has the lock before and after, whatever way it ends.
class any_condition_subject : public subject {
 public:
  using subject::subject;
  std::size_t waiting_now() override { return changed_.statistics().waiting; }

 protected:
  template <class Op>
  class guarded final : public any_wait {
   public:
    template <class Make>
    guarded(any_condition_subject& s, mutex_guard held, Make make)
        : subject_{s}, held_{std::move(held)}, op_{make(held_)} {}
    bool ready() override { return op_.await_ready(); }
    bool suspend(waiter& w) override { return op_.await_suspend(w); }
    void resume() override { end(outcome::completed); }
    void cancel() override { end(outcome::cancelled); }

   private:
    void end(outcome how) {
      struct unlocking {
        guarded& of;
        ~unlocking() {
          EXPECT_TRUE(of.held_) << "it ended without the lock";
          of.held_.unlock();
        }
      } const last{*this};
      conclude(op_, how);
      subject_.took();
    }
    any_condition_subject& subject_;
    mutex_guard held_;
    Op op_;
  };
  /// Whoever has the lock unlocks it soon. Only in the clean-up of a party that was cancelled it
  /// may be that of another one of this loop, which has not run yet: any wait will do there.
  template <class Make>
  wait_for with_lock(Make make) {
    mutex_guard held = m_.try_lock();
    while (!held) {
      if (context::current().scope().cancelled()) return waiting(never_.wait());
      ::sched_yield();
      held = m_.try_lock();
    }
    using op = std::invoke_result_t<Make, mutex_guard&>;
    return {std::make_unique<guarded<op>>(*this, std::move(held), std::move(make))};
  }
  virtual void took() {}
  mutex m_;
  condition changed_;
  event never_;
};

class condition_subject final : public any_condition_subject {
 public:
  condition_subject() : any_condition_subject{{.ahead = false, .leaves_trace = false}} {}
  wait_for wait() override {
    return with_lock([this](mutex_guard& held) { return changed_.wait(held); });
  }
  void complete() override { EXPECT_LE(changed_.notify(), 1u); }
};

/// Until there is a token, which it takes.
class condition_until_subject final : public any_condition_subject {
 public:
  condition_until_subject() : any_condition_subject{traits{}} {}
  wait_for wait() override {
    return with_lock([this](mutex_guard& held) {
      return changed_.wait_until(held, [this] { return tokens_ != 0; });
    });
  }
  void complete() override {
    ++tokens_;
    changed_.notify();
  }
  bool untaken() override { return tokens_.exchange(0) == 1; }

 private:
  void took() override { --tokens_; }
  std::atomic<int> tokens_{0};
};

/// The turn goes from hand to hand, and nobody ever does it.
class once_turn_subject final : public subject {
 public:
  once_turn_subject() : subject{{}} {}
  void again() override {
    held_ = {};
    held_ = await(o_.begin());
  }
  wait_for wait() override {
    return waiting(o_.begin(), [this](once_turn t) { held_ = std::move(t); });
  }
  void complete() override { held_ = {}; }
  bool untaken() override {
    if (o_.statistics().running) return false;
    held_ = await(o_.begin());
    return static_cast<bool>(held_);
  }
  std::size_t waiting_now() override { return o_.statistics().waiting; }

 private:
  once o_;
  once_turn held_;
};

/// Somebody else does it.
class once_call_subject final : public subject {
 public:
  once_call_subject() : subject{{.one_each = false, .leaves_trace = false}} {}
  void again() override {
    turn_ = {};
    o_.emplace();
    turn_ = await(o_->begin());
  }
  wait_for wait() override {
    return waiting(o_->call([] { ADD_FAILURE() << "it was not this party's turn"; }));
  }
  void complete() override { turn_.done(); }
  std::size_t waiting_now() override { return o_->statistics().waiting; }

 private:
  std::optional<once> o_;
  once_turn turn_;
};

/// Whoever comes first does it, and has to wait for that.
class once_initialiser_subject final : public subject {
 public:
  once_initialiser_subject()
      : subject{{.at_once = false, .one_each = false, .leaves_trace = false}} {}
  void again() override {
    go_.reset();
    o_.emplace();
  }
  wait_for wait() override {
    return waiting(o_->call([this] { return go_.wait(); }));
  }
  void complete() override { go_.set(); }
  std::size_t waiting_now() override { return o_->statistics().waiting; }

 private:
  event go_;
  std::optional<once> o_;
};

const bool sync_enrolled =
    enrol<event_subject>("event") && enrol<mutex_subject>("mutex") &&
    enrol<semaphore_subject<semaphore>>("semaphore") &&
    enrol<semaphore_subject<bounded_semaphore>>("bounded_semaphore") &&
    enrol<permit_subject>("permit") && enrol<owned_subject<recursive_lock>>("recursive_mutex") &&
    enrol<owned_subject<write_lock>>("shared_mutex_write") &&
    enrol<owned_subject<read_lock>>("shared_mutex_read") &&
    enrol<owned_subject<limiter_lock>>("capacity_limiter") &&
    enrol<borrow_subject>("capacity_limiter_on_behalf") && enrol<latch_subject>("latch") &&
    enrol<barrier_subject>("barrier") && enrol<condition_subject>("condition") &&
    enrol<condition_until_subject>("condition_until") && enrol<once_turn_subject>("once_begin") &&
    enrol<once_call_subject>("once_call") && enrol<once_initialiser_subject>("once_initialiser");

}  // namespace
}  // namespace oneloop::rules
