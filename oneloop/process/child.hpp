// Child processes: a program started, its standard streams, and how it ended.
//
//     process::child c{{.arguments = {"gzip", "-c"}, .input = process::stdio::pipe,
//                       .output = process::stdio::pipe}};
//     co_await io::send(c.input(), bytes);              // it may take less: see loop/io.hpp
//     c.input().close();
//     const std::int64_t n = co_await io::read(c.output(), buffer);   // 0: that was all
//     process::exit_status s = co_await c.wait();       // s.to_string(): "exit status 0"
//
// It is started by posix_spawn(3), never by fork: that takes no longer in a large process, and
// copies no lock or loop. No descriptor of this process is in it but its standard streams, and
// signals are as in a fresh process.
//
// *Ends*: a child whose object goes is killed, and waited for; no zombie stays behind. (Workers,
// see process/worker.hpp, also end when this process dies.)
//
// *Threads*: those of loop/io.hpp for its streams; one waiter of any kind for wait, while other
// threads may kill; all else one thread at a time. On a simulated loop: `misuse`.
//
// Systems: Python's asyncio.create_subprocess_exec, trio's open_process.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"

namespace oneloop::inline v0::process {

/// How a process ended.
struct ONELOOP_API exit_status {
  int code = 0;    // of exit; 0 if a signal ended it
  int signal = 0;  // that ended it; 0 if none did
  [[nodiscard]] bool ok() const noexcept { return code == 0 && signal == 0; }
  /// "exit status 3", "killed by signal 9 (Killed)"
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const exit_status&, const exit_status&) = default;
};

/// What a standard stream of a child is.
enum class stdio : std::uint8_t {
  none,  // /dev/null
  same,  // this process's own
  pipe,  // leads here
};

/// What to start, and how.
struct command {
  /// The program, a path or a name to be found in PATH, and its arguments.
  std::vector<std::string> arguments;
  stdio input = stdio::none, output = stdio::same, errors = stdio::same;
  /// Where it starts; "": where this process is.
  std::string directory = {};
  /// "NAME=value" each; nothing: this process's environment.
  std::optional<std::vector<std::string>> environment = {};
};

class child;

/// What child::wait returns. It may be moved until it is started.
class ONELOOP_API wait_operation {
 public:
  explicit wait_operation(child& c) noexcept;
  bool await_ready() noexcept { return ended_.await_ready(); }
  bool await_suspend(waiter& w) { return ended_.await_suspend(w); }
  exit_status await_resume() const;

 private:
  child* child_;
  readiness_operation ended_;
};

class ONELOOP_API child {
 public:
  /// Errors: error ("start gzip: No such file or directory"); misuse without a program, with a zero
  /// byte in one of the strings, or on a simulated loop. The call returns when the program has been
  /// loaded: about a third of a millisecond.
  explicit child(const command& c);
  child(child&& o) noexcept;
  child& operator=(child&& o) noexcept;
  /// Kills it if it has not ended, and waits for its end (a moment).
  ~child();

  /// Until it has ended: how. May be asked again. It must stay where it is meanwhile.
  /// Errors: error if somebody else in this process has taken its status (waitpid(-1), or SIGCHLD
  /// being ignored). Cancellation: retractable; the child goes on.
  [[nodiscard]] wait_operation wait() noexcept { return wait_operation{*this}; }
  /// Sends a signal (9: SIGKILL, 15: SIGTERM); nothing if it has ended.
  void kill(int signal = 9) noexcept;
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }

  /// This process's end of a stream that is stdio::pipe, for loop/io.hpp; else one that is closed.
  /// `input` is a socket, so that io::send to a child that has ended gives -EPIPE, not a signal (a
  /// program that opens /dev/stdin by its name cannot, then).
  [[nodiscard]] descriptor& input() noexcept { return streams_[0]; }
  [[nodiscard]] descriptor& output() noexcept { return streams_[1]; }
  [[nodiscard]] descriptor& errors() noexcept { return streams_[2]; }

 private:
  friend class wait_operation;
  friend class worker;
  child() noexcept = default;
  /// Of a process that has just been started.
  child(pid_t pid, std::string name);
  void watch();
  exit_status reap(int flags);
  void end() noexcept;

  pid_t pid_ = -1;
  descriptor process_;  // a pidfd
  std::string name_;
  std::array<descriptor, 3> streams_;
  std::optional<exit_status> status_;
};

}  // namespace oneloop::inline v0::process
