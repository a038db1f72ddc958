// oneloop check: URLs in, verdicts out.
#pragma once

#include <string>
#include <vector>

namespace tool {

/// The command line as it was written.
struct check_arguments {
  std::vector<std::string> urls;
  std::vector<std::string> files;
  std::string concurrency = "64";
  std::string timeout = "30s";
  std::string method = "auto";
  std::string ca_file;
  bool insecure = false;
  std::string backend = "auto";
  std::string format = "text";
};

/// The exit status. Throws usage_error.
int check_command(check_arguments arguments);

/// What --help says below the options.
extern const char* const check_examples;

}  // namespace tool
