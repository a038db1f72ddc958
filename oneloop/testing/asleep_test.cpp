#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "oneloop/loop/test_waiter.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/testing/simulation.hpp"
#include "oneloop/testing/simulation_test.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace test;
using namespace std::chrono_literals;

// ---- everything asleep for good ----

TEST_F(in_simulation, all_asleep_for_good_ends_the_run_and_says_who_waits_for_what) {
  const caught_log log;
  mutex m1, m2;
  bool cleaned = false;
  const auto what = thrown_by<all_asleep>([&] {
    run_simulated(1, [&]() -> task<> {
      struct at_end {
        bool& set;
        ~at_end() { set = true; }
      } guard{cleaned};
      co_await with_nursery([&](nursery& n) -> task<> {
        const auto both = [](mutex& a, mutex& b) -> task<> {
          auto first = co_await a.lock();
          co_await sleep_for(1s);
          auto second = co_await b.lock();
        };
        n.start(named{"up", both}, std::ref(m1), std::ref(m2));
        n.start(named{"down", both}, std::ref(m2), std::ref(m1));
        co_return;
      });
    });
  });
  EXPECT_TRUE(cleaned);
  EXPECT_NE(what.find("asleep for good"), what.npos) << what;
  EXPECT_NE(what.find("  up ["), what.npos) << what;
  EXPECT_NE(what.find("  down ["), what.npos) << what;
  EXPECT_NE(what.find("waits for mutex.lock"), what.npos) << what;
  EXPECT_TRUE(m1.try_lock());
}

class asleep_on : public backend_test {};
ONELOOP_ON_BACKENDS(asleep_on, all_backends());

TEST_P(asleep_on, a_program_that_nothing_wakes_from_outside_ends_when_all_are_asleep) {
  loop l{GetParam()};
  l.nothing_from_outside();
  mutex m;
  event never_set;
  const auto what = thrown_by<all_asleep>([&] {
    run(l, [&]() -> task<> {
      auto guard = co_await m.lock();
      co_await with_nursery([&](nursery& n) -> task<> {
        n.start(named{"waits", [&]() -> task<> { co_await m.lock(); }});
        n.start(named{"forever", [&] { await(never_set.wait()); }});
        co_return;
      });
    });
  });
  EXPECT_NE(what.find("waits [coroutine]"), what.npos) << what;
  EXPECT_NE(what.find("waits for mutex.lock"), what.npos) << what;
  EXPECT_NE(what.find("forever [fiber]"), what.npos) << what;
  // The loop can be used as before.
  EXPECT_EQ(run(l, [] { return 7; }), 7);
}

TEST_F(in_simulation, a_clock_that_nobody_moves_lets_all_sleep_for_good) {
  const caught_log log;
  EXPECT_THROW(run_simulated(1,
                             [](simulation& sim) {
                               sim.clock().set_autojump(false);
                               await(sleep_for(1s));
                             }),
               all_asleep);
}

TEST_F(in_simulation, who_waits_in_a_shielded_scope_is_ended_too) {
  const caught_log log;
  event never_set;
  bool after_the_shield = false;
  EXPECT_THROW(run_simulated(1,
                             [&] {
                               with_scope(scope_options{}.shielded(),
                                          [&](cancel_scope&) { await(never_set.wait()); });
                               after_the_shield = true;
                               await(sleep_for(1s));
                             }),
               all_asleep);
  EXPECT_TRUE(after_the_shield);
}

TEST_F(in_simulation, what_is_left_behind_asleep_ends_the_run_too) {
  const caught_log log;
  event never_set;
  EXPECT_THROW(run_simulated(1,
                             [&](simulation& sim) {
                               nursery& n = loop_root::of(sim.loop()).children();
                               n.start([&] {
                                 with_scope(scope_options{}.shielded(),
                                            [&](cancel_scope&) { await(never_set.wait()); });
                               });
                               await(yield_now());
                               await(yield_now());
                             }),
               all_asleep);
}

TEST_F(in_simulation, a_run_without_parties_ends_too) {
  loop l{simulation_seed{1}};
  const bool never = false;
  EXPECT_THROW(l.run_until(never), all_asleep);
}

TEST_F(in_simulation, cleanup_after_all_asleep_may_wait) {
  const caught_log log;
  event never_set;
  duration cleaned{};
  EXPECT_THROW(run_simulated(1,
                             [&](simulation& sim) {
                               try {
                                 await(never_set.wait());
                               } catch (...) {
                                 with_scope(scope_options{}.shielded(),
                                            [&](cancel_scope&) { await(sleep_for(5s)); });
                                 cleaned = sim.clock().elapsed();
                                 throw;
                               }
                             }),
               all_asleep);
  EXPECT_EQ(cleaned, 5s);
}

}  // namespace
}  // namespace oneloop::inline v0::testing
