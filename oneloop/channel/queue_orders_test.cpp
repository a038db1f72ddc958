// The queues in another order, and a queue with two sides as janus has it.
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/lifo_queue.hpp"
#include "oneloop/channel/priority_queue.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/conformance.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

TEST(lifo_queue, gives_what_was_put_last_and_lets_puts_in_by_arrival) {
  lifo_queue<int> q{2};
  EXPECT_TRUE(q.try_put(1));
  EXPECT_TRUE(q.try_put(2));
  EXPECT_FALSE(q.try_put(3));
  attempt p{q.put(3)}, r{q.put(4)};
  EXPECT_EQ(q.try_get(), 2);
  EXPECT_TRUE(p.completed());
  EXPECT_TRUE(r.waits());
  EXPECT_EQ(q.try_get(), 3);
  EXPECT_EQ(q.try_get(), 4);
  EXPECT_EQ(q.try_get(), 1);
  EXPECT_EQ(q.try_get(), std::nullopt);
  EXPECT_EQ(q.statistics().unfinished, 4u);
}

TEST(priority_queue, gives_the_smallest_and_equals_in_the_order_of_their_puts) {
  using job = std::pair<int, char>;
  struct by_urgency {
    bool operator()(const job& a, const job& b) const { return a.first < b.first; }
  };
  priority_queue<job, by_urgency> q{unbounded};
  for (const job& j :
       {job{2, 'a'}, job{1, 'b'}, job{2, 'c'}, job{0, 'd'}, job{1, 'e'}, job{2, 'f'}}) {
    EXPECT_TRUE(q.try_put(j));
  }
  std::string order;
  while (auto j = q.try_get()) order += j->second;
  EXPECT_EQ(order, "dbeacf");
}

TEST(priority_queue, takes_an_order_with_a_state) {
  const std::vector<int> rank{0, 1, 2};  // where each number comes from the end
  const auto order = [rank](int a, int b) {
    return rank[static_cast<std::size_t>(a)] > rank[static_cast<std::size_t>(b)];
  };
  priority_queue<int, decltype(order)> q{3, order};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(q.try_put(i));
  EXPECT_FALSE(q.try_put(0));
  EXPECT_EQ(q.try_get(), 2);
  using small = priority_queue<int, decltype(order)>;
  EXPECT_THROW((small{0, order}), misuse);
}

TEST(priority_queue, shutdown_drains_in_order_or_drops_all) {
  priority_queue<std::unique_ptr<int>,
                 std::function<bool(const std::unique_ptr<int>&, const std::unique_ptr<int>&)>>
      q{4, [](const auto& a, const auto& b) { return *a < *b; }};
  for (int i : {3, 1, 2}) EXPECT_TRUE(q.try_put(std::make_unique<int>(i)));
  attempt j{q.join()};
  q.shutdown();
  EXPECT_THROW((void)q.try_put(std::make_unique<int>(0)), closed_error);
  auto first = q.try_get();
  EXPECT_EQ(**first, 1);
  EXPECT_TRUE(j.waits());
  q.shutdown(true);
  EXPECT_EQ(q.size(), 0u);
  EXPECT_EQ(attempt{q.get()}.result(), std::nullopt);
  EXPECT_TRUE(j.waits());
  q.task_done();
  EXPECT_TRUE(j.completed());
}

template <class Queue>
struct get_case {
  static constexpr bool stores = true, one_each = true;
  Queue q{4};
  auto op() { return q.get(); }
  void satisfy() { EXPECT_TRUE(q.try_put(1)); }
  std::size_t waiting() { return q.statistics().waiting_gets; }
};
template <class Queue>
struct put_case {
  static constexpr bool stores = true, one_each = true;
  Queue q{1};
  put_case() { EXPECT_TRUE(q.try_put(1)); }
  auto op() { return q.put(1); }
  void satisfy() { EXPECT_TRUE(q.try_get()); }
  std::size_t waiting() { return q.statistics().waiting_puts; }
};
using ordered_cases = testing::Types<get_case<lifo_queue<int>>, put_case<lifo_queue<int>>,
                                     get_case<priority_queue<int>>, put_case<priority_queue<int>>>;
INSTANTIATE_TYPED_TEST_SUITE_P(ordered_queues, conformance, ordered_cases);

// ---- two sides ----

TEST(two_sided_queue, threads_on_one_side_and_coroutines_on_the_other) {
  // Jobs go from a thread to coroutines, what they make of them to a thread; both wait for room.
  constexpr int count = 2000;
  queue<int> jobs{4}, results{4};
  std::thread producer{[&] {
    for (int i = 1; i <= count; ++i) await(jobs.put(i));
    await(jobs.join());
    jobs.shutdown();
  }};
  long sum = 0;
  std::thread consumer{[&] {
    while (auto v = await(results.get())) sum += *v;
  }};
  const auto work = [&]() -> task<> {
    for (;;) {
      auto j = co_await jobs.get();
      if (!j) break;
      co_await results.put(*j * 2);
      jobs.task_done();
    }
  };
  const auto body = [&](nursery& n) -> task<> {
    for (int i = 0; i < 3; ++i) n.start(work);
    co_return;
  };
  run(with_nursery(body), "epoll");
  results.shutdown();
  producer.join();
  consumer.join();
  EXPECT_EQ(sum, long{count} * (count + 1));
  EXPECT_EQ(jobs.statistics().unfinished, 0u);
}

TEST(two_sided_queue, one_item_wakes_one_waiter_of_either_side) {
  queue<int> q{2};
  std::atomic<int> got{0};
  std::thread blocked{[&] {
    if (await(q.get())) ++got;
  }};
  const auto main = [&]() -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto v = co_await q.get();
        if (v) ++got;
      });
      while (q.statistics().waiting_gets != 2) co_await sleep_for(1ms);
      co_await q.put(1);
      while (got == 0) co_await sleep_for(1ms);
      EXPECT_EQ(q.statistics().waiting_gets, 1u);
      q.shutdown();  // ends whoever is left, on whichever side
    };
    co_await with_nursery(body);
  };
  run(main(), "epoll");
  blocked.join();
  EXPECT_EQ(got, 1);
}

TEST(two_sided_queue, works_without_any_loop_and_with_timeouts_of_threads) {
  queue<int> q{1};
  EXPECT_THROW(await(fail_after(1ms, q.get())), timeout_error);
  await(q.put(1));
  auto full = q.put(2);
  EXPECT_THROW(await(fail_after(1ms, full)), timeout_error);
  EXPECT_EQ(full.value(), 2) << "what was not put is still there";
  EXPECT_EQ(await(q.get()), 1);
  EXPECT_EQ(q.statistics().waiting_puts, 0u);
}

TEST(two_sided_queue, both_sides_may_join_and_put_and_hear_of_its_end) {
  queue<int> q{1};
  EXPECT_TRUE(q.try_put(1));  // before anyone joins: an empty queue is joined at once
  bool loop_joined = false, loop_refused = false;
  std::atomic<bool> thread_joined{false}, thread_refused{false};
  std::thread other{[&] {
    await(q.join());
    thread_joined = true;
    EXPECT_TRUE(q.try_put(2));
    try {
      await(q.put(3));  // full
    } catch (const closed_error&) {
      thread_refused = true;
    }
  }};
  const auto main = [&]() -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await q.join();
        loop_joined = true;
        while (q.statistics().waiting_puts != 1) co_await sleep_for(1ms);
        try {
          co_await q.put(4);
        } catch (const closed_error&) {
          loop_refused = true;
        }
      });
      while (q.statistics().waiting_joins != 2) co_await sleep_for(1ms);
      auto item = co_await q.get();
      EXPECT_EQ(item, 1);
      EXPECT_FALSE(loop_joined || thread_joined) << "it is taken, not done";
      q.task_done();
      while (q.statistics().waiting_puts != 2) co_await sleep_for(1ms);
      q.shutdown(true);
    };
    co_await with_nursery(body);
  };
  run(main(), "epoll");
  other.join();
  EXPECT_TRUE(loop_joined && thread_joined);
  EXPECT_TRUE(loop_refused && thread_refused);
}

TEST(two_sided_queue, a_get_that_is_cancelled_on_the_loop_takes_no_item_from_the_thread) {
  constexpr int count = 500;
  queue<int> q{1};
  std::thread producer{[&] {
    for (int i = 1; i <= count; ++i) await(q.put(i));
    q.shutdown();
  }};
  long sum = 0;
  int rounds = 0;
  const auto main = [&]() -> task<> {
    bool end = false;
    while (!end) {
      const auto get = [&]() -> task<> {
        auto v = co_await q.get();
        if (v) {
          sum += *v;
        } else {
          end = true;
        }
      };
      const auto limit = 50us * (++rounds % 2);
      const bool done = co_await move_on_after(limit, get);
      if (!done) co_await sleep_for(10us);
    }
  };
  run(main(), "epoll");
  producer.join();
  EXPECT_EQ(sum, long{count} * (count + 1) / 2);
}

}  // namespace
}  // namespace oneloop::inline v0::test
