// 16: dates and delays. A date without a year of four digits depends on the present, so each test
// says when it is.
#include "oneloop/http/date.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace oneloop::http;
using namespace std::chrono_literals;
using oneloop::duration;

constexpr wall_time at(long long seconds) { return wall_time{std::chrono::seconds{seconds}}; }
constexpr wall_time famous = at(784111777);    // Sun, 06 Nov 1994 08:49:37 GMT
constexpr wall_time present = at(1790000000);  // Mon, 21 Sep 2026 14:13:20 GMT

TEST(http_point_16, three_formats_of_a_date) {
  EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT", present), famous);
  EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT", present), famous);
  EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994", present), famous);
  EXPECT_EQ(parse_http_date("Wed Nov 16 08:49:37 1994", present), famous + 240h);
  // The day of the week is not looked at.
  EXPECT_EQ(parse_http_date("Mon, 06 Nov 1994 08:49:37 GMT", present), famous);
}

TEST(http_point_16, edges_of_the_calendar) {
  const struct {
    const char* text;
    long long seconds;
  } cases[] = {
      {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
      {"Wed, 31 Dec 1969 23:59:59 GMT", -1},
      {"Tue, 29 Feb 2000 00:00:00 GMT", 951782400},
      {"Thu, 29 Feb 2024 23:59:59 GMT", 1709251199},
      {"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799},  // a leap second: the one before it
      {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
      {"Tue, 19 Jan 2038 03:14:08 GMT", 2147483648},
      {"Mon, 01 Jan 0001 00:00:00 GMT", -62135596800},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(parse_http_date(c.text, present), at(c.seconds)) << c.text;
  }
}

TEST(http_point_16, junk_is_no_date) {
  for (const char* text : {
           "",
           "Sun",
           "Sun,",
           "now",
           "0",
           "Sun, 06 Nov 1994 08:49:37",
           "Sun, 06 Nov 1994 08:49:37 UTC",
           "Sun, 06 Nov 1994 08:49:37 +0000",
           "Sun, 06 Nov 1994 08:49:37 GMT ",
           " Sun, 06 Nov 1994 08:49:37 GMT",
           "Sun, 6 Nov 1994 08:49:37 GMT",
           "Sun, 06 Nov 94 08:49:37 GMT",
           "Sun, 06 nov 1994 08:49:37 GMT",
           "sun, 06 Nov 1994 08:49:37 GMT",
           "Sun,06 Nov 1994 08:49:37 GMT",
           "Sun, 06 Nov 1994 8:49:37 GMT",
           "Sun, 06 Nov 1994 24:00:00 GMT",
           "Sun, 06 Nov 1994 08:60:37 GMT",
           "Sun, 06 Nov 1994 08:49:61 GMT",
           "Sun, 31 Nov 1994 08:49:37 GMT",
           "Sun, 29 Feb 1900 08:49:37 GMT",
           "Sun, 00 Nov 1994 08:49:37 GMT",
           "Sun, +6 Nov 1994 08:49:37 GMT",
           "Sun, -6 Nov 1994 08:49:37 GMT",
           "Sunday, 06-Nov-1994 08:49:37 GMT",
           "Sunday, 06 Nov 94 08:49:37 GMT",
           "Sun, 06-Nov-94 08:49:37 GMT",
           "Sun Nov 6 08:49:37 1994",
           "Sun Nov 06 08:49:37 94",
           "Sun Nov  6 08:49:37 1994 GMT",
           "Sun Nov  6 08:49:37 +994",
       }) {
    EXPECT_FALSE(parse_http_date(text, present)) << text;
  }
  EXPECT_FALSE(parse_http_date({"Sun, 06 Nov 1994 08:49:37 GMT\0", 30}, present));
}

TEST(http_point_16, two_digits_are_at_most_fifty_years_ahead) {
  const auto year = [](const char* text, wall_time now) {
    const auto t = parse_http_date(text, now);
    if (!t) return -1;
    const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(*t)};
    return static_cast<int>(date.year());
  };
  EXPECT_EQ(year("Sunday, 06-Nov-94 08:49:37 GMT", present), 1994);
  EXPECT_EQ(year("Sunday, 06-Nov-26 08:49:37 GMT", present), 2026);
  EXPECT_EQ(year("Sunday, 06-Nov-75 08:49:37 GMT", present), 2075);
  EXPECT_EQ(year("Sunday, 06-Nov-77 08:49:37 GMT", present), 1977);
  // To the second: 50 years from now.
  EXPECT_EQ(year("Monday, 21-Sep-76 14:13:20 GMT", present), 2076);
  EXPECT_EQ(year("Monday, 21-Sep-76 14:13:21 GMT", present), 1976);
  EXPECT_EQ(year("Monday, 01-Jan-00 00:00:00 GMT", famous), 2000);
  EXPECT_EQ(year("Monday, 01-Jan-45 00:00:00 GMT", famous), 1945);
  // 50 years from a leap day.
  const wall_time leap = *parse_http_date("Thu, 29 Feb 2024 12:00:00 GMT", present);
  EXPECT_EQ(year("Sunday, 01-Mar-74 12:00:00 GMT", leap), 2074);
  EXPECT_EQ(year("Sunday, 01-Mar-74 12:00:01 GMT", leap), 1974);
  // A leap day that only one of the two centuries has.
  EXPECT_FALSE(parse_http_date("Sunday, 29-Feb-75 08:49:37 GMT", present));
}

TEST(http_point_16, dates_are_written_as_they_should_be) {
  EXPECT_EQ(to_http_date(famous), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(to_http_date(at(0)), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(to_http_date(at(-1)), "Wed, 31 Dec 1969 23:59:59 GMT");
  EXPECT_EQ(to_http_date(at(253402300799)), "Fri, 31 Dec 9999 23:59:59 GMT");
  for (long long s = -5'000'000'000; s < 20'000'000'000; s += 123'456'789) {
    EXPECT_EQ(parse_http_date(to_http_date(at(s)), present), at(s)) << s;
  }
}

std::optional<duration> wait_for(std::string_view value) {
  headers h;
  h.add("retry-after", value);
  return retry_after(h, famous);
}

TEST(http_point_16, retry_after_in_seconds) {
  EXPECT_EQ(wait_for("0"), 0s);
  EXPECT_EQ(wait_for("120"), 120s);
  EXPECT_EQ(wait_for("0120"), 120s);
  EXPECT_EQ(wait_for("1.5"), 2s);
  EXPECT_EQ(wait_for("1.0"), 1s);
  EXPECT_EQ(wait_for("86400"), 24h);
}

TEST(http_point_16, retry_after_saturates) {
  EXPECT_EQ(wait_for("9223372036"), 9223372036s);
  for (const char* large : {"9223372037", "9223372036854775807", "18446744073709551615",
                            "18446744073709551616", "99999999999999999999999999999999.9"}) {
    EXPECT_EQ(wait_for(large), duration::max()) << large;
  }
  EXPECT_EQ(wait_for("Fri, 31 Dec 9999 23:59:59 GMT"), duration::max());
}

TEST(http_point_16, retry_after_a_date) {
  EXPECT_EQ(wait_for("Sun, 06 Nov 1994 08:49:38 GMT"), 1s);
  EXPECT_EQ(wait_for("Sunday, 06-Nov-94 09:49:37 GMT"), 1h);
  EXPECT_EQ(wait_for("Sun Nov  6 08:49:47 1994"), 10s);
  EXPECT_EQ(wait_for("Sun, 06 Nov 1994 08:49:37 GMT"), 0s);
  EXPECT_EQ(wait_for("Sun, 06 Nov 1994 08:49:36 GMT"), 0s);
  EXPECT_EQ(wait_for("Thu, 01 Jan 1970 00:00:00 GMT"), 0s);
}

TEST(http_point_16, retry_after_junk_is_nothing) {
  for (const char* junk : {"", "soon", "-1", "+1", "1s", "1.", ".5", "1.x", "0x10", "1,2",
                           "Sun, 06 Nov 1994", "1e3", "inf"}) {
    headers h;
    h.add("Retry-After", junk);
    EXPECT_FALSE(retry_after(h, famous)) << junk;
  }
  EXPECT_FALSE(retry_after(headers{}, famous));
}

std::optional<duration> limited(std::string_view prefix, std::string_view remaining,
                                std::string_view reset) {
  headers h;
  h.add(std::string{prefix} + "-Remaining", remaining);
  h.add(std::string{prefix} + "-Reset", reset);
  return rate_limit(h, present);
}

TEST(http_point_16, rate_limits) {
  for (const char* prefix : {"RateLimit", "X-RateLimit", "X-Rate-Limit", "x-ratelimit"}) {
    EXPECT_EQ(limited(prefix, "0", "30"), 30s);
    EXPECT_EQ(limited(prefix, "0", "0"), 0s);
    EXPECT_EQ(limited(prefix, "0", "1790000060"), 60s);     // when, in seconds
    EXPECT_EQ(limited(prefix, "0", "1790000060500"), 61s);  // in milliseconds
    EXPECT_EQ(limited(prefix, "0", "1789999999"), 0s);
    EXPECT_EQ(limited(prefix, "0", "0.25"), 1s);
    EXPECT_EQ(limited(prefix, "0", "Mon, 21 Sep 2026 14:13:30 GMT"), 10s);
    EXPECT_FALSE(limited(prefix, "1", "30"));
    EXPECT_FALSE(limited(prefix, "", "30"));
    EXPECT_FALSE(limited(prefix, "0", ""));
    EXPECT_FALSE(limited(prefix, "none", "30"));
    EXPECT_FALSE(limited(prefix, "-1", "30"));
    EXPECT_FALSE(limited(prefix, "0", "soon"));
    EXPECT_GT(limited(prefix, "0", "99999999999999999999999"), 24h);
  }
  EXPECT_FALSE(rate_limit(headers{}, present));
  headers h;
  h.add("RateLimit-Remaining", "0");
  EXPECT_FALSE(rate_limit(h, present));
  h.add("X-RateLimit-Reset", "5");
  EXPECT_FALSE(rate_limit(h, present));  // of two different families
  h.add("X-RateLimit-Remaining", "0");
  EXPECT_EQ(rate_limit(h, present), 5s);
}

}  // namespace
