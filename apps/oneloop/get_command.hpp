// oneloop get: one URL's body on standard output.
#pragma once

#include <string>

#include "transport.hpp"

namespace tool {

/// The command line as it was written.
struct get_arguments {
  std::string url;
  bool include = false;    // the head of the response
  bool head = false;       // ask by HEAD
  bool no_follow = false;  // redirects
  std::string file;        // for the body; empty: standard output
  bool timeout_given = false;
  transport_arguments transport;
};

/// The exit status. Throws usage_error, and oneloop::error for all that goes wrong.
int get_command(get_arguments arguments);

}  // namespace tool
