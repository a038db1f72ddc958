// A way through a proxy: CONNECT (RFC 9110, 9.3.6) and SOCKS5 (RFC 1928, RFC 1929). Internal to
// http/.
//
//     tunnel_end to{"example.org", 443, {}};
//     co_await open_tunnel(wire, proxy, to, "oneloop/0.1");    // from now on `wire` leads there
//
// *Errors*: http_error of kind and phase "proxy", which names the proxy, the place and the cause;
// the stream is of no use then. *Cancellation*: the same. *Bounds*: the head of a proxy's answer is
// not larger than codec_limits say; a byte behind a successful answer is an error, because nobody
// has asked anything beyond the proxy yet.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "oneloop/base/config.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http::detail {

/// Where a tunnel leads.
struct tunnel_end {
  std::string host;  // without brackets
  std::uint16_t port = 0;
  std::optional<net::ip_address> address;  // the proxy is told this one, if there is one
};

/// "Basic ..." from the user name and password in a URL; empty if there are none.
[[nodiscard]] std::string basic_authorization(const url& from);

/// "proxy 127.0.0.1:3128": what errors call it.
[[nodiscard]] std::string name_of_proxy(const url& proxy);
[[noreturn]] void fail_proxy(const url& proxy, std::string_view why, std::error_code code);

/// `proxy`: http and https mean CONNECT, socks5 and socks5h SOCKS.
task<> open_tunnel(net::any_stream& wire, const url& proxy, tunnel_end to, std::string user_agent,
                   codec_limits limits);

}  // namespace oneloop::inline v0::http::detail
