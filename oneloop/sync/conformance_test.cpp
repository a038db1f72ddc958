#include "oneloop/sync/conformance.hpp"

#include <deque>
#include <vector>

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

namespace oneloop::inline v0::test {
namespace {

struct event_wait {
  static constexpr bool stores = true, one_each = false;
  event e;
  auto op() { return e.wait(); }
  void satisfy() { e.set(); }
  std::size_t waiting() { return e.statistics().waiting; }
};

struct mutex_lock {
  static constexpr bool stores = true, one_each = true;
  mutex m;
  mutex_lock() { m.try_lock().release(); }
  auto op() { return m.lock(); }
  void satisfy() { m.unlock(); }
  std::size_t waiting() { return m.statistics().waiting; }
};

struct semaphore_acquire {
  static constexpr bool stores = true, one_each = true;
  semaphore s{0};
  auto op() { return s.acquire(); }
  void satisfy() { s.release(); }
  std::size_t waiting() { return s.statistics().waiting; }
};

struct semaphore_permit_case : semaphore_acquire {
  auto op() { return s.permit(); }
};

struct recursive_lock {
  static constexpr bool stores = true, one_each = true, handed_on = true;
  recursive_mutex m;
  recursive_mutex::guard held = attempt{m.lock()}.result();  // nobody's, as a callback's
  auto op() { return m.lock(); }
  void satisfy() { held.unlock(); }
  std::size_t waiting() { return m.statistics().waiting; }
};

struct shared_lock_exclusive {
  static constexpr bool stores = true, one_each = true, handed_on = true;
  shared_mutex m;
  shared_mutex::shared_guard held = attempt{m.lock_shared()}.result();
  auto op() { return m.lock(); }
  void satisfy() { held.unlock(); }
  std::size_t waiting() { return m.statistics().waiting_writers; }
};

struct shared_lock_shared {
  static constexpr bool stores = true, one_each = false;
  shared_mutex m;
  shared_mutex::guard held = attempt{m.lock()}.result();
  auto op() { return m.lock_shared(); }
  void satisfy() { held.unlock(); }
  std::size_t waiting() { return m.statistics().waiting_readers; }
};

struct limiter_acquire {
  static constexpr bool stores = true, one_each = true;
  capacity_limiter l{0};
  auto op() { return l.permit(); }
  void satisfy() { l.set_total(l.total() + 1); }
  std::size_t waiting() { return l.statistics().waiting; }
};

struct latch_wait {
  static constexpr bool stores = true, one_each = false;
  latch l{1};
  auto op() { return l.wait(); }
  void satisfy() { l.count_down(); }
  std::size_t waiting() { return l.statistics().waiting; }
};

struct once_turns {
  static constexpr bool stores = true, one_each = true, handed_on = true;
  once o;
  once_turn turn = attempt{o.begin()}.result();
  auto op() { return o.begin(); }
  void satisfy() { turn = {}; }
  std::size_t waiting() { return o.statistics().waiting; }
};

struct once_done : once_turns {
  static constexpr bool one_each = false;
  void satisfy() { turn.done(); }
};

struct barrier_wait {
  static constexpr bool stores = false, one_each = false;
  barrier b{4};
  std::deque<attempt<barrier::wait_operation>> others;
  auto op() { return b.wait(); }
  void satisfy() {
    do {
      others.emplace_back(b.wait());
    } while (b.statistics().waiting != 0);
  }
  std::size_t waiting() { return b.statistics().waiting; }
};

struct condition_wait {
  static constexpr bool stores = false, one_each = true, handed_on = true;
  condition c;
  mutex m;
  std::deque<mutex_guard> guards;
  auto op() {
    guards.push_back(m.try_lock());
    EXPECT_TRUE(guards.back());
    return c.wait(guards.back());
  }
  void satisfy() { c.notify(); }
  void let_go() {
    for (mutex_guard& g : guards) g.unlock();
  }
  std::size_t waiting() { return c.statistics().waiting; }
};

using cases =
    testing::Types<event_wait, mutex_lock, semaphore_acquire, semaphore_permit_case, recursive_lock,
                   shared_lock_exclusive, shared_lock_shared, limiter_acquire, latch_wait,
                   once_turns, once_done, barrier_wait, condition_wait>;
INSTANTIATE_TYPED_TEST_SUITE_P(sync, conformance, cases);

}  // namespace
}  // namespace oneloop::inline v0::test
