#include "oneloop/loop/signals.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::party;
using test::test_waiter;

static_assert(retractable<next_signal>);

std::atomic<int> g_plain_handler{0};

/// Puts a plain handler on a signal for the time of a test.
class plain_handler {
 public:
  explicit plain_handler(int signo) : signo_{signo} {
    g_plain_handler = 0;
    struct sigaction a{};
    a.sa_handler = [](int) { g_plain_handler.fetch_add(1); };
    ::sigaction(signo, &a, &before_);
  }
  ~plain_handler() { ::sigaction(signo_, &before_, nullptr); }

 private:
  int signo_;
  struct sigaction before_{};
};

class signals_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(signals_on, test::all_backends());

TEST_P(signals_on, are_waited_for_like_anything_else) {
  const plain_handler plain{SIGUSR1};
  loop l{GetParam()};
  l.owe();
  bool done = false;
  std::atomic<int> taken{-1};
  auto listener = [&]() -> party {
    signal_set set{SIGUSR1, SIGUSR2};
    for (int i = 0; i < 3; ++i) {
      taken = i;
      const int signo = co_await set.next();
      EXPECT_EQ(signo, SIGUSR1);
    }
    taken = 3;
    done = true;
  };
  std::jthread sender{[&] {
    for (int i = 0; i < 3; ++i) {
      // From outside: the loop sleeps in the kernel.
      while (taken.load() != i) std::this_thread::sleep_for(100us);
      std::this_thread::sleep_for(4ms);
      ::kill(::getpid(), SIGUSR1);
    }
  }};
  l.post([&] { listener(); });
  l.run_until(done);
  l.disown();
  EXPECT_EQ(g_plain_handler.load(), 0);
  ::raise(SIGUSR1);
  EXPECT_EQ(g_plain_handler.load(), 1) << "the earlier handler was not restored";
}

TEST_P(signals_on, what_came_before_anybody_waited_is_kept_lowest_first) {
  const plain_handler p1{SIGUSR1}, p2{SIGUSR2};
  loop l{GetParam()};
  std::optional<signal_set> set;
  test::on(l, [&] {
    set.emplace({SIGUSR1, SIGUSR2});
    ::raise(SIGUSR2);
    ::raise(SIGUSR1);
    ::raise(SIGUSR1);
  });
  auto nap = sleep_for(1ms);
  test::run(l, nap);
  std::vector<int> got;
  bool done = false;
  auto taker = [&]() -> party {
    for (int i = 0; i < 2; ++i) {
      const int signo = co_await set->next();
      got.push_back(signo);
    }
    done = true;
  };
  l.post([&] { taker(); });
  l.run_until(done);
  EXPECT_EQ(got, (std::vector{SIGUSR1, SIGUSR2}));
  // The second SIGUSR1 came before anybody had looked: it counts once.
  auto next = set->next();
  test_waiter w{l};
  test::on(l, [&] {
    start(w, next);
    EXPECT_FALSE(w.done);
    w.request_cancel();
  });
  l.run_until(w.done);
  EXPECT_EQ(w.result, outcome::cancelled);
}

TEST_P(signals_on, a_cancelled_wait_leaves_the_signal_to_the_next) {
  const plain_handler plain{SIGUSR1};
  loop l{GetParam()};
  std::optional<signal_set> set;
  test::on(l, [&] { set.emplace({SIGUSR1}); });
  auto first = set->next();
  test_waiter w{l};
  test::on(l, [&] {
    start(w, first);
    w.request_cancel();
    ::raise(SIGUSR1);
  });
  l.run_until(w.done);
  EXPECT_EQ(w.result, outcome::cancelled);
  auto second = set->next();
  EXPECT_EQ(test::run(l, second), outcome::completed);
  EXPECT_EQ(second.await_resume(), SIGUSR1);
}

TEST_P(signals_on, every_set_and_every_loop_is_told) {
  const plain_handler plain{SIGUSR1};
  constexpr int loops = 3;
  std::atomic<int> ready{0}, told{0};
  std::vector<std::jthread> pool;
  for (int i = 0; i < loops; ++i) {
    pool.emplace_back([&] {
      loop l{GetParam()};
      l.owe();
      int here = 0;
      bool done = false;
      auto listener = [&]() -> party {
        signal_set set{SIGUSR1};
        if (++here == 2) ready.fetch_add(1);
        const int signo = co_await set.next();
        EXPECT_EQ(signo, SIGUSR1);
        told.fetch_add(1);
        done = --here == 0;
      };
      l.post([&] {
        listener();
        listener();
      });
      l.run_until(done);
      l.disown();
    });
  }
  while (ready < loops) std::this_thread::yield();
  ::kill(::getpid(), SIGUSR1);
  pool.clear();
  EXPECT_EQ(told.load(), 2 * loops);
  EXPECT_EQ(g_plain_handler.load(), 0);
}

TEST_P(signals_on, a_set_may_outlive_its_loop) {
  const plain_handler plain{SIGUSR1};
  std::optional<signal_set> set;
  {
    loop l{GetParam()};
    test::on(l, [&] { set.emplace({SIGUSR1}); });
  }
  ::raise(SIGUSR1);
  EXPECT_EQ(g_plain_handler.load(), 0);
  set.reset();
  ::raise(SIGUSR1);
  EXPECT_EQ(g_plain_handler.load(), 1);
}

TEST_P(signals_on, loops_may_come_and_go_while_signals_rain) {
  const plain_handler plain{SIGUSR1};
  std::atomic<bool> stop{false};
  std::jthread rain{[&] {
    while (!stop) {
      ::kill(::getpid(), SIGUSR1);
      std::this_thread::sleep_for(20us);
    }
  }};
  for (int i = 0; i < 100; ++i) {
    loop l{GetParam()};
    l.owe();
    bool done = false;
    auto listener = [&]() -> party {
      signal_set set{SIGUSR1};
      for (int k = 0; k < 3; ++k) {
        const int signo = co_await set.next();
        EXPECT_EQ(signo, SIGUSR1);
      }
      done = true;
    };
    l.post([&] { listener(); });
    l.run_until(done);
    l.disown();
  }
  stop = true;
}

TEST(signals, a_handler_that_somebody_put_over_ours_stays) {
  struct sigaction before{};
  ::sigaction(SIGUSR2, nullptr, &before);
  loop l{"virtual"};
  test::on(l, [&] {
    signal_set set{SIGUSR2};
    struct sigaction other{};
    other.sa_handler = SIG_IGN;
    ::sigaction(SIGUSR2, &other, nullptr);
  });
  struct sigaction now{};
  ::sigaction(SIGUSR2, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
  ::sigaction(SIGUSR2, &before, nullptr);
}

TEST(signals, misuse_is_refused) {
  EXPECT_THROW((signal_set{SIGUSR1}), loop_not_running);
  loop l{"virtual"}, other{"virtual"};
  std::optional<signal_set> set;
  test::on(l, [&] {
    EXPECT_THROW((signal_set{SIGUSR1, SIGKILL}), error);
    EXPECT_THROW((signal_set{0}), error);
    EXPECT_THROW((signal_set{65}), error);
    set.emplace({SIGUSR1});
  });
  auto next = set->next();
  test_waiter w{other};
  test::on(other, [&] { EXPECT_THROW(start(w, next), misuse); });
  thread_waiter t;
  EXPECT_THROW(next.await_suspend(t), loop_not_running);
  struct sigaction now{};
  ::sigaction(SIGKILL, nullptr, &now);
}

TEST(signals, a_forked_child_does_what_was_done_before) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "ThreadSanitizer runs no handlers in the forked child of a process with threads";
#endif
  loop l{"epoll"};
  test::on(l, [&] {
    signal_set set{SIGTERM};
    const pid_t child = ::fork();
    if (child == 0) {
      ::raise(SIGTERM);
      ::_exit(7);
    }
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGTERM);
  });
}

}  // namespace
}  // namespace oneloop
