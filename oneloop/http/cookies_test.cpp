// 18: cookies.
#include "oneloop/http/cookies.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "oneloop/base/error.hpp"

namespace {

using namespace oneloop::http;
using namespace std::chrono_literals;
using oneloop::url;

constexpr wall_time now{1'790'000'000s};  // Mon, 21 Sep 2026 14:13:20 GMT

url at(std::string_view text) { return url::parse(text).value(); }

/// What goes to `to` after `from` has set one cookie.
std::string after(std::string_view from, std::string_view set_cookie, std::string_view to,
                  wall_time then = now) {
  cookie_jar jar;
  jar.set(at(from), set_cookie, now);
  return jar.header_for(at(to), then);
}

constexpr const char* site = "https://www.example.com/docs/page?q";

TEST(http_point_18, name_and_value) {
  const std::pair<const char*, const char*> cases[] = {
      {"a=1", "a=1"},
      {"  a \t=  1 2  ; Path=/", "a=1 2"},
      {"a=b=c", "a=b=c"},
      {"a=", "a="},
      {"=b", "b"},
      {"b", "b"},
      {"a=\"quoted; Path=/", "a=\"quoted"},
      {"a=1,b=2", "a=1,b=2"},
      {"a\tb=1\t2", "a\tb=1\t2"},
      {"a=\xc3\xa9\xff", "a=\xc3\xa9\xff"},
      {"A=1;;; ;secure=maybe", "A=1"},
      {"$Version=1", "$Version=1"},
      // Not cookies.
      {"", ""},
      {"=", ""},
      {" = ; Path=/", ""},
      {"; a=1", ""},
      {"a=1\x01", ""},
      {"a\x7f=1", ""},
      {"a=1; Path=/\x1f", ""},
      {"a=1\n", ""},
  };
  for (const auto& [line, sent] : cases) EXPECT_EQ(after(site, line, site), sent) << line;
  EXPECT_EQ(after(site, {"a=1\0b", 5}, site), "");
}

TEST(http_point_18, all_set_cookie_fields_count) {
  headers h;
  h.add("Set-Cookie", "a=1");
  h.add("Content-Type", "text/html");
  h.add("SET-COOKIE", "b=2");
  h.add("Set-Cookie2", "c=3");
  h.add("set-cookie", "a=4");
  cookie_jar jar;
  jar.store(at(site), h, now);
  EXPECT_EQ(jar.size(), 2U);
  EXPECT_EQ(jar.header_for(at(site), now), "a=4; b=2");
}

TEST(http_point_18, domains) {
  const struct {
    const char* from;
    const char* domain;
    const char* to;
    bool sent;
  } cases[] = {
      // Host-only.
      {"http://example.com", "", "http://example.com", true},
      {"http://example.com", "", "http://www.example.com", false},
      {"http://www.example.com", "", "http://example.com", false},
      {"http://example.com", "", "http://example.com:8080", true},
      {"http://example.com", "; Domain=", "http://www.example.com", false},
      {"http://example.com", "; Domain=example.com; Domain=", "http://www.example.com", false},
      // A domain.
      {"http://example.com", "; Domain=example.com", "http://www.example.com", true},
      {"http://example.com", "; DOMAIN= .Example.COM ", "http://a.b.example.com", true},
      {"http://www.example.com", "; Domain=example.com", "http://example.com", true},
      {"http://www.example.com", "; Domain=example.com", "http://other.example.com", true},
      {"http://example.com", "; Domain=example.com", "http://badexample.com", false},
      {"http://example.com", "; Domain=example.com", "http://example.com.evil.net", false},
      {"http://example.com", "; Domain=other.com; Domain=example.com", "http://example.com", true},
      // Not its own.
      {"http://example.com", "; Domain=www.example.com", "http://www.example.com", false},
      {"http://example.com", "; Domain=www.example.com", "http://example.com", false},
      {"http://example.com", "; Domain=other.com", "http://example.com", false},
      {"http://badexample.com", "; Domain=example.com", "http://badexample.com", false},
      {"http://example.com", "; Domain=..example.com", "http://example.com", false},
      {"http://example.com", "; Domain=example.com.", "http://example.com", false},
      {"http://example.com", "; Domain=example.com; Domain=other.com", "http://example.com", false},
      {"http://b\u00fccher.example", "; Domain=b\u00fccher.example", "http://b\u00fccher.example",
       false},
      {"http://b\u00fccher.example", "; Domain=xn--bcher-kva.example",
       "http://www.b\u00fccher.example", true},
      // A public suffix is nobody's.
      {"http://example.com", "; Domain=com", "http://example.com", false},
      {"http://example.co.uk", "; Domain=co.uk", "http://example.co.uk", false},
      {"http://example.co.uk", "; Domain=.CO.UK", "http://example.co.uk", false},
      {"http://example.co.uk", "; Domain=example.co.uk", "http://www.example.co.uk", true},
      {"http://me.github.io", "; Domain=github.io", "http://me.github.io", false},
      {"http://github.io", "; Domain=github.io", "http://github.io", true},
      {"http://github.io", "; Domain=github.io", "http://me.github.io", false},
      {"http://www.unknown-tld-of-nobody", "; Domain=unknown-tld-of-nobody",
       "http://www.unknown-tld-of-nobody", false},
      {"http://localhost", "; Domain=localhost", "http://localhost", true},
      // Addresses are only ever themselves.
      {"http://192.0.2.1", "", "http://192.0.2.1", true},
      {"http://192.0.2.1", "; Domain=192.0.2.1", "http://192.0.2.1", true},
      {"http://192.0.2.1", "; Domain=2.1", "http://192.0.2.1", false},
      {"http://192.0.2.1", "; Domain=.0.2.1", "http://192.0.2.1", false},
      {"http://[2001:db8::1]", "", "http://[2001:DB8:0::1]", true},
      {"http://[2001:db8::1]", "; Domain=[2001:db8::1]", "http://[2001:db8::1]", true},
      {"http://[2001:db8::1]", "", "http://[2001:db8::2]", false},
      // The same for every port and scheme.
      {"https://example.com:8443", "", "http://example.com", true},
      {"wss://example.com", "", "https://example.com", true},
      {"ftp://example.com", "", "http://example.com", false},
      {"http://example.com", "", "ftp://example.com", false},
      {"file:///tmp", "", "http://example.com", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(after(c.from, std::string{"a=1"} + c.domain, c.to), c.sent ? "a=1" : "")
        << c.from << " sets" << c.domain << " for " << c.to;
  }
}

TEST(http_point_18, paths) {
  const struct {
    const char* from;
    const char* path;
    const char* to;
    bool sent;
  } cases[] = {
      // The folder of the page.
      {"/docs/page", "", "/docs/other", true},
      {"/docs/page", "", "/docs", true},
      {"/docs/page", "", "/docs/", true},
      {"/docs/page", "", "/docs/a/b", true},
      {"/docs/page", "", "/docsmore", false},
      {"/docs/page", "", "/", false},
      {"/docs/", "", "/docs", true},
      {"/docs", "", "/", true},
      {"/", "", "/anything", true},
      {"", "", "/anything", true},
      {"/docs/page?a/b/c", "", "/docs/x", true},
      // One that is told.
      {"/docs/page", "; Path=/", "/", true},
      {"/docs/page", "; path = /a ", "/a", true},
      {"/docs/page", "; Path=/a", "/a/b", true},
      {"/docs/page", "; Path=/a", "/a?x", true},
      {"/docs/page", "; Path=/a", "/ab", false},
      {"/docs/page", "; Path=/a/", "/a/b", true},
      {"/docs/page", "; Path=/a/", "/a", false},
      {"/docs/page", "; Path=/A", "/a", false},
      {"/docs/page", "; Path=/%61", "/a", false},
      {"/docs/page", "; Path=/x; Path=/a", "/a", true},
      // What is no path means the default.
      {"/docs/page", "; Path=", "/docs/x", true},
      {"/docs/page", "; Path=a", "/docs/x", true},
      {"/docs/page", "; Path=/a; Path=", "/docs/x", true},
  };
  for (const auto& c : cases) {
    const std::string host = "http://example.com";
    EXPECT_EQ(after(host + c.from, std::string{"a=1"} + c.path, host + c.to), c.sent ? "a=1" : "")
        << c.from << " sets" << c.path << " for " << c.to;
  }
}

TEST(http_point_18, secure) {
  const struct {
    const char* from;
    const char* to;
    bool sent;
  } cases[] = {
      {"https://example.com", "https://example.com", true},
      {"https://example.com", "wss://example.com", true},
      {"https://example.com", "http://example.com", false},
      {"https://example.com", "ws://example.com", false},
      {"http://example.com", "https://example.com", false},
      // Close enough to be trusted.
      {"http://localhost:8080", "http://localhost", true},
      {"http://app.localhost", "http://app.localhost", true},
      {"http://127.0.0.1", "http://127.0.0.1", true},
      {"http://127.9.9.9", "http://127.9.9.9", true},
      {"http://[::1]", "http://[::1]", true},
      {"http://notlocalhost", "https://notlocalhost", false},
      {"http://192.0.2.1", "https://192.0.2.1", false},
      {"http://[2001:db8::1]", "https://[2001:db8::1]", false},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(after(c.from, "a=1; sEcUrE", c.to), c.sent ? "a=1" : "") << c.from << " " << c.to;
  }
}

TEST(http_point_18, http_cannot_touch_what_https_has_set) {
  const auto refused = [](std::string_view secure_from, std::string_view secure_line,
                          std::string_view from, std::string_view line) {
    cookie_jar jar;
    EXPECT_TRUE(jar.set(at(secure_from), secure_line, now)) << secure_line;
    const std::string before = jar.save();
    const bool taken = jar.set(at(from), line, now);
    EXPECT_EQ(jar.save() != before, taken);
    return !taken;
  };
  constexpr const char* https = "https://example.com";
  constexpr const char* http = "http://example.com";
  EXPECT_TRUE(refused(https, "a=1; Secure; Path=/", http, "a=2; Path=/"));
  EXPECT_TRUE(refused(https, "a=1; Secure; Path=/", http, "a=2; Path=/; Max-Age=0"));
  EXPECT_TRUE(refused(https, "a=1; Secure; Path=/", http, "a=2; Path=/docs"));
  EXPECT_TRUE(refused(https, "a=1; Secure; Path=/", http, "a=2; Domain=example.com"));
  EXPECT_TRUE(refused(https, "a=1; Secure; Domain=example.com", "http://www.example.com", "a=2"));
  EXPECT_TRUE(refused("https://www.example.com", "a=1; Secure", "http://www.example.com",
                      "a=2; Domain=example.com"));
  EXPECT_FALSE(refused(https, "a=1; Secure; Path=/docs", http, "a=2; Path=/"));
  EXPECT_FALSE(refused(https, "a=1; Secure", http, "A=2"));
  EXPECT_FALSE(refused(https, "a=1; Secure", "http://example.org", "a=2"));
  EXPECT_FALSE(refused(https, "a=1", http, "a=2"));
  EXPECT_FALSE(refused(https, "a=1; Secure", https, "a=2"));
  EXPECT_FALSE(refused("http://localhost", "a=1; Secure", "http://localhost", "a=2"));
}

TEST(http_point_18, names_with_a_promise) {
  const std::pair<const char*, bool> cases[] = {
      {"__Secure-a=1", false},
      {"__Secure-a=1; Secure", true},
      {"__SECURE-a=1", false},
      {"__secure-a=1; Secure; Domain=example.com; Path=/x", true},
      {"__Host-a=1; Secure; Path=/", true},
      {"__hOST-a=1; Secure; Path=/", true},
      {"__Host-a=1; Secure; Path=/; Domain=", true},
      {"__Host-a=1; Path=/", false},
      {"__Host-a=1; Secure", false},
      {"__Host-a=1; Secure; Path=/docs", false},
      {"__Host-a=1; Secure; Path=/; Domain=example.com", false},
      {"__host-a=1; Secure; Path=/; Domain=example.com", false},
      // Without a name they would be sent as if they had one.
      {"=__Host-a=1; Secure; Path=/", false},
      {"=__Secure-a=1; Secure", false},
      {"__Secure-; Secure", false},
      {"=__Hostile", true},
      {"__Secure=1", true},
  };
  for (const auto& [line, taken] : cases) {
    cookie_jar jar;
    EXPECT_EQ(jar.set(at("https://example.com/"), line, now), taken) << line;
  }
  // Over http nobody can promise.
  cookie_jar jar;
  EXPECT_FALSE(jar.set(at("http://example.com/"), "__Secure-a=1; Secure", now));
  EXPECT_TRUE(jar.set(at("http://localhost/"), "__Host-a=1; Secure; Path=/", now));
}

TEST(http_point_18, how_long) {
  const struct {
    const char* attributes;
    std::chrono::seconds last;  // still sent after so long
    bool ends;                  // and no more a second later
  } cases[] = {
      {"", 24h * 10'000, false},
      {"; Max-Age=10", 9s, true},
      {"; max-age = 10", 9s, true},
      {"; Max-Age=1", 0s, true},
      {"; Expires=Mon, 21 Sep 2026 14:13:30 GMT", 9s, true},
      {"; Expires=Mon, 21 Sep 2026 14:13:30 GMT; Max-Age=20", 19s, true},
      {"; Max-Age=20; Expires=Mon, 21 Sep 2026 14:13:30 GMT", 19s, true},
      {"; Max-Age=10; Max-Age=20", 19s, true},
      {"; Max-Age=10; Max-Age=junk", 9s, true},
      {"; Max-Age=", 24h * 10'000, false},
      {"; Max-Age=+10", 24h * 10'000, false},
      {"; Max-Age=1.5", 24h * 10'000, false},
      {"; Max-Age=-", 24h * 10'000, false},
      {"; Expires=never", 24h * 10'000, false},
      {"; Max-Age=99999999999999999999", 24h * 400 - 1s, true},
      {"; Max-Age=9223372036854775807", 24h * 400 - 1s, true},
      {"; Expires=Fri, 31 Dec 9999 23:59:59 GMT", 24h * 400 - 1s, true},
  };
  for (const auto& c : cases) {
    const std::string line = std::string{"a=1"} + c.attributes;
    EXPECT_EQ(after(site, line, site, now + c.last), "a=1") << line;
    EXPECT_EQ(after(site, line, site, now + c.last + 1s), c.ends ? "" : "a=1") << line;
  }
}

TEST(http_point_18, the_past_deletes) {
  for (const char* gone :
       {"a=; Max-Age=0", "a=; Max-Age=-1", "a=; Max-Age=-99999999999999999999",
        "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=; Expires=Mon, 21 Sep 2026 14:13:20 GMT"}) {
    cookie_jar jar;
    jar.set(at(site), "a=1", now);
    jar.set(at(site), "b=2", now);
    EXPECT_EQ(jar.size(), 2U);
    EXPECT_TRUE(jar.set(at(site), gone, now));
    EXPECT_EQ(jar.header_for(at(site), now), "b=2") << gone;
    EXPECT_EQ(jar.size(), 1U);
    // Another path is another cookie.
    jar.set(at(site), "b=; Path=/; Max-Age=0", now);
    EXPECT_EQ(jar.size(), 1U);
    jar.set(at(site), "b=; Max-Age=0", now);
    EXPECT_TRUE(jar.empty());
  }
}

TEST(http_point_18, longer_paths_and_older_cookies_first) {
  cookie_jar jar;
  const url u = at("http://www.example.com/a/b/c");
  for (const char* line :
       {"one=1; Path=/", "two=2; Path=/a/b", "three=3; Path=/; Domain=example.com",
        "four=4; Path=/a", "five=5; Path=/a/b; Domain=example.com"}) {
    EXPECT_TRUE(jar.set(u, line, now));
  }
  EXPECT_EQ(jar.header_for(u, now), "two=2; five=5; four=4; one=1; three=3");
  // A new value keeps the old place.
  jar.set(u, "one=new; Path=/", now + 10s);
  EXPECT_EQ(jar.header_for(u, now + 10s), "two=2; five=5; four=4; one=new; three=3");
}

TEST(http_point_18, same_name_different_cookie) {
  cookie_jar jar;
  const url u = at("http://example.com/a/");
  jar.set(u, "n=1; Path=/", now);
  jar.set(u, "n=2; Path=/a", now);
  jar.set(u, "n=3; Path=/; Domain=example.com", now);
  EXPECT_EQ(jar.size(), 3U);
  EXPECT_EQ(jar.header_for(u, now), "n=2; n=1; n=3");
}

TEST(http_point_18, size_caps) {
  const auto pair = [](std::size_t name, std::size_t value) {
    return std::string(name, 'n') + '=' + std::string(value, 'v');
  };
  cookie_jar jar;
  EXPECT_TRUE(jar.set(at(site), pair(96, 4000), now));
  EXPECT_FALSE(jar.set(at(site), pair(96, 4001), now));
  EXPECT_FALSE(jar.set(at(site), pair(0, 4097), now));
  EXPECT_EQ(jar.size(), 1U);
  // An attribute that is too long counts as if it were not there.
  const std::string path = '/' + std::string(1023, 'p');
  EXPECT_EQ(after(site, "a=1; Path=" + path, "https://www.example.com" + path), "a=1");
  EXPECT_EQ(after(site, "a=1; Path=" + path + 'p', "https://www.example.com" + path + 'p'), "");
  EXPECT_EQ(after(site, "a=1; Path=" + path + 'p', site), "a=1");
  EXPECT_EQ(after(site, "a=1; Path=/docs; Path=" + path + 'p', site), "a=1");
}

TEST(http_point_18, cap_per_domain) {
  cookie_jar jar;
  const url u = at("https://example.com/");
  const auto name = [](std::size_t i) { return "n" + std::to_string(i); };
  jar.set(u, "short=1; Max-Age=5", now);
  jar.set(u, "safe=1; Secure", now);
  for (std::size_t i = 2; i < cookie_jar::max_per_domain; ++i)
    jar.set(u, name(i) + "=1; Path=/p", now);
  EXPECT_EQ(jar.size(), cookie_jar::max_per_domain);
  // What has expired makes room first.
  jar.set(u, "a=1", now + 10s);
  EXPECT_EQ(jar.size(), cookie_jar::max_per_domain);
  EXPECT_EQ(jar.header_for(u, now + 10s), "safe=1; a=1");
  // Then the one without Secure that was not used for longest; n2 has just been.
  EXPECT_NE(jar.header_for(at("https://example.com/p"), now + 10s).find("n2=1"), std::string::npos);
  jar.set(u, "n2=2; Path=/p", now + 10s);
  jar.set(u, "b=1", now + 10s);
  EXPECT_EQ(jar.size(), cookie_jar::max_per_domain);
  const std::string sent = jar.header_for(at("https://example.com/p"), now + 10s);
  EXPECT_NE(sent.find("n2=2"), std::string::npos);
  EXPECT_NE(sent.find("safe=1"), std::string::npos);
  EXPECT_NE(sent.find("b=1"), std::string::npos);
  // Other domains are not touched by it.
  jar.set(at("https://www.example.com"), "other=1", now + 10s);
  EXPECT_EQ(jar.size(), cookie_jar::max_per_domain + 1);
}

TEST(http_point_18, cap_in_all) {
  cookie_jar jar;
  const auto host = [](std::size_t i) { return at("http://h" + std::to_string(i) + ".example/"); };
  for (std::size_t i = 0; i < cookie_jar::max_cookies; ++i) jar.set(host(i), "a=1", now);
  EXPECT_EQ(jar.size(), cookie_jar::max_cookies);
  EXPECT_EQ(jar.header_for(host(0), now), "a=1");  // used: not the oldest any more
  jar.set(at("http://new.example/"), "a=1", now);
  EXPECT_EQ(jar.size(), cookie_jar::max_cookies);
  EXPECT_EQ(jar.header_for(host(0), now), "a=1");
  EXPECT_EQ(jar.header_for(host(1), now), "");
  EXPECT_EQ(jar.header_for(host(2), now), "a=1");
  EXPECT_EQ(jar.header_for(at("http://new.example/"), now), "a=1");
}

TEST(http_point_18, dates_as_cookies_have_them) {
  constexpr wall_time famous{784'111'777s};  // 1994-11-06 08:49:37
  for (const char* text : {
           "Sun, 06 Nov 1994 08:49:37 GMT",
           "Sunday, 06-Nov-94 08:49:37 GMT",
           "Sun Nov  6 08:49:37 1994",
           "Sun, 6-Nov-1994 08:49:37 GMT",
           "06 nov 1994 08:49:37",
           "08:49:37 06 NOVEMBER 94",
           "1994 6 Nov 8:49:37",  // "1994" is no day: it has four digits
           "6th November, 1994 at 08:49:37+0000",
           "Nov;6;08:49:37junk;1994junk",
           "\t Sun,06/Nov/1994 08:49:37",
       }) {
    EXPECT_EQ(parse_cookie_date(text), famous) << text;
  }
  const auto year = [](const char* text) {
    const auto t = parse_cookie_date(std::string{"1 Jan 00:00:00 "} + text);
    if (!t) return -1;
    return static_cast<int>(
        std::chrono::year_month_day{std::chrono::floor<std::chrono::days>(*t)}.year());
  };
  EXPECT_EQ(year("69"), 2069);
  EXPECT_EQ(year("70"), 1970);
  EXPECT_EQ(year("99"), 1999);
  EXPECT_EQ(year("00"), 2000);
  EXPECT_EQ(year("1601"), 1601);
  EXPECT_EQ(year("9999"), 9999);
  EXPECT_EQ(year("1600"), -1);
  EXPECT_EQ(year("100"), -1);
  EXPECT_EQ(year("20261"), -1);
  EXPECT_EQ(year("1"), -1);
  for (const char* text : {
           "",
           "Thu",
           "06 Nov 1994",
           "06 Nov 08:49:37",
           "Nov 1994 08:49:37",
           "06 1994 08:49:37",
           "32 Nov 1994 08:49:37",
           "0 Nov 1994 08:49:37",
           "31 Nov 1994 08:49:37",
           "29 Feb 1900 08:49:37",
           "06 Nov 1994 24:00:00",
           "06 Nov 1994 08:60:37",
           "06 Nov 1994 08:49:60",
           "06 Nov 1994 08:49",
           "06 Nov 1994 08:49:",
           "06 Nov 1994 008:49:37",
           "06 Nov 1994 08:49:377",
           "06 Nov 1994 :49:37",
           "06 No 1994 08:49:37",
           "06 Nov 1994 25:00:00 08:49:37",  // the first one counts
       }) {
    EXPECT_FALSE(parse_cookie_date(text)) << text;
  }
}

TEST(http_point_18, saved_and_loaded) {
  cookie_jar jar;
  jar.set(at("https://example.com/"), "host=1; Secure; HttpOnly; Max-Age=100", now);
  jar.set(at("http://www.example.org/a/b"), "domain=2; Domain=example.org", now);
  jar.set(at("http://192.0.2.1/"), "nameless", now);
  jar.set(at("http://[::1]/"), "tab=x\ty", now);
  const std::string text = jar.save();
  EXPECT_EQ(text,
            "# Netscape HTTP Cookie File\n"
            "#HttpOnly_example.com\tFALSE\t/\tTRUE\t1790000100\thost\t1\n"
            ".example.org\tTRUE\t/a\tFALSE\t0\tdomain\t2\n"
            "192.0.2.1\tFALSE\t/\tFALSE\t0\t\tnameless\n"
            "[::1]\tFALSE\t/\tFALSE\t0\ttab\tx\ty\n");
  cookie_jar other;
  other.load(text, now);
  EXPECT_EQ(other.save(), text);
  EXPECT_EQ(other.header_for(at("https://example.com/"), now), "host=1");
  EXPECT_EQ(other.header_for(at("http://x.example.org/a/"), now), "domain=2");
  // A host may begin with a dot: the browser's rules for URLs allow it.
  cookie_jar odd;
  odd.set(at("http://.com/"), "a=1", now);
  cookie_jar copy;
  copy.load(odd.save(), now);
  EXPECT_EQ(copy.save(), odd.save());
  EXPECT_EQ(copy.header_for(at("http://.com/"), now), "a=1");
  // Those of the file that have expired are not there.
  cookie_jar later;
  later.load(text, now + 100s);
  EXPECT_EQ(later.size(), 3U);
}

TEST(http_point_18, what_other_programs_write) {
  cookie_jar jar;
  jar.load(
      "# Netscape HTTP Cookie File\r\n"
      "# https://curl.se/docs/http-cookies.html\r\n"
      "\r\n"
      "   \n"
      "Example.COM\tfalse\t/\tfalse\t4102444800\ta\t1\r\n"
      "www.example.com\tTRUE\t/\tTRUE\t1999999999.5\tb\t\n"
      "#HttpOnly_.example.com\tTRUE\t/x\tFALSE\t0\tc\t3",
      now);
  ASSERT_EQ(jar.size(), 3U);
  EXPECT_EQ(jar.header_for(at("https://www.example.com/x"), now), "c=3; b=");
  EXPECT_EQ(jar.header_for(at("http://example.com/x"), now), "c=3; a=1");
  const auto all = jar.all();
  EXPECT_EQ(all[0].domain, "example.com");
  EXPECT_TRUE(all[0].host_only);
  EXPECT_EQ(all[0].expires, now + cookie_jar::max_lifetime);
  EXPECT_TRUE(all[2].http_only);
  EXPECT_FALSE(all[2].expires);
}

TEST(http_point_18, a_broken_file_adds_nothing) {
  const std::string good = "example.com\tTRUE\t/\tFALSE\t0\ta\t1\n";
  for (const auto& [line, why] : {std::pair{"<html>", "seven fields"},
                                  {"example.com\tTRUE\t/\tFALSE\t0\ta", "seven fields"},
                                  {"example.com TRUE / FALSE 0 a 1", "seven fields"},
                                  {"\tTRUE\t/\tFALSE\t0\ta\t1", "no domain"},
                                  {"example.com\tTRUE\t\tFALSE\t0\ta\t1", "slash"},
                                  {"example.com\tTRUE\t/\tFALSE\tnever\ta\t1", "number"},
                                  {"example.com\tTRUE\t/\tFALSE\t\ta\t1", "number"},
                                  {"example.com\tTRUE\t/\tFALSE\t0\ta\t1\x01", "control"}}) {
    cookie_jar jar;
    try {
      jar.load(good + line + "\n" + good, now);
      FAIL() << line;
    } catch (const oneloop::error& e) {
      EXPECT_EQ(e.code(), std::errc::invalid_argument);
      EXPECT_TRUE(std::string_view{e.what()}.starts_with("cookies, line 2: ")) << e.what();
      EXPECT_NE(std::string_view{e.what()}.find(why), std::string_view::npos) << e.what();
    }
    EXPECT_TRUE(jar.empty());
  }
}

TEST(http_point_18, clear_and_move) {
  cookie_jar jar;
  jar.set(at(site), "a=1", now);
  cookie_jar other{std::move(jar)};
  EXPECT_EQ(other.header_for(at(site), now), "a=1");
  other.clear();
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(other.header_for(at(site), now), "");
  other.set(at(site), "b=2", now);
  EXPECT_EQ(other.size(), 1U);
}

TEST(http_point_18, what_is_sent_is_bounded) {
  cookie_jar jar;
  const url at = *url::parse("http://example.org/");
  for (int i = 0; i < 20; ++i) {
    jar.set(at, "c" + std::to_string(i) + "=" + std::string(4000, 'x'), wall_time{});
  }
  EXPECT_EQ(jar.size(), 20U);
  EXPECT_LE(jar.header_for(at, wall_time{}).size(), cookie_jar::max_header);
  EXPECT_TRUE(jar.header_for(at, wall_time{}).starts_with("c0="));
}

}  // namespace
