#include "oneloop/testing/sequencer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/thread/thread.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

task<> write_at(sequencer& seq, std::size_t place, std::vector<std::size_t>& out) {
  auto turn = co_await seq(place);
  co_await yield_now();  // the others could run now
  out.push_back(place);
}

void write_at_blocking(sequencer& seq, std::size_t place, std::vector<std::size_t>& out) {
  auto turn = await(seq(place));
  await(yield_now());
  out.push_back(place);
}

TEST(sequencer, forces_an_order_on_tasks_and_fibers) {
  sequencer seq;
  std::vector<std::size_t> out;
  run(with_nursery([&](nursery& n) -> task<> {
    for (const std::size_t place : {3, 0, 4}) {
      n.start(write_at, std::ref(seq), place, std::ref(out));
    }
    for (const std::size_t place : {2, 1}) {
      n.start(write_at_blocking, std::ref(seq), place, std::ref(out));
    }
    co_return;
  }));
  EXPECT_THAT(out, ElementsAre(0u, 1u, 2u, 3u, 4u));
  EXPECT_EQ(seq.current(), 5u);
}

TEST(sequencer, forces_an_order_on_threads) {
  sequencer seq;
  std::vector<std::size_t> out;  // no lock: the places order the accesses
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 4; ++i) {
    threads.emplace_back([&seq, &out, i] {
      for (std::size_t round = 0; round < 50; ++round) {
        write_at_blocking(seq, round * 4 + (i + round) % 4, out);
      }
    });
  }
  for (auto& t : threads) t.join();
  ASSERT_EQ(out.size(), 200u);
  EXPECT_TRUE(std::is_sorted(out.begin(), out.end()));
}

TEST(sequencer, a_place_that_is_not_kept_is_left_at_once) {
  sequencer seq;
  run([&]() -> task<> {
    co_await seq(0);
    co_await seq(1);
    auto kept = co_await seq(2);
    EXPECT_EQ(seq.current(), 2u);
    auto moved = std::move(kept);
    moved.leave();
    moved.leave();
    EXPECT_EQ(seq.current(), 3u);
  });
}

TEST(sequencer, refuses_a_place_that_was_taken) {
  sequencer seq;
  run([&]() -> task<> {
    auto held = co_await seq(0);
    EXPECT_THROW((void)seq(0), misuse);
    held.leave();
    EXPECT_THROW((void)seq(0), misuse);
    co_return;
  });
}

template <class F>
std::string misuse_of(F f) {
  try {
    f();
  } catch (const misuse& e) {
    return e.what();
  }
  return {};
}

TEST(sequencer, is_broken_for_all_when_a_waiter_is_cancelled) {
  sequencer seq;
  loop l{"virtual"};
  run(l, [&]() -> task<> {
    auto first = co_await seq(0);
    auto inside = [&](nursery& n) -> task<> {
      n.start([&] {
        EXPECT_THAT(misuse_of([&] { await(seq(2)); }), HasSubstr("place 1 was given up"));
      });
      auto limited = move_on_after(1s, seq(1));
      const auto place = co_await std::move(limited);
      EXPECT_FALSE(place.has_value()) << "a cancelled wait is cancelled";
    };
    auto run_inside = with_nursery(inside);
    co_await std::move(run_inside);
    EXPECT_TRUE(seq.broken());
    first.leave();
    std::string message;
    try {
      co_await seq(3);
    } catch (const misuse& e) {
      message = e.what();
    }
    EXPECT_EQ(message,
              "sequencer: place 3 cannot come: the sequence is broken, place 1 was given up");
  });
}

TEST(sequencer, is_broken_when_a_place_is_never_awaited) {
  sequencer seq;
  {
    [[maybe_unused]] auto forgotten = seq(0);
  }
  EXPECT_TRUE(seq.broken());
  EXPECT_THAT(misuse_of([&] { await(seq(1)); }), HasSubstr("place 0 was given up"));
}

TEST(sequencer, is_broken_by_a_party_that_is_cancelled_before_it_waits) {
  sequencer seq;
  run([&] {
    const bool ended = with_scope(scope_options{}, [&](cancel_scope& s) {
      s.cancel();
      await(seq(0));
    });
    EXPECT_FALSE(ended);
    EXPECT_TRUE(seq.broken());
  });
}

TEST(sequencer, dumps_name_the_place_that_is_missing) {
  sequencer seq;
  loop l{"virtual"};
  std::string dump;
  run(l, [&]() -> task<> {
    co_await seq(0);
    auto bounded = with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> { co_await seq(2); });
      co_await yield_now();
      dump = loop::current()->dump();
      n.cancel();
    });
    co_await std::move(bounded);
  });
  EXPECT_THAT(dump, HasSubstr("waits for sequencer (place 2, place 1 has not come)"));
}

TEST(sequencer, a_cancel_that_comes_after_the_turn_keeps_it) {
  sequencer seq;
  run([&]() -> task<> {
    auto first = co_await seq(0);
    bool got = false;
    auto inside = with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto mine = co_await seq(1);
        got = true;
      });
      co_await yield_now();
      first.leave();  // the turn is handed over
      n.cancel();     // too late
    });
    co_await std::move(inside);
    EXPECT_TRUE(got);
    EXPECT_FALSE(seq.broken());
    EXPECT_EQ(seq.current(), 2u);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::testing
