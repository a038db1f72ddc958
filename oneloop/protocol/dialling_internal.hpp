// How a connector connects. Internal.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/protocol/connection_internal.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

struct dialling {
  std::string to;  // what errors call it
  std::function<task<connected_socket>()> dial;
  duration timeout;
  std::optional<net::tls_context> tls{};
  std::string host{};  // whom TLS should meet
};

}  // namespace oneloop::inline v0
