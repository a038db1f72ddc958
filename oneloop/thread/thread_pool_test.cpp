#include "oneloop/thread/thread_pool.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

int twice(int x) { return 2 * x; }
task<int> twice_later(int x) {
  co_await sleep_for(1ms);
  co_return 2 * x;
}

TEST(thread_pool, submit_gives_a_future) {
  thread_pool pool{2};
  EXPECT_EQ(pool.submit(twice, 4).result(), 8);
  EXPECT_EQ(
      pool.submit([](std::unique_ptr<int> p) { return *p; }, std::make_unique<int>(5)).result(), 5);
  EXPECT_THROW(pool.submit([] { throw std::runtime_error{"x"}; }).result(), std::runtime_error);
  int n = 0;
  EXPECT_EQ(&pool.submit([](int& r) -> int& { return r; }, std::ref(n)).result(), &n);
  EXPECT_EQ(pool.submit(twice_later, 3).result(), 6);  // a coroutine is a job too
  run([&]() -> task<> {
    const int x = co_await pool.submit(twice, 7);
    EXPECT_EQ(x, 14);
  });
  EXPECT_THROW(thread_pool{0}, misuse);
}

TEST(thread_pool, threads_come_when_they_are_needed_and_are_used_again) {
  thread_pool pool{3};
  EXPECT_EQ(pool.statistics().threads, 0u);
  for (int i = 0; i < 10; ++i) {
    pool.submit([] {}).result();
    while (pool.statistics().idle == 0) std::this_thread::yield();
  }
  EXPECT_EQ(pool.statistics().threads, 1u);
  event go;
  std::vector<future<>> all;
  for (int i = 0; i < 5; ++i) all.push_back(pool.submit([&] { await(go.wait()); }));
  EXPECT_EQ(pool.statistics().threads, 3u);
  go.set();
  EXPECT_EQ(wait(all).done.size(), 5u);
}

TEST(thread_pool, jobs_begin_in_order_and_what_is_queued_can_be_cancelled) {
  thread_pool pool{1};
  event go;
  std::vector<int> order;
  auto first = pool.submit([&] { await(go.wait()); });
  std::vector<future<>> rest;
  for (int i = 0; i < 4; ++i) rest.push_back(pool.submit([&, i] { order.push_back(i); }));
  while (!first.running()) std::this_thread::yield();
  EXPECT_FALSE(first.cancel());
  EXPECT_TRUE(rest[2].cancel());
  go.set();
  wait(rest);
  EXPECT_EQ(order, (std::vector{0, 1, 3}));
}

TEST(thread_pool, a_running_job_is_interrupted_at_its_next_wait) {
  thread_pool pool{1};
  event running;
  bool cleaned_up = false;
  auto f = pool.submit([&] {
    try {
      running.set();
      await(sleep_forever());
    } catch (const cancelled&) {
      cleaned_up = true;
      throw;
    }
  });
  await(running.wait());
  f.interrupt();
  EXPECT_THROW(f.result(), cancelled_error);
  EXPECT_TRUE(f.cancelled());
  EXPECT_TRUE(cleaned_up);
  EXPECT_EQ(pool.submit(twice, 1).result(), 2);  // the thread is as good as new
  auto computes = pool.submit([&] {
    while (true) check_cancelled();
  });
  while (!computes.running()) std::this_thread::yield();
  computes.interrupt();
  EXPECT_THROW(computes.result(), cancelled_error);
}

TEST(thread_pool, jobs_have_the_locals_of_who_submits_and_their_own_scope) {
  task_local<int> local{0};
  local.set(3);
  thread_pool pool{1, thread_pool_options{}.name("my-threads")};
  EXPECT_EQ(pool.submit([&] {
                  const int inherited = local.get();
                  local.set(9);
                  return inherited;
                })
                .result(),
            3);
  EXPECT_EQ(pool.submit([&] { return local.get(); }).result(), 3);
  local.restore();
  auto name = pool.submit([] {
    char text[16] = {};
    ::pthread_getname_np(::pthread_self(), text, sizeof text);
    return std::string{text};
  });
  EXPECT_EQ(name.result(), "my-threads-0");
  auto called = pool.submit(named{"load", [] { return std::string{context::current().name()}; }});
  EXPECT_EQ(called.result(), "load");
  EXPECT_FALSE(
      pool.submit([] { return move_on_after(1ms, [] { await(sleep_forever()); }); }).result());
}

// ---- map ----

TEST(thread_pool_map, gives_the_results_in_order) {
  thread_pool pool{4};
  const std::vector<int> numbers{3, 1, 2};
  std::vector<int> got;
  for (int x : pool.map(twice, numbers)) got.push_back(x);
  EXPECT_EQ(got, (std::vector{6, 2, 4}));
  got.clear();
  // Side by side, until the shortest ends.
  for (int x : pool.map(std::plus<>{}, numbers, std::vector{10, 20})) got.push_back(x);
  EXPECT_EQ(got, (std::vector{13, 21}));
  int calls = 0;
  for (std::monostate m : pool.map([](int) {}, numbers)) {
    static_cast<void>(m);
    ++calls;
  }
  EXPECT_EQ(calls, 3);
}

TEST(thread_pool_map, a_failure_comes_in_its_place_and_the_rest_is_cancelled) {
  thread_pool pool{1};
  std::atomic<int> calls{0};
  event go;
  auto body = [&](int x) {
    ++calls;
    if (x == 1) throw std::runtime_error{"one"};
    if (x == 2) await(go.wait());
    return x;
  };
  auto consume = [&] {
    int sum = 0;
    for (int x : pool.map(body, std::vector{0, 1, 2, 3, 4})) sum += x;
    return sum;
  };
  EXPECT_THROW(consume(), std::runtime_error);
  go.set();
  pool.submit([] {}).result();
  EXPECT_LE(calls, 3);
}

TEST(thread_pool_map, the_timeout_counts_from_the_call) {
  thread_pool pool{1};
  auto results = pool.map(
      5ms, [](int x) { return x == 0 ? x : (await(sleep_forever()), x); }, std::vector{0, 1});
  std::this_thread::sleep_for(6ms);
  EXPECT_EQ(results.next(), 0);  // it is there already
  EXPECT_THROW(results.next(), timeout_error);
}

// ---- the end ----

TEST(thread_pool_end, shutdown_lets_everything_end) {
  thread_pool pool{2};
  std::atomic<int> ran{0};
  for (int i = 0; i < 20; ++i) {
    (void)pool.submit([&] {
      await(sleep_for(100us));
      ++ran;
    });
  }
  pool.shutdown();
  EXPECT_EQ(ran, 20);
  EXPECT_EQ(pool.statistics().threads, 0u);
  try {
    (void)pool.submit(twice, 1);
    FAIL();
  } catch (const closed_error& e) {
    EXPECT_STREQ(e.what(), "pool: closed");
  }
  pool.shutdown();
}

TEST(thread_pool_end, shutdown_may_cancel_what_is_queued_and_not_wait) {
  thread_pool pool{1};
  event go;
  auto runs = pool.submit([&] { await(go.wait()); });
  auto queued = pool.submit(twice, 1);
  while (!runs.running()) std::this_thread::yield();
  pool.shutdown(false, true);
  EXPECT_TRUE(queued.cancelled());
  EXPECT_FALSE(runs.done());
  run([&]() -> task<> {
    EXPECT_THROW(pool.shutdown(), would_block_loop);
    go.set();
    co_await pool.ended();
  });
  EXPECT_TRUE(runs.done());
}

TEST(thread_pool_end, the_destructor_cancels_what_has_no_end) {
  future<> runs, queued;
  event running;
  {
    thread_pool pool{1};
    runs = pool.submit([&] {
      running.set();
      await(sleep_forever());
    });
    queued = pool.submit([] {});
    await(running.wait());
  }
  EXPECT_TRUE(runs.cancelled());
  EXPECT_TRUE(queued.cancelled());
}

TEST(thread_pool_end, what_does_not_listen_is_left_to_itself_and_logged) {
  static std::string text;
  text.clear();
  const log_hook before =
      set_log_hook([](severity, std::string_view line) noexcept { text.append(line); });
  auto go = std::make_shared<std::atomic<bool>>(false);
  future<> f;
  {
    thread_pool pool{1, thread_pool_options{}.name("deaf").grace(2ms)};
    f = pool.submit([go] {
      while (!*go) std::this_thread::yield();
    });
    while (!f.running()) std::this_thread::yield();
  }
  set_log_hook(before);
  EXPECT_EQ(text,
            "thread_pool 'deaf': 1 of its jobs did not end in time and were left to themselves");
  EXPECT_FALSE(f.done());
  *go = true;
  f.result();
}

TEST(thread_pool_end, an_initializer_that_fails_breaks_the_pool) {
  static std::string text;
  text.clear();
  const log_hook before =
      set_log_hook([](severity, std::string_view line) noexcept { text.append(line); });
  thread_pool pool{1, thread_pool_options{}.initializer([] { throw std::runtime_error{"no"}; })};
  auto f = pool.submit(twice, 1);
  EXPECT_THROW(f.result(), broken_pool);
  EXPECT_THROW((void)pool.submit(twice, 1), broken_pool);
  pool.shutdown();
  set_log_hook(before);
  EXPECT_EQ(text, "thread_pool 'pool': the initializer failed: no");
  std::atomic<int> initialized{0};
  thread_pool good{2, thread_pool_options{}.initializer([&] { ++initialized; })};
  good.submit([] {}).result();
  EXPECT_GE(initialized, 1);
}

TEST(thread_pool_end, submits_race_with_the_end) {
  for (int i = 0; i < 30; ++i) {
    std::atomic<int> ran{0};
    int accepted = 0, refused = 0;
    auto pool = std::make_unique<thread_pool>(2);
    std::thread submitting{[&] {
      try {
        for (int k = 0; k < 50; ++k) {
          (void)pool->submit([&] { ++ran; });
          ++accepted;
        }
      } catch (const closed_error&) {
        ++refused;
      }
    }};
    if (i % 3 != 0) std::this_thread::yield();
    pool->shutdown();
    submitting.join();
    EXPECT_EQ(ran, accepted);
    EXPECT_EQ(refused, accepted == 50 ? 0 : 1);
  }
}

// ---- the end of the program ----

// In a program of its own, which ends while pools are alive and jobs run.
void end_with_pools_at_work() {
  static thread_pool pool{2, thread_pool_options{}.grace(50ms)};
  (void)pool.submit([] { await(sleep_forever()); });
  (void)pool.submit([] { await(twice_later(1)); });
  (void)pool.submit([] { await(sleep_forever()); });
  static std::thread deaf{[] { (void)await(to_thread([] { std::this_thread::sleep_for(1h); })); }};
  deaf.detach();
  await(twice_later(2));  // this thread has a loop now
  auto leaves = []() -> task<> {
    std::exit(7);  // in the middle of a wait
    co_return;
  };
  await(leaves());
}

TEST(thread_pool_death, the_program_ends_all_the_same) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(end_with_pools_at_work(), testing::ExitedWithCode(7), "");
}

// The pool dies while the thread that runs its destructor is in the middle of a job.
[[noreturn]] void end_in_a_job() {
  static thread_pool pool{1, thread_pool_options{}.grace(10ms)};
  (void)pool.submit([] { std::exit(7); });
  std::this_thread::sleep_for(1h);
  std::abort();
}

TEST(thread_pool_death, a_job_may_end_the_program) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(end_in_a_job(), testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace oneloop
