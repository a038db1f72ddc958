// Workers: this program, started again, as a process of its own at the other end of a pipe.
//
//     std::string shout(std::string text) { return text + "!"; }
//
//     int main(int argc, char** argv) {
//       if (auto parent = process::parent_pipe(argc, argv)) return process::answer(*parent, shout);
//       process::worker w;
//       await(w.send("hello"));
//       fmt::print("{}\n", await(w.receive()).value());           // hello!
//     }
//
// A worker starts from nothing, at `main`: no memory, lock, loop or descriptor of the parent is in
// it, but its standard output and error; its standard input is /dev/null. Signals are as in a fresh
// process, except that Ctrl-C (SIGINT) is left to the parent.
//
// *Ends*: a worker whose `worker` object goes, or whose parent dies, however, is killed at once. To
// let it finish: end_sending(), then wait(). No zombie stays behind.
//
// *Threads*: those of message_pipe.hpp for send and receive, those of child.hpp for the rest.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/process/child.hpp"
#include "oneloop/process/message_pipe.hpp"
#include "oneloop/scope/await.hpp"

namespace oneloop::inline v0::process {

class ONELOOP_API worker {
 public:
  /// Starts this program's file again (also one that has been replaced or removed meanwhile). The
  /// worker finds `arguments` in its argv from argv[2] on.
  /// Errors: error ("start a worker: Too many open files"); misuse in a worker whose main has not
  /// called parent_pipe: it would start workers for ever.
  /// Cost: about a millisecond, whatever the size of this process; three descriptors.
  explicit worker(std::vector<std::string> arguments = {});
  /// See message_pipe.
  [[nodiscard]] send_message_operation send(std::string message) noexcept {
    return pipe_.send(std::move(message));
  }
  [[nodiscard]] receive_message_operation receive() noexcept { return pipe_.receive(); }
  /// The worker receives nothing more: most take that for the end of their work.
  void end_sending() noexcept { pipe_.end_sending(); }

  /// See process/child.hpp.
  [[nodiscard]] wait_operation wait() noexcept { return process_.wait(); }
  void kill(int signal = 9) noexcept { process_.kill(signal); }
  [[nodiscard]] pid_t pid() const noexcept { return process_.pid(); }

 private:
  child process_;
  descriptor lifeline_;  // while it is open, the worker lives
  message_pipe pipe_;
};

/// First in `main` of a program that has workers: in a worker, its end of the pipe to its parent;
/// nothing in everything else. Call it once, before any other thread is started.
/// Errors: error if the program was started with a worker's arguments by somebody else.
[[nodiscard]] ONELOOP_API std::optional<message_pipe> parent_pipe(int argc, char** argv);

/// The main part of a worker that answers each message with `answer_to(message)`, until its parent
/// sends no more; gives 0, for main. What `answer_to` throws is thrown on.
template <class F>
int answer(message_pipe& parent, F answer_to) {
  while (auto message = await(parent.receive())) {
    await(parent.send(std::invoke(answer_to, *std::move(message))));
  }
  return 0;
}

}  // namespace oneloop::inline v0::process
