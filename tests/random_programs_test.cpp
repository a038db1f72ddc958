// A thousand random programs in simulated time (ONELOOP_SEED=n runs the n-th alone), and some on
// several threads.
#include "tests/random_programs.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <thread>

#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/testing/simulation.hpp"
#include "oneloop/testing/sweep.hpp"

namespace oneloop::random_programs {
namespace {

ONELOOP_SEEDS(random_programs, keep_their_rules, test::sanitized ? 150 : 1000, 50s) {
  token::alive = 0;
  // A program that never ends, because a list has become a circle, ends as a crash: with its seed.
  std::signal(SIGALRM, [](int) { std::abort(); });
  ::alarm(30);
  const leaving in_time{[] { ::alarm(0); }};
  {
    testing::simulation sim{seed};
    program p{sim.seed()};
    sim.run([&p] { run_program(p); });
    for (const std::string& rule : p.findings) ADD_FAILURE() << rule;
    EXPECT_EQ(fiber_statistics(sim.loop()).in_use, 0U) << "stacks are left over";
    EXPECT_EQ(sim.loop().dump().find("actor"), std::string::npos) << sim.loop().dump();
  }
  EXPECT_EQ(token::alive, 0) << "tokens are left over";
}

/// On two loops and a few plain threads, in real time.
void run_on_threads(program& p) {
  runtime loops{2};
  std::vector<joinable<>> on_loops;
  std::vector<std::thread> threads;
  begin_program(p, [&](role r) {
    switch (p.draw(0, 4)) {
      case 0: threads.emplace_back([&p, r] { in_fibers::actor(&p, r); }); break;
      case 1:
      case 2: on_loops.push_back(loops.spawn(p.draw(0, 1), in_fibers::actor, &p, r)); break;
      default: on_loops.push_back(loops.spawn(p.draw(0, 1), in_coroutines::actor, &p, r)); break;
    }
  });
  assassinate(p);
  for (auto& t : threads) t.join();
  for (auto& a : on_loops) await(a.join());
  loops.stop();
  p.balance();
}

TEST(random_programs, keep_their_rules_across_loops_and_threads) {
  testing::sweep({12, 20s}, [](std::uint64_t seed) {
    token::alive = 0;
    {
      program p{seed};
      run_on_threads(p);
      for (const std::string& rule : p.findings) ADD_FAILURE() << rule << " in program " << seed;
    }
    EXPECT_EQ(token::alive, 0) << "tokens are left over";
    return !::testing::Test::HasFailure();
  });
}

}  // namespace
}  // namespace oneloop::random_programs
