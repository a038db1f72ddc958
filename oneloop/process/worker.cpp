#include "oneloop/process/worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string_view>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::process {
namespace {

constexpr const char* worker_mark = "--oneloop-worker";
/// In a worker.
constexpr int pipe_fd = 3, lifeline_fd = 4, first_other_fd = 5;

bool called_parent_pipe = false;

// glibc 2.36 declares these for C only.
int open_pidfd(pid_t pid) { return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)); }
void send_signal(int pidfd, int signal) {
  (void)::syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0);
}

[[noreturn]] void cannot_start(int code) { throw error{"start", "a worker", system_code(code)}; }

/// Whether this process was started as a worker.
bool started_as_worker() {
  std::ifstream arguments{"/proc/self/cmdline"};
  std::string word;
  return std::getline(arguments, word, '\0') && std::getline(arguments, word, '\0') &&
         word == worker_mark;
}

/// A copy of `fd` that no number given to the worker hides.
descriptor out_of_the_way(int fd) {
  descriptor copy = descriptor::adopt(::fcntl(fd, F_DUPFD_CLOEXEC, first_other_fd));
  if (!copy.is_open()) cannot_start(errno);
  return copy;
}

struct spawn_settings {
  spawn_settings() {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
  }
  ~spawn_settings() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  spawn_settings(const spawn_settings&) = delete;
  spawn_settings& operator=(const spawn_settings&) = delete;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

pid_t start(int pipe, int lifeline, std::vector<std::string>& arguments) {
  spawn_settings s;
  ::posix_spawn_file_actions_addopen(&s.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&s.files, pipe, pipe_fd);
  ::posix_spawn_file_actions_adddup2(&s.files, lifeline, lifeline_fd);
  ::posix_spawn_file_actions_addclosefrom_np(&s.files, first_other_fd);
  sigset_t signals;
  ::sigfillset(&signals);
  ::posix_spawnattr_setsigdefault(&s.attributes, &signals);
  // Ctrl-C before parent_pipe has seen to it must not end the worker.
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::posix_spawnattr_setsigmask(&s.attributes, &signals);
  ::posix_spawnattr_setflags(&s.attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  std::string mark{worker_mark};
  std::vector<char*> argv{program_invocation_name, mark.data()};
  for (auto& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int failed =
      ::posix_spawn(&pid, "/proc/self/exe", &s.files, &s.attributes, argv.data(), environ);
  if (failed != 0) cannot_start(failed);
  return pid;
}

}  // namespace

std::string exit_status::to_string() const {
  if (signal == 0) return "exit status " + std::to_string(code);
  const char* const name = ::sigdescr_np(signal);
  return "killed by signal " + std::to_string(signal) +
         (name != nullptr ? " (" + std::string{name} + ")" : "");
}

wait_operation::wait_operation(worker& w) noexcept
    : worker_{&w}, ended_{io::readable(w.process_)} {}

exit_status wait_operation::await_resume() const { return worker_->reap(WNOHANG); }

worker::worker(std::vector<std::string> arguments) {
  loop::refuse_in_simulation("worker");
  if (!called_parent_pipe && started_as_worker()) {
    throw misuse{"a worker cannot start workers before its main has called process::parent_pipe"};
  }
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends.data()) != 0) {
    cannot_start(errno);
  }
  descriptor mine = descriptor::adopt(ends[0]);
  const descriptor its_pipe = descriptor::adopt(ends[1]);
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) cannot_start(errno);
  const descriptor its_lifeline = descriptor::adopt(ends[0]);
  lifeline_ = descriptor::adopt(ends[1]);
  const descriptor pipe_copy = out_of_the_way(its_pipe.fd());
  const descriptor lifeline_copy = out_of_the_way(its_lifeline.fd());
  pid_ = start(pipe_copy.fd(), lifeline_copy.fd(), arguments);
  process_ = descriptor::adopt(open_pidfd(pid_));
  if (!process_.is_open()) {
    const int failed = errno;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    cannot_start(failed);
  }
  pipe_ = message_pipe{std::move(mine), "worker " + std::to_string(pid_)};
}

worker::worker(worker&& o) noexcept
    : pid_{std::exchange(o.pid_, -1)},
      process_{std::move(o.process_)},
      lifeline_{std::move(o.lifeline_)},
      pipe_{std::move(o.pipe_)},
      status_{o.status_} {}

worker& worker::operator=(worker&& o) noexcept {
  if (this != &o) {
    end();
    pid_ = std::exchange(o.pid_, -1);
    process_ = std::move(o.process_);
    lifeline_ = std::move(o.lifeline_);
    pipe_ = std::move(o.pipe_);
    status_ = o.status_;
  }
  return *this;
}

worker::~worker() { end(); }

void worker::end() noexcept {
  if (!process_.is_open() || status_) return;
  kill();
  siginfo_t ignored{};
  while (::waitid(P_PIDFD, static_cast<id_t>(process_.fd()), &ignored, WEXITED) != 0 &&
         errno == EINTR) {
  }
}

void worker::kill(int signal) noexcept {
  if (process_.is_open() && !status_) send_signal(process_.fd(), signal);
}

exit_status worker::reap(int flags) {
  if (status_) return *status_;
  siginfo_t how{};
  if (::waitid(P_PIDFD, static_cast<id_t>(process_.fd()), &how, WEXITED | flags) != 0) {
    throw error{"wait for", "worker " + std::to_string(pid_), system_code(errno)};
  }
  const bool exited = how.si_code == CLD_EXITED;
  status_ = exit_status{exited ? how.si_status : 0, exited ? 0 : how.si_status};
  return *status_;
}

std::optional<message_pipe> parent_pipe(int argc, char** argv) {
  if (argc < 2 || std::string_view{argv[1]} != worker_mark) return {};
  called_parent_pipe = true;
  int type = 0;
  socklen_t size = sizeof type;
  const bool ours =
      ::getsockopt(pipe_fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
  // The kernel sends SIGKILL when the other end of the lifeline closes, that is, when the parent
  // has gone or wants it. (PR_SET_PDEATHSIG would act on the end of the parent's thread.)
  const int flags = ::fcntl(lifeline_fd, F_GETFL);
  if (!ours || flags < 0 || ::fcntl(lifeline_fd, F_SETOWN, ::getpid()) != 0 ||
      ::fcntl(lifeline_fd, F_SETSIG, SIGKILL) != 0 ||
      ::fcntl(lifeline_fd, F_SETFL, flags | O_ASYNC) != 0) {
    throw error{make_error_code(errc::misuse),
                std::string{worker_mark} + ": only a program that has workers starts one so"};
  }
  pollfd parent{lifeline_fd, POLLIN, 0};
  if (::poll(&parent, 1, 0) > 0) ::_exit(1);
  for (const int fd : {pipe_fd, lifeline_fd}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::prctl(PR_SET_NAME, program_invocation_short_name);
  std::signal(SIGINT, SIG_IGN);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  return message_pipe{descriptor::adopt(pipe_fd), "its parent"};
}

}  // namespace oneloop::inline v0::process
