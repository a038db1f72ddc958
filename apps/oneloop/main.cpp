// The command-line tool: runs what the command line asks for, says what is wrong.
#include <csignal>
#include <exception>

#include "arguments.hpp"
#include "command_line.hpp"
#include "output.hpp"

int main(int argc, char** argv) {
  // A reader that has seen enough (head, grep -q) ends this process without a word.
  std::signal(SIGPIPE, SIG_DFL);
  try {
    tool::command_line line{ONELOOP_VERSION};
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
