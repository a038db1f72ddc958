#include "oneloop/deferred/deferred.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/deferred/deferred_test.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/thread/thread.hpp"

namespace oneloop {
namespace {

// ---- the chain ----

TEST(deferred, callbacks_run_in_order_each_with_what_the_last_returned) {
  deferred<int> d;
  std::string got;
  d.add_callback([](int v) { return v + 1; })
      .add_callback([](int v) { return std::to_string(v); })
      .add_callback([&](const std::string& s) { got = s; })
      .add_callback([&] { got += '.'; });
  EXPECT_FALSE(d.called());
  d.callback(1);
  EXPECT_TRUE(d.called());
  EXPECT_EQ(got, "2.");
}

TEST(deferred, added_to_one_that_has_fired_they_run_at_once) {
  int got = 0;
  auto d = succeed(3);
  d.add_callback([&](int v) { got = v; });
  EXPECT_EQ(got, 3);
}

TEST(deferred, an_exception_goes_to_the_next_errback_and_a_return_goes_back) {
  std::string log;
  succeed(1)
      .add_callback([&](int) -> int { throw std::runtime_error{"one"}; })
      .add_callback([&](int v) {
        log += "skipped";
        return v;
      })
      .add_errback([&](const failure& f) {
        log += f.what();
        return 5;
      })
      .add_errback([&](failure) {
        log += "skipped";
        return 0;
      })
      .add_callback([&](int v) { log += std::to_string(v); });
  EXPECT_EQ(log, "one5");
}

TEST(deferred, the_errback_of_a_pair_does_not_see_the_failure_of_its_own_callback) {
  std::string log;
  succeed(1)
      .add_callbacks([](int) -> int { throw std::runtime_error{"inner"}; },
                     [&](failure) {
                       log += "own";
                       return 0;
                     })
      .add_errback([&](const failure& f) { log += f.what(); });
  EXPECT_EQ(log, "inner");
}

TEST(deferred, an_errback_that_throws_or_returns_a_failure_stays_on_the_error_track) {
  std::string log;
  fail<int>(std::runtime_error{"a"})
      .add_errback([&](failure f) {
        log += f.what();
        return f;
      })
      .add_errback([&](const failure& f) -> int {
        log += f.what();
        throw std::logic_error{"b"};
      })
      .add_errback([&](const failure& f) { log += f.check<std::logic_error>() ? f.what() : "?"; });
  EXPECT_EQ(log, "aab");
}

TEST(deferred, both_sees_either) {
  auto say = [](std::expected<int, failure> r) { return r ? *r : -1; };
  int good = 0, bad = 0;
  succeed(7).add_both(say).add_callback([&](int v) { good = v; });
  fail<int>(std::runtime_error{"x"}).add_both(say).add_callback([&](int v) { bad = v; });
  EXPECT_EQ(good, 7);
  EXPECT_EQ(bad, -1);
  int ended = 0;
  succeed().add_both([&](std::expected<void, failure> r) { ended += r.has_value(); });
  EXPECT_EQ(ended, 1);
}

TEST(deferred, a_failure_can_be_checked_trapped_and_rethrown) {
  const failure f{std::make_exception_ptr(timeout_error{"read"})};
  EXPECT_TRUE(f.check<error>());
  EXPECT_FALSE(f.check<misuse>());
  EXPECT_NO_THROW(f.trap<timeout_error>());
  EXPECT_THROW(f.trap<misuse>(), timeout_error);
  EXPECT_EQ(f.what(), "read: timed out");
}

TEST(deferred, fired_twice_it_throws) {
  deferred<int> d;
  d.callback(1);
  EXPECT_THROW(d.callback(2), already_called);
  EXPECT_THROW(d.errback(std::runtime_error{"x"}), already_called);
  log_capture quiet;
}

TEST(deferred, callbacks_added_within_a_callback_come_after_it) {
  std::string order;
  deferred<> d;
  d.add_callback([&] {
     order += "a(";
     d.add_callback([&] { order += 'c'; });
     order += ')';
   }).add_callback([&] { order += 'b'; });
  d.callback();
  EXPECT_EQ(order, "a()bc");
}

TEST(deferred, adding_to_a_handle_whose_type_has_moved_on_is_refused) {
  deferred<int> d;
  auto s = d.add_callback([](int v) { return std::to_string(v); });
  EXPECT_THROW(d.add_callback([](int) {}), misuse);
  std::string got;
  s.add_callback([&](const std::string& v) { got = v; });
  EXPECT_THROW(s.callback("no"), misuse);
  d.callback(4);
  EXPECT_EQ(got, "4");
}

TEST(deferred, values_may_be_move_only) {
  int got = 0;
  deferred<std::unique_ptr<int>> d;
  d.add_callback([](std::unique_ptr<int> p) {
     ++*p;
     return p;
   }).add_callback([&](std::unique_ptr<int> p) { got = *p; });
  d.callback(std::make_unique<int>(1));
  EXPECT_EQ(got, 2);
}

// ---- chains that wait for chains ----

TEST(deferred, a_returned_deferred_pauses_the_chain) {
  deferred<int> outer;
  deferred<std::string> inner;
  std::string got;
  outer.add_callback([&](int) { return inner; }).add_callback([&](std::string s) { got = s; });
  outer.callback(1);
  EXPECT_EQ(got, "");
  inner.callback("inner");
  EXPECT_EQ(got, "inner");
}

TEST(deferred, a_returned_deferred_that_has_fired_is_used_at_once) {
  std::string got;
  succeed(1)
      .add_callback([](int) { return succeed(std::string{"now"}); })
      .add_callback([&](std::string s) { got = s; });
  EXPECT_EQ(got, "now");
}

TEST(deferred, the_failure_of_a_returned_deferred_goes_down_the_outer_chain) {
  log_capture log;
  {
    deferred<int> outer;
    deferred<> inner;
    std::string got;
    outer.add_callback([&](int) { return inner; }).add_errback([&](const failure& f) {
      got = f.what();
    });
    outer.callback(1);
    inner.errback(std::runtime_error{"inner"});
    EXPECT_EQ(got, "inner");
  }
  EXPECT_EQ(log.text(), "") << "consumed by the chain that took it";
}

TEST(deferred, a_returned_deferred_belongs_to_the_outer_chain) {
  deferred<int> outer;
  deferred<int> inner;
  int got = 0;
  outer.add_callback([&](int) { return inner; }).add_callback([&](int v) { got = v; });
  outer.callback(1);
  EXPECT_THROW(inner.add_callback([](int) {}), misuse);
  inner.callback(2);
  EXPECT_EQ(got, 2);
}

TEST(deferred, a_callback_that_returns_its_own_deferred_fails) {
  std::string got;
  deferred<int> d;
  d.add_callback([&](int) { return d; }).add_errback([&](const failure& f) { got = f.what(); });
  d.callback(1);
  EXPECT_NE(got.find("the deferred that it is a callback of"), got.npos) << got;
}

TEST(deferred, later_links_of_an_inner_chain_run_before_the_outer_goes_on) {
  std::string order;
  deferred<int> outer;
  deferred<int> inner;
  auto mapped = inner.add_callback([&](int v) {
    order += 'i';
    return v + 1;
  });
  outer.add_callback([&](int) { return mapped; }).add_callback([&](int v) {
    order += std::to_string(v);
  });
  outer.callback(0);
  inner.callback(1);
  EXPECT_EQ(order, "i2");
}

// ---- depth ----

TEST(deferred, a_hundred_thousand_links) {
  for (const bool before : {true, false}) {
    deferred<int> d;
    if (before) d.callback(0);
    for (int i = 0; i < 100'000; ++i) d.add_callback([](int v) { return v + 1; });
    if (!before) d.callback(0);
    int got = 0;
    d.add_callback([&](int v) { got = v; });
    EXPECT_EQ(got, 100'000);
  }
}

TEST(deferred, a_hundred_thousand_chains_each_waiting_for_the_next) {
  constexpr int depth = 100'000;
  std::vector<deferred<int>> all(depth);
  for (int i = 0; i + 1 < depth; ++i) {
    all[i].add_callback([next = all[i + 1]](int) { return next; });
  }
  for (int i = 0; i + 1 < depth; ++i) all[i].callback(0);
  int got = 0;
  all[0].add_callback([&](int v) { got = v; });
  auto last = all.back();
  all.clear();
  last.callback(5);
  EXPECT_EQ(got, 5);
}

TEST(deferred, a_hundred_thousand_chains_that_never_fire_die) {
  for (const bool waiting : {true, false}) {
    auto token = std::make_shared<int>(0);
    std::vector<deferred<int>> all(100'000);
    for (std::size_t i = 0; i + 1 < all.size(); ++i) {
      all[i].add_callback([next = all[i + 1], token](int) { return next; });
    }
    all.back().add_callback([token](int) {});
    if (waiting) {
      for (std::size_t i = 0; i + 1 < all.size(); ++i) all[i].callback(0);
    }
    EXPECT_GT(token.use_count(), 1);
    all.resize(1);  // in the first round the others can be fired by nobody any more: they die here
    all.clear();
    EXPECT_EQ(token.use_count(), 1);
  }
}

// ---- cancel ----

TEST(deferred, cancel_without_a_canceller_fires_it_and_one_late_callback_is_ignored) {
  deferred<int> d;
  bool was_cancelled = false;
  d.add_errback([&](const failure& f) { was_cancelled = f.check<cancelled>(); });
  d.cancel();
  EXPECT_TRUE(was_cancelled);
  d.cancel();
  EXPECT_NO_THROW(d.callback(1));
  EXPECT_THROW(d.callback(1), already_called);
}

TEST(deferred, a_canceller_may_fire_it_with_a_value) {
  int got = 0, calls = 0;
  deferred<int> d{[&](deferred<int>& self) {
    ++calls;
    self.callback(9);
  }};
  d.add_callback([&](int v) { got = v; });
  d.cancel();
  d.cancel();
  EXPECT_EQ(got, 9);
  EXPECT_EQ(calls, 1);
}

TEST(deferred, a_canceller_that_does_not_fire_it_leaves_that_to_cancel) {
  bool asked = false, was_cancelled = false;
  deferred<int> d{[&](deferred<int>&) { asked = true; }};
  d.add_errback([&](const failure& f) { was_cancelled = f.check<cancelled>(); });
  d.cancel();
  EXPECT_TRUE(asked && was_cancelled);
  EXPECT_THROW(d.callback(1), already_called) << "only without a canceller one is ignored";
}

TEST(deferred, what_a_canceller_throws_is_the_failure) {
  std::string got;
  deferred<int> d{[](deferred<int>&) { throw std::runtime_error{"no cancel"}; }};
  d.add_errback([&](const failure& f) { got = f.what(); });
  d.cancel();
  EXPECT_EQ(got, "no cancel");
}

TEST(deferred, cancel_goes_through_to_the_deferred_that_is_waited_for) {
  bool inner_asked = false, outer_failed = false;
  deferred<int> inner{[&](deferred<int>&) { inner_asked = true; }};
  deferred<int> middle, outer;
  outer.add_callback([&](int) { return middle; }).add_errback([&](failure) {
    outer_failed = true;
  });
  middle.add_callback([&](int) { return inner; });
  outer.callback(1);
  middle.callback(1);
  outer.cancel();
  EXPECT_TRUE(inner_asked);
  EXPECT_TRUE(outer_failed);
}

TEST(deferred, cancel_of_one_that_has_its_result_does_nothing) {
  auto d = succeed(1);
  d.cancel();
  int got = 0;
  d.add_callback([&](int v) { got = v; });
  EXPECT_EQ(got, 1);
}

// ---- failures that nobody handles ----

TEST(deferred, a_failure_left_at_the_end_is_reported_when_the_last_handle_goes) {
  log_capture log;
  {
    auto d = fail(std::runtime_error{"lost"});
    auto copy = d;
    EXPECT_EQ(log.text(), "");
  }
  EXPECT_TRUE(
      log.text().starts_with("Unhandled error in deferred: lost (fired at deferred_test.cpp:"))
      << log.text();
}

TEST(deferred, handled_and_cancelled_ones_are_not_reported) {
  log_capture log;
  fail(std::runtime_error{"handled"}).add_errback([](failure) {});
  deferred<int>{}.cancel();
  EXPECT_EQ(log.text(), "");
}

// ---- operations ----

TEST(defer, gives_the_result_of_an_operation_or_task) {
  run_virtual([] {
    with_nursery([](nursery&) {
      std::string order;
      channel<int> ch{1};
      defer(sleep_for(2s)).add_callback([&] { order += 's'; });
      defer([]() -> task<int> {
        co_await sleep_for(1s);
        co_return 4;
      }())
          .add_callback([&](int v) { order += std::to_string(v); });
      defer(ch.receive()).add_callback([&](std::optional<int> v) { order += std::to_string(*v); });
      await(ch.send(1));
      await(sleep_for(3s));
      EXPECT_EQ(order, "14s");
    });
  });
}

TEST(defer, callbacks_may_return_tasks_and_defers) {
  run_virtual([] {
    std::string got;
    const auto start = loop::current()->now();
    with_nursery([&](nursery&) {
      defer(sleep_for(1s))
          .add_callback([] { return defer(sleep_for(1s)); })
          .add_callback([]() -> task<std::string> {
            co_await sleep_for(1s);
            co_return "done";
          })
          .add_callback([&](const std::string& s) { got = s; });
    });
    EXPECT_EQ(got, "done") << "all of it belongs to the nursery";
    EXPECT_EQ(loop::current()->now() - start, 3s);
  });
}

TEST(defer, failures_go_down_the_chain_and_not_to_the_nursery) {
  run_virtual([] {
    std::string got;
    with_nursery([&](nursery&) {
      defer([]() -> task<> {
        co_await sleep_for(1s);
        throw std::runtime_error{"task"};
      }())
          .add_errback([&](const failure& f) { got = f.what(); });
    });
    EXPECT_EQ(got, "task");
  });
}

TEST(defer, cancel_cancels_the_operation_and_fires_when_that_has_ended) {
  run_virtual([] {
    with_nursery([&](nursery& n) {
      bool was_cancelled = false, cleaned_up = false;
      auto d = defer([](bool& clean) -> task<> {
        try {
          co_await sleep_forever();
        } catch (const cancelled&) {
          clean = true;
          throw;
        }
      }(cleaned_up));
      d.add_errback([&](const failure& f) { was_cancelled = f.check<cancelled>(); });
      await(yield_now());
      d.cancel();
      EXPECT_FALSE(was_cancelled) << "not before it has ended";
      await(sleep_for(1ms));
      EXPECT_TRUE(was_cancelled && cleaned_up);
      EXPECT_FALSE(n.scope().cancelled());
    });
  });
}

TEST(defer, its_nursery_cancels_it) {
  run_virtual([] {
    bool was_cancelled = false;
    with_nursery([&](nursery& n) {
      defer(sleep_forever()).add_errback([&](const failure& f) {
        was_cancelled = f.check<cancelled>();
      });
      n.cancel();
    });
    EXPECT_TRUE(was_cancelled);
  });
}

TEST(defer, without_a_nursery_the_loop_owns_it_and_run_ends_it) {
  bool was_cancelled = false;
  run_virtual([&] {
    defer(sleep_forever()).add_errback([&](const failure& f) {
      was_cancelled = f.check<cancelled>();
    });
  });
  EXPECT_TRUE(was_cancelled);
}

TEST(defer, dropping_the_handle_neither_cancels_nor_frees) {
  run_virtual([] {
    bool fired = false;
    with_nursery([&](nursery&) {
      static_cast<void>(defer(sleep_for(1s)).add_callback([&] { fired = true; }));
    });
    EXPECT_TRUE(fired);
  });
}

TEST(defer, in_a_plain_thread_there_is_no_loop) {
  EXPECT_THROW(defer(sleep_for(1s)), loop_not_running);
  std::string got;
  succeed().add_callback([]() -> task<> { co_return; }).add_errback([&](const failure& f) {
    got = f.check<loop_not_running>() ? "none" : "?";
  });
  EXPECT_EQ(got, "none");
}

TEST(defer, shows_in_a_dump) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      static_cast<void>(defer(sleep_forever()));
      const std::string dump = loop::current()->dump();
      EXPECT_NE(dump.find("deferred [callback] started at deferred_test.cpp:"), dump.npos) << dump;
      EXPECT_NE(dump.find("waits for sleep (forever)"), dump.npos) << dump;
      n.cancel();
    });
  });
}

TEST(defer, a_callback_cannot_block) {
  run_virtual([] {
    with_nursery([](nursery&) {
      std::string got;
      defer(sleep_for(1s))
          .add_callback([] { await(sleep_for(1s)); })
          .add_errback([&](const failure& f) { got = f.check<would_block_loop>() ? "no" : "?"; });
      await(sleep_for(3s));
      EXPECT_EQ(got, "no");
    });
  });
}

// ---- awaiting ----

TEST(deferred_await, from_a_coroutine_a_fiber_and_a_select) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      deferred<int> d;
      int sum = 0;
      n.start([&]() -> task<> { sum += co_await d; });
      n.start([&] { sum += await(d); });
      n.start([&]() -> task<> {
        auto [a, b] = co_await gather(d, sleep_for(1s));
        sum += a;
      });
      await(sleep_for(1s));
      d.callback(5);
      await(sleep_for(2s));
      EXPECT_EQ(sum, 15);
      int after = 0;
      d.add_callback([&](int v) { after = v; });
      EXPECT_EQ(after, 5) << "a value that can be copied stays";
    });
  });
}

TEST(deferred_await, takes_a_value_that_cannot_be_copied) {
  run_virtual([] {
    deferred<std::unique_ptr<int>> d;
    d.callback(std::make_unique<int>(3));
    EXPECT_EQ(*await(d), 3);
    EXPECT_THROW(await(d), misuse);
    EXPECT_THROW(d.add_callback([](std::unique_ptr<int>) {}), misuse);
  });
}

TEST(deferred_await, throws_the_failure_which_is_handled_then) {
  log_capture log;
  run_virtual([] {
    EXPECT_THROW(await(fail<int>(std::runtime_error{"x"})), std::runtime_error);
    deferred<int> d;
    d.cancel();
    EXPECT_THROW(await(d), cancelled_error);
  });
  EXPECT_EQ(log.text(), "");
}

TEST(deferred_await, cancelled_it_leaves_the_deferred_alone) {
  run_virtual([] {
    deferred<std::unique_ptr<int>> d;
    EXPECT_FALSE(await(move_on_after(1s, as_operation(d))).has_value());
    d.callback(std::make_unique<int>(3));
    EXPECT_EQ(*await(d), 3);
  });
}

TEST(deferred_await, from_another_loop_and_from_a_plain_thread) {
  channel<deferred<int>> out{2};
  event awaiting, over;
  std::thread home{[&] {
    run([&] {
      deferred<int> d;
      await(out.send(d));
      await(out.send(d));
      await(awaiting.wait());
      await(sleep_for(1ms));
      d.callback(11);
      await(over.wait());
    });
  }};
  auto d = *await(out.receive());
  EXPECT_THROW(d.add_callback([](int) {}), wrong_thread);
  std::thread other{[&] {
    run([&]() -> task<> {
      auto e = co_await out.receive();
      const int v = co_await *e;
      EXPECT_EQ(v, 11);
    });
  }};
  awaiting.set();
  EXPECT_EQ(await(d), 11);
  other.join();
  over.set();
  home.join();
  EXPECT_THROW(await(d), loop_not_running);
}

TEST(deferred_threads, callback_from_another_thread_runs_the_chain_on_its_loop) {
  run([] {
    with_nursery([](nursery& n) {
      deferred<int> d;
      std::thread::id where;
      auto h = spawn_thread(n, [&] { d.callback(3); });
      d.add_callback([&](int v) {
        where = std::this_thread::get_id();
        return v;
      });
      EXPECT_EQ(await(d), 3);
      await(h.join());
      EXPECT_EQ(where, std::this_thread::get_id());
      deferred<int> e;
      auto c = spawn_thread(n, [&] { e.cancel(); });
      EXPECT_THROW(await(e), cancelled_error);
      await(c.join());
    });
  });
}

TEST(defer, of_ready_operations_in_a_chain_of_callbacks_does_not_use_the_stack) {
  struct {
    event ready;
    int left = 100'000;
    void next() {
      if (left-- > 0) defer(ready.wait()).add_callback([this] { next(); });
    }
  } chain;
  chain.ready.set();
  run([&] { with_nursery([&](nursery&) { chain.next(); }); });  // on a fiber's stack
  EXPECT_EQ(chain.left, -1);
}

}  // namespace
}  // namespace oneloop
