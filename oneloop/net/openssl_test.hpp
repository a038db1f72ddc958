// The openssl program, for tests. Not installed.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::test {

/// The openssl program with pipes to its standard input and from its standard output.
class openssl {
 public:
  explicit openssl(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "openssl");
    int in[2], out[2];
    EXPECT_EQ(::pipe2(in, O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    ::posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    ::posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    std::vector<char*> argv;
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    EXPECT_EQ(::posix_spawnp(&pid_, "openssl", &actions, nullptr, argv.data(), environ), 0);
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    ::fcntl(in[1], F_SETFL, O_NONBLOCK);
    ::fcntl(out[0], F_SETFL, O_NONBLOCK);
    to_ = descriptor::adopt(in[1]);
    from_ = descriptor::adopt(out[0]);
  }
  ~openssl() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  openssl(const openssl&) = delete;
  openssl& operator=(const openssl&) = delete;

  task<> type(std::string text) { (void)co_await io::write(to_, net::bytes_of(text)); }
  void end_input() { to_.close(); }
  /// Its output up to and including `text`, or to the end.
  task<std::string> output_until(std::string text) {
    std::array<std::byte, 4096> b;
    while (seen_.find(text) == std::string::npos) {
      const auto n = co_await io::read(from_, b);
      if (n <= 0) break;
      seen_ += text_of(std::span{b}.first(static_cast<std::size_t>(n)));
    }
    const auto at = seen_.find(text);
    const auto end = at == std::string::npos ? seen_.size() : at + text.size();
    std::string result = seen_.substr(0, end);
    seen_.erase(0, end);
    co_return result;
  }

 private:
  pid_t pid_ = -1;
  descriptor to_, from_;
  std::string seen_;
};

}  // namespace oneloop::inline v0::test
