// The command-line tool: runs what the command line asks for, says what is wrong.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <exception>

#include "arguments.hpp"
#include "command_line.hpp"
#include "oneloop/process/worker.hpp"
#include "output.hpp"

namespace {

/// A standard stream that is closed: its number would go to the next file or connection, and that
/// would get our notes. In its place comes something that nobody can use.
void occupy_closed_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) >= 0) continue;
    (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that has seen enough (head, grep -q) ends this process without a word.
  std::signal(SIGPIPE, SIG_DFL);
  // A file that may not grow (ulimit -f) is an error like a full disk, and told.
  std::signal(SIGXFSZ, SIG_IGN);
  occupy_closed_streams();
  try {
    tool::command_line line{ONELOOP_VERSION};
    if (auto parent = oneloop::process::parent_pipe(argc, argv)) {
      return line.run_worker(argc, argv, *parent);
    }
    try {
      return line.run(argc, argv);
    } catch (const tool::usage_error& e) {
      tool::complain(e.what());
      tool::complain("see " + line.given() + " --help");
      return tool::exit_usage;
    }
  } catch (const std::exception& e) {
    tool::complain(e.what());
    return tool::exit_bad;
  }
}
