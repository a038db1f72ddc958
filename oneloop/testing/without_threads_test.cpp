#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

#include "oneloop/loop/runtime.hpp"
#include "oneloop/process/child.hpp"
#include "oneloop/process/worker.hpp"
#include "oneloop/testing/simulation.hpp"
#include "oneloop/testing/simulation_test.hpp"
#include "oneloop/thread/on_pool.hpp"
#include "oneloop/thread/thread.hpp"
#include "oneloop/thread/thread_pool.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace test;
using namespace std::chrono_literals;

// ---- no threads ----

TEST_F(in_simulation, what_needs_a_thread_is_refused) {
  loop elsewhere{"virtual"};
  thread_pool pool;
  run_simulated(1, [&](simulation& sim) {
    const auto refused = [](const std::string& text, const char* what) {
      EXPECT_EQ(text.find(std::string{what} + ": a simulation has no threads"), 0u) << text;
    };
    refused(thrown_by<misuse>([&] { runtime r{1}; }), "runtime");
    refused(thrown_by<misuse>([&] { static_cast<void>(pool.submit([] {})); }), "pool");
    refused(thrown_by<misuse>([&] { call_on(elsewhere, [] {}); }), "call_on");
    refused(thrown_by<misuse>([&] {
              with_nursery([&](nursery& n) { static_cast<void>(spawn_thread(n, [] {})); });
            }),
            "start a thread");
    refused(thrown_by<misuse>([&] { process::worker w; }), "worker");
    refused(thrown_by<misuse>([&] { process::child c{{.arguments = {"true"}}}; }), "child");
    refused(thrown_by<misuse>([&] { call_on(sim.loop(), [] {}); }), "call_on");
    EXPECT_THROW(static_cast<void>(sim.loop().pollable_fd()), misuse);
  });
  loop l{simulation_seed{1}};
  EXPECT_THROW(static_cast<void>(l.pollable_fd()), misuse);
  EXPECT_THROW(l.run_ready(), misuse);
}

TEST_F(in_simulation, another_thread_cannot_reach_it) {
  loop l{simulation_seed{1}};
  std::string post, start;
  run(l, [&] {
    std::thread{[&] {
      post = thrown_by<misuse>([&] { l.post([] {}); });
      start = thrown_by<misuse>([&] { static_cast<void>(spawn_on(l, [] {})); });
    }}.join();
  });
  EXPECT_EQ(post.find("post: another thread cannot reach a simulated loop"), 0u) << post;
  EXPECT_EQ(start, post);
  // Before it runs, the one thread that has it may.
  bool ran = false;
  EXPECT_TRUE(l.post([&] { ran = true; }));
  run(l, [] { await(oneloop::testing::wait_all_tasks_blocked()); });
  EXPECT_TRUE(ran);
}

TEST_F(in_simulation, calls_that_block_run_at_once) {
  run_simulated(1, [](simulation& sim) -> task<> {
    const auto me = std::this_thread::get_id();
    const auto t = co_await to_thread([] { return std::this_thread::get_id(); });
    EXPECT_EQ(t, me);
    const auto p = co_await on_pool([] { return std::this_thread::get_id(); });
    EXPECT_EQ(p, me);
    stealing_pool own{2};
    auto f = own.start([] { return 7; });
    EXPECT_TRUE(f.done());
    const int seven = co_await f;
    EXPECT_EQ(seven, 7);
    std::string failed;
    try {
      co_await to_thread([] { throw std::runtime_error{"no"}; });
    } catch (const std::runtime_error& e) {
      failed = e.what();
    }
    EXPECT_EQ(failed, "no");
    EXPECT_EQ(sim.clock().elapsed(), 0s);
    EXPECT_EQ(own.statistics().threads, 0u);
  });
  EXPECT_EQ(blocking_statistics().threads, 0u);
}

TEST_F(in_simulation, calls_that_block_cannot_wait_for_the_loop) {
  run_simulated(1, [] {
    EXPECT_THROW(await(to_thread([] { await(sleep_for(1s)); })), would_block_loop);
    EXPECT_THROW(await(to_thread([] { from_thread([] {}); })), misuse);
    // They are parties of their own all the same.
    await(to_thread([] { check_cancelled(); }));
    const bool ended = move_on_after(0s, [] { await(to_thread([] {})); });
    EXPECT_FALSE(ended);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::testing
