#include "oneloop/thread/to_thread.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_waiter.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

/// Runs `body` in a fiber that is cancelled when `ready` is set. (Not by a timeout: virtual time
/// stands still while a call runs.)
template <class Body>
void cancelled_once(event& ready, Body body) {
  with_nursery([&](nursery& n) {
    n.start(std::move(body));
    await(ready.wait());
    n.cancel();
  });
}

class to_thread_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(to_thread_on, test::all_backends());

TEST_P(to_thread_on, gives_what_the_function_returns_or_throws) {
  loop l{GetParam()};
  run(l, []() -> task<> {
    auto text = [] { return std::make_unique<std::string>("text"); };
    const auto got = co_await to_thread(text);
    EXPECT_EQ(*got, "text");
    bool called = false;
    co_await to_thread([&] { called = true; });
    EXPECT_TRUE(called);
    auto fails = []() -> int { throw std::runtime_error{"no"}; };
    auto failing = gather(to_thread(fails));
    EXPECT_THROW((void)co_await failing, std::runtime_error);
  });
  EXPECT_EQ(l.owed(), 0u);
}

TEST_P(to_thread_on, the_loop_goes_on_meanwhile) {
  loop l{GetParam()};
  run(l, []() -> task<> {
    event go;
    auto opens = [&]() -> task<> {
      EXPECT_EQ(loop::current()->owed(), 1u);
      go.set();
      co_return;
    };
    auto both = gather(to_thread([&] { await(go.wait()); }), opens());
    (void)co_await both;
  });
}

TEST_P(to_thread_on, cancelled_it_is_told_and_waited_for) {
  loop l{GetParam()};
  run(l, [] {
    event running;
    int given = 0;
    with_nursery([&](nursery& n) {
      n.start([&] {
        given = await(to_thread([&] {
          running.set();
          try {
            await(sleep_forever());
          } catch (const cancelled&) {
          }
          return 5;
        }));
      });
      await(running.wait());
      n.cancel();
    });
    EXPECT_EQ(given, 5);  // what it gives all the same is delivered
    bool passed = false;
    event computing;
    cancelled_once(computing, [&] {
      await(to_thread([&] {
        computing.set();
        while (true) check_cancelled();
      }));
      passed = true;
    });
    EXPECT_FALSE(passed);
  });
}

TEST_P(to_thread_on, abandoned_it_is_left_to_itself) {
  auto go = std::make_shared<event>();
  auto held = std::make_shared<int>(1);
  std::weak_ptr<int> watched = held;
  {
    loop l{GetParam()};
    run(l, [&] {
      auto running = std::make_shared<event>();
      cancelled_once(*running, [&] {
        await(to_thread([go, running, held = std::move(held)] {
                running->set();
                shielded([&] { await(go->wait()); });
                try {
                  from_thread([] {});
                } catch (const cancelled&) {
                  return 1;  // nobody waits any more
                }
                return 2;
              }).abandon_on_cancel());
        ADD_FAILURE();
      });
      EXPECT_EQ(loop::current()->owed(), 0u);
    });
  }
  EXPECT_FALSE(watched.expired());
  go->set();
  while (!watched.expired()) std::this_thread::yield();
}

TEST_P(to_thread_on, it_calls_back_to_the_loop_that_waits) {
  loop l{GetParam()};
  run(l, [] {
    const auto here = std::this_thread::get_id();
    auto job = [&] {
      const int a = from_thread([&] { return std::this_thread::get_id() == here ? 1 : 0; });
      const int b = from_thread(
          [](int x) -> task<int> {
            co_await sleep_for(1us);
            co_return x;
          },
          10);
      return a + b;
    };
    EXPECT_EQ(await(to_thread(job)), 11);
  });
}

TEST(to_thread, cancels_that_race_with_start_and_end_lose_nothing) {
  for (const bool abandon : {false, true}) {
    run([&] {
      set_blocking_threads(2);
      auto ran = std::make_shared<std::atomic<int>>(0);
      int completed = 0;
      constexpr int n = 500;
      with_nursery([&](nursery& all) {
        for (int i = 0; i < n; ++i) {
          all.start([&, i] {
            with_scope(scope_options{}, [&](cancel_scope& s) {
              with_nursery([&](nursery& inner) {
                inner.start([&, i] {
                  for (int k = 0; k < i % 7; ++k) await(sleep_for(0s));
                  s.cancel();
                });
                auto op = to_thread([ran] { ran->fetch_add(1); });
                if (abandon) {
                  await(std::move(op).abandon_on_cancel());
                } else {
                  await(op);
                }
                ++completed;
              });
            });
          });
        }
      });
      if (abandon) {
        EXPECT_LE(completed, n);
      } else {
        EXPECT_EQ(completed, ran->load());
      }
      EXPECT_EQ(loop::current()->owed(), 0u);
      set_blocking_threads(64);
    });
  }
}

TEST(to_thread, a_call_that_has_not_started_is_taken_back) {
  run([] {
    set_blocking_threads(1);
    event running, go;
    bool ran = false;
    with_nursery([&](nursery& n) {
      n.start([&] {
        await(to_thread([&] {
          running.set();
          await(go.wait());
        }));
      });
      await(running.wait());
      EXPECT_FALSE(move_on_after(1ms, [&] { await(to_thread([&] { ran = true; })); }));
      EXPECT_EQ(blocking_statistics().queued, 0u);
      go.set();
    });
    EXPECT_FALSE(ran);
    set_blocking_threads(64);
  });
}

TEST(to_thread, a_limiter_is_held_until_the_call_has_really_ended) {
  auto limiter = std::make_shared<semaphore>(1);
  auto started = std::make_shared<event>(), go = std::make_shared<event>();
  run([&]() -> task<> {
    auto slow = to_thread([go, started] {
      started->set();
      shielded([&] { await(go->wait()); });
    });
    auto limited = std::move(slow).abandon_on_cancel().limited_by(*limiter);
    auto either = first_of(std::move(limited), started->wait());
    const auto first = co_await std::move(either);
    EXPECT_EQ(first.index(), 1u);
    EXPECT_EQ(limiter->available(), 0u);
    // Nobody gets in meanwhile, and one that gives up has taken nothing.
    auto other = to_thread([] {}).limited_by(*limiter);
    const bool entered = co_await move_on_after(1ms, std::move(other));
    EXPECT_FALSE(entered);
    go->set();
    auto last = to_thread([] { return 4; }).limited_by(*limiter);
    const int x = co_await std::move(last);
    EXPECT_EQ(x, 4);
  });
  EXPECT_EQ(limiter->available(), 1u);
  EXPECT_EQ(await(to_thread([] { return 5; }).limited_by(*limiter)), 5);  // in a plain thread
}

TEST(to_thread, a_capacity_limiter_knows_who_has_borrowed) {
  capacity_limiter desks{1};
  run([&]() -> task<> {
    auto look = to_thread([&] { return desks.statistics().borrowers.size(); }).limited_by(desks);
    const std::size_t borrowers = co_await std::move(look);
    EXPECT_EQ(borrowers, 1u);
    const auto mine = co_await desks.permit();
    auto twice = to_thread([] {}).limited_by(desks);
    try {
      co_await std::move(twice);
      ADD_FAILURE() << "it waits for itself";
    } catch (const misuse&) {
    }
  });
  EXPECT_EQ(desks.borrowed(), 0u);
}

TEST(to_thread, its_code_is_a_party_of_its_own) {
  task_local<int> local{0};
  local.set(3);
  EXPECT_EQ(await(to_thread([&] {
              const int inherited = local.get();
              local.set(7);
              return inherited;
            })),
            3);
  EXPECT_EQ(local.get(), 3);
  local.restore();
  EXPECT_EQ(await(to_thread([]() -> int { return await(to_thread([] { return 6; })); })), 6);
  EXPECT_THROW(from_thread([] {}), misuse);
  EXPECT_THROW(await(to_thread([] { from_thread([] {}); })), loop_not_running);
}

TEST(to_thread, serves_plain_threads) {
  std::vector<std::jthread> threads;
  std::atomic<int> sum{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) sum += await(to_thread([i] { return i; }));
    });
  }
  threads.clear();
  EXPECT_EQ(sum.load(), 3 * 4950);
}

TEST(to_thread, virtual_time_stands_still_while_a_call_runs) {
  loop l{"virtual"};
  run(l, []() -> task<> {
    const auto before = loop::current()->now();
    auto call = []() -> task<time_point> {
      co_await to_thread([] { std::this_thread::sleep_for(5ms); });
      co_return loop::current()->now();
    };
    auto both = gather(call(), sleep_for(10s));
    const auto r = co_await both;
    EXPECT_EQ(std::get<0>(r), before);
    EXPECT_EQ(loop::current()->now(), before + 10s);
  });
}

TEST(to_thread, works_in_a_forked_child) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer allows no threads in a forked child";
#endif
  await(to_thread([] {}));
  const auto give = []() -> task<int> { co_return 3; };
  EXPECT_EQ(await(give()), 3);  // this thread has a loop
  const pid_t child = ::fork();
  if (child == 0) {
    const bool good = await(to_thread([] { return 2; })) == 2 &&
                      blocking_statistics().threads == 1 && await(give()) == 3;
    ::_exit(good ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace oneloop
