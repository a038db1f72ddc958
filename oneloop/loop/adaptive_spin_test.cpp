#include "oneloop/loop/adaptive_spin.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "oneloop/loop/loop.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

const auto nothing_comes = [] { return false; };
const auto it_is_there = [] { return true; };

/// Whether it looks at all; what it looks for does or does not come.
bool looks(adaptive_spin& spin, bool comes = true) {
  bool looked = false;
  (void)spin.saw([&] {
    looked = true;
    return comes;
  });
  return looked;
}

TEST(an_adaptive_spin, does_not_look_before_another_thread_has_ended_a_sleep) {
  adaptive_spin spin;
  EXPECT_FALSE(looks(spin));
  spin.woken();
  EXPECT_TRUE(looks(spin));
}

TEST(an_adaptive_spin, goes_on_for_as_long_as_it_sees_something) {
  adaptive_spin spin;
  spin.woken();
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(spin.saw(it_is_there));
  EXPECT_FALSE(spin.saw(nothing_comes));
  EXPECT_FALSE(looks(spin));
}

TEST(an_adaptive_spin, sleeps_twice_as_often_after_each_time_in_vain) {
  adaptive_spin spin;
  std::vector<int> sleeps;
  for (int failed = 0; failed < 13; ++failed) {
    int n = 0;
    do {
      spin.woken();
      ++n;
    } while (!looks(spin, false));
    sleeps.push_back(n);
  }
  EXPECT_EQ(sleeps, (std::vector<int>{1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1024}));
  while (!looks(spin)) spin.woken();
  EXPECT_FALSE(spin.saw(nothing_comes));
  spin.woken();
  EXPECT_TRUE(looks(spin)) << "what came has made good for all that was in vain";
}

// The mail never stops, and comes sooner than any sleep: timers come all the same.
TEST(an_adaptive_spin, does_not_keep_a_loop_from_its_timers) {
  loop ours{"epoll"};
  std::atomic<bool> over{false};
  std::atomic<int> on_their_way{0};
  std::jthread other{[&] {
    while (!over) {
      if (on_their_way > 2) continue;
      ++on_their_way;
      ours.post([&] { --on_their_way; });
    }
  }};
  struct alarm : timer_node {
    alarm() : timer_node{[](timer_node& n) noexcept { static_cast<alarm&>(n).rung = true; }} {}
    bool rung = false;
  } one;
  ours.timers().add(one, ours.now() + 20ms);
  ours.run_until(one.rung);
  over = true;
  other.join();
}

}  // namespace
}  // namespace oneloop
