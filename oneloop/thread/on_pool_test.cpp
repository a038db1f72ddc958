#include "oneloop/thread/on_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/work_deque.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

long fib_sequential(int n) { return n < 2 ? n : fib_sequential(n - 1) + fib_sequential(n - 2); }
long fib(stealing_pool& pool, int n) {
  if (n < 8) return fib_sequential(n);
  auto a = pool.start(fib, std::ref(pool), n - 1);
  const long b = fib(pool, n - 2);
  return await(a) + b;
}

TEST(on_pool, every_waiter_gets_the_result) {
  stealing_pool pool{2};
  EXPECT_EQ(await(on_pool(pool, [] { return 1; })), 1);
  EXPECT_EQ(*await(on_pool([] { return std::make_unique<int>(2); })), 2);
  await(on_pool(pool, [] {}));
  EXPECT_THROW(await(on_pool(pool, [] { throw std::runtime_error{"x"}; })), std::runtime_error);
  const auto here = std::this_thread::get_id();
  run([&]() -> task<> {
    auto where = [] { return std::this_thread::get_id(); };
    const auto id = co_await on_pool(pool, where);
    EXPECT_NE(id, here);
    auto both = gather(on_pool(pool, [] { return 3; }), on_pool(pool, [] { return 4; }));
    const auto r = co_await both;
    EXPECT_EQ(std::get<0>(r) + std::get<1>(r), 7);
  });
  run([&] { EXPECT_EQ(await(on_pool(pool, [] { return 5; })), 5); });
  EXPECT_EQ(pool.start(fib_sequential, 10).result(), 55);
  EXPECT_THROW(stealing_pool{0}, misuse);
}

TEST(on_pool, no_thread_before_the_first_job) {
  stealing_pool pool{3};
  EXPECT_EQ(pool.statistics().threads, 0u);
  await(on_pool(pool, [] {}));
  EXPECT_EQ(pool.statistics().threads, 3u);
  EXPECT_EQ(pool.size(), 3u);
  EXPECT_GE(stealing_pool::shared().size(), 1u);
  await(on_pool([] {}));
  EXPECT_THROW(set_pool_threads(2), misuse);
}

TEST(on_pool, fork_and_join_with_any_number_of_threads) {
  for (const std::size_t threads : {1u, 2u, 4u}) {
    stealing_pool pool{threads};
    EXPECT_EQ(await(on_pool(pool, [&] { return fib(pool, 20); })), 6765);
    EXPECT_EQ(pool.start(fib, std::ref(pool), 18).result(), 2584);
  }
}

TEST(on_pool, nested_in_a_pool_of_one_thread) {
  stealing_pool pool{1};
  const std::function<int(int)> nest = [&](int n) {
    return n == 0 ? 0 : 1 + await(on_pool(pool, [&] { return nest(n - 1); }));
  };
  EXPECT_EQ(await(on_pool(pool, [&] { return nest(100); })), 100);
}

// What no job can help with: another thread takes the place of the one that waits.
TEST(on_pool, a_job_that_waits_lends_its_place) {
  stealing_pool pool{1};
  event set_by_a_job;
  auto waits = pool.start([&] { await(set_by_a_job.wait()); });
  pool.start([&] { set_by_a_job.set(); }).result();
  waits.result();
  const std::function<task<int>(int)> nest = [&](int n) -> task<int> {
    if (n == 0) co_return 1;
    auto sides = gather(on_pool(pool, [&, n] { return await(nest(n - 1)); }),
                        on_pool(pool, [&, n] { return await(nest(n - 1)); }));
    const auto r = co_await sides;
    co_return std::get<0>(r) + std::get<1>(r);
  };
  EXPECT_EQ(pool.start(nest, 3).result(), 8);
}

TEST(on_pool, a_cancelled_wait_takes_back_or_tells_the_code) {
  stealing_pool pool{1};
  event running, go;
  bool ran = false;
  auto first = pool.start([&] {
    running.set();
    while (!go.is_set()) std::this_thread::yield();
  });
  await(running.wait());
  EXPECT_FALSE(move_on_after(1ms, [&] { await(on_pool(pool, [&] { ran = true; })); }));
  go.set();
  first.result();
  EXPECT_FALSE(ran);
  EXPECT_FALSE(move_on_after(2ms, [&] {
    await(on_pool(pool, [] {
      while (true) check_cancelled();
    }));
  }));
  EXPECT_EQ(await(on_pool(pool, [] { return 1; })), 1);
}

TEST(on_pool, jobs_have_the_locals_of_who_asks) {
  task_local<int> local{0};
  local.set(4);
  EXPECT_EQ(await(on_pool([&] { return local.get(); })), 4);
  EXPECT_EQ(stealing_pool::shared().start([&] { return local.get(); }).result(), 4);
  local.restore();
}

TEST(on_pool, the_end_refuses_what_has_not_begun_and_tells_what_runs) {
  future<> runs;
  std::vector<future<>> queued;
  {
    stealing_pool pool{1};
    runs = pool.start([] {
      while (true) check_cancelled();
    });
    while (!runs.running()) std::this_thread::yield();
    for (int i = 0; i < 3; ++i) queued.push_back(pool.start([] {}));
  }
  EXPECT_TRUE(runs.cancelled());
  for (const auto& f : queued) EXPECT_THROW(f.result(), closed_error);
}

TEST(on_pool, many_threads_start_many_jobs) {
  stealing_pool pool{3};
  std::atomic<long> sum{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        auto f = pool.start([&, i] {
          std::vector<future<>> inner;
          for (int k = 0; k < 5; ++k) inner.push_back(pool.start([&] { sum += i; }));
          for (auto& one : inner) await(one);
        });
        if (i % 2 == 0) f.result();
        if (i % 2 == 1) (void)f.exception();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(sum, 3 * 5 * 4950);
}

TEST(work_deque, every_item_is_taken_once) {
  struct item {
    std::atomic<int> taken{0};
  };
  constexpr std::size_t n = 20'000;
  std::vector<item> items(n);
  detail::work_deque<item> deque;
  std::atomic<bool> over{false};
  std::vector<std::jthread> thieves;
  for (int t = 0; t < 2; ++t) {
    thieves.emplace_back([&] {
      while (!over) {
        if (item* i = deque.steal()) ++i->taken;
      }
    });
  }
  for (std::size_t i = 0; i < n; ++i) {
    deque.push(items[i]);
    if (i % 3 == 0) {
      if (item* mine = deque.pop()) ++mine->taken;
    }
  }
  while (item* mine = deque.pop()) ++mine->taken;
  over = true;
  thieves.clear();
  while (item* left = deque.steal()) ++left->taken;
  for (const item& i : items) ASSERT_EQ(i.taken, 1);
}

}  // namespace
}  // namespace oneloop
