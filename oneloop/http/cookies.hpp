// Cookies as browsers keep them (RFC 6265bis), for one or several clients.
//
//     auto jar = std::make_shared<oneloop::http::cookie_jar>();
//     oneloop::http::client c{oneloop::http::client_options{}.cookies(jar)};
//     auto r = co_await c.get("https://example.org/login");   // what it sets is sent from now on
//     std::string file = jar->save();
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http {

/// Reads a date the way that cookies are read (RFC 6265, 5.1.1): nearly everything that was ever
/// sent, in any order of its parts. Nothing if a part is missing or no calendar has that day.
[[nodiscard]] ONELOOP_API std::optional<wall_time> parse_cookie_date(
    std::string_view text) noexcept;

/// One cookie of a jar.
struct cookie {
  std::string name;  // may be empty
  std::string value;
  std::string domain;                // lower case, without a leading dot
  std::string path;                  // begins with a slash
  bool host_only = true;             // for `domain` itself, not for what is below it
  bool secure = false;               // only over secure connections
  bool http_only = false;            // kept and saved; says nothing to programs that run no scripts
  std::optional<wall_time> expires;  // nothing: at the end of the session, that is with the jar
};

/// Keeps the cookies that servers set and tells which ones go with a request.
///
/// - A Domain that is a public suffix ("co.uk", by the Public Suffix List: the library's own or, if
///   newer, the system's, read once) is refused, unless it is the very host, which alone gets the
///   cookie then. An IP address is only ever itself.
/// - Secure connections: https, wss, and anything to localhost, *.localhost and loopback addresses.
///   Others can neither set a Secure cookie nor overwrite one or hide it behind a like one.
/// - Names that begin with __Secure- or __Host- (in any case) have to keep what they promise.
/// - SameSite is not looked at: there is no site from which a program of ours is led elsewhere.
/// - Bounds: name and value together max_pair bytes (else the cookie is refused), an attribute
///   max_attribute bytes (else the attribute is), max_lifetime, max_per_domain, max_cookies.
///   Beyond these, what has expired goes first, then (in a domain) cookies without Secure, and of
///   these the one that was not used for longest.
///
/// Threads: any; each member is one step.
/// Cost: a request looks at the cookies of its host and of the domains above it only.
class ONELOOP_API cookie_jar {
 public:
  static constexpr std::size_t max_pair = 4096;
  static constexpr std::size_t max_attribute = 1024;
  static constexpr std::size_t max_header = 16 * 1024;
  static constexpr std::size_t max_per_domain = 180;
  static constexpr std::size_t max_cookies = 3000;
  static constexpr std::chrono::days max_lifetime{400};

  cookie_jar();
  ~cookie_jar();
  cookie_jar(cookie_jar&&) noexcept;
  cookie_jar& operator=(cookie_jar&&) noexcept;

  /// Takes what the Set-Cookie fields of a response from `from` say. What is not acceptable is left
  /// out, as the RFC wants it.
  void store(const url& from, const headers& fields, wall_time now);
  /// The same for one Set-Cookie field; whether it was acceptable (it may also have deleted a
  /// cookie).
  bool set(const url& from, std::string_view set_cookie, wall_time now);

  /// The value of the Cookie field of a request to `to`: "a=1; b=2", those with longer paths first,
  /// then the older ones, up to max_header bytes. Empty: send none.
  [[nodiscard]] std::string header_for(const url& to, wall_time now);

  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  void clear() noexcept;
  /// All of them (also those that have expired since they were last looked at), oldest first.
  [[nodiscard]] std::vector<cookie> all() const;

  /// Adds the cookies of a text in Netscape's format, the cookies.txt of curl, wget and browsers: a
  /// line a cookie, seven fields with tabs between them (domain, TRUE for what is below it too,
  /// path, TRUE for Secure, expiry in seconds since 1970 or 0, name, value), "#HttpOnly_" in front
  /// of some, other lines with "#" being comments. Those that have expired are left out. Errors:
  /// oneloop::error (std::errc::invalid_argument) that names the line; nothing was added then.
  void load(std::string_view text, wall_time now);
  /// All cookies in that format, those of the session too. (Left out: a cookie with a tab in its
  /// name or path, which the format has no way to write.)
  [[nodiscard]] std::string save() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace oneloop::inline v0::http
