#include "oneloop/scope/gather.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "oneloop/channel/channel.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

task<int> later(duration d, int v) {
  co_await sleep_for(d);
  co_return v;
}
task<int> fails(duration d, const char* text) {
  co_await sleep_for(d);
  throw std::runtime_error{text};
}

TEST(gather, gives_all_results_in_order_and_waits_for_the_slowest) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        auto [a, b, c] = co_await gather(later(3s, 1), later(1s, 2), sleep_for(2s));
        EXPECT_EQ(a, 1);
        EXPECT_EQ(b, 2);
        EXPECT_EQ(loop::current()->now() - t0, 3s);
        (void)c;
      }(),
      "virtual");
}

TEST(gather, of_a_vector_keeps_the_order) {
  run(
      []() -> task<> {
        std::vector<task<int>> tasks;
        for (int i = 0; i < 100; ++i) tasks.push_back(later((100 - i) * 1ms, i));
        auto all = co_await gather(std::move(tasks));
        for (int i = 0; i < 100; ++i) EXPECT_EQ(all[static_cast<std::size_t>(i)], i);
      }(),
      "virtual");
}

TEST(gather, of_an_empty_vector_is_empty) {
  run(
      []() -> task<> {
        auto all = co_await gather(std::vector<task<int>>{});
        EXPECT_TRUE(all.empty());
      }(),
      "virtual");
}

TEST(gather, first_failure_cancels_the_others_and_is_rethrown_unchanged) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        std::string caught;
        try {
          (void)co_await gather(later(1h, 1), fails(1s, "one"));
        } catch (const std::runtime_error& e) {
          caught = e.what();
        }
        EXPECT_EQ(caught, "one");
        EXPECT_EQ(loop::current()->now() - t0, 1s);
      }(),
      "virtual");
}

TEST(gather, cancelled_from_outside_cancels_all_parts) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        auto r = co_await move_on_after(1s, gather(later(1h, 1), later(2h, 2)));
        EXPECT_FALSE(r);
        EXPECT_EQ(loop::current()->now() - t0, 1s);
      }(),
      "virtual");
}

TEST(gather, in_a_scope_that_is_cancelled_already_starts_nothing) {
  run(
      []() -> task<> {
        bool began = false;
        auto body = [&]() -> task<int> {
          began = true;
          co_return 1;
        };
        (void)co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
          s.cancel();
          (void)co_await gather(body(), body());
        });
        EXPECT_FALSE(began);
      }(),
      "virtual");
}

TEST(gather_outcomes, gives_how_each_ended_and_leaves_the_others_alone) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        auto [a, b, c] = co_await gather_outcomes(later(3s, 1), fails(1s, "b"), sleep_for(2s));
        EXPECT_EQ(loop::current()->now() - t0, 3s);
        EXPECT_EQ(a.get(), 1);
        EXPECT_TRUE(b.failed());
        EXPECT_EQ(b.index(), 1u);
        EXPECT_THROW(b.get(), std::runtime_error);
        EXPECT_FALSE(c.failed());
        c.get();
      }(),
      "virtual");
}

TEST(gather_outcomes, of_a_vector_keeps_the_order) {
  run(
      []() -> task<> {
        std::vector<task<int>> tasks;
        tasks.push_back(later(2s, 1));
        tasks.push_back(fails(1s, "x"));
        tasks.push_back(later(0s, 3));
        auto all = co_await gather_outcomes(std::move(tasks));
        EXPECT_EQ(all[0].get(), 1);
        EXPECT_TRUE(all[1].failed());
        EXPECT_EQ(all[2].get(), 3);
        auto none = co_await gather_outcomes(std::vector<task<int>>{});
        EXPECT_TRUE(none.empty());
      }(),
      "virtual");
}

TEST(gather_outcomes, cancelled_from_outside_is_cancelled_whatever_had_come) {
  run(
      []() -> task<> {
        auto body = []() -> task<> {
          auto all = gather_outcomes(later(1s, 1), fails(1s, "x"), later(1h, 2));
          (void)co_await all;
          ADD_FAILURE() << "one part did not happen";
        };
        const bool done = co_await move_on_after(2s, body);
        EXPECT_FALSE(done);
      }(),
      "virtual");
}

TEST(gather_outcomes, parts_that_had_all_ended_are_delivered_in_a_cancelled_scope) {
  run(
      []() -> task<> {
        auto body = []() -> task<> {
          // The deadline and both ends fall together; the parts' timers are older.
          auto all = gather_outcomes(sleep_for(1s), sleep_for(1s));
          auto [a, b] = co_await all;
          EXPECT_FALSE(a.failed() || b.failed());
          EXPECT_TRUE(context::current().scope().cancelled());
        };
        const bool done = co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
          auto inner = body();
          s.set_deadline(never);
          auto t = gather(std::move(inner), [](cancel_scope* x) -> task<> {
            co_await sleep_for(1s);
            x->cancel();
          }(&s));
          co_await std::move(t);
        });
        EXPECT_TRUE(done);
      }(),
      "virtual");
}

TEST(first_of, gives_the_first_and_cancels_the_others) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        auto r = co_await first_of(later(2s, 1), later(1s, 2), sleep_for(3s));
        EXPECT_EQ(r.index(), 1u);
        EXPECT_EQ(r.get<1>(), 2);
        EXPECT_FALSE(r.late<0>());
        EXPECT_THROW((void)r.get<0>(), misuse);
        EXPECT_EQ(loop::current()->now() - t0, 1s);
      }(),
      "virtual");
}

TEST(first_of, a_loser_that_finished_all_the_same_is_kept) {
  run(
      []() -> task<> {
        auto stubborn = []() -> task<int> {
          try {
            co_await sleep_for(1h);
          } catch (const cancelled&) {
          }
          co_return 9;
        };
        auto r = co_await first_of(later(1s, 1), stubborn());
        EXPECT_EQ(r.index(), 0u);
        EXPECT_EQ(r.late<1>(), 9);
      }(),
      "virtual");
}

TEST(first_of, a_receive_that_lost_leaves_the_value_in_the_channel) {
  run(
      []() -> task<> {
        channel<int> ch{1};
        auto r = co_await first_of(ch.receive(), sleep_for(1s));
        EXPECT_EQ(r.index(), 1u);
        co_await ch.send(5);
        auto v = co_await ch.receive();
        EXPECT_EQ(v, 5);
      }(),
      "virtual");
}

TEST(first_of, a_failure_that_is_first_decides) {
  EXPECT_THROW(
      run([]() -> task<> { (void)co_await first_of(later(2s, 1), fails(1s, "x")); }(), "virtual"),
      std::runtime_error);
}

TEST(gather, in_a_plain_thread_drives_a_loop) {
  (void)await(gather(sleep_for(1ms), sleep_for(1ms)));
  EXPECT_EQ(await(first_of(sleep_forever(), sleep_for(1ms))).index(), 1u);
}

TEST(timeout, in_front_of_an_operation) {
  run(
      []() -> task<> {
        channel<int> ch{0};
        std::string text;
        try {
          (void)co_await fail_after(1s, ch.receive());
        } catch (const timeout_error& e) {
          text = e.what();
        }
        EXPECT_EQ(text, "fail_after: timed out");
        auto quick = co_await fail_after(1s, later(1ms, 4));
        EXPECT_EQ(quick, 4);
        EXPECT_FALSE(co_await move_on_after(1s, sleep_for(2s)));
        EXPECT_TRUE(co_await move_on_after(2s, sleep_for(1s)));
      }(),
      "virtual");
}

TEST(timeout, that_has_passed_already_starts_nothing) {
  run(
      []() -> task<> {
        channel<int> ch{1};
        co_await ch.send(1);
        auto r = co_await move_on_after(0s, ch.receive());
        EXPECT_FALSE(r);
        auto v = co_await ch.receive();
        EXPECT_EQ(v, 1);
      }(),
      "virtual");
}

TEST(timeout, in_a_plain_thread) {
  channel<int> ch{0};
  EXPECT_THROW((void)await(fail_after(5ms, ch.receive())), timeout_error);
  EXPECT_FALSE(await(move_on_after(5ms, ch.receive())));
}

}  // namespace
}  // namespace oneloop
