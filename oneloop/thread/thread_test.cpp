#include "oneloop/thread/thread.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

// ---- waiting without a loop ----

TEST(thread, await_and_timeouts_work_without_a_loop) {
  const auto start = clock::now();
  await(sleep_for(5ms));
  EXPECT_GE(clock::now() - start, 5ms);
  EXPECT_FALSE(move_on_after(5ms, [] { await(sleep_forever()); }));
  EXPECT_THROW(await(fail_after(5ms, sleep_forever())), timeout_error);
  EXPECT_EQ(await(to_thread([] { return 3; })), 3);
}

TEST(thread, blocked_it_is_cancelled_by_a_foreign_thread) {
  cancel_handle handle;
  event ready;
  std::thread canceller{[&] {
    await(ready.wait());
    std::this_thread::sleep_for(2ms);
    handle.cancel();
  }};
  const bool done = with_scope(scope_options{}, [&](cancel_scope& s) {
    handle = s.handle();
    ready.set();
    await(sleep_forever());
  });
  EXPECT_FALSE(done);
  canceller.join();
}

// The second cancel comes while the first one is being thrown; under the thread sanitizer.
TEST(thread, nested_scopes_are_cancelled_one_after_the_other_by_another_thread) {
  for (int i = 0; i < 500; ++i) {
    cancel_handle outermost, innermost;
    event ready;
    std::thread canceller{[&] {
      await(ready.wait());
      outermost.cancel();
      innermost.cancel();
    }};
    bool absorbed_inside = false;
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& outer) {
      absorbed_inside = !with_scope(scope_options{}, [&](cancel_scope& inner) {
        outermost = outer.handle();
        innermost = inner.handle();
        ready.set();
        await(sleep_forever());
      });
    }));
    EXPECT_FALSE(absorbed_inside);
    canceller.join();
  }
}

TEST(thread, cancel_races_completion_and_loses_nothing) {
  for (int i = 0; i < 500; ++i) {
    channel<int> ch{0};
    cancel_handle handle;
    event ready;
    bool sent = false;
    std::thread sender{[&] {
      await(ready.wait());
      try {
        await(ch.send(i));
        sent = true;
      } catch (const closed_error&) {
      }
    }};
    std::thread canceller{[&] {
      await(ready.wait());
      handle.cancel();
    }};
    int got = -1;
    (void)with_scope(scope_options{}, [&](cancel_scope& s) {
      handle = s.handle();
      ready.set();
      got = await(ch.receive()).value();
    });
    if (got < 0) ch.close();
    canceller.join();
    sender.join();
    EXPECT_EQ(got, sent ? i : -1);
  }
}

// ---- nurseries of threads ----

TEST(thread_nursery, children_are_threads_and_are_joined) {
  std::atomic<int> sum{0};
  std::vector<std::thread::id> ids(3);
  with_nursery([&](nursery& n) {
    for (int i = 0; i < 3; ++i) {
      n.start(
          [&](int k) {
            ids[static_cast<std::size_t>(k)] = std::this_thread::get_id();
            await(sleep_for(1ms));
            sum += k;
          },
          i);
    }
  });
  EXPECT_EQ(sum, 3);
  for (const auto& id : ids) EXPECT_NE(id, std::this_thread::get_id());
}

TEST(thread_nursery, a_failure_cancels_the_blocked_siblings) {
  std::atomic<int> cancelled_ones{0};
  auto body = [&] {
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 3; ++i) {
        n.start([&] {
          try {
            await(sleep_forever());
          } catch (const cancelled&) {
            ++cancelled_ones;
            throw;
          }
        });
      }
      n.start([] { throw std::runtime_error{"boom"}; });
    });
  };
  EXPECT_THROW(body(), std::runtime_error);
  EXPECT_EQ(cancelled_ones, 3);
}

TEST(thread_nursery, cancelled_from_a_foreign_thread_with_its_children) {
  cancel_handle handle;
  event ready;
  std::thread canceller{[&] {
    await(ready.wait());
    handle.cancel();
  }};
  std::atomic<int> ended{0};
  with_nursery([&](nursery& n) {
    handle = n.scope().handle();
    for (int i = 0; i < 4; ++i) {
      n.start([&] {
        try {
          await(sleep_forever());
        } catch (const cancelled&) {
          ++ended;
          throw;
        }
      });
    }
    ready.set();
    await(sleep_forever());
  });
  EXPECT_EQ(ended, 4);
  canceller.join();
}

TEST(thread_nursery, nested_nurseries_and_joins) {
  int sum = 0;
  with_nursery([&](nursery& n) {
    auto h = spawn(n, [] {
      int inner = 0;
      with_nursery([&](nursery& m) { inner = await(spawn(m, [] { return 20; }).join()); });
      return inner + 1;
    });
    sum = await(h.join());
    auto endless = spawn(n, [] { await(sleep_forever()); });
    endless.cancel();
    EXPECT_THROW(await(endless.join()), cancelled_error);
    auto failing = spawn(n, [] { throw std::runtime_error{"x"}; });
    EXPECT_THROW(await(failing.join()), std::runtime_error);
  });
  EXPECT_EQ(sum, 21);
}

TEST(thread_nursery, many_short_threads) {
  std::atomic<int> n_run{0};
  for (int round = 0; round < 20; ++round) {
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 10; ++i) n.start([&] { ++n_run; });
      if (round % 3 == 0) n.cancel();
    });
  }
  EXPECT_EQ(n_run, 200);
}

TEST(thread_nursery, threads_under_a_nursery_of_a_loop) {
  run([] {
    mutex m;
    int counter = 0;
    with_nursery([&](nursery& n) {
      std::vector<joinable<int>> all;
      for (int i = 0; i < 3; ++i) {
        all.push_back(spawn_thread(n, named{"worker", [&m, &counter, i] {
                                              for (int k = 0; k < 100; ++k) {
                                                const auto held = await(m.lock());
                                                ++counter;
                                              }
                                              return i;
                                            }}));
      }
      int sum = 0;
      for (auto& h : all) sum += await(h.join());
      EXPECT_EQ(sum, 3);
    });
    EXPECT_EQ(counter, 300);
    EXPECT_FALSE(move_on_after(2ms, [] {
      with_nursery([](nursery& n) { (void)spawn_thread(n, [] { await(sleep_forever()); }); });
    }));
    auto failing = [] {
      with_nursery([](nursery& n) {
        (void)spawn_thread(n, [] { throw std::runtime_error{"thread"}; });
        await(sleep_forever());
      });
    };
    EXPECT_THROW(failing(), std::runtime_error);
  });
}

// ---- from a thread into a loop ----

struct driven_loop {
  driven_loop() {
    l.expect_driver();
    thread = std::thread{[this] { run(l, [this] { await(stop.wait()); }); }};
  }
  ~driven_loop() {
    stop.set();
    thread.join();
  }
  loop l;
  event stop;
  std::thread thread;
};

TEST(call_on, runs_functions_and_tasks_on_the_loop) {
  driven_loop d;
  EXPECT_EQ(call_on(d.l, [] { return std::this_thread::get_id(); }), d.thread.get_id());
  EXPECT_EQ(call_on(
                d.l,
                [](int a) -> task<int> {
                  co_await sleep_for(1ms);
                  co_return a + 1;
                },
                1),
            2);
  auto t = [](int a) -> task<int> { co_return a; };
  EXPECT_EQ(await_on(d.l, t(5)), 5);
  EXPECT_EQ(*call_on(d.l, [] { return std::make_unique<int>(6); }), 6);
  EXPECT_THROW(call_on(d.l, [] { throw std::runtime_error{"x"}; }), std::runtime_error);
}

TEST(call_on, a_loop_that_nobody_drives_is_refused_instead_of_waited_for) {
  loop idle;
  EXPECT_THROW(call_on(idle, [] {}), loop_not_running);
}

TEST(call_on, cancels_the_call_and_waits_for_its_end) {
  driven_loop d;
  bool cleaned_up = false;
  const bool done = move_on_after(5ms, [&] {
    call_on(d.l, [&] {
      try {
        await(sleep_forever());
      } catch (const cancelled&) {
        shielded([] { await(sleep_for(2ms)); });
        cleaned_up = true;
        throw;
      }
    });
  });
  EXPECT_FALSE(done);
  EXPECT_TRUE(cleaned_up);
}

TEST(call_on, a_closed_loop_refuses_and_a_coroutine_may_not_call) {
  loop closed;
  closed.close();
  EXPECT_THROW(call_on(closed, [] {}), loop_not_running);
  driven_loop d;
  run([&]() -> task<> {
    EXPECT_THROW(call_on(d.l, [] {}), would_block_loop);
    co_return;
  });
  run([&] { EXPECT_EQ(call_on(d.l, [] { return 1; }), 1); });
}

TEST(call_on, from_the_pool_back_into_the_loop) {
  run([] {
    loop& home = *loop::current();
    EXPECT_EQ(await(to_thread([&] { return call_on(home, [] { return 4; }) + 1; })), 5);
  });
}

// ---- runtime ----

TEST(runtime_test, spawns_on_its_loops_and_stops) {
  runtime rt{2, runtime_options{}.name("test")};
  ASSERT_EQ(rt.size(), 2u);
  auto a = rt.spawn(0, [] { return std::this_thread::get_id(); });
  auto b = rt.spawn(1, []() -> task<std::thread::id> { co_return std::this_thread::get_id(); });
  EXPECT_NE(await(a.join()), await(b.join()));
  char name[16] = {};
  EXPECT_EQ(call_on(rt.loop(1),
                    [&] {
                      ::pthread_getname_np(::pthread_self(), name, sizeof name);
                      return std::string{name};
                    }),
            "test-1");
  EXPECT_THROW((void)rt.loop(2), misuse);
  rt.stop();
  EXPECT_THROW((void)rt.spawn(0, [] {}), loop_not_running);
}

TEST(runtime_test, stop_cancels_what_runs_and_waits_for_it) {
  runtime rt{2};
  std::atomic<int> cleaned_up{0};
  event running;
  for (std::size_t i = 0; i < 2; ++i) {
    (void)rt.spawn(i, [&, i] {
      try {
        if (i == 1) running.set();
        await(sleep_forever());
      } catch (const cancelled&) {
        shielded([] { await(sleep_for(2ms)); });
        ++cleaned_up;
        throw;
      }
    });
  }
  await(running.wait());
  rt.stop();
  EXPECT_EQ(cleaned_up, 2);
}

TEST(runtime_test, while_stopping_one_loop_may_need_another) {
  runtime rt{2};
  std::atomic<int> steps{0};
  event running;
  (void)rt.spawn(0, [&] {
    try {
      running.set();
      await(sleep_forever());
    } catch (const cancelled&) {
      shielded([&] {
        await(sleep_for(5ms));  // the other loop has nothing of its own any more
        with_nursery([&](nursery& n) { n.start_on(rt.loop(1), [&] { ++steps; }); });
        ++steps;
      });
      throw;
    }
  });
  await(running.wait());
  rt.stop();
  EXPECT_EQ(steps, 2);
}

TEST(runtime_test, a_failure_stops_it_and_join_throws_it) {
  runtime rt{2};
  (void)rt.spawn(1, [] { await(sleep_forever()); });
  (void)rt.spawn(0, [] {
    await(sleep_for(1ms));
    throw std::runtime_error{"lost"};
  });
  EXPECT_THROW(rt.join(), std::runtime_error);
  EXPECT_NO_THROW(rt.join());
}

TEST(runtime_test, destroyed_at_once_or_full_of_work) {
  for (int i = 0; i < 20; ++i) {
    runtime rt{2};
    for (std::size_t k = 0; k < 10 && i % 2 == 1; ++k) {
      (void)rt.spawn(k % 2, [] { await(sleep_forever()); });
    }
  }
}

TEST(runtime_test, messages_between_its_loops) {
  runtime rt{2};
  channel<int> ch{4};
  auto sum = rt.spawn(0, [&]() -> task<long> {
    long s = 0;
    while (auto v = co_await ch.receive()) s += *v;
    co_return s;
  });
  auto send = rt.spawn(1, [&] {
    for (int i = 1; i <= 10'000; ++i) await(ch.send(i));
    ch.close();
  });
  EXPECT_EQ(await(sum.join()), 50'005'000);
  await(send.join());
}

TEST(runtime_test, an_unknown_backend_is_refused) {
  EXPECT_THROW((runtime{2, runtime_options{}.backend("none")}), error);
  EXPECT_THROW(runtime{0}, misuse);
}

// ---- one waiter of each kind, cancelled by another thread ----

TEST(cancel_from_a_foreign_thread, reaches_a_thread_a_fiber_and_a_coroutine) {
  for (int kind = 0; kind < 3; ++kind) {
    channel<cancel_handle> handles{1};
    std::thread canceller{[&] {
      auto h = await(handles.receive());
      std::this_thread::sleep_for(1ms);
      h->cancel();
    }};
    auto blocking = [&] {
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
        await(handles.send(s.handle()));
        await(sleep_forever());
      }));
    };
    auto coroutine = [&]() -> task<> {
      const bool done = co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
        co_await handles.send(s.handle());
        co_await sleep_forever();
      });
      EXPECT_FALSE(done);
    };
    if (kind == 0) blocking();
    if (kind == 1) run(blocking);
    if (kind == 2) run(coroutine);
    canceller.join();
  }
}

}  // namespace
}  // namespace oneloop
