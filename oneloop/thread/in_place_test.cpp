// `await` in a plain thread on what needs a loop.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/as_completed.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/thread.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

task<int> give(int x) {
  co_await sleep_for(1ms);
  co_return x;
}
task<int> fail() {
  co_await sleep_for(1ms);
  throw std::runtime_error{"boom"};
}
task<> forever() { co_await sleep_forever(); }

TEST(in_place, every_composite_works_in_a_plain_thread) {
  EXPECT_EQ(await(give(1)), 1);
  EXPECT_EQ(await(gather(give(1), give(2), sleep_for(1ms))), (std::tuple{1, 2, std::monostate{}}));
  std::vector<task<int>> many;
  for (int i = 0; i < 3; ++i) many.push_back(give(i));
  EXPECT_EQ(await(gather(std::move(many))), (std::vector{0, 1, 2}));
  auto first = await(first_of(forever(), give(7)));
  EXPECT_EQ(first.get<1>(), 7);
  EXPECT_EQ(await(try_await(give(3))).value(), 3);
  EXPECT_EQ(await(fail_after(1s, give(4))), 4);
  EXPECT_EQ(await(move_on_after(1s, give(5))).value(), 5);
  EXPECT_EQ(await(fail_after(1s, gather(give(1), try_await(give(2))))),
            (std::tuple{1, std::expected<int, std::error_code>{2}}));
  auto here = []() -> task<std::thread::id> { co_return std::this_thread::get_id(); };
  EXPECT_EQ(await(here()), std::this_thread::get_id());
  int n = 0;
  auto by_reference = [&]() -> task<int&> { co_return n; };
  EXPECT_EQ(&await(by_reference()), &n);
  EXPECT_EQ(*await([]() -> task<std::unique_ptr<int>> { co_return std::make_unique<int>(6); }()),
            6);
}

TEST(in_place, failures_are_delivered) {
  EXPECT_THROW(await(fail()), std::runtime_error);
  EXPECT_THROW(await(gather(give(1), fail())), std::runtime_error);
  EXPECT_THROW(await(gather(fail(), fail())), exception_group);
  EXPECT_THROW(await(task<>{}), misuse);
  auto end = []() -> task<> {
    throw closed_error{"x"};
    co_return;
  };
  EXPECT_EQ(await(try_await(end())).error(), errc::closed);
  EXPECT_EQ(await(give(2)), 2);  // the loop is as good as new
}

TEST(in_place, deadlines_are_timeouts) {
  EXPECT_THROW(await(fail_after(2ms, forever())), timeout_error);
  EXPECT_FALSE(await(move_on_after(2ms, forever())));
  EXPECT_FALSE(move_on_after(2ms, [] { await(forever()); }));
  EXPECT_THROW(fail_after(0ms, [] { await(forever()); }), timeout_error);
  EXPECT_FALSE(with_scope(scope_options{}.within(1h), [](cancel_scope& s) {
    auto moves_it = [](cancel_scope& outer) -> task<> {
      outer.set_deadline(clock::now() + 2ms);
      co_await sleep_forever();
    };
    await(moves_it(s));
  }));
}

TEST(in_place, a_cancelled_scope_stops_it_before_it_starts) {
  bool started = false;
  auto t = [&]() -> task<> {
    started = true;
    co_return;
  };
  EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
    s.cancel();
    await(t());
  }));
  EXPECT_FALSE(started);
}

TEST(in_place, another_thread_cancels_the_scope_around_it) {
  for (const bool gathered : {false, true}) {
    channel<cancel_handle> handles{1};
    std::thread canceller{[&] {
      auto h = await(handles.receive());
      h->cancel();
    }};
    bool cleaned_up = false;
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
      auto t = [&]() -> task<> {
        try {
          co_await handles.send(s.handle());
          co_await sleep_forever();
        } catch (const cancelled&) {
          cleaned_up = true;
          throw;
        }
      };
      if (gathered) {
        await(gather(t(), sleep_forever()));
      } else {
        await(t());
      }
    }));
    EXPECT_TRUE(cleaned_up);
    canceller.join();
  }
}

TEST(in_place, a_shield_holds_outer_cancels_off) {
  int got = 0;
  EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
    s.cancel();
    got = shielded([] { return await(give(9)); });
    await(sleep_for(0s));
  }));
  EXPECT_EQ(got, 9);
}

TEST(in_place, what_it_left_behind_is_cancelled_and_drained) {
  bool ended = false;
  auto leaves = [&]() -> task<int> {
    auto watch = [&]() -> task<> {
      try {
        co_await sleep_forever();
      } catch (const cancelled&) {
        ended = true;
        throw;
      }
    };
    (void)defer(watch());
    co_await sleep_for(0s);
    co_return 3;
  };
  EXPECT_EQ(await(leaves()), 3);
  EXPECT_TRUE(ended);
}

TEST(in_place, the_party_is_the_threads) {
  task_local<int> local{1};
  local.set(2);
  auto t = [&]() -> task<int> {
    const int before = local.get();
    local.set(5);
    co_return before;
  };
  EXPECT_EQ(await(t()), 2);
  EXPECT_EQ(local.get(), 5);
  local.restore();
  local.restore();
  context::current().rename("me");
  EXPECT_STREQ(await([]() -> task<const char*> { co_return context::current().name(); }()), "me");
  context::current().rename("thread");
}

TEST(in_place, the_loop_is_kept_between_waits) {
  auto here = []() -> task<loop*> { co_return loop::current(); };
  loop* const mine = await(here());
  EXPECT_EQ(await(here()), mine);
  loop* other = nullptr;
  std::thread{[&] { other = await(here()); }}.join();
  EXPECT_NE(other, mine);
}

TEST(in_place, inside_a_loop_it_still_would_block) {
  auto outer = []() -> task<> {
    EXPECT_THROW(await(give(1)), would_block_loop);
    co_return;
  };
  await(outer());
  run(outer());
}

TEST(in_place, many_threads_at_once) {
  channel<int> ch{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        await([](channel<int>& to) -> task<> { co_await to.send(1); }(ch));
      }
    });
  }
  int sum = 0;
  for (int i = 0; i < 200; ++i) {
    sum += await([](channel<int>& from) -> task<int> {
      const auto v = co_await from.receive();
      co_return v.value();
    }(ch));
  }
  EXPECT_EQ(sum, 200);
}

TEST(in_place, cancel_races_completion) {
  for (int i = 0; i < 200; ++i) {
    channel<int> ch{1};
    cancel_handle handle;
    event ready;
    std::thread other{[&] {
      await(ready.wait());
      (void)ch.try_send(i);
      handle.cancel();
    }};
    int got = -1;
    const bool done = with_scope(scope_options{}, [&](cancel_scope& s) {
      handle = s.handle();
      ready.set();
      auto t = [&]() -> task<int> {
        const auto v = co_await ch.receive();
        co_return v.value();
      };
      got = await(t());
    });
    other.join();
    EXPECT_EQ(got, done ? i : -1);
    EXPECT_EQ(ch.try_receive().has_value(), !done);
  }
}

// ---- in the nursery of a plain thread a task is a thread that drives a loop ----

TEST(in_place, a_thread_nursery_takes_coroutines) {
  std::atomic<int> sum{0};
  with_nursery([&](nursery& n) {
    auto add = [&](int x) -> task<> { sum += co_await give(x); };
    n.start(add, 1);
    n.start(add, 2);
    auto h = spawn(n, give, 4);
    sum += await(h.join());
    auto endless = spawn(n, forever);
    endless.cancel();
    EXPECT_THROW(await(endless.join()), cancelled_error);
  });
  EXPECT_EQ(sum, 7);
  EXPECT_THROW(with_nursery([](nursery& n) {
                 n.start(forever);
                 n.start(fail);
               }),
               std::runtime_error);
}

TEST(in_place, as_completed_in_a_thread_nursery) {
  std::vector<task<int>> all;
  for (int i = 0; i < 5; ++i) all.push_back(give(i));
  int sum = 0;
  with_nursery([&](nursery& n) {
    as_completed done{n, std::move(all)};
    while (auto c = await(done.next())) sum += c->get();
  });
  EXPECT_EQ(sum, 10);
}

}  // namespace
}  // namespace oneloop
