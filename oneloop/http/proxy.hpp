// Through which proxy a request goes.
//
//     auto rules = oneloop::http::proxy_rules::from_environment();
//     auto through = rules.for_url(*oneloop::url::parse("https://example.org/"));
//     if (through) log("through " + through->href());   // http://proxy:3128/
//
// A proxy is a URL: http:// and https:// (spoken to over TLS) for plain requests in absolute form
// and CONNECT tunnels for https; socks5:// (names are resolved here, and the proxy is told one
// address after the other) and socks5h:// (the proxy resolves them). Without a port it is 80, 443
// or 1080. A user name and password in it are for the proxy alone. What goes wrong with a proxy is
// an http_error of kind and phase "proxy".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http {

/// A value. Without any rule: no proxy.
class ONELOOP_API proxy_rules {
 public:
  proxy_rules();
  ~proxy_rules();
  proxy_rules(const proxy_rules&);
  proxy_rules(proxy_rules&&) noexcept;
  proxy_rules& operator=(const proxy_rules&);
  proxy_rules& operator=(proxy_rules&&) noexcept;

  /// Everything through `proxy`. Text without a scheme is taken as "http://" + text. Throws
  /// http_error (bad_url) for what is no proxy's URL: another scheme, a path, a query.
  [[nodiscard]] static proxy_rules all(std::string_view proxy);
  /// What the environment says, now:
  ///   http requests    http_proxy (lower case only: HTTP_PROXY can be set by a web client of a CGI
  ///                    program), else all_proxy, else ALL_PROXY
  ///   https requests   https_proxy, else HTTPS_PROXY, else all_proxy, else ALL_PROXY
  ///   exceptions       no_proxy, else NO_PROXY: see `except`
  /// An empty variable counts as none. Throws http_error (bad_url), naming the variable.
  [[nodiscard]] static proxy_rules from_environment();

  /// No proxy for these: entries separated by commas or white space, each one of
  ///   *                   every host
  ///   example.org         that host and all below it; ".example.org" means the same
  ///   *.example.org       the same
  ///   192.0.2.7           that address where the URL names it, also ::1 and [::1]
  ///   10.0.0.0/8          addresses in that range, where the URL names one, also fe80::/10
  /// each with an optional ":port". Case does not matter; a final dot is ignored. Names are not
  /// resolved for this. Entries that are none of these match nothing.
  proxy_rules& except(std::string_view list);

  /// The proxy for a URL; nothing: go there directly. Hosts "localhost" and loopback addresses are
  /// treated as all others.
  [[nodiscard]] std::optional<url> for_url(const url& to) const;

 private:
  std::optional<url> http_;
  std::optional<url> https_;
  std::vector<std::string> except_;
};

}  // namespace oneloop::inline v0::http
