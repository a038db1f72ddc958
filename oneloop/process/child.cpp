#include "oneloop/process/child.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/process/spawn_internal.hpp"

namespace oneloop::inline v0::process {
namespace {

struct ends {
  descriptor ours, its;
};

[[noreturn]] void cannot_start(const std::string& name, int code) {
  throw error{"start", name, system_code(code)};
}

ends open_stream(int number, const std::string& name) {
  std::array<int, 2> both{};
  if (number == STDIN_FILENO) {
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both.data()) != 0) {
      cannot_start(name, errno);
    }
  } else if (::pipe2(both.data(), O_CLOEXEC) != 0) {
    cannot_start(name, errno);
  }
  ends e{descriptor::adopt(both[0]), descriptor::adopt(both[1])};
  ::fcntl(both[0], F_SETFL, ::fcntl(both[0], F_GETFL) | O_NONBLOCK);
  // One way only: so either side hears of the other's end.
  if (number == STDIN_FILENO) {
    ::shutdown(both[0], SHUT_RD);
    ::shutdown(both[1], SHUT_WR);
  }
  return e;
}

void refuse_zero_bytes(const std::vector<std::string>& texts) {
  for (const auto& t : texts) {
    if (t.find('\0') != t.npos)
      throw misuse{"a command with a zero byte in it, after \"" + std::string{t.c_str()} + "\""};
  }
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  all.reserve(texts.size() + 1);
  for (const auto& t : texts) all.push_back(const_cast<char*>(t.c_str()));
  all.push_back(nullptr);
  return all;
}

}  // namespace

std::string exit_status::to_string() const {
  if (signal == 0) return "exit status " + std::to_string(code);
  const char* const name = ::sigdescr_np(signal);
  return "killed by signal " + std::to_string(signal) +
         (name != nullptr ? " (" + std::string{name} + ")" : "");
}

wait_operation::wait_operation(child& c) noexcept : child_{&c}, ended_{io::readable(c.process_)} {}

exit_status wait_operation::await_resume() const { return child_->reap(WNOHANG); }

child::child(const command& c) {
  loop::refuse_in_simulation("child");
  if (c.arguments.empty() || c.arguments[0].empty()) throw misuse{"a command without a program"};
  refuse_zero_bytes(c.arguments);
  refuse_zero_bytes({c.directory});
  if (c.environment) refuse_zero_bytes(*c.environment);
  name_ = c.arguments[0];

  detail::spawn_settings s;
  const std::array wanted{c.input, c.output, c.errors};
  std::array<descriptor, 3> its;
  for (int number = 0; number < 3; ++number) {
    const auto i = static_cast<std::size_t>(number);
    switch (wanted[i]) {
      case stdio::none:
        ::posix_spawn_file_actions_addopen(&s.files, number, "/dev/null",
                                           number == STDIN_FILENO ? O_RDONLY : O_WRONLY, 0);
        break;
      case stdio::same: break;
      case stdio::pipe:
        auto both = open_stream(number, name_);
        streams_[i] = std::move(both.ours);
        // Not 0, 1 or 2, which the actions before this one may have put to other use.
        its[i] = detail::copied_from(STDERR_FILENO + 1, both.its.fd());
        if (!its[i].is_open()) cannot_start(name_, errno);
        ::posix_spawn_file_actions_adddup2(&s.files, its[i].fd(), number);
        break;
    }
  }
  ::posix_spawn_file_actions_addclosefrom_np(&s.files, STDERR_FILENO + 1);
  if (!c.directory.empty()) {
    ::posix_spawn_file_actions_addchdir_np(&s.files, c.directory.c_str());
  }
  const auto argv = pointers(c.arguments);
  std::vector<char*> envp;
  if (c.environment) envp = pointers(*c.environment);
  const int failed = ::posix_spawnp(&pid_, argv[0], &s.files, &s.attributes, argv.data(),
                                    c.environment ? envp.data() : environ);
  if (failed != 0) {
    pid_ = -1;
    cannot_start(c.directory.empty() ? name_ : name_ + " in " + c.directory, failed);
  }
  watch();
}

child::child(pid_t pid, std::string name) : pid_{pid}, name_{std::move(name)} { watch(); }

void child::watch() {
  process_ = descriptor::adopt(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  if (process_.is_open()) return;
  const int failed = errno;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  cannot_start(name_, failed);
}

child::child(child&& o) noexcept
    : pid_{std::exchange(o.pid_, -1)},
      process_{std::move(o.process_)},
      name_{std::move(o.name_)},
      streams_{std::move(o.streams_)},
      status_{o.status_} {}

child& child::operator=(child&& o) noexcept {
  if (this != &o) {
    end();
    pid_ = std::exchange(o.pid_, -1);
    process_ = std::move(o.process_);
    name_ = std::move(o.name_);
    streams_ = std::move(o.streams_);
    status_ = o.status_;
  }
  return *this;
}

child::~child() { end(); }

void child::end() noexcept {
  if (!process_.is_open() || status_) return;
  kill();
  siginfo_t ignored{};
  while (::waitid(P_PIDFD, static_cast<id_t>(process_.fd()), &ignored, WEXITED) != 0 &&
         errno == EINTR) {
  }
}

void child::kill(int signal) noexcept {
  if (!process_.is_open()) return;
  // (To one that has been waited for it is an error: its number may be another's, the pidfd is
  // not.)
  (void)::syscall(SYS_pidfd_send_signal, process_.fd(), signal, nullptr, 0);
}

exit_status child::reap(int flags) {
  if (status_) return *status_;
  siginfo_t how{};
  if (::waitid(P_PIDFD, static_cast<id_t>(process_.fd()), &how, WEXITED | flags) != 0) {
    throw error{"wait for", name_, system_code(errno)};
  }
  const bool exited = how.si_code == CLD_EXITED;
  status_ = exit_status{exited ? how.si_status : 0, exited ? 0 : how.si_status};
  return *status_;
}

}  // namespace oneloop::inline v0::process
