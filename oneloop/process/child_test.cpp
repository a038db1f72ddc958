#include "oneloop/process/child.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::process {
namespace {

using namespace test;

command shell(std::string script) {
  return {.arguments = {"sh", "-c", std::move(script)}, .output = stdio::pipe};
}

/// What comes out until the end.
task<std::string> all_of(descriptor& from) {
  std::string all;
  std::array<std::byte, 4096> piece;
  while (true) {
    const auto n = co_await io::read(from, piece);
    if (n <= 0) break;
    all += text_of(std::span{piece}.first(static_cast<std::size_t>(n)));
  }
  co_return all;
}

/// What it prints.
task<std::string> printed(command c) {
  child running{c};
  auto reading = all_of(running.output());
  auto text = co_await std::move(reading);
  (void)co_await running.wait();
  co_return text;
}

class children : public on_backends {};
ON_BACKENDS(children);

TEST_P(children, status_and_signal_are_told_and_may_be_asked_again) {
  go([]() -> task<> {
    child by_status{shell("exit 3")};
    auto how = co_await by_status.wait();
    EXPECT_EQ(how, (exit_status{3, 0}));
    how = co_await by_status.wait();
    EXPECT_EQ(how.to_string(), "exit status 3");
    by_status.kill();  // to nobody
    child by_signal{shell("sleep 100")};
    by_signal.kill(SIGTERM);
    how = co_await by_signal.wait();
    EXPECT_EQ(how.to_string(), "killed by signal 15 (Terminated)");
    EXPECT_FALSE(how.ok());
  });
}

TEST_P(children, streams_lead_both_ways) {
  go([]() -> task<> {
    child c{{.arguments = {"cat"}, .input = stdio::pipe, .output = stdio::pipe}};
    EXPECT_FALSE(c.errors().is_open());
    // More than the pipes hold, so that both sides have to wait.
    const std::string text(1'000'000, 'x');
    std::string back;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        auto left = net::bytes_of(text);
        while (!left.empty()) {
          const auto sent = co_await io::send(c.input(), left);
          EXPECT_GT(sent, 0);
          if (sent <= 0) break;
          left = left.subspan(static_cast<std::size_t>(sent));
        }
        c.input().close();
      });
      auto reading = all_of(c.output());
      back = co_await std::move(reading);
    });
    EXPECT_EQ(back, text);
    const auto how = co_await c.wait();
    EXPECT_TRUE(how.ok());
  });
}

TEST_P(children, output_and_errors_are_apart) {
  go([]() -> task<> {
    command c = shell("echo out; echo err >&2");
    c.errors = stdio::pipe;
    child running{c};
    auto reading = all_of(running.output());
    const auto out = co_await std::move(reading);
    auto reading_errors = all_of(running.errors());
    const auto err = co_await std::move(reading_errors);
    EXPECT_EQ(out, "out\n");
    EXPECT_EQ(err, "err\n");
  });
}

TEST_P(children, start_clean) {
  // What is open here, blocked or ignored is not so there.
  descriptor inherited = descriptor::adopt(::dup(STDERR_FILENO));
  sigset_t usr1, before;
  ::sigemptyset(&usr1);
  ::sigaddset(&usr1, SIGUSR1);
  ::sigprocmask(SIG_BLOCK, &usr1, &before);
  const auto pipe_before = std::signal(SIGPIPE, SIG_IGN);
  go([]() -> task<> {
    child other{{.arguments = {"cat"}, .input = stdio::pipe, .output = stdio::pipe}};
    // (The first two real-time signals, which the C library keeps to itself, may be ignored.)
    auto asking = printed(
        {.arguments = {"grep", "-E", "^Sig(Blk|Ign):.0000000[01][08]0000000", "/proc/self/status"},
         .output = stdio::pipe});
    const auto signals = co_await std::move(asking);
    EXPECT_EQ(std::ranges::count(signals, '\n'), 2) << signals;
    // The streams, and the folder that it lists.
    auto listing = printed({.arguments = {"ls", "/proc/self/fd"}, .output = stdio::pipe});
    const auto open = co_await std::move(listing);
    EXPECT_EQ(open, "0\n1\n2\n3\n");
    auto reading = printed({.arguments = {"cat"}, .output = stdio::pipe});
    const auto nothing = co_await std::move(reading);
    EXPECT_EQ(nothing, "");
  });
  std::signal(SIGPIPE, pipe_before);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

TEST_P(children, have_their_environment_and_directory) {
  go([]() -> task<> {
    command c = shell("echo $WORD; pwd");
    c.environment = {"WORD=here", "PATH=/bin:/usr/bin"};
    c.directory = "/proc";
    auto asking = printed(c);
    const auto said = co_await std::move(asking);
    EXPECT_EQ(said, "here\n/proc\n");
  });
}

TEST_P(children, cancelled_wait_leaves_them_alone) {
  go([]() -> task<> {
    child c{{.arguments = {"cat"}, .input = stdio::pipe}};
    auto ended = co_await move_on_after(1ms, c.wait());
    EXPECT_FALSE(ended);
    c.input().close();
    const auto how = co_await c.wait();
    EXPECT_TRUE(how.ok());
  });
}

TEST_P(children, are_waited_for_by_a_fiber_a_thread_and_a_callback) {
  go([]() -> task<> {
    int code = 0;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&] {
        child c{shell("exit 4")};
        code = await(c.wait()).code;
      });
      co_return;
    });
    EXPECT_EQ(code, 4);
    child c{shell("exit 5")};
    auto later = defer(c.wait()).add_callback([](exit_status s) { return s.code; });
    code = co_await later;
    EXPECT_EQ(code, 5);
  });
  child c{shell("exit 6")};
  EXPECT_EQ(await(c.wait()).code, 6);
}

TEST_P(children, two_hundred_at_once) {
  go([]() -> task<> {
    int ended = 0;
    co_await with_nursery([&](nursery& n) -> task<> {
      for (int i = 0; i < 200; ++i) {
        n.start([&]() -> task<> {
          child c{{.arguments = {"true"}}};
          const auto how = co_await c.wait();
          ended += how.ok() ? 1 : 0;
        });
      }
      co_return;
    });
    EXPECT_EQ(ended, 200);
  });
}

TEST_P(children, input_of_one_that_has_ended_is_an_error_and_no_signal) {
  go([]() -> task<> {
    command c = shell("exit 0");
    c.input = stdio::pipe;
    child running{c};
    (void)co_await running.wait();
    const auto sent = co_await io::send(running.input(), net::bytes_of("hello"));
    EXPECT_EQ(sent, -EPIPE);
  });
}

TEST(child, is_killed_and_reaped_at_the_end_of_its_scope) {
  pid_t pid = -1;
  {
    child c{shell("sleep 100")};
    child moved{std::move(c)};
    c = child{shell("sleep 100")};
    pid = moved.pid();
    EXPECT_EQ(::kill(pid, 0), 0);
  }
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

std::string refusal(const command& c) {
  try {
    child{c};
  } catch (const error& e) {
    return e.what();
  }
  return {};
}

TEST(child, errors_name_what_and_why) {
  EXPECT_EQ(refusal({.arguments = {"no-such-program"}}),
            "start no-such-program: No such file or directory");
  EXPECT_EQ(refusal({.arguments = {"/proc"}}), "start /proc: Permission denied");
  EXPECT_EQ(refusal({.arguments = {"true"}, .directory = "/nowhere"}),
            "start true in /nowhere: No such file or directory");
  EXPECT_EQ(refusal({}), "a command without a program");
  EXPECT_EQ(refusal({.arguments = {"true", std::string("a\0b", 3)}}),
            "a command with a zero byte in it, after \"a\"");
}

TEST(child, without_descriptors_is_an_error_and_leaves_nothing) {
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const auto open = [] {
    return std::ranges::distance(std::filesystem::directory_iterator{"/proc/self/fd"},
                                 std::filesystem::directory_iterator{});
  };
  const auto were_open = open();
  for (rlim_t room = 0; room < 8; ++room) {
    const descriptor lowest = descriptor::adopt(::dup(STDERR_FILENO));
    const rlimit few{static_cast<rlim_t>(lowest.fd()) + room, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    const auto said = refusal({.arguments = {"true"},
                               .input = stdio::pipe,
                               .output = stdio::pipe,
                               .errors = stdio::pipe});
    ::setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_TRUE(said.empty() || said == "start true: Too many open files") << said;
    if (room == 0) {
      EXPECT_FALSE(said.empty());
    }
  }
  EXPECT_EQ(open(), were_open);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1);
}

}  // namespace
}  // namespace oneloop::process
