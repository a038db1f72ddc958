#include "oneloop/fiber/spawn.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/fiber_test.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/thread/thread.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::run_virtual;

task<int> add_later(int a, int b) {
  co_await sleep_for(1s);
  co_return a + b;
}
int add_later_fiber(int a, int b) {
  await(sleep_for(1s));
  return a + b;
}
void child_fails_later() {
  await(sleep_for(1s));
  throw std::runtime_error{"child"};
}

TEST(spawn, join_gives_the_result_of_a_coroutine_and_of_a_fiber) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      auto a = spawn(n, add_later, 1, 2);
      auto b = spawn(n, add_later_fiber, 3, 4);
      EXPECT_FALSE(a.finished());
      EXPECT_EQ(await(a.join()) + await(b.join()), 10);
      EXPECT_TRUE(a.finished());
      EXPECT_EQ(await(a.join()), 3) << "joined again";
    });
  });
}

TEST(spawn, several_join_at_once_and_select_takes_a_join) {
  loop l{"virtual"};
  run(l, []() -> task<> {
    co_await with_nursery([](nursery& n) -> task<> {
      auto h = spawn(n, named{"adder", add_later}, 1, 2);
      EXPECT_STREQ(h.name(), "adder");
      auto [x, y] = co_await gather(h, h.join());
      EXPECT_EQ(x + y, 6);
      auto slow = spawn(n, add_later, 1, 2);
      auto early = co_await move_on_after(1ms, slow.join());
      EXPECT_FALSE(early.has_value());
      EXPECT_EQ(co_await slow, 3) << "a join that was cancelled leaves the child alone";
    });
  });
}

TEST(spawn, results_may_be_void_references_and_move_only) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      int x = 0;
      auto v = spawn(n, [] {});
      auto r = spawn(n, [&]() -> int& { return x; });
      auto m = spawn(n, [] { return std::make_unique<int>(7); });
      await(v.join());
      EXPECT_EQ(&await(r.join()), &x);
      EXPECT_EQ(*await(m.join()), 7);
      EXPECT_THROW(await(m.join()), misuse);
      EXPECT_THROW((void)joinable<int>{}.join(), misuse);
    });
  });
}

TEST(spawn, a_failure_that_is_joined_is_the_joiners_alone) {
  run_virtual([] {
    bool sibling_ended = false;
    with_nursery([&](nursery& n) {
      auto h = spawn(n, child_fails_later);
      n.start([&] {
        await(sleep_for(10s));
        sibling_ended = true;
      });
      EXPECT_THROW(await(h.join()), std::runtime_error);
      EXPECT_THROW(await(h.join()), std::runtime_error);
    });
    EXPECT_TRUE(sibling_ended);
  });
}

TEST(spawn, a_failure_may_be_joined_late) {
  run_virtual([] {
    with_nursery([&](nursery& n) {
      auto h = spawn(n, child_fails_later);
      await(sleep_for(10s));
      EXPECT_THROW(await(h.join()), std::runtime_error);
    });
  });
}

TEST(spawn, a_failure_without_a_handle_is_the_nurserys_at_once) {
  run_virtual([] {
    const auto start = loop::current()->now();
    auto body = [&] {
      with_nursery([&](nursery& n) {
        (void)spawn(n, child_fails_later);
        await(sleep_for(10s));
      });
    };
    EXPECT_THROW(body(), std::runtime_error);
    EXPECT_EQ(loop::current()->now() - start, 1s);
  });
}

TEST(spawn, a_failure_whose_last_handle_goes_unasked_is_the_nurserys_then) {
  run_virtual([] {
    const auto start = loop::current()->now();
    auto body = [&] {
      with_nursery([&](nursery& n) {
        {
          auto h = spawn(n, child_fails_later);
          auto copy = h;
          await(sleep_for(2s));
        }
        await(sleep_for(10s));
      });
    };
    EXPECT_THROW(body(), std::runtime_error);
    EXPECT_EQ(loop::current()->now() - start, 2s);
  });
}

TEST(spawn, a_failure_that_nobody_asked_for_is_the_nurserys_when_it_closes) {
  run_virtual([] {
    joinable<> h;
    EXPECT_THROW(with_nursery([&](nursery& n) { h = spawn(n, child_fails_later); }),
                 std::runtime_error);
    EXPECT_THROW(await(h.join()), std::runtime_error) << "and joiners still see it";
  });
}

TEST(spawn, cancel_ends_one_child_alone) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      auto h = spawn(n, [] { await(sleep_forever()); });
      auto c = spawn(n, []() -> task<> { co_await sleep_forever(); });
      await(yield_now());
      h.cancel();
      EXPECT_THROW(await(h.join()), cancelled_error);
      c.cancel();
      EXPECT_THROW(await(c.join()), cancelled_error);
      EXPECT_FALSE(n.scope().cancelled());
      h.cancel();
    });
  });
}

TEST(spawn, cancelled_before_it_ran_it_ends_at_its_first_checkpoint) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      bool started = false;
      auto h = spawn(n, [&] {
        started = true;
        await(sleep_forever());
      });
      h.cancel();
      EXPECT_THROW(await(h.join()), cancelled_error);
      EXPECT_TRUE(started);
    });
  });
}

TEST(spawn, a_child_that_finishes_in_spite_of_cancel_has_a_result) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      auto h = spawn(n, [] {
        try {
          await(sleep_forever());
        } catch (const cancelled&) {
        }
        return 5;
      });
      await(yield_now());
      h.cancel();
      EXPECT_EQ(await(h.join()), 5);
    });
  });
}

TEST(spawn, joined_and_cancelled_from_a_plain_thread) {
  std::atomic<int> got{0};
  channel<joinable<int>> handles{1};
  event over;
  std::thread t{[&] {
    auto first = await(handles.receive());
    got += await(first->join());
    auto second = await(handles.receive());
    second->cancel();
    EXPECT_THROW(await(second->join()), cancelled_error);
    over.set();
  }};
  run([&] {
    with_nursery([&](nursery& n) {
      await(handles.send(spawn(n, [] {
        await(sleep_for(5ms));
        return 3;
      })));
      await(handles.send(spawn(n, [] {
        await(sleep_forever());
        return 0;
      })));
      await(over.wait());
    });
  });
  t.join();
  EXPECT_EQ(got, 3);
}

// ---- spawn_on ----

TEST(spawn_on, from_a_plain_thread_before_and_while_somebody_runs_the_loop) {
  loop l;
  event stop;
  auto early = spawn_on(l, [] { return 1; });
  std::thread driver{[&] { run(l, [&] { await(stop.wait()); }); }};
  EXPECT_EQ(await(early.join()), 1);
  auto task_child = spawn_on(l, []() -> task<int> {
    co_await sleep_for(1ms);
    co_return 2;
  });
  EXPECT_EQ(await(task_child.join()), 2);
  auto failing = spawn_on(l, [] { throw std::runtime_error{"x"}; });
  EXPECT_THROW(await(failing.join()), std::runtime_error);
  auto cancelled_one = spawn_on(l, [] { await(sleep_forever()); });
  cancelled_one.cancel();
  EXPECT_THROW(await(cancelled_one.join()), cancelled_error);
  auto endless = spawn_on(l, [] { await(sleep_forever()); });
  stop.set();
  EXPECT_THROW(await(endless.join()), cancelled_error) << "the end of the run cancels it";
  driver.join();
}

TEST(spawn_on, a_loop_that_dies_before_it_ran_tells_who_joins) {
  auto l = std::make_unique<loop>();
  auto token = std::make_shared<int>(0);
  auto h = spawn_on(*l, [token] {});
  event joining;
  std::thread t{[&] {
    joining.set();
    EXPECT_THROW(await(h.join()), loop_not_running);
  }};
  await(joining.wait());
  l.reset();
  t.join();
  EXPECT_EQ(token.use_count(), 1);
}

TEST(spawn_on, a_closed_loop_refuses) {
  loop l;
  l.close();
  EXPECT_THROW((void)spawn_on(l, [] {}), loop_not_running);
  EXPECT_THROW(run(l, [] {}), loop_not_running);
}

TEST(spawn_on, without_a_handle_the_failure_ends_the_run) {
  loop l;
  (void)spawn_on(l, [] { throw std::runtime_error{"nobody joins"}; });
  EXPECT_THROW(run(l, [] { await(sleep_forever()); }), std::runtime_error);
}

TEST(spawn_on, two_loops_call_each_other) {
  loop a, b;
  event stop;
  std::thread tb{[&] { run(b, [&] { await(stop.wait()); }); }};
  run(a, [&] {
    auto h = spawn_on(b, [&a]() -> task<int> {
      auto back = spawn_on(a, []() -> task<int> { co_return 20; });
      co_return co_await back.join() + 1;
    });
    EXPECT_EQ(await(h.join()), 21);
  });
  stop.set();
  tb.join();
}

// ---- nurseries that reach over loops ----

struct second_loop {
  second_loop() : thread{[this] { run(l, [this] { await(stop.wait()); }); }} {}
  ~second_loop() { end(); }
  void end() {
    stop.set();
    if (thread.joinable()) thread.join();
  }
  loop l;
  event stop;
  std::thread thread;
};

TEST(start_on, runs_there_and_is_waited_for_here) {
  second_loop other;
  std::thread::id where;
  int sum = 0;
  run([&] {
    with_nursery([&](nursery& n) {
      n.start_on(other.l, [&] {
        where = std::this_thread::get_id();
        await(sleep_for(1ms));
        sum += 1;
      });
      n.start_on(other.l, [&]() -> task<> {
        co_await sleep_for(2ms);
        sum += 10;
      });
    });
    EXPECT_EQ(sum, 11);
  });
  EXPECT_EQ(where, other.thread.get_id());
}

TEST(start_on, a_failure_there_cancels_here_and_is_rethrown) {
  second_loop other;
  bool sibling_cancelled = false;
  auto body = [&] {
    with_nursery([&](nursery& n) {
      n.start([&] {
        try {
          await(sleep_forever());
        } catch (const cancelled&) {
          sibling_cancelled = true;
          throw;
        }
      });
      n.start_on(other.l, [] { throw std::runtime_error{"there"}; });
    });
  };
  EXPECT_THROW(run(body), std::runtime_error);
  EXPECT_TRUE(sibling_cancelled);
}

TEST(start_on, a_cancel_here_reaches_the_child_there) {
  second_loop other;
  bool ended = false, absorbed = false;
  run([&] {
    absorbed = !move_on_after(5ms, [&] {
      with_nursery([&](nursery& n) {
        n.start_on(other.l, [&] {
          try {
            await(sleep_forever());
          } catch (const cancelled&) {
            shielded([] { await(sleep_for(2ms)); });
            ended = true;
            throw;
          }
        });
      });
    });
    EXPECT_TRUE(ended) << "waited for";
  });
  EXPECT_TRUE(absorbed);
}

TEST(start_on, the_end_of_the_other_loop_is_a_failure_here) {
  second_loop other;
  event running;
  auto body = [&] {
    with_nursery([&](nursery& n) {
      n.start_on(other.l, [&] {
        running.set();
        await(sleep_forever());
      });
      await(running.wait());
      other.stop.set();
    });
  };
  EXPECT_THROW(run(body), loop_not_running);
}

TEST(start_on, a_loop_that_dies_before_it_ran_is_a_failure_here) {
  auto other = std::make_unique<loop>();
  event sent;
  std::thread killer{[&] {
    await(sent.wait());
    other.reset();
  }};
  auto body = [&] {
    with_nursery([&](nursery& n) {
      n.start_on(*other, [] {});
      sent.set();
    });
  };
  EXPECT_THROW(run(body), loop_not_running);
  killer.join();
}

TEST(start_on, a_closed_loop_refuses_and_the_nursery_goes_on) {
  loop other;
  other.close();
  run([&] {
    with_nursery([&](nursery& n) { EXPECT_THROW(n.start_on(other, [] {}), loop_not_running); });
  });
}

TEST(start_on, children_of_a_plain_threads_nursery_on_a_loop) {
  second_loop other;
  int sum = 0;
  with_nursery([&](nursery& n) {
    n.start_on(other.l, [&]() -> task<> {
      co_await sleep_for(1ms);
      sum += 1;
    });
  });
  EXPECT_EQ(sum, 1);
  auto failing = [&] {
    with_nursery([&](nursery& n) {
      n.start_on(other.l, [] { throw std::runtime_error{"there"}; });
      await(sleep_forever());
    });
  };
  EXPECT_THROW(failing(), std::runtime_error);
}

TEST(start_on, thousands_with_random_cancels) {
  second_loop other;
  std::atomic<int> begun{0}, ended{0};
  run([&] {
    for (int round = 0; round < 200; ++round) {
      with_nursery([&](nursery& n) {
        for (int i = 0; i < 10; ++i) {
          n.start_on(other.l, [&] {
            ++begun;
            struct count {
              std::atomic<int>& n;
              ~count() { ++n; }
            } at_end{ended};
            for (int k = 0; k < 5; ++k) await(yield_now());
          });
        }
        if (round % 2 == 0) n.cancel();
        if (round % 3 == 0) await(yield_now());
      });
      EXPECT_EQ(begun, ended);
    }
  });
  EXPECT_EQ(begun, 2000);
}

}  // namespace
}  // namespace oneloop
