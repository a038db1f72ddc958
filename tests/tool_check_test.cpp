// `oneloop check` from outside: its options, one by one.
#include <atomic>
#include <nlohmann/json.hpp>

#include "tool.hpp"

namespace tool_test {
namespace {

using nlohmann::json;

/// One URL's result, by `check --format ndjson`.
json result_of(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), {"--format", "ndjson"});
  const auto o = check(std::move(arguments));
  const auto lines = lines_of(o.out);
  EXPECT_EQ(lines.size(), 1u) << o.out << o.err;
  return lines.empty() ? json{} : json::parse(lines.front());
}

std::vector<std::string> backends() {
  std::vector<std::string> names;
  for (const char* name : {"epoll", "io_uring"}) {
    if (oneloop::available_backends().find(name) != std::string::npos) names.emplace_back(name);
  }
  return names;
}

// ---- retries ----

TEST_F(tool, p16_what_may_pass_is_tried_again) {
  for (const auto& backend : backends()) {
    const site fresh;
    const auto r = result_of(
        {fresh.url("/flaky"), "--retry-delay", "1ms", "--method", "head", "--backend", backend});
    EXPECT_EQ(r["ok"], true) << r;
    EXPECT_EQ(r["attempts"], 2);
  }
  const auto gone = result_of({s.url("/none"), "--retry-delay", "1ms"});
  EXPECT_EQ(gone["attempts"], 1);
  const auto error = result_of({s.url("/500"), "--retry-delay", "1ms", "--retries", "3"});
  EXPECT_EQ(error["attempts"], 4);
  EXPECT_EQ(s.count("HEAD /500"), 4);
  const auto refused = result_of({s.refused(), "--retry-delay", "1ms"});
  EXPECT_EQ(refused["attempts"], 1);
}

TEST_F(tool, p16_a_server_that_asks_for_hours_is_not_waited_for) {
  const auto o = check({s.url("/busy")});
  EXPECT_THAT(o.out, HasSubstr(" Bad: 429 Too Many Requests, to be asked again in 7200 s: longer"));
}

TEST_F(tool, p05_connections_that_break_are_tried_again) {
  std::atomic<int> asked{0};
  const raw_server server{[&](const std::string&) -> std::string {
    if (++asked <= 2) return {};
    return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  }};
  const auto r = result_of({server.url(), "--retry-delay", "1ms", "--method", "get"});
  EXPECT_EQ(r["ok"], true) << r;
  EXPECT_EQ(r["attempts"], 3);
}

TEST_F(tool, ctrl_c_reports_pending_retries_with_their_last_verdict) {
  process p{check_command({s.url("/500"), s.url("/ok"), "--retry-delay", "1h"})};
  ASSERT_TRUE(p.wait_for_output(" OK\n"));
  while (s.count("GET /500") == 0) std::this_thread::sleep_for(5ms);
  std::this_thread::sleep_for(50ms);
  const auto begun = clock_type::now();
  p.signal(SIGINT);
  EXPECT_EQ(p.wait(), 130);
  EXPECT_LT(clock_type::now() - begun, 1s);
  EXPECT_THAT(lines_of(p.out),
              UnorderedElementsAre(s.url("/ok") + " OK",
                                   s.url("/500") + " Bad: 500 Internal Server Error"));
}

// ---- methods and statuses ----

TEST_F(tool, p17_asks_by_get_where_head_fails) {
  EXPECT_EQ(check({s.url("/get-only")}).status, 0);
  EXPECT_EQ(s.count("HEAD /get-only"), 1);
  EXPECT_EQ(s.count("GET /get-only"), 1);
  EXPECT_EQ(check({s.url("/get-only"), "--method", "head"}).status, 1);
  EXPECT_EQ(s.count("GET /get-only"), 1);
  EXPECT_EQ(result_of({s.url("/big"), "--method", "get"})["bytes"], 3'000'000);
}

TEST_F(tool, accepts_the_statuses_that_it_is_told_to) {
  EXPECT_EQ(check({s.url("/304")}).status, 1);
  EXPECT_EQ(check({s.url("/304"), "--accept", "200..299,304"}).status, 0);
  EXPECT_EQ(check({s.url("/ok"), "--accept", "404"}).status, 1);
  EXPECT_EQ(check({s.url("/none"), "--accept", "404"}).status, 0);
}

TEST_F(tool, tells_the_redirects) {
  const auto r = result_of({s.url("/moved")});
  EXPECT_EQ(r["redirects"],
            json::array({{{"status", 301}, {"from", s.url("/moved")}, {"to", s.url("/ok#here")}}}));
  EXPECT_EQ(result_of({s.url("/moved"), "--redirects", "0"})["error"]["kind"], "redirect");
  EXPECT_EQ(result_of({s.url("/ok")})["redirects"], json::array());
}

// ---- what is sent ----

TEST_F(tool, p18_cookies_go_along_redirects) {
  for (const auto& backend : backends()) {
    EXPECT_EQ(check({s.url("/needs-cookie"), "--backend", backend}).status, 0);
  }
}

TEST_F(tool, p11_header_fields_are_for_all_hosts_or_for_one) {
  EXPECT_EQ(check({s.url("/needs-key"), "-H", "X-Key: 1"}).status, 0);
  EXPECT_EQ(check({s.url("/needs-key"), "-H", "127.0.0.1: X-Key: 1"}).status, 0);
  EXPECT_EQ(check({s.url("/needs-key"), "-H", "localhost: X-Key: 1"}).status, 1);
  EXPECT_EQ(check({s.url("/needs-key"), "-H", "example.org: X-Key: 1"}).status, 1);
  // Across a redirect to another host.
  EXPECT_THAT(get({s.url("/elsewhere"), "-H", "X-Key: 1"}).out, Not(HasSubstr("X-Key")));
  EXPECT_THAT(get({s.url("/elsewhere"), "-H", "localhost: X-Key: 1"}).out, HasSubstr("X-Key: 1"));
  EXPECT_THAT(get({s.url("/echo"), "-A", "me/1.0"}).out, HasSubstr("User-Agent: me/1.0\n"));
}

TEST_F(tool, p12_passwords_belong_to_a_host) {
  EXPECT_EQ(check({s.url("/needs-password")}).status, 1);
  EXPECT_EQ(check({s.url("/needs-password"), "--user", "127.0.0.1=me:secret"}).status, 0);
  EXPECT_EQ(check({s.url("/needs-password"), "--user", "localhost=me:secret"}).status, 1);
}

TEST_F(tool, cookies_come_from_a_file) {
  const temporary_file cookies{"127.0.0.1\tFALSE\t/\tFALSE\t0\tseen\tyes\n"};
  const auto without = result_of({s.url("/needs-cookie")});
  EXPECT_EQ(without["redirects"].size(), 1u) << without;
  for (const char* model : {"async", "threads", "processes"}) {
    const auto r =
        result_of({s.url("/needs-cookie"), "--cookies", cookies.path(), "--model", model});
    EXPECT_EQ(r["ok"], true) << r;
    EXPECT_EQ(r["redirects"].size(), 0u) << r;
  }
  const temporary_file no_jar{"not a cookie\n"};
  const auto o = check({s.url("/ok"), "--cookies", no_jar.path()});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("--cookies " + no_jar.path() + ": "));
  EXPECT_EQ(get({s.url("/needs-cookie"), "--cookies", cookies.path()}).out, "welcome back\n");
}

// ---- where it goes ----

TEST_F(tool, resolves_names_as_it_is_told) {
  const auto port = std::to_string(s.port());
  EXPECT_EQ(check({"http://nowhere.example:" + port + "/ok", "--resolve",
                   "nowhere.example:" + port + ":127.0.0.1"})
                .status,
            0);
  const auto secure = std::to_string(s.secure_port());
  const temporary_file ca{s.ca()};
  const auto o = check({"https://nowhere.example:" + secure + "/ok", "--resolve",
                        "nowhere.example:" + secure + ":[127.0.0.1]", "--cacert", ca.path()});
  EXPECT_THAT(o.out, ContainsRegex("Bad: .*nowhere.example"));  // the certificate is for others
}

TEST_F(tool, p31_private_addresses_are_excluded_when_asked_for) {
  for (const std::string& url :
       {s.url("/ok"), "http://localhost:" + std::to_string(s.port()) + "/ok",
        std::string{"http://[::ffff:127.0.0.1]/"}, std::string{"http://0x7f.1/"}}) {
    EXPECT_EQ(result_of({url, "--exclude-private"})["error"]["kind"], "forbidden") << url;
  }
}

TEST_F(tool, p28_goes_through_a_proxy) {
  std::atomic<int> asked{0};
  const raw_server proxy{[&](const std::string& request) -> std::string {
    ++asked;
    return request.find("HEAD http://nowhere.example/ HTTP/1.1\r\n") == 0
               ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
               : "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
  }};
  const std::string url = "http://nowhere.example/";
  EXPECT_EQ(check({url, "--proxy", proxy.url()}).status, 0);
  ::setenv("http_proxy", proxy.url().c_str(), 1);
  EXPECT_EQ(check({url}).status, 0);
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(check({s.url("/ok"), "--proxy", ""}).status, 0);
  EXPECT_EQ(check({s.url("/ok"), "--proxy", "none"}).status, 0);
  EXPECT_EQ(asked, 2);
  ::setenv("http_proxy", "ftp://x/", 1);
  EXPECT_EQ(check({url}).status, 2);
  ::unsetenv("http_proxy");
}

TEST_F(tool, p27_shows_its_certificate) {
  const temporary_file ca{s.ca()};
  const auto id = s.identity();
  const temporary_file certificate{id.certificate}, key{id.key}, both{id.certificate + id.key};
  EXPECT_EQ(check({s.mutual("/ok"), "--cacert", ca.path(), "--retries", "0"}).status, 1);
  EXPECT_EQ(check({s.mutual("/ok"), "--cacert", ca.path(), "--cert", certificate.path(), "--key",
                   key.path()})
                .status,
            0);
  EXPECT_EQ(check({s.mutual("/ok"), "--cacert", ca.path(), "--cert", both.path()}).status, 0);
}

TEST_F(tool, p27_insecure_tells_what_is_wrong_with_v) {
  const auto o = check({"--insecure", "-v", s.https("/ok")});
  EXPECT_EQ(o.status, 0);
  EXPECT_THAT(o.err, ContainsRegex("warning: .*certificate"));
  EXPECT_EQ(o.out, s.https("/ok") + " OK\n");
}

// ---- what is said ----

TEST_F(tool, ndjson_is_a_result_a_line_as_soon_as_it_is_there) {
  process p{check_command({"--format", "ndjson", "--from", "-"})};
  p.write(s.url("/ok") + "\n");
  ASSERT_TRUE(p.wait_for_output("}\n"));
  EXPECT_EQ(json::parse(p.out)["status"], 200);
  p.write(s.url("/none") + "\n");
  EXPECT_EQ(p.wait(), 1);
  const auto lines = lines_of(p.out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(json::parse(lines[1])["error"]["message"], "404 Not Found");
  EXPECT_THAT(p.err, ContainsRegex("^oneloop: 2 URLs, 1 OK, 1 Bad in "));
}

TEST_F(tool, quiet_says_verdicts_only) {
  const auto o = check({"-q", "--insecure", s.https("/ok"), s.url("/none")});
  EXPECT_EQ(o.status, 1);
  EXPECT_EQ(o.err, "");
  EXPECT_EQ(lines_of(o.out).size(), 2u);
}

TEST_F(tool, verbose_tells_more_on_standard_error) {
  const auto o = check({"-v", s.url("/moved")});
  EXPECT_EQ(o.out, s.url("/moved") + " OK\n");
  EXPECT_THAT(o.err, HasSubstr("oneloop: " + s.url("/moved") + ": 200 in "));
  EXPECT_THAT(o.err, HasSubstr("oneloop:   301 to " + s.url("/ok#here") + "\n"));
}

TEST_F(tool, wrong_options_are_exit_status_2) {
  const temporary_file empty{""};
  const auto id = s.identity(), other = s.identity();
  const temporary_file certificate{id.certificate}, other_key{other.key};
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--per-host", "0"}, "--per-host 0: must be a whole number from 1 to 65535"},
      {{"--retries", "11"}, "--retries 11: must be a whole number from 0 to 10"},
      {{"--redirects", "-1"}, "--redirects"},
      {{"--redirects", "101"}, "--redirects 101: must be a whole number from 0 to 100"},
      {{"--connect-timeout", "x"}, "--connect-timeout x: not a duration"},
      {{"--accept", "2xx"}, "--accept 2xx: \"2xx\" is not a status"},
      {{"-H", "nonsense"}, "-H nonsense: not a header field"},
      {{"--user", "me:secret"}, "--user"},
      {{"--resolve", "example.org:80"}, "--resolve example.org:80: write HOST:PORT:ADDRESS"},
      {{"--proxy", "ftp://proxy/"}, "--proxy"},
      {{"--cert", "/nonexistent.pem"}, "--cert /nonexistent.pem: No such file"},
      {{"--cacert", ""}, "the name of the file is empty"},
      {{"--cert", empty.path()}, "--cert " + empty.path()},
      {{"--cert", certificate.path(), "--key", other_key.path()}, "--cert " + certificate.path()},
      {{"--key", other_key.path()}, "name it with --cert"},
      {{"-q", "-v"}, "-q and -v"},
  };
  for (auto [arguments, message] : cases) {
    arguments.emplace_back("http://a/");
    const auto o = check(arguments);
    EXPECT_EQ(o.status, 2) << message;
    EXPECT_EQ(o.out, "") << message;
    EXPECT_THAT(o.err, HasSubstr(message));
  }
  EXPECT_THAT(check({"--user", "me:hunter2", "http://a/"}).err, Not(HasSubstr("hunter2")));
}

// ---- a server that does everything wrong ----

TEST_F(tool, ctrl_c_ends_the_reading_of_a_file_without_lines) {
  const temporary_file file{s.url("/ok") + "\n"};
  std::filesystem::resize_file(file.path(), std::uintmax_t{1} << 40);  // takes no room
  process p{check_command({"--from", file.path()})};
  ASSERT_TRUE(p.wait_for_output("/ok OK\n")) << "the loop goes on beside the reading";
  const auto asked = clock_type::now();
  p.signal(SIGINT);
  EXPECT_EQ(p.wait(), 130);
  EXPECT_LT(clock_type::now() - asked, 3s);
  EXPECT_THAT(p.err, HasSubstr("the rest of the lines was not read"));
}

TEST_F(tool, every_line_gets_its_verdict_whatever_the_server_does) {
  std::atomic<unsigned> asked{0};
  const raw_server server{[&](const std::string&) -> std::string {
    switch (++asked % 40) {
      case 0:
      case 6:
      case 7:
      case 8: return {};
      case 1: return "\x16\x03\x01 no HTTP at all\r\n\r\n";
      case 2: return "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort";
      case 3: return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
      case 4: return "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
      case 5:
        return "HTTP/1.1 200 OK\r\n\x07"
               "Content-Length: 0\r\n\r\n";
      default: return "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    }
  }};
  std::string input;
  for (int i = 0; i < 5000; ++i) input += server.url("/" + std::to_string(i)) + "\n";
  const temporary_file file{input};
  for (const auto& backend : backends()) {
    const auto o = check({"--from", file.path(), "--timeout", "2s", "--retry-delay", "10ms",
                          "--per-host", "64", "--backend", backend});
    EXPECT_THAT(o.status, testing::AnyOf(0, 1));
    auto lines = lines_of(o.out);
    EXPECT_EQ(lines.size(), 5000u);
    for (auto& line : lines) line.resize(line.find(' '));
    std::sort(lines.begin(), lines.end());
    EXPECT_EQ(std::unique(lines.begin(), lines.end()), lines.end());
  }
}

}  // namespace
}  // namespace tool_test
