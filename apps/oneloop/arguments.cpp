#include "arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "oneloop/http/message.hpp"
#include "oneloop/url/url.hpp"

namespace tool {

using namespace std::chrono_literals;

namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

[[noreturn]] void refuse(std::string_view option, std::string_view text, std::string_view why) {
  throw usage_error{fmt::format("{} {}: {}", option, text, why)};
}

/// A host as URLs have it: lower case, punycode, brackets around IPv6.
std::string parse_host(std::string_view option, std::string_view text, std::string_view host) {
  const auto parsed = oneloop::url::parse("http://" + std::string{host} + "/");
  const bool alone = parsed && !parsed->port() && !parsed->has_credentials() &&
                     parsed->path() == "/" && !parsed->query() && !parsed->fragment();
  if (host.empty() || !alone || host.ends_with(':')) {
    refuse(option, text, fmt::format("\"{}\" is not the name of a host", host));
  }
  return std::string{parsed->host()};
}

/// Up to and without the first `c` that is not in brackets; the whole if there is none.
std::string_view up_to(std::string_view text, char c) {
  const std::size_t from = text.starts_with('[') ? text.find(']') : 0;
  return text.substr(0, text.find(c, from));
}

bool is_token(std::string_view text) {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           marks.find(c) != marks.npos;
  });
}

}  // namespace

oneloop::duration parse_duration(std::string_view option, std::string_view text) {
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  const std::string_view unit{rest, static_cast<std::size_t>(end - rest)};
  oneloop::duration scale{};
  if (unit == "ms") {
    scale = 1ms;
  } else if (unit == "s" || unit.empty()) {
    scale = 1s;
  } else if (unit == "m") {
    scale = 1min;
  } else if (unit == "h") {
    scale = 1h;
  }
  if (error != std::errc{} || scale == oneloop::duration::zero()) {
    throw usage_error{fmt::format(
        "{} {}: not a duration: write 500ms, 5s, 1m or a number of seconds", option, text)};
  }
  const double ns = value * static_cast<double>(scale.count());
  if (!(ns >= 1e6) || ns > static_cast<double>(oneloop::duration{24h}.count())) {
    throw usage_error{fmt::format("{} {}: must be from 1ms to 24h", option, text)};
  }
  return oneloop::duration{std::llround(ns)};
}

std::uint64_t parse_count(std::string_view option, std::string_view text, std::uint64_t low,
                          std::uint64_t high) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || value < low || value > high) {
    throw usage_error{
        fmt::format("{} {}: must be a whole number from {} to {}", option, text, low, high)};
  }
  return value;
}

std::size_t parse_choice(std::string_view option, std::string_view text, std::string_view choices) {
  std::string words;
  std::size_t place = 0;
  for (std::string_view rest = choices;; ++place) {
    const auto word = rest.substr(0, rest.find('|'));
    if (word == text) return place;
    rest.remove_prefix(word.size());
    const bool last = rest.find('|', 1) == rest.npos;
    words.append(word).append(rest.empty() ? "" : last ? " or " : ", ");
    if (rest.empty()) refuse(option, text, "must be " + words);
    rest.remove_prefix(1);
  }
}

oneloop::status_set parse_statuses(std::string_view option, std::string_view text) {
  oneloop::status_set set;
  const auto status = [&](std::string_view digits) {
    int value = 0;
    const auto* const end = digits.data() + digits.size();
    const auto [rest, error] = std::from_chars(digits.data(), end, value);
    if (error != std::errc{} || rest != end || digits.size() != 3 || value < 100) {
      refuse(option, text,
             fmt::format("\"{}\" is not a status from 100 to 999: write 200..299,304", digits));
    }
    return value;
  };
  for (std::string_view rest = text;;) {
    const auto item = rest.substr(0, rest.find(','));
    const auto dots = item.find("..");
    const int low = status(item.substr(0, dots));
    const int high = dots == item.npos ? low : status(item.substr(dots + 2));
    if (high < low) refuse(option, text, fmt::format("\"{}\" holds nothing", item));
    set.add(low, high);
    if (item.size() == rest.size()) return set;
    rest.remove_prefix(item.size() + 1);
  }
}

field_argument parse_field(std::string_view option, std::string_view text) {
  field_argument f;
  std::string_view field = text;
  const auto host = up_to(text, ':');
  if (host.find('.') != host.npos || host == "localhost" || host.starts_with('[')) {
    f.host = parse_host(option, text, host);
    field.remove_prefix(std::min(host.size() + 1, field.size()));
    if (!field.starts_with(' ')) {
      refuse(option, text, "after a host comes a colon and a space: 'example.org: Name: value'");
    }
  }
  const auto colon = field.find(':');
  if (colon == field.npos) refuse(option, text, "not a header field: write 'Name: value'");
  f.name = trimmed(field.substr(0, colon));
  f.value = trimmed(field.substr(colon + 1));
  if (!is_token(f.name)) {
    refuse(option, text, fmt::format("\"{}\" is not the name of a header field", f.name));
  }
  const bool control = std::ranges::any_of(f.value, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
  if (control) refuse(option, text, "the value has a control character in it");
  for (const std::string_view name :
       {"Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "TE"}) {
    if (oneloop::http::equal_ignoring_case(f.name, name)) {
      refuse(option, text, fmt::format("{} belongs to the connection", name));
    }
  }
  return f;
}

user_argument parse_user(std::string_view option, std::string_view text) {
  const auto equals = text.find('=');
  const auto colon = text.find(':', equals == text.npos ? 0 : equals);
  // What is wrong is told without the password.
  const auto shown = text.substr(0, equals == text.npos ? 0 : equals);
  if (equals == text.npos || colon == text.npos) {
    refuse(option, shown, "write 'host=name:password'");
  }
  user_argument u;
  u.host = parse_host(option, shown, shown);
  u.name = text.substr(equals + 1, colon - equals - 1);
  u.password = text.substr(colon + 1);
  return u;
}

resolve_argument parse_resolve(std::string_view option, std::string_view text) {
  const auto host = up_to(text, ':');
  auto rest = text.substr(std::min(host.size() + 1, text.size()));
  const auto port = rest.substr(0, rest.find(':'));
  rest.remove_prefix(std::min(port.size() + 1, rest.size()));
  if (rest.empty()) refuse(option, text, "write HOST:PORT:ADDRESS");
  std::uint16_t number = 0;
  const auto* const end = port.data() + port.size();
  const auto [after, error] = std::from_chars(port.data(), end, number);
  if (error != std::errc{} || after != end || number == 0) {
    refuse(option, text, fmt::format("\"{}\" is not a port from 1 to 65535", port));
  }
  if (rest.starts_with('[') && rest.ends_with(']')) rest = rest.substr(1, rest.size() - 2);
  const auto address = oneloop::net::ip_address::parse(rest);
  if (!address) refuse(option, text, fmt::format("\"{}\" is not an IP address", rest));
  return {parse_host(option, text, host), number, *address};
}

}  // namespace tool
