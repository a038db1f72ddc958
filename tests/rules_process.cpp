// The rules, of processes, their pipes, and signals.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <optional>
#include <string>

#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/process/message_pipe.hpp"
#include "oneloop/process/worker.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;

/// The other end is used past the loop.
class any_pipe_subject : public subject {
 public:
  explicit any_pipe_subject(traits t) : subject{t} {
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds_.data()),
              0);
    pipe_ = process::message_pipe{descriptor::adopt(fds_[0]), "the other side"};
  }
  ~any_pipe_subject() override { ::close(fds_[1]); }

 protected:
  static bool put(int fd, const std::string& message) {
    return ::send(fd, message.data(), message.size(), MSG_NOSIGNAL) > 0;
  }
  static bool take(int fd) {
    std::array<char, 1> first;
    return ::recv(fd, first.data(), first.size(), 0) > 0;
  }
  std::array<int, 2> fds_{};
  process::message_pipe pipe_;
};

class receive_message_subject final : public any_pipe_subject {
 public:
  receive_message_subject() : any_pipe_subject{{.needs_kernel = true, .at_once = false}} {}
  wait_for wait() override {
    return waiting(pipe_.receive(), [](const auto& m) { EXPECT_EQ(m, "x"); });
  }
  void complete() override { EXPECT_TRUE(put(fds_[1], "x\n")); }
  bool untaken() override { return take(fds_[0]); }
};

/// The kernel wakes who sends when most of what was under way has been received: there is room for
/// all who wait, then.
class send_message_subject final : public any_pipe_subject {
 public:
  send_message_subject()
      : any_pipe_subject{{.needs_kernel = true, .at_once = false, .one_each = false}} {}
  void again() override {
    while (put(fds_[0], message_ + '\n')) ++sent_;
  }
  wait_for wait() override {
    return waiting(pipe_.send(message_), [this] { ++sent_; });
  }
  void complete() override {
    while (take(fds_[1])) ++received_;
  }
  /// What came is what we know to have been sent.
  bool untaken() override {
    complete();
    const bool agree = received_ == sent_;
    again();
    return agree;
  }

 private:
  const std::string message_ = std::string(4096, 'x');
  std::atomic<int> sent_ = 0;
  int received_ = 0;
};

/// One that does nothing until it is killed. Then there is another one.
class worker_subject final : public subject {
 public:
  worker_subject()
      : subject{{.needs_kernel = true,
                 .at_once = false,
                 .one_each = false,
                 .leaves_trace = false,
                 .many = false}} {}
  void again() override {
    if (w_ && !killed_) return;
    w_.emplace();
    killed_ = false;
  }
  wait_for wait() override {
    return waiting(w_->wait(), [](process::exit_status how) { EXPECT_EQ(how.signal, SIGKILL); });
  }
  void complete() override {
    w_->kill();
    killed_ = true;
  }

 private:
  std::optional<process::worker> w_;
  bool killed_ = false;
};

/// A set is its loop's: plain threads have none.
class signal_subject final : public subject {
 public:
  signal_subject() : subject{{.threads = false, .at_once = false}} {}
  void begin(nursery&) override { set_.emplace({SIGUSR2}); }
  wait_for wait() override {
    return waiting(set_->next(), [](int signo) { EXPECT_EQ(signo, SIGUSR2); });
  }
  void complete() override { EXPECT_EQ(::raise(SIGUSR2), 0); }
  bool untaken() override {
    for (int i = 0; i < 1000; ++i) {  // the loop has to hear of it first
      if (set_->next().await_ready()) return true;
      await(sleep_for(1ms));
    }
    return false;
  }

 private:
  std::optional<signal_set> set_;
};

const bool process_enrolled = enrol<receive_message_subject>("message_pipe_receive") &&
                              enrol<send_message_subject>("message_pipe_send") &&
                              enrol<worker_subject>("worker") &&
                              enrol<signal_subject>("signal_set");

}  // namespace
}  // namespace oneloop::rules

int main(int argc, char** argv) {
  if (auto parent = oneloop::process::parent_pipe(argc, argv)) {
    return oneloop::process::answer(*parent, [](std::string text) { return text; });
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
