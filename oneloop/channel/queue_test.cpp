#include "oneloop/channel/queue.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/sync/test_waiter.hpp"

namespace oneloop::inline v0::test {
namespace {

TEST(queue, is_first_in_first_out_and_bounded) {
  queue<int> q{2};
  EXPECT_TRUE(q.try_put(1));
  EXPECT_TRUE(q.try_put(2));
  EXPECT_FALSE(q.try_put(3));
  attempt p{q.put(3)};
  EXPECT_TRUE(p.waits());
  EXPECT_EQ(q.size(), 2u);
  EXPECT_EQ(q.capacity(), 2u);
  EXPECT_EQ(attempt{q.get()}.result(), 1);
  EXPECT_TRUE(p.completed());
  EXPECT_EQ(q.try_get(), 2);
  EXPECT_EQ(q.try_get(), 3);
  EXPECT_EQ(q.try_get(), std::nullopt);
}

TEST(queue, unbounded_puts_never_wait) {
  queue<int> q{unbounded};
  EXPECT_EQ(q.capacity(), unlimited);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(attempt{q.put(i)}.immediate());
  EXPECT_EQ(q.size(), 1000u);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(q.try_get(), i);
    q.task_done();
  }
  EXPECT_TRUE(attempt{q.join()}.immediate());
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(q.try_put(i));
  q.shutdown(true);
  EXPECT_EQ(q.size(), 0u);
}

TEST(queue, refuses_capacity_zero) { EXPECT_THROW(queue<int>{0}, misuse); }

TEST(queue, join_waits_for_what_is_unfinished_not_for_emptiness) {
  queue<int> q{4};
  EXPECT_TRUE(attempt{q.join()}.immediate()) << "nothing was put yet";
  EXPECT_TRUE(q.try_put(1));
  EXPECT_TRUE(q.try_put(2));
  attempt j{q.join()}, k{q.join()};
  EXPECT_EQ(q.try_get(), 1);
  EXPECT_EQ(q.try_get(), 2);
  EXPECT_EQ(q.statistics().size, 0u);
  EXPECT_EQ(q.statistics().unfinished, 2u);
  EXPECT_TRUE(j.waits());
  q.task_done();
  EXPECT_TRUE(j.waits());
  q.task_done();
  EXPECT_TRUE(j.completed());
  EXPECT_TRUE(k.completed());
}

TEST(queue, a_put_that_still_waits_does_not_count) {
  queue<int> q{1};
  EXPECT_TRUE(q.try_put(1));
  attempt p{q.put(2)};
  EXPECT_EQ(q.statistics().unfinished, 1u);
  EXPECT_EQ(q.statistics().waiting_puts, 1u);
  p.cancel();
  EXPECT_EQ(q.try_get(), 1);
  q.task_done();
  EXPECT_TRUE(attempt{q.join()}.immediate());
}

TEST(queue, task_done_too_often_is_misuse) {
  queue<int> q{1};
  EXPECT_THROW(q.task_done(), misuse);
  EXPECT_TRUE(q.try_put(1));
  q.task_done();
  EXPECT_THROW(q.task_done(), misuse);
}

TEST(queue, shutdown_lets_gets_drain_and_refuses_puts) {
  queue<int> q{1};
  EXPECT_TRUE(q.try_put(1));
  attempt p{q.put(2)};
  q.shutdown();
  q.shutdown();
  EXPECT_TRUE(q.closed());
  EXPECT_THROW(p.result(), closed_error);
  EXPECT_EQ(p.op().value(), 2);
  EXPECT_THROW((void)q.try_put(3), closed_error);
  EXPECT_EQ(attempt{q.get()}.result(), 1);
  EXPECT_EQ(attempt{q.get()}.result(), std::nullopt);
  attempt j{q.join()};
  EXPECT_TRUE(j.waits()) << "what was taken is not finished yet";
  q.task_done();
  EXPECT_TRUE(j.completed());
}

TEST(queue, immediate_shutdown_drops_what_is_left_and_counts_it_as_finished) {
  queue<std::unique_ptr<int>> q{3};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(q.try_put(std::make_unique<int>(i)));
  EXPECT_EQ(*q.try_get().value(), 0);
  attempt j{q.join()};
  q.shutdown();
  q.shutdown(true);
  EXPECT_EQ(attempt{q.get()}.result(), std::nullopt);
  EXPECT_TRUE(j.waits()) << "the one that was taken is unfinished";
  q.task_done();
  EXPECT_TRUE(j.completed());
  EXPECT_THROW(q.task_done(), misuse);
  EXPECT_EQ(q.statistics().capacity, 3u);
}

/// Uses its queue as it dies, as a reply does that nobody has given.
struct comes_back {
  comes_back(queue<std::unique_ptr<comes_back>>& q, int& d) : home{q}, deaths{d} {}
  comes_back(const comes_back&) = delete;
  comes_back& operator=(const comes_back&) = delete;
  ~comes_back() {
    ++deaths;
    if (home.closed()) return;
    EXPECT_TRUE(home.try_put(std::make_unique<comes_back>(home, deaths)));
    EXPECT_EQ(home.statistics().size, 1u);
  }
  queue<std::unique_ptr<comes_back>>& home;
  int& deaths;
};

TEST(queue, what_it_holds_may_use_it_as_it_dies) {
  int deaths = 0;
  queue<std::unique_ptr<comes_back>> q{4};
  EXPECT_TRUE(q.try_put(std::make_unique<comes_back>(q, deaths)));
  *q.try_get() = nullptr;
  EXPECT_EQ(deaths, 1);
  EXPECT_EQ(q.size(), 1u) << "put as the first one died";
  q.shutdown(true);
  EXPECT_EQ(deaths, 2);
  EXPECT_EQ(q.statistics().unfinished, 1u) << "the one that was taken";
}

TEST(queue, shutdown_wakes_all_gets) {
  queue<int> q{1};
  attempt a{q.get()}, b{q.get()};
  q.shutdown(true);
  EXPECT_EQ(a.result(), std::nullopt);
  EXPECT_EQ(b.result(), std::nullopt);
}

TEST(queue, messages_use_its_own_names) {
  queue<int> q{1};
  q.shutdown();
  try {
    attempt{q.put(1)}.result();
    FAIL();
  } catch (const closed_error& e) {
    EXPECT_STREQ(e.what(), "queue.put: closed");
  }
}

TEST(queue, put_get_and_join_are_cases_of_a_select) {
  queue<int> q{1};
  attempt s{select(q.get(), q.put(4))};
  EXPECT_TRUE(s.immediate());
  EXPECT_EQ(s.result().index(), 1u);
  attempt t{select(q.put(5), q.join())};
  EXPECT_TRUE(t.waits());
  q.task_done();
  EXPECT_EQ(t.result().index(), 1u);
  EXPECT_EQ(q.statistics().waiting_puts, 0u);
}

TEST(queue, workers_finish_everything_that_producers_put) {
  queue<int> q{8};
  constexpr int producers = 2, workers = 2, each = 10000;
  std::atomic<long> sum{0};
  std::vector<std::thread> pool;
  for (int w = 0; w < workers; ++w) {
    pool.emplace_back([&] {
      thread_party me;
      for (;;) {
        auto g = q.get();
        ASSERT_TRUE(me.wait(g));
        auto v = g.await_resume();
        if (!v) return;
        sum += *v;
        q.task_done();
      }
    });
  }
  std::vector<std::thread> feed;
  for (int p = 0; p < producers; ++p) {
    feed.emplace_back([&] {
      thread_party me;
      for (int i = 1; i <= each; ++i) {
        auto put = q.put(i);
        ASSERT_TRUE(me.wait(put));
        put.await_resume();
      }
    });
  }
  for (auto& t : feed) t.join();
  thread_party me;
  auto j = q.join();
  ASSERT_TRUE(me.wait(j));
  EXPECT_EQ(sum, long{producers} * each * (each + 1) / 2);
  q.shutdown();
  for (auto& t : pool) t.join();
}

}  // namespace
}  // namespace oneloop::inline v0::test
