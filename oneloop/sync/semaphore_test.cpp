#include "oneloop/sync/semaphore.hpp"

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

TEST(semaphore, hands_out_as_many_permits_as_there_are) {
  semaphore s{2};
  EXPECT_TRUE(s.try_acquire());
  EXPECT_TRUE(attempt{s.acquire()}.op().await_ready() == false);
  EXPECT_EQ(s.available(), 1u) << "an acquire that is not picked up gives its permit back";
  EXPECT_TRUE(s.try_acquire());
  EXPECT_FALSE(s.try_acquire());
}

TEST(semaphore, permit_gives_back_when_it_dies) {
  semaphore s{1};
  {
    auto p = attempt{s.permit()}.result();
    EXPECT_TRUE(p);
    EXPECT_EQ(s.available(), 0u);
    EXPECT_FALSE(s.try_permit());
  }
  EXPECT_EQ(s.available(), 1u);
  {
    auto p = s.try_permit();
    EXPECT_EQ(p.release(), &s);
  }
  EXPECT_EQ(s.available(), 0u);
  s.release();
  auto p = s.try_permit();
  p.give_back();
  p.give_back();
  EXPECT_EQ(s.available(), 1u);
}

TEST(semaphore, release_of_many_wakes_many_in_order) {
  semaphore s{0};
  attempt a{s.acquire()}, b{s.acquire()}, c{s.acquire()};
  s.release(2);
  EXPECT_TRUE(a.completed());
  EXPECT_TRUE(b.completed());
  EXPECT_TRUE(c.waits());
  EXPECT_EQ(s.available(), 0u);
  s.release(3);
  EXPECT_TRUE(c.completed());
  EXPECT_EQ(s.available(), 2u);
}

TEST(semaphore, permits_of_cancelled_waiters_go_to_the_next) {
  semaphore s{0};
  attempt a{s.acquire()}, b{s.acquire()};
  a.cancel();
  s.release();
  EXPECT_TRUE(a.was_cancelled());
  EXPECT_TRUE(b.completed());
}

TEST(semaphore, bounded_refuses_more_than_its_maximum_and_changes_nothing) {
  semaphore s{1, 2};
  s.release();
  EXPECT_THROW(s.release(), misuse);
  EXPECT_THROW(s.release(semaphore::unlimited), misuse);
  EXPECT_EQ(s.available(), 2u);
  EXPECT_THROW(semaphore(3, 2), misuse);
  const auto st = s.statistics();
  EXPECT_EQ(st.maximum, 2u);
  EXPECT_EQ(st.waiting, 0u);
}

TEST(semaphore, a_granted_permit_that_nobody_picks_up_is_passed_on) {
  semaphore s{0};
  auto a = std::make_unique<attempt<semaphore::permit_operation>>(s.permit());
  attempt b{s.acquire()};
  s.release();
  EXPECT_TRUE(a->completed());
  a.reset();
  EXPECT_TRUE(b.completed());
}

TEST(semaphore, threads_with_random_cancels_never_exceed_it) {
  constexpr int threads = 4, rounds = 5000, permits = 2;
  semaphore s{permits, permits};
  std::atomic<int> inside{0}, running{threads};
  std::vector<std::unique_ptr<thread_party>> parties;
  for (int t = 0; t < threads; ++t) parties.push_back(std::make_unique<thread_party>());
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        auto op = s.permit();
        if (!parties[t]->wait(op)) continue;
        auto p = op.await_resume();
        EXPECT_LE(++inside, permits);
        if (i % 16 == 0) std::this_thread::yield();
        --inside;
      }
      --running;
    });
  }
  std::minstd_rand random{2};
  while (running != 0) {
    parties[random() % threads]->cancel();
    std::this_thread::yield();
  }
  for (auto& t : pool) t.join();
  EXPECT_EQ(s.available(), std::size_t{permits});
  EXPECT_EQ(s.statistics().waiting, 0u);
}

}  // namespace
}  // namespace oneloop::inline v0::test
