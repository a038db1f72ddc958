#include "oneloop/testing/clock.hpp"

#include <gtest/gtest.h>
#include <poll.h>

#include <algorithm>
#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/test_waiter.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;

class all_blocked : public test::backend_test {};
ONELOOP_ON_BACKENDS(all_blocked, test::all_backends());

TEST_P(all_blocked, comes_when_the_others_have_come_as_far_as_they_can) {
  loop l{GetParam()};
  int steps = 0;
  event go;
  run(l, [&] {
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 3; ++i) {
        n.start([&] {
          for (int k = 0; k < 5; ++k) {
            ++steps;
            await(yield_now());
          }
          await(go.wait());
          ++steps;
        });
      }
      await(wait_all_tasks_blocked());
      EXPECT_EQ(steps, 15);
      go.set();
      EXPECT_EQ(steps, 15);
      await(wait_all_tasks_blocked());
      EXPECT_EQ(steps, 18);
    });
  });
}

TEST_P(all_blocked, the_shortest_cushion_goes_first_and_alone) {
  loop l{GetParam()};
  std::string order;
  run(l, [&] {
    with_nursery([&](nursery& n) {
      const auto waits = [&](duration cushion, char c) {
        await(wait_all_tasks_blocked(cushion));
        order += c;
        await(yield_now());
        order += c;
      };
      n.start(waits, 2ms, 'c');
      n.start(waits, 0ms, 'a');
      n.start(waits, 1ms, 'b');
      n.start(waits, 0ms, 'a');
    });
  });
  EXPECT_EQ(order, "aaaabbcc");
}

TEST_P(all_blocked, a_cushion_is_time_without_anybody_running) {
  loop l{GetParam()};
  int ticks = 0;
  run(l, [&] {
    with_nursery([&](nursery& n) {
      n.start([&] {
        for (int i = 0; i < 3; ++i) {
          await(sleep_for(1ms));
          ++ticks;
        }
      });
      await(wait_all_tasks_blocked(50ms));
      EXPECT_EQ(ticks, 3);
    });
  });
}

TEST_P(all_blocked, is_cancelled_and_selected_like_anything_else) {
  loop l{GetParam()};
  run(l, [&] {
    cancel_scope* inside = nullptr;
    const bool left = with_scope(scope_options{}, [&](cancel_scope& s) {
      inside = &s;
      s.cancel();
      await(wait_all_tasks_blocked());
    });
    EXPECT_FALSE(left);
    channel<int> c{1};
    EXPECT_TRUE(c.try_send(1));
    const auto first = await(select(c.receive(), wait_all_tasks_blocked()));
    EXPECT_EQ(first.index(), 0u);
    const auto second = await(select(c.receive(), wait_all_tasks_blocked()));
    EXPECT_EQ(second.index(), 1u);
    EXPECT_TRUE(l.idle_nodes().empty());
  });
}

class all_blocked_guest : public test::backend_test {};
ONELOOP_ON_BACKENDS(all_blocked_guest, test::io_backends());

TEST_P(all_blocked_guest, is_idle_when_its_host_has_nothing_for_it) {
  loop l{GetParam()};
  const int fd = l.pollable_fd();
  bool blocked = false;
  int steps = 0;
  nursery& n = loop_root::of(l).children();
  n.start([&] {
    for (int k = 0; k < 3; ++k) {
      ++steps;
      await(yield_now());
    }
    await(sleep_forever());
  });
  n.start([&] {
    await(wait_all_tasks_blocked(1ms));
    EXPECT_EQ(steps, 3);
    blocked = true;
  });
  for (int turns = 0; turns < 1000 && !blocked; ++turns) {
    const auto left = l.next_deadline() - l.now();
    pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    ::poll(&p, 1, static_cast<int>(std::clamp<long>(ms, 0, 100)));
    l.run_ready(1);
  }
  EXPECT_TRUE(blocked);
}

TEST(all_blocked_on_virtual_time, comes_before_time_jumps) {
  loop l{"virtual"};
  run(l, [&] {
    with_nursery([&](nursery& n) {
      bool woke = false;
      n.start([&] {
        await(sleep_for(1s));
        woke = true;
      });
      await(wait_all_tasks_blocked());
      EXPECT_FALSE(woke);
      EXPECT_EQ(clock_of(l).elapsed(), 0s);
      await(wait_all_tasks_blocked(10s));  // of the loop's time
      EXPECT_TRUE(woke);
      EXPECT_EQ(clock_of(l).elapsed(), 11s);
    });
  });
}

TEST(all_blocked_elsewhere, needs_a_loop) {
  EXPECT_THROW(await(wait_all_tasks_blocked()), loop_not_running);
  EXPECT_THROW(static_cast<void>(clock_here()), loop_not_running);
}

TEST(a_virtual_clock, is_that_of_a_virtual_loop_only) {
  loop real{"epoll"};
  EXPECT_THROW(static_cast<void>(clock_of(real)), misuse);
  loop l{"virtual"};
  run(l, [&] {
    EXPECT_EQ(&clock_here(), &clock_of(l));
    clock_here().advance(1h);
    EXPECT_EQ(clock_here().elapsed(), 1h);
    EXPECT_EQ(l.now(), clock_here().now());
  });
  // Far ahead it stops instead of overflowing.
  clock_of(l).advance(duration::max());
  EXPECT_EQ(l.now(), never);
}

}  // namespace
}  // namespace oneloop::inline v0::testing
