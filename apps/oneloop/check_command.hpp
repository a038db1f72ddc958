// oneloop check: URLs in, verdicts out.
#pragma once

#include <string>
#include <vector>

#include "oneloop/process/message_pipe.hpp"
#include "transport.hpp"

namespace tool {

inline constexpr const char* method_names = "auto|head|get";
/// oneloop::check_models, in that order.
inline constexpr const char* model_names =
    "sequential|threads|processes|callbacks|green|async|channels|futures";

/// The command line as it was written.
struct check_arguments {
  std::vector<std::string> urls;
  std::vector<std::string> files;
  std::string model = "async";
  std::string concurrency = "64";
  std::string per_host = "16";
  std::string retries = "2";
  std::string retry_delay = "1s";
  std::string method = "auto";
  std::string accept = "200..299";
  std::string format = "text";
  bool no_progress = false;
  transport_arguments transport;
  /// These again, but for URLs and files, as a worker gets them.
  std::vector<std::string> for_workers;
};

/// The exit status. Throws usage_error.
int check_command(check_arguments arguments);

/// The same in a worker of --model processes.
int serve_check_command(const check_arguments& arguments, oneloop::process::message_pipe& parent);

}  // namespace tool
