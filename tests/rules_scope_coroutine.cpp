// The rules of scopes and nurseries that are about more than one wait, in coroutines; and in chains
// of callbacks, which have no scope but their nursery's.
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/spawn.hpp"
#include "tests/rules_bodies.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using rules::fail, rules::heard, rules::on_every_loop;

// ---- scopes ----

TEST(S1_absorbing, of_a_coroutines_scope_only_if_it_was_cancelled) {
  on_every_loop([]() -> task<> {
    auto throwing = [](cancel_scope&) -> task<> {
      throw cancelled{};
      co_return;
    };
    auto region = with_scope(scope_options{}, throwing);
    EXPECT_THROW((void)co_await std::move(region), cancelled);
  });
}

TEST(S2_outer_and_inner_limits, of_coroutines_that_come_together_are_the_outer_ones) {
  on_every_loop([]() -> task<> {
    bool inner_timed_out = false;
    for (const bool operation : {false, true}) {
      auto body = [&]() -> task<> {
        try {
          if (operation) {
            co_await fail_after(2ms, sleep_for(1h));
          } else {
            auto sleeps = []() -> task<> { co_await sleep_for(1h); };
            co_await fail_after(2ms, sleeps);
          }
        } catch (const timeout_error&) {
          inner_timed_out = true;
        }
      };
      auto limited = move_on_after(2ms, body);
      EXPECT_FALSE(co_await std::move(limited));
    }
    EXPECT_FALSE(inner_timed_out);
  });
}

TEST(S3_a_coroutines_nursery_that_is_cancelled_when_all_is_done, absorbs_nothing) {
  on_every_loop([]() -> task<> {
    auto body = [](cancel_scope&) -> task<> {
      nursery n{context::current()};
      n.cancel();
      co_await n.join();
      n.close();
      EXPECT_TRUE(n.scope().cancel_called());
      EXPECT_FALSE(n.scope().absorbed());
    };
    auto region = with_scope(scope_options{}, body);
    EXPECT_TRUE(co_await std::move(region));
  });
}

TEST(S5_a_shield_flipped_during_unwinding, of_a_coroutine_swallows_nobody_elses_cancel) {
  on_every_loop([]() -> task<> {
    for (const bool both : {false, true}) {
      std::optional<bool> inner_ended;
      auto in_outer = [&](cancel_scope& outer) -> task<> {
        auto in_inner = [&](cancel_scope& inner) -> task<> {
          outer.cancel();
          if (both) inner.cancel();
          bool thrown = false;
          try {
            co_await sleep_for(1h);
          } catch (const cancelled&) {
            thrown = true;
          }
          EXPECT_TRUE(thrown);
          inner.set_shield(true);
          if (!both) co_await sleep_for(1ms);
          throw cancelled{};
        };
        auto region = with_scope(scope_options{}, in_inner);
        inner_ended = co_await std::move(region);
        co_await yield_now();
        ADD_FAILURE() << "the outer scope is cancelled still";
      };
      auto region = with_scope(scope_options{}, in_outer);
      EXPECT_FALSE(co_await std::move(region));
      // With a cancel of its own it absorbs that.
      EXPECT_EQ(inner_ended, both ? std::optional{false} : std::nullopt);
    }
  });
}

TEST(S5_a_shield_flipped_above_a_child_elsewhere, of_coroutines_is_no_lost_loop) {
  runtime r{1};
  on_every_loop([&r]() -> task<> {
    if (std::string_view{loop::current()->backend_name()} == "virtual")
      co_return;  // it has no threads
    event entered, unwinding, flipped;
    auto child = [&]() -> task<> {
      entered.set();
      bool thrown = false;
      try {
        co_await sleep_for(1h);
      } catch (const cancelled&) {
        thrown = true;
      }
      EXPECT_TRUE(thrown);
      auto calm = [&]() -> task<> {
        unwinding.set();
        co_await flipped.wait();
        co_await sleep_for(5ms);  // the shield is news here, too
      };
      co_await shielded(calm);
      throw cancelled{};
    };
    auto in_outer = [&](cancel_scope& outer) -> task<> {
      auto in_nursery = [&](nursery& n) -> task<> {
        n.start_on(r.loop(0), child);
        co_await entered.wait();
        outer.cancel();
        auto calm = [&]() -> task<> { co_await unwinding.wait(); };
        co_await shielded(calm);
        n.scope().set_shield(true);
        flipped.set();
      };
      auto inside = with_nursery(in_nursery);
      co_await std::move(inside);
      co_await yield_now();
    };
    auto region = with_scope(scope_options{}, in_outer);
    EXPECT_FALSE(co_await std::move(region));
  });
}

TEST(S6_misnested_scopes, of_a_coroutine_are_reported_and_corrupt_nothing) {
  on_every_loop([]() -> task<> {
    const heard h;
    context& c = context::current();
    auto first = std::make_unique<scope_region>(c, scope_options{});
    auto second = std::make_unique<scope_region>(c, scope_options{}.within(2ms));
    auto third = std::make_unique<scope_region>(c, scope_options{});
    first = nullptr;  // before the others
    EXPECT_NE(heard::text.find("misnested"), std::string::npos) << heard::text;
    EXPECT_EQ(&c.scope(), &third->scope());
    EXPECT_THROW(co_await sleep_for(1h), cancelled);
    second = nullptr;
    co_await sleep_for(2ms);
    third = nullptr;
    co_await yield_now();
  });
}

TEST(S6_a_nursery_left_before_a_scope_in_it, in_a_coroutine_corrupts_nothing) {
  on_every_loop([]() -> task<> {
    const heard h;
    auto in_outer = [](cancel_scope& outer) -> task<> {
      std::unique_ptr<scope_region> left;
      auto in_nursery = [&](nursery& n) -> task<> {
        left = std::make_unique<scope_region>(context::current(), scope_options{});
        auto sleeps = []() -> task<> { co_await sleep_for(1ms); };
        n.start(sleeps);
        co_return;
      };
      auto inside = with_nursery(in_nursery);
      co_await std::move(inside);
      EXPECT_NE(heard::text.find("misnested"), std::string::npos);
      outer.cancel();
      EXPECT_TRUE(left->scope().cancelled());  // it is in `outer` now
      EXPECT_THROW(co_await yield_now(), cancelled);
      left = nullptr;
      co_await yield_now();
    };
    auto region = with_scope(scope_options{}, in_outer);
    EXPECT_FALSE(co_await std::move(region));
  });
}

TEST(S8_swallowing, by_a_coroutine_ends_normally_and_is_reported) {
  on_every_loop([]() -> task<> {
    const heard h;
    auto swallows = [](cancel_scope& s) -> task<> {
      s.cancel();
      try {
        co_await yield_now();
      } catch (const cancelled&) {
      }
    };
    auto region = with_scope(scope_options{}, swallows);
    EXPECT_TRUE(co_await std::move(region));
    EXPECT_NE(heard::text.find("swallowed"), std::string::npos) << heard::text;
  });
}

// ---- nurseries ----

task<> late_child(nursery* n, int left, int* ended) {
  co_await sleep_for(1ms);
  if (left != 0) n->start(late_child, n, left - 1, ended);  // the body has long been over
  ++*ended;
}

TEST(N1_late_children, of_coroutines_are_waited_for) {
  on_every_loop([]() -> task<> {
    int ended = 0;
    auto body = [&](nursery& n) -> task<> {
      n.start(late_child, &n, 20, &ended);
      co_return;
    };
    auto region = with_nursery(body);
    co_await std::move(region);
    EXPECT_EQ(ended, 21);
  });
}

task<> fails_after_1ms(const char* text) {
  co_await sleep_for(1ms);
  fail(text);
}
task<> fails_when_cancelled(const char* text) {
  bool thrown = false;
  try {
    co_await sleep_for(1h);
  } catch (const cancelled&) {
    thrown = true;
  }
  if (thrown) fail(text);
}
task<> sleeps_long() { co_await sleep_for(1h); }

TEST(N2_failures, of_coroutines_one_unchanged_several_as_a_group_the_first_first) {
  on_every_loop([]() -> task<> {
    auto one = [](nursery& n) -> task<> {
      n.start(fails_after_1ms, "one");
      co_await sleep_for(1h);
    };
    auto region = with_nursery(one);
    EXPECT_THROW(co_await std::move(region), std::runtime_error);

    auto three = [](nursery& n) -> task<> {
      n.start(fails_after_1ms, "first");
      n.start(fails_when_cancelled, "in the clean-up");
      n.start(sleeps_long);
      auto body = fails_when_cancelled("body");
      co_await std::move(body);
    };
    std::optional<exception_group> thrown;
    try {
      auto inside = with_nursery(three);
      co_await std::move(inside);
    } catch (const exception_group& g) {
      thrown = g;
    }
    EXPECT_TRUE(thrown);
    if (!thrown) co_return;
    EXPECT_EQ(thrown->errors().size(), 3u);  // and not the one that was only cancelled
    EXPECT_EQ(describe(thrown->errors()[0]), "first");
  });
}

TEST(N3_cancelled_only, of_coroutines_collapses) {
  on_every_loop([]() -> task<> {
    // Its own cancel is absorbed, however many were ended by it.
    auto own = [](nursery& n) -> task<> {
      for (int i = 0; i < 5; ++i) n.start(sleeps_long);
      co_await sleep_for(1ms);
      n.cancel();
      co_await sleep_for(1h);
    };
    auto region = with_nursery(own);
    co_await std::move(region);
    // One from outside goes on as one `cancelled`.
    auto from_outside = []() -> task<> {
      auto children = [](nursery& n) -> task<> {
        for (int i = 0; i < 5; ++i) n.start(sleeps_long);
        co_return;
      };
      auto inside = with_nursery(children);
      co_await std::move(inside);
      ADD_FAILURE() << "the children were cancelled from outside";
    };
    auto limited = move_on_after(1ms, from_outside);
    EXPECT_FALSE(co_await std::move(limited));
  });
}

TEST(N3_an_error_beside_an_outer_cancel, of_a_coroutine_is_not_lost) {
  on_every_loop([]() -> task<> {
    auto body = []() -> task<> {
      auto child = [](nursery& n) -> task<> {
        n.start(fails_when_cancelled, "clean-up");
        co_return;
      };
      auto inside = with_nursery(child);
      co_await std::move(inside);
    };
    auto limited = move_on_after(1ms, body);
    EXPECT_THROW((void)co_await std::move(limited), std::runtime_error);
  });
}

TEST(N4_a_child_of_a_coroutines_cancelled_nursery, starts_and_ends_at_its_first_wait) {
  on_every_loop([]() -> task<> {
    int begun = 0, went_on = 0;
    auto function = [&] {
      ++begun;
      await(yield_now());
      ++went_on;
    };
    auto coroutine = [&]() -> task<> {
      ++begun;
      co_await yield_now();
      ++went_on;
    };
    auto body = [&](nursery& n) -> task<> {
      n.cancel();
      n.start(std::ref(function));
      n.start(std::ref(coroutine));
      co_return;
    };
    auto region = with_nursery(body);
    co_await std::move(region);
    EXPECT_EQ(begun, 2);
    EXPECT_EQ(went_on, 0);
  });
}

TEST(N5_a_child_that_says_when_it_is_ready, is_the_calling_coroutines_until_then) {
  on_every_loop([]() -> task<> {
    auto before = [](nursery& n) -> task<> {
      auto fails_before = [](ready_signal<>) -> task<> {
        co_await yield_now();
        fail("before");
      };
      auto failing = n.start_and_wait_ready(fails_before);
      EXPECT_THROW(co_await failing, std::runtime_error);
      auto never_ready = [](ready_signal<>) -> task<> { co_await yield_now(); };
      auto silent = n.start_and_wait_ready(never_ready);
      EXPECT_THROW(co_await silent, misuse);
      EXPECT_FALSE(n.scope().cancelled());
    };
    auto region = with_nursery(before);
    co_await std::move(region);
    auto after = [](nursery& n) -> task<> {
      auto fails_after = [](ready_signal<int> ready) -> task<> {
        ready.started(7);
        co_await yield_now();
        fail("after");
      };
      auto starting = n.start_and_wait_ready(fails_after);
      const int given = co_await starting;
      EXPECT_EQ(given, 7);
      co_await sleep_for(1h);
    };
    auto failing = with_nursery(after);
    EXPECT_THROW(co_await std::move(failing), std::runtime_error);
  });
}

TEST(N6_a_handle, of_a_coroutine_decides_who_hears_of_a_failure) {
  on_every_loop([]() -> task<> {
    // Who joins hears of it, and nobody else.
    auto joins = [](nursery& n) -> task<> {
      const joinable<> child = spawn(n, fails_after_1ms, "child");
      EXPECT_THROW(co_await child.join(), std::runtime_error);
      EXPECT_FALSE(n.scope().cancelled());
    };
    auto region = with_nursery(joins);
    co_await std::move(region);
    // The nursery, if nobody can any more.
    auto drops = [](nursery& n) -> task<> {
      (void)spawn(n, fails_after_1ms, "child");
      co_await sleep_for(1h);
    };
    auto failing = with_nursery(drops);
    EXPECT_THROW(co_await std::move(failing), std::runtime_error);
    // A cancelled join leaves the child alone, and one of a cancelled child says so.
    auto cancels = [](nursery& n) -> task<> {
      event go;
      auto gives = [](event* e) -> task<int> {
        co_await e->wait();
        co_return 7;
      };
      const joinable<int> child = spawn(n, gives, &go);
      auto in_scope = [&](cancel_scope& s) -> task<> {
        s.cancel();
        (void)co_await child.join();
      };
      auto inside = with_scope(scope_options{}, in_scope);
      EXPECT_FALSE(co_await std::move(inside));
      go.set();
      const int given = co_await child.join();
      EXPECT_EQ(given, 7);
      const joinable<> endless = spawn(n, sleeps_long);
      endless.cancel();
      EXPECT_THROW(co_await endless.join(), cancelled_error);
    };
    auto last = with_nursery(cancels);
    co_await std::move(last);
  });
}

// ---- chains of callbacks: children of the nursery that they were deferred in ----

TEST(N1_deferreds, are_children_that_are_waited_for) {
  on_every_loop([] {
    int fired = 0;
    with_nursery([&](nursery&) {
      defer(sleep_for(1ms)).add_callback([&fired] {
        ++fired;
        return defer(yield_now()).add_callback([&fired] { ++fired; });
      });
    });
    EXPECT_EQ(fired, 2);
  });
}

TEST(N2_a_failure_of_a_deferred, goes_down_its_chain_and_not_to_the_nursery) {
  on_every_loop([] {
    std::string said;
    with_nursery([&](nursery&) {
      defer(fails_after_1ms("chain")).add_errback([&said](const failure& f) { said = f.what(); });
      await(sleep_for(2ms));
    });
    EXPECT_EQ(said, "chain");
  });
}

TEST(N4_a_deferred_of_a_cancelled_nursery, is_cancelled_and_collapses) {
  on_every_loop([] {
    int was_cancelled = 0;
    with_nursery([&](nursery& n) {
      const auto count = [&](const failure& f) { was_cancelled += is_cancelled(f.exception()); };
      defer(sleep_for(1h)).add_errback(count);
      await(yield_now());
      n.cancel();
      defer(yield_now()).add_errback(count);
    });
    EXPECT_EQ(was_cancelled, 2);
  });
}

}  // namespace
}  // namespace oneloop
