#include "oneloop/fiber/timeout.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/fiber_test.hpp"
#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::passed;
using test::run_virtual;

TEST(timeout_object, is_raised_once_at_the_next_wait_and_tells_whose_it_is) {
  run_virtual([] {
    const auto start = loop::current()->now();
    timeout t{1s};
    timeout other{50s};
    EXPECT_TRUE(t.pending());
    try {
      await(sleep_forever());
      FAIL();
    } catch (const timeout_expired& e) {
      EXPECT_TRUE(e == t);
      EXPECT_TRUE(e != other);
      EXPECT_NE(std::string{e.what()}.find("timeout of 1000 ms expired (started at"),
                std::string::npos)
          << e.what();
    }
    EXPECT_EQ(passed(start), 1s);
    EXPECT_FALSE(t.pending());
    await(sleep_for(5s));  // once: this wait is not interrupted
    EXPECT_EQ(passed(start), 6s);
    t.start();
    EXPECT_THROW(await(sleep_forever()), timeout_expired);
    EXPECT_EQ(passed(start), 7s);
  });
}

TEST(timeout_object, is_no_error) {
  run_virtual([] {
    const timeout t{1s};
    try {
      try {
        await(sleep_forever());
      } catch (const std::exception&) {
        FAIL() << "a handler of errors";
      } catch (const cancelled&) {
        FAIL();
      }
    } catch (const timeout_expired&) {
    }
  });
  auto leaves_a_fiber = [] {
    const timeout t{1s};
    await(sleep_forever());
  };
  EXPECT_THROW(run_virtual(leaves_a_fiber), timeout_expired);
}

TEST(timeout_object, what_happens_in_time_is_not_touched) {
  run_virtual([] {
    {
      const timeout t{2s};
      await(sleep_for(1s));
    }
    await(sleep_for(5s));
    timeout t{1s};
    t.cancel();
    EXPECT_FALSE(t.pending());
    await(sleep_for(5s));
    t.start();
    EXPECT_THROW(t.start(), misuse);
    t.close();
    t.close();
    await(sleep_for(5s));
  });
}

TEST(timeout_object, of_zero_strikes_when_the_loop_turns_and_of_nothing_never) {
  run_virtual([] {
    channel<int> c{1};
    await(c.send(7));
    {
      timeout t{0s};
      EXPECT_EQ(*await(c.receive()), 7) << "what need not wait is done";
      EXPECT_TRUE(t.pending());
      EXPECT_THROW(await(c.receive()), timeout_expired);
    }
    const timeout negative{-1s};
    EXPECT_THROW(await(sleep_forever()), timeout_expired);
    const timeout t{std::nullopt};
    EXPECT_TRUE(t.pending());
    await(sleep_for(1000h));
  });
}

TEST(timeout_object, nested_ones_are_told_apart) {
  run_virtual([] {
    const auto start = loop::current()->now();
    const timeout outer{1s};
    try {
      const timeout inner{2s};
      try {
        await(sleep_forever());
        FAIL();
      } catch (const timeout_expired& e) {
        EXPECT_TRUE(e == outer && e != inner);
        throw;
      }
    } catch (const timeout_expired& e) {
      EXPECT_TRUE(e == outer);
    }
    const timeout again{5s};
    try {
      const timeout inner{2s};
      await(sleep_forever());
    } catch (const timeout_expired& e) {
      EXPECT_FALSE(e == again);
    }
    EXPECT_EQ(passed(start), 3s);
    EXPECT_THROW(await(sleep_forever()), timeout_expired);
    EXPECT_EQ(passed(start), 6s);
  });
}

TEST(timeout_object, both_due_the_outer_one_first) {
  run_virtual([] {
    timeout outer{1s};
    timeout inner{1s};
    try {
      await(sleep_forever());
    } catch (const timeout_expired& e) {
      EXPECT_TRUE(e == outer);
    }
    try {
      await(sleep_for(1h));
    } catch (const timeout_expired& e) {
      EXPECT_TRUE(e == inner);
    }
  });
}

TEST(timeout_object, need_not_be_closed_in_the_order_of_nesting) {
  run_virtual([] {
    const auto start = loop::current()->now();
    auto a = std::make_unique<timeout>(1s);
    auto b = std::make_unique<timeout>(2s);
    auto c = std::make_unique<timeout>(3s);
    a.reset();
    c.reset();
    EXPECT_THROW(await(sleep_forever()), timeout_expired);
    EXPECT_EQ(passed(start), 2s);
    b.reset();
    timeout across{nullptr == b ? std::optional<duration>{5s} : std::nullopt};
    across.cancel();
    EXPECT_TRUE(move_on_after(1s, [&] { across.start(); })) << "started inside, raised outside";
    EXPECT_THROW(await(sleep_forever()), timeout_expired);
    EXPECT_EQ(passed(start), 7s);
    across.start();
    (void)move_on_after(1s, [&] { across.cancel(); });
    await(sleep_for(1h));
  });
}

TEST(timeout_object, a_task_in_a_fiber_is_interrupted_too) {
  run_virtual([] {
    bool unwound = false;
    auto slow = [&]() -> task<int> {
      struct at_end {
        bool& b;
        ~at_end() { b = true; }
      } mark{unwound};
      co_await sleep_forever();
      co_return 1;
    };
    const timeout t{1s};
    EXPECT_THROW((void)await(slow()), timeout_expired);
    EXPECT_TRUE(unwound);
    timeout u{1s};
    EXPECT_THROW((void)await(gather(slow(), slow())), timeout_expired);
    timeout v{1s};
    EXPECT_THROW((void)await(move_on_after(10s, sleep_forever())), timeout_expired);
  });
}

TEST(timeout_object, a_nursery_ends_its_children_and_then_it_is_raised) {
  run_virtual([] {
    const auto start = loop::current()->now();
    bool child_ended = false;
    const timeout t{1s};
    try {
      with_nursery([&](nursery& n) {
        n.start([&] {
          try {
            await(sleep_forever());
          } catch (const cancelled&) {  // not the timeout: that is its parent's
            shielded([] { await(sleep_for(1s)); });
            child_ended = true;
            throw;
          }
        });
      });
      FAIL();
    } catch (const timeout_expired& e) {
      EXPECT_TRUE(e == t);
    }
    EXPECT_TRUE(child_ended);
    EXPECT_EQ(passed(start), 2s);
  });
}

TEST(timeout_object, only_the_fiber_that_started_it) {
  run_virtual([] {
    const timeout t{1s};
    auto other = spawn([] {
      await(sleep_for(2s));
      return 1;
    });
    EXPECT_THROW(other.join(), timeout_expired);
    EXPECT_EQ(other.get(), 1);
  });
}

TEST(timeout_object, a_cancel_from_further_out_stays_a_cancel) {
  run_virtual([] {
    bool was_cancelled = false;
    auto f = spawn([&] {
      const timeout t{1s};
      try {
        await(sleep_forever());
      } catch (const cancelled&) {
        was_cancelled = true;
        throw;
      }
    });
    await(sleep_for(500ms));
    f.kill();
    EXPECT_TRUE(was_cancelled);
    EXPECT_FALSE(move_on_after(1s, [] {
      const timeout t{2s};
      await(sleep_forever());
    }));
    // And further out than a scope that is due too, the timeout wins.
    const timeout t{1s};
    EXPECT_THROW((void)move_on_after(1s, [] { await(sleep_forever()); }), timeout_expired);
  });
}

TEST(timeout_object, a_shield_holds_it_off) {
  run_virtual([] {
    const auto start = loop::current()->now();
    const timeout t{1s};
    shielded([] { await(sleep_for(3s)); });
    EXPECT_EQ(passed(start), 3s);
    EXPECT_THROW(await(yield_now()), timeout_expired);
  });
}

TEST(timeout_object, a_result_that_came_first_is_delivered) {
  run_virtual([] {
    channel<int> c;
    const timeout t{1s};
    auto sender = spawn([&] {
      await(sleep_for(1s));
      await(c.send(1));
    });
    int got = 0;
    try {
      got = *await(c.receive());
    } catch (const timeout_expired&) {
    }
    if (got == 0) {
      EXPECT_EQ(*await(c.receive()), 1) << "nothing is lost";
    }
    sender.join();
  });
}

TEST(timeout_object, the_silent_form_suppresses_only_its_own) {
  run_virtual([] {
    const auto start = loop::current()->now();
    EXPECT_FALSE(timeout::silent(1s, [] { await(sleep_forever()); }));
    EXPECT_TRUE(timeout::silent(1s, [] {}));
    EXPECT_EQ(timeout::silent(1s, [](int x) { return x; }, 3), 3);
    EXPECT_EQ(passed(start), 1s);
    const timeout outer{1s};
    EXPECT_THROW((void)timeout::silent(2s, [] { await(sleep_forever()); }), timeout_expired);
    EXPECT_THROW((void)timeout::silent(1s, [] { throw std::runtime_error{"x"}; }),
                 std::runtime_error);
  });
}

TEST(timeout_object, with_timeout_has_a_fallback_or_throws) {
  run_virtual([] {
    auto slow = [] {
      await(sleep_for(10s));
      return 1;
    };
    EXPECT_EQ(with_timeout(1s, slow, 7), 7);
    EXPECT_EQ(with_timeout(20s, slow, 7), 1);
    EXPECT_EQ(with_timeout(std::nullopt, slow), 1);
    EXPECT_THROW(with_timeout(1s, slow), timeout_expired);
  });
}

TEST(timeout_object, waits_in_the_handler_and_in_destructors_are_free) {
  run_virtual([] {
    const auto start = loop::current()->now();
    struct waits {
      ~waits() { await(sleep_for(1s)); }
    };
    try {
      const timeout t{1s};
      const waits w;
      await(sleep_forever());
    } catch (const timeout_expired&) {
      await(sleep_for(1s));
    }
    EXPECT_EQ(passed(start), 3s);
  });
}

TEST(timeout_object, in_a_plain_thread) {
  channel<int> c;
  timeout t{1ms};
  try {
    (void)await(c.receive());
    FAIL();
  } catch (const timeout_expired& e) {
    EXPECT_TRUE(e == t);
  }
  const timeout task_too{1ms};
  auto slow = []() -> task<> { co_await sleep_forever(); };
  EXPECT_THROW(await(slow()), timeout_expired);
}

TEST(timeout_object, not_in_a_coroutine) {
  run_virtual([]() -> task<> {
    EXPECT_THROW(timeout{1s}, would_block_loop);
    co_return;
  });
}

// A parameter or a variable may be called as the class is.
[[maybe_unused]] duration shadow(duration timeout) { return timeout; }

}  // namespace
}  // namespace oneloop
