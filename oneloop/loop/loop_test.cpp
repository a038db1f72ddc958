#include "oneloop/loop/loop.hpp"

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_sockets.hpp"
#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::party;
using test::test_waiter;

class loop_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(loop_on, test::all_backends());

class guest_on : public test::backend_test {};
ONELOOP_ON_BACKENDS(guest_on, test::io_backends());

TEST_P(loop_on, tells_its_backend) {
  loop l{GetParam()};
  EXPECT_EQ(l.backend_name(), GetParam());
  EXPECT_FALSE(l.running());
  EXPECT_EQ(loop::current(), nullptr);
  test::on(l, [&] {
    EXPECT_TRUE(l.running());
    EXPECT_EQ(loop::current(), &l);
  });
  EXPECT_EQ(loop::current(), nullptr);
}

TEST_P(loop_on, runs_what_is_posted_in_order) {
  loop l{GetParam()};
  std::vector<int> order;
  bool done = false;
  for (int i = 0; i < 1000; ++i) l.post([&, i] { order.push_back(i); });
  l.post([&] { done = true; });
  l.run_until(done);
  ASSERT_EQ(order.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_P(loop_on, is_woken_by_posts_of_other_threads) {
  loop l{GetParam()};
  l.owe();
  std::atomic<int> ran{0};
  bool done = false;
  std::jthread other{[&] {
    for (int i = 0; i < 300; ++i) {
      l.post([&] { ran.fetch_add(1); });
      // Lets the loop fall asleep in between.
      if (i % 3 == 0) std::this_thread::sleep_for(100us);
    }
    l.post([&] { done = true; });
  }};
  l.run_until(done);
  EXPECT_EQ(ran.load(), 300);
  l.disown();
}

TEST_P(loop_on, its_clock_never_goes_back) {
  loop l{GetParam()};
  auto last = l.now();
  for (int i = 0; i < 100; ++i) {
    auto op = sleep_for(10us);
    test::run(l, op);
    EXPECT_GE(l.now(), last + 10us);
    last = l.now();
  }
}

TEST_P(loop_on, does_not_starve_io_and_timers_while_items_make_each_other_ready) {
  loop l{GetParam()};
  bool done = false;
  auto busy = [&]() -> party {
    while (!done) co_await yield_now();
  };
  auto sleeper = [&]() -> party {
    co_await sleep_for(1us);
    done = true;
  };
  // Virtual time stands still while anything can run: there only the timer that is due counts.
  l.post([&] {
    if (GetParam() != "virtual") busy();
    sleeper();
  });
  l.run_until(done);
  bool gone = false;
  l.post([&] { gone = true; });
  l.run_until(gone);
}

TEST_P(loop_on, may_be_driven_by_one_thread_after_another) {
  loop l{GetParam()};
  for (int i = 0; i < 5; ++i) {
    std::jthread{[&] {
      auto op = sleep_for(1ms);
      EXPECT_EQ(test::run(l, op), outcome::completed);
    }}.join();
    auto op = sleep_for(1ms);
    EXPECT_EQ(test::run(l, op), outcome::completed);
  }
}

TEST_P(loop_on, says_no_to_what_would_deadlock) {
  loop l{GetParam()};
  test::on(l, [&] {
    bool never_set = false;
    EXPECT_THROW(l.run_until(never_set), misuse);
    loop other{"virtual"};
    EXPECT_THROW(other.run_until(never_set), would_block_loop);
  });
  bool done = false;
  std::atomic<bool> inside{false}, checked{false};
  std::jthread second{[&] {
    while (!inside) std::this_thread::yield();
    EXPECT_THROW(l.run_until(done), misuse);
    EXPECT_THROW(l.check_thread("test"), wrong_thread);
    checked = true;
  }};
  l.post([&] {
    inside = true;
    while (!checked) std::this_thread::yield();
    EXPECT_NO_THROW(l.check_thread("test"));
    done = true;
  });
  l.run_until(done);
}

TEST_P(loop_on, is_dead_in_a_forked_child_and_unharmed_in_the_parent) {
  loop l{GetParam()};
  test::connected c;
  std::array<std::byte, 8> b;
  auto op = io::receive(c.one, b);
  test_waiter w{l};
  const bool io = GetParam() != "virtual";
  if (io) {
    l.post([&] { start(w, op); });
    auto turn = sleep_for(1ms);
    test::run(l, turn);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    bool done = false;
    int wrong = 0;
    try {
      l.run_until(done);
      wrong = 1;
    } catch (const error& e) {
      if (e.code() != errc::loop_after_fork) wrong = 2;
    }
    try {
      l.check_thread("test");
      wrong = 3;
    } catch (const error&) {
    }
    // A descriptor of its own copy, and a loop of its own, do not disturb the parent.
    c.one.close();
    {
      loop mine{GetParam()};
      auto nap = sleep_for(1ms);
      if (test::run(mine, nap) != outcome::completed) wrong = 4;
    }
    ::_exit(wrong);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  if (io) {
    EXPECT_EQ(::send(c.other.fd(), "abc", 3, 0), 3);
    l.run_until(w.done);
    EXPECT_EQ(op.await_resume(), 3);
  }
}

TEST_P(loop_on, destroying_a_child_s_copy_does_not_disturb_the_parent) {
  auto l = std::make_unique<loop>(GetParam());
  test::on(*l, [] {});
  const pid_t child = ::fork();
  if (child == 0) {
    l.reset();
    ::_exit(0);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  std::jthread other{[&] { l->post([] {}); }};
  auto op = sleep_for(1ms);
  EXPECT_EQ(test::run(*l, op), outcome::completed);
}

TEST_P(loop_on, runs_what_was_posted_before_it_died_and_refuses_what_comes_later) {
  auto owned = std::make_shared<int>(1);
  {
    loop l{GetParam()};
    l.post([owned] {});
    EXPECT_EQ(owned.use_count(), 2);
  }
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(loop_on, leaks_no_descriptor) {
  auto count = [] {
    int n = 0;
    for (int fd = 0; fd < 256; ++fd) n += test::is_open(fd) ? 1 : 0;
    return n;
  };
  const int before = count();
  for (int i = 0; i < 20; ++i) {
    loop l{GetParam()};
    if (GetParam() != "virtual") (void)l.pollable_fd();
    auto op = sleep_for(1us);
    test::run(l, op);
  }
  EXPECT_EQ(count(), before);
}

TEST(loop_names, unknown_backends_are_refused_with_the_list_of_known_ones) {
  try {
    loop l{"kqueue"};
    FAIL();
  } catch (const error& e) {
    EXPECT_STREQ(e.what(),
                 "backend kqueue: unknown name; it is one of auto, epoll, io_uring, virtual");
  }
}

TEST(loop_names, the_environment_chooses_and_auto_works_everywhere) {
  ::setenv("ONELOOP_BACKEND", "virtual", 1);
  EXPECT_STREQ(loop{}.backend_name(), "virtual");
  EXPECT_STREQ(loop{"auto"}.backend_name(), "epoll");
  ::unsetenv("ONELOOP_BACKEND");
  EXPECT_STREQ(loop{}.backend_name(), "epoll");
  EXPECT_NE(available_backends().find("epoll"), std::string::npos);
}

// ---- the virtual clock ----

TEST(loop_on_virtual_time, always_starts_at_the_same_moment_and_draws_the_same_numbers) {
  loop a{"virtual"}, b{"virtual"};
  EXPECT_EQ(a.now(), b.now());
  for (int i = 0; i < 10; ++i) EXPECT_EQ(a.random(), b.random());
  a.seed(1);
  b.seed(2);
  EXPECT_NE(a.random(), b.random());
}

TEST(loop_on_virtual_time, time_does_not_jump_while_another_thread_owes_something) {
  loop l{"virtual"};
  const auto start_time = l.now();
  l.owe();
  std::jthread other;
  time_point answered{};
  auto asker = [&]() -> party {
    other = std::jthread{[&] {
      std::this_thread::sleep_for(20ms);
      l.post([&] {
        answered = l.now();
        l.disown();
      });
    }};
    co_await sleep_for(1s);
  };
  bool done = false;
  auto sleeper = [&]() -> party {
    co_await sleep_for(2s);
    done = true;
  };
  l.post([&] {
    asker();
    sleeper();
  });
  l.run_until(done);
  EXPECT_EQ(answered, start_time);
  EXPECT_EQ(l.now() - start_time, 2s);
}

std::atomic<int> g_reports{0};

TEST(loop_on_virtual_time, reports_once_that_all_parties_are_asleep) {
  g_reports = 0;
  const log_hook before = set_log_hook([](severity s, std::string_view text) noexcept {
    if (s == severity::warning && text.find("all parties are asleep") != text.npos) ++g_reports;
  });
  loop l{"virtual"};
  bool done = false;
  std::jthread rescuer{[&] {
    for (int i = 0; i < 500 && g_reports == 0; ++i) std::this_thread::sleep_for(10ms);
    l.post([] {});
    std::this_thread::sleep_for(1200ms);
    l.post([&] { done = true; });
  }};
  l.run_until(done);
  set_log_hook(before);
  EXPECT_EQ(g_reports.load(), 1);
}

// ---- asleep for good ----

TEST_P(loop_on, throws_when_all_are_asleep_and_nothing_from_outside_was_promised) {
  loop l{GetParam()};
  l.nothing_from_outside();
  const bool never_set = false;
  for (int i = 0; i < 2; ++i) {
    try {
      l.run_until(never_set);
      ADD_FAILURE();
    } catch (const all_asleep& e) {
      const std::string text = e.what();
      EXPECT_NE(text.find("loop on " + GetParam()), text.npos) << text;
      EXPECT_EQ(e.code(), std::errc::resource_deadlock_would_occur);
    }
    EXPECT_FALSE(l.running());
  }
  // It is usable as before.
  bool done = false;
  l.post([&] { done = true; });
  l.run_until(done);
}

TEST_P(loop_on, is_not_asleep_for_good_while_a_thread_owes_it_something) {
  loop l{GetParam()};
  l.nothing_from_outside();
  bool done = false;
  l.owe();
  std::jthread worker{[&] {
    std::this_thread::sleep_for(20ms);
    l.post([&] {
      l.disown();
      done = true;
    });
  }};
  l.run_until(done);
}

TEST_P(loop_on, is_not_asleep_for_good_while_a_signal_is_waited_for) {
  loop l{GetParam()};
  l.nothing_from_outside();
  bool done = false;
  std::jthread sender;
  const auto waits = [&]() -> party {
    signal_set set{SIGUSR2};
    sender = std::jthread{[] {
      std::this_thread::sleep_for(20ms);
      ::kill(::getpid(), SIGUSR2);
    }};
    EXPECT_EQ(co_await set.next(), SIGUSR2);
    done = true;
  };
  l.post([&] { waits(); });
  l.run_until(done);
}

TEST_P(guest_on, is_not_asleep_for_good_while_io_is_waited_for) {
  loop l{GetParam()};
  l.nothing_from_outside();
  const auto [one, other] = test::tcp_pair();
  descriptor a = descriptor::adopt(one), b = descriptor::adopt(other);
  bool done = false;
  const auto waits = [&]() -> party {
    co_await io::readable(a);
    done = true;
  };
  std::jthread sender;
  l.post([&] {
    waits();
    sender = std::jthread{[&] {
      std::this_thread::sleep_for(20ms);
      EXPECT_EQ(::write(b.fd(), "x", 1), 1);
    }};
  });
  l.run_until(done);
}

TEST_P(loop_on, a_dump_tells_that_it_is_asleep) {
  loop l{GetParam()};
  EXPECT_NE(l.dump().find(", asleep unless something outside wakes it\n"), std::string::npos);
  timer_node t{[](timer_node&) noexcept {}};
  l.timers().add(t, l.now() + 1h);
  EXPECT_EQ(l.dump().find("asleep"), std::string::npos);
  l.timers().remove(t);
  bool done = false;
  l.post([&] { done = true; });
  EXPECT_EQ(l.dump().find("asleep"), std::string::npos);
  l.run_until(done);
}

// In a process of its own, which has one thread.
TEST(loop_on_virtual_time, throws_when_all_are_asleep_and_no_other_thread_exists) {
  if (test::sanitized) GTEST_SKIP() << "sanitizers have threads of their own";
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(30);
    try {
      loop l{"virtual"};
      const bool never_set = false;
      l.run_until(never_set);
    } catch (const all_asleep&) {
      ::_exit(7);
    } catch (...) {
      ::_exit(8);
    }
    ::_exit(9);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// ---- a guest of a plain poll() loop ----

// Hosts `l` until `done`; returns how often the host woke.
int host(loop& l, const bool& done, std::chrono::milliseconds limit = 10s) {
  const auto give_up = clock::now() + limit;
  const int fd = l.pollable_fd();
  int wakes = 0;
  while (!done) {
    l.run_ready();
    if (done) break;
    const auto deadline = l.next_deadline();
    const auto now = l.now();
    int timeout = -1;
    if (deadline != never) {
      timeout = deadline <= now
                    ? 0
                    : static_cast<int>(
                          std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count());
    }
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(give_up - clock::now()).count();
    if (left <= 0) {
      ADD_FAILURE() << "the guest did not finish";
      break;
    }
    if (timeout < 0 || timeout > left) timeout = static_cast<int>(left);
    pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
    ::poll(&p, 1, timeout);
    ++wakes;
  }
  return wakes;
}

TEST_P(guest_on, a_host_runs_timers) {
  loop l{GetParam()};
  bool done = false;
  const auto before = clock::now();
  auto sleeper = [&]() -> party {
    co_await sleep_for(5ms);
    co_await sleep_for(5ms);
    done = true;
  };
  l.post([&] { sleeper(); });
  EXPECT_LE(host(l, done), 30);
  EXPECT_GE(clock::now() - before, 10ms);
}

TEST_P(guest_on, a_host_is_woken_by_io) {
  loop l{GetParam()};
  test::connected c;
  bool done = false;
  int got = 0;
  auto reader = [&]() -> party {
    std::array<std::byte, 8> b;
    while (got < 20) {
      const auto n = co_await io::receive(c.one, b);
      EXPECT_GT(n, 0);
      if (n <= 0) break;
      got += static_cast<int>(n);
      const auto sent = co_await io::send(c.one, test::bytes("ok"));
      EXPECT_EQ(sent, 2);
    }
    done = true;
  };
  l.post([&] { reader(); });
  std::jthread peer{[&] {
    std::array<char, 8> b;
    for (int i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(1ms);
      EXPECT_EQ(::send(c.other.fd(), "x", 1, 0), 1);
      pollfd p{.fd = c.other.fd(), .events = POLLIN, .revents = 0};
      EXPECT_EQ(::poll(&p, 1, 5000), 1) << "the guest did not answer";
      EXPECT_GT(::recv(c.other.fd(), b.data(), b.size(), 0), 0);
    }
  }};
  // It sleeps between the messages: the host is not kept busy.
  EXPECT_LE(host(l, done), 200);
  EXPECT_EQ(got, 20);
}

TEST_P(guest_on, a_host_is_woken_by_readiness) {
  loop l{GetParam()};
  test::connected c;
  bool done = false;
  auto watcher = [&]() -> party {
    for (int i = 0; i < 5; ++i) {
      co_await io::readable(c.one);
      char b = 0;
      EXPECT_EQ(::recv(c.one.fd(), &b, 1, 0), 1);
    }
    done = true;
  };
  l.post([&] { watcher(); });
  std::jthread peer{[&] {
    for (int i = 0; i < 5; ++i) {
      std::this_thread::sleep_for(3ms);
      EXPECT_EQ(::send(c.other.fd(), "x", 1, 0), 1);
    }
  }};
  EXPECT_LE(host(l, done), 100);
}

// The kernel hands out so many completions that one look does not fetch them all.
TEST_P(guest_on, a_host_does_not_sleep_while_completions_are_left) {
  loop l{GetParam()};
  constexpr int n = 300;
  std::vector<std::unique_ptr<test::connected>> pairs;
  for (int i = 0; i < n; ++i) pairs.push_back(std::make_unique<test::connected>());
  int got = 0;
  bool done = false;
  auto reader = [&](descriptor& d) -> party {
    std::array<std::byte, 1> b;
    const auto r = co_await io::receive(d, b);
    EXPECT_EQ(r, 1);
    done = ++got == n;
  };
  l.post([&] {
    for (auto& p : pairs) reader(p->one);
  });
  (void)l.pollable_fd();
  // Until everything is with the kernel.
  for (int i = 0; i < 4; ++i) {
    l.run_ready(n);
    (void)l.next_deadline();
  }
  EXPECT_EQ(got, 0);
  for (auto& p : pairs) EXPECT_EQ(::send(p->other.fd(), "x", 1, 0), 1);
  host(l, done);
  EXPECT_EQ(got, n);
}

TEST_P(guest_on, a_host_is_woken_by_other_threads) {
  loop l{GetParam()};
  bool done = false;
  int ran = 0;
  std::jthread other{[&] {
    for (int i = 0; i < 50; ++i) {
      std::this_thread::sleep_for(200us);
      l.post([&] { done = ++ran == 50; });
    }
  }};
  EXPECT_LE(host(l, done), 200);
  EXPECT_EQ(ran, 50);
}

TEST_P(guest_on, a_party_that_gives_itself_up_does_not_hold_the_host) {
  loop l{GetParam()};
  bool stop = false;
  auto busy = [&]() -> party {
    while (!stop) co_await yield_now();
  };
  l.post([&] { busy(); });
  EXPECT_LE(l.run_ready(10), 10u);
  EXPECT_EQ(l.run_ready(10), 10u);
  const auto deadline = l.next_deadline();
  EXPECT_LE(deadline, l.now());
  stop = true;
  EXPECT_EQ(l.run_ready(10), 1u);
}

}  // namespace
}  // namespace oneloop
