#include "oneloop/fiber/group.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/fiber/fiber_test.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/timeout.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::passed;
using test::run_virtual;
using test::wait_forever;

/// Takes as many seconds as its argument says.
int seconds(int n) {
  await(sleep_for(n * 1s));
  return n;
}

TEST(fiber_group, joins_what_it_started) {
  run_virtual([] {
    fiber_group g;
    EXPECT_TRUE(g.empty());
    EXPECT_TRUE(g.join()) << "of nothing";
    const auto start = loop::current()->now();
    auto a = g.spawn(seconds, 1);
    g.start(seconds, 2);
    EXPECT_EQ(g.size(), 2U);
    EXPECT_TRUE(g.contains(a));
    EXPECT_FALSE(g.join(500ms));
    a.join();
    EXPECT_FALSE(g.contains(a)) << "it left when it ended, before anybody heard of that";
    EXPECT_TRUE(g.join());
    EXPECT_EQ(passed(start), 2s);
    EXPECT_EQ(a.get(), 1);
  });
}

TEST(fiber_group, takes_in_and_forgets_fibers_of_others) {
  run_virtual([] {
    fiber_group g;
    auto f = spawn(seconds, 1);
    g.add(f);
    g.add(f);
    EXPECT_EQ(g.size(), 1U);
    g.discard(f);
    g.discard(f);
    EXPECT_TRUE(g.join()) << "it does not wait for this one";
    EXPECT_FALSE(f.ready());
    g.add(f);
    EXPECT_TRUE(g.join());
    EXPECT_TRUE(f.ready());
    g.add(f);
    EXPECT_TRUE(g.join()) << "it had ended before";
  });
}

TEST(fiber_group, kills_all_or_one) {
  run_virtual([] {
    fiber_group g, other;
    auto a = g.spawn(wait_forever);
    auto b = g.spawn(wait_forever);
    await(yield_now());
    EXPECT_TRUE(g.killone(a));
    EXPECT_TRUE(a.ready());
    EXPECT_FALSE(b.ready());
    EXPECT_FALSE(other.killone(b));
    EXPECT_FALSE(g.kill(false));
    EXPECT_TRUE(g.kill());
    EXPECT_TRUE(b.ready());
    EXPECT_TRUE(g.empty());
  });
}

TEST(fiber_group, join_throws_a_failure_if_it_is_asked_to) {
  run_virtual([] {
    fiber_group g;
    g.start(seconds, 5);
    auto bad = g.spawn([] {
      await(sleep_for(1s));
      throw std::runtime_error{"boom"};
    });
    const auto start = loop::current()->now();
    EXPECT_THROW(g.join({}, true), std::runtime_error);
    EXPECT_EQ(passed(start), 1s);
    EXPECT_TRUE(g.join({}, true));
    EXPECT_EQ(passed(start), 5s);
    EXPECT_THROW(bad.get(), std::runtime_error);
  });
}

TEST(fiber_group, a_failure_that_nobody_asks_for_ends_the_run) {
  auto body = [] {
    fiber_group g;
    g.start([] { throw std::runtime_error{"boom"}; });
    await(sleep_forever());
  };
  EXPECT_THROW(run_virtual(body), std::runtime_error);
}

TEST(fiber_group, goes_before_its_fibers) {
  run_virtual([] {
    fiber<int> f;
    {
      fiber_pool p{1};
      f = p.spawn(seconds, 1);
    }
    EXPECT_EQ(f.get(), 1);
  });
}

TEST(fiber_group, has_no_place_in_a_plain_thread) {
  fiber_group g;
  EXPECT_THROW(g.start(wait_forever), loop_not_running);
}

// ---- pools ----

TEST(fiber_pool, spawn_waits_while_it_is_full) {
  run_virtual([] {
    fiber_pool p{2};
    int running = 0, most = 0;
    const auto start = loop::current()->now();
    for (int i = 0; i < 6; ++i) {
      p.start([&] {
        most = std::max(most, ++running);
        await(sleep_for(1s));
        --running;
      });
    }
    EXPECT_EQ(passed(start), 2s) << "the fifth and sixth had to wait for two rounds";
    EXPECT_TRUE(p.full());
    EXPECT_EQ(p.free_count(), 0U);
    p.join();
    EXPECT_EQ(passed(start), 3s);
    EXPECT_EQ(most, 2);
    EXPECT_EQ(p.free_count(), 2U);
  });
}

TEST(fiber_pool, of_size_zero_has_never_a_place) {
  run_virtual([] {
    fiber_pool p{0};
    EXPECT_TRUE(p.full());
    EXPECT_FALSE(move_on_after(1h, [&] { p.start(wait_forever); }));
    EXPECT_EQ(p.wait_available(1h), 0U);
    EXPECT_TRUE(p.empty());
    auto waits = spawn([&] { p.start(wait_forever); });
    await(yield_now());
    waits.kill();
    timeout t{1s};
    EXPECT_THROW(p.start(wait_forever), timeout_expired);
  });
}

TEST(fiber_pool, a_place_that_came_is_told_to_all_who_wait_for_one) {
  run_virtual([] {
    fiber_pool p{1};
    p.start([] { await(sleep_for(1s)); });
    for (int i = 0; i < 3; ++i) {
      spawn([&p] { EXPECT_EQ(p.wait_available(), 1U); });
      spawn([&p] { EXPECT_EQ(p.wait_available(1h), 1U); });
    }
    await(sleep_for(2s));
  });
}

TEST(fiber_pool, a_place_comes_free_when_the_fiber_has_ended_however) {
  run_virtual([] {
    fiber_pool p{1};
    auto stubborn = p.spawn([] { shielded([] { await(sleep_for(5s)); }); });
    await(yield_now());
    p.discard(stubborn);
    stubborn.kill(false);
    await(sleep_for(1s));
    EXPECT_TRUE(p.full()) << "neither forgotten nor killed has it ended";
    EXPECT_TRUE(p.join());
    EXPECT_EQ(p.wait_available(), 1U);
    EXPECT_TRUE(stubborn.ready());
    auto never_begun = p.spawn(wait_forever);
    never_begun.kill();
    EXPECT_FALSE(p.full());
    auto failed = p.spawn([] { throw std::runtime_error{"x"}; });
    EXPECT_THROW(failed.get(), std::runtime_error);
    EXPECT_FALSE(p.full());
    auto outside = spawn(seconds, 1);
    p.add(outside);
    EXPECT_TRUE(p.full());
    outside.join();
    EXPECT_FALSE(p.full());
  });
}

TEST(fiber_pool, a_cancelled_wait_for_a_place_takes_none) {
  run_virtual([] {
    fiber_pool p{1};
    p.start(seconds, 2);
    EXPECT_FALSE(move_on_after(1s, [&] { p.start(wait_forever); }));
    EXPECT_FALSE(move_on_after(0s, [&] { p.start(wait_forever); })) << "cancelled before";
    p.join();
    EXPECT_EQ(p.free_count(), 1U);
  });
}

TEST(fiber_pool, apply_calls_and_waits) {
  run_virtual([] {
    fiber_pool p{1};
    EXPECT_EQ(p.apply(seconds, 2), 2);
    EXPECT_THROW(p.apply([] { throw std::runtime_error{"x"}; }), std::runtime_error);
    EXPECT_EQ(p.apply([&] { return p.apply(seconds, 3); }), 3) << "in the pool: on the spot";
    bool unwound = false;
    EXPECT_FALSE(move_on_after(1s, [&] {
      p.apply([&] {
        struct at_end {
          bool& b;
          ~at_end() { b = true; }
        } mark{unwound};
        await(sleep_forever());
      });
    }));
    EXPECT_TRUE(unwound) << "the call ends with the wait for it";
  });
}

TEST(fiber_pool, apply_async_never_waits) {
  run_virtual([] {
    fiber_pool p{1};
    const auto start = loop::current()->now();
    int called_back = 0;
    auto a = p.apply_async(seconds, 2);
    auto b = p.apply_async(seconds, 3);
    b.link_value([&](const fiber<int>& f) { called_back = f.get(); });
    EXPECT_EQ(passed(start), 0s);
    EXPECT_EQ(p.size(), 2U);
    EXPECT_EQ(b.get(), 3);
    EXPECT_EQ(passed(start), 5s);
    await(sleep_for(1s));
    EXPECT_EQ(called_back, 3);
    EXPECT_EQ(p.free_count(), 1U);
    auto c = p.apply_async(seconds, 1);
    auto d = p.apply_async(seconds, 1);
    await(yield_now());
    EXPECT_TRUE(p.kill()) << "also those that wait for a place";
    EXPECT_TRUE(d.ready());
    EXPECT_EQ(p.free_count(), 1U);
  });
}

// ---- maps ----

TEST(fiber_pool, map_keeps_the_order_of_the_items) {
  run_virtual([] {
    fiber_pool p{2};
    const std::vector<int> items{3, 1, 2};
    const auto start = loop::current()->now();
    EXPECT_EQ(p.map(seconds, items), items);
    EXPECT_EQ(passed(start), 3s);
    EXPECT_TRUE(p.map(seconds, std::vector<int>{}).empty());
    int sum = 0;
    p.map([&](int i) { sum += i; }, items);
    EXPECT_EQ(sum, 6);
    fiber_group unbounded_group;
    EXPECT_EQ(unbounded_group.map([](const std::string& s) { return s.size(); },
                                  std::vector<std::string>{"a", "bb"}),
              (std::vector<std::size_t>{1, 2}));
  });
}

TEST(fiber_pool, map_moves_what_it_is_given_to_keep) {
  run_virtual([] {
    fiber_pool p{2};
    std::vector<std::unique_ptr<int>> items;
    items.push_back(std::make_unique<int>(1));
    items.push_back(std::make_unique<int>(2));
    auto doubled = p.map(
        [](std::unique_ptr<int> i) {
          *i *= 2;
          return i;
        },
        std::move(items));
    ASSERT_EQ(doubled.size(), 2U);
    EXPECT_EQ(*doubled[1], 4);
    auto later = p.map_async([](std::unique_ptr<int> i) { return *i + 1; }, std::move(doubled));
    EXPECT_EQ(later.get(), (std::vector<int>{3, 5}));
  });
}

TEST(fiber_pool, map_throws_the_first_failure_and_ends_the_rest) {
  run_virtual([] {
    static std::string logged;
    const auto previous =
        set_log_hook([](severity, std::string_view text) noexcept { logged.append(text); });
    fiber_group g;
    const auto start = loop::current()->now();
    auto body = [](int i) {
      try {
        await(sleep_for(i * 1s));
      } catch (const cancelled&) {
        throw std::logic_error{"while it was killed"};
      }
      if (i == 2) throw std::runtime_error{"two"};
      return i;
    };
    EXPECT_THROW((void)g.map(body, std::vector<int>{1, 2, 9}), std::runtime_error);
    EXPECT_EQ(passed(start), 2s);
    EXPECT_TRUE(g.empty()) << "the rest was waited for";
    EXPECT_NE(logged.find("while it was killed"), std::string::npos) << "and is not lost";
    set_log_hook(previous);
  });
}

TEST(fiber_pool, imap_gives_results_in_order_and_unordered_as_they_come) {
  run_virtual([] {
    fiber_pool p{3};
    const std::vector<int> items{3, 1, 2};
    std::string order;
    for (int i : p.imap(seconds, items)) order += std::to_string(i);
    EXPECT_EQ(order, "312");
    order.clear();
    for (int i : p.imap_unordered(seconds, items)) order += std::to_string(i);
    EXPECT_EQ(order, "123");
  });
}

TEST(fiber_pool, maxsize_bounds_what_is_begun_and_not_taken) {
  for (bool ordered : {true, false}) {
    run_virtual([&] {
      fiber_group g;
      int begun = 0;
      auto count = [&](int i) {
        ++begun;
        return i;
      };
      std::vector<int> items(20);
      std::iota(items.begin(), items.end(), 0);
      auto results = ordered ? g.imap(count, items, 3) : g.imap_unordered(count, items, 3);
      int taken = 0;
      for ([[maybe_unused]] int i : results) {
        ++taken;
        await(sleep_for(1s));
        EXPECT_LE(begun, taken + 3);
      }
      EXPECT_EQ(taken, 20);
      EXPECT_THROW((void)g.imap(count, items, 0), misuse);
    });
  }
}

TEST(fiber_pool, leaving_an_imap_early_ends_the_rest) {
  for (bool ordered : {true, false}) {
    run_virtual([&] {
      fiber_pool p{2};
      int ended = 0, begun = 0;
      auto body = [&](int i) {
        ++begun;
        struct at_end {
          int& n;
          ~at_end() { ++n; }
        } mark{ended};
        return seconds(i);
      };
      const std::vector<int> items{1, 5, 5, 5, 5, 5};
      const auto start = loop::current()->now();
      auto results = [&] { return ordered ? p.imap(body, items) : p.imap_unordered(body, items); };
      for (int i : results()) {
        EXPECT_EQ(i, 1);
        break;
      }
      EXPECT_EQ(passed(start), 1s);
      EXPECT_EQ(ended, begun) << "and waits for their end";
      EXPECT_LE(begun, 3);
      EXPECT_TRUE(p.empty());
      EXPECT_EQ(p.free_count(), 2U);
      EXPECT_FALSE(move_on_after(1s, [&] {
        for ([[maybe_unused]] int i : p.imap(seconds, std::vector<int>{9, 9, 9})) FAIL();
      }));
      EXPECT_TRUE(p.empty());
      EXPECT_EQ(p.free_count(), 2U);
      joinall(std::vector<fiber<int>>{p.spawn(seconds, 1), p.spawn(seconds, 1)});
      EXPECT_EQ(p.free_count(), 2U);
    });
  }
}

TEST(fiber_pool, next_goes_on_after_a_failure) {
  run_virtual([] {
    fiber_pool p{2};
    auto body = [](int i) {
      if (i == 1) throw std::runtime_error{"one"};
      return i;
    };
    auto results = p.imap(body, std::vector<int>{0, 1, 2});
    EXPECT_EQ(results.next(), 0);
    EXPECT_THROW((void)results.next(), std::runtime_error);
    EXPECT_EQ(results.next(), 2);
    EXPECT_EQ(results.next(), std::nullopt);
    EXPECT_EQ(results.next(), std::nullopt);
  });
}

TEST(fiber_pool, a_failure_of_the_range_comes_after_what_it_gave) {
  run_virtual([] {
    fiber_pool p{2};
    auto failing = std::views::iota(0, 5) | std::views::transform([](int i) {
                     if (i == 2) throw std::runtime_error{"range"};
                     return i;
                   });
    auto results = p.imap(seconds, failing);
    EXPECT_EQ(results.next(), 0);
    EXPECT_EQ(results.next(), 1);
    EXPECT_THROW((void)results.next(), std::runtime_error);
    EXPECT_EQ(results.next(), std::nullopt);
  });
}

TEST(fiber_pool, an_imap_that_a_coroutine_drops_is_ended_without_waiting) {
  run_virtual([]() -> task<> {
    fiber_pool p{2};
    {
      auto results = p.imap([](int) { await(sleep_forever()); }, std::vector<int>{1, 2, 3});
      co_await sleep_for(1s);
    }
    EXPECT_FALSE(p.empty());
    co_await sleep_for(1s);
    EXPECT_TRUE(p.empty());
  });
}

}  // namespace
}  // namespace oneloop
