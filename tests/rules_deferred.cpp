// The rules, of what gives deferreds. A deferred that nobody else names is cancelled with the wait.
#include "oneloop/deferred/lock.hpp"
#include "oneloop/deferred/queue.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

constexpr subject::traits of_a_deferred{.threads = false, .at_once = false, .taken_back = false};

/// The last who got it has it, until `complete`.
class deferred_lock_subject final : public subject {
 public:
  deferred_lock_subject() : subject{of_a_deferred} {}
  void again() override {
    held_.unlock();
    held_ = l_.shared().try_lock();
  }
  wait_for wait() override {
    return waiting(l_.acquire(), [this](mutex_guard g) { held_ = std::move(g); });
  }
  void complete() override { held_.unlock(); }
  bool untaken() override {
    held_ = l_.shared().try_lock();
    return static_cast<bool>(held_);
  }
  std::size_t waiting_now() override { return l_.waiting(); }

 private:
  deferred_lock l_;
  mutex_guard held_;
};

class deferred_semaphore_subject final : public subject {
 public:
  deferred_semaphore_subject() : subject{of_a_deferred} {}
  void again() override {
    held_.give_back();
    held_ = s_.shared().try_permit();
  }
  wait_for wait() override {
    return waiting(s_.acquire(), [this](semaphore_permit p) { held_ = std::move(p); });
  }
  void complete() override { held_.give_back(); }
  bool untaken() override {
    held_ = s_.shared().try_permit();
    return static_cast<bool>(held_);
  }
  std::size_t waiting_now() override { return s_.waiting(); }

 private:
  deferred_semaphore s_{1};
  semaphore_permit held_;
};

/// A get begins when it is made, not when it is awaited: a value that it has got by then goes with
/// it.
class deferred_queue_subject final : public subject {
 public:
  deferred_queue_subject()
      : subject{{.threads = false, .at_once = false, .taken_back = false, .leaves_trace = false}} {}
  wait_for wait() override {
    return waiting(q_.get(), [](int v) { EXPECT_EQ(v, 7); });
  }
  void complete() override { q_.put(7); }
  bool untaken() override { return q_.shared().try_receive().has_value(); }
  std::size_t waiting_now() override { return q_.waiting(); }

 private:
  deferred_queue<int> q_;
};

const bool deferred_enrolled = enrol<deferred_lock_subject>("deferred_lock") &&
                               enrol<deferred_semaphore_subject>("deferred_semaphore") &&
                               enrol<deferred_queue_subject>("deferred_queue");

}  // namespace
}  // namespace oneloop::rules
