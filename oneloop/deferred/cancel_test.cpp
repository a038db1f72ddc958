// Deferreds and time: add_timeout. And the rules of inlineCallbacks: what a cancel does to a task
// that waits for a deferred.

#include <gtest/gtest.h>

#include <expected>
#include <stdexcept>
#include <string>
#include <thread>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/deferred/deferred_test.hpp"
#include "oneloop/deferred/lock.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop {
namespace {

template <class F>
void on_loop(F&& body) {
  run_virtual([&] { with_nursery([&](nursery&) { body(); }); });
}

/// What `d` ended with, as text; waits for it.
template <class T>
std::string end_of(deferred<T> d) {
  std::string got = "nothing";
  d.add_both([&](std::expected<T, failure> r) {
    if (!r) {
      got = r.error().what();
    } else if constexpr (std::is_void_v<T>) {
      got = "done";
    } else {
      got = std::to_string(*r);
    }
  });
  await(sleep_for(100s));
  return got;
}

// ---- add_timeout ----

TEST(add_timeout, what_is_in_time_is_left_alone_and_the_alarm_goes) {
  run_virtual([] {
    const auto start = loop::current()->now();
    std::string got;
    with_nursery([&](nursery&) {
      defer(sleep_for(1s)).add_timeout(5s).add_callback([&] { got += "a"; });
      deferred<int> d;
      d.add_timeout(5s).add_callback([&](int v) { got += std::to_string(v); });
      d.callback(1);
      deferred<int> failing;
      failing.add_timeout(5s).add_errback([&](const failure& f) { got += f.what(); });
      failing.errback(std::runtime_error{"no"});
    });
    EXPECT_EQ(got, "1noa");
    EXPECT_EQ(loop::current()->now() - start, 1s) << "the nursery did not wait for the alarms";
  });
}

TEST(add_timeout, what_is_late_is_cancelled_and_becomes_a_timeout_error) {
  on_loop([] {
    bool cleaned = false, timed_out = false;
    const auto start = loop::current()->now();
    auto slow = [](bool& clean) -> task<> {
      try {
        co_await sleep_forever();
      } catch (const cancelled&) {
        clean = true;
        throw;
      }
    };
    defer(slow(cleaned)).add_timeout(2s).add_errback([&](const failure& f) {
      timed_out = cleaned && f.check<timeout_error>();
      EXPECT_EQ(loop::current()->now() - start, 2s);
    });
    await(sleep_for(10s));
    EXPECT_TRUE(timed_out);
  });
}

TEST(add_timeout, a_cancel_by_somebody_else_stays_a_cancel) {
  on_loop([] {
    deferred<> d;
    const auto timed = d.add_timeout(2s);
    d.cancel();
    EXPECT_EQ(end_of(timed), "cancelled");
  });
}

TEST(add_timeout, only_a_cancelled_becomes_a_timeout_error) {
  on_loop([] {
    deferred<int> gives{[](deferred<int>& d) { d.callback(7); }};
    EXPECT_EQ(end_of(gives.add_timeout(1s)), "7");
    deferred<int> fails{[](deferred<int>& d) { d.errback(std::runtime_error{"own"}); }};
    EXPECT_EQ(end_of(fails.add_timeout(1s)), "own");
    deferred<int> plain;
    EXPECT_EQ(end_of(plain.add_timeout(1s)), "deferred: timed out");
    plain.callback(1);  // the one that is ignored after a cancel
  });
}

TEST(add_timeout, covers_what_callbacks_before_it_wait_for_and_not_those_after_it) {
  on_loop([] {
    auto before = succeed().add_callback([] { return defer(sleep_for(10s)); }).add_timeout(1s);
    EXPECT_EQ(end_of(before), "deferred: timed out");
    auto after = succeed().add_timeout(1s).add_callback([] { return defer(sleep_for(10s)); });
    EXPECT_EQ(end_of(after), "done");
  });
}

TEST(add_timeout, on_timeout_decides_what_becomes_of_a_late_one) {
  on_loop([] {
    using either = std::expected<int, failure>;
    duration told{};
    auto instead = deferred<int>{}.add_timeout(2s, [&](const either& r, duration d) {
      told = d;
      return r.error().check<cancelled>() ? -1 : -2;
    });
    EXPECT_EQ(end_of(instead), "-1");
    EXPECT_EQ(told, 2s);
    deferred<int> gives{[](deferred<int>& d) { d.callback(7); }};
    EXPECT_EQ(end_of(gives.add_timeout(1s, [](either r, duration) { return *r + 1; })), "8");
    auto other =
        deferred<int>{}.add_timeout(1s, [](const either&, duration) { return succeed(5); });
    EXPECT_EQ(end_of(other), "5");
    auto throws = deferred<int>{}.add_timeout(1s, [](const either& r, duration) -> either {
      if (!r) throw std::runtime_error{"too late"};
      return r;
    });
    EXPECT_EQ(end_of(throws), "too late");
    EXPECT_EQ(end_of(succeed(1).add_timeout(1s, [](const either&, duration) { return 2; })), "1");
  });
}

TEST(add_timeout, of_two_the_shorter_one_counts) {
  on_loop([] {
    const auto start = loop::current()->now();
    duration took{};
    deferred<>{}.add_timeout(5s).add_timeout(2s).add_errback([&](const failure& f) {
      took = loop::current()->now() - start;
      EXPECT_TRUE(f.check<timeout_error>());
    });
    await(sleep_for(10s));
    EXPECT_EQ(took, 2s);
  });
}

TEST(add_timeout, needs_a_loop) { EXPECT_THROW(deferred<>{}.add_timeout(1s), loop_not_running); }

// ---- tasks in place of inlineCallbacks ----

TEST(inline_callbacks, a_task_is_a_chain_written_down_as_a_function) {
  on_loop([] {
    auto later = [](int v) { return defer(sleep_for(1s)).add_callback([v] { return v; }); };
    auto sum = [](auto get) -> task<int> {
      int total = co_await get(1);
      total += co_await get(2);
      co_return total;
    };
    EXPECT_EQ(end_of(defer(sum(later))), "3");
  });
}

/// Waits for what `get` gives, then says so.
template <class Get>
task<int> wait_for(Get get, std::string& log) {
  try {
    auto d = get();
    const int v = co_await std::move(d);
    log += "value ";
    co_return v;
  } catch (const cancelled&) {
    log += "cancelled ";
    throw;
  }
}

TEST(inline_callbacks, cancel_goes_to_the_deferred_that_the_task_waits_for) {
  on_loop([] {
    std::string log;
    auto get = [&] { return deferred<int>{[&](deferred<int>&) { log += "asked "; }}; };
    const auto d = defer(wait_for(get, log));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "cancelled");
    EXPECT_EQ(log, "asked cancelled ");
  });
}

TEST(inline_callbacks, it_goes_through_chains_and_tasks_to_the_innermost) {
  on_loop([] {
    std::string log;
    auto innermost = [&] { return deferred<int>{[&](deferred<int>&) { log += "asked "; }}; };
    auto middle = [&] { return succeed().add_callback([&] { return innermost(); }); };
    auto inner = [&] { return defer(wait_for(middle, log)); };
    const auto d = defer(wait_for(inner, log));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "cancelled");
    EXPECT_EQ(log, "asked cancelled cancelled ");
  });
}

TEST(inline_callbacks, a_deferred_that_gives_a_value_all_the_same_lets_the_task_go_on) {
  on_loop([] {
    std::string log;
    auto get = [] { return deferred<int>{[](deferred<int>& d) { d.callback(5); }}; };
    const auto d = defer(wait_for(get, log));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "5");
    EXPECT_EQ(log, "value ");
  });
}

TEST(inline_callbacks, one_that_fails_otherwise_throws_that_into_the_task) {
  on_loop([] {
    std::string log;
    auto get = [] {
      return deferred<int>{[](deferred<int>& d) { d.errback(std::runtime_error{"own"}); }};
    };
    const auto d = defer(wait_for(get, log));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "own");
    EXPECT_EQ(log, "");
  });
}

TEST(inline_callbacks, a_task_may_absorb_the_cancel_and_give_a_value) {
  on_loop([] {
    const auto d = defer([]() -> task<int> {
      try {
        co_await defer(sleep_forever());
      } catch (const cancelled&) {
      }
      co_return 9;
    }());
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "9");
  });
}

TEST(inline_callbacks, the_operation_of_a_defer_has_ended_before_the_task_goes_on) {
  on_loop([] {
    bool cleaned = false;
    auto slow = [](bool& clean) -> task<int> {
      try {
        co_await sleep_forever();
      } catch (const cancelled&) {
        clean = true;
      }
      co_return 1;
    };
    std::string log;
    const auto d = defer(wait_for([&] { return defer(slow(cleaned)); }, log));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "1");
    EXPECT_TRUE(cleaned);
  });
}

TEST(inline_callbacks, a_deferred_that_the_task_only_names_is_left_alone) {
  on_loop([] {
    int asked = 0;
    const deferred<int> shared{[&](deferred<int>&) { ++asked; }};
    const auto d = defer([](const deferred<int>& s) -> task<int> { co_return co_await s; }(shared));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(d), "cancelled");
    EXPECT_EQ(asked, 0);
    shared.callback(1);
    EXPECT_EQ(await(shared), 1);
  });
}

TEST(inline_callbacks, a_limit_or_a_combinator_passes_its_cancel_on_too) {
  on_loop([] {
    int asked = 0;
    auto never = [&] { return deferred<int>{[&](deferred<int>&) { ++asked; }}; };
    EXPECT_THROW(await(fail_after(1s, never())), timeout_error);
    EXPECT_EQ(asked, 1);
    auto first = await(first_of(never(), sleep_for(1s)));
    EXPECT_EQ(first.index(), 1U);
    EXPECT_EQ(asked, 2);
    auto gives = deferred<int>{[](deferred<int>& d) { d.callback(4); }};
    EXPECT_EQ(await(fail_after(1s, std::move(gives))), 4) << "it happened after all";
  });
}

TEST(inline_callbacks, a_scope_that_was_cancelled_before_passes_its_cancel_on_too) {
  on_loop([] {
    int cancels = 0;
    deferred<int> d{[&cancels](deferred<int>&) { ++cancels; }};
    event set{true};
    for (int i = 0; i < 20; ++i) {
      (void)await(select(set.wait(), deferred<int>{d}));  // which may not even begin
    }
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
      s.cancel();
      EXPECT_THROW((void)await(d), cancelled);
      shielded([] { await(sleep_for(1s)); });
      EXPECT_EQ(cancels, 0) << "somebody else has it";
      EXPECT_THROW((void)await(deferred<int>{d}), cancelled);
      EXPECT_EQ(cancels, 1);
      deferred_lock lock;
      const mutex_guard held = lock.shared().try_lock();
      EXPECT_THROW((void)await(lock.acquire()), cancelled);
      EXPECT_EQ(lock.waiting(), 0u) << "the lock goes now";
      await(yield_now());
    }));
  });
}

TEST(inline_callbacks, an_await_of_a_deferred_that_was_cancelled_by_others_is_an_error) {
  on_loop([] {
    deferred<int> d;
    auto copy = d;
    const auto waits = defer(
        [](deferred<int> x) -> task<int> { co_return co_await std::move(x); }(std::move(copy)));
    await(sleep_for(1s));
    d.cancel();
    EXPECT_EQ(end_of(waits), "join 'deferred': Operation canceled");
  });
}

TEST(inline_callbacks, a_thread_that_waits_for_a_deferred_of_a_loop_that_ends_gets_away) {
  channel<deferred<int>> out{1};
  event go;
  int cancels = 0;
  std::thread home{[&] {
    run([&] {
      const deferred<int> d{[&](deferred<int>& self) {
        ++cancels;
        self.errback(cancelled{});
      }};
      await(out.send(d));
      await(go.wait());
      await(sleep_for(5ms));
    });
  }};
  auto d = *await(out.receive());
  go.set();
  // Whether it began to wait before the loop ended or not.
  EXPECT_THROW(await(fail_after(30ms, std::move(d))), error);
  home.join();
  EXPECT_EQ(cancels, 0);
}

TEST(inline_callbacks, a_cancelled_nursery_ends_a_task_that_waits_for_nothing_else) {
  int asked = 0;
  run_virtual([&] {
    with_nursery([&](nursery& n) {
      n.start([&]() -> task<> { co_await deferred<>{[&](deferred<>&) { ++asked; }}; });
      await(sleep_for(1s));
      n.cancel();
    });
  });
  EXPECT_EQ(asked, 1);
}

}  // namespace
}  // namespace oneloop
