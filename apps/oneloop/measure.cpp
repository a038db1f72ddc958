#include "measure.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"

namespace tool {
namespace {

using namespace oneloop;
using namespace std::chrono_literals;

[[noreturn]] void cannot_start() { throw error{"start", "a race", system_code(errno)}; }

descriptor adopted(int fd) {
  descriptor d = descriptor::adopt(fd);
  if (!d.is_open()) cannot_start();
  return d;
}

struct pipe_ends {
  descriptor in, out;
};
pipe_ends make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) cannot_start();
  (void)make_nonblocking(ends[0]);
  return {descriptor::adopt(ends[0]), descriptor::adopt(ends[1])};
}

/// A process that has been started and not been waited for.
class subject {
 public:
  subject(std::vector<std::string> arguments, const std::string& text) {
    const descriptor input = adopted(::memfd_create("urls", MFD_CLOEXEC));
    if (::write(input.fd(), text.data(), text.size()) != std::ssize(text) ||
        ::lseek(input.fd(), 0, SEEK_SET) != 0) {
      cannot_start();
    }
    auto [out_here, out_there] = make_pipe();
    auto [err_here, err_there] = make_pipe();
    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawn_file_actions_adddup2(&files, input.fd(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, out_there.fd(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, err_there.fd(), STDERR_FILENO);
    arguments.insert(arguments.begin(), program_invocation_name);
    std::vector<char*> argv;
    argv.reserve(arguments.size() + 1);
    for (auto& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    errno = ::posix_spawn(&pid_, "/proc/self/exe", &files, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&files);
    if (errno != 0) cannot_start();
    pidfd_ = descriptor::adopt(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    out_ = std::move(out_here);
    err_ = std::move(err_here);
  }
  ~subject() {
    if (pid_ < 0) return;
    kill();
    ::waitpid(pid_, nullptr, 0);
  }
  subject(const subject&) = delete;
  subject& operator=(const subject&) = delete;

  void kill() const { ::kill(pid_, SIGKILL); }
  /// After it has ended.
  void reap(measured& into) {
    int status = 0;
    rusage used{};
    if (::wait4(pid_, &status, 0, &used) != pid_) throw error{"wait", "a race", system_code(errno)};
    pid_ = -1;
    const auto time = [](const timeval& t) {
      return std::chrono::seconds{t.tv_sec} + std::chrono::microseconds{t.tv_usec};
    };
    into.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    into.cpu = time(used.ru_utime) + time(used.ru_stime);
    into.switches = static_cast<std::uint64_t>(used.ru_nvcsw + used.ru_nivcsw);
  }
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  [[nodiscard]] descriptor& ended() noexcept { return pidfd_; }
  [[nodiscard]] descriptor& out() noexcept { return out_; }
  [[nodiscard]] descriptor& err() noexcept { return err_; }

 private:
  pid_t pid_ = -1;
  descriptor pidfd_, out_, err_;
};

/// What the kernel says about a process now. Zeros once it has ended.
struct process_figures {
  explicit process_figures(pid_t pid) {
    std::ifstream status{fmt::format("/proc/{}/status", pid)};
    std::string line;
    while (std::getline(status, line)) {
      const std::string_view text{line};
      const auto value = [&] { return std::strtoull(line.c_str() + text.find(':') + 1, {}, 10); };
      if (text.starts_with("PPid:")) parent = static_cast<pid_t>(value());
      if (text.starts_with("VmHWM:")) peak_kb = value();
      if (text.starts_with("RssAnon:")) private_kb = value();
      if (text.starts_with("Threads:")) threads = value();
    }
  }
  pid_t parent = 0;
  std::uint64_t peak_kb = 0, private_kb = 0, threads = 0;
};

/// A process and its children.
class family {
 public:
  explicit family(pid_t root) : root_{root} {
    for (const auto& e : std::filesystem::directory_iterator{"/proc"}) seen_.insert(pid_of(e));
  }
  void sample(measured& into) {
    const process_figures own{root_};
    std::uint64_t memory = own.peak_kb;
    std::uint64_t threads = own.threads;
    // Those that were there before are nobody's of ours; each other one is asked once.
    for (const auto& e : std::filesystem::directory_iterator{"/proc"}) {
      const pid_t pid = pid_of(e);
      if (seen_.insert(pid).second && process_figures{pid}.parent == root_) children_.insert(pid);
    }
    for (const pid_t child : children_) {
      const process_figures its{child};
      memory += its.private_kb;
      threads += its.threads;
    }
    into.peak_kb = std::max(into.peak_kb, memory);
    into.threads = std::max(into.threads, threads);
  }

 private:
  static pid_t pid_of(const std::filesystem::directory_entry& e) {
    return static_cast<pid_t>(std::strtol(e.path().filename().c_str(), nullptr, 10));
  }
  pid_t root_;
  std::set<pid_t> seen_, children_;
};

task<> keep_sampling(pid_t pid, measured& into) {
  family all{pid};
  while (true) {
    const auto begun = std::chrono::steady_clock::now();
    all.sample(into);
    const auto took = std::chrono::steady_clock::now() - begun;
    // So that looking takes a small part of a processor only.
    const duration pause = std::max<duration>(2ms, 5 * took);
    co_await sleep_for(pause);
  }
}

/// Until its end; what is beyond `most` is dropped.
task<> read_all(descriptor& from, std::string& to, std::size_t most) {
  std::vector<std::byte> buffer(std::size_t{64} * 1024);
  while (true) {
    const auto n = co_await io::read(from, buffer);
    if (n <= 0) break;
    const auto room = std::min(most - to.size(), static_cast<std::size_t>(n));
    to.append(reinterpret_cast<const char*>(buffer.data()), room);
  }
}

}  // namespace

task<measured> measure(std::vector<std::string> arguments, std::string input, duration limit) {
  measured m;
  const auto begun = std::chrono::steady_clock::now();
  subject child{std::move(arguments), input};
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&] { return keep_sampling(child.pid(), m); });
    auto to_the_end = [&]() -> task<> {
      co_await with_nursery([&](nursery& readers) -> task<> {
        readers.start([&] { return read_all(child.out(), m.out, std::size_t{64} * 1024 * 1024); });
        readers.start([&] { return read_all(child.err(), m.err, 4096); });
        co_await io::readable(child.ended());
        m.wall = std::chrono::steady_clock::now() - begun;
      });
    };
    auto bounded = move_on_after(limit, std::ref(to_the_end));
    const bool ended = co_await std::move(bounded);
    m.timed_out = !ended;
    n.cancel();
  });
  if (m.timed_out) {
    child.kill();
    m.wall = std::chrono::steady_clock::now() - begun;
  }
  child.reap(m);
  co_return m;
}

}  // namespace tool
