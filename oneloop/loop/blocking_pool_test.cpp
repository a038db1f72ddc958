#include "oneloop/loop/blocking_pool.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::party;
using test::test_waiter;

/// Lets jobs wait until the test says so.
class gate {
 public:
  void pass() {
    std::unique_lock guard{mutex_};
    ++inside_;
    changed_.notify_all();
    changed_.wait(guard, [this] { return open_; });
  }
  void wait_for(int n) {
    std::unique_lock guard{mutex_};
    ASSERT_TRUE(changed_.wait_for(guard, 10s, [&] { return inside_ >= n; }));
  }
  void open() {
    const std::scoped_lock guard{mutex_};
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool open_ = false;
};

class pool_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(pool_on, test::all_backends());

TEST_P(pool_on, gives_back_what_the_function_returns) {
  loop l{GetParam()};
  auto op = to_thread([] { return std::make_unique<std::string>("text"); });
  EXPECT_EQ(test::run(l, op), outcome::completed);
  EXPECT_EQ(*op.await_resume(), "text");
  EXPECT_EQ(l.owed(), 0u);

  bool called = false;
  auto nothing = to_thread([&] { called = true; });
  EXPECT_EQ(test::run(l, nothing), outcome::completed);
  nothing.await_resume();
  EXPECT_TRUE(called);
}

TEST_P(pool_on, runs_the_function_on_another_thread_while_the_loop_goes_on) {
  loop l{GetParam()};
  gate g;
  const auto here = std::this_thread::get_id();
  auto op = to_thread([&] {
    g.pass();
    return std::this_thread::get_id();
  });
  test_waiter w{l};
  l.post([&] { start(w, op); });
  test::on(l, [&] { g.wait_for(1); });
  EXPECT_FALSE(w.done);
  EXPECT_EQ(l.owed(), 1u);
  g.open();
  l.run_until(w.done);
  EXPECT_NE(op.await_resume(), here);
}

TEST_P(pool_on, rethrows_what_the_function_throws) {
  loop l{GetParam()};
  auto op = to_thread([]() -> int { throw std::runtime_error{"no"}; });
  EXPECT_EQ(test::run(l, op), outcome::completed);
  EXPECT_THROW(op.await_resume(), std::runtime_error);
  EXPECT_EQ(l.owed(), 0u);
}

TEST_P(pool_on, a_job_that_has_started_is_waited_for_when_cancelled) {
  loop l{GetParam()};
  gate g;
  auto op = to_thread([&] {
    g.pass();
    return 5;
  });
  test_waiter w{l};
  l.post([&] { start(w, op); });
  test::on(l, [&] {
    g.wait_for(1);
    w.request_cancel();
  });
  EXPECT_FALSE(w.done);
  g.open();
  l.run_until(w.done);
  EXPECT_EQ(w.result, outcome::completed);
  EXPECT_EQ(op.await_resume(), 5);
}

TEST_P(pool_on, a_job_that_has_not_started_is_taken_back) {
  loop l{GetParam()};
  set_blocking_threads(1);
  gate g;
  bool ran = false;
  auto first = to_thread([&] { g.pass(); });
  auto second = to_thread([&] { ran = true; });
  test_waiter w1{l}, w2{l};
  l.post([&] { start(w1, first); });
  test::on(l, [&] {
    g.wait_for(1);
    start(w2, second);
    EXPECT_EQ(blocking_statistics().queued, 1u);
    w2.request_cancel();
  });
  l.run_until(w2.done);
  EXPECT_EQ(w2.result, outcome::cancelled);
  EXPECT_EQ(blocking_statistics().queued, 0u);
  g.open();
  l.run_until(w1.done);
  first.await_resume();
  EXPECT_FALSE(ran);
  EXPECT_EQ(l.owed(), 0u);
  set_blocking_threads(64);
}

TEST_P(pool_on, cancels_that_race_with_the_start_lose_nothing) {
  loop l{GetParam()};
  set_blocking_threads(2);
  std::atomic<int> ran{0};
  int completed = 0, cancelled_ones = 0, ended = 0;
  constexpr int n = 2000;
  bool done = false;
  auto one = [&]() -> party {
    auto op = to_thread([&] { ran.fetch_add(1); });
    test_waiter w{l};
    bool gone_on = false;
    w.then = [&] { gone_on = true; };
    start(w, op);
    co_await yield_now();
    if (!gone_on) w.request_cancel();
    while (!gone_on) co_await sleep_for(10us);
    if (w.result == outcome::completed) {
      op.await_resume();
      ++completed;
    } else {
      ++cancelled_ones;
    }
    done = ++ended == n;
  };
  l.post([&] {
    for (int i = 0; i < n; ++i) one();
  });
  l.run_until(done);
  EXPECT_EQ(completed, ran.load());
  EXPECT_EQ(completed + cancelled_ones, n);
  EXPECT_EQ(l.owed(), 0u);
  set_blocking_threads(64);
}

TEST_P(pool_on, grows_to_its_limit_and_queues_the_rest) {
  loop l{GetParam()};
  set_blocking_threads(3);
  gate g;
  int ended = 0;
  bool done = false;
  auto one = [&]() -> party {
    co_await to_thread_operation{std::function<void()>{[&] { g.pass(); }}};
    done = ++ended == 8;
  };
  test::on(l, [&] {
    for (int i = 0; i < 8; ++i) one();
    g.wait_for(3);
    const auto s = blocking_statistics();
    EXPECT_EQ(s.queued, 5u);
    EXPECT_EQ(s.limit, 3u);
    EXPECT_LE(s.threads, 64u);
  });
  g.open();
  l.run_until(done);
  set_blocking_threads(64);
}

TEST(pool, serves_plain_threads) {
  std::vector<std::jthread> threads;
  std::atomic<int> sum{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        auto op = to_thread([i] { return i; });
        EXPECT_TRUE(test::park(op));
        sum += op.await_resume();
      }
    });
  }
  threads.clear();
  EXPECT_EQ(sum.load(), 3 * 4950);
}

TEST(pool, virtual_time_stands_still_while_a_job_runs) {
  loop l{"virtual"};
  const auto before = l.now();
  bool done = false;
  time_point answered{};
  auto asker = [&]() -> party {
    co_await to_thread_operation{std::function<void()>{[] { std::this_thread::sleep_for(20ms); }}};
    answered = l.now();
  };
  auto sleeper = [&]() -> party {
    co_await sleep_for(10s);
    done = true;
  };
  l.post([&] {
    asker();
    sleeper();
  });
  l.run_until(done);
  EXPECT_EQ(answered, before);
}

// As a composite does that asks for the results when all of its parts have ended.
TEST(pool, virtual_time_goes_on_before_the_result_is_asked_for) {
  loop l{"virtual"};
  auto op = to_thread([] { return 3; });
  EXPECT_EQ(test::run(l, op), outcome::completed);
  auto nap = sleep_for(1s);
  EXPECT_EQ(test::run(l, nap), outcome::completed);
  EXPECT_EQ(op.await_resume(), 3);
}

TEST(pool, works_in_a_forked_child) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer allows no threads in a forked child";
#endif
  auto op = to_thread([] { return 1; });
  EXPECT_TRUE(test::park(op));
  const pid_t child = ::fork();
  if (child == 0) {
    auto in_child = to_thread([] { return 2; });
    const bool good =
        test::park(in_child) && in_child.await_resume() == 2 && blocking_statistics().threads == 1;
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(pool, idle_threads_end_after_five_seconds) {
  auto op = to_thread([] {});
  EXPECT_TRUE(test::park(op));
  EXPECT_GE(blocking_statistics().threads, 1u);
  const auto limit = clock::now() + 8s;
  while (blocking_statistics().threads != 0 && clock::now() < limit) {
    std::this_thread::sleep_for(50ms);
  }
  EXPECT_EQ(blocking_statistics().threads, 0u);
}

}  // namespace
}  // namespace oneloop
