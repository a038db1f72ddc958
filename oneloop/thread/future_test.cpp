#include "oneloop/thread/future.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

std::exception_ptr boom() { return std::make_exception_ptr(std::runtime_error{"boom"}); }

/// Collects what is logged while it lives.
struct captured_log {
  captured_log() {
    text.clear();
    before =
        set_log_hook([](severity, std::string_view line) noexcept { text.append(line) += '\n'; });
  }
  ~captured_log() { set_log_hook(before); }
  static inline std::string text;
  log_hook before;
};

// ---- one ----

TEST(future, goes_from_pending_to_running_to_done) {
  promise<int> p;
  const future<int> f = p.get_future();
  EXPECT_FALSE(f.done() || f.running() || f.cancelled());
  EXPECT_TRUE(p.set_running_or_notify_cancel());
  EXPECT_TRUE(f.running());
  EXPECT_FALSE(f.cancel());
  p.set_value(3);
  EXPECT_TRUE(f.done());
  EXPECT_FALSE(f.running());
  EXPECT_FALSE(f.cancel());
  EXPECT_EQ(f.result(), 3);
  EXPECT_EQ(f.result(0s), 3);  // each asking gives a copy
  EXPECT_EQ(f.exception(), nullptr);
}

TEST(future, of_references_nothing_and_what_only_moves) {
  int n = 0;
  promise<int&> r;
  r.set_value(n);
  EXPECT_EQ(&r.get_future().result(), &n);
  promise<> v;
  v.set_value();
  v.get_future().result();
  promise<std::unique_ptr<int>> u;
  u.set_value(std::make_unique<int>(4));
  const auto f = u.get_future();
  EXPECT_EQ(*f.result(), 4);
  EXPECT_THROW((void)f.result(), misuse);
}

TEST(future, gives_the_failure_every_time) {
  promise<int> p;
  const auto f = p.get_future();
  p.set_exception(boom());
  EXPECT_THROW(f.result(), std::runtime_error);
  EXPECT_THROW(f.result(), std::runtime_error);
  EXPECT_EQ(describe(f.exception()), "boom");
}

TEST(future, waiting_for_it_has_a_timeout) {
  promise<int> p;
  EXPECT_THROW(p.get_future().result(1ms), timeout_error);
  EXPECT_THROW((void)p.get_future().exception(1ms), timeout_error);
  EXPECT_THROW(p.get_future().result(0s), timeout_error);
  p.set_value(1);
}

TEST(future, cancel_only_while_pending) {
  promise<int> p;
  const auto f = p.get_future();
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(f.cancel());
  EXPECT_TRUE(f.cancelled());
  EXPECT_TRUE(f.done());
  EXPECT_THROW(f.result(), cancelled_error);
  EXPECT_THROW((void)f.exception(), cancelled_error);
  EXPECT_FALSE(p.set_running_or_notify_cancel());
  EXPECT_THROW(p.set_value(1), invalid_state);
}

TEST(future, a_second_result_is_refused) {
  promise<int> p;
  p.set_value(1);
  EXPECT_THROW(p.set_value(2), invalid_state);
  EXPECT_THROW(p.set_exception(boom()), invalid_state);
  EXPECT_THROW((void)p.set_running_or_notify_cancel(), invalid_state);
  EXPECT_EQ(p.get_future().result(), 1);
  const future<int> none;
  EXPECT_THROW((void)none.done(), misuse);
}

TEST(future, a_promise_that_dies_is_broken) {
  future<int> f;
  {
    const promise<int> p{"answer"};
    f = p.get_future();
  }
  try {
    f.result();
    FAIL();
  } catch (const broken_promise& e) {
    EXPECT_STREQ(e.what(), "answer: its promise died without a result");
  }
}

TEST(future, a_failure_that_nobody_asked_for_is_logged) {
  const captured_log log;
  {
    promise<> p{"load"};
    p.set_exception(boom());
  }
  EXPECT_EQ(log.text, "load: a failure that nobody asked for: boom\n");
  {
    promise<> p;
    p.set_exception(boom());
    (void)p.get_future().exception();
  }
  EXPECT_EQ(log.text, "load: a failure that nobody asked for: boom\n");
}

// ---- callbacks ----

TEST(future_callbacks, run_in_the_completing_thread_in_order) {
  promise<int> p;
  const auto f = p.get_future();
  std::vector<int> order;
  std::thread::id where;
  f.add_done_callback([&](const future<int>& done) { order.push_back(done.result()); });
  f.add_done_callback([&](const auto&) {
    order.push_back(2);
    where = std::this_thread::get_id();
  });
  std::thread::id completing;
  std::thread{[&] {
    completing = std::this_thread::get_id();
    p.set_value(1);
  }}.join();
  EXPECT_EQ(where, completing);
  f.add_done_callback([&](const auto&) { order.push_back(3); });  // at once
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST(future, a_promise_that_dies_after_its_futures_is_no_error) {
  const captured_log log;
  {
    promise<int> p{"load"};
    (void)p.get_future();
  }
  {
    promise<int> p{"load"};
    bool heard = false;
    p.get_future().add_done_callback([&heard](const future<int>& f) { heard = f.done(); });
    p = promise<int>{};
    EXPECT_TRUE(heard);
  }
  EXPECT_EQ(log.text, "");
  {
    promise<int> p{"load"};
    const future<int> f = p.get_future();
    p = promise<int>{};
    EXPECT_TRUE(f.done());
  }
  EXPECT_EQ(log.text,
            "load: a failure that nobody asked for: load: its promise died without a result\n");
}

TEST(future_callbacks, what_one_throws_is_logged_and_the_others_run) {
  const captured_log log;
  promise<> p;
  bool ran = false;
  p.get_future().add_done_callback([](const auto&) { throw std::runtime_error{"bad callback"}; });
  p.get_future().add_done_callback([&](const auto&) { ran = true; });
  p.set_value();
  EXPECT_TRUE(ran);
  EXPECT_EQ(log.text, "a done callback failed: bad callback\n");
}

TEST(future_callbacks, run_when_it_is_cancelled_or_its_promise_dies) {
  int calls = 0;
  {
    const promise<> a, b;
    a.get_future().add_done_callback([&](const auto& f) { calls += f.cancelled() ? 1 : 100; });
    b.get_future().add_done_callback([&](const auto& f) { calls += f.exception() ? 10 : 100; });
    a.get_future().cancel();
    EXPECT_EQ(calls, 1);
  }
  EXPECT_EQ(calls, 11);
}

TEST(future_callbacks, one_may_add_another_and_drop_the_last_handle) {
  int calls = 0;
  {
    promise<> p;
    auto f = std::make_unique<future<>>(p.get_future());
    f->add_done_callback([&](const future<>& done) {
      ++calls;
      f.reset();
      done.add_done_callback([&](const auto&) { ++calls; });
    });
    p.set_value();
  }
  EXPECT_EQ(calls, 2);
}

// ---- every waiter ----

TEST(future_waiters, coroutine_fiber_and_thread_wait_for_one) {
  promise<std::string> p;
  const auto f = p.get_future();
  std::atomic<int> got{0};
  std::vector<std::jthread> threads;
  threads.emplace_back([&] { got += f.result() == "x"; });
  threads.emplace_back([&] { got += await(f) == "x"; });
  threads.emplace_back([&] { run([&] { got += f.result() == "x"; }); });
  threads.emplace_back([&] {
    run([&]() -> task<> {
      const auto text = co_await f;
      got += text == "x";
      co_await f.finished();
      EXPECT_THROW((void)f.exception(1s), would_block_loop);
    });
  });
  p.set_value("x");
  threads.clear();
  EXPECT_EQ(got, 4);
}

TEST(future_waiters, select_takes_it_and_a_loser_leaves_it_alone) {
  promise<int> p, never_given;
  const auto f = p.get_future();
  auto r = await(select(f.get(), sleep_for(1ms)));
  EXPECT_EQ(r.index(), 1u);
  p.set_value(5);
  auto s = await(select(never_given.get_future().get(), f.get()));
  EXPECT_EQ(s.get<1>(), 5);
  EXPECT_FALSE(never_given.get_future().done());
  EXPECT_FALSE(move_on_after(1ms, [&] { await(never_given.get_future()); }));
  EXPECT_TRUE(never_given.get_future().cancel());
}

TEST(future_waiters, cancel_start_and_result_race) {
  for (int i = 0; i < 300; ++i) {
    promise<int> p;
    const auto f = p.get_future();
    std::atomic<bool> go{false};
    int called = 0;
    f.add_done_callback([&](const auto&) { ++called; });
    std::thread worker{[&] {
      while (!go) std::this_thread::yield();
      if (p.set_running_or_notify_cancel()) p.set_value(i);
    }};
    go = true;
    const bool cancelled = f.cancel();
    worker.join();
    EXPECT_EQ(called, 1);
    EXPECT_EQ(f.cancelled(), cancelled);
    if (!cancelled) {
      EXPECT_EQ(f.result(), i);
    }
  }
}

// ---- several ----

struct three {
  three() {
    for (auto& p : promises) futures.push_back(p.get_future());
  }
  std::vector<promise<int>> promises = std::vector<promise<int>>(3);
  std::vector<future<int>> futures;
};

TEST(future_wait, for_all_for_the_first_and_for_the_first_failure) {
  three t;
  t.promises[1].set_value(1);
  auto r = wait(t.futures, first_completed);
  EXPECT_EQ(r.done, std::vector{t.futures[1]});
  EXPECT_EQ(r.not_done, (std::vector{t.futures[0], t.futures[2]}));
  r = wait(t.futures, 1ms);
  EXPECT_EQ(r.done.size(), 1u);
  r = wait(t.futures, 1ms, first_exception);
  EXPECT_EQ(r.not_done.size(), 2u);
  t.futures[0].cancel();  // no failure
  EXPECT_EQ(wait(t.futures, 1ms, first_exception).done.size(), 2u);
  std::jthread later{[&] { t.promises[2].set_exception(boom()); }};
  EXPECT_EQ(wait(t.futures, first_exception).done.size(), 3u);
  EXPECT_EQ(wait(t.futures).done.size(), 3u);
  EXPECT_EQ(wait(t.futures[0], t.futures[0], t.futures[1]).done.size(), 2u);
  EXPECT_TRUE(wait(std::vector<future<int>>{}).done.empty());
  (void)t.futures[2].exception();
}

TEST(future_wait, until_is_for_coroutines) {
  three t;
  std::jthread later{[&] {
    for (auto& p : t.promises) p.set_value(1);
  }};
  run([&]() -> task<> { co_await until(t.futures); });
  for (const auto& f : t.futures) EXPECT_TRUE(f.done());
}

TEST(future_as_completed, finished_ones_first_each_once) {
  three t;
  t.promises[2].set_value(2);
  std::vector<int> order;
  t.futures.push_back(t.futures[0]);
  std::thread later;
  for (const future<int>& f : as_completed{t.futures}) {
    order.push_back(f.result());
    if (order.size() == 1) {
      later = std::thread{[&] {
        t.promises[1].set_value(1);
        t.promises[0].set_value(0);
      }};
    }
  }
  later.join();
  EXPECT_EQ(order, (std::vector{2, 1, 0}));
}

TEST(future_as_completed, in_fibers_and_coroutines_left_early_and_timed_out) {
  run([] {
    three t;
    t.promises[0].set_value(4);
    for (const auto& f : as_completed(t.futures[0], t.futures[1])) {
      EXPECT_EQ(f.result(), 4);
      break;
    }
    auto slow = [&] {
      for (const auto& f : as_completed{t.futures, 1ms}) EXPECT_EQ(f.result(), 4);
    };
    EXPECT_THROW(slow(), timeout_error);
    for (int i : {1, 2}) t.promises[static_cast<std::size_t>(i)].set_value(i);
    auto sum = [&]() -> task<int> {
      as_completed done{t.futures};
      int s = 0;
      while (true) {
        auto f = co_await done.next();
        if (!f) break;
        const int x = co_await *f;
        s += x;
      }
      co_return s;
    };
    EXPECT_EQ(await(sum()), 7);
  });
}

}  // namespace
}  // namespace oneloop
