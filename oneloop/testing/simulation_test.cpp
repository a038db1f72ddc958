#include "oneloop/testing/simulation.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/testing/simulation_test.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;
using namespace test;

// Ten children that are ready at once, and again, and again.
std::vector<int> order_of_ten(simulation& sim) {
  std::vector<int> order;
  sim.run([&] {
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 10; ++i) {
        n.start(named{"child", [&, i] {
                        for (int round = 0; round < 3; ++round) {
                          order.push_back(i);
                          await(round == 1 ? sleep_for(1s) : sleep_for(0s));
                        }
                      }});
      }
    });
  });
  return order;
}

// ---- the seed and the order ----

TEST_F(in_simulation, main_may_be_a_task_or_a_function_with_or_without_the_simulation) {
  EXPECT_EQ(run_simulated(1, [] { return 1; }), 1);
  EXPECT_EQ(run_simulated(1, []() -> task<int> { co_return 2; }), 2);
  EXPECT_EQ(run_simulated(3, [](simulation& sim) { return sim.seed(); }), 3u);
  EXPECT_EQ(run_simulated(4, [](simulation& sim) -> task<std::uint64_t> { co_return sim.seed(); }),
            4u);
  bool ran = false;
  run_simulated(5, [&]() -> task<> {
    co_await sleep_for(1h);
    ran = true;
  });
  EXPECT_TRUE(ran);
}

TEST_F(in_simulation, one_seed_gives_the_same_order_and_the_same_trace) {
  simulation a{7}, b{7};
  a.trace().keep(1000);
  b.trace().keep(1000);
  EXPECT_EQ(order_of_ten(a), order_of_ten(b));
  EXPECT_GT(a.trace().steps(), 30u);
  EXPECT_EQ(a.trace().steps(), b.trace().steps());
  EXPECT_EQ(a.trace().hash(), b.trace().hash());
  EXPECT_EQ(a.trace().lines(), b.trace().lines());
}

TEST_F(in_simulation, seeds_differ_in_the_order_of_those_that_are_ready_at_once) {
  std::vector<std::vector<int>> orders;
  std::vector<std::uint64_t> hashes;
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    simulation sim{seed};
    orders.push_back(order_of_ten(sim));
    hashes.push_back(sim.trace().hash());
  }
  for (std::size_t i = 0; i < orders.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      EXPECT_NE(orders[i], orders[j]) << i << " and " << j;
      EXPECT_NE(hashes[i], hashes[j]) << i << " and " << j;
    }
  }
}

TEST_F(in_simulation, every_order_of_three_comes_up) {
  std::vector<std::string> seen;
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    std::string order;
    run_simulated(seed, [&] {
      with_nursery([&](nursery& n) {
        for (const char c : {'a', 'b', 'c'}) n.start([&order, c] { order += c; });
      });
    });
    if (std::find(seen.begin(), seen.end(), order) == seen.end()) seen.push_back(order);
  }
  EXPECT_EQ(seen.size(), 6u);
}

TEST_F(in_simulation, a_timer_and_a_deadline_at_the_same_instant_meet_in_either_order) {
  int fired = 0;
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    run_simulated(seed, [&] {
      if (move_on_after(1s, [] { await(sleep_for(1s)); })) ++fired;
    });
  }
  EXPECT_GT(fired, 8);
  EXPECT_LT(fired, 56);
}

TEST_F(in_simulation, what_is_posted_runs_in_its_order_after_what_was_ready) {
  for (std::uint64_t seed = 0; seed < 16; ++seed) {
    std::string order;
    run_simulated(seed, [&](simulation& sim) {
      with_nursery([&](nursery& n) {
        for (int i = 0; i < 4; ++i) n.start([&] { order += '.'; });
        for (const char c : {'a', 'b', 'c'}) sim.loop().post([&order, c] { order += c; });
      });
      await(yield_now());
    });
    EXPECT_EQ(order, "....abc") << "seed " << seed;
  }
}

TEST_F(in_simulation, what_was_posted_last_is_dropped_not_lost) {
  auto held = std::make_shared<int>(1);
  run_simulated(1, [&](simulation& sim) {
    for (int i = 0; i < 3; ++i) sim.loop().post([held] {});
  });
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(in_simulation, random_numbers_are_the_seeds) {
  const auto draw = [](std::uint64_t seed) {
    return run_simulated(
        seed, [](simulation& sim) { return std::pair{sim.random(), loop::current()->random()}; });
  };
  EXPECT_EQ(draw(1), draw(1));
  EXPECT_NE(draw(1), draw(2));
  EXPECT_NE(draw(0), draw(1));
}

TEST_F(in_simulation, a_second_run_goes_on_where_the_first_has_ended) {
  simulation sim{1};
  sim.run([] { await(sleep_for(1h)); });
  sim.run([] { await(sleep_for(1h)); });
  EXPECT_EQ(sim.clock().elapsed(), 2h);
}

TEST_F(in_simulation, a_trace_names_who_ran_when_and_for_what_he_waits) {
  simulation sim{1};
  sim.trace().keep(3);
  sim.run([&] {
    with_nursery([&](nursery& n) { n.start(named{"sleeper", [] { await(sleep_for(1500ms)); }}); });
    sim.trace().note("the end");
  });
  std::string all;
  for (const auto& line : sim.trace().lines()) all.append(line).append("\n");
  EXPECT_EQ(sim.trace().lines().size(), 3u);
  EXPECT_NE(all.find("1.500000000 the end\n"), all.npos) << all;
  sim.trace().keep(0);
  EXPECT_TRUE(sim.trace().lines().empty());

  simulation other{1};
  other.trace().keep(1000);
  other.run([&] {
    with_nursery([&](nursery& n) { n.start(named{"sleeper", [] { await(sleep_for(1500ms)); }}); });
  });
  all.clear();
  for (const auto& line : other.trace().lines()) all.append(line).append("\n");
  EXPECT_NE(all.find("0.000000000 #3 'sleeper' waits for sleep\n"), all.npos) << all;
  EXPECT_NE(all.find("1.500000000 #3 'sleeper'\n"), all.npos) << all;
  EXPECT_NE(sim.trace().hash(), other.trace().hash()) << "a note counts";
}

// ---- failures, and how to replay them ----

TEST_F(in_simulation, a_failure_names_its_seed_and_comes_out_unchanged) {
  const caught_log log;
  EXPECT_EQ(thrown_by<std::out_of_range>(
                [] { run_simulated(42, [] { throw std::out_of_range{"too far"}; }); }),
            "too far");
  ASSERT_EQ(g_lines.size(), 1u);
  EXPECT_EQ(g_lines[0],
            "error: a simulation failed, seed 42: replay with ONELOOP_SEED=42: too far");
}

TEST_F(in_simulation, the_environment_replays_a_seed) {
  const environment replay{"ONELOOP_SEED", "99"};
  EXPECT_EQ(run_simulated(1, [](simulation& sim) { return sim.seed(); }), 99u);
  const environment wrong{"ONELOOP_SEED", "9x"};
  EXPECT_EQ(thrown_by<misuse>([] { simulation sim{1}; }),
            "ONELOOP_SEED: '9x' is no seed: a number is");
}

using in_simulation_death = in_simulation;
TEST_F(in_simulation_death, a_crash_names_its_seed) {
  EXPECT_DEATH(run_simulated(42, [] { std::abort(); }),
               "ends in a simulation: seed 42, replay with ONELOOP_SEED=42");
}

// ---- time ----

TEST_F(in_simulation, time_jumps_when_nothing_can_run) {
  const auto before = std::chrono::steady_clock::now();
  run_simulated(1, [](simulation& sim) {
    for (int i = 0; i < 1000; ++i) await(sleep_for(24h));
    EXPECT_EQ(sim.clock().elapsed(), 24h * 1000);
  });
  EXPECT_LT(std::chrono::steady_clock::now() - before, 10s);
}

TEST_F(in_simulation, a_clock_moved_by_hand_stands_still_otherwise) {
  run_simulated(1, [](simulation& sim) -> task<> {
    sim.clock().set_autojump(false);
    std::string order;
    const auto sleeper = [&](duration d, char c) -> task<> {
      co_await sleep_for(d);
      order += c;
    };
    nursery& n = loop_root::of(sim.loop()).children();
    n.start(sleeper, 3s, 'c');
    n.start(sleeper, 1s, 'a');
    n.start(sleeper, 2s, 'b');
    co_await wait_all_tasks_blocked();
    EXPECT_EQ(order, "");
    sim.clock().advance(1s);
    co_await wait_all_tasks_blocked();
    EXPECT_EQ(order, "a");
    sim.clock().advance(500ms);
    co_await wait_all_tasks_blocked();
    EXPECT_EQ(order, "a");
    sim.clock().advance(1h);
    co_await wait_all_tasks_blocked();
    EXPECT_EQ(order.size(), 3u);
    EXPECT_EQ(sim.clock().elapsed(), 1h + 1500ms);
    EXPECT_THROW(sim.clock().advance(-1ns), misuse);
  });
}

TEST_F(in_simulation, a_jump_of_the_clock_makes_all_that_was_due_late) {
  run_simulated(1, [](simulation& sim) -> task<> {
    std::vector<duration> late;
    const auto sleeper = [&](duration d) -> task<> {
      const auto due = sim.loop().now() + d;
      co_await sleep_for(d);
      late.push_back(sim.loop().now() - due);
    };
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(sleeper, 1s);
      n.start(sleeper, 10s);
      n.start(sleeper, 100s);
      co_await sleep_for(500ms);
      sim.clock().advance(60s);
    });
    std::sort(late.begin(), late.end());
    const std::vector<duration> expected{0s, 50500ms, 59500ms};
    EXPECT_EQ(late, expected);
  });
}

TEST_F(in_simulation, time_at_a_rate_passes_as_on_the_wall) {
  run_simulated(1, [](simulation& sim) {
    sim.clock().set_autojump(false);
    sim.clock().set_rate(36'000);
    const auto begin = std::chrono::steady_clock::now();
    await(sleep_for(3600s));
    // An hour in a tenth of a second, and not faster.
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 100ms);
    EXPECT_GE(sim.clock().elapsed(), 1h);
    const auto t = sim.loop().now();
    while (std::chrono::steady_clock::now() - begin < 110ms) {
    }
    EXPECT_GT(sim.loop().now(), t) << "it flows while somebody computes";
    sim.clock().set_rate(0);
    const auto still = sim.loop().now();
    EXPECT_GE(still, t);
    EXPECT_EQ(sim.loop().now(), still);
    EXPECT_THROW(sim.clock().set_rate(-1), misuse);
    sim.clock().set_rate(1);
    sim.clock().set_autojump(true);
    await(sleep_for(24h));  // jumps over idle time at any rate
    EXPECT_GE(sim.loop().now() - still, 24h);
  });
}

TEST_F(in_simulation, the_time_of_day_is_the_simulations) {
  run_simulated(1, [](simulation& sim) {
    EXPECT_EQ(http::to_http_date(http::wall_now()), "Wed, 01 Jan 2025 00:00:00 GMT");
    await(sleep_for(36h));
    EXPECT_EQ(http::to_http_date(http::wall_now()), "Thu, 02 Jan 2025 12:00:00 GMT");
    const auto t = sim.loop().now();
    sim.clock().set_wall(sim.clock().wall() - 13h);  // a time server sets it back
    EXPECT_EQ(http::to_http_date(http::wall_now()), "Wed, 01 Jan 2025 23:00:00 GMT");
    EXPECT_EQ(sim.loop().now(), t);
  });
  loop plain{"virtual"};
  run(plain,
      [] { EXPECT_LE(std::chrono::abs(http::wall_now() - std::chrono::system_clock::now()), 1h); });
}

// ---- the rest of the library under it ----

TEST_F(in_simulation, channels_and_select_are_the_seeds) {
  const auto game = [](std::uint64_t seed) {
    return run_simulated(seed, [](simulation& sim) {
      channel<int> a{1}, b{1};
      with_nursery([&](nursery& n) {
        for (auto* c : {&a, &b}) {
          n.start([c] {
            for (int i = 0; i < 20; ++i) await(c->send(i));
          });
        }
        for (int i = 0; i < 40; ++i) {
          await(select(a.receive(), b.receive()));
        }
      });
      return sim.trace().hash();
    });
  };
  EXPECT_EQ(game(1), game(1));
  EXPECT_NE(game(1), game(2));
}

}  // namespace
}  // namespace oneloop::inline v0::testing
