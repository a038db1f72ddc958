// Who holds what and waits for what: in dumps, and reported with ONELOOP_DEBUG=1.
#include "oneloop/scope/deadlock.hpp"

#include <gtest/gtest.h>

#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/debug.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/condition.hpp"
#include "oneloop/sync/latch.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/thread/thread_pool.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

/// What was reported while it lives.
class reports {
 public:
  reports() : before_{set_log_hook(keep)} {
    const std::scoped_lock hold{lock()};
    lines().clear();
  }
  ~reports() { set_log_hook(before_); }
  reports(const reports&) = delete;
  reports& operator=(const reports&) = delete;
  [[nodiscard]] static bool have(std::string_view text) {
    const std::scoped_lock hold{lock()};
    for (const auto& l : lines()) {
      if (l.find(text) != l.npos) return true;
    }
    return false;
  }
  [[nodiscard]] static std::size_t count() {
    const std::scoped_lock hold{lock()};
    return lines().size();
  }

 private:
  static std::mutex& lock() {
    static std::mutex m;
    return m;
  }
  static std::vector<std::string>& lines() {
    static std::vector<std::string> all;
    return all;
  }
  static void keep(severity, std::string_view text) noexcept {
    const std::scoped_lock hold{lock()};
    lines().emplace_back(text);
  }
  log_hook before_;
};

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != text.npos;
}

/// Locks `first`, and after a while `second`.
template <class First, class Second>
task<> lock_both(First& first, Second& second) {
  auto a = co_await first.lock();
  co_await sleep_for(1s);
  auto b = co_await second.lock();
}

TEST(deadlock, dump_names_the_cycle_across_models) {
  const reports seen;
  std::string dump;
  const auto main = [&](mutex& m1, mutex& m2, mutex& m3) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start(named{"A", lock_both<mutex, mutex>}, std::ref(m1), std::ref(m2));
      n.start(named{"B", [&] {
                      auto held = await(m2.lock());
                      await(sleep_for(1s));
                      auto g = await(m3.lock());
                    }});
      n.start(named{"C", lock_both<mutex, mutex>}, std::ref(m3), std::ref(m1));
      n.start(named{"D",
                    [](mutex& m) -> task<> {
                      co_await sleep_for(2s);
                      auto g = co_await m.lock();
                    }},
              std::ref(m1));
      co_await sleep_for(5s);
      dump = loop::current()->dump();
      n.cancel();
    };
    co_await with_nursery(body);
  };
  mutex m1{"m1"}, m2{"m2"}, m3{"m3"};
  run(main(m1, m2, m3), "virtual");
  EXPECT_TRUE(contains(dump,
                       "deadlock: task A holds m1, waits m2; fiber B holds m2, waits m3; "
                       "task C holds m3, waits m1\n"))
      << dump;
  EXPECT_EQ(dump.find("deadlock: "), dump.rfind("deadlock: ")) << dump;
  EXPECT_TRUE(contains(dump, "m1: held by task A, waited for by task C, task D\n")) << dump;
  EXPECT_TRUE(contains(dump, "waits for mutex.lock (m2)")) << dump;
  if (debug_checks()) {
    EXPECT_TRUE(
        seen.have("deadlock: task C holds m3, waits m1; task A holds m1, waits m2; "
                  "fiber B holds m2, waits m3"));
    EXPECT_EQ(seen.count(), 1u);
  }
}

TEST(deadlock, of_a_party_with_itself_and_without_names) {
  const reports seen;
  std::string dump;
  const auto main = [&](mutex& m) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start(named{"twice",
                    [](mutex& it) -> task<> {
                      auto a = co_await it.lock();
                      auto b = co_await it.lock();
                    }},
              std::ref(m));
      co_await sleep_for(1s);
      dump = loop::current()->dump();
      n.cancel();
    };
    co_await with_nursery(body);
  };
  mutex m;
  run(main(m), "virtual");
  EXPECT_TRUE(contains(dump, "deadlock: task twice holds lock #1, waits lock #1\n")) << dump;
  if (debug_checks()) {
    EXPECT_TRUE(seen.have("task twice holds lock #1, waits lock #1"));
  }
}

TEST(deadlock, through_readers_recursive_locks_and_callbacks_that_only_wait) {
  const reports seen;
  std::string dump;
  const auto main = [&](shared_mutex& s, recursive_mutex& r) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      n.start(named{"reads",
                    [](shared_mutex& sm, recursive_mutex& rm) -> task<> {
                      auto a = co_await sm.lock_shared();
                      co_await sleep_for(1s);
                      auto b = co_await rm.lock();
                    }},
              std::ref(s), std::ref(r));
      n.start(named{"reads too",
                    [](shared_mutex& sm) -> task<> {
                      auto a = co_await sm.lock_shared();
                      co_await sleep_for(1h);
                    }},
              std::ref(s));
      n.start(named{"writes",
                    [](shared_mutex& sm, recursive_mutex& rm) -> task<> {
                      auto b = co_await rm.lock();
                      co_await sleep_for(1s);
                      auto a = co_await sm.lock();
                    }},
              std::ref(s), std::ref(r));
      co_await sleep_for(500ms);
      auto waits = defer(r.lock());
      co_await sleep_for(5s);
      dump = loop::current()->dump();
      waits.cancel();
      waits.add_errback([](const failure&) { return recursive_mutex_guard{}; });
      n.cancel();
    };
    co_await with_nursery(body);
  };
  shared_mutex s{"routes"};
  recursive_mutex r{"tree"};
  run(main(s, r), "virtual");
  EXPECT_TRUE(contains(dump,
                       "deadlock: task reads holds routes, waits tree; task writes holds "
                       "tree, waits routes\n"))
      << dump;
  EXPECT_TRUE(contains(dump, "tree: held by task writes, waited for by ")) << dump;
  EXPECT_TRUE(contains(dump, "callback deferred")) << dump;
  EXPECT_TRUE(contains(dump, "routes: held by task reads, task reads too, waited for by")) << dump;
}

TEST(deadlock, what_is_only_slow_is_none) {
  const reports seen;
  std::string dump;
  const auto main = [&](mutex& m1, mutex& m2) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 3; ++i) {
        n.start(named{"in order", lock_both<mutex, mutex>}, std::ref(m1), std::ref(m2));
      }
      co_await sleep_for(1500ms);
      dump = loop::current()->dump();
    };
    co_await with_nursery(body);
    dump += loop::current()->dump();
  };
  mutex m1{"m1"}, m2{"m2"};
  run(main(m1, m2), "virtual");
  EXPECT_TRUE(contains(dump, "m1: held by task in order, waited for by task in order")) << dump;
  EXPECT_FALSE(contains(dump, "deadlock: ")) << dump;
  EXPECT_EQ(seen.count(), 0u);
}

TEST(deadlock, between_a_loop_and_a_plain_thread_is_reported) {
  if (!debug_checks()) GTEST_SKIP() << "needs ONELOOP_DEBUG=1";
  const reports seen;
  mutex m1{"m1"}, m2{"m2"};
  latch both{2};
  std::thread other{[&] {
    const bool done = with_scope(scope_options{}.within(10s), [&](cancel_scope& s) {
      auto a = await(m2.lock());
      both.count_down();
      await(both.wait());
      const auto give_up = s.handle();
      std::thread judge{[&, give_up] {
        while (!reports::have("deadlock: ")) std::this_thread::sleep_for(1ms);
        give_up.cancel();
      }};
      try {
        auto b = await(m1.lock());
      } catch (...) {
        judge.join();
        throw;
      }
      judge.join();
    });
    EXPECT_FALSE(done);
  }};
  const auto main = [&]() -> task<> {
    auto a = co_await m1.lock();
    both.count_down();
    co_await both.wait();
    auto b = co_await m2.lock();  // the thread gives up
  };
  const auto body = [&](nursery& n) -> task<> {
    n.start(named{"on a loop", main});
    co_return;
  };
  run(with_nursery(body), "epoll");
  other.join();
  EXPECT_TRUE(seen.have("task on a loop holds m1, waits m2")) << "in one order or the other";
  EXPECT_TRUE(seen.have("thread holds m2, waits m1") || seen.have("holds m2, waits m1"));
}

// ---- parties that end ----

// A guard that was handed on by a party that has ended, whose address is the next one's.
task<> lock_at(mutex& m, const context*& me, mutex_guard* keep) {
  me = &context::current();
  auto g = co_await m.lock();
  if (keep != nullptr) *keep = std::move(g);
}

TEST(deadlock, a_party_that_has_ended_is_not_taken_for_the_one_in_its_place) {
  const reports seen;
  std::string dump;
  bool same_place = false;
  const auto main = [&](mutex& m) -> task<> {
    mutex_guard kept;
    const context* first = nullptr;
    const auto body = [&](nursery& n) -> task<> {
      n.start(named{"first", lock_at}, std::ref(m), std::ref(first), &kept);
      co_await sleep_for(1s);
      for (int i = 0; i < 100 && !same_place; ++i) {
        const context* next = nullptr;
        n.start(named{"next", lock_at}, std::ref(m), std::ref(next), nullptr);
        co_await sleep_for(1s);
        same_place = next == first;
      }
      dump = loop::current()->dump();
      n.cancel();
    };
    co_await with_nursery(body);
  };
  mutex m{"m"};
  run(main(m), "virtual");
  if (!same_place) GTEST_SKIP() << "no address was used again";
  EXPECT_FALSE(contains(dump, "deadlock: ")) << dump;
  EXPECT_TRUE(contains(dump, "m: held by somebody who has ended, waited for by task next")) << dump;
  EXPECT_EQ(seen.count(), 0u);
}

TEST(deadlock, a_job_that_has_ended_is_not_taken_for_the_next_one_on_its_thread) {
  const reports seen;
  mutex m{"m"};
  mutex_guard kept;
  thread_pool one{1};
  const auto lock = [&](mutex_guard* keep) {
    (void)move_on_after(1ms, [&] {
      auto g = await(m.lock());
      if (keep != nullptr) *keep = std::move(g);
    });
    return &context::current();
  };
  const context* first = one.submit(lock, &kept).result();
  bool same_place = false;
  for (int i = 0; i < 20 && !same_place; ++i)
    same_place = one.submit(lock, nullptr).result() == first;
  if (!same_place) GTEST_SKIP() << "no address was used again";
  EXPECT_EQ(seen.count(), 0u);
}

TEST(deadlock, a_party_that_ends_while_it_holds_a_lock_is_reported_and_the_lock_fails) {
  const reports seen;
  const auto main = [](recursive_mutex& m) -> task<> {
    std::string waiting_heard;
    const auto body = [&](nursery& n) -> task<> {
      n.start(named{"careless",
                    [](recursive_mutex& it) -> task<> {
                      auto g = co_await it.lock();
                      co_await sleep_for(1s);
                      g.release();
                    }},
              std::ref(m));
      n.start(named{"waits", [&]() -> task<> {
                      co_await sleep_for(500ms);
                      try {
                        auto g = co_await m.lock();
                      } catch (const misuse& e) {
                        waiting_heard = e.what();
                      }
                    }});
      co_return;
    };
    co_await with_nursery(body);
    EXPECT_EQ(waiting_heard,
              "recursive_mutex.lock tree: 'careless' ended while it held it; what "
              "it guards may be half done");
    EXPECT_THROW((void)m.try_lock(), misuse);
    bool later = false;
    try {
      auto g = co_await m.lock();
    } catch (const misuse&) {
      later = true;
    }
    EXPECT_TRUE(later);
  };
  recursive_mutex m{"tree"};
  run(main(m), "virtual");
  EXPECT_TRUE(seen.have("recursive_mutex tree: 'careless' ended while it held it"));
}

TEST(deadlock, a_guard_that_another_party_unlocks_is_reported) {
  const reports seen;
  shared_mutex m{"routes"};
  {
    auto g = m.try_lock();
    std::thread{[g = std::move(g)]() mutable { g.unlock(); }}.join();
    EXPECT_TRUE(m.locked());
    m.unlock();
  }
  EXPECT_FALSE(m.locked());
  EXPECT_TRUE(seen.have("shared_mutex routes: a guard was unlocked by a party that does not hold"));
}

}  // namespace
}  // namespace oneloop
