// The real program, from outside: what it prints, how it ends, what signals do to it.
#include "tool.hpp"

#include <map>
#include <nlohmann/json.hpp>

namespace tool_test {
namespace {

using nlohmann::json;

// ---- text ----

TEST_F(tool, everything_ok_is_exit_status_0) {
  const auto o = check({s.url("/ok"), s.url("/moved")});
  EXPECT_EQ(o.status, 0);
  EXPECT_THAT(lines_of(o.out), UnorderedElementsAre(s.url("/ok") + " OK", s.url("/moved") + " OK"));
  EXPECT_THAT(o.err, ContainsRegex("^oneloop: 2 URLs, 2 OK, 0 Bad in [0-9.]+ s\n$"));
}

TEST_F(tool, something_bad_is_exit_status_1_and_says_why) {
  const auto closed = s.refused();
  const auto o =
      check({s.url("/ok"), s.url("/none"), s.url("/500"), closed, "nonsense", "--retries", "0"});
  EXPECT_EQ(o.status, 1);
  EXPECT_THAT(
      lines_of(o.out),
      UnorderedElementsAre(s.url("/ok") + " OK", s.url("/none") + " Bad: 404 Not Found",
                           s.url("/500") + " Bad: 500 Internal Server Error",
                           closed + " Bad: connect " + closed.substr(7) + ": Connection refused",
                           "nonsense Bad: the URL has no scheme and there is no base"));
}

TEST_F(tool, every_method_works) {
  for (const char* method : {"auto", "head", "get"}) {
    EXPECT_EQ(check({"--method", method, s.url("/ok")}).status, 0) << method;
  }
}

TEST_F(tool, every_backend_works) {
  std::string backends = "auto " + oneloop::available_backends();
  for (const char* name : {"auto", "epoll", "io_uring"}) {
    if (backends.find(name) == backends.npos) continue;
    const auto o = check({"--backend", name, s.url("/ok"), s.url("/slow"), s.https("/ok")});
    EXPECT_EQ(o.status, 1) << name;  // nobody trusts the certificate
    EXPECT_THAT(o.out, HasSubstr(s.url("/slow") + " OK\n"));
  }
}

TEST_F(tool, a_timeout_is_a_verdict) {
  const auto begun = clock_type::now();
  const auto o = check({"--timeout", "200ms", "--retries", "0", s.url("/hang")});
  EXPECT_EQ(o.status, 1);
  EXPECT_THAT(o.out, StartsWith(s.url("/hang") + " Bad: "));
  EXPECT_LT(clock_type::now() - begun, 3s);
}

TEST_F(tool, trusts_the_authorities_of_cacert_only) {
  const temporary_file ca{s.ca()};
  EXPECT_EQ(check({"--cacert", ca.path(), s.https("/ok")}).status, 0);
  const auto o = check({s.https("/ok")});
  EXPECT_EQ(o.status, 1);
  EXPECT_THAT(o.out, ContainsRegex(" Bad: .*certificate"));
}

TEST_F(tool, insecure_is_said_aloud) {
  const auto o = check({"--insecure", s.https("/ok")});
  EXPECT_EQ(o.status, 0);
  EXPECT_THAT(o.err, HasSubstr("warning: --insecure"));
}

// ---- inputs ----

TEST_F(tool, reads_urls_from_files_and_standard_input) {
  const temporary_file file{"\xEF\xBB\xBF" + s.url("/ok?file") + "\n"};
  const auto o =
      check({s.url("/ok?first"), "--from", file.path(), "--from", "-"},
            "# a comment\r\n\r\n  \t\n" + s.url("/ok?1") + "\r\n  # another\n" + s.url("/ok?2"));
  EXPECT_EQ(o.status, 0);
  EXPECT_THAT(lines_of(o.out),
              UnorderedElementsAre(s.url("/ok?first") + " OK", s.url("/ok?file") + " OK",
                                   s.url("/ok?1") + " OK", s.url("/ok?2") + " OK"));
}

TEST_F(tool, equal_lines_get_a_verdict_each) {
  std::string input;
  for (int i = 0; i < 100; ++i) input += s.url("/ok") + "\n";
  const auto o = check({"--from", "-"}, input);
  EXPECT_EQ(o.status, 0);
  EXPECT_EQ(lines_of(o.out).size(), 100u);
}

TEST_F(tool, answers_before_its_input_ends) {
  process p{check_command({"--from", "-"})};
  p.write(s.url("/ok?1") + "\n");
  EXPECT_TRUE(p.wait_for_output(s.url("/ok?1") + " OK\n"));
  p.write(s.url("/ok?2") + "\n");
  EXPECT_TRUE(p.wait_for_output(s.url("/ok?2") + " OK\n"));
  EXPECT_EQ(p.wait(), 0);
}

TEST_F(tool, a_line_that_is_too_long_is_a_bad_url) {
  const auto o = check({"--from", "-", "--format", "json"},
                       s.url("/") + std::string(300'000, 'x') + "\n" + s.url("/ok") + "\n");
  EXPECT_EQ(o.status, 1);
  const auto j = json::parse(o.out);
  ASSERT_EQ(j["results"].size(), 2u);
  EXPECT_EQ(j["summary"]["by_kind"]["bad_url"], 1);
  EXPECT_EQ(j["summary"]["ok"], 1);
}

TEST_F(tool, many_lines_stream_through) {
  std::string input;
  for (int i = 0; i < 5000; ++i) input += s.url("/ok?" + std::to_string(i)) + "\n";
  const temporary_file file{input};
  const auto o = check({"--from", file.path(), "-c", "200"});
  EXPECT_EQ(o.status, 0);
  auto lines = lines_of(o.out);
  EXPECT_EQ(lines.size(), 5000u);
  std::sort(lines.begin(), lines.end());
  EXPECT_EQ(std::unique(lines.begin(), lines.end()), lines.end());
}

TEST_F(tool, keeps_below_the_limit_of_open_files) {
  std::string input;
  for (int i = 0; i < 600; ++i) input += s.url(i % 2 == 0 ? "/slow" : "/ok") + "\n";
  const temporary_file file{input};
  process p{{"/bin/sh", "-c", "ulimit -n 200; exec \"$0\" \"$@\"", tool_path(), "check", "-c",
             "2000", "--from", file.path()}};
  EXPECT_EQ(p.wait(), 0);
  EXPECT_EQ(lines_of(p.out).size(), 600u);
  EXPECT_THAT(p.err, HasSubstr("note: only "));
}

TEST_F(tool, waits_for_a_descriptor_when_kept_connections_hold_them_all) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "the sanitizers' runtime makes a pipe to look at an object, and there is none left";
#endif
  std::vector<std::string> command{
      "/bin/sh", "-c", "ulimit -n 90; exec \"$0\" \"$@\"", tool_path(), "check", "-c", "4"};
  const site many{120};
  for (auto& url : many.urls_of_more("/ok")) command.push_back(std::move(url));
  process p{command};
  EXPECT_EQ(p.wait(), 0) << p.err;
  EXPECT_EQ(lines_of(p.out).size(), 120u);
}

// ---- JSON ----

TEST_F(tool, writes_one_json_document) {
  const auto o = check({"--format", "json", s.url("/ok"), s.url("/moved"), s.url("/none"),
                        s.url("/loop"), s.refused(), "mailto:a@b", s.https("/ok")});
  EXPECT_EQ(o.status, 1);
  const auto j = json::parse(o.out);
  std::map<std::string, json> by_url;
  for (const auto& r : j["results"]) by_url[r["url"]] = r;
  ASSERT_EQ(by_url.size(), 7u);

  const auto& ok = by_url[s.url("/ok")];
  EXPECT_EQ(ok["ok"], true);
  EXPECT_EQ(ok["status"], 200);
  EXPECT_EQ(ok["final_url"], s.url("/ok"));
  EXPECT_TRUE(ok["error"].is_null());
  EXPECT_TRUE(ok["bytes"].is_number_unsigned());
  for (const char* phase : {"dns", "connect", "tls", "first_byte", "total"}) {
    EXPECT_TRUE(ok["time_ms"][phase].is_number()) << phase;
  }
  EXPECT_GT(ok["time_ms"]["total"].get<double>(), 0);

  EXPECT_EQ(by_url[s.url("/moved")]["final_url"], s.url("/ok#here"));
  EXPECT_EQ(by_url[s.url("/none")]["error"]["kind"], "status");
  EXPECT_EQ(by_url[s.url("/none")]["error"]["message"], "404 Not Found");
  EXPECT_EQ(by_url[s.url("/none")]["status"], 404);
  EXPECT_EQ(by_url[s.url("/loop")]["error"]["kind"], "redirect");
  EXPECT_EQ(by_url[s.refused()]["error"]["kind"], "refused");
  EXPECT_TRUE(by_url[s.refused()]["status"].is_null());
  EXPECT_EQ(by_url["mailto:a@b"]["error"]["kind"], "bad_url");
  EXPECT_EQ(by_url[s.https("/ok")]["error"]["kind"], "tls");

  const auto& summary = j["summary"];
  EXPECT_EQ(summary["total"], 7);
  EXPECT_EQ(summary["ok"], 2);
  EXPECT_EQ(summary["bad"], 5);
  std::vector<std::string> kinds;
  for (const auto& [kind, count] : summary["by_kind"].items()) kinds.push_back(kind);
  EXPECT_THAT(kinds, UnorderedElementsAre("bad_url", "dns", "refused", "unreachable", "reset",
                                          "tls", "timeout", "protocol", "redirect", "too_large",
                                          "status", "proxy", "forbidden", "cancelled"));
  EXPECT_EQ(summary["by_kind"]["tls"], 1);
  EXPECT_TRUE(summary["seconds"].is_number());
}

TEST_F(tool, json_is_valid_whatever_bytes_come_in) {
  const auto o = check({"--format", "json", "--from", "-"},
                       "http://\xff\xfe/\n\x80\x81\n" + s.url("/ok?\xc3\x28") + "\n\"quoted\\\n");
  const auto j = json::parse(o.out);
  EXPECT_EQ(j["results"].size(), 4u);
}

// ---- wrong usage ----

TEST_F(tool, wrong_usage_is_exit_status_2_and_says_what) {
  const temporary_file empty{"# nothing\n\n"};
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{}, "no URL given"},
      {{"--from", empty.path()}, "no URL"},
      {{"--from", "/nonexistent/urls"}, "--from /nonexistent/urls: No such file or directory"},
      {{"--from", "/"}, "--from /: Is a directory"},
      {{"-c", "0", "http://a/"}, "--concurrency 0: must be a whole number from 1 to 65535"},
      {{"-c", "65536", "http://a/"}, "--concurrency 65536"},
      {{"-c", "many", "http://a/"}, "--concurrency many"},
      {{"--timeout", "soon", "http://a/"}, "--timeout soon: not a duration"},
      {{"--timeout", "0", "http://a/"}, "--timeout 0: must be from 1ms to 24h"},
      {{"--timeout", "-1s", "http://a/"}, "--timeout"},
      {{"--method", "put", "http://a/"}, "--method put: must be auto, head or get"},
      {{"--format", "xml", "http://a/"}, "--format xml: must be text, json or ndjson"},
      {{"--backend", "kqueue", "http://a/"}, "--backend kqueue: must be auto, epoll or io_uring"},
      {{"--cacert", "/nonexistent.pem", "http://a/"}, "--cacert /nonexistent.pem: No such file"},
      {{"--cacert", empty.path(), "http://a/"}, empty.path()},
      {{"--frobnicate", "http://a/"}, "--frobnicate"},
  };
  for (const auto& [arguments, message] : cases) {
    const auto o = check(arguments);
    EXPECT_EQ(o.status, 2) << message;
    EXPECT_EQ(o.out, "") << message;
    EXPECT_THAT(o.err, HasSubstr(message));
  }
}

TEST_F(tool, help_and_version_are_exit_status_0) {
  for (const char* word : {"--help", "--version"}) {
    process p{{tool_path(), word}};
    EXPECT_EQ(p.wait(), 0);
    EXPECT_THAT(p.out, HasSubstr("oneloop"));
    EXPECT_EQ(p.err, "");
  }
  const auto o = check({"--help"});
  EXPECT_EQ(o.status, 0);
  EXPECT_THAT(o.out, HasSubstr("Examples:"));
  process nothing{{tool_path()}};
  EXPECT_EQ(nothing.wait(), 2);
  process unknown{{tool_path(), "frobnicate"}};
  EXPECT_EQ(unknown.wait(), 2);
  EXPECT_THAT(unknown.err, HasSubstr("frobnicate"));
}

// ---- signals and streams ----

TEST_F(tool, ctrl_c_reports_what_is_done_and_what_is_not) {
  for (const auto& [signal, status] : {std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}}) {
    process p{check_command(
        {s.url("/ok"), s.url("/hang"), s.url("/hang"), "-c", "2", s.url("/hang?not-begun")})};
    ASSERT_TRUE(p.wait_for_output(" OK\n"));
    const auto begun = clock_type::now();
    p.signal(signal);
    EXPECT_EQ(p.wait(), status);
    EXPECT_LT(clock_type::now() - begun, 1s);
    EXPECT_THAT(lines_of(p.out),
                UnorderedElementsAre(s.url("/ok") + " OK", s.url("/hang") + " Bad: cancelled",
                                     s.url("/hang") + " Bad: cancelled",
                                     s.url("/hang?not-begun") + " Bad: cancelled"));
  }
}

TEST_F(tool, ctrl_c_leaves_valid_json_with_every_line_of_the_file) {
  std::string input = s.url("/ok") + "\n";
  for (int i = 0; i < 1000; ++i) input += s.url("/hang") + "\n";
  const temporary_file file{input};
  process p{check_command({"--format", "json", "--from", file.path(), "-c", "100"})};
  ASSERT_TRUE(p.wait_for_output("\"ok\":true"));
  const auto begun = clock_type::now();
  p.signal(SIGINT);
  EXPECT_EQ(p.wait(), 130);
  EXPECT_LT(clock_type::now() - begun, 1500ms);
  const auto j = json::parse(p.out);
  EXPECT_EQ(j["results"].size(), 1001u);
  EXPECT_EQ(j["summary"]["by_kind"]["cancelled"], 1000);
  EXPECT_EQ(j["summary"]["ok"], 1);
}

TEST_F(tool, ctrl_c_ends_the_wait_for_input) {
  process p{check_command({"--from", "-"})};
  p.write(s.url("/ok") + "\n");
  ASSERT_TRUE(p.wait_for_output(" OK\n"));
  const auto begun = clock_type::now();
  p.signal(SIGINT);
  std::this_thread::sleep_for(300ms);  // its input stays open meanwhile
  EXPECT_EQ(p.wait(), 130);
  EXPECT_LT(clock_type::now() - begun, 1s);
}

TEST_F(tool, ctrl_c_ends_it_although_nobody_reads_its_output) {
  std::string input;
  for (int i = 0; i < 20'000; ++i) input += s.url("/ok?" + std::to_string(i)) + "\n";
  const temporary_file file{input};
  process p{check_command({"--from", file.path()})};
  std::this_thread::sleep_for(500ms);
  const auto begun = clock_type::now();
  p.signal(SIGINT);
  EXPECT_EQ(p.wait(false), 130);
  EXPECT_LT(clock_type::now() - begun, 1500ms);
}

TEST_F(tool, a_second_ctrl_c_ends_it_at_once) {
  std::string input;
  for (int i = 0; i < 20'000; ++i) input += s.url("/ok?" + std::to_string(i)) + "\n";
  const temporary_file file{input};
  process p{check_command({"--from", file.path()})};
  std::this_thread::sleep_for(500ms);
  p.signal(SIGINT);
  std::this_thread::sleep_for(100ms);
  const auto begun = clock_type::now();
  p.signal(SIGINT);
  EXPECT_THAT(p.wait(false), testing::AnyOf(130, -SIGINT));
  EXPECT_LT(clock_type::now() - begun, 300ms);
}

TEST_F(tool, ends_quietly_when_the_reader_has_gone) {
  std::string input;
  for (int i = 0; i < 20'000; ++i) input += s.url("/ok?" + std::to_string(i)) + "\n";
  const temporary_file file{input};
  process p{check_command({"--from", file.path()})};
  ASSERT_TRUE(p.wait_for_output(" OK\n"));
  p.close_output();
  EXPECT_EQ(p.wait(), -SIGPIPE);
  EXPECT_EQ(p.err, "");
}

TEST_F(tool, a_full_disk_is_an_error) {
  process p{{"/bin/sh", "-c", "exec \"$0\" \"$@\" >/dev/full", tool_path(), "check", s.url("/ok")}};
  EXPECT_EQ(p.wait(), 1);
  EXPECT_THAT(p.err, HasSubstr("write standard output: No space left on device"));
}

TEST_F(tool, shows_its_progress_on_a_terminal_only) {
  const auto plain = check({s.url("/ok"), s.url("/slow")});
  EXPECT_THAT(plain.err, Not(HasSubstr("\r")));

  const descriptor master{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  ASSERT_GE(master.get(), 0);
  ASSERT_EQ(::grantpt(master.get()), 0);
  ASSERT_EQ(::unlockpt(master.get()), 0);
  const descriptor terminal{::open(::ptsname(master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  ASSERT_GE(terminal.get(), 0);
  const winsize size{25, 100, 0, 0};
  ::ioctl(master.get(), TIOCSWINSZ, &size);
  std::vector<std::string> command{"/usr/bin/env", "TERM=xterm", tool_path(), "check",
                                   "--timeout",    "500ms",      "--retries", "0"};
  for (int i = 0; i < 3; ++i) command.push_back(s.url("/hang"));
  process p{command, terminal.get()};
  EXPECT_EQ(p.wait(), 1);
  ::fcntl(master.get(), F_SETFL, O_NONBLOCK);
  std::string shown(65536, '\0');
  const ssize_t n = ::read(master.get(), shown.data(), shown.size());
  shown.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  EXPECT_THAT(shown, HasSubstr("0/3 done, 0 bad, 0/s, 3 in flight"));
  EXPECT_THAT(shown, ContainsRegex("\r\033\\[Koneloop: 3 URLs, 0 OK, 3 Bad in "));
}

// ---- the demo ----

TEST_F(tool, the_demo_finds_every_verdict_right) {
  process p{{tool_path(), "demo"}};
  EXPECT_EQ(p.wait(true, 100s), 0) << p.out << p.err;
  EXPECT_THAT(p.out, ContainsRegex("One at a time .*URLs.*\nAll at once .*URLs"));
  EXPECT_THAT(p.out, ContainsRegex("\nsequential +[0-9].*\nthreads .*\nprocesses "));
}

}  // namespace
}  // namespace tool_test
