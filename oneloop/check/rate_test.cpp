// Whose turn it is, on the virtual clock.
#include "oneloop/check/rate.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "oneloop/check/check_test.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(rate_rule, reads_hosts_and_rates) {
  const auto interval = [](std::string_view text) { return rate_rule::parse(text)->interval(); };
  EXPECT_EQ(interval("a=5/s"), 200ms);
  EXPECT_EQ(interval("a=0.5/s"), 2s);
  EXPECT_EQ(interval("*=30/m"), 2s);
  EXPECT_EQ(interval("a:80=100/h"), 36s);
  for (const char* wrong : {"", "a", "a=", "=5/s", "a=5", "a=/s", "a=x/s", "a=5/d", "a=-1/s",
                            "a=0/s", "a=1e3/s", "a=5/s ", "a=inf/s"}) {
    const auto r = rate_rule::parse(wrong);
    ASSERT_FALSE(r) << wrong;
    EXPECT_THAT(r.error(), HasSubstr("example.org=5/s"));
  }
  const rate_rule name{"Example.org", 1s}, sub{"*.example.org", 1s}, port{"[::1]:80", 1s};
  EXPECT_TRUE(name.matches("example.ORG"));
  EXPECT_TRUE(name.matches("example.org:8080"));
  EXPECT_FALSE(name.matches("a.example.org"));
  EXPECT_TRUE(sub.matches("a.b.example.org:1"));
  EXPECT_FALSE(sub.matches("example.org"));
  EXPECT_TRUE(port.matches("[::1]:80"));
  EXPECT_FALSE(port.matches("[::1]"));
  EXPECT_TRUE((rate_rule{"*a*b*", 1s}.matches("xxaxxbxx")));
}

TEST(host_limiter, a_host_is_asked_so_often_and_others_do_not_wait) {
  go([]() -> task<> {
    host_limiter l{limiter_options{}.rate(*rate_rule::parse("slow=2/s"))};
    for (host_limiter::item i = 0; i < 5; ++i) {
      l.push("slow", i);
      l.push("fast", 10 + i);
    }
    const double begun = now();
    std::map<host_limiter::item, double> at;
    for (int i = 0; i < 10; ++i) {
      auto taking = l.next();
      const auto turn = co_await std::move(taking);
      at[turn.value()] = now() - begun;
    }
    for (host_limiter::item i = 0; i < 5; ++i) {
      EXPECT_DOUBLE_EQ(at[i], 0.5 * i);
      EXPECT_DOUBLE_EQ(at[10 + i], 0);
    }
  });
}

TEST(host_limiter, crawl_delays_hold_beside_a_rate) {
  go([]() -> task<> {
    host_limiter l{limiter_options{}.rate(rate_rule{"*", 1s})};
    const double begun = now();
    std::vector<double> at;
    for (host_limiter::item i = 0; i < 3; ++i) l.push("a", i, 3s);
    l.push("a", 3);
    for (int i = 0; i < 4; ++i) {
      auto taking = l.next();
      const auto turn = co_await std::move(taking);
      at.push_back(now() - begun);
    }
    EXPECT_THAT(at, ElementsAre(0, 3, 6, 9));
    // The last turn is remembered as long as it counts, and then the host is forgotten.
    l.push("a", 4, 3s);
    auto taking = l.next();
    (void)co_await std::move(taking);
    EXPECT_EQ(now() - begun, 12);
    EXPECT_EQ(l.statistics().hosts, 1u);
    co_await sleep_for(10s);
    EXPECT_FALSE(l.try_next());
    EXPECT_EQ(l.statistics().hosts, 0u);
  });
}

TEST(host_limiter, a_pause_is_one_of_that_host_only) {
  go([]() -> task<> {
    host_limiter l;
    for (host_limiter::item i = 0; i < 3; ++i) {
      l.push("busy", i);
      l.push("other", 10 + i);
    }
    auto taking = l.next();
    auto turn = co_await std::move(taking);
    EXPECT_EQ(turn.value(), 0u);
    l.pause("busy", 30s);
    l.pause("busy", 10s);  // the longer one stays
    turn.end();
    EXPECT_EQ(l.statistics().held, 1u);
    const double begun = now();
    std::vector<double> at;
    for (int i = 0; i < 5; ++i) {
      auto next = l.next();
      const auto t = co_await std::move(next);
      EXPECT_EQ(t.value() >= 10, i < 3);
      at.push_back(now() - begun);
    }
    EXPECT_THAT(at, ElementsAre(0, 0, 0, 30, 30));
    l.pause("nobody", 5s);  // counts for what comes
    l.push("nobody", 99);
    auto last = l.next();
    (void)co_await std::move(last);
    EXPECT_EQ(now() - begun, 35);
  });
}

TEST(host_limiter, so_many_turns_at_a_time_for_a_host) {
  go([]() -> task<> {
    host_limiter l{limiter_options{}.per_host(2)};
    for (host_limiter::item i = 0; i < 4; ++i) l.push("a", i);
    for (host_limiter::item i = 0; i < 20; ++i) l.push("localhost:80", 10 + i);
    std::vector<host_limiter::turn> of_a, local;
    while (auto t = l.try_next()) (t->value() < 10 ? of_a : local).push_back(*std::move(t));
    EXPECT_EQ(of_a.size(), 2u);
    EXPECT_EQ(local.size(), 20u);  // this machine
    EXPECT_EQ(l.statistics().running, 22u);
    of_a.erase(of_a.begin());
    auto third = l.try_next();
    EXPECT_TRUE(third);
    EXPECT_EQ(third->value(), 2u);
    EXPECT_FALSE(l.try_next());
    local.clear();
    of_a.clear();
    third.reset();
    EXPECT_EQ(l.try_next()->value(), 3u);
    EXPECT_EQ(l.statistics().hosts, 0u);
    co_return;
  });
}

TEST(host_limiter, hosts_take_turns_and_within_one_the_first_is_first) {
  go([]() -> task<> {
    host_limiter l{limiter_options{}.per_host(1)};
    // One host has a thousand, the others three each.
    for (host_limiter::item i = 0; i < 1000; ++i) l.push("big", i);
    for (host_limiter::item h = 1; h <= 5; ++h) {
      for (host_limiter::item i = 0; i < 3; ++i) l.push("h" + std::to_string(h), h * 10000 + i);
    }
    std::vector<host_limiter::item> order;
    for (int i = 0; i < 18; ++i) order.push_back(l.try_next()->value());
    for (host_limiter::item round = 0; round < 3; ++round) {
      EXPECT_EQ(order[round * 6], round);
      for (host_limiter::item h = 1; h <= 5; ++h)
        EXPECT_EQ(order[round * 6 + h], h * 10000 + round);
    }
    EXPECT_EQ(l.statistics().queued, 997u);
    EXPECT_EQ(l.statistics().hosts, 1u);
    co_return;
  });
}

TEST(host_limiter, whoever_waits_is_woken_by_a_push_an_end_or_the_time) {
  go([]() -> task<> {
    host_limiter l{limiter_options{}.per_host(1)};
    std::vector<std::pair<host_limiter::item, double>> got;
    const double begun = now();
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 3; ++i) {
        n.start([&]() -> task<> {
          auto taking = l.next();
          const auto turn = co_await std::move(taking);
          got.emplace_back(turn.value(), now() - begun);
          co_await sleep_for(2s);
        });
      }
      co_await sleep_for(1s);
      l.push("a", 1);
      l.push("a", 2);
      co_await sleep_for(4s);
      l.pause("a", 5s);
      l.push("a", 3);
    });
    EXPECT_THAT(got, ElementsAre(std::pair{1u, 1.0}, std::pair{2u, 3.0}, std::pair{3u, 10.0}));
  });
}

TEST(host_limiter, a_cancelled_wait_takes_nothing) {
  go([]() -> task<> {
    host_limiter l;
    for (const bool already : {true, false}) {
      bool taken = false;
      co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start([&]() -> task<> {
            auto taking = l.next();
            (void)co_await std::move(taking);
            taken = true;
          });
          if (!already) co_await sleep_for(1s);
          s.cancel();
          l.push("a", 7);
        });
      });
      auto turn = l.try_next();
      EXPECT_NE(taken, turn.has_value());
      while (l.try_next()) {
      }
    }
    EXPECT_EQ(l.statistics().queued, 0u);
  });
}

TEST(host_limiter, many_hosts_are_forgotten_when_idle) {
  go([]() -> task<> {
    host_limiter l;
    for (host_limiter::item i = 0; i < 20'000; ++i) l.push("h" + std::to_string(i), i);
    EXPECT_EQ(l.statistics().hosts, 20'000u);
    std::uint64_t sum = 0;
    while (auto t = l.try_next()) sum += t->value();
    EXPECT_EQ(sum, 20'000ull * 19'999 / 2);
    EXPECT_EQ(l.statistics().hosts, 0u);
    co_return;
  });
}

}  // namespace
}  // namespace oneloop
