#include "oneloop/testing/sweep.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/sleep.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;

std::vector<std::string> g_lines;

class seed_sweep : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* v = std::getenv("ONELOOP_SEED")) seed_ = v;
    ::unsetenv("ONELOOP_SEED");
    g_lines.clear();
    log_ =
        set_log_hook([](severity, std::string_view text) noexcept { g_lines.emplace_back(text); });
  }
  void TearDown() override {
    set_log_hook(log_);
    ::unsetenv("ONELOOP_SEED");
    if (!seed_.empty()) ::setenv("ONELOOP_SEED", seed_.c_str(), 1);
  }

 private:
  log_hook log_ = nullptr;
  std::string seed_;
};

TEST_F(seed_sweep, tries_one_seed_after_another) {
  std::vector<std::uint64_t> tried;
  EXPECT_EQ(oneloop::testing::sweep(3, [&](std::uint64_t s) { tried.push_back(s); }), 3u);
  EXPECT_EQ(tried, (std::vector<std::uint64_t>{1, 2, 3}));
  EXPECT_TRUE(g_lines.empty());
}

TEST_F(seed_sweep, ends_at_the_first_that_fails_and_names_it) {
  int tried = 0;
  const auto fails_at_five = [&](std::uint64_t s) {
    ++tried;
    return s != 5;
  };
  EXPECT_EQ(oneloop::testing::sweep(100, fails_at_five), 4u);
  EXPECT_EQ(tried, 5);
  ASSERT_EQ(g_lines.size(), 1u);
  EXPECT_EQ(g_lines[0],
            "sweep failed, after 4 that passed, with seed 5: replay with ONELOOP_SEED=5");
}

TEST_F(seed_sweep, an_exception_leaves_it_unchanged) {
  const auto throws_at_two = [](std::uint64_t s) {
    oneloop::testing::run_simulated(s, [s] {
      if (s == 2) throw std::out_of_range{"two"};
    });
  };
  EXPECT_THROW(oneloop::testing::sweep(100, throws_at_two), std::out_of_range);
  ASSERT_EQ(g_lines.size(), 2u);
  EXPECT_EQ(g_lines[1],
            "sweep failed, after 1 that passed, with seed 2: replay with ONELOOP_SEED=2");
}

TEST_F(seed_sweep, the_environment_replays_one_seed_alone) {
  ::setenv("ONELOOP_SEED", "77", 1);
  std::vector<std::uint64_t> tried;
  EXPECT_EQ(oneloop::testing::sweep(1000, [&](std::uint64_t s) { tried.push_back(s); }), 1u);
  EXPECT_EQ(tried, std::vector<std::uint64_t>{77});
}

TEST_F(seed_sweep, is_bounded_in_time_and_says_how_far_it_came) {
  EXPECT_EQ(oneloop::testing::sweep({1000, 0s}, [](std::uint64_t) {}), 1u);
  ASSERT_EQ(g_lines.size(), 1u);
  EXPECT_EQ(g_lines[0], "sweep: 1 of 1000 seeds have passed, and the time is over");
}

int g_seeds = 0;
ONELOOP_SEEDS(seeds_of_a_test, each_runs_the_body, 20) {
  oneloop::testing::run_simulated(seed, [&] {
    await(sleep_for(1h));
    ++g_seeds;
  });
  EXPECT_GE(seed, 1u);
}
TEST(seeds_of_a_test, each_has_run) {
  if (g_seeds == 0) GTEST_SKIP() << "the test before did not run";
  EXPECT_EQ(g_seeds, std::getenv("ONELOOP_SEED") != nullptr ? 1 : 20);
}
ONELOOP_SEEDS(seeds_of_a_test, may_be_bounded_in_time, 1'000'000, 10ms) {
  EXPECT_EQ(oneloop::testing::how_to_replay(seed).find("seed "), 0u);
}

}  // namespace
}  // namespace oneloop::inline v0::testing
