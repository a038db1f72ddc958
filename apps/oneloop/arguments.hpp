// What people write on the command line, and what is wrong with it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/rate.hpp"
#include "oneloop/net/address.hpp"

namespace tool {

/// Exit statuses.
inline constexpr int exit_ok = 0;
inline constexpr int exit_bad = 1;
inline constexpr int exit_usage = 2;
inline constexpr int exit_fragments = 3;

/// Wrong usage; the message names what, where and why. Leads to exit status 2.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An option whose value is wrong: "--level x: must be a whole number from 0 to 9".
class bad_option : public usage_error {
 public:
  /// A value that is nobody's business (a password) is left out: it is empty then.
  bad_option(std::string_view option, std::string_view value, std::string_view why);
  [[nodiscard]] const std::string& option() const noexcept { return option_; }
  [[nodiscard]] const std::string& value() const noexcept { return value_; }
  [[nodiscard]] const std::string& why() const noexcept { return why_; }

 private:
  std::string option_, value_, why_;
};

/// "500ms", "5s", "1m", "2h", "7d", "1.5s"; a plain number counts seconds. From 1ms to `most`,
/// whole hours. `option` is for the message.
oneloop::duration parse_duration(std::string_view option, std::string_view text,
                                 std::chrono::hours most = std::chrono::hours{24});

/// Bytes: "65536", "500K", "16M", "1G", powers of 1024; from 1 to 1024G.
std::uint64_t parse_size(std::string_view option, std::string_view text);

/// A whole number from `low` to `high`.
std::uint64_t parse_count(std::string_view option, std::string_view text, std::uint64_t low,
                          std::uint64_t high);

/// One of the words of `choices`, "text|json|ndjson": its place there.
std::size_t parse_choice(std::string_view option, std::string_view text, std::string_view choices);

/// "200..299,304"
oneloop::status_set parse_statuses(std::string_view option, std::string_view text);

/// Statuses for some hosts ("*.example.org=200..299,429"); an empty name: for all.
struct accept_argument {
  std::string hosts;
  oneloop::status_set statuses;
};
accept_argument parse_accept(std::string_view option, std::string_view text);

/// "http,https,ftp": names of schemes, in lower case.
std::vector<std::string> parse_schemes(std::string_view option, std::string_view text);

/// A pattern (RE2), as the crawl takes it.
std::string parse_pattern(std::string_view option, std::string_view text);

/// "example.org=5/s": as oneloop::rate_rule.
oneloop::rate_rule parse_rate(std::string_view option, std::string_view text);

/// "PATTERN REPLACEMENT": the blanks before the last word part them.
struct remap_argument {
  std::string pattern;
  std::string to;
};
remap_argument parse_remap(std::string_view option, std::string_view text);

/// A header field, for one host or (if that is empty) for every request.
struct field_argument {
  std::string host;  // as in oneloop::url::host()
  std::string name;
  std::string value;
};

/// "Name: value", or "host: Name: value" where `host` has a dot in it, is localhost or an IPv6
/// address in brackets.
field_argument parse_field(std::string_view option, std::string_view text);

/// "host=name:password"
struct user_argument {
  std::string host;
  std::string name;
  std::string password;
};
user_argument parse_user(std::string_view option, std::string_view text);

/// "host:port:address"; an IPv6 address may stand in brackets.
struct resolve_argument {
  std::string host;
  std::uint16_t port;
  oneloop::net::ip_address address;
};
resolve_argument parse_resolve(std::string_view option, std::string_view text);

}  // namespace tool
