#include "oneloop/loop/waiter.hpp"

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using test::test_waiter;

static_assert(sizeof(waiter) <= 56);

TEST(claim, nobody_can_claim_before_it_is_open) {
  claim c;
  EXPECT_FALSE(c.is_open());
  EXPECT_FALSE(c.try_claim());
}

TEST(claim, exactly_one_wins_after_each_open) {
  claim c;
  for (int i = 0; i < 3; ++i) {
    c.open();
    EXPECT_TRUE(c.is_open());
    EXPECT_TRUE(c.try_claim());
    EXPECT_FALSE(c.try_claim());
    EXPECT_FALSE(c.is_open());
  }
}

TEST(claim, exactly_one_of_many_threads_wins) {
  constexpr int threads = 4, rounds = 20'000;
  std::vector<claim> claims(rounds);
  for (claim& c : claims) c.open();
  std::atomic<int> wins{0}, ready{0};
  {
    std::vector<std::jthread> pool;
    for (int t = 0; t < threads; ++t) {
      pool.emplace_back([&] {
        ready.fetch_add(1);
        while (ready.load() < threads) std::this_thread::yield();
        int mine = 0;
        for (claim& c : claims) mine += c.try_claim() ? 1 : 0;
        wins.fetch_add(mine);
      });
    }
  }
  EXPECT_EQ(wins.load(), rounds);
}

TEST(claim, both_or_neither) {
  claim a, b;
  a.open();
  b.open();
  EXPECT_EQ(claim::claim_both(a, b), claim::pairing::both);
  EXPECT_FALSE(a.is_open());
  EXPECT_FALSE(b.is_open());

  a.open();
  EXPECT_EQ(claim::claim_both(a, b), claim::pairing::other_lost);
  EXPECT_TRUE(a.is_open());

  b.open();
  EXPECT_TRUE(a.try_claim());
  EXPECT_EQ(claim::claim_both(a, b), claim::pairing::mine_lost);
  EXPECT_TRUE(b.is_open());
}

// Selects in a ring, each trying to pair with the next, while outsiders claim single ones: every
// claim is won exactly once, and nobody waits for ever.
TEST(claim, pairs_in_a_cycle_resolve_and_each_is_claimed_once) {
  constexpr int parties = 4, rounds = 300;
  struct party_word {
    claim word;
    std::atomic<int> won{0};
  };
  for (int round = 0; round < rounds; ++round) {
    auto words = std::make_unique<party_word[]>(parties);
    for (int i = 0; i < parties; ++i) words[static_cast<std::size_t>(i)].word.open();
    std::atomic<int> gate{0};
    {
      std::vector<std::jthread> pool;
      for (int i = 0; i < parties; ++i) {
        pool.emplace_back([&, i] {
          auto& mine = words[static_cast<std::size_t>(i)];
          auto& other = words[static_cast<std::size_t>((i + 1) % parties)];
          gate.fetch_add(1);
          while (gate.load() < parties + 1) std::this_thread::yield();
          if (claim::claim_both(mine.word, other.word) == claim::pairing::both) {
            mine.won.fetch_add(1);
            other.won.fetch_add(1);
          }
        });
      }
      pool.emplace_back([&] {
        gate.fetch_add(1);
        while (gate.load() < parties + 1) std::this_thread::yield();
        if (words[0].word.try_claim()) words[0].won.fetch_add(1);
      });
    }
    for (int i = 0; i < parties; ++i) {
      auto& p = words[static_cast<std::size_t>(i)];
      EXPECT_EQ(p.won.load(), p.word.is_open() ? 0 : 1) << "party " << i << " round " << round;
    }
  }
}

// The same with threads that stay: each owns a word that it opens anew, and meets random others.
TEST(claim, threads_that_meet_at_random_lose_no_claim) {
  constexpr std::size_t threads = 4;
  constexpr int rounds = 10'000;
  struct alignas(64) seat {
    claim word;
    std::atomic<std::uint64_t> opened{0}, claimed{0};
  };
  auto seats = std::make_unique<seat[]>(threads);
  std::atomic<bool> stop{false};
  {
    std::vector<std::jthread> pool;
    std::atomic<std::size_t> finished{0};
    for (std::size_t i = 0; i < threads; ++i) {
      pool.emplace_back([&, i] {
        std::minstd_rand random{static_cast<unsigned>(i + 1)};
        seat& mine = seats[i];
        for (int r = 0; r < rounds; ++r) {
          mine.opened.fetch_add(1, std::memory_order_relaxed);
          mine.word.open();
          seat& other = seats[(i + 1 + random() % (threads - 1)) % threads];
          switch (claim::claim_both(mine.word, other.word)) {
            case claim::pairing::both:
              mine.claimed.fetch_add(1, std::memory_order_relaxed);
              other.claimed.fetch_add(1, std::memory_order_relaxed);
              break;
            case claim::pairing::mine_lost: break;
            case claim::pairing::other_lost:
              // Give up, unless somebody has won us meanwhile.
              if (mine.word.try_claim()) mine.claimed.fetch_add(1, std::memory_order_relaxed);
              break;
          }
        }
        if (finished.fetch_add(1) + 1 == threads) stop = true;
      });
    }
  }
  EXPECT_TRUE(stop.load());
  for (std::size_t i = 0; i < threads; ++i) EXPECT_EQ(seats[i].opened, seats[i].claimed);
}

struct manual {
  static void cancel(void* op, waiter& w) noexcept {
    ++static_cast<manual*>(op)->cancels;
    if (w.try_claim()) w.wake_cancelled();
  }
  static constexpr operation_info info{"manual", cancel, nullptr};
  bool await_ready() { return false; }
  bool await_suspend(waiter& w) {
    w.arm(this, info);
    waiting = &w;
    return true;
  }
  int await_resume() { return 7; }
  int cancels = 0;
  waiter* waiting = nullptr;
};

TEST(waiter_of_a_loop, resumes_through_the_ready_queue_never_inline) {
  loop l{"virtual"};
  test_waiter w{l};
  manual op;
  l.post([&] {
    start(w, op);
    EXPECT_STREQ(w.waiting_for()->name, "manual");
    EXPECT_TRUE(w.try_claim());
    w.wake();
    EXPECT_EQ(w.resumed, 0);
  });
  l.run_until(w.done);
  EXPECT_EQ(w.resumed, 1);
  EXPECT_EQ(w.result, outcome::completed);
  EXPECT_EQ(w.waiting_for(), nullptr);
}

TEST(waiter_of_a_loop, sees_cancelled_when_the_operation_took_itself_back) {
  loop l{"virtual"};
  test_waiter w{l};
  manual op;
  l.post([&] {
    start(w, op);
    w.request_cancel();
    w.request_cancel();
  });
  l.run_until(w.done);
  EXPECT_EQ(w.resumed, 1);
  EXPECT_EQ(op.cancels, 2);
  EXPECT_EQ(w.result, outcome::cancelled);
}

TEST(waiter_of_a_loop, gets_the_result_that_came_before_the_cancel) {
  loop l{"virtual"};
  test_waiter w{l};
  manual op;
  l.post([&] {
    start(w, op);
    EXPECT_TRUE(w.try_claim());
    w.wake();
    w.request_cancel();
  });
  l.run_until(w.done);
  EXPECT_EQ(w.resumed, 1);
  EXPECT_EQ(w.result, outcome::completed);
}

TEST(waiter_of_a_loop, nothing_to_cancel_while_it_runs) {
  loop l{"virtual"};
  test_waiter w{l};
  w.request_cancel();
  EXPECT_EQ(w.resumed, 0);
}

TEST(waiter_of_a_loop, is_woken_from_another_thread) {
  for (const auto& name : test::all_backends()) {
    loop l{name};
    l.owe();
    for (int i = 0; i < 200; ++i) {
      test_waiter w{l};
      manual op;
      std::jthread other;
      l.post([&] {
        start(w, op);
        other = std::jthread{[&] {
          if (w.try_claim()) w.wake();
        }};
      });
      l.run_until(w.done);
      EXPECT_EQ(w.resumed, 1);
    }
    l.disown();
  }
}

}  // namespace
}  // namespace oneloop
