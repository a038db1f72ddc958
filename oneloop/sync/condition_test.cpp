#include "oneloop/sync/condition.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/test_waiter.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

/// A party that waits, with its guard.
struct waiting_party {
  waiting_party(condition& c, mutex& m) : guard{m.try_lock()}, wait{c.wait(guard)} {}
  mutex_guard guard;
  attempt<condition::wait_operation> wait;
};

TEST(condition, unlocks_while_it_waits_and_has_the_lock_when_it_is_woken) {
  mutex m;
  condition c;
  waiting_party p{c, m};
  EXPECT_TRUE(p.wait.waits());
  EXPECT_FALSE(p.guard);
  EXPECT_FALSE(m.locked());
  EXPECT_EQ(c.notify(), 1u);
  EXPECT_TRUE(p.wait.completed());
  EXPECT_TRUE(m.locked());
  p.wait.result();
  EXPECT_TRUE(p.guard);
}

TEST(condition, who_is_notified_is_woken_when_the_lock_is_free) {
  mutex m;
  condition c;
  waiting_party a{c, m}, b{c, m};
  auto held = m.try_lock();
  EXPECT_EQ(c.notify_all(), 2u);
  EXPECT_TRUE(a.wait.waits());
  EXPECT_EQ(m.statistics().waiting, 2u);
  held.unlock();
  EXPECT_TRUE(a.wait.completed());
  EXPECT_TRUE(b.wait.waits());
  a.wait.result();
  a.guard.unlock();
  EXPECT_TRUE(b.wait.completed());
}

TEST(condition, notify_wakes_so_many_in_the_order_of_arrival_and_is_not_kept) {
  mutex m;
  condition c;
  EXPECT_EQ(c.notify(3), 0u);
  waiting_party a{c, m}, b{c, m}, d{c, m};
  EXPECT_EQ(c.statistics().waiting, 3u);
  EXPECT_EQ(c.notify(2), 2u);
  EXPECT_TRUE(a.wait.completed());
  a.wait.result();
  a.guard.unlock();
  EXPECT_TRUE(b.wait.completed());
  b.wait.result();
  b.guard.unlock();
  EXPECT_TRUE(d.wait.waits());
  EXPECT_EQ(c.statistics().waiting, 1u);
}

TEST(condition, a_cancelled_wait_locks_again_before_it_throws) {
  mutex m;
  condition c;
  waiting_party p{c, m};
  auto held = m.try_lock();
  p.wait.cancel();
  EXPECT_TRUE(p.wait.waits()) << "for the lock";
  EXPECT_EQ(c.notify(), 0u) << "nothing of a notify is spent on it";
  held.unlock();
  EXPECT_TRUE(p.wait.was_cancelled());
  EXPECT_TRUE(p.guard);
}

TEST(condition, a_cancel_after_the_notify_comes_too_late) {
  mutex m;
  condition c;
  waiting_party p{c, m};
  auto held = m.try_lock();
  EXPECT_EQ(c.notify(), 1u);
  p.wait.cancel();
  p.wait.cancel();
  held.unlock();
  EXPECT_TRUE(p.wait.completed());
}

TEST(condition, a_notify_that_nobody_picks_up_is_passed_on) {
  mutex m;
  condition c;
  auto a = std::make_unique<waiting_party>(c, m);
  waiting_party b{c, m};
  auto held = m.try_lock();
  EXPECT_EQ(c.notify(), 1u);
  a.reset();  // while it waits for the lock
  held.unlock();
  EXPECT_TRUE(b.wait.completed());
  EXPECT_EQ(b.wait.resumed(), 1);
}

TEST(condition, waiting_without_the_lock_or_with_another_one_is_misuse) {
  mutex m, other;
  condition c;
  mutex_guard none;
  EXPECT_THROW(await(c.wait(none)), misuse);
  EXPECT_THROW(await(c.wait_until(none, [] { return true; })), misuse);
  waiting_party p{c, m};
  auto held = other.try_lock();
  EXPECT_THROW(await(c.wait(held)), misuse);
  EXPECT_TRUE(held) << "it has its lock back";
  EXPECT_EQ(c.statistics().waiting, 1u);
}

// ---- from every model ----

struct shared_state {
  mutex m;
  condition c;
  int n = 0;
  std::string order;

  void set(int value) {
    {
      auto guard = m.try_lock();
      ASSERT_TRUE(guard);
      n = value;
    }
    c.notify_all();
  }
};

TEST(condition, wait_until_looks_again_after_each_notify) {
  const auto consumer = [](shared_state& s, int wanted) -> task<> {
    auto guard = co_await s.m.lock();
    co_await s.c.wait_until(guard, [&s, wanted] { return s.n >= wanted; });
    EXPECT_TRUE(guard);
    s.order += static_cast<char>('0' + wanted);
  };
  const auto main = [&](shared_state& s) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start(consumer, std::ref(s), 3);
      n.start([&s] {  // a fiber
        auto guard = await(s.m.lock());
        await(s.c.wait_until(guard, [&s] { return s.n >= 2; }));
        s.order += '2';
      });
      auto chain = defer(s.m.lock()).add_callback([&s](mutex_guard g) {
        auto kept = std::make_shared<mutex_guard>(std::move(g));
        return defer(s.c.wait_until(*kept, [&s] { return s.n >= 1; })).add_callback([&s, kept] {
          s.order += '1';
        });
      });
      for (int i = 1; i <= 3; ++i) {
        co_await sleep_for(1s);
        EXPECT_EQ(s.c.statistics().waiting, static_cast<std::size_t>(4 - i));
        s.set(i);
      }
    };
    co_await with_nursery(body);
  };
  shared_state s;
  run(main(s), "virtual");
  EXPECT_EQ(s.order, "123");
}

TEST(condition, wait_until_in_a_plain_thread) {
  shared_state s;
  std::thread consumer{[&s] {
    auto guard = await(s.m.lock());
    await(s.c.wait_until(guard, [&s] { return s.n == 100; }));
    EXPECT_TRUE(guard);
    s.n = -1;
  }};
  for (int last = 0; last < 100;) {
    {
      auto guard = await(s.m.lock());
      last = ++s.n;
    }
    s.c.notify();
    std::this_thread::yield();
  }
  consumer.join();
  EXPECT_EQ(s.n, -1);
}

TEST(condition, what_the_predicate_throws_comes_with_the_lock_held) {
  const auto main = [](shared_state& s) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start([&s]() -> task<> {
        auto guard = co_await s.m.lock();
        bool thrown = false;
        try {
          co_await s.c.wait_until(guard, [&s] {
            if (s.n == 1) throw std::runtime_error{"no"};
            return false;
          });
        } catch (const std::runtime_error&) {
          thrown = true;
        }
        EXPECT_TRUE(thrown);
        EXPECT_TRUE(guard);
      });
      co_await sleep_for(1s);
      s.set(1);
    };
    co_await with_nursery(body);
  };
  shared_state s;
  run(main(s), "virtual");
}

TEST(condition, a_timeout_ends_wait_until_with_the_lock_held) {
  const auto main = [](shared_state& s) -> task<> {
    auto guard = co_await s.m.lock();
    const auto wait = [&]() -> task<> { co_await s.c.wait_until(guard, [] { return false; }); };
    const bool done = co_await move_on_after(1s, wait);
    EXPECT_FALSE(done);
    EXPECT_TRUE(guard);
    EXPECT_TRUE(s.m.locked());
    EXPECT_EQ(s.c.statistics().waiting, 0u);
  };
  shared_state s;
  run(main(s), "virtual");
}

TEST(condition, a_timeout_around_the_wait_itself_in_a_thread_and_on_a_loop) {
  const auto main = [](shared_state& s) -> task<> {
    auto guard = co_await s.m.lock();
    auto wait = fail_after(1s, s.c.wait(guard));
    bool late = false;
    try {
      co_await wait;
    } catch (const timeout_error&) {
      late = true;
    }
    EXPECT_TRUE(late);
    EXPECT_TRUE(guard);
  };
  shared_state s;
  run(main(s), "virtual");
  auto guard = await(s.m.lock());
  EXPECT_FALSE(move_on_after(1ms, [&] { await(s.c.wait(guard)); }));
  EXPECT_TRUE(guard);
  auto until = try_await(s.c.wait_until(guard, [] { return false; }));
  EXPECT_FALSE(move_on_after(1ms, [&] { (void)await(until); }));
  EXPECT_TRUE(guard);
}

TEST(condition, a_wait_that_was_notified_and_must_wait_again_is_a_checkpoint) {
  // Cancelled between the notify and the lock; the predicate does not hold.
  const auto main = [](shared_state& s) -> task<> {
    bool was_cancelled = false;
    const auto body = [&](nursery& n) -> task<> {
      cancel_scope* scope = nullptr;
      n.start([&]() -> task<> {
        auto guard = co_await s.m.lock();
        const auto wait = [&](cancel_scope& c) -> task<> {
          scope = &c;
          co_await s.c.wait_until(guard, [] { return false; });
        };
        const bool ended = co_await with_scope(scope_options{}, wait);
        was_cancelled = !ended;
        EXPECT_TRUE(guard);
      });
      co_await sleep_for(1s);
      auto guard = co_await s.m.lock();
      s.c.notify();
      scope->cancel();
      co_await sleep_for(1s);
      EXPECT_FALSE(was_cancelled);
    };
    co_await with_nursery(body);
    EXPECT_TRUE(was_cancelled);
  };
  shared_state s;
  run(main(s), "virtual");
}

TEST(condition, threads_with_random_cancels_lose_no_notify) {
  // Tokens: each notify is for one consumer; a cancelled one takes none.
  constexpr int consumers = 3, tokens = 3000;
  mutex m;
  condition c;
  int available = 0, taken = 0;
  std::vector<std::unique_ptr<thread_party>> parties;
  for (int i = 0; i < consumers; ++i) parties.push_back(std::make_unique<thread_party>());
  std::atomic<int> running{consumers};
  std::vector<std::thread> pool;
  for (int i = 0; i < consumers; ++i) {
    pool.emplace_back([&, i] {
      for (;;) {
        auto lock = m.lock();
        if (!parties[i]->wait(lock)) continue;
        auto guard = lock.await_resume();
        while (available == 0 && taken != tokens) {
          auto wait = c.wait(guard);
          if (parties[i]->wait(wait)) wait.await_resume();
          EXPECT_TRUE(guard);
        }
        if (taken == tokens) break;
        --available;
        if (++taken == tokens) c.notify_all();
      }
      --running;
    });
  }
  thread_party me;
  for (int i = 0; i < tokens; ++i) {
    auto lock = m.lock();
    ASSERT_TRUE(me.wait(lock));
    auto guard = lock.await_resume();
    ++available;
    c.notify();
    if (i % 8 == 0) parties[i % consumers]->cancel();
  }
  for (auto& t : pool) t.join();
  EXPECT_EQ(taken, tokens);
  EXPECT_EQ(available, 0);
  EXPECT_EQ(c.statistics().waiting, 0u);
}

}  // namespace
}  // namespace oneloop::inline v0::test
