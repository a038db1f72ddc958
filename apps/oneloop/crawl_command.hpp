// oneloop crawl: from some start pages, or from files, to everything that they link to.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "transport.hpp"

namespace tool {

inline constexpr const char* external_names = "check|skip|follow";
inline constexpr const char* on_off_names = "on|off";
inline constexpr const char* check_skip_names = "check|skip";

/// The command line as it was written.
struct crawl_arguments {
  std::vector<std::string> starts;  // URLs, files, directories, patterns of those, "-"
  std::vector<std::string> files;   // of starts

  std::optional<std::string> level, limit;
  std::string external = "check";
  std::vector<std::string> include, exclude, ignore_files, internal, schemes;
  bool fragments = false;
  std::vector<std::string> fragment_exclude;
  bool code_blocks = false;
  std::string mailto = "skip", telephone = "skip";
  bool dump = false, offline = false;
  std::optional<std::string> base, root_dir;
  std::vector<std::string> remap;

  std::string robots = "on";
  std::vector<std::string> rates;
  std::optional<std::string> per_host;
  std::string concurrency = "64";
  std::string method = "auto";
  std::string retries = "2", retry_delay = "1s";
  std::vector<std::string> accept;
  std::string max_page = "16M";

  std::string state, cache;
  std::optional<std::string> max_age;

  std::vector<std::string> formats, outputs;
  std::string config;
  bool no_progress = false;
  transport_arguments transport;
};

/// The exit status. Throws usage_error.
int crawl_command(crawl_arguments arguments);

}  // namespace tool
