// Range-for over channels: in fibers, in plain threads, and what a coroutine is told.

#include <gtest/gtest.h>

#include <memory>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"

namespace oneloop::inline v0 {
namespace {

using namespace std::chrono_literals;
using numbers = std::vector<int>;

void send_all(sender<int> out, int n) {
  auto_close at_exit{out};
  for (int i = 0; i < n; ++i) await(out.send(i));
}

numbers receive_all(receiver<int> in) {
  numbers got;
  for (int v : in) got.push_back(v);
  return got;
}

numbers up_to(int n) {
  auto v = std::views::iota(0, n);
  return {v.begin(), v.end()};
}

TEST(range_for, in_a_fiber_ends_with_the_channel) {
  run([] {
    channel<int> c;
    with_nursery([&](nursery& n) {
      n.start(send_all, sender{c}, 300);
      EXPECT_EQ(receive_all(c), up_to(300));
    });
  });
}

TEST(range_for, in_a_plain_thread_without_a_loop) {
  channel<int> c{3};
  std::thread other{[&] { send_all(c, 300); }};
  EXPECT_EQ(receive_all(c), up_to(300));
  other.join();
}

TEST(range_for, gives_references_to_what_cannot_be_copied) {
  channel<std::unique_ptr<int>> c{2};
  EXPECT_TRUE(c.try_send(std::make_unique<int>(1)));
  EXPECT_TRUE(c.try_send(std::make_unique<int>(2)));
  c.close();
  std::vector<std::unique_ptr<int>> kept;
  for (auto& v : c) kept.push_back(std::move(v));
  ASSERT_EQ(kept.size(), 2u);
  EXPECT_EQ(*kept[1], 2);
}

TEST(range_for, needs_no_assignment) {
  struct fixed {
    const int value;
  };
  channel<fixed> c{2};
  EXPECT_TRUE(c.try_send({1}) && c.try_send({2}));
  c.close();
  int sum = 0;
  for (const fixed& v : c) sum += v.value;
  EXPECT_EQ(sum, 3);
}

TEST(range_for, stops_early_without_taking_more_than_it_showed) {
  channel<int> c{10};
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(c.try_send(i));
  for (int v : c) {
    if (v == 1) break;
  }
  EXPECT_EQ(c.try_receive(), 2);
  numbers got;
  for (int v : c | std::views::take(3)) got.push_back(v);
  EXPECT_EQ(got, (numbers{3, 4, 5}));
  EXPECT_EQ(c.try_receive(), 6);
  c.close();
  auto odd = receiver{c} | std::views::filter([](int v) { return v % 2 == 1; });
  got.clear();
  for (int v : odd) got.push_back(v);
  EXPECT_EQ(got, (numbers{7, 9}));
}

TEST(range_for, is_cancelled_like_any_wait) {
  loop l{"virtual"};
  run(l, [] {
    channel<int> c;
    EXPECT_FALSE(move_on_after(1s, [&] {
      for (int v : c) ADD_FAILURE() << v;
    }));
    EXPECT_EQ(c.statistics().waiting_receivers, 0u);
  });
}

task<std::string> range_for_in_a_coroutine(channel<int>& c) {
  std::string text;
  try {
    for (int v : c) text = std::to_string(v);
  } catch (const would_block_loop& e) {
    text = e.what();
  }
  co_return text;
}

TEST(range_for, in_a_coroutine_tells_the_idiom) {
  channel<int> c{1};
  EXPECT_TRUE(c.try_send(1));
  const std::string text = run(range_for_in_a_coroutine(c));
  EXPECT_NE(text.find("while (auto v = co_await c.receive())"), text.npos) << text;
  EXPECT_EQ(c.try_receive(), 1);
}

task<numbers> the_idiom(receiver<int> in) {
  numbers got;
  while (auto v = co_await in.receive()) got.push_back(*v);
  co_return got;
}

TEST(range_for, has_its_counterpart_in_coroutines) {
  run([] {
    channel<int> c;
    with_nursery([&](nursery& n) {
      n.start(send_all, sender{c}, 100);
      EXPECT_EQ(await(the_idiom(c)), up_to(100));
    });
  });
}

}  // namespace
}  // namespace oneloop::inline v0
