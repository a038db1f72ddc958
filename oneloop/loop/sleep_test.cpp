#include "oneloop/loop/sleep.hpp"

#include <thread>
#include <vector>

#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::party;
using test::test_waiter;

static_assert(retractable<sleep_operation>);
static_assert(operation<yield_operation> && !retractable<yield_operation>);

class sleep_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(sleep_on, test::all_backends());

TEST_P(sleep_on, lasts_at_least_as_long_as_asked) {
  loop l{GetParam()};
  const auto before = l.now();
  auto op = sleep_for(20ms);
  EXPECT_EQ(test::run(l, op), outcome::completed);
  EXPECT_GE(l.now() - before, 20ms);
}

TEST_P(sleep_on, sub_millisecond_sleeps_do_not_become_milliseconds_early) {
  loop l{GetParam()};
  const auto before = l.now();
  auto op = sleep_for(300us);
  test::run(l, op);
  EXPECT_GE(l.now() - before, 300us);
}

TEST_P(sleep_on, what_is_due_already_lets_others_run_first) {
  loop l{GetParam()};
  std::vector<int> order;
  bool done = false;
  auto sleeper = [&]() -> party {
    order.push_back(1);
    co_await sleep_for(0s);
    order.push_back(3);
    co_await sleep_until(l.now() - 1s);
    order.push_back(4);
    done = true;
  };
  l.post([&] { sleeper(); });
  l.post([&] { order.push_back(2); });
  l.run_until(done);
  EXPECT_EQ(order, (std::vector{1, 2, 3, 4}));
}

TEST_P(sleep_on, wakes_in_the_order_of_deadlines) {
  loop l{GetParam()};
  std::vector<int> order;
  bool done = false;
  auto sleeper = [&](int n) -> party {
    co_await sleep_for(n * 3ms);
    order.push_back(n);
    done = order.size() == 4;
  };
  l.post([&] {
    for (int n : {3, 1, 4, 2}) sleeper(n);
  });
  l.run_until(done);
  EXPECT_EQ(order, (std::vector{1, 2, 3, 4}));
}

TEST_P(sleep_on, a_cancelled_sleep_ends_at_once_and_leaves_no_timer) {
  loop l{GetParam()};
  for (auto op : {0, 1}) {
    auto s = op == 0 ? sleep_for(1h) : sleep_forever();
    test_waiter w{l};
    l.post([&] {
      start(w, s);
      w.request_cancel();
    });
    const auto before = l.now();
    l.run_until(w.done);
    EXPECT_EQ(w.result, outcome::cancelled);
    EXPECT_EQ(w.resumed, 1);
    EXPECT_LT(l.now() - before, 1min);
    EXPECT_EQ(l.timers().size(), 0u);
  }
}

TEST_P(sleep_on, a_sleep_that_has_fired_is_not_cancelled_any_more) {
  loop l{GetParam()};
  auto s = sleep_for(1ms);
  test_waiter w{l};
  l.post([&] { start(w, s); });
  bool later = false;
  w.then = [&] { later = true; };
  l.run_until(later);
  w.request_cancel();
  EXPECT_EQ(w.result, outcome::completed);
  EXPECT_EQ(w.resumed, 1);
}

TEST_P(sleep_on, the_loser_of_a_select_is_delisted) {
  loop l{GetParam()};
  test_waiter w{l};
  auto slow = sleep_for(1h), quick = sleep_for(1ms);
  static constexpr operation_info select{"select", [](void*, waiter&) noexcept {}, nullptr};
  l.post([&] {
    w.arm_shared(&slow, select);
    EXPECT_EQ(slow.enlist(w), enlisted::waiting);
    EXPECT_EQ(quick.enlist(w), enlisted::waiting);
  });
  l.run_until(w.done);
  EXPECT_TRUE(quick.won());
  EXPECT_FALSE(slow.won());
  slow.delist();
  slow.delist();
  EXPECT_EQ(l.timers().size(), 0u);
}

TEST_P(sleep_on, yield_lets_everything_that_is_ready_run_once) {
  loop l{GetParam()};
  std::vector<int> order;
  bool done = false;
  auto talker = [&](int n) -> party {
    for (int i = 0; i < 3; ++i) {
      order.push_back(n);
      co_await yield_now();
    }
    done = n == 2;
  };
  l.post([&] {
    talker(1);
    talker(2);
  });
  l.run_until(done);
  EXPECT_EQ(order, (std::vector{1, 2, 1, 2, 1, 2}));
}

TEST(sleep_on_the_virtual_clock, a_day_takes_no_time) {
  loop l{"virtual"};
  const auto wall = clock::now();
  const auto before = l.now();
  auto op = sleep_for(24h);
  test::run(l, op);
  EXPECT_EQ(l.now() - before, 24h);
  EXPECT_LT(clock::now() - wall, 5s);
}

TEST(sleep_on_the_virtual_clock, a_hundred_thousand_sleepers_wake_at_their_exact_times) {
  loop l{"virtual"};
  const auto start = l.now();
  int awake = 0;
  bool done = false;
  auto sleeper = [&](int n) -> party {
    co_await sleep_for(std::chrono::seconds{n});
    EXPECT_EQ(l.now() - start, std::chrono::seconds{n});
    done = ++awake == 100'000;
  };
  l.post([&] {
    for (int n = 100'000; n > 0; --n) sleeper(n);
  });
  l.run_until(done);
}

TEST(sleep_in_a_plain_thread, parks_it) {
  const auto before = clock::now();
  auto op = sleep_for(10ms);
  EXPECT_TRUE(test::park(op));
  EXPECT_GE(clock::now() - before, 10ms);
}

TEST(sleep_in_a_plain_thread, can_be_cancelled_by_it) {
  auto op = sleep_forever();
  EXPECT_FALSE(test::park(op, parker::now() + 5ms));
  auto yield = yield_now();
  EXPECT_TRUE(test::park(yield));
}

TEST(sleep_describes_itself, for_dumps) {
  loop l{"virtual"};
  auto op = sleep_for(1500ms);
  test_waiter w{l};
  test::on(l, [&] {
    start(w, op);
    const operation_info& info = *w.waiting_for();
    EXPECT_STREQ(info.name, "sleep");
    EXPECT_EQ(info.describe(w.operation()), "1500 ms left");
    w.request_cancel();
  });
  l.run_until(w.done);
}

}  // namespace
}  // namespace oneloop
