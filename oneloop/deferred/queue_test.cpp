#include "oneloop/deferred/queue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "oneloop/deferred/deferred_test.hpp"

namespace oneloop {
namespace {

void settle() { await(sleep_for(1ms)); }

TEST(deferred_queue, gives_values_in_order_to_those_who_wait_in_order) {
  on_loop([] {
    std::string got;
    deferred_queue<int> q;
    q.put(1);
    q.put(2);
    EXPECT_EQ(q.pending(), 2U);
    auto say = [&](char who) { return [&got, who](int v) { got += who + std::to_string(v); }; };
    for (const char who : {'a', 'b', 'c', 'd'}) q.get().add_callback(say(who));
    EXPECT_EQ(q.waiting(), 2U);
    q.put(3);
    q.put(4);
    settle();
    EXPECT_EQ(got, "a1b2c3d4");
  });
}

TEST(deferred_queue, a_put_that_is_one_too_many_is_refused) {
  on_loop([] {
    deferred_queue<std::unique_ptr<int>> q{1};
    q.put(std::make_unique<int>(1));
    EXPECT_THROW(q.put(nullptr), queue_overflow);
    int got = 0;
    q.get().add_callback([&](std::unique_ptr<int> v) { got = *v; });
    q.put(nullptr);
    settle();
    EXPECT_EQ(got, 1);
  });
}

TEST(deferred_queue, of_no_size_needs_somebody_who_waits) {
  on_loop([] {
    deferred_queue<int> q{0};
    EXPECT_THROW(q.put(1), queue_overflow);
    int got = 0;
    q.get().add_callback([&](int v) { got = v; });
    q.put(2);
    EXPECT_THROW(q.put(3), queue_overflow);
    settle();
    EXPECT_EQ(got, 2);
  });
}

TEST(deferred_queue, a_get_that_is_one_too_many_is_refused) {
  on_loop([] {
    deferred_queue<int> q{deferred_queue<int>::unlimited, 1};
    int got = 0;
    q.get().add_callback([&](int v) { got = v; });
    EXPECT_THROW(static_cast<void>(q.get()), queue_underflow);
    q.put(1);
    settle();
    EXPECT_EQ(got, 1);
    deferred_queue<int> never_waits{1, 0};
    EXPECT_THROW(static_cast<void>(never_waits.get()), queue_underflow);
    never_waits.put(5);
    never_waits.get().add_callback([&](int v) { got = v; });
    settle();
    EXPECT_EQ(got, 5);
  });
}

TEST(deferred_queue, a_cancelled_get_is_out_of_the_line) {
  on_loop([] {
    deferred_queue<int> q{deferred_queue<int>::unlimited, 2};
    int got = 0;
    bool was_cancelled = false;
    auto first = q.get();
    first.add_callback([&](int) { FAIL(); }).add_errback([&](const failure& f) {
      was_cancelled = f.check<cancelled>();
    });
    q.get().add_callback([&](int v) { got = v; });
    first.cancel();
    EXPECT_EQ(q.waiting(), 1U) << "at once";
    q.put(7);
    settle();
    EXPECT_EQ(got, 7);
    EXPECT_TRUE(was_cancelled);
    EXPECT_EQ(q.pending(), 0U);
  });
}

TEST(deferred_queue, is_a_channel_for_everybody_else) {
  on_loop([] {
    deferred_queue<int> q{1};
    q.put(1);
    EXPECT_EQ(await(q.shared().receive()), 1);
    q.shared().close();
    EXPECT_THROW(q.put(2), closed_error);
    bool refused = false;
    q.get().add_callback([](int) {}).add_errback([&](const failure& f) {
      refused = f.check<closed_error>();
    });
    settle();
    EXPECT_TRUE(refused);
  });
}

}  // namespace
}  // namespace oneloop
