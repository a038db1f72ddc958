// Dates and delays in header fields: HTTP dates (RFC 9110, 5.6.7), Retry-After, rate limits.
//
//     const auto now = oneloop::http::wall_now();
//     fields.set("Date", oneloop::http::to_http_date(now));    // "Sun, 06 Nov 1994 08:49:37 GMT"
//     if (auto wait = oneloop::http::retry_after(fields, now)) co_await sleep_for(min(*wait, 60s));
//
// Functions of their arguments: the current time is one of them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/http/message.hpp"

namespace oneloop::inline v0::http {

/// The time on the wall, in seconds since 1970 (UTC): what dates in messages are about.
using wall_time = std::chrono::sys_seconds;

/// What the wall says now; in a simulation, what its clock says (virtual_clock::wall). Other
/// virtual loops have no wall of their own: give functions a time of yours there.
[[nodiscard]] ONELOOP_API wall_time wall_now() noexcept;

/// Reads an HTTP date in any of its three formats:
///
///     Sun, 06 Nov 1994 08:49:37 GMT      what everybody should send
///     Sunday, 06-Nov-94 08:49:37 GMT     RFC 850; a year that seems more than 50 years ahead of
///                                        `now` is one of the past
///     Sun Nov  6 08:49:37 1994           C's asctime
///
/// Case counts, and so does every space, as the RFC has it; that the day of the week is right does
/// not. Nothing for anything else, or for a day that no calendar has.
[[nodiscard]] ONELOOP_API std::optional<wall_time> parse_http_date(std::string_view text,
                                                                   wall_time now) noexcept;

/// Writes the first of the formats above. The year must have four digits.
[[nodiscard]] ONELOOP_API std::string to_http_date(wall_time t);

/// How long a response asks to wait (Retry-After: seconds, or a date): zero for a date in the past,
/// at most duration::max(); nothing if there is no such field, or if it is not understood.
[[nodiscard]] ONELOOP_API std::optional<duration> retry_after(const headers& fields,
                                                              wall_time now) noexcept;

/// How long to wait before the next request to that host, for servers that tell their limits: if no
/// request remains (RateLimit-Remaining: 0), the time to RateLimit-Reset. The same with the names
/// X-RateLimit-* and X-Rate-Limit-*. Reset is a number of seconds, or, if it is that large, the
/// time (in seconds or milliseconds since 1970), or an HTTP date. Nothing if requests remain, or if
/// the fields are missing or not understood.
[[nodiscard]] ONELOOP_API std::optional<duration> rate_limit(const headers& fields,
                                                             wall_time now) noexcept;

}  // namespace oneloop::inline v0::http
