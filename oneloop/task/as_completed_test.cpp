#include "oneloop/task/as_completed.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

task<int> after_ms(int ms) {
  co_await sleep_for(std::chrono::milliseconds{ms});
  if (ms == 20) throw std::runtime_error{"twenty"};
  co_return ms;
}

std::vector<task<int>> some() {
  std::vector<task<int>> v;
  for (const int ms : {30, 10, 20}) v.push_back(after_ms(ms));
  return v;
}

TEST(as_completed, gives_results_and_failures_in_the_order_of_their_ends) {
  std::string order;
  run(
      [](std::string& out) -> task<> {
        co_await with_nursery([&](nursery& n) -> task<> {
          as_completed all{n, some()};
          while (auto one = co_await all.next()) {
            try {
              out += std::to_string(one->index()) + "=" + std::to_string(one->get()) + " ";
            } catch (const std::runtime_error& e) {
              out += std::to_string(one->index()) + "=" + e.what() + " ";
            }
          }
        });
      }(order),
      "virtual");
  EXPECT_EQ(order, "1=10 2=twenty 0=30 ");
}

TEST(as_completed, leaving_early_leaves_the_rest_and_its_failures_to_the_nursery) {
  auto body = []() -> task<> {
    co_await with_nursery([](nursery& n) -> task<> {
      as_completed all{n, some()};
      auto first = co_await all.next();
      EXPECT_EQ(first->get(), 10);
    });
  };
  EXPECT_THROW(run(body(), "virtual"), std::runtime_error);
}

TEST(as_completed, works_over_operations_without_a_result) {
  run(
      []() -> task<> {
        co_await with_nursery([](nursery& n) -> task<> {
          std::vector<decltype(sleep_for(1s))> naps;
          naps.push_back(sleep_for(2s));
          naps.push_back(sleep_for(1s));
          as_completed all{n, std::move(naps)};
          auto first = co_await all.next();
          EXPECT_EQ(first->index(), 1u);
          first->get();
          EXPECT_EQ(all.left(), 1u);
        });
      }(),
      "virtual");
}

TEST(as_completed, a_cancelled_next_takes_nothing) {
  run(
      []() -> task<> {
        co_await with_nursery([](nursery& n) -> task<> {
          std::vector<task<int>> v;
          v.push_back(after_ms(50));
          as_completed all{n, std::move(v)};
          EXPECT_FALSE(co_await move_on_after(10ms, all.next()));
          auto one = co_await all.next();
          EXPECT_EQ(one->get(), 50);
        });
      }(),
      "virtual");
}

}  // namespace
}  // namespace oneloop
