// The options that say how requests are sent: the same for every command that sends some.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/cookies.hpp"
#include "oneloop/loop/loop.hpp"

namespace tool {

inline constexpr const char* backend_names = "auto|epoll|io_uring";

/// The command line as it was written.
struct transport_arguments {
  std::string timeout = "30s";
  std::string connect_timeout = "10s";
  std::string redirects = "10";
  std::vector<std::string> fields;
  std::string agent;
  std::vector<std::string> users;
  std::string cookies;  // a file
  std::string ca_file;
  std::string certificate;
  std::string key;
  bool insecure = false;
  std::vector<std::string> resolve;
  std::optional<std::string> proxy;
  bool exclude_private = false;
  std::string backend = "auto";
  bool quiet = false;
  bool verbose = false;
};

/// What they mean, but for total_timeout and cookies. Tries the files. Throws usage_error.
oneloop::http::client_options client_options_of(const transport_arguments& a);

/// The jar that the file of --cookies fills; nothing if none was named. Throws usage_error.
std::shared_ptr<oneloop::http::cookie_jar> cookies_of(const transport_arguments& a);

/// Makes the loop that --backend asks for. Throws usage_error.
void make_loop(std::optional<oneloop::loop>& in, const std::string& backend);

}  // namespace tool
