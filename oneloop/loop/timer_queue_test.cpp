#include "oneloop/loop/timer_queue.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <vector>

namespace oneloop {
namespace {

using namespace std::chrono_literals;

static_assert(sizeof(timer_node) <= 48);

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

// Their numbers begin anew after the first thousand.
TEST(timer_queue, equal_deadlines_keep_their_order_where_the_numbers_begin_anew) {
  timer_queue q;
  std::deque<alarm> alarms;
  std::vector<int> all;
  for (int i = 0; i < 3000; ++i) {
    q.add(alarms.emplace_back(i), at(7));
    all.push_back(i);
  }
  EXPECT_EQ(drain(q, at(7)), all);
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

TEST(timer_queue, agrees_with_a_sorted_map_under_random_use) {
  timer_queue q;
  std::multimap<std::pair<time_point, int>, alarm*> model;
  std::deque<alarm> alarms;
  std::minstd_rand random{7};
  int sequence = 0;
  for (int step = 0; step < 50'000; ++step) {
    switch (random() % 4) {
      case 0:
      case 1: {
        alarm& a = alarms.emplace_back(++sequence);
        const auto t = at(static_cast<std::int64_t>(random() % 500));
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
        timer_node* t = q.pop_due(at(250));
        if (t == nullptr) {
          EXPECT_TRUE(model.empty() || model.begin()->first.first > at(250));
        } else {
          ASSERT_FALSE(model.empty());
          EXPECT_EQ(static_cast<alarm*>(t), model.begin()->second);
          model.erase(model.begin());
        }
      }
    }
    ASSERT_EQ(q.size(), model.size());
    ASSERT_EQ(q.next(), model.empty() ? never : model.begin()->first.first);
  }
  while (q.pop_due(never) != nullptr) {
  }
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
