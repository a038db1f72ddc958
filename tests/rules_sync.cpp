// The rules, of locks and their kin.
#include <optional>
#include <utility>

#include "oneloop/sync/capacity_limiter.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/latch.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/shared_mutex.hpp"
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

class semaphore_subject final : public subject {
 public:
  semaphore_subject() : subject{{}} {}
  wait_for wait() override { return waiting(s_.acquire()); }
  void complete() override { s_.release(); }
  bool untaken() override { return s_.try_acquire(); }
  std::size_t waiting_now() override { return s_.statistics().waiting; }

 private:
  semaphore s_{0};
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

const bool enrolled = enrol<event_subject>("event") && enrol<mutex_subject>("mutex") &&
                      enrol<semaphore_subject>("semaphore") && enrol<permit_subject>("permit") &&
                      enrol<owned_subject<recursive_lock>>("recursive_mutex") &&
                      enrol<owned_subject<write_lock>>("shared_mutex_write") &&
                      enrol<owned_subject<read_lock>>("shared_mutex_read") &&
                      enrol<owned_subject<limiter_lock>>("capacity_limiter") &&
                      enrol<latch_subject>("latch");

}  // namespace
}  // namespace oneloop::rules
