// The command-line tool: reads the arguments, runs the command, says what is wrong.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <exception>
#include <string_view>

#include "arguments.hpp"
#include "check_command.hpp"
#include "demo.hpp"
#include "oneloop/base/error.hpp"
#include "output.hpp"

namespace {

void add_check(CLI::App& app, tool::check_arguments& a) {
  CLI::App* check = app.add_subcommand("check", "Check URLs, many at a time");
  check->add_option("URL", a.urls, "What to check: http and https");
  check
      ->add_option("--from", a.files,
                   "Also check the URLs in FILE, one a line; - is standard input")
      ->type_name("FILE")
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  check->add_option("-c,--concurrency", a.concurrency, "Checks at a time, 1 to 65535")
      ->type_name("N")
      ->capture_default_str();
  check->add_option("--timeout", a.timeout, "How long a request may take")
      ->type_name("D")
      ->capture_default_str();
  check->add_option("--method", a.method, "auto, head or get")
      ->type_name("M")
      ->capture_default_str();
  check->add_option("--cacert", a.ca_file, "Trust the authorities in FILE (PEM), not the system's")
      ->type_name("FILE");
  check->add_flag("--insecure", a.insecure, "Do not verify certificates");
  check->add_option("--backend", a.backend, "auto, epoll or io_uring")
      ->type_name("B")
      ->capture_default_str();
  check->add_option("--format", a.format, "text or json")->type_name("F")->capture_default_str();
  check->footer(tool::check_examples);
}

int run(int argc, char** argv) {
  CLI::App app{"One loop, every concurrency model: the command-line tool of oneloop.", "oneloop"};
  app.set_version_flag("--version", "oneloop " ONELOOP_VERSION);
  app.require_subcommand(1);
  app.footer(
      "oneloop COMMAND --help tells more.\n\n"
      "Examples:\n"
      "  oneloop check https://example.org/ http://127.0.0.1:8080/\n"
      "  oneloop check --from urls.txt -c 200 --timeout 5s\n"
      "  oneloop demo\n");
  tool::check_arguments check_arguments;
  add_check(app, check_arguments);
  CLI::App* demo = app.add_subcommand(
      "demo", "Check 200 URLs of a site inside this process, one at a time and then all at once");
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app.exit(e);  // --help, --version
  } catch (const CLI::ParseError& e) {
    if (argc < 2) {
      fmt::print(stderr, "{}", app.help());
      return tool::exit_usage;
    }
    const std::string_view first = argv[1];
    if (!first.starts_with('-') && first != "check" && first != "demo") {
      throw tool::usage_error{fmt::format("there is no command \"{}\": check, demo", first)};
    }
    throw tool::usage_error{e.what()};
  }
  if (demo->parsed()) return tool::demo_command();
  return tool::check_command(std::move(check_arguments));
}

}  // namespace

int main(int argc, char** argv) {
  // A reader that has seen enough (head, grep -q) ends this process without a word.
  std::signal(SIGPIPE, SIG_DFL);
  try {
    return run(argc, argv);
  } catch (const tool::usage_error& e) {
    tool::complain(e.what());
    tool::complain("see oneloop check --help");
    return tool::exit_usage;
  } catch (const oneloop::error& e) {
    tool::complain(e.what());
    return tool::exit_bad;
  } catch (const std::exception& e) {
    tool::complain(e.what());
    return tool::exit_bad;
  }
}
