// Connecting to a name: DNS, then Happy Eyeballs (happy_eyeballs.hpp) over its addresses.
//
//     net::tcp_stream s = co_await net::connect("example.org", 80);
//     auto t = co_await fail_after(5s, net::connect("::1", 443, connect_options{}.nodelay(false)));
//
// The kind of address that won the last time begins the next time, for ten minutes.
// Cancellation: lookups stop being waited for, attempts are given up. Threads: a task (a loop).
// Errors: "resolve x.invalid: no such host (NXDOMAIN)"; of one attempt, that attempt's own:
// "connect 127.0.0.1:81: Connection refused"; of several, a connect_error that names them all.
#pragma once

#include <cstdint>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/net/happy_eyeballs.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::net {

/// `host`: a name, or an address without brackets.
[[nodiscard]] ONELOOP_API task<tcp_stream> connect(std::string host, std::uint16_t port,
                                                   connect_options options = {});

}  // namespace oneloop::inline v0::net
