#include "oneloop/sync/conformance.hpp"

#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"

namespace oneloop::test {
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

using cases = testing::Types<event_wait, mutex_lock, semaphore_acquire, semaphore_permit_case>;
INSTANTIATE_TYPED_TEST_SUITE_P(sync, conformance, cases);

}  // namespace
}  // namespace oneloop::test
