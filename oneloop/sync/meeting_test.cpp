// Barrier, latch and once.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/barrier.hpp"
#include "oneloop/sync/latch.hpp"
#include "oneloop/sync/once.hpp"
#include "oneloop/sync/test_waiter.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

TEST(barrier, lets_all_go_when_the_last_has_come_and_numbers_them) {
  barrier b{3};
  attempt x{b.wait()}, y{b.wait()};
  EXPECT_TRUE(x.waits());
  EXPECT_EQ(b.statistics().waiting, 2u);
  attempt z{b.wait()};
  EXPECT_TRUE(z.immediate());
  EXPECT_EQ(x.result(), 0u);
  EXPECT_EQ(y.result(), 1u);
  EXPECT_EQ(z.result(), 2u);
  EXPECT_EQ(b.statistics().waiting, 0u);
  attempt next{b.wait()};
  EXPECT_TRUE(next.waits()) << "ready for the next round";
}

TEST(barrier, who_is_cancelled_leaves_and_the_others_wait_on) {
  barrier b{3};
  attempt x{b.wait()}, y{b.wait()};
  x.cancel();
  EXPECT_TRUE(x.was_cancelled());
  attempt z{b.wait()};
  EXPECT_TRUE(y.waits());
  attempt last{b.wait()};
  EXPECT_EQ(y.result(), 0u) << "numbers are those of who met";
  EXPECT_EQ(z.result(), 1u);
  EXPECT_EQ(last.result(), 2u);
}

// What an arrival costs does not depend on how many wait: the last quarter of those who come takes
// as long as the first. (It took seven times as long when each counted those before it.)
TEST(barrier, the_last_to_come_pay_no_more_than_the_first) {
  constexpr std::size_t parties = 20'000;
  const auto processor_time = [] {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
  };
  using arrival = attempt<barrier::wait_operation>;
  const auto all = std::make_unique<std::optional<arrival>[]>(parties);
  std::chrono::nanoseconds first = 1h, last = 1h;
  barrier b{parties};
  for (int round = 0; round < 5; ++round) {
    for (std::size_t i = 0; i != parties; ++i) all[i].reset();
    const auto arrive = [&](std::size_t from, std::size_t to) {
      const auto begun = processor_time();
      for (std::size_t i = from; i != to; ++i) all[i].emplace(b.wait());
      return processor_time() - begun;
    };
    first = std::min(first, arrive(0, parties / 4));
    arrive(parties / 4, parties / 4 * 3);
    last = std::min(last, arrive(parties / 4 * 3, parties - 1));
    EXPECT_EQ(b.statistics().waiting, parties - 1);
    all[parties - 1].emplace(b.wait());
    EXPECT_EQ(all[0]->result(), 0u);
    EXPECT_EQ(all[parties - 1]->result(), parties - 1);
  }
  EXPECT_LT(last, first * 3);
}

TEST(barrier, abort_breaks_it_for_all_until_it_is_reset) {
  barrier b{2};
  attempt x{b.wait()};
  b.abort();
  EXPECT_THROW(x.result(), broken_barrier);
  EXPECT_TRUE(b.broken());
  EXPECT_THROW(attempt{b.wait()}.result(), broken_barrier);
  b.reset();
  EXPECT_FALSE(b.broken());
  attempt y{b.wait()}, z{b.wait()};
  EXPECT_EQ(y.result(), 0u);
}

TEST(barrier, reset_breaks_only_those_who_wait) {
  barrier b{2};
  attempt x{b.wait()};
  b.reset();
  EXPECT_THROW(x.result(), broken_barrier);
  EXPECT_FALSE(b.broken());
  attempt y{b.wait()};
  EXPECT_TRUE(y.waits());
}

TEST(barrier, is_for_one_party_at_least) {
  EXPECT_THROW(barrier{0}, misuse);
  barrier b{1};
  EXPECT_EQ(attempt{b.wait()}.result(), 0u);
}

TEST(barrier, a_timeout_of_one_may_break_it_for_all) {
  // What Python's threads do by themselves.
  const auto main = [](barrier& b) -> task<> {
    int broken = 0;
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 2; ++i) {
        n.start([&]() -> task<> {
          try {
            co_await b.wait();
          } catch (const broken_barrier&) {
            ++broken;
          }
        });
      }
      const auto wait = [&]() -> task<> { co_await b.wait(); };
      const bool met = co_await move_on_after(1s, wait);
      EXPECT_FALSE(met);
      if (!met) b.abort();
    };
    co_await with_nursery(body);
    EXPECT_EQ(broken, 2);
  };
  barrier b{4};
  run(main(b), "virtual");
}

TEST(barrier, threads_meet_round_after_round) {
  constexpr std::size_t threads = 4;
  constexpr int rounds = 300;
  barrier b{threads};
  std::atomic<int> arrived{0};
  std::atomic<long> sum{0};
  std::vector<std::thread> pool;
  for (std::size_t t = 0; t < threads; ++t) {
    pool.emplace_back([&] {
      for (int i = 0; i < rounds; ++i) {
        ++arrived;
        sum += static_cast<long>(await(b.wait()));
        EXPECT_GE(arrived.load(), (i + 1) * static_cast<int>(threads));
      }
    });
  }
  for (auto& t : pool) t.join();
  EXPECT_EQ(sum, 6 * rounds) << "0, 1, 2, 3 in each round";
}

TEST(latch, opens_at_zero_and_stays_open) {
  latch l{3};
  attempt a{l.wait()}, b{l.wait()};
  l.count_down(2);
  EXPECT_TRUE(a.waits());
  EXPECT_FALSE(l.try_wait());
  EXPECT_EQ(l.statistics().count, 1u);
  l.count_down();
  EXPECT_TRUE(a.completed());
  EXPECT_TRUE(b.completed());
  EXPECT_TRUE(l.try_wait());
  EXPECT_TRUE(attempt{l.wait()}.immediate());
  EXPECT_THROW(l.count_down(), misuse);
  latch two{2};
  EXPECT_THROW(two.count_down(3), misuse);
  EXPECT_EQ(two.statistics().count, 2u) << "without effect";
}

TEST(latch, is_a_case_of_a_select) {
  latch l{1}, other{1};
  attempt s{select(other.wait(), l.wait())};
  l.count_down();
  EXPECT_EQ(s.result().index(), 1u);
  EXPECT_EQ(other.statistics().waiting, 0u);
}

// ---- once ----

struct opened {
  once o;
  int tries = 0;
  int users = 0;
  task<> open(int failures) {
    const int mine = ++tries;
    co_await sleep_for(1s);
    if (mine <= failures) throw std::runtime_error{"cannot open"};
  }
};

TEST(once, runs_one_time_while_the_others_wait_in_every_model) {
  const auto main = [](opened& x) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      const auto by_task = [&]() -> task<> {
        co_await x.o.call([&] { return x.open(0); });
        ++x.users;
      };
      n.start(by_task);
      n.start([&x] {
        await(x.o.call([&x] { return x.open(0); }));
        ++x.users;
      });
      defer(x.o.call([&x] { return x.open(0); })).add_callback([&x] { ++x.users; });
      co_await sleep_for(500ms);
      EXPECT_EQ(x.o.statistics().waiting, 2u);
      EXPECT_TRUE(x.o.statistics().running);
    };
    co_await with_nursery(body);
    EXPECT_TRUE(x.o.done());
    co_await x.o.call([&] { return x.open(0); });
  };
  opened x;
  run(main(x), "virtual");
  EXPECT_EQ(x.tries, 1);
  EXPECT_EQ(x.users, 3);
}

TEST(once, a_failure_is_of_who_ran_it_and_the_next_tries) {
  const auto main = [](opened& x) -> task<> {
    int failed = 0;
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 4; ++i) {
        n.start([&]() -> task<> {
          try {
            co_await x.o.call([&] { return x.open(2); });
            ++x.users;
          } catch (const std::runtime_error&) {
            ++failed;
          }
        });
      }
      co_return;
    };
    co_await with_nursery(body);
    EXPECT_EQ(failed, 2);
  };
  opened x;
  run(main(x), "virtual");
  EXPECT_EQ(x.tries, 3);
  EXPECT_EQ(x.users, 2);
}

TEST(once, a_function_that_blocks_a_fiber_runs_on_its_stack_also_after_a_wait) {
  const auto main = []() -> task<> {
    once o;
    int tries = 0;
    int failed = 0;
    const auto body = [&](nursery& n) -> task<> {
      const auto call = [&] {
        try {
          await(o.call([&] {
            const bool first = ++tries == 1;
            await(sleep_for(1s));
            if (first) throw std::runtime_error{"cannot open"};
          }));
        } catch (const std::runtime_error&) {
          ++failed;
        }
      };
      for (int i = 0; i < 3; ++i) n.start(call);
      co_return;
    };
    co_await with_nursery(body);
    EXPECT_TRUE(o.done());
    EXPECT_EQ(tries, 2);
    EXPECT_EQ(failed, 1);
  };
  run(main(), "virtual");
}

TEST(once, cancel_of_who_runs_it_lets_the_next_try) {
  const auto main = [](opened& x) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        const auto call = [&]() -> task<> { co_await x.o.call([&] { return x.open(0); }); };
        const bool done = co_await move_on_after(500ms, call);
        EXPECT_FALSE(done);
      });
      n.start([&x] {
        await(x.o.call([&x] { return x.open(0); }));
        ++x.users;
      });
      co_return;
    };
    co_await with_nursery(body);
  };
  opened x;
  run(main(x), "virtual");
  EXPECT_EQ(x.tries, 2);
  EXPECT_EQ(x.users, 1);
}

TEST(once, who_is_cancelled_while_he_waits_changes_nothing) {
  const auto main = [](opened& x) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await x.o.call([&] { return x.open(0); });
        ++x.users;
      });
      co_await sleep_for(1ms);
      const auto call = [&]() -> task<> { co_await x.o.call([&] { return x.open(0); }); };
      const bool done = co_await move_on_after(500ms, call);
      EXPECT_FALSE(done);
    };
    co_await with_nursery(body);
  };
  opened x;
  run(main(x), "virtual");
  EXPECT_EQ(x.tries, 1);
  EXPECT_EQ(x.users, 1);
}

TEST(once, who_is_cancelled_as_he_gets_the_turn_passes_it_on) {
  const auto main = [](opened& x) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      auto turn = co_await x.o.begin();
      cancel_scope* scope = nullptr;
      n.start([&]() -> task<> {
        const auto call = [&](cancel_scope& s) -> task<> {
          scope = &s;
          co_await x.o.call([&] { return x.open(0); });
        };
        const bool done = co_await with_scope(scope_options{}, call);
        EXPECT_FALSE(done);
      });
      n.start([&]() -> task<> {
        co_await x.o.call([&] { return x.open(0); });
        ++x.users;
      });
      co_await sleep_for(1s);
      turn = {};
      scope->cancel();
    };
    co_await with_nursery(body);
  };
  opened x;
  run(main(x), "virtual");
  EXPECT_EQ(x.tries, 1);
  EXPECT_EQ(x.users, 1);
}

TEST(once, in_plain_threads_with_functions_operations_and_tasks) {
  once plain, op, by_task;
  std::atomic<int> runs{0};
  const auto open = [&]() -> task<> {
    ++runs;
    co_await sleep_for(1ms);
  };
  std::vector<std::thread> pool;
  for (int t = 0; t < 3; ++t) {
    pool.emplace_back([&] {
      await(plain.call([&] { ++runs; }));
      await(op.call([&] {
        ++runs;
        return sleep_for(1ms);
      }));
      await(by_task.call(open));
    });
  }
  for (auto& t : pool) t.join();
  EXPECT_EQ(runs, 3);
  EXPECT_TRUE(plain.done() && op.done() && by_task.done());
  EXPECT_THROW(await(once{}.call([] { throw std::logic_error{"no"}; })), std::logic_error);
}

}  // namespace
}  // namespace oneloop::inline v0::test
