#include "arguments.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>

#include "oneloop/base/error.hpp"
#include "oneloop/check/frontier.hpp"
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
  throw bad_option{option, text, why};
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

/// `message` without "what "text": " in front, as the library puts it there.
std::string_view reason_in(std::string_view message, std::string_view text) {
  const auto at = message.find(text);
  if (at == message.npos) return message;
  message.remove_prefix(at + text.size());
  message.remove_prefix(std::min(message.find_first_not_of("\": "), message.size()));
  return message;
}

}  // namespace

bad_option::bad_option(std::string_view option, std::string_view value, std::string_view why)
    : usage_error{value.empty() ? fmt::format("{}: {}", option, why)
                                : fmt::format("{} {}: {}", option, value, why)},
      option_{option},
      value_{value},
      why_{why} {}

oneloop::duration parse_duration(std::string_view option, std::string_view text,
                                 std::chrono::hours most) {
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
  } else if (unit == "d") {
    scale = 24h;
  }
  if (error != std::errc{} || scale == oneloop::duration::zero()) {
    refuse(option, text, "not a duration: write 500ms, 5s, 1m or a number of seconds");
  }
  const double ns = value * static_cast<double>(scale.count());
  if (!(ns >= 1e6) || ns > static_cast<double>(oneloop::duration{most}.count())) {
    const auto hours = most.count();
    refuse(option, text,
           hours > 24 ? fmt::format("must be from 1ms to {}d", hours / 24)
                      : fmt::format("must be from 1ms to {}h", hours));
  }
  return oneloop::duration{std::llround(ns)};
}

std::uint64_t parse_size(std::string_view option, std::string_view text) {
  constexpr std::uint64_t most = std::uint64_t{1} << 40;
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  const std::string_view unit{rest, static_cast<std::size_t>(end - rest)};
  constexpr std::string_view units = "KMG";
  const auto power = unit.size() == 1 ? units.find(unit.front()) : units.npos;
  if (error != std::errc{} || (!unit.empty() && power == units.npos)) {
    refuse(option, text, "not a size: write a number of bytes, 500K, 16M or 1G");
  }
  const int shift = unit.empty() ? 0 : 10 * (static_cast<int>(power) + 1);
  if (value == 0 || value > (most >> shift)) refuse(option, text, "must be from 1 to 1024G");
  return value << shift;
}

std::uint64_t parse_count(std::string_view option, std::string_view text, std::uint64_t low,
                          std::uint64_t high) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || rest != end || value < low || value > high) {
    refuse(option, text, fmt::format("must be a whole number from {} to {}", low, high));
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

accept_argument parse_accept(std::string_view option, std::string_view text) {
  const auto equals = text.find('=');
  if (equals == text.npos) return {"", parse_statuses(option, text)};
  const auto hosts = text.substr(0, equals);
  if (hosts.empty() || hosts.find_first_of(" \t/@,") != hosts.npos) {
    refuse(
        option, text,
        fmt::format("\"{}\" is not the name of a host: write 'example.org=200..299,429'", hosts));
  }
  try {
    return {std::string{hosts}, parse_statuses(option, text.substr(equals + 1))};
  } catch (const bad_option& e) {
    refuse(option, text, e.why());
  }
}

std::vector<std::string> parse_schemes(std::string_view option, std::string_view text) {
  std::vector<std::string> names;
  for (std::string_view rest = text;;) {
    const auto item = rest.substr(0, rest.find(','));
    std::string name;
    bool good = !item.empty() && item.find_first_of("+-.0123456789") != 0;
    for (const char c : item) {
      const char lower = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      good = good && ((lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
                      c == '-' || c == '.');
      name += lower;
    }
    if (!good) {
      refuse(option, text,
             fmt::format("\"{}\" is not the name of a scheme: write http,https", item));
    }
    names.push_back(std::move(name));
    if (item.size() == rest.size()) return names;
    rest.remove_prefix(item.size() + 1);
  }
}

std::string parse_pattern(std::string_view option, std::string_view text) {
  if (text.empty()) refuse(option, text, "an empty pattern matches everything: write .* for that");
  std::string pattern{text};
  try {
    (void)oneloop::frontier{oneloop::frontier_options{}.include(pattern)};
  } catch (const oneloop::error& e) {
    refuse(option, text, fmt::format("not a pattern (RE2): {}", reason_in(e.what(), text)));
  }
  return pattern;
}

remap_argument parse_remap(std::string_view option, std::string_view text) {
  const auto whole = trimmed(text);
  const auto blank = whole.find_last_of(" \t");
  if (blank == whole.npos) {
    refuse(option, text,
           "write 'PATTERN REPLACEMENT', as in '^https://example.org http://localhost'");
  }
  const auto pattern = trimmed(whole.substr(0, blank));
  remap_argument r;
  try {
    r.pattern = parse_pattern(option, pattern);
  } catch (const bad_option& e) {
    refuse(option, text, e.why());
  }
  r.to = whole.substr(blank + 1);
  return r;
}

oneloop::rate_rule parse_rate(std::string_view option, std::string_view text) {
  auto rule = oneloop::rate_rule::parse(text);
  if (!rule) refuse(option, text, reason_in(rule.error(), text));
  return *std::move(rule);
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
