#include "oneloop/http/date.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <span>

#include "oneloop/http/text_internal.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::http {
namespace {

using std::chrono::seconds;

constexpr std::array<std::string_view, 7> days{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                               "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> months{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

using detail::is_digit;

/// Takes a date apart from the left; once something is missing, everything is.
class scanner {
 public:
  explicit scanner(std::string_view text) noexcept : rest_{text} {}

  scanner& literal(std::string_view s) noexcept {
    if (rest_.starts_with(s)) {
      rest_.remove_prefix(s.size());
    } else {
      good_ = false;
    }
    return *this;
  }
  /// Exactly `width` digits, of which the first may be a space in `padded`.
  scanner& number(int& value, std::size_t width, bool padded = false) noexcept {
    value = 0;
    good_ = good_ && rest_.size() >= width;
    if (!good_) return *this;
    for (std::size_t i = 0; i < width; ++i) {
      const char c = rest_[i];
      if (padded && i == 0 && c == ' ') continue;
      if (!is_digit(c)) good_ = false;
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(width);
    return *this;
  }
  /// One of `names`: its index.
  scanner& name(int& index, std::span<const std::string_view> names) noexcept {
    const auto found =
        std::ranges::find_if(names, [&](std::string_view n) { return rest_.starts_with(n); });
    if (found == names.end()) {
      good_ = false;
    } else {
      index = static_cast<int>(std::distance(names.begin(), found));
      rest_.remove_prefix(found->size());
    }
    return *this;
  }
  /// The name of a day, or its first three letters.
  scanner& day_name(bool whole) noexcept {
    int day = 0;
    if (whole) return name(day, days);
    std::array<std::string_view, days.size()> brief;
    std::ranges::transform(days, brief.begin(), [](std::string_view d) { return d.substr(0, 3); });
    return name(day, brief);
  }
  [[nodiscard]] bool done() const noexcept { return good_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool good_ = true;
};

struct parts {
  int day = 0;
  int month = 0;  // from 0
  int year = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;

  [[nodiscard]] std::optional<wall_time> time() const noexcept {
    const std::chrono::year_month_day date{std::chrono::year{year},
                                           std::chrono::month{static_cast<unsigned>(month + 1)},
                                           std::chrono::day{static_cast<unsigned>(day)}};
    // 60: a leap second, which has no number of its own.
    if (!date.ok() || hour > 23 || minute > 59 || second > 60) return {};
    return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
           seconds{std::min(second, 59)};
  }
};

scanner& clock_time(scanner& s, parts& p) noexcept {
  return s.number(p.hour, 2).literal(":").number(p.minute, 2).literal(":").number(p.second, 2);
}

std::optional<wall_time> parse_fixdate(std::string_view text) noexcept {
  scanner s{text};
  parts p;
  s.day_name(false).literal(", ").number(p.day, 2).literal(" ").name(p.month, months);
  s.literal(" ").number(p.year, 4).literal(" ");
  return clock_time(s, p).literal(" GMT").done() ? p.time() : std::nullopt;
}

std::optional<wall_time> parse_rfc850(std::string_view text, wall_time now) noexcept {
  scanner s{text};
  parts p;
  s.day_name(true).literal(", ").number(p.day, 2).literal("-").name(p.month, months);
  s.literal("-").number(p.year, 2).literal(" ");
  if (!clock_time(s, p).literal(" GMT").done()) return {};
  // The latest year with these two digits that is not more than 50 years ahead.
  const std::chrono::year_month_day today{std::chrono::floor<std::chrono::days>(now)};
  const int latest = static_cast<int>(today.year()) + 50;
  p.year += (latest - p.year) / 100 * 100;
  // In that last year it is the day that counts.
  const auto midnight = std::chrono::floor<std::chrono::days>(now);
  const auto edge = std::chrono::sys_days{std::chrono::year{latest} / today.month() / today.day()};
  const auto time = p.time();
  if (!time || *time <= edge + (now - midnight)) return time;
  p.year -= 100;
  return p.time();
}

std::optional<wall_time> parse_asctime(std::string_view text) noexcept {
  scanner s{text};
  parts p;
  s.day_name(false).literal(" ").name(p.month, months).literal(" ").number(p.day, 2, true);
  s.literal(" ");
  return clock_time(s, p).literal(" ").number(p.year, 4).done() ? p.time() : std::nullopt;
}

/// Seconds as a duration, which may be too small for them.
duration saturated(seconds s) noexcept {
  if (s <= seconds::zero()) return duration::zero();
  return s > std::chrono::floor<seconds>(duration::max()) ? duration::max() : duration{s};
}

/// A decimal number, of any length. A fraction counts as a whole one more.
std::optional<std::uint64_t> parse_seconds(std::string_view text) noexcept {
  std::uint64_t n = 0;
  const auto [end, e] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (e == std::errc::result_out_of_range) n = std::numeric_limits<std::uint64_t>::max();
  if (e == std::errc::invalid_argument) return {};
  const std::string_view rest{end, text.data() + text.size()};
  if (rest.empty()) return n;
  if (rest.size() < 2 || rest[0] != '.' || !std::ranges::all_of(rest.substr(1), is_digit))
    return {};
  const bool whole = rest.find_first_not_of('0', 1) == rest.npos;
  return n + (whole || n == std::numeric_limits<std::uint64_t>::max() ? 0 : 1);
}

duration from_seconds(std::uint64_t n) noexcept {
  using rep = seconds::rep;
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<rep>::max());
  return saturated(seconds{static_cast<rep>(std::min(n, most))});
}

}  // namespace

wall_time wall_now() noexcept {
  return std::chrono::floor<std::chrono::seconds>(loop::wall_time_here());
}

std::optional<wall_time> parse_http_date(std::string_view text, wall_time now) noexcept {
  if (text.size() < 4) return {};
  if (text[3] == ',') return parse_fixdate(text);
  if (text[3] == ' ') return parse_asctime(text);
  return parse_rfc850(text, now);
}

std::string to_http_date(wall_time t) {
  const auto day = std::chrono::floor<std::chrono::days>(t);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss time{t - day};
  std::string out{days[std::chrono::weekday{day}.c_encoding()].substr(0, 3)};
  const auto two = [&out](char before, auto n) {
    out += before;
    out += static_cast<char>('0' + n / 10 % 10);
    out += static_cast<char>('0' + n % 10);
  };
  out += ',';
  two(' ', static_cast<unsigned>(date.day()));
  (out += ' ').append(months[static_cast<unsigned>(date.month()) - 1]);
  const int year = static_cast<int>(date.year());
  two(' ', year / 100);
  out.append({static_cast<char>('0' + year / 10 % 10), static_cast<char>('0' + year % 10)});
  two(' ', time.hours().count());
  two(':', time.minutes().count());
  two(':', time.seconds().count());
  return out += " GMT";
}

std::optional<duration> retry_after(const headers& fields, wall_time now) noexcept {
  const auto value = fields.get("Retry-After");
  if (!value) return {};
  if (const auto n = parse_seconds(*value)) return from_seconds(*n);
  if (const auto date = parse_http_date(*value, now)) return saturated(*date - now);
  return {};
}

std::optional<duration> rate_limit(const headers& fields, wall_time now) noexcept {
  // From here on (2001) it is a point in time, not a number of seconds to wait: in seconds, or in
  // milliseconds.
  constexpr std::uint64_t epoch = 1'000'000'000;
  constexpr std::uint64_t epoch_ms = epoch * 1000;
  struct names {
    std::string_view remaining;
    std::string_view reset;
  };
  for (const names& n : {names{"RateLimit-Remaining", "RateLimit-Reset"},
                         names{"X-RateLimit-Remaining", "X-RateLimit-Reset"},
                         names{"X-Rate-Limit-Remaining", "X-Rate-Limit-Reset"}}) {
    const auto remaining = fields.get(n.remaining);
    const auto reset = fields.get(n.reset);
    if (!remaining || !reset) continue;
    if (parse_seconds(*remaining) != 0) return {};
    if (const auto date = parse_http_date(*reset, now)) return saturated(*date - now);
    const auto until = parse_seconds(*reset);
    if (!until) return {};
    if (*until < epoch) return from_seconds(*until);
    const auto at = seconds{static_cast<seconds::rep>(
        *until < epoch_ms ? *until : (std::min(*until, epoch_ms * 1'000'000) + 999) / 1000)};
    return saturated(at - now.time_since_epoch());
  }
  return {};
}

}  // namespace oneloop::inline v0::http
