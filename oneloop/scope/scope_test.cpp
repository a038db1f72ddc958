// The rules of cancel scopes, parties and task-locals that need a model to be seen.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "oneloop/base/log.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

TEST(cancel_scope, handle_cancels_from_a_foreign_thread_and_outlives_the_scope) {
  cancel_handle kept;
  std::thread foreign;
  run(
      [](cancel_handle& out, std::thread& t) -> task<> {
        const bool done = co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
          out = s.handle();
          t = std::thread{[h = out] { h.cancel(); }};
          co_await sleep_for(1h);
        });
        EXPECT_FALSE(done);
      }(kept, foreign),
      "epoll");
  foreign.join();
  kept.cancel();
}

TEST(cancel_scope, deadline_may_be_moved_while_the_code_sleeps) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        co_await with_nursery([&](nursery& n) -> task<> {
          cancel_scope* other = nullptr;
          n.start([&]() -> task<> {
            (void)co_await with_scope(scope_options{}.within(1s), [&](cancel_scope& s) -> task<> {
              other = &s;
              co_await sleep_for(1h);
            });
            EXPECT_EQ(loop::current()->now() - t0, 3s);
          });
          co_await sleep_for(500ms);
          other->set_deadline(t0 + 3s);
          co_await sleep_for(10s);
        });
      }(),
      "virtual");
}

TEST(cancel_scope, a_very_deep_nesting_is_cancelled_without_recursion) {
  loop l{"virtual"};
  std::vector<std::unique_ptr<cancel_scope>> chain;
  cancel_scope* above = nullptr;
  for (int i = 0; i < 200'000; ++i) {
    chain.push_back(std::make_unique<cancel_scope>(&l, nullptr, above));
    above = chain.back().get();
  }
  chain.front()->cancel();
  EXPECT_TRUE(chain.back()->cancelled());
  while (!chain.empty()) chain.pop_back();
}

// Or else each nursery of a deep nest would look through all of the nest when it is cancelled.
TEST(cancel_scope, the_cause_is_looked_for_only_where_one_interrupts) {
  const auto interrupts = [](cancel_scope&, context&) {};
  cancel_scope top{nullptr, nullptr, nullptr};
  cancel_scope timeout{nullptr, nullptr, &top};
  timeout.interrupt = interrupts;
  cancel_scope inside{nullptr, nullptr, &timeout};
  cancel_scope other{nullptr, nullptr, &top};
  cancel_scope deep{nullptr, nullptr, &other};
  EXPECT_FALSE(top.interruptible());
  EXPECT_TRUE(timeout.interruptible());
  EXPECT_TRUE(inside.interruptible());
  EXPECT_FALSE(deep.interruptible());
  other.move_below(inside);
  EXPECT_TRUE(deep.interruptible());
}

TEST(cancel_scope, lifting_a_shield_lets_the_cancellation_in) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        (void)co_await move_on_after(1s, [&]() -> task<> {
          co_await with_nursery([&](nursery& n) -> task<> {
            cancel_scope* inner = nullptr;
            n.start([&]() -> task<> {
              (void)co_await with_scope(scope_options{}.shielded(), [&](cancel_scope& s) -> task<> {
                inner = &s;
                try {
                  co_await sleep_for(1h);
                } catch (const cancelled&) {
                  EXPECT_EQ(loop::current()->now() - t0, 5s);
                  throw;
                }
              });
            });
            try {
              co_await sleep_for(1h);
            } catch (const cancelled&) {
            }
            co_await shielded([&]() -> task<> { co_await sleep_for(4s); });
            inner->set_shield(false);
          });
        });
        EXPECT_EQ(loop::current()->now() - t0, 5s);
      }(),
      "virtual");
}

TEST(with_resource, releases_on_cancel_under_a_shield) {
  run(
      []() -> task<> {
        std::string log;
        auto acquire = [&]() -> task<int> {
          log += "acquire ";
          co_return 7;
        };
        auto use = [&](int&) -> task<> {
          log += "use ";
          co_await sleep_for(1h);
        };
        auto release = [&](int& r) -> task<> {
          co_await sleep_for(1s);
          log += "release" + std::to_string(r);
        };
        EXPECT_FALSE(co_await move_on_after(
            1s, [&]() -> task<> { co_await with_resource(acquire, use, release); }));
        EXPECT_EQ(log, "acquire use release7");
      }(),
      "virtual");
}

TEST(with_resource, a_release_that_never_ends_is_cut_off) {
  run(
      []() -> task<> {
        const auto t0 = loop::current()->now();
        co_await with_resource([]() -> task<int> { co_return 1; },
                               [](int&) -> task<> { co_return; },
                               [](int&) -> task<> { co_await sleep_for(1h); }, 3s);
        EXPECT_EQ(loop::current()->now() - t0, 3s);
      }(),
      "virtual");
}

TEST(task_local, children_inherit_and_keep_their_own) {
  static task_local<std::string> who{"nobody"};
  run(
      []() -> task<> {
        EXPECT_EQ(who.get(), "nobody");
        who.set("parent");
        co_await with_nursery([](nursery& n) -> task<> {
          n.start([]() -> task<> {
            EXPECT_EQ(who.get(), "parent");
            who.set("child");
            co_await sleep_for(1ms);
            EXPECT_EQ(who.get(), "child");
          });
          co_await sleep_for(2ms);
          EXPECT_EQ(who.get(), "parent");
        });
        who.restore();
        EXPECT_EQ(who.get(), "nobody");
      }(),
      "virtual");
}

TEST(dump, shows_the_tree_and_what_each_party_waits_for) {
  run(
      []() -> task<> {
        channel<int> ch{0};
        co_await with_nursery([&](nursery& n) -> task<> {
          n.start(named{"reader", [](channel<int>& c) -> task<> { (void)co_await c.receive(); }},
                  std::ref(ch));
          n.start([]() -> task<> { co_await sleep_for(1h); });
          co_await sleep_for(1ms);
          const std::string tree = loop::current()->dump();
          EXPECT_NE(tree.find("loop on virtual"), std::string::npos) << tree;
          EXPECT_NE(tree.find("  main [coroutine] started at scope_test.cpp:"), std::string::npos)
              << tree;
          EXPECT_NE(tree.find("    reader [coroutine] started at scope_test.cpp:"),
                    std::string::npos)
              << tree;
          EXPECT_NE(tree.find("waits for channel.receive"), std::string::npos) << tree;
          n.cancel();
        });
      }(),
      "virtual");
}

// What the reports of ONELOOP_DEBUG=1 said (the tests run with it on).
struct heard {
  static inline std::string text;
  heard() {
    text.clear();
    set_log_hook([](severity, std::string_view line) noexcept { text.append(line).append("\n"); });
  }
  ~heard() { set_log_hook({}); }
};

TEST(debug, a_swallowed_cancellation_is_reported) {
  const heard h;
  run(
      []() -> task<> {
        (void)co_await with_scope(scope_options{}, [](cancel_scope& s) -> task<> {
          s.cancel();
          try {
            co_await sleep_for(1s);
          } catch (const cancelled&) {
          }
        });
      }(),
      "virtual");
  EXPECT_NE(heard::text.find("swallowed"), std::string::npos) << heard::text;
}

TEST(debug, a_cancellation_that_passes_is_not_reported) {
  const heard h;
  run(
      []() -> task<> {
        (void)co_await move_on_after(1s, []() -> task<> { co_await sleep_for(1h); });
      }(),
      "virtual");
  EXPECT_EQ(heard::text, "");
}

TEST(debug, a_party_that_holds_the_loop_is_named_with_its_line) {
  const heard h;
  run(
      []() -> task<> {
        co_await with_nursery([](nursery& n) -> task<> {
          n.start(named{"hog", []() -> task<> {
                          std::this_thread::sleep_for(150ms);
                          co_return;
                        }});
          co_return;
        });
      }(),
      "virtual");
  EXPECT_NE(heard::text.find("party 'hog' (started at "), std::string::npos) << heard::text;
  EXPECT_NE(heard::text.find("scope_test.cpp:"), std::string::npos) << heard::text;
  EXPECT_NE(heard::text.find("held the loop"), std::string::npos) << heard::text;
}

// A body that, resumed, neither finishes nor suspends in an operation: what g++ 12 makes of its
// idiom G1. Here a bare coroutine that the runtime knows nothing of stands in for it.
struct bare {
  struct promise_type {
    bare get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() const noexcept { return {}; }
    std::suspend_always final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    void unhandled_exception() const noexcept {}
  };
  std::coroutine_handle<> frame;
};

TEST(debug, a_lost_coroutine_body_is_reported) {
  const heard h;
  const bare lost = []() -> bare { co_await std::suspend_always{}; }();
  {
    loop l{"virtual"};
    auto& root = loop_root::of(l);
    context self{party_kind::coroutine,   &l,           detail::resume_coroutine,
                 root.children().scope(), &root.self(), {"lost"}};
    self.target = lost.frame.address();
    bool done = false;
    l.make_ready(self);
    l.post([&] { done = true; });
    l.run_until(done);
  }
  lost.frame.destroy();
  EXPECT_NE(heard::text.find("coroutine body lost in party 'lost'"), std::string::npos)
      << heard::text;
}

TEST(debug, a_call_from_the_wrong_thread_is_reported) {
  const heard h;
  run(
      []() -> task<> {
        (void)co_await with_scope(scope_options{}, [](cancel_scope& s) -> task<> {
          std::thread{[&s] { s.set_shield(false); }}.join();
          co_return;
        });
        co_await with_nursery([](nursery& n) -> task<> {
          std::thread{[&n] {
            EXPECT_THROW(n.start([]() -> task<> { co_return; }), wrong_thread);
          }}.join();
          co_return;
        });
      }(),
      "epoll");
  EXPECT_NE(heard::text.find("cancel_scope::set_shield was called on a thread"), std::string::npos)
      << heard::text;
}

TEST(plain_thread, waits_without_a_loop_and_is_cancelled_by_another_thread) {
  channel<int> ch{0};
  std::atomic<bool> entered{false};
  cancel_handle handle;
  std::thread waiting{[&] {
    const bool done = with_scope(scope_options{}, [&](cancel_scope& s) {
      handle = s.handle();
      entered = true;
      (void)await(ch.receive());
    });
    EXPECT_FALSE(done);
  }};
  while (!entered) std::this_thread::yield();
  handle.cancel();
  waiting.join();
}

TEST(plain_thread, receives_what_a_coroutine_sends) {
  channel<int> ch{0};
  int sum = 0;
  std::thread receiver{[&] {
    while (auto v = await(ch.receive())) sum += *v;
  }};
  run(
      [](channel<int>& c) -> task<> {
        for (int i = 1; i <= 1000; ++i) co_await c.send(i);
        c.close();
      }(ch),
      "epoll");
  receiver.join();
  EXPECT_EQ(sum, 500500);
}

TEST(blocking, await_in_a_coroutine_body_throws_instead_of_deadlocking) {
  run(
      []() -> task<> {
        EXPECT_THROW(await(sleep_for(1ms)), would_block_loop);
        co_return;
      }(),
      "virtual");
}

TEST(blocking, await_on_a_loops_own_stack_throws) {
  loop l{"virtual"};
  bool done = false;
  l.post([&] {
    EXPECT_THROW(await(sleep_for(1ms)), would_block_loop);
    done = true;
  });
  l.run_until(done);
}

}  // namespace
}  // namespace oneloop
