#include "oneloop/deferred/react.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <stdexcept>
#include <string>

#include "oneloop/deferred/call_later.hpp"
#include "oneloop/deferred/deferred_test.hpp"
#include "oneloop/fiber/spawn.hpp"

namespace oneloop {
namespace {

template <class... A>
int react_virtual(A&&... a) {
  loop l{"virtual"};
  return react(l, std::forward<A>(a)...);
}

TEST(react, runs_until_the_deferred_of_main_has_fired) {
  log_capture log;
  bool over = false, left_behind = false;
  auto main = [&](duration d, int) {
    defer(sleep_forever()).add_errback([&](const failure& f) {
      left_behind = f.check<cancelled>();
    });
    return defer(sleep_for(d)).add_callback([&] { over = true; });
  };
  EXPECT_EQ(react_virtual(main, 1h, 3), 0);
  EXPECT_TRUE(over && left_behind);
  EXPECT_EQ(log.text(), "");
}

TEST(react, main_may_give_a_task_a_value_or_nothing) {
  bool over = false;
  EXPECT_EQ(react_virtual([&]() -> task<> {
              co_await sleep_for(1h);
              over = true;
            }),
            0);
  EXPECT_TRUE(over);
  EXPECT_EQ(react_virtual([] {}), 0);
  EXPECT_EQ(react_virtual([] { return std::string{"x"}; }), 0);
  EXPECT_EQ(react_virtual([] { return 4; }), 4);
  EXPECT_EQ(react_virtual([]() -> task<int> { co_return 5; }), 5);
  EXPECT_EQ(react([] { return defer(sleep_for(1ms)); }), 0);
}

TEST(react, a_failure_is_logged_and_makes_it_one) {
  for (const bool later : {false, true}) {
    log_capture log;
    EXPECT_EQ(react_virtual([&]() -> deferred<> {
                if (!later) throw std::runtime_error{"boom"};
                return defer_later(1s, [] { throw std::runtime_error{"boom"}; });
              }),
              1);
    EXPECT_EQ(log.text(), "react: main failed: boom\n");
  }
}

TEST(react, a_failure_that_belongs_to_nobody_ends_it_too) {
  log_capture log;
  EXPECT_EQ(react_virtual([] {
              spawn_on(*loop::current(), []() -> task<> {
                co_await sleep_for(1s);
                throw std::runtime_error{"child"};
              });
              return deferred<>{};
            }),
            1);
  EXPECT_EQ(log.text(), "react: main failed: child\n");
}

TEST(react, system_exit_gives_its_code) {
  log_capture log;
  EXPECT_EQ(react_virtual([] { return defer_later(1s, [] { throw system_exit{7}; }); }), 7);
  EXPECT_EQ(react_virtual([]() -> task<> {
              co_await sleep_for(1s);
              throw system_exit{0};
            }),
            0);
  EXPECT_EQ(log.text(), "");
}

TEST(react, a_signal_ends_it_orderly) {
  for (const int signo : {SIGINT, SIGTERM}) {
    log_capture log;
    std::string order;
    EXPECT_EQ(react([&] {
                call_later(1ms, [signo] { ::raise(signo); });
                before_shutdown([&] { order += 'b'; });
                after_shutdown([&] { order += 'a'; });
                auto serve = [](std::string& o) -> task<> {
                  try {
                    co_await sleep_forever();
                  } catch (const cancelled&) {
                    o += 'c';
                    throw;
                  }
                };
                return defer(serve(order));
              }),
              0);
    EXPECT_EQ(order, "bca");
    EXPECT_EQ(log.text(), "");
  }
}

TEST(react, stop_ends_also_a_main_that_would_never_fire) {
  EXPECT_EQ(react_virtual([] {
              call_later(1s, stop_reactor);
              return succeed().add_callback([] { return deferred<>{}; });
            }),
            0);
}

TEST(react, what_main_ends_with_counts_also_after_a_stop) {
  log_capture log;
  auto main = [](bool good) {
    call_later(1s, stop_reactor);
    return deferred<int>{[good](deferred<int>& d) {
      if (good) {
        d.callback(3);
      } else {
        d.errback(std::runtime_error{"unclean"});
      }
    }};
  };
  EXPECT_EQ(react_virtual(main, true), 3);
  EXPECT_EQ(react_virtual(main, false), 1);
  EXPECT_EQ(log.text(), "react: main failed: unclean\n");
}

TEST(react, before_shutdown_is_waited_for_in_order_also_when_main_just_ends) {
  log_capture log;
  std::string order;
  EXPECT_EQ(react_virtual([&] {
              before_shutdown([&] { return defer_later(1s, [&] { order += '1'; }); });
              before_shutdown([&]() -> task<int> {
                order += '2';
                co_await sleep_for(1s);
                throw std::runtime_error{"hook"};
              });
              before_shutdown([&] { order += '3'; });
              after_shutdown([&] { order += loop::current() == nullptr ? '4' : '?'; });
            }),
            0);
  EXPECT_EQ(order, "1234");
  EXPECT_EQ(log.text(), "react: before_shutdown: hook\n");
  EXPECT_THROW(before_shutdown([] {}), loop_not_running);
}

TEST(react, a_callback_cannot_block_and_says_so) {
  log_capture log;
  EXPECT_EQ(react_virtual([] { await(sleep_for(1s)); }), 1);
  EXPECT_NE(log.text().find("react: main failed: await"), std::string::npos) << log.text();
}

TEST(react, a_loop_may_be_used_again) {
  loop l{"virtual"};
  int hooks = 0;
  auto stopped = [&] {
    before_shutdown([&] { ++hooks; });
    stop_reactor();
    return defer(sleep_for(1h)).add_callback([] { return 5; });
  };
  EXPECT_EQ(react(l, stopped), 0);
  EXPECT_EQ(react(l, [] { return defer(sleep_for(1h)).add_callback([] { return 5; }); }), 5);
  EXPECT_EQ(hooks, 1);
}

}  // namespace
}  // namespace oneloop
