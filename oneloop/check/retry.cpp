#include <algorithm>
#include <chrono>
#include <string>

#include "oneloop/check/retry_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

constexpr duration spread = std::chrono::seconds{1};

std::string in_seconds(duration d) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(d).count()) + " s";
}

}  // namespace

duration random_up_to(loop& l, duration most) {
  const auto n = static_cast<std::uint64_t>(std::max<duration::rep>(most.count(), 0));
  return duration{static_cast<duration::rep>(l.random() % (n + 1))};
}

duration backoff(loop& l, int attempts, duration first, duration most) {
  duration limit = first;
  for (int i = 1; i < attempts && limit < most; ++i) limit *= 2;
  return random_up_to(l, std::min(limit, most));
}

time_point soon_after(loop& l, time_point pause) { return after(pause, random_up_to(l, spread)); }

retry_rules::decision retry_rules::after_try(loop& l, check_result& r,
                                             const probe_outcome& o) const {
  decision d;
  const time_point now = l.now();
  const bool too_long = o.wait && *o.wait > check_limits::max_wait;
  if (o.wait && !too_long) d.pause = after(now, *o.wait);
  if (!o.may_pass || r.attempts > retries) return d;
  if (too_long) {
    r.error.emplace(r.error->kind(), r.error->message() + ", to be asked again in " +
                                         in_seconds(*o.wait) + ": longer than the " +
                                         in_seconds(check_limits::max_wait) + " that are waited");
    return d;
  }
  d.again = d.pause ? soon_after(l, *d.pause) : after(now, backoff(l, r.attempts, first, most));
  return d;
}

}  // namespace oneloop::inline v0::detail
