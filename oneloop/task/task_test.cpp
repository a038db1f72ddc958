#include "oneloop/task/task.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

task<int> value(int v) { co_return v; }

task<long> sum_in_a_loop(long n) {
  long sum = 0;
  for (long i = 0; i < n; ++i) sum += co_await value(1);
  co_return sum;
}

TEST(task, synchronous_awaits_in_a_loop_do_not_grow_the_stack) {
  EXPECT_EQ(run(sum_in_a_loop(10'000'000), "virtual"), 10'000'000);
}

task<int> throws() {
  co_await sleep_for(1ms);
  throw std::runtime_error{"boom"};
}

TEST(task, exception_of_the_body_is_thrown_by_the_await) {
  auto body = []() -> task<std::string> {
    try {
      (void)co_await throws();
    } catch (const std::runtime_error& e) {
      co_return e.what();
    }
    co_return "nothing";
  };
  EXPECT_EQ(run(body(), "virtual"), "boom");
}

TEST(task, run_rethrows_what_main_throws) { EXPECT_THROW(run(throws()), std::runtime_error); }

task<int&> reference(int& r) { co_return r; }
task<std::unique_ptr<int>> move_only() { co_return std::make_unique<int>(7); }

TEST(task, results_may_be_references_and_move_only) {
  int x = 1;
  run(
      [](int& r) -> task<> {
        int& same = co_await reference(r);
        auto p = co_await move_only();
        same += *p;
      }(x),
      "virtual");
  EXPECT_EQ(x, 8);
}

TEST(task, a_task_that_was_awaited_cannot_be_awaited_again) {
  auto body = []() -> task<> {
    auto t = value(1);
    (void)co_await std::move(t);
    (void)co_await std::move(t);  // NOLINT(bugprone-use-after-move)
  };
  EXPECT_THROW(run(body(), "virtual"), misuse);
}

TEST(task, a_task_that_never_ran_is_just_dropped) { (void)value(3); }

TEST(task, virtual_time_passes_without_waiting) {
  const auto start = std::chrono::steady_clock::now();
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        co_await sleep_for(24h);
        EXPECT_EQ(loop::current()->now() - t0, 24h);
      }(),
      "virtual");
  EXPECT_LT(std::chrono::steady_clock::now() - start, 10s);
}

// What a sleeping task costs, but for its frame.
static_assert(sizeof(detail::task_child<void, task<> (*)(int*), int*>) <= 216);

TEST(nursery, keeps_what_the_coroutine_of_a_child_only_refers_to) {
  struct sleeps {
    static task<> of_value(std::string text, std::vector<std::string>* out) {
      co_await sleep_for(1s);
      out->push_back(std::move(text));
    }
    static task<> of_reference(const std::string& text, std::vector<std::string>* out) {
      co_await sleep_for(1s);
      out->push_back(text);
    }
    static task<> of_view(std::string_view text, std::vector<std::string>* out) {
      co_await sleep_for(1s);
      out->emplace_back(text);
    }
    static task<> of_move_only(std::unique_ptr<std::string> text, std::vector<std::string>* out) {
      co_await sleep_for(1s);
      out->push_back(*text);
    }
  };
  const auto text = [](int n) {
    return "too long to be kept in a string itself, " + std::to_string(n);
  };
  std::vector<std::string> out;
  auto start_all = [&](nursery& n) -> task<> {
    n.start(sleeps::of_value, text(1), &out);
    n.start(sleeps::of_reference, text(2), &out);
    n.start(sleeps::of_view, text(3), &out);
    n.start(sleeps::of_move_only, std::make_unique<std::string>(text(4)), &out);
    n.start(
        [kept = text(5)](std::vector<std::string>* to) -> task<> {
          co_await sleep_for(1s);
          to->push_back(kept);
        },
        &out);
    co_return;
  };
  run(with_nursery(start_all), "virtual");
  EXPECT_EQ(out, (std::vector<std::string>{text(1), text(2), text(3), text(4), text(5)}));
}

TEST(nursery, waits_for_its_children_and_runs_them_concurrently) {
  std::string order;
  run(
      [](std::string& out) -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          auto child = [&](char c, duration d) -> task<> {
            co_await sleep_for(d);
            out += c;
          };
          n.start(child, 'b', 20ms);
          n.start(child, 'a', 10ms);
          n.start(child, 'c', 30ms);
          out += '(';
          co_return;
        });
        out += ')';
      }(order),
      "virtual");
  EXPECT_EQ(order, "(abc)");
}

TEST(nursery, first_failure_cancels_the_siblings_and_is_rethrown_unchanged) {
  bool cancelled_sibling = false;
  auto body = [](bool& flag) -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        try {
          co_await sleep_for(1h);
        } catch (const cancelled&) {
          flag = true;
          throw;
        }
      });
      n.start([]() -> task<> {
        co_await sleep_for(1ms);
        throw std::runtime_error{"child"};
      });
      co_return;
    });
  };
  EXPECT_THROW(run(body(cancelled_sibling), "virtual"), std::runtime_error);
  EXPECT_TRUE(cancelled_sibling);
}

TEST(nursery, several_failures_become_a_group_with_the_first_one_first) {
  auto body = []() -> task<> {
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([]() -> task<> {
        try {
          co_await sleep_for(1h);
        } catch (const cancelled&) {
        }
        throw std::runtime_error{"second"};
      });
      n.start([]() -> task<> {
        co_await sleep_for(1ms);
        throw std::runtime_error{"first"};
      });
      co_return;
    });
  };
  try {
    run(body(), "virtual");
    FAIL();
  } catch (const exception_group& g) {
    ASSERT_EQ(g.errors().size(), 2u);
    EXPECT_EQ(describe(g.errors()[0]), "first");
    EXPECT_EQ(describe(g.errors()[1]), "second");
  }
}

TEST(scope, a_deadline_ends_the_region_and_is_absorbed) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        const bool done = co_await move_on_after(1s, []() -> task<> { co_await sleep_for(1h); });
        EXPECT_FALSE(done);
        EXPECT_EQ(loop::current()->now() - t0, 1s);
      }(),
      "virtual");
}

TEST(scope, an_outer_deadline_is_never_turned_into_an_inner_one) {
  run(
      []() -> task<> {
        bool inner_returned = false;
        const bool done = co_await move_on_after(1s, [&]() -> task<> {
          (void)co_await move_on_after(1s, []() -> task<> { co_await sleep_for(1h); });
          inner_returned = true;
          co_await sleep_for(1h);
        });
        EXPECT_FALSE(done);
        EXPECT_FALSE(inner_returned);
      }(),
      "virtual");
}

TEST(scope, cancellation_is_level_triggered) {
  run(
      []() -> task<> {
        int thrown = 0;
        (void)co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
          s.cancel();
          for (int i = 0; i < 3; ++i) {
            try {
              co_await sleep_for(1ms);
            } catch (const cancelled&) {
              ++thrown;
            }
          }
          co_await sleep_for(1ms);
        });
        EXPECT_EQ(thrown, 3);
      }(),
      "virtual");
}

TEST(scope, a_shield_keeps_cancellation_out) {
  run(
      []() -> task<> {
        bool finished = false;
        const bool done = co_await move_on_after(1s, [&]() -> task<> {
          co_await shielded([&]() -> task<> {
            co_await sleep_for(10s);
            finished = true;
          });
          co_await sleep_for(1s);
        });
        EXPECT_FALSE(done);
        EXPECT_TRUE(finished);
      }(),
      "virtual");
}

TEST(channel_from_tasks, unbuffered_hand_over) {
  run(
      []() -> task<> {
        channel<int> ch{0};
        int sum = 0;
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start([&]() -> task<> {
            for (int i = 1; i <= 1000; ++i) co_await ch.send(i);
            ch.close();
          });
          while (auto v = co_await ch.receive()) sum += *v;
        });
        EXPECT_EQ(sum, 500500);
      }(),
      "virtual");
}

}  // namespace
}  // namespace oneloop
