// oneloop race: the same job under each model, and what it cost.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "oneloop/process/message_pipe.hpp"

namespace tool {

inline constexpr const char* race_format_names = "text|json";
/// What argv[2] says in a worker of --cpu.
inline constexpr std::string_view race_worker = "race-worker";

/// The command line as it was written.
struct race_arguments {
  std::string urls = "200";
  std::string delay = "50ms";
  std::string concurrency;  // empty: as many as there are URLs
  std::string models;       // empty: all
  std::string format = "text";
  bool cpu = false;
  std::string job = "300ms";
};

/// The exit status: 1 if a model failed or gave a wrong verdict. Throws usage_error.
int race_command(const race_arguments& arguments);

/// --cpu: two jobs that compute.
int race_cpu_command(const race_arguments& arguments);
int serve_race_worker(oneloop::process::message_pipe& parent);

/// --models: each of `names` at most once; all of them if nothing is said.
std::vector<std::string_view> parse_models(std::string_view text,
                                           const std::vector<std::string_view>& names);

}  // namespace tool
