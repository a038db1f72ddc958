#include "oneloop/process/worker.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <future>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/process/message_pipe.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::process {
namespace {

using namespace test;

/// A descriptor that is not close-on-exec.
constexpr int leak = 40;

/// Says what it is asked for: signals, descriptors, its worker's number, and so on.
std::string about(const std::string& what, int argc, char** argv) {
  if (what == "arguments") {
    std::string all;
    for (int i = 2; i < argc; ++i) all.append(argv[i]).append(";");
    return all;
  }
  if (what == "leak") return ::fcntl(leak, F_GETFD) >= 0 ? "open" : "closed";
  if (what == "input") return std::to_string(std::cin.get());
  if (what == "signals") {
    sigset_t blocked;
    ::sigprocmask(SIG_SETMASK, nullptr, &blocked);
    std::string odd;
    for (int s = 1; s < 32; ++s) {
      struct sigaction now{};
      if (::sigismember(&blocked, s) == 1) odd += " blocked " + std::to_string(s);
      if (::sigaction(s, nullptr, &now) == 0 && now.sa_handler != SIG_DFL && s != SIGINT &&
          now.sa_handler == SIG_IGN) {
        odd += " ignored " + std::to_string(s);
      }
    }
    return odd;
  }
  if (what == "exit 3") ::_exit(3);
  if (what == "busy") {
    while (true) ::usleep(1000);
  }
  return what + "!";
}

/// Whether there is such a process (a zombie is one).
bool exists(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

/// Without a sleep that hopes: until it is so, for 10 seconds.
bool soon(const std::function<bool()>& so) {
  for (int i = 0; i < 10'000 && !so(); ++i) std::this_thread::sleep_for(1ms);
  return so();
}

class workers : public on_backends {};
ON_BACKENDS(workers);

TEST_P(workers, answers_to_a_coroutine_a_fiber_a_thread_and_a_callback) {
  go([]() -> task<> {
    worker w;
    co_await w.send("coroutine");
    auto answer = co_await w.receive();
    EXPECT_EQ(answer, "coroutine!");
    std::string said;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] {
        await(w.send("fiber"));
        said = await(w.receive()).value_or("");
      });
      co_return;
    });
    EXPECT_EQ(said, "fiber!");
    co_await w.send("callback");
    auto later = defer(w.receive()).add_callback([](const std::optional<std::string>& a) {
      return a.value_or("");
    });
    said = co_await later;
    EXPECT_EQ(said, "callback!");
    auto in_thread = [&] {
      await(w.send("thread"));
      return await(w.receive());
    };
    answer = co_await to_thread(std::ref(in_thread));
    EXPECT_EQ(answer, "thread!");
  });
}

TEST_P(workers, exit_status_and_signal_are_told_and_may_be_asked_again) {
  go([]() -> task<> {
    worker by_status;
    co_await by_status.send("exit 3");
    auto how = co_await by_status.wait();
    EXPECT_EQ(how, (exit_status{3, 0}));
    EXPECT_EQ(how.to_string(), "exit status 3");
    how = co_await by_status.wait();
    EXPECT_EQ(how.code, 3);
    auto nothing = co_await by_status.receive();
    EXPECT_EQ(nothing, std::nullopt);
    worker by_signal;
    by_signal.kill(SIGTERM);
    how = co_await by_signal.wait();
    EXPECT_EQ(how, (exit_status{0, SIGTERM}));
    EXPECT_EQ(how.to_string(), "killed by signal 15 (Terminated)");
    worker by_itself;
    by_itself.end_sending();
    how = co_await by_itself.wait();
    EXPECT_TRUE(how.ok());
  });
}

TEST_P(workers, cancelled_waits_leave_worker_and_messages_as_they_are) {
  go([]() -> task<> {
    worker w;
    auto ended = co_await move_on_after(1ms, w.wait());
    EXPECT_FALSE(ended);
    auto message = co_await move_on_after(1ms, w.receive());
    EXPECT_FALSE(message);
    auto sent = co_await with_scope(scope_options{}, [&](cancel_scope& s) -> task<> {
      s.cancel();
      co_await w.send("never");
    });
    EXPECT_FALSE(sent);
    co_await w.send("still there");
    auto answer = co_await w.receive();
    EXPECT_EQ(answer, "still there!");
  });
}

TEST_P(workers, full_pipe_makes_send_wait_and_loses_nothing) {
  go([]() -> task<> {
    worker w;
    constexpr int many = 300;
    const std::string filler(message_pipe::max_message - 10, 'x');
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        for (int i = 0; i < many; ++i) {
          auto sending = w.send(std::to_string(i) + filler.substr(0, i % 3 == 0 ? 60'000 : 10));
          co_await sending;
        }
        w.end_sending();
      });
      for (int i = 0; i < many; ++i) {
        auto got = co_await w.receive();
        EXPECT_TRUE(got && got->starts_with(std::to_string(i) + "x") && got->ends_with("x!"));
      }
      auto end = co_await w.receive();
      EXPECT_EQ(end, std::nullopt);
    });
  });
}

TEST(worker, starts_with_a_clean_table_of_signals_and_descriptors) {
  ASSERT_EQ(::dup2(STDERR_FILENO, leak), leak);
  sigset_t usr1, before;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &usr1, &before);
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  worker w{{"one", "and two"}};
  std::signal(SIGPIPE, pipe_before);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ::close(leak);
  const auto ask = [&](const char* what) {
    await(w.send(what));
    return await(w.receive());
  };
  EXPECT_EQ(ask("arguments"), "one;and two;");
  EXPECT_EQ(ask("signals"), "");
  EXPECT_EQ(ask("leak"), "closed");
  EXPECT_EQ(ask("input"), "-1");
  EXPECT_EQ(ask(""), "!");
  w.kill(SIGINT);
  EXPECT_EQ(ask("Ctrl-C is the parent's"), "Ctrl-C is the parent's!");
}

TEST(worker, is_killed_and_reaped_at_the_end_of_its_scope) {
  pid_t pid = -1;
  {
    worker w;
    pid = w.pid();
    await(w.send("busy"));
    worker moved{std::move(w)};
    w = worker{};
    EXPECT_TRUE(exists(pid));
  }
  EXPECT_FALSE(exists(pid));
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(worker, dies_with_a_parent_that_is_killed) {
  // The parent is a worker too: it starts one of its own, says its number, and is killed.
  worker parent{{"parent"}};
  await(parent.send("go"));
  const pid_t grandchild = std::stoi(await(parent.receive()).value_or("0"));
  ASSERT_GT(grandchild, 0);
  EXPECT_TRUE(exists(grandchild));
  parent.kill();
  EXPECT_EQ(await(parent.wait()).signal, SIGKILL);
  // Somebody else reaps it: gone, or a zombie of theirs.
  EXPECT_TRUE(soon([&] {
    std::ifstream stat{"/proc/" + std::to_string(grandchild) + "/stat"};
    std::string line;
    return !std::getline(stat, line) || line.find(") Z") != line.npos;
  }));
}

TEST(worker, outlives_the_thread_that_started_it) {
  std::optional<worker> w;
  std::thread{[&] { w.emplace(); }}.join();
  await(w->send("hello"));
  EXPECT_EQ(await(w->receive()), "hello!");
}

TEST(worker, errors_name_what_and_why) {
  worker w;
  try {
    await(w.send(std::string(message_pipe::max_message + 1, 'x')));
    ADD_FAILURE() << "too large, and sent";
  } catch (const error& e) {
    EXPECT_EQ(e.code(), errc::limit_exceeded);
    EXPECT_EQ(e.what(), "send to worker " + std::to_string(w.pid()) +
                            ": a message of 65537 bytes, and at most 65536 are taken");
  }
  w.kill();
  EXPECT_EQ(await(w.wait()).signal, SIGKILL);
  try {
    await(w.send("anybody there?"));
    ADD_FAILURE() << "sent to nobody";
  } catch (const error& e) {
    EXPECT_EQ(e.what(), "send to worker " + std::to_string(w.pid()) + ": Broken pipe");
  }
  EXPECT_EQ(await(w.receive()), std::nullopt);
}

TEST(worker, refuses_to_start_when_nothing_is_left_to_start_it_with) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  rlimit none = before;
  none.rlim_cur = 3;
  ::setrlimit(RLIMIT_NOFILE, &none);
  std::string said;
  try {
    worker w;
  } catch (const error& e) {
    said = e.what();
  }
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(said, "start a worker: Too many open files");
}

TEST(worker, word_of_workers_is_refused_from_anybody_else) {
  std::string mark{"--oneloop-worker"};
  std::array<char*, 3> argv{mark.data(), mark.data(), nullptr};
  EXPECT_THROW((void)parent_pipe(2, argv.data()), error);
  EXPECT_FALSE(parent_pipe(1, argv.data()));
}

TEST(worker, main_that_forgets_parent_pipe_does_not_start_workers_for_ever) {
  worker w{{"forgetful"}};
  EXPECT_EQ(await(w.wait()).code, 42);
}

}  // namespace
}  // namespace oneloop::process

int main(int argc, char** argv) {
  namespace process = oneloop::process;
  if (argc > 2 && std::string_view{argv[2]} == "forgetful") {
    try {
      process::worker w;
      return 0;
    } catch (const oneloop::misuse&) {
      return 42;
    }
  }
  if (auto parent = process::parent_pipe(argc, argv)) {
    if (argc > 2 && std::string_view{argv[2]} == "parent") {
      process::worker busy;
      oneloop::await(busy.send("busy"));
      return process::answer(*parent,
                             [&](const std::string&) { return std::to_string(busy.pid()); });
    }
    return process::answer(
        *parent, [&](const std::string& what) { return process::about(what, argc, argv); });
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
