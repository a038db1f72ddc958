#include "arguments.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace tool {
namespace {

using namespace std::chrono_literals;

template <class F>
std::string message_of(F f) {
  try {
    f();
  } catch (const usage_error& e) {
    return e.what();
  }
  return {};
}

TEST(duration, is_read_with_its_unit) {
  EXPECT_EQ(parse_duration("-t", "500ms"), 500ms);
  EXPECT_EQ(parse_duration("-t", "5s"), 5s);
  EXPECT_EQ(parse_duration("-t", "1m"), 1min);
  EXPECT_EQ(parse_duration("-t", "2h"), 2h);
  EXPECT_EQ(parse_duration("-t", "7"), 7s);
  EXPECT_EQ(parse_duration("-t", "1.5"), 1500ms);
  EXPECT_EQ(parse_duration("-t", "0.25s"), 250ms);
}

TEST(duration, must_be_one) {
  for (const char* text : {"", "s", "soon", "5 s", "5sec", "1e3s", "inf", "nan", "0", "0.1ms",
                           "-1s", "25h", "99999999999999999999999s", "5s5"}) {
    EXPECT_THROW((void)parse_duration("-t", text), usage_error) << text;
  }
}

TEST(duration, may_be_of_days_where_that_is_meant) {
  EXPECT_EQ(parse_duration("-t", "1d"), 24h);
  EXPECT_EQ(parse_duration("-t", "7d", std::chrono::days{365}), 168h);
  EXPECT_EQ(message_of([] { (void)parse_duration("-t", "2d"); }), "-t 2d: must be from 1ms to 24h");
  EXPECT_EQ(message_of([] { (void)parse_duration("-t", "366d", std::chrono::days{365}); }),
            "-t 366d: must be from 1ms to 365d");
}

TEST(size, is_a_number_of_bytes_with_or_without_a_unit) {
  EXPECT_EQ(parse_size("-s", "1"), 1u);
  EXPECT_EQ(parse_size("-s", "500K"), 500u * 1024);
  EXPECT_EQ(parse_size("-s", "16M"), 16u * 1024 * 1024);
  EXPECT_EQ(parse_size("-s", "1024G"), std::uint64_t{1} << 40);
  for (const char* text : {"", "0", "0K", "K", "-1", "1.5M", "1X", "1KB", "1 K", "1025G",
                           "1099511627777", "99999999999999999999"}) {
    EXPECT_THROW((void)parse_size("-s", text), usage_error) << text;
  }
}

TEST(accept, is_for_all_hosts_or_for_some) {
  const auto all = parse_accept("--accept", "200,304");
  EXPECT_EQ(all.hosts, "");
  EXPECT_TRUE(all.statuses.contains(304));
  const auto some = parse_accept("--accept", "*.example.org:8080=200..299,429");
  EXPECT_EQ(some.hosts, "*.example.org:8080");
  EXPECT_TRUE(some.statuses.contains(429));
  EXPECT_FALSE(some.statuses.contains(304));
  for (const char* text : {"", "=200", "a b=200", "http://a/=200", "a=", "a=2xx", "a,b=200"}) {
    EXPECT_THROW((void)parse_accept("--accept", text), usage_error) << text;
  }
  EXPECT_EQ(message_of([] { (void)parse_accept("--accept", "a=2xx"); }),
            "--accept a=2xx: \"2xx\" is not a status from 100 to 999: write 200..299,304");
}

TEST(schemes, are_names_with_commas_between_them) {
  EXPECT_EQ(parse_schemes("--scheme", "HTTP,ftp,git+ssh"),
            (std::vector<std::string>{"http", "ftp", "git+ssh"}));
  for (const char* text : {"", ",", "http,", "http:", "1a", "+a", "ht tp", "h\xc3\xa9"}) {
    EXPECT_THROW((void)parse_schemes("--scheme", text), usage_error) << text;
  }
}

TEST(pattern, is_one_of_RE2) {
  EXPECT_EQ(parse_pattern("--exclude", "^a\\.b$"), "^a\\.b$");
  EXPECT_EQ(message_of([] { (void)parse_pattern("--exclude", "[a"); }),
            "--exclude [a: not a pattern (RE2): missing ]: [a");
  EXPECT_NE(message_of([] { (void)parse_pattern("--exclude", "(a)\\1"); }), "");
  EXPECT_EQ(message_of([] { (void)parse_pattern("--exclude", ""); }),
            "--exclude: an empty pattern matches everything: write .* for that");
}

TEST(remap, is_a_pattern_and_what_comes_in_its_place) {
  const auto r = parse_remap("--remap", "  ^http://a b/(.*)   http://c/\\1 ");
  EXPECT_EQ(r.pattern, "^http://a b/(.*)");
  EXPECT_EQ(r.to, "http://c/\\1");
  for (const char* text : {"", " ", "a", " a ", "[a b"}) {
    EXPECT_THROW((void)parse_remap("--remap", text), usage_error) << text;
  }
}

TEST(rate, says_what_is_wrong_once) {
  EXPECT_EQ(parse_rate("--rate", "*=2/s").interval(), 500ms);
  EXPECT_EQ(message_of([] { (void)parse_rate("--rate", "a=5"); }),
            "--rate a=5: no \"/s\", \"/m\" or \"/h\" at the end (as in example.org=5/s, *=30/m)");
}

TEST(bad_option, has_its_parts) {
  try {
    (void)parse_count("--level", "x", 0, 9);
    FAIL();
  } catch (const bad_option& e) {
    EXPECT_EQ(e.option(), "--level");
    EXPECT_EQ(e.value(), "x");
    EXPECT_EQ(e.why(), "must be a whole number from 0 to 9");
    EXPECT_STREQ(e.what(), "--level x: must be a whole number from 0 to 9");
  }
  EXPECT_STREQ((bad_option{"--user", "", "write it"}.what()), "--user: write it");
}

TEST(count, must_be_a_whole_number_in_its_range) {
  EXPECT_EQ(parse_count("-c", "1", 1, 65535), 1u);
  EXPECT_EQ(parse_count("-c", "65535", 1, 65535), 65535u);
  for (const char* text :
       {"", "0", "65536", "-1", "+1", "1.5", "1k", " 1", "0x10", "99999999999999999999999"}) {
    EXPECT_THROW((void)parse_count("-c", text, 1, 65535), usage_error) << text;
  }
}

TEST(choice, is_one_of_the_words) {
  EXPECT_EQ(parse_choice("--format", "text", "text|json|ndjson"), 0u);
  EXPECT_EQ(parse_choice("--format", "ndjson", "text|json|ndjson"), 2u);
  EXPECT_EQ(message_of([] { (void)parse_choice("--format", "xml", "text|json|ndjson"); }),
            "--format xml: must be text, json or ndjson");
  EXPECT_NE(message_of([] { (void)parse_choice("--format", "", "text|json"); }), "");
  EXPECT_NE(message_of([] { (void)parse_choice("--format", "text|json", "text|json"); }), "");
}

TEST(statuses, are_ranges_and_single_ones) {
  const auto set = parse_statuses("--accept", "200..299,304,999");
  for (const int s : {200, 250, 299, 304, 999}) EXPECT_TRUE(set.contains(s)) << s;
  for (const int s : {0, 199, 300, 303, 305, 998, 1000}) EXPECT_FALSE(set.contains(s)) << s;
  for (const char* text : {"", "2xx", "200..", "..299", "200,", ",200", "99", "1000", "299..200",
                           "200...299", "200-299", "+200", "200 ", "200..299..304"}) {
    EXPECT_THROW((void)parse_statuses("--accept", text), usage_error) << text;
  }
}

TEST(field, is_a_name_and_a_value_with_or_without_a_host) {
  const auto parsed = [](std::string_view text) {
    const auto f = parse_field("-H", text);
    return f.host + "|" + f.name + "|" + f.value;
  };
  EXPECT_EQ(parsed("X-Key: secret"), "|X-Key|secret");
  EXPECT_EQ(parsed("X-Key:secret"), "|X-Key|secret");
  EXPECT_EQ(parsed("X-Empty:"), "|X-Empty|");
  EXPECT_EQ(parsed("Referer: http://example.org/"), "|Referer|http://example.org/");
  EXPECT_EQ(parsed("X-Note: a: b"), "|X-Note|a: b");
  EXPECT_EQ(parsed("example.org: X-Key: a:b"), "example.org|X-Key|a:b");
  EXPECT_EQ(parsed("B\xc3\xbc"
                   "cher.Example: X-Key: v"),
            "xn--bcher-kva.example|X-Key|v");
  EXPECT_EQ(parsed("localhost: X-Key: v"), "localhost|X-Key|v");
  EXPECT_EQ(parsed("127.0.0.1: X-Key: v"), "127.0.0.1|X-Key|v");
  EXPECT_EQ(parsed("[::1]: X-Key: v"), "[::1]|X-Key|v");
}

TEST(field, must_be_one) {
  for (const char* text :
       {"", "X-Key", ": v", "X Key: v", "X-Key: a\r\nX-More: b", "example.org", "example.org: v",
        "example.org:X-Key: v", "example.org:80: X-Key: v", "exa mple.org: X-Key: v", "[::1: X: v",
        "[::1]:80: X-Key: v", "Content-Length: 5", "transfer-encoding: chunked"}) {
    EXPECT_THROW((void)parse_field("-H", text), usage_error) << text;
  }
  EXPECT_EQ(message_of([] { (void)parse_field("-H", "nonsense"); }),
            "-H nonsense: not a header field: write 'Name: value'");
}

TEST(user, belongs_to_a_host) {
  const auto u = parse_user("--user", "Example.org=me:pass:word=1");
  EXPECT_EQ(u.host, "example.org");
  EXPECT_EQ(u.name, "me");
  EXPECT_EQ(u.password, "pass:word=1");
  for (const char* text : {"", "me:password", "example.org=me", "=me:password", "a b=me:x"}) {
    EXPECT_THROW((void)parse_user("--user", text), usage_error) << text;
    EXPECT_EQ(message_of([&] { (void)parse_user("--user", text); }).find("password:"),
              std::string::npos);
  }
  // Passwords are not repeated.
  EXPECT_EQ(message_of([] { (void)parse_user("--user", "me:hunter2"); }).find("hunter2"),
            std::string::npos);
}

TEST(resolve, is_a_host_a_port_and_an_address) {
  const auto parsed = [](std::string_view text) {
    const auto r = parse_resolve("--resolve", text);
    return r.host + "|" + std::to_string(r.port) + "|" + r.address.to_string();
  };
  EXPECT_EQ(parsed("Example.org:443:127.0.0.1"), "example.org|443|127.0.0.1");
  EXPECT_EQ(parsed("example.org:443:::1"), "example.org|443|::1");
  EXPECT_EQ(parsed("example.org:443:[::1]"), "example.org|443|::1");
  for (const char* text :
       {"", "example.org", "example.org:443", "example.org:443:", "example.org:0:127.0.0.1",
        "example.org:65536:127.0.0.1", "example.org:x:127.0.0.1", "example.org:443:nowhere",
        ":443:127.0.0.1", "example.org:443:[::1"}) {
    EXPECT_THROW((void)parse_resolve("--resolve", text), usage_error) << text;
  }
}

TEST(message, names_what_where_and_why) {
  try {
    (void)parse_duration("--timeout", "5x");
    FAIL();
  } catch (const usage_error& e) {
    EXPECT_STREQ(e.what(),
                 "--timeout 5x: not a duration: write 500ms, 5s, 1m or a number of seconds");
  }
}

}  // namespace
}  // namespace tool
