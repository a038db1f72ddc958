// Channels, locks and selects between coroutines on one loop, on two loops, and with plain threads.

#include <chrono>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_waiter.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

class on_loop : public backend_test {
 protected:
  loop l{GetParam()};
};

party send_all(channel<int>& c, int n) {
  for (int i = 0; i < n; ++i) co_await c.send(i);
  c.close();
}

party receive_all(channel<int>& c, std::vector<int>& got, bool& done) {
  for (;;) {
    auto v = co_await c.receive();
    if (!v) break;
    got.push_back(*v);
  }
  done = true;
}

TEST_P(on_loop, values_arrive_in_order_between_coroutines) {
  for (std::size_t capacity : {0u, 1u, 10u}) {
    channel<int> c{capacity};
    std::vector<int> got;
    bool done = false;
    l.post([&] { send_all(c, 1000); });
    l.post([&] { receive_all(c, got, done); });
    l.run_until(done);
    ASSERT_EQ(got.size(), 1000u);
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
  }
}

party receive_or_time_out(channel<int>& c, std::size_t& index, duration& took, bool& done) {
  loop& l = *loop::current();
  const auto start = l.now();
  auto r = co_await select(c.receive(), sleep_for(20ms));
  index = r.index();
  took = l.now() - start;
  done = true;
}

TEST_P(on_loop, a_sleep_in_a_select_is_a_timeout) {
  channel<int> c;
  std::size_t index = 9;
  duration took{};
  bool done = false;
  l.post([&] { receive_or_time_out(c, index, took, done); });
  l.run_until(done);
  EXPECT_EQ(index, 1u);
  EXPECT_GE(took, 20ms);
  if (GetParam() == "virtual") {
    EXPECT_EQ(took, 20ms);
  }
  EXPECT_EQ(c.statistics().waiting_receivers, 0u);
}

TEST_P(on_loop, the_timeout_of_a_select_goes_when_a_value_comes) {
  channel<int> c{1};
  std::size_t index = 9;
  duration took{};
  bool done = false;
  l.post([&] { receive_or_time_out(c, index, took, done); });
  l.post([&] { EXPECT_TRUE(c.try_send(1)); });
  l.run_until(done);
  EXPECT_EQ(index, 0u);
  EXPECT_EQ(l.timers().size(), 0u);
}

TEST_P(on_loop, cancel_between_the_wake_up_and_the_resumption_delivers) {
  channel<int> c;
  test_waiter w{l};
  auto r = c.receive();
  on(l, [&] {
    start(w, r);
    EXPECT_TRUE(c.try_send(5));
    w.request_cancel();  // woken already, not resumed yet
  });
  l.run_until(w.done);
  EXPECT_EQ(w.resumed, 1);
  EXPECT_EQ(w.result, outcome::completed);
  EXPECT_EQ(r.await_resume(), 5);
}

party critical(mutex& m, int& inside, int& left, bool& done) {
  for (int i = 0; i < 50; ++i) {
    auto guard = co_await m.lock();
    EXPECT_EQ(++inside, 1);
    co_await yield_now();
    --inside;
  }
  done = --left == 0;
}

TEST_P(on_loop, a_mutex_is_held_across_waits) {
  mutex m;
  int inside = 0, left = 10;
  bool done = false;
  for (int i = 0; i < 10; ++i) {
    l.post([&] { critical(m, inside, left, done); });
  }
  l.run_until(done);
  EXPECT_FALSE(m.locked());
}

TEST_P(on_loop, two_loops_exchange_values) {
  for (std::size_t capacity : {0u, 4u}) {
    channel<int> c{capacity};
    constexpr int n = 3000;
    std::thread other{[&] {
      loop second{GetParam()};
      // A virtual loop must know that it is waited for from outside.
      second.owe();
      bool done = false;
      auto feed = [&]() -> party {
        for (int i = 0; i < n; ++i) co_await c.send(i);
        c.close();
        done = true;
      };
      second.post([&] { feed(); });
      second.run_until(done);
      second.disown();
    }};
    std::vector<int> got;
    bool done = false;
    l.owe();
    l.post([&] { receive_all(c, got, done); });
    l.run_until(done);
    l.disown();
    other.join();
    ASSERT_EQ(got.size(), std::size_t{n});
    for (int i = 0; i < n; ++i) EXPECT_EQ(got[static_cast<std::size_t>(i)], i);
  }
}

TEST_P(on_loop, a_loop_and_a_plain_thread_exchange_values) {
  channel<int> c;
  constexpr int n = 2000;
  std::thread sender{[&] {
    for (int i = 0; i < n; ++i) {
      auto s = c.send(i);
      EXPECT_TRUE(park(s));
    }
    c.close();
  }};
  std::vector<int> got;
  bool done = false;
  l.owe();
  l.post([&] { receive_all(c, got, done); });
  l.run_until(done);
  l.disown();
  sender.join();
  EXPECT_EQ(got.size(), std::size_t{n});
}

party swap_values(channel<int>& out, channel<int>& in, int n, long& sent, long& received,
                  bool& done) {
  for (int i = 1; i <= n; ++i) {
    auto r = co_await select(out.send(i), in.receive());
    if (r.index() == 0) {
      sent += i;
    } else {
      received += r.get<1>().value_or(0);
    }
  }
  done = true;
}

TEST_P(on_loop, selects_on_two_loops_face_each_other) {
  channel<int> a, b;
  constexpr int n = 3000;
  long sent1 = 0, received1 = 0, sent2 = 0, received2 = 0;
  std::thread other{[&] {
    loop second{GetParam()};
    second.owe();
    bool done = false;
    second.post([&] { swap_values(b, a, n, sent2, received2, done); });
    second.run_until(done);
    second.disown();
  }};
  bool done = false;
  l.owe();
  l.post([&] { swap_values(a, b, n, sent1, received1, done); });
  l.run_until(done);
  l.disown();
  other.join();
  EXPECT_EQ(sent1, received2);
  EXPECT_EQ(sent2, received1);
}

TEST_P(on_loop, a_plain_thread_is_cancelled_by_its_deadline) {
  channel<int> c;
  event e;
  auto s = select(c.receive(), e.wait());
  EXPECT_FALSE(park(s, clock::now() + 5ms));
  EXPECT_EQ(c.statistics().waiting_receivers, 0u);
  EXPECT_EQ(e.statistics().waiting, 0u);
}

ONELOOP_ON_BACKENDS(on_loop, all_backends());

TEST(on_virtual_loop, the_choice_of_a_select_replays_from_the_seed) {
  auto choices = [](std::uint64_t seed) {
    loop l{"virtual"};
    l.seed(seed);
    std::vector<std::size_t> picked;
    on(l, [&] {
      event e{true};
      for (int i = 0; i < 100; ++i) {
        test_waiter w{l};
        auto s = select(e.wait(), e.wait(), e.wait());
        start(w, s);
        picked.push_back(s.await_resume().index());
        picked.push_back(try_select(e.wait(), e.wait())->index());
      }
    });
    return picked;
  };
  EXPECT_EQ(choices(1), choices(1));
  EXPECT_NE(choices(1), choices(2));
}

}  // namespace
}  // namespace oneloop::inline v0::test
