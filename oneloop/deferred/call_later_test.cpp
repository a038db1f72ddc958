#include "oneloop/deferred/call_later.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "oneloop/deferred/deferred_test.hpp"
#include "oneloop/fiber/green.hpp"

namespace oneloop {
namespace {

TEST(call_later, calls_come_in_the_order_of_their_times) {
  run_virtual([] {
    std::string order;
    with_nursery([&](nursery&) {
      auto say = [&](const std::string& what) { order += what; };
      call_later(3s, say, "c");
      call_later(1s, say, "a");
      call_later(2s, [&] { order += 'b'; });
      call_later(0s, say, "0");
      call_later(1s, say, "A");
      EXPECT_EQ(order, "") << "never from within";
    });
    EXPECT_EQ(order, "0aAbc") << "the nursery waits for them";
  });
}

TEST(call_later, tells_when_and_whether_it_is_still_to_come) {
  run_virtual([] {
    with_nursery([](nursery&) {
      const auto start = loop::current()->now();
      const auto c = call_later(2s, [] {});
      EXPECT_TRUE(c.active());
      EXPECT_EQ(c.get_time(), start + 2s);
      await(sleep_for(3s));
      EXPECT_FALSE(c.active());
      EXPECT_EQ(c.get_time(), start + 2s);
      EXPECT_THROW(c.cancel(), misuse);
      EXPECT_THROW(c.reset(1s), misuse);
      EXPECT_THROW(c.delay(1s), misuse);
    });
  });
}

TEST(call_later, cancelled_it_never_comes) {
  run_virtual([] {
    const auto start = loop::current()->now();
    with_nursery([](nursery&) {
      bool called = false;
      const auto c = call_later(2s, [&] { called = true; });
      await(sleep_for(1s));
      c.cancel();
      EXPECT_FALSE(c.active());
      EXPECT_THROW(c.cancel(), misuse);
      await(sleep_for(2s));
      EXPECT_FALSE(called);
      call_later(1h, [] { FAIL(); }).cancel();
    });
    EXPECT_EQ(loop::current()->now() - start, 3s);
  });
}

TEST(call_later, reset_counts_from_now_and_delay_from_the_time_it_was_to_be) {
  run_virtual([] {
    with_nursery([](nursery&) {
      const auto start = loop::current()->now();
      duration reset{}, delayed{}, sooner{};
      auto note = [start](duration& d) {
        return [&d, start] { d = loop::current()->now() - start; };
      };
      const auto a = call_later(5s, note(reset));
      const auto b = call_later(5s, note(delayed));
      const auto c = call_later(5s, note(sooner));
      await(sleep_for(1s));
      a.reset(5s);
      b.delay(5s);
      c.reset(1s);
      await(sleep_for(20s));
      EXPECT_EQ(reset, 6s);
      EXPECT_EQ(delayed, 10s);
      EXPECT_EQ(sooner, 2s);
    });
  });
}

TEST(call_later, one_that_is_due_can_still_be_cancelled_or_moved_by_one_that_comes_first) {
  run_virtual([] {
    with_nursery([](nursery&) {
      std::string order;
      delayed_call first = call_later(1s, [] {}), second = first, third = first;
      first = call_later(2s, [&] {
        second.cancel();
        third.reset(1s);
      });
      second = call_later(2s, [&] { order += "second"; });
      third = call_later(2s, [&] { order += "third"; });
      await(sleep_for(2500ms));
      EXPECT_EQ(order, "");
      await(sleep_for(1s));
      EXPECT_EQ(order, "third");
    });
  });
}

TEST(call_later, what_it_throws_is_logged_with_its_line) {
  log_capture log;
  run_virtual([] {
    with_nursery([](nursery&) {
      call_later(1s, [] { throw std::runtime_error{"late"}; });
      await(sleep_for(2s));
    });
  });
  EXPECT_TRUE(
      log.text().starts_with("Unhandled error in deferred: late (fired at call_later_test.cpp:"))
      << log.text();
}

TEST(call_later, a_task_that_it_gives_is_started_and_a_block_refused) {
  log_capture log;
  run_virtual([] {
    with_nursery([](nursery&) {
      bool ran = false;
      auto later = [&ran, tag = std::string(40, 'x')](const std::string& v) -> task<> {
        co_await sleep_for(1s);
        ran = v == tag;
      };
      call_later(1s, later, std::string(40, 'x'));
      call_later(1s, [] { await(sleep_for(1s)); });
      await(sleep_for(3s));
      EXPECT_TRUE(ran);
    });
  });
  EXPECT_TRUE(log.text().starts_with("Unhandled error in deferred: await")) << log.text();
}

TEST(call_later, its_nursery_or_the_end_of_the_loop_drops_it) {
  delayed_call* outlives = nullptr;
  run_virtual([&] {
    with_nursery([](nursery& n) {
      call_later(1s, [] { FAIL(); });
      n.cancel();
    });
    outlives = new delayed_call{call_later(1s, [] { FAIL(); })};
  });
  EXPECT_FALSE(outlives->active());
  EXPECT_THROW(outlives->cancel(), misuse);
  delete outlives;
}

TEST(call_later, shows_in_a_dump_and_needs_a_loop) {
  EXPECT_THROW(call_later(1s, [] {}), loop_not_running);
  run_virtual([] {
    with_nursery([](nursery& n) {
      call_later(1s, [] {});
      await(yield_now());
      const std::string dump = loop::current()->dump();
      EXPECT_NE(dump.find("call_later [callback] started at call_later_test.cpp:"), dump.npos)
          << dump;
      n.cancel();
    });
  });
}

TEST(call_later, a_callback_of_its_own_is_owned_by_the_same_nursery) {
  run_virtual([] {
    int beats = 0;
    with_nursery([&](nursery&) {
      struct {
        int& beats;
        void operator()() {
          if (++beats < 100) call_later(1s, std::ref(*this));
        }
      } beat{beats};
      call_later(1s, std::ref(beat));
      await(sleep_for(1ms));
      while (beats < 100) await(sleep_for(1s));
    });
    EXPECT_EQ(beats, 100);
  });
}

TEST(defer_later, gives_the_result_and_can_be_cancelled) {
  run_virtual([] {
    with_nursery([](nursery&) {
      int got = 0;
      bool was_cancelled = false;
      defer_later(
          1s, [](int a, int b) { return a + b; }, 1, 2)
          .add_callback([&](int v) { got = v; });
      auto d = defer_later(2s, [] { FAIL(); });
      d.add_errback([&](const failure& f) { was_cancelled = f.check<cancelled>(); });
      await(sleep_for(1s));
      d.cancel();
      await(sleep_for(2s));
      EXPECT_EQ(got, 3);
      EXPECT_TRUE(was_cancelled);
      bool over = false;
      defer_later(1s).add_callback([&] { over = true; });
      await(sleep_for(1s));
      EXPECT_TRUE(over);
    });
  });
}

TEST(call_later, has_its_place_beside_green_threads_and_knows_no_overflow) {
  run_virtual([] {
    std::string order;
    with_nursery([&](nursery&) {
      const auto never_made = call_later(duration::max(), [&] { order += 'x'; });
      call_later(2s, [&] { order += 'b'; });
      spawn_later(1s, [&] { order += 'a'; });  // fiber/green.hpp
      await(sleep_for(3s));
      never_made.cancel();
    });
    EXPECT_EQ(order, "ab");
  });
}

}  // namespace
}  // namespace oneloop
