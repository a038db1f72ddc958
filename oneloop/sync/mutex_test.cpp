#include "oneloop/sync/mutex.hpp"

#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

TEST(mutex, guard_unlocks_when_it_dies) {
  mutex m;
  {
    auto guard = attempt{m.lock()}.result();
    EXPECT_TRUE(guard);
    EXPECT_TRUE(m.locked());
    EXPECT_FALSE(m.try_lock());
  }
  EXPECT_FALSE(m.locked());
}

TEST(mutex, guard_moves_and_lets_go) {
  mutex m, n;
  mutex_guard a = m.try_lock();
  mutex_guard b{std::move(a)};
  EXPECT_FALSE(a);
  EXPECT_TRUE(b);
  b = n.try_lock();
  EXPECT_FALSE(m.locked());
  EXPECT_TRUE(n.locked());
  EXPECT_EQ(b.release(), &n);
  EXPECT_FALSE(b);
  EXPECT_TRUE(n.locked());
  n.unlock();
  EXPECT_FALSE(n.locked());
  b.unlock();  // holds nothing
}

TEST(mutex, unlocking_what_is_not_locked_is_misuse) {
  mutex m;
  EXPECT_THROW(m.unlock(), misuse);
}

TEST(mutex, is_handed_over_and_never_free_in_between) {
  mutex m;
  auto first = m.try_lock();
  attempt a{m.lock()}, b{m.lock()};
  EXPECT_EQ(m.statistics().waiting, 2u);
  first.unlock();
  EXPECT_TRUE(a.completed());
  EXPECT_FALSE(m.try_lock()) << "nobody overtakes the queue";
  EXPECT_TRUE(b.waits());
  {
    auto guard = a.result();
  }
  {
    auto guard = b.result();
  }
  EXPECT_TRUE(m.try_lock());
}

TEST(mutex, may_be_unlocked_by_another_thread) {
  mutex m;
  auto guard = m.try_lock();
  attempt a{m.lock()};
  std::thread{[g = std::move(guard)]() mutable { g.unlock(); }}.join();
  EXPECT_TRUE(a.completed());
}

TEST(mutex, a_granted_lock_that_nobody_picks_up_is_passed_on) {
  mutex m;
  auto guard = m.try_lock();
  auto a = std::make_unique<attempt<mutex::lock_operation>>(m.lock());
  attempt b{m.lock()};
  guard.unlock();
  EXPECT_TRUE(a->completed());
  a.reset();  // dies between the grant and the resumption
  EXPECT_TRUE(b.completed());
}

TEST(mutex, frees_itself_when_all_who_waited_were_cancelled) {
  mutex m;
  auto guard = m.try_lock();
  attempt a{m.lock()}, b{m.lock()};
  a.cancel();
  b.cancel();
  guard.unlock();
  EXPECT_FALSE(m.locked());
  EXPECT_TRUE(m.try_lock());
}

TEST(mutex, may_be_destroyed_by_whoever_held_it_last) {
  // A count in the object, guarded by its own mutex: the last one destroys it. The unlock of the
  // one before must not touch it any more, also when it has found only cancelled waiters.
  struct object {
    mutex m;
    int references = 2;
  };
  for (int i = 0; i < 2000; ++i) {
    auto* o = new object;
    auto drop = [](object* it) {
      thread_party me;
      auto op = it->m.lock();
      EXPECT_TRUE(me.wait(op));
      auto guard = op.await_resume();
      const bool last = --it->references == 0;
      if (!last) {
        attempt cancelled{it->m.lock()};
        cancelled.cancel();
      }
      guard.unlock();
      if (last) delete it;
    };
    std::thread other{drop, o};
    drop(o);
    other.join();
  }
}

TEST(mutex, excludes_threads_with_random_cancels) {
  mutex m;
  long inside = 0, count = 0, cancelled = 0;
  constexpr int threads = 4, rounds = 5000;
  std::vector<std::unique_ptr<thread_party>> parties;
  for (int t = 0; t < threads; ++t) parties.push_back(std::make_unique<thread_party>());
  std::atomic<int> running{threads};
  std::atomic<long> given_up{0};
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        auto op = m.lock();
        if (!parties[t]->wait(op)) {
          ++given_up;
          continue;
        }
        auto guard = op.await_resume();
        EXPECT_EQ(++inside, 1);
        ++count;
        if (i % 16 == 0) std::this_thread::yield();
        --inside;
      }
      --running;
    });
  }
  std::minstd_rand random{1};
  while (running != 0) {
    parties[random() % threads]->cancel();
    std::this_thread::yield();
  }
  for (auto& t : pool) t.join();
  cancelled = given_up;
  EXPECT_EQ(count + cancelled, long{threads} * rounds);
  EXPECT_FALSE(m.locked());
  EXPECT_EQ(m.statistics().waiting, 0u);
}

}  // namespace
}  // namespace oneloop::inline v0::test
