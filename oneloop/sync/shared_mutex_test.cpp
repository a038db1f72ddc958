#include "oneloop/sync/shared_mutex.hpp"

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/test_waiter.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0::test {
namespace {

using namespace std::chrono_literals;

TEST(shared_mutex, readers_share_and_writers_exclude) {
  shared_mutex m;
  attempt a{m.lock_shared()};
  attempt b{m.lock_shared()};
  attempt w{m.lock()};
  auto reading = a.result();
  EXPECT_TRUE(b.completed());
  EXPECT_TRUE(w.waits());
  EXPECT_EQ(m.statistics().readers, 2u);
  EXPECT_FALSE(m.locked());
  reading.unlock();
  EXPECT_TRUE(w.waits());
  b.result().unlock();
  auto writing = w.result();
  EXPECT_TRUE(m.locked());
  EXPECT_FALSE(m.try_lock());
  EXPECT_FALSE(m.try_lock_shared());
  writing.unlock();
  EXPECT_FALSE(m.locked());
  EXPECT_TRUE(m.try_lock());
}

TEST(shared_mutex, a_writer_that_waits_keeps_new_readers_out_and_comes_first) {
  shared_mutex m;
  attempt first{m.lock_shared()};
  attempt w1{m.lock()};
  attempt r1{m.lock_shared()};
  attempt w2{m.lock()};
  attempt r2{m.lock_shared()};
  EXPECT_TRUE(r1.waits());
  EXPECT_FALSE(m.try_lock_shared()) << "nobody overtakes the queue";
  first.result().unlock();
  EXPECT_TRUE(w1.completed());
  EXPECT_TRUE(w2.waits());
  w1.result().unlock();
  EXPECT_TRUE(w2.completed()) << "a writer first, then all readers";
  EXPECT_TRUE(r1.waits());
  w2.result().unlock();
  EXPECT_TRUE(r1.completed());
  EXPECT_TRUE(r2.completed());
  EXPECT_EQ(m.statistics().readers, 2u);
}

TEST(shared_mutex, a_cancelled_writer_lets_in_the_readers_behind_it) {
  shared_mutex m;
  attempt reading{m.lock_shared()};
  attempt w{m.lock()};
  attempt r{m.lock_shared()};
  EXPECT_TRUE(r.waits());
  w.cancel();
  EXPECT_TRUE(w.was_cancelled());
  EXPECT_TRUE(r.completed());
  EXPECT_EQ(m.statistics().readers, 2u);
  EXPECT_TRUE(attempt{m.lock_shared()}.immediate()) << "the fast path is open again";
}

TEST(shared_mutex, a_cancelled_writer_that_another_follows_lets_nobody_in) {
  shared_mutex m;
  attempt reading{m.lock_shared()};
  attempt w{m.lock()};
  attempt next{m.lock()};
  attempt r{m.lock_shared()};
  w.cancel();
  EXPECT_TRUE(r.waits());
  reading.result().unlock();
  EXPECT_TRUE(next.completed());
  EXPECT_TRUE(r.waits());
}

TEST(shared_mutex, a_writer_that_lost_its_select_lets_in_the_readers_behind_it) {
  shared_mutex m;
  event e;
  attempt reading{m.lock_shared()};
  attempt s{select(m.lock(), e.wait())};
  attempt r{m.lock_shared()};
  EXPECT_TRUE(r.waits());
  e.set();
  EXPECT_EQ(s.result().index(), 1u);
  EXPECT_TRUE(r.completed());
}

TEST(shared_mutex, woken_and_never_picked_up_it_is_passed_on) {
  shared_mutex m;
  attempt first{m.lock_shared()};
  auto w = std::make_unique<attempt<shared_mutex::lock_operation>>(m.lock());
  attempt r{m.lock_shared()};
  first.result().unlock();
  EXPECT_TRUE(w->completed());
  w.reset();
  EXPECT_TRUE(r.completed());
}

// ---- aiorwlock's semantics, by parties ----

TEST(shared_mutex, is_entered_again_by_the_party_that_holds_it) {
  const auto main = [](shared_mutex& m) -> task<> {
    auto reading = co_await m.lock_shared();
    auto again = co_await m.lock_shared();  // a reader in a reader
    EXPECT_EQ(m.statistics().readers, 1u);
    again.unlock();
    reading.unlock();
    EXPECT_EQ(m.statistics().readers, 0u);

    auto writing = co_await m.lock();
    auto deeper = co_await m.lock();         // a writer in a writer
    auto inside = co_await m.lock_shared();  // a reader in a writer
    deeper.unlock();
    EXPECT_TRUE(m.locked());
    writing.unlock();
    EXPECT_FALSE(m.locked()) << "what is left reads";
    EXPECT_EQ(m.statistics().readers, 1u);
    inside.unlock();
    EXPECT_TRUE(m.try_lock());
  };
  shared_mutex m;
  run(main(m), "virtual");
}

TEST(shared_mutex, a_reader_cannot_become_a_writer) {
  const auto main = [](shared_mutex& m) -> task<> {
    auto reading = co_await m.lock_shared();
    std::string said;
    try {
      auto never = co_await m.lock();
    } catch (const misuse& e) {
      said = e.what();
    }
    EXPECT_NE(said.find("shared_mutex.lock routes: this party shares it already"), said.npos)
        << said;
    EXPECT_THROW((void)m.try_lock(), misuse);
    EXPECT_EQ(m.statistics().readers, 1u);
  };
  shared_mutex m{"routes"};
  run(main(m), "virtual");
}

TEST(shared_mutex, a_party_reads_again_while_a_writer_waits) {
  const auto main = [](shared_mutex& m, std::string& order) -> task<> {
    const auto body = [&](nursery& n) -> task<> {
      auto reading = co_await m.lock_shared();
      n.start([&]() -> task<> {
        auto g = co_await m.lock();
        order += 'w';
      });
      n.start([&]() -> task<> {
        co_await sleep_for(1ms);
        auto g = co_await m.lock_shared();
        order += 'r';
      });
      co_await sleep_for(1s);
      auto again = co_await m.lock_shared();
      order += 'a';
    };
    co_await with_nursery(body);
  };
  shared_mutex m;
  std::string order;
  run(main(m, order), "virtual");
  EXPECT_EQ(order, "awr");
}

TEST(shared_mutex, only_who_holds_it_may_unlock_it) {
  shared_mutex m{"routes"};
  EXPECT_THROW(m.unlock(), misuse);
  EXPECT_THROW(m.unlock_shared(), misuse);
  m.try_lock_shared().release();
  EXPECT_THROW(m.unlock(), misuse);
  std::thread{[&] { EXPECT_THROW(m.unlock_shared(), misuse); }}.join();
  EXPECT_EQ(m.statistics().readers, 1u);
  m.unlock_shared();
  EXPECT_EQ(m.statistics().readers, 0u);
}

TEST(shared_mutex, a_writer_that_goes_on_reading_lets_readers_in_but_no_writer) {
  shared_mutex m;
  auto writing = m.try_lock();
  auto reading = m.try_lock_shared();
  attempt r{m.lock_shared()};
  EXPECT_TRUE(r.waits());
  writing.unlock();
  EXPECT_TRUE(r.completed());
  attempt w{m.lock()};
  EXPECT_TRUE(w.waits());
  r.result().unlock();
  EXPECT_TRUE(w.waits());
  reading.unlock();
  EXPECT_TRUE(w.completed());
}

TEST(shared_mutex, threads_with_random_cancels_see_what_it_guards_whole) {
  constexpr int threads = 4, rounds = 4000;
  shared_mutex m;
  long a = 0, b = 0;
  std::atomic<int> running{threads};
  std::vector<std::unique_ptr<thread_party>> parties;
  for (int t = 0; t < threads; ++t) parties.push_back(std::make_unique<thread_party>());
  std::vector<std::thread> pool;
  for (int t = 0; t < threads; ++t) {
    pool.emplace_back([&, t] {
      for (int i = 0; i < rounds; ++i) {
        if (i % 4 == t) {
          auto op = m.lock();
          if (!parties[t]->wait(op)) continue;
          auto guard = op.await_resume();
          ++a;
          if (i % 16 == t) std::this_thread::yield();
          ++b;
        } else {
          auto op = m.lock_shared();
          if (!parties[t]->wait(op)) continue;
          auto guard = op.await_resume();
          EXPECT_EQ(a, b);
        }
      }
      --running;
    });
  }
  std::minstd_rand random{3};
  while (running != 0) {
    parties[random() % threads]->cancel();
    std::this_thread::yield();
  }
  for (auto& t : pool) t.join();
  const auto s = m.statistics();
  EXPECT_EQ(s.readers + s.waiting_readers + s.waiting_writers, 0u);
  EXPECT_TRUE(m.try_lock());
}

// ---- recursive ----

TEST(recursive_mutex, is_free_when_it_was_unlocked_as_often) {
  recursive_mutex m;
  auto outer = m.try_lock();
  auto inner = await(m.lock());
  EXPECT_EQ(m.statistics().depth, 2u);
  attempt other{m.lock()};
  EXPECT_TRUE(other.waits());
  outer.unlock();
  EXPECT_EQ(m.statistics().depth, 1u);
  EXPECT_TRUE(other.waits());
  inner.unlock();
  EXPECT_TRUE(other.completed());
}

TEST(recursive_mutex, belongs_to_the_party_with_all_that_it_awaits) {
  const auto walk = [](auto& self, recursive_mutex& m, int depth) -> task<std::size_t> {
    auto guard = co_await m.lock();
    if (depth == 1) co_return m.statistics().depth;
    auto deeper = self(self, m, depth - 1);
    co_return co_await std::move(deeper);
  };
  const auto main = [&](recursive_mutex& m) -> task<> {
    auto deep = walk(walk, m, 5);
    const auto depth = co_await std::move(deep);
    EXPECT_EQ(depth, 5u);
    EXPECT_FALSE(m.locked());
    auto guard = co_await m.lock();
    const auto child = [&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        EXPECT_FALSE(m.try_lock()) << "a child is another party";
        co_return;
      });
      co_return;
    };
    co_await with_nursery(child);
  };
  recursive_mutex m;
  run(main(m), "virtual");
}

TEST(recursive_mutex, unlocking_what_another_party_holds_is_misuse) {
  recursive_mutex m;
  m.try_lock().release();
  std::thread{[&] {
    EXPECT_THROW(m.unlock(), misuse);
    EXPECT_FALSE(m.try_lock());
  }}.join();
  m.unlock();
  EXPECT_THROW(m.unlock(), misuse);
}

}  // namespace
}  // namespace oneloop::inline v0::test
