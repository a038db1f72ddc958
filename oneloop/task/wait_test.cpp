#include "oneloop/task/wait.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/task/task_group.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

/// In a fiber.
template <class F>
void on_virtual(F body) {
  loop l{"virtual"};
  run(l, body);
}

int later(duration d, int v) {
  await(sleep_for(d));
  return v;
}
int fails(duration d) {
  await(sleep_for(d));
  throw std::runtime_error{"broken"};
}
time_point now() { return loop::current()->now(); }

TEST(wait, first_completed_gives_what_is_done_and_what_is_not) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      const auto t0 = now();
      std::vector all{spawn(n, later, 3s, 3), spawn(n, later, 1s, 1), spawn(n, later, 2s, 2)};
      auto r = await(wait(all, first_completed));
      EXPECT_EQ(now() - t0, 1s);
      ASSERT_EQ(r.done.size(), 1u);
      EXPECT_EQ(await(r.done[0].join()), 1);
      EXPECT_EQ(r.not_done.size(), 2u);
      r = await(wait(all));
      EXPECT_EQ(now() - t0, 3s);
      EXPECT_EQ(r.done.size(), 3u);
      EXPECT_TRUE(r.not_done.empty());
      EXPECT_EQ(await(r.done[0].join()), 3);
    });
  });
}

TEST(wait, throws_nothing_of_the_children_and_cancels_none) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      auto bad = spawn(n, fails, 1s), good = spawn(n, later, 2s, 2);
      auto r = await(wait(std::vector{bad, good}));
      EXPECT_EQ(r.done.size(), 2u);
      EXPECT_THROW((void)await(bad.join()), std::runtime_error);
      EXPECT_EQ(await(good.join()), 2);
    });
  });
}

TEST(wait, a_failure_that_nobody_joins_after_it_is_the_nurserys_still) {
  EXPECT_THROW(
      on_virtual([] {
        with_nursery([](nursery& n) { (void)await(wait(std::vector{spawn(n, fails, 1s)})); });
      }),
      std::runtime_error);
}

TEST(wait, first_exception_passes_over_the_cancelled) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      const auto t0 = now();
      auto killed = spawn(n, later, 9s, 9), bad = spawn(n, fails, 2s),
           good = spawn(n, later, 5s, 5);
      killed.cancel();
      auto r = await(wait(std::vector{killed, good, bad}, first_exception));
      EXPECT_EQ(now() - t0, 2s);
      EXPECT_EQ(r.done.size(), 2u);
      EXPECT_EQ(r.not_done.size(), 1u);
      EXPECT_THROW((void)await(bad.join()), std::runtime_error);
      // Without a failure it is all of them.
      r = await(wait(std::vector{killed, good}, first_exception));
      EXPECT_EQ(now() - t0, 5s);
    });
  });
}

TEST(wait, at_its_limit_it_gives_what_there_is) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      std::vector all{spawn(n, later, 1s, 1), spawn(n, later, 3s, 3)};
      auto r = await(wait(all, 2s));
      EXPECT_EQ(r.done.size(), 1u);
      EXPECT_EQ(r.not_done.size(), 1u);
      r = await(wait(all, all_completed, 0s));
      EXPECT_EQ(r.done.size(), 1u);
      EXPECT_FALSE(r.not_done[0].finished());
    });
  });
}

TEST(wait, of_none_and_of_the_same_twice) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      EXPECT_TRUE(await(wait(std::vector<joinable<int>>{})).done.empty());
      auto a = spawn(n, later, 1s, 1);
      auto r = await(wait(std::vector{a, a}));
      EXPECT_EQ(r.done.size(), 1u);
    });
  });
}

TEST(wait, cancelled_it_leaves_the_children_alone) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      auto a = spawn(n, later, 5s, 5);
      EXPECT_FALSE(move_on_after(1s, [&] { (void)await(wait(std::vector{a})); }));
      EXPECT_EQ(await(a.join()), 5);
    });
  });
}

TEST(wait, in_a_plain_thread_for_children_of_a_loop_and_threads) {
  with_nursery([](nursery& n) {
    event go;
    std::vector<joinable<int>> all;
    for (int i = 0; i < 8; ++i) {
      all.push_back(spawn(n, [&go, i] {
        if (i != 0) await(go.wait());
        return i;
      }));
    }
    auto first = await(wait(all, first_completed));
    EXPECT_EQ(first.done.size(), 1u);
    go.set();
    EXPECT_EQ(await(wait(all)).done.size(), 8u);
  });
}

// Ends on other threads come while the wait is being given up, again and again.
TEST(wait, may_be_given_up_while_children_end) {
  with_nursery([](nursery& n) {
    for (int round = 0; round < 200; ++round) {
      auto a = spawn(n, [] { await(yield_now()); });
      auto b = spawn(n, [] {});
      (void)await(wait(std::vector{a, b}, first_completed));
      (void)await(wait(std::vector{a, b}, 0s));
      await(a.join());
      await(b.join());
    }
  });
}

TEST(wait, in_a_coroutine_and_as_a_case_of_first_of) {
  run(
      []() -> task<> {
        auto body = [](nursery& n) -> task<> {
          std::vector all{spawn(n, later, 2s, 2), spawn(n, later, 3s, 3)};
          auto r = co_await first_of(until(all), sleep_for(1s));
          EXPECT_EQ(r.index(), 1u);
          auto done = co_await wait(all, first_completed);
          EXPECT_EQ(done.done.size(), 1u);
        };
        co_await with_nursery(body);
      }(),
      "virtual");
}

// ---- wait_for ----

TEST(wait_for, a_child_at_its_limit_is_cancelled_and_waited_for) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      const auto t0 = now();
      bool cleaned = false;
      auto a = spawn(n, [&] {
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
          shielded([] { await(sleep_for(2s)); });
          cleaned = true;
          throw;
        }
      });
      EXPECT_THROW(await(wait_for(a, 1s)), timeout_error);
      EXPECT_TRUE(cleaned);
      EXPECT_EQ(now() - t0, 3s);
    });
  });
}

TEST(wait_for, what_suppresses_the_cancel_has_its_result_delivered) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      auto a = spawn(n, [] {
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
        }
        return 7;
      });
      EXPECT_EQ(await(wait_for(a, 1s)), 7);
      auto b = spawn(n, [] {
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
        }
        throw std::runtime_error{"in the clean-up"};
      });
      EXPECT_THROW(await(wait_for(b, 1s)), std::runtime_error);
    });
  });
}

TEST(wait_for, a_limit_that_has_passed_starts_nothing_and_delivers_what_is_done) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      bool ran = false;
      auto never_begun = [&]() -> task<> {
        ran = true;
        co_return;
      };
      EXPECT_THROW(await(wait_for(never_begun(), 0s)), timeout_error);
      EXPECT_FALSE(ran);
      auto done = spawn(n, later, 1s, 1);
      await(sleep_for(2s));
      EXPECT_EQ(await(wait_for(done, 0s)), 1);
      auto running = spawn(n, later, 1h, 1);
      EXPECT_THROW(await(wait_for(running, -1s)), timeout_error);
      EXPECT_TRUE(running.finished());
    });
  });
}

TEST(wait_for, what_ends_at_the_limit_is_not_lost) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      // The child's timer is older, so it is woken first; its end comes a turn later.
      auto a = spawn(n, later, 1s, 1);
      await(yield_now());
      EXPECT_EQ(await(wait_for(a, 1s)), 1);
    });
  });
}

TEST(wait_for, an_outer_cancel_is_no_timeout_also_when_both_come_together) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      for (const duration outer : {500ms, 1000ms}) {
        auto a = spawn(n, later, 1h, 1);
        bool timed_out = false;
        EXPECT_FALSE(move_on_after(outer, [&] {
          try {
            await(wait_for(a, 1s));
          } catch (const timeout_error&) {
            timed_out = true;
          }
        }));
        EXPECT_FALSE(timed_out);
        EXPECT_TRUE(a.finished());  // the cancel went to the child, too
      }
    });
  });
}

TEST(wait_for, a_child_that_somebody_else_cancels_is_no_timeout) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      auto a = spawn(n, later, 1h, 1);
      n.start([a] { a.cancel(); });
      EXPECT_THROW(await(wait_for(a, 1s)), cancelled_error);
    });
  });
}

TEST(wait_for, in_a_plain_thread) {
  with_nursery([](nursery& n) {
    auto a = spawn(n, later, 1h, 1);
    EXPECT_THROW(await(wait_for(a, 1ms)), timeout_error);
    EXPECT_TRUE(a.finished());
    EXPECT_EQ(await(wait_for(spawn(n, later, 0s, 3), 1h)), 3);
  });
}

// ---- shield ----

TEST(shield, gives_the_result_or_the_failure) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      EXPECT_EQ(await(shield(n, later, 1s, 1)), 1);
      EXPECT_THROW(await(shield(n, fails, 1s)), std::runtime_error);
    });
  });
}

TEST(shield, a_cancelled_caller_goes_at_once_and_the_inner_one_on) {
  on_virtual([] {
    const auto t0 = now();
    bool saved = false;
    with_nursery([&](nursery& n) {
      EXPECT_FALSE(move_on_after(1s, [&] {
        await(shield(n, [&] {
          await(sleep_for(5s));
          saved = true;
        }));
      }));
      EXPECT_EQ(now() - t0, 1s);
      EXPECT_FALSE(saved);
    });
    EXPECT_TRUE(saved);
    EXPECT_EQ(now() - t0, 5s);
  });
}

TEST(shield, a_failure_that_comes_after_the_caller_has_gone_is_the_nurserys) {
  EXPECT_THROW(on_virtual([] {
                 with_nursery([](nursery& n) {
                   (void)move_on_after(1s, [&] { await(shield(n, fails, 2s)); });
                 });
               }),
               std::runtime_error);
}

TEST(shield, an_inner_one_that_is_cancelled_is_an_error_of_the_caller) {
  on_virtual([] {
    nursery* inner = nullptr;
    event opened, close;
    with_nursery([&](nursery& outer) {
      outer.start([&] {
        with_nursery([&](nursery& n) {
          inner = &n;
          opened.set();
          await(close.wait());
        });
      });
      await(opened.wait());
      outer.start([&] {
        await(sleep_for(1s));
        inner->cancel();
      });
      EXPECT_THROW(await(shield(*inner, later, 1h, 1)), cancelled_error);
    });
  });
}

TEST(shield, in_a_scope_that_is_cancelled_starts_nothing) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      bool ran = false;
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
        s.cancel();
        await(shield(n, [&] { ran = true; }));
      }));
      await(yield_now());
      EXPECT_FALSE(ran);
    });
  });
}

// ---- task_group ----

TEST(task_group, the_first_failure_ends_the_others_though_handles_are_held) {
  on_virtual([] {
    const auto t0 = now();
    joinable<int> bad, slow;
    EXPECT_THROW(with_nursery([&](nursery& n) {
                   task_group group{n};
                   bad = spawn(group, fails, 1s);
                   slow = spawn(group, later, 1h, 1);
                   await(sleep_for(1h));
                 }),
                 std::runtime_error);
    EXPECT_EQ(now() - t0, 1s);
    EXPECT_THROW((void)await(bad.join()), std::runtime_error);
    EXPECT_THROW(await(slow.join()), cancelled_error);
  });
}

TEST(task_group, results_come_by_handle_and_a_cancelled_child_is_no_failure) {
  on_virtual([] {
    with_nursery([&](nursery& n) {
      task_group group{n};
      auto a = spawn(group, later, 1s, 1), b = spawn(group, later, 1h, 2);
      EXPECT_EQ(await(a.join()), 1);
      b.cancel();
    });
  });
}

TEST(task_group, all_failures_are_collected) {
  on_virtual([] {
    try {
      with_nursery([&](nursery& n) {
        task_group group{n};
        for (int i = 0; i < 3; ++i) (void)spawn(group, fails, 1s);
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const exception_group& g) {
      EXPECT_EQ(g.errors().size(), 3u);
    }
  });
}

TEST(task_group, of_threads) {
  EXPECT_THROW(with_nursery([](nursery& n) {
                 task_group group{n};
                 auto bad = spawn(group, fails, 0s);
                 await(sleep_for(1h));
               }),
               std::runtime_error);
}

}  // namespace
}  // namespace oneloop
