#include "oneloop/testing/checkpoints.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/thread/thread.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

/// What `f` throws as check_failed; empty if nothing.
template <class F>
std::string failure_of(F f) {
  try {
    f();
  } catch (const check_failed& e) {
    return e.what();
  }
  return {};
}

task<int> receive_one(channel<int>& ch) {
  const auto got = co_await ch.receive();
  co_return got.value_or(0);
}

task<> nothing() { co_return; }
task<> bare_checkpoint() {
  context::current().checkpoint();
  co_return;
}
task<> empty_nursery() {
  auto run = with_nursery([](nursery&) { return nothing(); });
  co_await std::move(run);
}
task<> fails(std::string text) {
  throw std::runtime_error{text};
  co_return;
}

TEST(assert_checkpoints, accepts_a_wait_whether_or_not_it_suspends) {
  channel<int> ch{2};
  (void)ch.try_send(7);
  event later;
  run([&]() -> task<> {
    auto ready = assert_checkpoints(receive_one, std::ref(ch));
    const int got = co_await std::move(ready);
    EXPECT_EQ(got, 7);
    auto suspends = assert_checkpoints([&]() -> task<> { co_await yield_now(); });
    co_await std::move(suspends);
  });
}

TEST(assert_checkpoints, refuses_a_body_that_waits_for_nothing) {
  EXPECT_EQ(failure_of([] { run(assert_checkpoints(nothing)); }),
            "assert_checkpoints: the body passes a checkpoint: it passed none");
}

TEST(assert_checkpoints, tells_cancel_points_from_schedule_points) {
  EXPECT_THAT(failure_of([] { run(assert_checkpoints(bare_checkpoint)); }),
              HasSubstr("it passed a cancel point, but waited for nothing"));
  EXPECT_THAT(failure_of([] { run(assert_checkpoints(empty_nursery)); }),
              HasSubstr("it waited, but passed no cancel point"));
}

TEST(assert_checkpoints, does_not_count_what_a_child_does) {
  EXPECT_NE(failure_of([] {
              run(assert_checkpoints([]() -> task<> {
                auto inner = with_nursery([](nursery& n) -> task<> {
                  n.start([]() -> task<> { co_await yield_now(); });
                  co_return;
                });
                co_await std::move(inner);
              }));
            }),
            "");
}

TEST(assert_checkpoints, lets_the_errors_of_the_body_pass) {
  EXPECT_THROW(run(assert_checkpoints(fails, "mine")), std::runtime_error);
  EXPECT_THROW(run(assert_no_checkpoints(fails, "mine")), std::runtime_error);
}

TEST(assert_checkpoints, lets_a_cancel_pass) {
  loop l{"virtual"};
  const bool ended = run(l, []() -> task<bool> {
    auto sleeps = []() -> task<> { co_await sleep_forever(); };
    auto limited = move_on_after(1s, assert_checkpoints(sleeps));
    const bool in_time = co_await std::move(limited);
    co_return in_time;
  });
  EXPECT_FALSE(ended);
}

TEST(assert_checkpoints, nests) {
  run([]() -> task<> {
    auto outer = assert_checkpoints([]() -> task<> {
      auto inner = assert_checkpoints([]() -> task<> { co_await yield_now(); });
      co_await std::move(inner);
      auto none = assert_no_checkpoints(nothing);
      co_await std::move(none);
    });
    co_await std::move(outer);
  });
}

TEST(assert_checkpoints, works_in_fibers_and_plain_threads) {
  const auto waits = [] { await(sleep_for(0s)); };
  const auto does_not = [] {};
  const auto both = [&] {
    assert_checkpoints(waits);
    assert_no_checkpoints(does_not);
    EXPECT_EQ(assert_checkpoints([&] {
                waits();
                return 5;
              }),
              5);
    EXPECT_NE(failure_of([&] { assert_checkpoints(does_not); }), "");
    EXPECT_NE(failure_of([&] { assert_no_checkpoints(waits); }), "");
  };
  run(both);
  both();
}

TEST(assert_checkpoints, counts_waits_over_the_limit_of_waits_in_a_row) {
  channel<int> ch{1};
  run([&] {
    for (int i = 0; i < 300; ++i) {  // whatever the count is when the body begins and ends
      assert_checkpoints([&] {
        for (int k = 0; k < 64; ++k) {
          await(ch.send(1));
          await(ch.receive());
        }
      });
    }
  });
}

TEST(assert_no_checkpoints, refuses_what_waits_also_if_it_fails_then) {
  EXPECT_EQ(
      failure_of([] { run(assert_no_checkpoints([]() -> task<> { co_await yield_now(); })); }),
      "assert_no_checkpoints: the body passes no checkpoint: it passed one");
  EXPECT_NE(failure_of([] { run(assert_no_checkpoints(bare_checkpoint)); }), "");
  EXPECT_NE(failure_of([] {
              run(assert_no_checkpoints([]() -> task<> {
                co_await yield_now();
                throw std::runtime_error{"afterwards"};
              }));
            }),
            "");
}

}  // namespace
}  // namespace oneloop::inline v0::testing
