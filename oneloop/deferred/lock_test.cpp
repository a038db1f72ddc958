#include "oneloop/deferred/lock.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "oneloop/deferred/deferred_test.hpp"

namespace oneloop {
namespace {

TEST(deferred_lock, is_held_until_the_guard_dies_and_then_the_next_ones) {
  on_loop([] {
    deferred_lock lock;
    std::string order;
    lock.acquire().add_callback([&](mutex_guard g) {
      order += 'a';
      return defer(sleep_for(1s)).add_callback([g = std::move(g)] {});
    });
    lock.acquire().add_callback([&](mutex_guard) { order += 'b'; });
    lock.acquire().add_callback([&](mutex_guard) { order += 'c'; });
    EXPECT_TRUE(lock.locked());
    EXPECT_EQ(lock.waiting(), 2U);
    await(sleep_for(500ms));
    EXPECT_EQ(order, "a");
    await(sleep_for(1s));
    EXPECT_EQ(order, "abc");
    EXPECT_FALSE(lock.locked());
  });
}

TEST(deferred_lock, a_guard_that_nobody_takes_unlocks) {
  on_loop([] {
    deferred_lock lock;
    static_cast<void>(lock.acquire());
    int got = 0;
    lock.acquire()
        .add_callback([](mutex_guard) { throw std::runtime_error{"in the section"}; })
        .add_errback([&] { got = 1; });
    await(sleep_for(1s));
    EXPECT_EQ(got, 1);
    EXPECT_FALSE(lock.locked());
  });
}

TEST(deferred_lock, run_holds_it_until_what_the_function_gives_has_ended) {
  on_loop([] {
    deferred_lock lock;
    std::string order;
    auto work = [&](const char* name, duration d) -> task<std::string> {
      order += std::string{name} + '(';
      co_await sleep_for(d);
      order += ')';
      co_return name;
    };
    std::vector<std::string> got;
    auto keep = [&](std::string s) { got.push_back(std::move(s)); };
    lock.run(work, "a", 2s).add_callback(keep);
    lock.run([&] { return work("b", 1s); }).add_callback(keep);
    lock.run([](int v) { return std::to_string(v); }, 3).add_callback(keep);
    lock.run([&] { return defer(sleep_for(1s)); }).add_callback([&] { order += '.'; });
    await(sleep_for(10s));
    EXPECT_EQ(order, "a()b().");
    EXPECT_EQ(got, (std::vector<std::string>{"a", "b", "3"}));
    EXPECT_FALSE(lock.locked());
  });
}

TEST(deferred_lock, run_unlocks_also_after_a_failure) {
  on_loop([] {
    deferred_lock lock;
    std::string got;
    auto say = [&](const failure& f) { got += f.what(); };
    lock.run([] { throw std::runtime_error{"now "}; }).add_errback(say);
    lock.run([]() -> task<> {
          co_await sleep_for(1s);
          throw std::runtime_error{"later "};
        })
        .add_errback(say);
    lock.run([&] { got += "next"; });
    await(sleep_for(2s));
    EXPECT_EQ(got, "now later next");
    EXPECT_FALSE(lock.locked());
  });
}

TEST(deferred_lock, cancel_of_a_waiting_acquire_takes_it_out_of_the_line) {
  on_loop([] {
    deferred_lock lock;
    mutex_guard held = lock.shared().try_lock();
    auto first = lock.acquire();
    bool was_cancelled = false, second = false;
    first.add_callback([](mutex_guard) { FAIL(); }).add_errback([&](const failure& f) {
      was_cancelled = f.check<cancelled>();
    });
    lock.acquire().add_callback([&](mutex_guard) { second = true; });
    first.cancel();
    EXPECT_EQ(lock.waiting(), 1U);
    held.unlock();
    await(sleep_for(1s));
    EXPECT_TRUE(was_cancelled && second);
    EXPECT_FALSE(lock.locked());
  });
}

TEST(deferred_lock, cancel_of_a_run_before_and_after_it_has_begun) {
  on_loop([] {
    deferred_lock lock;
    int cancels = 0;
    auto count = [&](const failure& f) { cancels += f.check<cancelled>() ? 1 : 0; };
    auto running = lock.run([] { return defer(sleep_forever()); });
    auto waiting = lock.run([] { FAIL(); });
    running.add_errback(count);
    waiting.add_errback(count);
    await(sleep_for(1s));
    waiting.cancel();
    await(sleep_for(1s));
    EXPECT_EQ(cancels, 1);
    EXPECT_TRUE(lock.locked());
    running.cancel();
    await(sleep_for(1s));
    EXPECT_EQ(cancels, 2);
    EXPECT_FALSE(lock.locked());
  });
}

TEST(deferred_semaphore, as_many_as_there_are_tokens_run_at_once) {
  on_loop([] {
    deferred_semaphore some{3};
    int running = 0, most = 0, done = 0;
    for (int i = 0; i < 10; ++i) {
      some.run([&]() -> task<int> {
            most = std::max(most, ++running);
            co_await sleep_for(1s);
            co_return --running;
          })
          .add_callback([&] { ++done; });
    }
    EXPECT_EQ(some.tokens(), 0U);
    EXPECT_EQ(some.limit(), 3U);
    EXPECT_EQ(some.waiting(), 7U);
    const auto start = loop::current()->now();
    while (done < 10) await(sleep_for(500ms));
    EXPECT_EQ(loop::current()->now() - start, 4s + 500ms);
    EXPECT_EQ(most, 3);
    EXPECT_EQ(some.tokens(), 3U);
  });
}

TEST(deferred_semaphore, cancel_of_a_waiting_acquire_takes_nothing) {
  on_loop([] {
    deferred_semaphore one{1};
    auto held = one.acquire();
    auto second = one.acquire();
    second.cancel();
    EXPECT_EQ(one.waiting(), 0U);
    held.add_callback([](semaphore_permit) {});
    await(sleep_for(1s));
    EXPECT_EQ(one.tokens(), 1U);
  });
}

}  // namespace
}  // namespace oneloop
