#include "oneloop/process/worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <string_view>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/process/spawn_internal.hpp"

namespace oneloop::inline v0::process {
namespace {

constexpr const char* worker_mark = "--oneloop-worker";
/// In a worker.
constexpr int pipe_fd = 3, lifeline_fd = 4, first_other_fd = 5;

bool called_parent_pipe = false;

// glibc 2.36 declares these for C only.
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
  descriptor copy = detail::copied_from(first_other_fd, fd);
  if (!copy.is_open()) cannot_start(errno);
  return copy;
}

pid_t start(int pipe, int lifeline, std::vector<std::string>& arguments) {
  // Ctrl-C before parent_pipe has seen to it must not end the worker.
  detail::spawn_settings s{SIGINT};
  ::posix_spawn_file_actions_addopen(&s.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&s.files, pipe, pipe_fd);
  ::posix_spawn_file_actions_adddup2(&s.files, lifeline, lifeline_fd);
  ::posix_spawn_file_actions_addclosefrom_np(&s.files, first_other_fd);
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
  const pid_t pid = start(pipe_copy.fd(), lifeline_copy.fd(), arguments);
  const std::string name = "worker " + std::to_string(pid);
  process_ = child{pid, name};
  pipe_ = message_pipe{std::move(mine), name};
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
