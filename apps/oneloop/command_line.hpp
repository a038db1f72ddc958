// The definition of the command line, the only one: what is parsed, --help, the shells' completions
// and the manual page all come from it.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "arguments.hpp"
#include "check_command.hpp"
#include "crawl_command.hpp"
#include "get_command.hpp"
#include "race_command.hpp"

namespace tool {

/// A part of a manual. Lines that begin with two spaces stay as they are; others are paragraphs,
/// with blank lines between them.
struct section {
  std::string title;
  std::string text;
};

/// How the value of an option looks, by its type name: "a|b" is a choice, "FILE" is completed with
/// the names of files, anything else is not completed.
class command_line {
 public:
  explicit command_line(std::string version);
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;

  /// The exit status. Throws usage_error, and what commands throw.
  int run(int argc, const char* const* argv);
  /// The same in a worker: argv[1] says that it is one.
  int run_worker(int argc, const char* const* argv, oneloop::process::message_pipe& parent);

  [[nodiscard]] const std::string& version() const noexcept { return version_; }
  [[nodiscard]] const CLI::App& app() const noexcept { return app_; }
  /// What --help and the manual page say below the options.
  [[nodiscard]] const std::vector<section>& sections(const CLI::App& of) const {
    return sections_.at(&of);
  }
  /// The commands, in order.
  [[nodiscard]] std::vector<const CLI::App*> commands() const {
    return app_.get_subcommands([](const CLI::App*) { return true; });
  }
  /// The command that was given last to `run`, "oneloop check"; "oneloop" if there was none.
  [[nodiscard]] std::string given() const;

 private:
  void document(CLI::App& of, std::vector<section> sections);
  void add_transport(CLI::App& to, transport_arguments& a, const char* timeout);
  void add_check();
  void add_crawl();
  void add_get();
  void add_race();
  /// Takes the options of a file for those that the command line did not give.
  void configure(CLI::App& command, const std::string& file);
  /// Where the value came from, if that was a file: "oneloop.toml:3: level".
  [[nodiscard]] std::string origin_of(const bad_option& e) const;

  struct configured {
    const CLI::Option* option;
    std::string value;
    std::string where;
  };

  std::string version_;
  CLI::App app_;
  std::map<const CLI::App*, std::vector<section>> sections_;
  check_arguments check_;
  crawl_arguments crawl_;
  std::vector<configured> configured_;
  get_arguments get_;
  race_arguments race_;
  std::string shell_;
};

/// A script that completes the command line; `shell`: bash, zsh or fish.
std::string completions(const command_line& of, const std::string& shell);

/// The manual page, for man(1).
std::string manual_page(const command_line& of);

}  // namespace tool
