#include "oneloop/fiber/greenlet.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/fiber/fiber_test.hpp"
#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/timeout.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::run_virtual;

greenlet here() { return greenlet::current(); }
greenlet up() { return greenlet::current().parent(); }

/// Each body runs in a plain thread without a loop, in a fiber and in a coroutine.
template <class F>
void everywhere(F body) {
  std::thread{[&] { body(); }}.join();
  run_virtual([&] { body(); });
  run_virtual([&]() -> task<> {
    body();
    co_return;
  });
}

TEST(greenlet, values_go_both_ways) {
  everywhere([] {
    greenlet g{[](int x) {
      const int y = up().switch_to<int>(x + 1);
      return y * 10;
    }};
    EXPECT_FALSE(g);
    EXPECT_FALSE(g.dead());
    EXPECT_EQ(g.switch_to<int>(1), 2);
    EXPECT_TRUE(g);
    EXPECT_EQ(g.switch_to<int>(5), 50);
    EXPECT_TRUE(g.dead());
    EXPECT_FALSE(g);
    EXPECT_EQ(g.switch_to<int>(9), 9) << "dead: straight back to the parent, the caller";
  });
}

TEST(greenlet, nothing_one_or_several_values) {
  everywhere([] {
    greenlet none{[] { up().switch_to(); }};
    none.switch_to<void>();
    none.switch_to<void>();
    EXPECT_TRUE(none.dead());
    greenlet several{[](int a, const std::string& b) {
      auto [c, d] = up().switch_to<std::tuple<int, std::string>>(b + std::to_string(a));
      return d + std::to_string(c);
    }};
    EXPECT_EQ(several.switch_to<std::string>(1, std::string{"a"}), "a1");
    EXPECT_EQ(several.switch_to<std::string>(2, std::string{"b"}), "b2");
    greenlet wrong{[](int) {}};
    EXPECT_THROW(wrong.switch_to(1.5), misuse) << "the greenlet dies of it";
    EXPECT_TRUE(wrong.dead());
    greenlet gives{[] { return 1; }};
    try {
      (void)gives.switch_to<std::string>();
      FAIL();
    } catch (const misuse& e) {
      EXPECT_NE(std::string{e.what()}.find("int was passed"), std::string::npos) << e.what();
    }
  });
}

TEST(greenlet, straight_from_one_to_another) {
  everywhere([] {
    std::string order;
    const greenlet main = here();
    std::vector<greenlet> g;
    g.emplace_back([&] {
      order += 'a';
      g[1].switch_to();
      order += 'c';
      g[1].switch_to();
      order += "never";
    });
    g.emplace_back([&] {
      order += 'b';
      g[0].switch_to();
      order += 'd';
      main.switch_to();
    });
    g[0].switch_to();
    EXPECT_EQ(order, "abcd");
    EXPECT_TRUE(here() == main);
  });
}

TEST(greenlet, death_returns_to_the_parent) {
  everywhere([] {
    std::string order;
    greenlet outer{[&] {
      greenlet inner{[&] {
        order += 'i';
        return std::string{"from inner"};
      }};
      order += inner.switch_to<std::string>();
      return 1;
    }};
    EXPECT_EQ(outer.switch_to<int>(), 1);
    EXPECT_EQ(order, "ifrom inner");
    const greenlet main = here();
    greenlet heir{[&](int x) { return x + 1; }};
    greenlet g{[] { return 4; }};
    g.parent(heir);
    EXPECT_EQ(g.switch_to<int>(), 5) << "an heir that had not begun begins with the value";
    EXPECT_TRUE(heir.dead());
    EXPECT_THROW(heir.parent(g), misuse) << "a circle";
    EXPECT_THROW((void)main.parent(), misuse);
  });
}

TEST(greenlet, exceptions_go_to_the_parent) {
  everywhere([] {
    greenlet g{[] { throw std::runtime_error{"boom"}; }};
    EXPECT_THROW(g.switch_to(), std::runtime_error);
    EXPECT_TRUE(g.dead());
    greenlet outer{[] {
      greenlet inner{[] { throw std::logic_error{"inner"}; }};
      try {
        inner.switch_to();
      } catch (const std::logic_error&) {
        return 1;
      }
      return 0;
    }};
    EXPECT_EQ(outer.switch_to<int>(), 1);
  });
}

TEST(greenlet, throw_raises_where_it_is_suspended) {
  everywhere([] {
    greenlet g{[] {
      try {
        up().switch_to();
      } catch (const std::runtime_error& e) {
        return std::string{e.what()};
      }
      return std::string{};
    }};
    g.switch_to();
    EXPECT_EQ(g.throw_<std::string>(std::runtime_error{"in"}), "in");
    EXPECT_THROW(g.throw_(std::runtime_error{"to a dead one"}), std::runtime_error);
    bool ran = false;
    greenlet fresh{[&] { ran = true; }};
    EXPECT_THROW(fresh.throw_(std::runtime_error{"x"}), std::runtime_error);
    EXPECT_TRUE(fresh.dead());
    EXPECT_FALSE(ran);
  });
}

TEST(greenlet, greenlet_exit_ends_it_quietly) {
  everywhere([] {
    bool unwound = false;
    greenlet g{[&] {
      struct at_end {
        bool& b;
        ~at_end() { b = true; }
      } mark{unwound};
      up().switch_to();
    }};
    g.switch_to();
    (void)g.throw_<greenlet_exit>();
    EXPECT_TRUE(unwound);
    EXPECT_TRUE(g.dead());
    greenlet fresh{[] {}};
    (void)fresh.throw_<greenlet_exit>();
    EXPECT_TRUE(fresh.dead());
  });
}

TEST(greenlet, a_suspended_one_that_nobody_holds_is_ended) {
  everywhere([] {
    std::string order;
    {
      greenlet g{[&] {
        struct at_end {
          std::string& s;
          ~at_end() { s += 'd'; }
        } mark{order};
        try {
          greenlet::current().parent().switch_to();
        } catch (const greenlet_exit&) {
          order += 'e';
          EXPECT_THROW(up().switch_to(), greenlet_exit) << "it cannot stay";
          throw;
        }
      }};
      const greenlet copy = g;
      g.switch_to();
      g = here();
      EXPECT_EQ(order, "");
    }
    EXPECT_EQ(order, "ed");
    // Also from inside another one, which goes on as if nothing had happened.
    greenlet outer{[&](int x) {
      {
        greenlet inner{[&] { up().switch_to(); }};
        inner.switch_to();
      }
      return x;
    }};
    EXPECT_EQ(outer.switch_to<int>(3), 3);
  });
}

TEST(greenlet, exceptions_in_flight_stay_apart) {
  everywhere([] {
    std::string order;
    auto body = [&](const char* name) {
      return greenlet{[&order, name] {
        try {
          throw std::runtime_error{name};
        } catch (const std::runtime_error& e) {
          up().switch_to();  // inside the handler
          order += e.what();
          try {
            throw;
          } catch (const std::runtime_error& again) {
            order += again.what();
          }
        }
        struct switches {
          ~switches() { up().switch_to(); }  // inside a destructor, while unwinding
        };
        try {
          const switches s;
          throw std::logic_error{name};
        } catch (const std::logic_error& e) {
          order += e.what();
        }
        EXPECT_EQ(std::uncaught_exceptions(), 0);
      }};
    };
    greenlet a = body("a"), b = body("b");
    for (int i = 0; i < 3; ++i) {
      a.switch_to();
      b.switch_to();
    }
    EXPECT_TRUE(a.dead() && b.dead());
    EXPECT_EQ(order, "aabbab");
  });
}

TEST(greenlet, belongs_to_the_fiber_or_thread_that_made_it) {
  greenlet g{[] { up().switch_to(); }};
  g.switch_to();
  std::thread{[&] {
    EXPECT_THROW(g.switch_to(), misuse);
    greenlet own{[] {}};
    EXPECT_THROW(own.parent(g), misuse);
  }}.join();
  run_virtual([&] {
    auto mine = std::make_unique<greenlet>([] { up().switch_to(); });
    mine->switch_to();
    auto other = spawn([&] {
      EXPECT_THROW(mine->switch_to(), misuse);
      EXPECT_THROW(g.switch_to(), misuse);
      mine.reset();  // but the last handle may go here
    });
    other.get();
  });
  g.switch_to();
  EXPECT_TRUE(g.dead());
}

TEST(greenlet, dropped_on_another_thread_it_is_ended_on_its_own) {
  std::thread::id ended_on;
  auto suspended = [&] {
    greenlet g{[&] {
      struct at_end {
        std::thread::id& id;
        ~at_end() { id = std::this_thread::get_id(); }
      } mark{ended_on};
      up().switch_to();
    }};
    g.switch_to();
    return g;
  };
  {
    greenlet g = suspended();
    std::thread{[g = std::move(g)]() mutable { const greenlet last = std::move(g); }}.join();
  }
  EXPECT_EQ(ended_on, std::thread::id{});
  (void)here();
  EXPECT_EQ(ended_on, std::this_thread::get_id());
  // Left behind at the end of its thread.
  std::thread::id owner;
  std::thread{[&] {
    owner = std::this_thread::get_id();
    greenlet g = suspended();
    std::thread{[g = std::move(g)]() mutable { const greenlet last = std::move(g); }}.join();
  }}.join();
  EXPECT_EQ(ended_on, owner);
}

TEST(greenlet, await_inside_makes_its_fiber_wait) {
  run_virtual([] {
    std::string order;
    auto other = spawn([&] {
      await(sleep_for(500ms));
      order += 'o';
    });
    const auto start = loop::current()->now();
    greenlet g{[&] {
      await(sleep_for(1s));
      order += 'g';
      up().switch_to();
      auto slow = []() -> task<int> {
        co_await sleep_for(1s);
        co_return 3;
      };
      return await(slow());
    }};
    g.switch_to();
    EXPECT_EQ(order, "og");
    await(sleep_for(1s));
    EXPECT_EQ(g.switch_to<int>(), 3);
    EXPECT_EQ(loop::current()->now() - start, 3s);
    other.get();
    // A cancel of the fiber comes out of the wait inside, and goes on to the parent.
    auto killed = spawn([&] {
      greenlet waits{[] { await(sleep_forever()); }};
      waits.switch_to();
      order += "never";
    });
    await(yield_now());
    killed.kill();
    EXPECT_EQ(order, "og");
    greenlet late{[] {
      const timeout t{1s};
      await(sleep_forever());
    }};
    EXPECT_THROW(late.switch_to(), timeout_expired);
  });
}

TEST(greenlet, await_inside_works_in_a_plain_thread_and_not_in_a_coroutine) {
  greenlet g{[] { await(sleep_for(1ms)); }};
  g.switch_to();
  EXPECT_TRUE(g.dead());
  run_virtual([]() -> task<> {
    greenlet in_task{[] { await(sleep_for(1ms)); }};
    EXPECT_THROW(in_task.switch_to(), would_block_loop);
    co_return;
  });
}

TEST(greenlet, many_of_them_nested_and_side_by_side) {
  everywhere([] {
    // A chain: each makes the next.
    struct chain {
      static int go(int depth) {
        if (depth == 0) return 0;
        greenlet next{[depth] { return go(depth - 1) + 1; }};
        return next.switch_to<int>();
      }
    };
    EXPECT_EQ(chain::go(100), 100);
    std::vector<greenlet> all;
    for (int i = 0; i < 500; ++i) {
      all.emplace_back([i] {
        int x = i;
        while (x != 0) x = up().switch_to<int>(x - 1);
      });
    }
    for (auto& g : all) g.switch_to(), g.switch_to(1);
  });
}

}  // namespace
}  // namespace oneloop
