#include "oneloop/loop/timer_queue.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace oneloop {
namespace {

using namespace std::chrono_literals;

static_assert(sizeof(timer_node) <= 32);

struct alarm : timer_node {
  explicit alarm(int n = 0) : timer_node{[](timer_node&) noexcept {}}, number{n} {}
  int number;
};

time_point at(std::int64_t n) { return time_point{duration{n}}; }

std::vector<int> drain(timer_queue& q, time_point now) {
  std::vector<int> fired;
  while (timer_node* t = q.pop_due(now)) fired.push_back(static_cast<alarm*>(t)->number);
  return fired;
}

TEST(timer_queue, empty_has_no_deadline) {
  timer_queue q;
  EXPECT_EQ(q.next(), never);
  EXPECT_EQ(q.size(), 0u);
  EXPECT_EQ(q.pop_due(never), nullptr);
}

TEST(timer_queue, fires_in_the_order_of_deadlines) {
  timer_queue q;
  alarm a{1}, b{2}, c{3};
  q.add(c, at(30));
  q.add(a, at(10));
  q.add(b, at(20));
  EXPECT_EQ(q.next(), at(10));
  EXPECT_EQ(drain(q, at(20)), (std::vector{1, 2}));
  EXPECT_EQ(drain(q, at(29)), std::vector<int>{});
  EXPECT_EQ(drain(q, at(30)), std::vector{3});
}

TEST(timer_queue, equal_deadlines_fire_in_the_order_in_which_they_were_added) {
  timer_queue q;
  std::deque<alarm> alarms;
  std::vector<int> expected;
  for (int i = 0; i < 1000; ++i) {
    q.add(alarms.emplace_back(i), at(5));
    expected.push_back(i);
  }
  EXPECT_EQ(drain(q, at(5)), expected);
}

TEST(timer_queue, removing_is_idempotent_and_leaves_the_others) {
  timer_queue q;
  alarm a{1}, b{2}, c{3};
  q.add(a, at(1));
  q.add(b, at(2));
  q.add(c, at(3));
  EXPECT_TRUE(q.remove(b));
  EXPECT_FALSE(q.remove(b));
  EXPECT_FALSE(b.pending());
  EXPECT_TRUE(q.remove(a));
  EXPECT_EQ(q.next(), at(3));
  EXPECT_EQ(drain(q, never), std::vector{3});
  EXPECT_FALSE(q.remove(c));
}

/// Random use, in steps of time between 1 and `stride`, with deadlines up to `span` after it.
void agrees_with_a_sorted_map(std::uint64_t stride, std::uint64_t span, bool few) {
  timer_queue q;
  std::multimap<std::pair<time_point, int>, alarm*> model;
  std::deque<alarm> alarms;
  std::mt19937_64 random{stride ^ span};
  int sequence = 0;
  std::int64_t now = static_cast<std::int64_t>(random() % 1'000'000);
  for (int step = 0; step < 50'000; ++step) {
    switch (random() % 4) {
      case 0:
      case 1: {
        if (few && model.size() > 30) break;
        alarm& a = alarms.emplace_back(++sequence);
        const auto t = at(now + static_cast<std::int64_t>(random() % span));
        q.add(a, t);
        model.emplace(std::pair{t, sequence}, &a);
        break;
      }
      case 2: {
        if (model.empty()) break;
        auto it = std::next(model.begin(),
                            static_cast<long>(random() % std::min<std::size_t>(model.size(), 64)));
        EXPECT_TRUE(q.remove(*it->second));
        model.erase(it);
        break;
      }
      default: {
        timer_node* t = q.pop_due(at(now));
        if (t != nullptr) {
          ASSERT_FALSE(model.empty());
          ASSERT_EQ(static_cast<alarm*>(t), model.begin()->second);
          model.erase(model.begin());
        } else {
          const time_point first = model.empty() ? never : model.begin()->first.first;
          ASSERT_GT(first, at(now));
          ASSERT_GT(q.next(), at(now));
          now += 1 + static_cast<std::int64_t>(random() % stride);
        }
      }
    }
    ASSERT_EQ(q.size(), model.size());
    const time_point first = model.empty() ? never : model.begin()->first.first;
    if (few) {
      ASSERT_EQ(q.next(), first);
    } else {
      ASSERT_LE(q.next(), first);
      ASSERT_EQ(q.next(at(now)) <= at(now), first <= at(now));
    }
  }
  // By what it says alone, one comes to the end of all.
  while (q.size() != 0) {
    now = q.next().time_since_epoch().count();
    while (timer_node* t = q.pop_due(at(now))) {
      ASSERT_EQ(static_cast<alarm*>(t), model.begin()->second);
      ASSERT_EQ(t->deadline <= at(now), true);
      model.erase(model.begin());
    }
  }
}

TEST(timer_queue, agrees_with_a_sorted_map_under_random_use) {
  for (const std::uint64_t stride :
       {std::uint64_t{1}, std::uint64_t{100}, std::uint64_t{1} << 40}) {
    for (const std::uint64_t span :
         {std::uint64_t{5}, std::uint64_t{500}, std::uint64_t{1} << 20, std::uint64_t{1} << 45}) {
      SCOPED_TRACE(std::to_string(stride) + " " + std::to_string(span));
      agrees_with_a_sorted_map(stride, span, true);
      agrees_with_a_sorted_map(stride, span, false);
    }
  }
}

TEST(timer_queue, the_ends_of_time_are_deadlines_like_others) {
  timer_queue q;
  alarm first{1}, second{2}, last{3}, end{4};
  q.add(end, never);
  q.add(last, never - 1ns);
  q.add(second, at(0));
  q.add(first, time_point::min());
  EXPECT_EQ(q.next(), time_point::min());
  EXPECT_EQ(drain(q, at(-1)), std::vector{1});
  EXPECT_EQ(q.next(), at(0));
  EXPECT_EQ(drain(q, at(0)), std::vector{2});
  EXPECT_EQ(q.next(), never - 1ns);
  EXPECT_EQ(drain(q, never - 1ns), std::vector{3});
  EXPECT_EQ(drain(q, never), std::vector{4});
}

TEST(timer_queue, what_is_overdue_when_it_is_added_is_due_at_once) {
  timer_queue q;
  alarm a{1}, b{2}, c{3};
  q.add(a, at(1000));
  EXPECT_EQ(drain(q, at(1000)), std::vector{1});
  q.add(b, at(5));
  q.add(c, at(1001));
  EXPECT_LE(q.next(), at(1000));
  EXPECT_EQ(drain(q, at(1000)), std::vector{2});
  EXPECT_EQ(drain(q, at(1001)), std::vector{3});
  q.add(b, at(5));
  EXPECT_TRUE(q.remove(b));
  EXPECT_EQ(q.next(), never);
}

// A slot of very many is not looked through whenever its first one goes.
TEST(timer_queue, the_first_of_very_many_may_go_again_and_again) {
  timer_queue q;
  std::deque<alarm> alarms;
  constexpr int n = 200'000;
  for (int i = 0; i < n; ++i) q.add(alarms.emplace_back(i), at(1'000'000'000 + (i * 7919) % n));
  for (alarm& a : alarms) {
    q.remove(a);
    (void)q.next();
  }
  EXPECT_EQ(q.next(), never);
}

TEST(timer_queue, a_seed_decides_the_order_of_equal_deadlines) {
  std::set<std::vector<int>> orders;
  for (std::uint64_t seed = 1; seed < 500; ++seed) {
    const auto order = [seed] {
      timer_queue q;
      q.shuffle(seed);
      std::deque<alarm> alarms;
      for (int i = 0; i < 4; ++i) q.add(alarms.emplace_back(i), at(100'000));
      return drain(q, never);
    };
    EXPECT_EQ(order(), order());
    orders.insert(order());
  }
  EXPECT_EQ(orders.size(), 24u);
}

TEST(timer_queue, a_million_pending_use_no_deep_stack_and_fire_in_order) {
  constexpr int n = 1'000'000;
  timer_queue q;
  std::deque<alarm> alarms;
  std::minstd_rand random{1};
  for (int i = 0; i < n; ++i) {
    q.add(alarms.emplace_back(i), at(static_cast<std::int64_t>(random() % n)));
  }
  EXPECT_EQ(q.size(), static_cast<std::size_t>(n));
  for (int i = 0; i < n; i += 2) EXPECT_TRUE(q.remove(alarms[static_cast<std::size_t>(i)]));
  time_point last = at(-1);
  int fired = 0;
  while (timer_node* t = q.pop_due(never)) {
    ASSERT_LE(last, t->deadline);
    last = t->deadline;
    ++fired;
  }
  EXPECT_EQ(fired, n / 2);
}

}  // namespace
}  // namespace oneloop
