#include "oneloop/deferred/cooperate.hpp"

#include <gtest/gtest.h>

#include <expected>
#include <stdexcept>
#include <string>

#include "oneloop/deferred/deferred_test.hpp"

namespace oneloop {
namespace {

/// What it ended with, in `to`.
void note(const cooperative_task& t, std::string& to) {
  t.when_done().add_both(
      [&](const std::expected<void, failure>& r) { to += r ? "done" : r.error().what(); });
}

TEST(cooperate, steps_of_several_take_turns) {
  on_loop([] {
    std::string order, ended;
    auto count = [&](char name, int n) {
      return [&order, name, n]() mutable {
        order += name;
        return --n > 0;
      };
    };
    const auto a = cooperate(count('a', 4));
    const auto b = cooperate(count('b', 2));
    EXPECT_EQ(order, "");
    note(a, ended);
    await(sleep_for(1s));
    EXPECT_EQ(order, "ababaa");
    EXPECT_EQ(ended, "done");
    note(b, ended);
    EXPECT_EQ(ended, "donedone") << "also when it is done already";
    EXPECT_THROW(a.pause(), misuse);
    EXPECT_THROW(a.stop(), misuse);
  });
}

TEST(cooperate, a_step_may_be_waited_for) {
  on_loop([] {
    int steps = 0;
    std::string ended;
    const auto start = loop::current()->now();
    const auto t = cooperate([&]() -> task<bool> {
      co_await sleep_for(1s);
      co_return ++steps < 3;
    });
    t.when_done().add_callback([&] { EXPECT_EQ(loop::current()->now() - start, 3s); });
    note(t, ended);
    await(sleep_for(10s));
    EXPECT_EQ(steps, 3);
    EXPECT_EQ(ended, "done");
  });
}

TEST(cooperate, paused_it_waits_for_as_many_resumes) {
  on_loop([] {
    int steps = 0;
    const auto t = cooperate([&] { return ++steps < 1000; });
    t.pause();
    t.pause();
    await(sleep_for(1s));
    EXPECT_EQ(steps, 0);
    t.resume();
    await(sleep_for(1s));
    EXPECT_EQ(steps, 0);
    t.resume();
    EXPECT_THROW(t.resume(), misuse);
    await(sleep_for(1s));
    EXPECT_EQ(steps, 1000);
  });
}

TEST(cooperate, stopped_it_ends_at_once_also_when_paused_or_in_the_middle_of_a_step) {
  on_loop([] {
    std::string ended;
    const auto paused = cooperate([] { return true; });
    paused.pause();
    const auto waiting =
        cooperate([] { return defer(sleep_for(1s)).add_callback([] { return true; }); });
    note(paused, ended);
    note(waiting, ended);
    await(sleep_for(100ms));
    paused.stop();
    waiting.stop();
    EXPECT_EQ(ended, "cooperate: the work was stoppedcooperate: the work was stopped");
    EXPECT_THROW(waiting.stop(), misuse);
  });
}

TEST(cooperate, a_failure_goes_to_who_waits_or_is_logged) {
  log_capture log;
  on_loop([] {
    std::string ended;
    const auto t = cooperate([]() -> bool { throw std::runtime_error{"step"}; });
    note(t, ended);
    await(sleep_for(1s));
    EXPECT_EQ(ended, "step");
    EXPECT_EQ(log_capture::text(), "");
    static_cast<void>(cooperate([]() -> bool { throw std::runtime_error{"lost"}; }));
    await(sleep_for(1s));
  });
  EXPECT_NE(log.text().find("lost"), std::string::npos);
}

TEST(cooperate, its_nursery_ends_it) {
  std::string ended;
  run_virtual([&] {
    with_nursery([&](nursery& n) {
      note(cooperate([] { return true; }), ended);
      await(sleep_for(0s));
      n.cancel();
    });
  });
  EXPECT_EQ(ended, "cancelled");
  EXPECT_THROW(cooperate([] { return true; }), loop_not_running);
}

}  // namespace
}  // namespace oneloop
