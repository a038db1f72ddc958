// Cookies, and the dates and numbers of other fields: a line with a URL, then a field a line.
#include "oneloop/http/cookies.hpp"

#include <string>

#include "fuzz/check.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/http/range.hpp"

namespace {

using namespace oneloop::http;
using namespace std::chrono_literals;

constexpr wall_time now{1'790'000'000s};

void fields_are_read(std::string_view line) {
  if (const auto t = parse_http_date(line, now)) {
    fuzz::check(parse_http_date(to_http_date(*t), now) == t, "a date that was written is the same");
    fuzz::check(parse_cookie_date(to_http_date(*t)) == t || *t < wall_time{-11644473600s},
                "every date is a date of cookies");
  }
  headers h;
  try {
    for (const char* name : {"Retry-After", "RateLimit-Remaining", "RateLimit-Reset", "ETag"}) {
      h.add(name, line);
    }
  } catch (const oneloop::misuse&) {
    return;
  }
  const auto wait = retry_after(h, now);
  fuzz::check(!wait || *wait >= 0s, "nobody waits for the past");
  h.set("RateLimit-Remaining", "0");
  const auto limit = rate_limit(h, now);
  fuzz::check(!limit || *limit >= 0s, "nobody waits for the past");
  if (const auto r = parse_content_range(line); r && r->range) {
    fuzz::check(r->range->first <= r->range->last, "a range does not go backwards");
    fuzz::check(!r->total || r->range->last < *r->total, "a range ends before the total");
  }
  fuzz::check(strong_validator(h).empty() == !is_strong_etag(h.get("ETag").value()),
              "a validator is a strong tag");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const auto u = oneloop::url::parse(in.line());
  const std::string_view lines = in.rest();
  cookie_jar jar;
  while (!in.empty()) {
    const std::string_view line = in.line();
    if (u) jar.set(*u, line, now);
    fields_are_read(line);
  }
  if (u) {
    const std::string sent = jar.header_for(*u, now);
    for (const char c : sent) {
      fuzz::check((static_cast<unsigned char>(c) >= 0x20 || c == '\t') && c != 0x7f,
                  "no control character is sent");
    }
  }
  for (const cookie& c : jar.all()) {
    fuzz::check(c.path.starts_with('/') && !c.domain.empty(), "a cookie has a place");
    fuzz::check(c.name.size() + c.value.size() <= cookie_jar::max_pair, "a cookie is small");
    fuzz::check(!c.expires || (*c.expires > now && *c.expires <= now + cookie_jar::max_lifetime),
                "a cookie lives for a while");
  }
  fuzz::check(jar.size() == jar.all().size(), "size() counts");
  const std::string text = jar.save();
  cookie_jar other;
  other.load(text, now);
  fuzz::check(other.save() == text, "what was saved loads the same");
  try {
    other.load(lines, now);
  } catch (const oneloop::error&) {
  }
  return 0;
}
