// What people write on the command line, and what is wrong with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/net/address.hpp"

namespace tool {

/// Exit statuses.
inline constexpr int exit_ok = 0;
inline constexpr int exit_bad = 1;
inline constexpr int exit_usage = 2;

/// Wrong usage; the message names what, where and why. Leads to exit status 2.
class usage_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// "500ms", "5s", "1m", "2h", "1.5s"; a plain number counts seconds. `option` is for the message.
oneloop::duration parse_duration(std::string_view option, std::string_view text);

/// A whole number from `low` to `high`.
std::uint64_t parse_count(std::string_view option, std::string_view text, std::uint64_t low,
                          std::uint64_t high);

/// One of the words of `choices`, "text|json|ndjson": its place there.
std::size_t parse_choice(std::string_view option, std::string_view text, std::string_view choices);

/// "200..299,304"
oneloop::status_set parse_statuses(std::string_view option, std::string_view text);

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
