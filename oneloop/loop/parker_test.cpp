#include "oneloop/loop/parker.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "oneloop/loop/io.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_sockets.hpp"
#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

using test::pipe_ends;

TEST(a_parker, returns_false_when_the_deadline_passes) {
  const auto before = parker::now();
  EXPECT_FALSE(parker::current().park(before + 10ms));
  EXPECT_GE(parker::now() - before, 10ms);
  EXPECT_FALSE(parker::current().park(before));
}

TEST(a_parker, an_unpark_before_the_park_is_not_lost_and_counts_once) {
  parker& p = parker::current();
  p.token_block().unpark();
  p.token_block().unpark();
  EXPECT_TRUE(p.park(never));
  EXPECT_FALSE(p.park(parker::now() + 1ms));
}

TEST(a_parker, is_one_a_thread) {
  parker* mine = &parker::current();
  EXPECT_EQ(mine, &parker::current());
  std::jthread{[&] {
    EXPECT_EQ(parker::existing(), nullptr);
    EXPECT_NE(mine, &parker::current());
    EXPECT_NE(parker::existing(), nullptr);
  }};
}

TEST(a_parker, is_unparked_by_many_threads) {
  parker& p = parker::current();
  parker::block& block = p.token_block();
  constexpr int each = 5'000;
  std::atomic<int> tickets{0};
  std::vector<std::jthread> pool;
  for (int t = 0; t < 3; ++t) {
    pool.emplace_back([&] {
      for (int i = 0; i < each; ++i) {
        tickets.fetch_add(1);
        block.unpark();
      }
    });
  }
  int taken = 0;
  while (taken < 3 * each) {
    ASSERT_TRUE(p.park(parker::now() + 10s)) << "an unpark was lost";
    taken += tickets.exchange(0);
  }
}

// Two threads that hand a word back and forth, also while one of them polls descriptors.
TEST(a_parker, loses_no_wake_up_in_a_ping_pong) {
  for (const bool with_descriptor : {false, true}) {
    std::atomic<int> turn{0};
    constexpr int rounds = 3'000;
    std::atomic<parker::block*> blocks[2]{};
    std::vector<std::jthread> pool;
    for (int me = 0; me < 2; ++me) {
      pool.emplace_back([&, me] {
        pipe_ends quiet;
        auto op = io::readable(quiet.in);
        thread_waiter w;
        if (with_descriptor) {
          EXPECT_FALSE(op.await_ready());
          EXPECT_TRUE(op.await_suspend(w));
        }
        blocks[me] = &parker::current().token_block();
        blocks[me].load()->retain();
        while (blocks[1 - me].load() == nullptr) std::this_thread::yield();
        for (int i = 0; i < rounds; ++i) {
          while (turn.load() % 2 != me) {
            ASSERT_TRUE(parker::current().park(parker::now() + 10s)) << "a wake-up was lost";
          }
          turn.fetch_add(1);
          blocks[1 - me].load()->unpark();
        }
        if (with_descriptor) w.request_cancel();
      });
    }
    pool.clear();
    for (auto& b : blocks) b.load()->release();
  }
}

TEST(a_parkers_block, may_be_unparked_after_its_thread_has_ended) {
  parker::block* block = nullptr;
  std::jthread{[&] {
    block = &parker::current().token_block();
    block->retain();
  }}.join();
  block->unpark();
  block->release();
}

// The waker touches only the block after the waiter has shown that it was resumed.
TEST(a_threads_waiter, may_vanish_while_its_waker_is_still_unparking) {
  std::atomic<waiter*> published{nullptr};
  std::atomic<bool> stop{false};
  std::jthread waker{[&] {
    while (!stop.load(std::memory_order_relaxed)) {
      if (waiter* w = published.exchange(nullptr)) {
        if (w->try_claim()) w->wake();
      }
    }
  }};
  static constexpr operation_info info{"test", [](void*, waiter&) noexcept {}, nullptr};
  for (int i = 0; i < 300; ++i) {
    std::jthread{[&] {
      thread_waiter w;
      w.arm(nullptr, info);
      published = &w;
      while (!w.resumed()) parker::current().park(parker::now() + 10s);
      EXPECT_EQ(w.finish(), outcome::completed);
    }};
  }
  stop = true;
}

TEST(a_parker, reads_from_a_pipe_while_parked) {
  pipe_ends p;
  std::array<std::byte, 8> buffer;
  auto op = io::read(p.in, buffer);
  std::jthread writer{[&] {
    std::this_thread::sleep_for(5ms);
    EXPECT_EQ(::write(p.out.fd(), "abc", 3), 3);
  }};
  EXPECT_TRUE(test::park(op));
  EXPECT_EQ(op.await_resume(), 3);
}

TEST(a_parker, gives_up_a_read_that_is_cancelled_and_loses_nothing) {
  pipe_ends p;
  std::array<std::byte, 8> buffer;
  {
    auto op = io::read(p.in, buffer);
    EXPECT_FALSE(test::park(op, parker::now() + 5ms));
  }
  EXPECT_EQ(::write(p.out.fd(), "abc", 3), 3);
  auto op = io::read(p.in, buffer);
  EXPECT_TRUE(test::park(op));
  EXPECT_EQ(op.await_resume(), 3);
}

TEST(a_parker, watches_and_fires_timers_at_the_same_time) {
  pipe_ends p;
  auto readable = io::readable(p.in);
  auto sleep = sleep_for(5ms);
  thread_waiter w;
  static constexpr operation_info select{"select", [](void*, waiter&) noexcept {}, nullptr};
  w.arm_shared(nullptr, select);
  EXPECT_EQ(readable.enlist(w), enlisted::waiting);
  EXPECT_EQ(sleep.enlist(w), enlisted::waiting);
  while (!w.resumed()) EXPECT_TRUE(parker::current().park(parker::now() + 10s));
  EXPECT_TRUE(sleep.won());
  EXPECT_FALSE(readable.won());
  readable.delist();
  EXPECT_EQ(parker::current().timers().size(), 0u);
}

TEST(a_parker, polls_more_descriptors_than_fit_on_its_stack) {
  std::vector<pipe_ends> pipes(50);
  std::vector<std::unique_ptr<readiness_operation>> ops;
  std::vector<std::unique_ptr<thread_waiter>> waiters;
  for (auto& p : pipes) {
    auto& op = ops.emplace_back(std::make_unique<readiness_operation>(p.in, direction::in));
    auto& w = waiters.emplace_back(std::make_unique<thread_waiter>());
    EXPECT_FALSE(op->await_ready());
    EXPECT_TRUE(op->await_suspend(*w));
  }
  EXPECT_EQ(::write(pipes[49].out.fd(), "x", 1), 1);
  while (!waiters[49]->resumed()) EXPECT_TRUE(parker::current().park(parker::now() + 10s));
  for (int i = 0; i < 49; ++i) {
    auto& w = *waiters[static_cast<std::size_t>(i)];
    EXPECT_FALSE(w.resumed());
    w.request_cancel();
    EXPECT_TRUE(w.resumed());
  }
}

TEST(a_parker, closing_its_descriptor_ends_what_was_started_on_it) {
  pipe_ends p;
  std::array<std::byte, 8> buffer;
  auto op = io::read(p.in, buffer);
  thread_waiter w;
  EXPECT_FALSE(op.await_ready());
  EXPECT_TRUE(op.await_suspend(w));
  const int fd = p.in.fd();
  p.in.close();
  EXPECT_TRUE(w.resumed());
  EXPECT_EQ(w.finish(), outcome::completed);
  EXPECT_EQ(op.await_resume(), -EBADF);
  EXPECT_EQ(::fcntl(fd, F_GETFD), -1);
}

TEST(a_parker, works_in_a_forked_child) {
  pipe_ends p;
  {
    // Makes the eventfd, which the child shares with us.
    auto op = io::readable(p.in);
    EXPECT_FALSE(test::park(op, parker::now() + 1ms));
  }
  const pid_t child = ::fork();
  if (child == 0) {
    auto op = io::readable(p.in);
    const bool early = test::park(op, parker::now() + 20ms);
    ::_exit(early ? 1 : 0);
  }
  parker::current().token_block().unpark();
  EXPECT_TRUE(parker::current().park(never));
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace oneloop
