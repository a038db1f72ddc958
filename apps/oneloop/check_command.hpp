// oneloop check: URLs in, verdicts out.
#pragma once

#include <string>
#include <vector>

#include "transport.hpp"

namespace tool {

inline constexpr const char* method_names = "auto|head|get";

/// The command line as it was written.
struct check_arguments {
  std::vector<std::string> urls;
  std::vector<std::string> files;
  std::string concurrency = "64";
  std::string per_host = "16";
  std::string retries = "2";
  std::string retry_delay = "1s";
  std::string method = "auto";
  std::string accept = "200..299";
  std::string format = "text";
  bool no_progress = false;
  transport_arguments transport;
};

/// The exit status. Throws usage_error.
int check_command(check_arguments arguments);

}  // namespace tool
