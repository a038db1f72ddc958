#include "oneloop/fiber/green.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/fiber_test.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::passed;
using test::run_virtual;
using test::wait_forever;

int slow_sum(int a, int b) {
  await(sleep_for(1s));
  return a + b;
}
void fail_later() {
  await(sleep_for(1s));
  throw std::runtime_error{"boom"};
}

TEST(green, a_fiber_without_a_nursery_gives_its_value) {
  run_virtual([] {
    const fiber<int> f = spawn(slow_sum, 1, 2);
    EXPECT_FALSE(f.started());
    EXPECT_FALSE(f.ready());
    EXPECT_EQ(f.value(), nullptr);
    EXPECT_EQ(f.get(), 3);
    EXPECT_TRUE(f.started() && f.ready() && f.dead() && f.successful());
    EXPECT_EQ(*f.value(), 3);
    EXPECT_EQ(f.exception(), nullptr);
    EXPECT_EQ(f.get(), 3) << "asked again";
    EXPECT_STREQ(spawn(named{"adder", slow_sum}, 1, 1).name(), "adder");
  });
}

TEST(green, values_may_be_references_and_move_only) {
  run_virtual([] {
    int x = 0;
    auto r = spawn([&]() -> int& { return x; });
    auto m = spawn([](std::unique_ptr<int> p) { return p; }, std::make_unique<int>(7));
    EXPECT_EQ(&r.get(), &x);
    EXPECT_EQ(r.value(), &x);
    EXPECT_EQ(*m.get(), 7);
    EXPECT_THROW((void)m.get(), misuse);
    EXPECT_THROW((void)fiber<int>{}.ready(), misuse);
    EXPECT_FALSE(fiber<int>{});
  });
}

TEST(green, a_coroutine_becomes_a_task_with_the_same_handle) {
  run_virtual([] {
    fiber<int> f = spawn(
        [](int a) -> task<int> {
          co_await sleep_for(1s);
          co_return a;
        },
        4);
    EXPECT_EQ(f.get(), 4);
  });
}

TEST(green, the_owner_is_the_nursery_that_the_code_is_in) {
  run_virtual([] {
    bool ended = false;
    with_nursery([&](nursery& n) {
      spawn([&] {
        await(sleep_for(1s));
        ended = true;
      });
      EXPECT_EQ(n.running(), 1U);
    });
    EXPECT_TRUE(ended);
  });
}

TEST(green, without_a_nursery_it_is_cancelled_and_waited_for_at_the_end_of_the_run) {
  bool cancelled_at_the_end = false;
  run_virtual([&] {
    spawn([&] {
      try {
        await(sleep_forever());
      } catch (const cancelled&) {
        cancelled_at_the_end = true;
        throw;
      }
    });
    await(yield_now());
  });
  EXPECT_TRUE(cancelled_at_the_end);
}

TEST(green, a_plain_thread_has_no_place_for_one) {
  EXPECT_THROW(spawn(wait_forever), loop_not_running);
  with_nursery([](nursery&) {
    auto f = spawn([] { return std::this_thread::get_id(); });
    EXPECT_NE(f.get(), std::this_thread::get_id()) << "in a thread's nursery: a thread";
  });
}

TEST(green, a_failure_belongs_to_who_asks) {
  run_virtual([] {
    auto f = spawn(fail_later);
    bool sibling_ended = false;
    auto sibling = spawn([&] {
      await(sleep_for(5s));
      sibling_ended = true;
    });
    EXPECT_TRUE(f.join());
    EXPECT_FALSE(f.successful());
    EXPECT_THROW(f.get(), std::runtime_error);
    EXPECT_EQ(describe(f.exception()), "boom");
    sibling.join();
    EXPECT_TRUE(sibling_ended);
  });
}

TEST(green, a_failure_that_nobody_asks_for_is_thrown_by_the_owner) {
  auto forgets = [] {
    spawn(fail_later);
    await(sleep_forever());
  };
  EXPECT_THROW(run_virtual(forgets), std::runtime_error);
  auto joins_only = [] {
    spawn(fail_later).join();
    await(sleep_forever());
  };
  EXPECT_THROW(run_virtual(joins_only), std::runtime_error);
}

TEST(green, get_and_join_with_a_limit) {
  run_virtual([] {
    const auto start = loop::current()->now();
    auto f = spawn(slow_sum, 1, 2);
    EXPECT_FALSE(f.join(100ms));
    EXPECT_EQ(passed(start), 100ms);
    EXPECT_THROW((void)f.get(100ms), timeout_error);
    EXPECT_FALSE(f.join(0s));
    EXPECT_TRUE(f.join(10s));
    EXPECT_EQ(passed(start), 1s);
    EXPECT_TRUE(f.join(0s)) << "it has ended";
    EXPECT_EQ(f.get(0s), 3);
  });
}

TEST(green, works_with_await_co_await_gather_and_select_as_a_joinable) {
  run_virtual([] {
    auto a = spawn(slow_sum, 1, 2);
    auto b = spawn(slow_sum, 3, 4);
    EXPECT_EQ(await(a), 3);
    auto both = await(gather(a, b));
    EXPECT_EQ(std::get<0>(both) + std::get<1>(both), 10);
    auto c = spawn(slow_sum, 5, 6);
    EXPECT_EQ(await(select(c.handle().join(), sleep_for(100ms))).index(), 1U);
    auto asks = [](fiber<int> f) -> task<int> { co_return co_await f; };
    EXPECT_EQ(await(asks(c)), 11);
    EXPECT_THROW((void)await(fail_after(1ms, spawn(slow_sum, 0, 0))), timeout_error);
  });
}

// ---- kill ----

TEST(green, kill_ends_it_at_its_wait_and_counts_as_success) {
  run_virtual([] {
    bool unwound = false;
    auto f = spawn([&]() -> int {
      struct at_end {
        bool& b;
        ~at_end() { b = true; }
      } mark{unwound};
      await(sleep_forever());
      return 1;
    });
    auto nothing = spawn(wait_forever);
    await(yield_now());
    EXPECT_TRUE(f.kill());
    EXPECT_TRUE(unwound) << "waited for";
    EXPECT_TRUE(f.dead() && f.successful());
    EXPECT_EQ(f.value(), nullptr);
    EXPECT_EQ(f.exception(), nullptr);
    EXPECT_THROW((void)f.get(), cancelled_error);
    EXPECT_THROW((void)await(f), cancelled_error);
    nothing.kill();
    nothing.get();
    EXPECT_TRUE(f.kill()) << "again";
  });
}

TEST(green, kill_without_blocking_and_with_a_limit) {
  run_virtual([] {
    auto stubborn = spawn([] { shielded([] { await(sleep_for(10s)); }); });
    await(yield_now());
    const auto start = loop::current()->now();
    EXPECT_FALSE(stubborn.kill(false));
    EXPECT_EQ(passed(start), 0s);
    EXPECT_FALSE(stubborn.kill(1s));
    EXPECT_EQ(passed(start), 1s);
    EXPECT_TRUE(stubborn.kill());
    EXPECT_EQ(passed(start), 10s);
  });
}

TEST(green, killed_before_it_began_it_never_runs_but_its_links_fire) {
  run_virtual([] {
    bool ran = false;
    std::string fired;
    auto f = spawn([&] { ran = true; });
    f.link([&] { fired += 'a'; });
    f.link_value([&](const fiber<>&) { fired += 'v'; });
    f.link_exception([&] { fired += 'x'; });
    EXPECT_TRUE(f.kill());
    await(sleep_for(1s));
    EXPECT_FALSE(ran);
    EXPECT_FALSE(f.started());
    EXPECT_TRUE(f.dead() && f.successful());
    EXPECT_EQ(fired, "av") << "a kill is no failure";
  });
}

TEST(green, a_fiber_that_finishes_in_spite_of_a_kill_has_a_value) {
  run_virtual([] {
    auto f = spawn([] {
      try {
        await(sleep_forever());
      } catch (const cancelled&) {
      }
      return 5;
    });
    await(yield_now());
    f.kill();
    EXPECT_EQ(f.get(), 5);
  });
}

TEST(green, a_fiber_that_kills_itself_ends_at_once) {
  run_virtual([] {
    fiber<> f;
    bool after = false;
    f = spawn([&] {
      f.kill();
      after = true;
    });
    f.join();
    EXPECT_FALSE(after);
    EXPECT_TRUE(f.successful());
  });
}

TEST(green, a_wait_that_is_cancelled_leaves_the_fiber_alone) {
  run_virtual([] {
    auto f = spawn(slow_sum, 1, 1);
    auto waits = spawn([&] { return f.get(); });
    await(yield_now());
    waits.kill();
    EXPECT_EQ(f.get(), 2);
  });
}

TEST(green, kill_from_another_thread) {
  run([] {
    auto f = spawn(wait_forever);
    await(yield_now());
    std::thread other{[f] { EXPECT_TRUE(f.kill()); }};
    f.join();
    other.join();
    EXPECT_TRUE(f.successful());
  });
}

// ---- spawn_later ----

TEST(green, spawn_later_begins_in_time_and_needs_no_stack_before) {
  run_virtual([] {
    const auto start = loop::current()->now();
    const auto stacks = fiber_statistics(*loop::current()).in_use;
    auto f = spawn_later(
        1s,
        [start](int x) {
          EXPECT_EQ(passed(start), 1s);
          return x;
        },
        3);
    await(sleep_for(500ms));
    EXPECT_FALSE(f.started());
    EXPECT_EQ(fiber_statistics(*loop::current()).in_use, stacks);
    EXPECT_EQ(f.get(), 3);
    EXPECT_EQ(spawn_later(0s, [] { return 1; }).get(), 1);
  });
}

TEST(green, killed_in_its_delay_it_never_runs) {
  bool ran = false;
  run_virtual([&] {
    const auto start = loop::current()->now();
    auto f = spawn_later(10s, [&] { ran = true; });
    await(sleep_for(1s));
    EXPECT_TRUE(f.kill());
    EXPECT_EQ(passed(start), 1s);
    spawn_later(10s, [&] { ran = true; });
    await(yield_now());
  });
  EXPECT_FALSE(ran) << "nor one that the end of the run cancels";
}

// ---- links ----

TEST(green, links_run_in_a_fiber_of_their_own_and_may_wait) {
  run_virtual([] {
    std::string order;
    auto f = spawn(slow_sum, 1, 2);
    f.link([&](fiber<int>& g) {
      await(sleep_for(1s));
      order += std::to_string(g.get());
    });
    f.link_value([&] { order += 'v'; });
    f.link_exception([&] { order += 'x'; });
    f.get();
    order += 'j';
    await(sleep_for(2s));
    EXPECT_EQ(order, "jv3");
  });
}

TEST(green, a_link_set_after_the_end_still_fires) {
  run_virtual([] {
    auto f = spawn(fail_later);
    f.join();
    std::string seen;
    f.link_exception([&](const any_fiber& g) { seen += describe(g.exception()); });
    f.link_value([&] { seen += 'v'; });
    await(yield_now());
    await(yield_now());
    EXPECT_EQ(seen, "boom");
  });
}

TEST(green, unlink_takes_a_link_back) {
  run_virtual([] {
    bool fired = false;
    auto f = spawn(slow_sum, 1, 2);
    auto l = f.link([&] { fired = true; });
    f.unlink(l);
    f.get();
    await(sleep_for(1s));
    l.unlink();
    EXPECT_FALSE(fired);
  });
}

TEST(green, links_of_a_fiber_that_the_end_of_the_run_cancels_fire) {
  bool fired = false;
  run_virtual([&] {
    auto f = spawn(wait_forever);
    f.link([&] { fired = true; });
    await(yield_now());
  });
  EXPECT_TRUE(fired);
}

TEST(green, a_failure_that_a_link_has_asked_for_is_not_the_owners) {
  run_virtual([] {
    std::string seen;
    spawn(fail_later).link_exception([&](fiber<>& f) { seen = describe(f.exception()); });
    await(sleep_for(5s));
    EXPECT_EQ(seen, "boom");
  });
}

TEST(green, what_a_link_throws_ends_the_run) {
  auto body = [] {
    spawn([] {}).link([] { throw std::runtime_error{"in the link"}; });
    await(sleep_forever());
  };
  EXPECT_THROW(run_virtual(body), std::runtime_error);
}

// ---- several ----

TEST(green, joinall_waits_for_all_and_gives_those_that_ended) {
  run_virtual([] {
    const auto start = loop::current()->now();
    std::vector<fiber<>> all;
    for (int i = 1; i <= 3; ++i) all.push_back(spawn([i] { await(sleep_for(i * 1s)); }));
    EXPECT_EQ(joinall(all, 1500ms).size(), 1U);
    EXPECT_EQ(passed(start), 1500ms);
    EXPECT_EQ(joinall(all).size(), 3U);
    EXPECT_EQ(passed(start), 3s);
    auto a = spawn(slow_sum, 1, 2);
    auto b = spawn(wait_forever);
    EXPECT_EQ(joinall({a, b}, 2s).size(), 1U) << "of different types";
  });
}

TEST(green, joinall_with_a_count_returns_early) {
  run_virtual([] {
    const auto start = loop::current()->now();
    std::vector<fiber<int>> all;
    for (int i : {3, 1, 2}) {
      all.push_back(spawn([i] {
        await(sleep_for(i * 1s));
        return i;
      }));
    }
    auto two = joinall(all, {}, false, 2);
    ASSERT_EQ(two.size(), 2U);
    EXPECT_EQ(two[0].get(), 1);
    EXPECT_EQ(two[1].get(), 2);
    EXPECT_EQ(passed(start), 2s);
  });
}

TEST(green, joinall_throws_the_first_failure_only_if_it_is_asked_to) {
  run_virtual([] {
    const auto start = loop::current()->now();
    std::vector<fiber<>> all{spawn([] { await(sleep_for(5s)); }), spawn(fail_later)};
    EXPECT_THROW(joinall(all, {}, true), std::runtime_error);
    EXPECT_EQ(passed(start), 1s) << "as soon as it is there";
    EXPECT_FALSE(all[0].ready()) << "the others go on";
    joinall(all);
    EXPECT_TRUE(all[0].successful());
  });
}

TEST(green, wait_and_iwait_go_by_the_order_of_ends) {
  run_virtual([] {
    std::vector<fiber<int>> all;
    for (int i : {3, 1, 2}) {
      all.push_back(spawn([i] {
        await(sleep_for(i * 1s));
        return i;
      }));
    }
    std::string order;
    for (const auto& f : iwait(all)) order += std::to_string(*f.value());
    EXPECT_EQ(order, "123");
    EXPECT_EQ(wait(all).size(), 3U) << "ended ones";
    auto slow = spawn(slow_sum, 1, 2);
    auto never_ends = spawn(wait_forever);
    EXPECT_EQ(wait({slow, never_ends}, 2s).size(), 1U);
    EXPECT_EQ(wait({slow, never_ends}, {}, 1).size(), 1U);
    EXPECT_EQ(wait({slow, never_ends}, 0s).size(), 1U);
    for (const auto& f : iwait({slow, never_ends})) {
      EXPECT_EQ(f, slow);
      break;  // what is left is let go
    }
  });
}

TEST(green, killall_ends_all_of_them) {
  run_virtual([] {
    std::vector<fiber<>> all;
    for (int i = 0; i < 5; ++i) all.push_back(spawn(wait_forever));
    await(yield_now());
    EXPECT_FALSE(killall(all, false));
    EXPECT_TRUE(killall(all));
    auto stubborn = spawn([] { shielded([] { await(sleep_for(5s)); }); });
    await(yield_now());
    EXPECT_FALSE(killall({stubborn}, true, 1s));
    EXPECT_TRUE(killall({stubborn}));
  });
}

TEST(green, joinall_is_cancelled_as_any_wait) {
  run_virtual([] {
    std::vector<fiber<>> all{spawn(wait_forever)};
    for (bool raise : {false, true}) {
      EXPECT_FALSE(move_on_after(1s, [&] { joinall(all, {}, raise); }));
      EXPECT_FALSE(move_on_after(0s, [&] { joinall(all, {}, raise); })) << "cancelled before";
    }
    EXPECT_FALSE(all[0].ready());
    // Also where there is nothing to wait for, or no more.
    std::vector<fiber<>> ended{spawn([] {})};
    joinall(ended);
    for (const auto& fibers : {ended, std::vector<fiber<>>{}}) {
      for (bool raise : {false, true}) {
        EXPECT_FALSE(move_on_after(0s, [&] { joinall(fibers, {}, raise); }));
      }
      EXPECT_FALSE(move_on_after(0s, [&] { (void)oneloop::wait(fibers); }));
    }
    EXPECT_FALSE(move_on_after(0s, [&] { (void)iwait(ended).next(); }));
  });
}

TEST(green, from_a_plain_thread) {
  loop l;
  std::atomic<bool> done{false};
  auto f = fiber<int>{spawn_on(l, [] {
    await(sleep_for(2ms));
    return 3;
  })};
  auto g = fiber<>{spawn_on(l, wait_forever)};
  std::thread driver{[&] {
    run(l, [&] {
      while (!done) await(sleep_for(1ms));
    });
  }};
  EXPECT_FALSE(g.join(1ms));
  EXPECT_EQ(joinall({f}).size(), 1U);
  EXPECT_EQ(f.get(), 3);
  EXPECT_TRUE(g.kill());
  EXPECT_THROW((void)iwait({f}), loop_not_running);
  EXPECT_THROW((void)f.link([] {}), loop_not_running);
  done = true;
  driver.join();
}

}  // namespace
}  // namespace oneloop
