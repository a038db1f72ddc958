#include "oneloop/fiber/fiber.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cfenv>
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
#include "oneloop/scope/local.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::run_virtual;

TEST(fiber, main_gives_its_result) {
  EXPECT_EQ(run_virtual([] {
              await(sleep_for(1s));
              return std::make_unique<int>(7);
            }).operator*(),
            7);
  int x = 0;
  EXPECT_EQ(&run([&]() -> int& { return x; }), &x);
}

TEST(fiber, main_may_take_arguments_and_be_a_coroutine) {
  EXPECT_EQ(run([](int a, std::unique_ptr<int> b) { return a + *b; }, 1, std::make_unique<int>(2)),
            3);
  EXPECT_EQ(run([](int a) -> task<int> { co_return a + 1; }, 1), 2);
}

TEST(fiber, run_rethrows_what_main_throws) {
  EXPECT_THROW(run_virtual([] {
                 await(sleep_for(1s));
                 throw std::runtime_error{"boom"};
               }),
               std::runtime_error);
}

TEST(fiber, failures_of_main_and_of_what_it_left_behind_are_both_reported) {
  try {
    run_virtual([] {
      loop_root::of(*loop::current()).children().start([] {
        try {
          await(sleep_forever());
        } catch (const cancelled&) {
          throw std::runtime_error{"left behind"};
        }
      });
      await(yield_now());
      throw std::runtime_error{"main"};
    });
    FAIL();
  } catch (const exception_group& g) {
    ASSERT_EQ(g.errors().size(), 2u);
    EXPECT_EQ(describe(g.errors()[0]), "main");
    EXPECT_EQ(describe(g.errors()[1]), "left behind");
  }
}

TEST(fiber, run_inside_a_running_loop_is_refused_and_leaves_it_unharmed) {
  loop l{"virtual"};
  run(l, [&l] {
    EXPECT_THROW(run(l, [] {}), misuse);
    EXPECT_THROW(run(l, []() -> task<> { co_return; }), misuse);
    EXPECT_THROW(run([] {}), would_block_loop);
    await(sleep_for(1s));
  });
  run(l, [] { await(sleep_for(1s)); });
}

TEST(fiber, children_run_concurrently_and_are_joined) {
  std::string order;
  run_virtual([&] {
    const auto start = loop::current()->now();
    with_nursery([&](nursery& n) {
      auto child = [&](char c, duration d) {
        await(sleep_for(d));
        order += c;
      };
      n.start(child, 'b', 20ms);
      n.start(child, 'a', 10ms);
      n.start(child, 'c', 30ms);
      order += '(';
    });
    order += ')';
    EXPECT_EQ(loop::current()->now() - start, 30ms);
  });
  EXPECT_EQ(order, "(abc)");
}

TEST(fiber, a_coroutine_starts_fibers_and_a_fiber_starts_coroutines) {
  int sum = 0;
  loop l{"virtual"};
  run(l, [&]() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] {
        await(sleep_for(1s));
        with_nursery([&](nursery& inner) {
          inner.start([&]() -> task<> {
            co_await sleep_for(1s);
            sum += 1;
          });
        });
        sum += 10;
      });
      co_return;
    });
  });
  EXPECT_EQ(sum, 11);
}

TEST(fiber, a_failure_cancels_the_siblings_and_is_rethrown_unchanged) {
  bool sibling_cancelled = false;
  try {
    run_virtual([&] {
      with_nursery([&](nursery& n) {
        n.start([&] {
          try {
            await(sleep_forever());
          } catch (const cancelled&) {
            sibling_cancelled = true;
            throw;
          }
        });
        n.start([] {
          await(sleep_for(1s));
          throw std::runtime_error{"first"};
        });
      });
    });
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "first");
  }
  EXPECT_TRUE(sibling_cancelled);
}

TEST(fiber, cancelled_before_it_ran_it_stops_at_its_first_checkpoint) {
  bool started = false, finished = false;
  run_virtual([&] {
    with_nursery([&](nursery& n) {
      n.cancel();
      n.start([&] {
        started = true;
        await(sleep_for(1s));
        finished = true;
      });
    });
  });
  EXPECT_TRUE(started);
  EXPECT_FALSE(finished);
}

TEST(fiber, cancellation_is_level_triggered_and_shields_hold_it_off) {
  run_virtual([] {
    int thrown = 0;
    bool cleaned_up = false;
    const bool done = move_on_after(1s, [&] {
      for (int i = 0; i < 3; ++i) {
        try {
          await(sleep_forever());
        } catch (const cancelled&) {
          ++thrown;
        }
      }
      shielded([&] {
        await(sleep_for(1s));
        cleaned_up = true;
      });
      await(yield_now());
    });
    EXPECT_FALSE(done);
    EXPECT_EQ(thrown, 3);
    EXPECT_TRUE(cleaned_up);
  });
}

TEST(fiber, cancelled_by_another_thread) {
  event waiting;
  cancel_handle handle;
  std::thread canceller{[&] {
    await(waiting.wait());
    handle.cancel();
  }};
  bool absorbed = false;
  run([&] {
    absorbed = !with_scope(scope_options{}, [&](cancel_scope& s) {
      handle = s.handle();
      waiting.set();
      await(sleep_forever());
    });
  });
  canceller.join();
  EXPECT_TRUE(absorbed);
}

TEST(fiber, waits_inside_catch_handlers_and_destructors) {
  std::string log;
  run_virtual([&] {
    struct waits_when_it_dies {
      std::string& log;
      ~waits_when_it_dies() {
        await(sleep_for(1ms));
        log += 'd';
      }
    };
    auto body = [&](const char* what) {
      try {
        const waits_when_it_dies w{log};
        throw std::runtime_error{what};
      } catch (const std::runtime_error& e) {
        await(sleep_for(1ms));
        log += e.what();
        try {
          throw;
        } catch (const std::runtime_error& again) {
          log += again.what();
        }
      }
    };
    with_nursery([&](nursery& n) {
      n.start(body, "a");
      n.start(body, "b");
    });
  });
  EXPECT_EQ(log, "ddaabb");
}

// ---- awaiting tasks ----

TEST(fiber, errno_rounding_and_exceptions_survive_a_wait) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      for (int i = 1; i <= 4; ++i) {
        n.start([i] {
          const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
          std::fesetround(modes[i - 1]);
          double sum = i;
          errno = i;
          try {
            throw i;
          } catch (int caught) {
            for (int k = 0; k < 5; ++k) {
              sum += 0.5;
              await(sleep_for(i * 1ms));
              EXPECT_EQ(errno, i);
              EXPECT_EQ(std::fegetround(), modes[i - 1]);
              EXPECT_EQ(std::uncaught_exceptions(), 0);
              EXPECT_NE(std::current_exception(), nullptr);
            }
            EXPECT_EQ(caught, i);
          }
          EXPECT_EQ(std::current_exception(), nullptr);
          EXPECT_EQ(sum, i + 2.5);
          std::fesetround(FE_TONEAREST);
        });
      }
    });
    EXPECT_EQ(std::fegetround(), FE_TONEAREST);
  });
}

TEST(fiber, regions_nest_and_release_as_in_coroutines) {
  run_virtual([] {
    const auto start = loop::current()->now();
    std::string order;
    auto acquire = [&] {
      order += 'a';
      return 1;
    };
    auto release = [&](int) {
      await(sleep_for(1s));
      order += 'r';
    };
    EXPECT_FALSE(move_on_after(
        1s, [&] { with_resource(acquire, [](int) { await(sleep_forever()); }, release); }));
    EXPECT_EQ(loop::current()->now() - start, 2s) << "released under a shield";
    EXPECT_THROW(fail_after(1s, [] { await(sleep_forever()); }), timeout_error);
    EXPECT_THROW(with_resource(
                     acquire, [](int) { throw std::runtime_error{"body"}; },
                     [](int) { throw std::logic_error{"release"}; }),
                 std::runtime_error)
        << "the error of the body wins";
    EXPECT_EQ(order, "ara");
    EXPECT_EQ(with_nursery([](nursery&) { return 3; }), 3);
    EXPECT_EQ(with_scope({},
                         [](cancel_scope& s) {
                           s.cancel();
                           await(yield_now());
                           return 1;
                         }),
              std::nullopt);
  });
}

TEST(fiber, the_body_of_an_awaited_task_runs_on_the_stack_of_the_loop) {
  run_virtual([] {
    char here = 0;
    auto where = []() -> task<std::uintptr_t> {
      char local = 0;
      co_await sleep_for(1ms);
      co_return reinterpret_cast<std::uintptr_t>(&local);
    };
    auto body = [](auto probe, std::uintptr_t mine) -> task<std::intptr_t> {
      (void)co_await probe();
      // No local of this function can tell: a coroutine's are in its frame. A call's are.
      auto call = []() { return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)); };
      co_return static_cast<std::intptr_t>(call() - mine);
    };
    const auto distance = await(body(where, reinterpret_cast<std::uintptr_t>(&here)));
    EXPECT_GT(std::abs(distance), std::intptr_t{1} << 20);
  });
}

TEST(fiber, a_task_awaited_in_a_fiber_cannot_block) {
  run_virtual([] {
    auto body = []() -> task<int> {
      EXPECT_THROW(await(sleep_for(1s)), would_block_loop);
      co_await sleep_for(1s);
      EXPECT_THROW(with_nursery([](nursery&) {}), would_block_loop);
      co_return 5;
    };
    EXPECT_EQ(await(body()), 5);
    await(sleep_for(1s));  // and afterwards it can again
  });
}

TEST(fiber, the_error_and_the_cancellation_of_an_awaited_task_arrive) {
  run_virtual([] {
    auto fails = []() -> task<int> {
      co_await sleep_for(1s);
      throw std::runtime_error{"task"};
    };
    EXPECT_THROW(await(fails()), std::runtime_error);
    auto sleeps = []() -> task<> { co_await sleep_forever(); };
    EXPECT_FALSE(move_on_after(1s, [&] { await(sleeps()); }));
    EXPECT_THROW(await(fail_after(1s, sleeps())), timeout_error);
  });
}

TEST(fiber, combinators_and_selects_take_fibers) {
  run_virtual([] {
    auto later = [](duration d, int v) -> task<int> {
      co_await sleep_for(d);
      co_return v;
    };
    auto [a, b] = await(gather(later(2s, 1), later(1s, 2)));
    EXPECT_EQ(a + b, 3);
    auto r = await(first_of(later(2s, 1), later(1s, 2)));
    EXPECT_EQ(r.index(), 1u);
    channel<int> ch{0};
    with_nursery([&](nursery& n) {
      n.start([&] { await(ch.send(3)); });
      EXPECT_EQ(await(ch.receive()), 3);
    });
  });
}

// ---- where waiting is refused ----

TEST(fiber, await_on_the_stack_of_a_loop_throws) {
  loop l{"virtual"};
  bool done = false;
  l.post([&] {
    EXPECT_THROW(await(sleep_for(1s)), would_block_loop);
    EXPECT_THROW(with_scope(scope_options{}, [](cancel_scope&) {}), would_block_loop);
    done = true;
  });
  l.run_until(done);
}

TEST(fiber, await_in_a_coroutine_throws) {
  loop l{"virtual"};
  run(l, []() -> task<> {
    EXPECT_THROW(await(sleep_for(1s)), would_block_loop);
    co_await sleep_for(1s);
    EXPECT_THROW(await(sleep_for(1s)), would_block_loop);
  });
}

// ---- many, deep, long ----

TEST(fiber, ten_thousand_at_once) {
#if defined(__SANITIZE_THREAD__)
  constexpr int count = 2'000;  // ThreadSanitizer counts each as a thread, and allows 8,000
#else
  constexpr int count = 10'000;
#endif
  int sum = 0;
  loop l{"virtual"};
  run(l, [&] {
    for (int round = 0; round < 2; ++round) {
      with_nursery([&](nursery& n) {
        for (int i = 0; i < count; ++i) {
          n.start([&sum, i] {
            await(sleep_for(1ms * (i % 100)));
            sum += 1;
          });
        }
      });
    }
    EXPECT_EQ(fiber_statistics(l).peak, count + 1u) << "stacks are used again";
    EXPECT_EQ(fiber_statistics(l).in_use, 1u);
  });
  EXPECT_EQ(sum, 2 * count);
}

[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[1024];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) {
    await(sleep_for(1ms));
    return frame[0];
  }
  return recurse(depth - 1) + frame[0] - static_cast<char>(depth) + 1;
}

TEST(fiber, waits_forty_calls_deep_with_a_kilobyte_each) {
  run_virtual([] {
    with_nursery([](nursery& n) {
      for (int i = 0; i < 10; ++i) n.start([] { EXPECT_EQ(recurse(40), 40); });
    });
  });
}

TEST(fiber, finishing_at_once_again_and_again_lets_others_run) {
  run_virtual([] {
    event set{true};
    bool stop = false;
    with_nursery([&](nursery& n) {
      n.start([&] {
        while (!stop) await(set.wait());
      });
      n.start([&] { stop = true; });
    });
  });
}

TEST(fiber, inherits_locals_and_shows_in_a_dump) {
  static task_local<int> depth{0};
  run_virtual([] {
    depth.set(1);
    with_nursery([](nursery& n) {
      n.start(named{"sleeper", [] {
                      EXPECT_EQ(depth.get(), 1);
                      depth.set(2);
                      await(sleep_for(5s));
                      EXPECT_EQ(depth.get(), 2);
                    }});
      await(yield_now());
      const std::string dump = loop::current()->dump();
      EXPECT_NE(dump.find("main [fiber]"), dump.npos) << dump;
      EXPECT_NE(dump.find("sleeper [fiber] started at fiber_test.cpp:"), dump.npos) << dump;
      EXPECT_NE(dump.find("waits for sleep (5000 ms left)"), dump.npos) << dump;
    });
    EXPECT_EQ(depth.get(), 1);
  });
}

TEST(fiber, what_a_fiber_owns_dies_when_it_ends) {
  auto token = std::make_shared<int>(1);
  run_virtual([&] {
    with_nursery([&](nursery& n) { n.start([token] { await(sleep_for(1s)); }); });
    EXPECT_EQ(token.use_count(), 1);
  });
}

}  // namespace
}  // namespace oneloop
