// `oneloop get`, and the scripts and pages that come with the program.
#include "tool.hpp"

namespace tool_test {
namespace {

std::string content_of(const std::string& path) {
  std::ifstream in{path, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

TEST_F(tool, get_prints_the_body) {
  const auto o = get({s.url("/moved")});
  EXPECT_EQ(o.status, 0);
  EXPECT_EQ(o.out, "fine\n");
  EXPECT_EQ(o.err, "");
  EXPECT_EQ(get({s.url("/big")}).out.size(), 3'000'000u);
  EXPECT_EQ(get({s.url("/needs-cookie")}).out, "welcome back\n");
  EXPECT_EQ(get({s.url("/needs-password"), "--user", "127.0.0.1=me:secret"}).status, 0);
}

TEST_F(tool, get_prints_the_head) {
  const auto with = get({"-i", s.url("/ok")});
  EXPECT_EQ(with.status, 0);
  EXPECT_THAT(with.out, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(with.out, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(with.out, EndsWith("\r\n\r\nfine\n"));
  const auto only = get({"-I", s.url("/ok")});
  EXPECT_THAT(only.out, EndsWith("\r\n\r\n"));
  EXPECT_EQ(s.count("HEAD /ok"), 1);
  const auto redirect = get({"-i", "--no-follow", s.url("/moved")});
  EXPECT_EQ(redirect.status, 0);
  EXPECT_THAT(redirect.out, StartsWith("HTTP/1.1 301 Moved Permanently\r\n"));
  EXPECT_THAT(redirect.out, HasSubstr("Location: /ok#here\r\n"));
}

TEST_F(tool, get_fails_on_a_bad_status_and_prints_the_body_all_the_same) {
  const raw_server server{
      [](const std::string&) { return "HTTP/1.0 404 Not Here\r\nContent-Length: 5\r\n\r\nsorry"; }};
  const auto o = get({"-i", server.url()});
  EXPECT_EQ(o.status, 1);
  EXPECT_EQ(o.out, "HTTP/1.0 404 Not Here\r\nContent-Length: 5\r\n\r\nsorry");
  EXPECT_EQ(o.err, "oneloop: " + server.url() + ": 404 Not Here\n");
}

TEST_F(tool, get_fails_on_everything_else) {
  const auto refused = get({s.refused()});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("Connection refused"));
  EXPECT_EQ(get({s.https("/ok")}).status, 1);
  EXPECT_EQ(get({"--insecure", s.https("/ok")}).status, 0);
  EXPECT_EQ(get({"--timeout", "100ms", s.url("/hang")}).status, 1);
  EXPECT_EQ(get({s.url("/loop")}).status, 1);
  EXPECT_EQ(get({"nonsense"}).status, 1);
  EXPECT_EQ(get({"-o", "-", s.url("/ok")}).out, get({s.url("/ok")}).out);
  for (const std::vector<std::string>& wrong : {std::vector<std::string>{},
                                                {"--frobnicate", s.url("/ok")},
                                                {s.url("/ok"), s.url("/ok")},
                                                {"--timeout", "soon", s.url("/ok")},
                                                {"-o", "", s.url("/ok")},
                                                {"-o", "/nonexistent/file", s.url("/ok")}}) {
    const auto o = get(wrong);
    EXPECT_EQ(o.status, 2);
    EXPECT_THAT(o.err, HasSubstr("see oneloop get --help"));
  }
}

TEST_F(tool, p05_get_fails_when_the_body_is_cut_off) {
  const raw_server server{
      [](const std::string&) { return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of"; }};
  const auto o = get({"--timeout", "300ms", server.url()});
  EXPECT_EQ(o.status, 1);
  EXPECT_EQ(o.out, "half of");
  EXPECT_THAT(o.err, StartsWith("oneloop: "));

  const raw_server closing{
      [](const std::string&) { return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of"; },
      true};
  const auto cut = get({closing.url()});
  EXPECT_EQ(cut.status, 1);
  EXPECT_EQ(cut.out, "half of");
  EXPECT_THAT(cut.err, HasSubstr("response from "));
}

TEST_F(tool, get_replaces_a_file_only_by_a_whole_body) {
  const temporary_file file{"old"};
  const std::string part = file.path() + ".part";
  EXPECT_EQ(get({"-o", file.path(), s.url("/none")}).status, 1);
  EXPECT_EQ(content_of(file.path()), "old");
  EXPECT_EQ(get({"-o", file.path(), s.refused()}).status, 1);
  EXPECT_EQ(content_of(file.path()), "old");
  EXPECT_FALSE(std::filesystem::exists(part));
  const auto o = get({"-o", file.path(), s.url("/ok")});
  EXPECT_EQ(o.status, 0);
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(content_of(file.path()), "fine\n");
  EXPECT_FALSE(std::filesystem::exists(part));

  const raw_server server{
      [](const std::string&) { return "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of"; }};
  const auto cut = get({"-o", file.path(), "--timeout", "200ms", server.url()});
  EXPECT_EQ(cut.status, 1);
  EXPECT_EQ(content_of(file.path()), "fine\n");
  EXPECT_EQ(content_of(part), "half of");
  EXPECT_THAT(cut.err, HasSubstr("what has come is in " + part));
  ::unlink(part.c_str());
  EXPECT_EQ(get({"-o", "/dev/null", s.url("/ok")}).status, 0);
}

/// With these redirections of the shell.
outcome with_streams(const std::string& redirections, std::vector<std::string> command) {
  command.insert(command.begin(), {"/bin/sh", "-c", R"(exec "$0" "$@" )" + redirections});
  return outcome_of(std::move(command));
}

TEST_F(tool, nothing_is_written_elsewhere_where_a_standard_stream_is_closed) {
  for (const std::string backend : {"epoll", "io_uring"}) {
    const temporary_file file{""};
    const auto o = with_streams(
        "0<&- 1>&- 2>&-",
        command_of("get", {"-v", "--backend", backend, "-o", file.path(), s.url("/ok")}));
    EXPECT_EQ(o.status, 0);
    EXPECT_EQ(content_of(file.path()), "fine\n");
    const auto checking =
        with_streams("1>&-", check_command({"-q", "--backend", backend, s.url("/ok")}));
    EXPECT_EQ(checking.status, 1);
    EXPECT_THAT(checking.err, HasSubstr("write standard output: "));
    EXPECT_EQ(with_streams("0<&-", check_command({"--from", "-"})).status, 2);
  }
}

TEST_F(tool, p12_a_password_in_a_bad_url_is_not_told) {
  const auto o = get({"http://u:secret@exa mple/"});
  EXPECT_EQ(o.status, 1);
  EXPECT_THAT(o.err, HasSubstr("bad URL \"exa mple/\": "));
  EXPECT_THAT(o.err, Not(HasSubstr("secret")));
}

TEST_F(tool, get_ends_quietly_when_the_reader_has_gone) {
  process p{command_of("get", {s.url("/big")})};
  ASSERT_TRUE(p.wait_for_output("xxx"));
  p.close_output();
  EXPECT_EQ(p.wait(), -SIGPIPE);
  EXPECT_EQ(p.err, "");
}

// ---- scripts and pages ----

/// What bash offers after these words.
std::string completed(const std::string& words) {
  const auto o = outcome_of({"/bin/bash", "-c",
                             "source <(\"$0\" completions bash)\n"
                             "COMP_WORDS=(" +
                                 words +
                                 ")\nCOMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n"
                                 "_oneloop\necho \"${COMPREPLY[@]}\"",
                             tool_path()});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_EQ(o.err, "");
  return o.out;
}

TEST_F(tool, bash_completes_commands_options_and_values) {
  EXPECT_EQ(completed("oneloop ch"), "check\n");
  EXPECT_EQ(completed("oneloop check --fo"), "--format\n");
  EXPECT_EQ(completed("oneloop check --format ''"), "text json ndjson\n");
  EXPECT_EQ(completed("oneloop check --format = nd"), "ndjson\n");
  EXPECT_EQ(completed("oneloop crawl --ext"), "--external\n");
  EXPECT_EQ(completed("oneloop crawl --external ''"), "check skip follow\n");
  EXPECT_EQ(completed("oneloop -- check --backend io"), "io_uring\n");
  EXPECT_EQ(completed("oneloop get --no-"), "--no-follow\n");
  EXPECT_EQ(completed("oneloop completions z"), "zsh\n");
  const temporary_file file{""};
  EXPECT_EQ(completed("oneloop check --cacert " + file.path()), file.path() + "\n");
}

TEST_F(tool, every_shell_gets_every_option) {
  const auto help = outcome_of({tool_path(), "check", "--help"}).out +
                    outcome_of({tool_path(), "crawl", "--help"}).out;
  std::vector<std::string> options;
  for (auto at = help.find("--"); at != help.npos; at = help.find("--", at + 2)) {
    const auto end = help.find_first_not_of("abcdefghijklmnopqrstuvwxyz-", at);
    options.push_back(help.substr(at + 2, end - at - 2));
  }
  EXPECT_GT(options.size(), 80u);
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto o = outcome_of({tool_path(), "completions", shell});
    EXPECT_EQ(o.status, 0);
    for (const auto& name : options) EXPECT_THAT(o.out, HasSubstr(name)) << shell;
  }
  const auto page = outcome_of({tool_path(), "man"});
  EXPECT_EQ(page.status, 0);
  for (auto name : options) {
    for (auto at = name.find('-'); at != name.npos; at = name.find('-', at + 2)) {
      name.insert(at, "\\");
    }
    EXPECT_THAT(page.out, HasSubstr(name));
  }
  EXPECT_EQ(outcome_of({tool_path(), "completions", "tcsh"}).status, 2);
}

TEST_F(tool, shells_that_are_here_take_their_script) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const auto o = outcome_of({"/bin/sh", "-c",
                               "command -v $1 >/dev/null || exit 0; "
                               "\"$0\" completions $1 >\"$2\" && $1 -n \"$2\"",
                               tool_path(), shell, testing::TempDir() + "oneloop-" + shell});
    EXPECT_EQ(o.status, 0) << shell << o.err;
    EXPECT_EQ(o.err, "");
  }
}

TEST_F(tool, groff_has_nothing_to_say_about_the_manual_page) {
  const auto o = outcome_of({"/bin/sh", "-c",
                             "command -v groff >/dev/null || exit 77; "
                             "\"$0\" man | groff -man -Tascii -ww -z",
                             tool_path()});
  if (o.status == 77) GTEST_SKIP() << "groff is not installed";
  EXPECT_EQ(o.status, 0);
  EXPECT_EQ(o.err, "");
}

}  // namespace
}  // namespace tool_test
