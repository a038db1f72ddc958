// What is seen of locks, semaphores and events is linearizable.
#include <gtest/gtest.h>

#include <utility>

#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "tests/linearizable_parties.hpp"

namespace oneloop::linearizable {
namespace {

template <class Mutex>
struct a_mutex {
  explicit a_mutex(int) {}
  Mutex it;
  auto lock() { return it.lock(); }
  auto try_lock() { return it.try_lock(); }
  using guard = decltype(std::declval<Mutex&>().try_lock());
  static void unlock(guard& g) { g.unlock(); }
};
template <class Semaphore>
struct a_semaphore {
  explicit a_semaphore(int n) : it{static_cast<std::size_t>(n)} {}
  Semaphore it;
  auto lock() { return it.permit(); }
  auto try_lock() { return it.try_permit(); }
  using guard = semaphore_permit;
  static void unlock(guard& g) { g.give_back(); }
};

template <class Lock, int Permits>
class lock_subject {
 public:
  explicit lock_subject(std::uint32_t) : lock_{Permits} {}
  [[nodiscard]] static permits model() { return permits{Permits}; }
  struct hand {
    typename Lock::guard held;
  };
  bool instant(shared& s, hand& h, std::uint32_t dice) {
    if (h.held) {
      s.instant({op::unlock}, [&] {
        Lock::unlock(h.held);
        return done;
      });
      return true;
    }
    if (dice % 4 != 0) return false;
    s.instant({op::try_lock}, [&] {
      h.held = lock_.try_lock();
      return h.held ? done : nothing;
    });
    return true;
  }
  template <class How>
  auto waiting(shared& s, hand& h, std::uint32_t, How how) {
    return how(
        s, {op::lock}, [this] { return lock_.lock(); },
        [&h](auto& guard) {
          h.held = std::move(guard);
          return done;
        });
  }

 private:
  Lock lock_;
};

class shared_mutex_subject {
 public:
  explicit shared_mutex_subject(std::uint32_t) {}
  [[nodiscard]] static readers_or_writer model() { return {}; }
  struct hand {
    shared_mutex_guard writes;
    shared_mutex_shared_guard reads;
  };
  static bool instant(shared& s, hand& h, std::uint32_t) {
    if (!h.writes && !h.reads) return false;
    s.instant({op::unlock, h.writes ? 1 : 0}, [&] {
      if (h.writes) {
        h.writes.unlock();
      } else {
        h.reads.unlock();
      }
      return done;
    });
    return true;
  }
  template <class How>
  auto waiting(shared& s, hand& h, std::uint32_t dice, How how) {
    if (dice % 3 == 0) {
      return how(
          s, {op::lock, 1}, [this] { return lock_.lock(); },
          [&h](auto& guard) {
            h.writes = std::move(guard);
            return done;
          });
    }
    return how(
        s, {op::lock, 0}, [this] { return lock_.lock_shared(); },
        [&h](auto& guard) {
          h.reads = std::move(guard);
          return done;
        });
  }

 private:
  shared_mutex lock_;
};

class event_subject {
 public:
  explicit event_subject(std::uint32_t) {}
  [[nodiscard]] static flag model() { return {}; }
  struct hand {};
  bool instant(shared& s, hand&, std::uint32_t dice) {
    switch (dice % 5) {
      case 0:
        s.instant({op::set}, [&] {
          event_.set();
          return done;
        });
        return true;
      case 1:
        s.instant({op::reset}, [&] {
          event_.reset();
          return done;
        });
        return true;
      case 2: s.instant({op::look}, [&] { return event_.is_set() ? 1 : 0; }); return true;
      default: return false;
    }
  }
  template <class How>
  auto waiting(shared& s, hand&, std::uint32_t, How how) {
    return how(s, {op::wait}, [this] { return event_.wait(); }, [] { return done; });
  }

 private:
  event event_;
};

using subjects =
    ::testing::Types<lock_subject<a_mutex<mutex>, 1>, lock_subject<a_mutex<recursive_mutex>, 1>,
                     lock_subject<a_semaphore<semaphore>, 2>,
                     lock_subject<a_semaphore<bounded_semaphore>, 2>, shared_mutex_subject,
                     event_subject>;
template <class Subject>
class linearizable_lock : public ::testing::Test {};
TYPED_TEST_SUITE(linearizable_lock, subjects);

TYPED_TEST(linearizable_lock, in_simulated_time) { check_in_simulated_time<TypeParam>(); }
TYPED_TEST(linearizable_lock, across_loops_and_threads) {
  check_across_loops_and_threads<TypeParam>();
}

}  // namespace
}  // namespace oneloop::linearizable
