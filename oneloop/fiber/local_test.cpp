#include "oneloop/fiber/local.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>

#include "oneloop/fiber/fiber_test.hpp"
#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::run_virtual;

fiber_local<int> number{7};
fiber_local<std::string> text;
fiber_local<std::unique_ptr<int>> made{[] { return std::make_unique<int>(1); }};

TEST(fiber_local, each_fiber_has_its_own) {
  run_virtual([] {
    EXPECT_FALSE(number.has_value());
    number = 1;
    auto f = spawn([] {
      EXPECT_EQ(*number, 7) << "nothing is inherited";
      number = 2;
      text->append("child");
      await(sleep_for(1s));
      EXPECT_EQ(*number, 2);
      EXPECT_EQ(*text, "child");
      EXPECT_EQ(**made, 1);
    });
    await(sleep_for(500ms));
    EXPECT_EQ(*number, 1);
    EXPECT_EQ(*text, "");
    **made = 5;
    f.get();
    EXPECT_EQ(**made, 5);
  });
}

TEST(fiber_local, in_a_plain_thread_and_in_tasks) {
  std::thread{[] {
    number = 3;
    EXPECT_EQ(*number, 3);
    run_virtual([]() -> task<> {
      EXPECT_EQ(*number, 7);
      number = 4;
      co_await sleep_for(1s);
      EXPECT_EQ(*number, 4);
      fiber<int> f = spawn([] { return *number; });
      const int in_fiber = co_await f;
      EXPECT_EQ(in_fiber, 7);
      auto inside = []() -> task<int> { co_return *number; };
      const int in_task = co_await inside();
      EXPECT_EQ(in_task, 4) << "a task that is awaited is the same party";
    });
    EXPECT_EQ(*number, 3);
  }}.join();
  std::thread{[] { EXPECT_FALSE(number.has_value()); }}.join();
}

struct counted {
  explicit counted(int& n) : alive{&n} { ++*alive; }
  counted(const counted&) = delete;
  counted& operator=(const counted&) = delete;
  ~counted() {
    shielded([] { await(sleep_for(1s)); });  // it dies on the fiber's stack
    --*alive;
  }
  int* alive;
};

TEST(fiber_local, is_freed_at_the_end_of_the_fiber) {
  static int alive = 0;
  static fiber_local<std::unique_ptr<counted>> local;
  run_virtual([] {
    auto f = spawn([] {
      local = std::make_unique<counted>(alive);
      (void)*number;
    });
    auto killed = spawn([] {
      local = std::make_unique<counted>(alive);
      await(sleep_forever());
    });
    await(yield_now());
    EXPECT_EQ(alive, 2);
    f.join();
    EXPECT_EQ(alive, 1) << "before anybody hears of its end";
  });
  EXPECT_EQ(alive, 0);
}

}  // namespace
}  // namespace oneloop
