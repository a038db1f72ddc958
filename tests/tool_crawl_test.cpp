// `oneloop crawl` from outside: its options, one by one, against sites and files of the test.
#include <nlohmann/json.hpp>

#include "pages.hpp"
#include "tool.hpp"

namespace tool_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::IsEmpty;
using testing::UnorderedElementsAreArray;

/// Runs it with the delays of retries cut short.
outcome crawl(std::vector<std::string> arguments, std::string_view input = {}) {
  arguments.insert(arguments.begin(), {"--retry-delay", "1ms"});
  return outcome_of(command_of("crawl", std::move(arguments)), input);
}

/// A directory that is gone after the test, and the files in it.
class folder {
 public:
  explicit folder(const std::map<std::string, std::string>& files = {}) {
    std::string name = testing::TempDir() + "oneloop-crawl-XXXXXX";
    path_ = ::mkdtemp(name.data());
    for (const auto& [file, text] : files) write(file, text);
  }
  ~folder() { fs::remove_all(path_); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path_ / file).parent_path());
    std::ofstream{path_ / file} << text;
  }
  [[nodiscard]] std::string read(const std::string& file) const {
    std::ifstream in{path_ / file};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  [[nodiscard]] std::string operator/(const std::string& file) const {
    return (path_ / file).string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::set<std::string> names() const {
    std::set<std::string> all;
    for (const auto& e : fs::directory_iterator{path_}) all.insert(e.path().filename().string());
    return all;
  }

 private:
  fs::path path_;
};

/// Two levels, with one broken link on each.
pages::map small_site() {
  return {{"/", {links_to({"/a", "/gone"})}},
          {"/a", {links_to({"/b", "/"})}},
          {"/b", {links_to({"/c", "/lost"})}},
          {"/c", {"the end"}}};
}

class tool_crawl : public tool {};

// ---- what is found ----

TEST_F(tool_crawl, tells_each_broken_link_with_its_place) {
  pages p{small_site()};
  const auto o = crawl({p.url()});
  EXPECT_EQ(o.status, 1) << o.err;
  EXPECT_THAT(lines_of(o.out), UnorderedElementsAre("Broken link " + p.url("/") + ":2:10 -> " +
                                                        p.url("/gone") + " (404 Not Found)",
                                                    "Broken link " + p.url("/b") + ":2:10 -> " +
                                                        p.url("/lost") + " (404 Not Found)"));
  EXPECT_THAT(o.err, ContainsRegex("oneloop: 4 pages, 6 links, 6 URLs, 2 broken"));
  for (const char* path : {"/", "/a", "/b", "/c"}) {
    EXPECT_EQ(p.count(std::string{"GET "} + path), 1) << path;
  }
}

TEST_F(tool_crawl, a_clean_site_is_exit_status_0) {
  pages p{{{"/", {links_to({"/a"})}}, {"/a", {"x"}}}};
  const auto o = crawl({p.url()});
  EXPECT_EQ(o.status, 0);
  EXPECT_EQ(o.out, "");
}

TEST_F(tool_crawl, a_start_that_is_not_checked_is_no_exit_status_0) {
  pages busy{{{"/robots.txt", {"", "text/plain", 503}}, {"/", {"x"}}}};
  const auto failing = crawl({busy.url()});
  EXPECT_EQ(failing.status, 1);
  EXPECT_THAT(failing.out, AllOf(HasSubstr("Broken link " + busy.url()),
                                 HasSubstr("robots.txt: 503 Service Unavailable")));
  pages from{{{"/", {links_to({busy.url("/x")})}}}};
  EXPECT_EQ(crawl({from.url()}).status, 1);
  pages closed{{{"/robots.txt", {"User-agent: *\nDisallow: /\n"}}, {"/", {"x"}}}};
  const auto denied = crawl({closed.url()});
  EXPECT_EQ(denied.status, 1);
  EXPECT_THAT(denied.out, HasSubstr(" (robots.txt denies it)"));
  EXPECT_EQ(crawl({"--offline", closed.url()}).status, 1);
  const folder f;
  for (const auto& start : {std::string{"READNE.md"}, f.path()}) {
    const auto o = crawl({start});
    EXPECT_EQ(o.status, 2) << start;
    EXPECT_THAT(o.err, HasSubstr(start)) << start;
  }
  EXPECT_EQ(crawl({"--offline", "localhost"}).status, 2);
}

TEST_F(tool_crawl, only_missing_fragments_are_exit_status_3) {
  pages p{{{"/", {links_to({"/a#there", "/a#not-there", "/a#ignored"})}},
           {"/a", {"<p id=there>x</p>"}}}};
  EXPECT_EQ(crawl({p.url()}).status, 0);
  const auto o = crawl({"--fragments", "--fragment-exclude", "#ignored$", p.url()});
  EXPECT_EQ(o.status, 3) << o.err;
  EXPECT_THAT(
      o.out, AllOf(HasSubstr("Broken fragment " + p.url("/") + ":2:10 -> " + p.url("/a#not-there")),
                   Not(HasSubstr("#ignored")), Not(HasSubstr("#there"))));
  p.put("/", {links_to({"/a#not-there", "/gone"})});
  EXPECT_EQ(crawl({"--fragments", p.url()}).status, 1);
}

TEST_F(tool_crawl, json_has_all_of_it) {
  pages p{small_site()};
  const auto o = crawl({"--format", "json", p.url()});
  const auto j = json::parse(o.out);
  EXPECT_EQ(j["start"], json::array({p.url()}));
  EXPECT_EQ(j["pages"], 4);
  EXPECT_EQ(j["links"], 6);
  EXPECT_EQ(j["urls"], 6);
  ASSERT_EQ(j["broken"].size(), 2u);
  EXPECT_EQ(j["broken"][0]["url"], p.url("/gone"));
  EXPECT_EQ(j["broken"][0]["kind"], "status");
  EXPECT_EQ(j["broken"][0]["status"], 404);
  const auto& source = j["broken"][0]["sources"][0];
  EXPECT_EQ(source["page"], p.url("/"));
  EXPECT_EQ(source["line"], 2);
  EXPECT_EQ(source["column"], 10);
  EXPECT_EQ(source["text"], "/gone");
  EXPECT_EQ(source["element"], "a[href]");
}

// ---- which links ----

TEST_F(tool_crawl, level_and_limit_bound_it) {
  pages p{small_site()};
  EXPECT_EQ(crawl({"--level", "0", p.url()}).status, 0);
  EXPECT_EQ(p.requests() - p.count("GET /robots.txt"), 1);
  const auto o = crawl({"--level", "2", p.url()});
  EXPECT_EQ(lines_of(o.out).size(), 1u) << o.out;
  EXPECT_EQ(p.count("GET /c") + p.count("HEAD /c"), 0);
  pages again{small_site()};
  (void)crawl({"--limit", "2", "--robots", "off", again.url()});
  EXPECT_EQ(again.requests(), 2);
}

TEST_F(tool_crawl, external_links_are_checked_or_skipped_or_followed) {
  pages other{{{"/", {links_to({"/more"})}}}};
  pages p{{{"/", {links_to({other.url("/"), other.url("/none")})}}}};
  EXPECT_EQ(crawl({p.url(), "--external", "skip"}).status, 0);
  EXPECT_EQ(other.requests(), 0);
  EXPECT_EQ(lines_of(crawl({p.url()}).out).size(), 1u);
  EXPECT_EQ(other.count("GET /more") + other.count("HEAD /more"), 0);
  const auto followed = crawl({p.url(), "--external", "follow"});
  EXPECT_EQ(lines_of(followed.out).size(), 2u) << followed.out;
  pages fresh{{{"/", {links_to({"/more"})}}}};
  pages from{{{"/", {links_to({fresh.url("/")})}}}};
  const auto internal = crawl({from.url(), "--internal", "^" + fresh.url()});
  EXPECT_EQ(lines_of(internal.out).size(), 1u) << internal.out;
}

TEST_F(tool_crawl, patterns_include_and_exclude) {
  pages p{{{"/", {links_to({"/a", "/b", "/c", "/d"})}}}};
  const auto broken = [&](std::vector<std::string> arguments) {
    arguments.push_back(p.url());
    std::set<std::string> urls;
    for (const auto& line : lines_of(crawl(std::move(arguments)).out)) {
      const auto from = line.find("-> ") + 3;
      urls.insert(line.substr(from, line.find(' ', from) - from).substr(p.url().size()));
    }
    return urls;
  };
  EXPECT_THAT(broken({}), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(broken({"--exclude", "/a$", "--exclude", "/b$"}), ElementsAre("c", "d"));
  EXPECT_THAT(broken({"--include", "/[abc]$", "--include", "/d$", "--exclude", "/[cd]$"}),
              ElementsAre("a", "b"));
  const temporary_file ignored{"# what is not ours\n\n  /a$\r\n/[bc]$\n"};
  EXPECT_THAT(broken({"--ignore-file", ignored.path()}), ElementsAre("d"));
}

TEST_F(tool_crawl, schemes_mail_and_telephone_numbers_are_checked_when_asked_for) {
  pages p{{{"/",
            {links_to({"mailto:nobody", "mailto:me@example.org", "tel:+1-555-0100", "tel:call-me",
                       "gopher://127.0.0.1:1/"})}}}};
  const auto o = crawl({"-v", p.url()});
  EXPECT_EQ(o.status, 0) << o.out;
  EXPECT_THAT(o.out, HasSubstr("Not http: gopher://127.0.0.1:1/"));
  EXPECT_THAT(o.out, HasSubstr("Not http: mailto:nobody"));
  const auto checked = crawl({"--mailto", "check", "--tel", "check", p.url()});
  EXPECT_EQ(checked.status, 1);
  EXPECT_THAT(checked.out, AllOf(HasSubstr("-> mailto:nobody ("), HasSubstr("-> tel:call-me ("),
                                 Not(HasSubstr("me@example.org")), Not(HasSubstr("555"))));
  pages secure{{{"/", {links_to({p.url("/gone"), "/lost"})}}}};
  EXPECT_EQ(crawl({"--scheme", "https", secure.url()}).status, 2) << "the start is none of those";
  EXPECT_EQ(crawl({"--scheme", "HTTPS,http", secure.url()}).status, 1);
}

TEST_F(tool_crawl, links_in_code_count_when_asked_for) {
  pages p{{{"/", {"<pre>" + links_to({"/none"}) + "</pre>"}}}};
  EXPECT_EQ(crawl({p.url()}).status, 0);
  EXPECT_EQ(crawl({"--code-blocks", p.url()}).status, 1);
}

TEST_F(tool_crawl, dump_prints_links_and_asks_for_none) {
  pages p{small_site()};
  const auto o = crawl({"--dump", p.url()});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_THAT(lines_of(o.out), UnorderedElementsAre(p.url("/a"), p.url("/gone")));
  EXPECT_EQ(p.count("GET /a") + p.count("HEAD /a") + p.count("HEAD /gone"), 0);
}

// ---- files ----

TEST_F(tool_crawl, directories_are_a_site_without_a_server) {
  pages p{{{"/", {"x"}}}};
  const folder f{{{"index.html", links_to({"a/b.html", "none.html", p.url("/gone")})},
                  {"a/b.html", links_to({"../index.html"})},
                  {"README.md", "# Title\n\nSee [this](missing.md) and [that](#title).\n"}}};
  const auto o = crawl({f.path()});
  EXPECT_EQ(o.status, 1) << o.err;
  EXPECT_THAT(o.out, HasSubstr("Broken link " + f / "index.html" + ":2:10 -> "));
  EXPECT_THAT(o.out, HasSubstr("Broken link " + f / "README.md" + ":3:12 -> "));
  EXPECT_EQ(lines_of(o.out).size(), 3u) << o.out;
  const int asked = p.requests();
  EXPECT_GT(asked, 0);
  const auto offline = crawl({"--offline", f.path()});
  EXPECT_EQ(lines_of(offline.out).size(), 2u) << offline.out;
  EXPECT_EQ(p.requests(), asked);
}

TEST_F(tool_crawl, patterns_of_files_need_no_shell) {
  const folder f{{{"a.md", "[x](none-a.md)\n"},
                  {"b.html", links_to({"none-b.html"})},
                  {"deep/er/c.md", "[x](none-c.md)\n"}}};
  const auto o = crawl({f / "**/*.md"});
  EXPECT_THAT(o.out,
              AllOf(HasSubstr("none-a.md"), HasSubstr("none-c.md"), Not(HasSubstr("none-b.html"))));
  const auto none = crawl({f / "*.txt"});
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.err, HasSubstr(f / "*.txt" + ": there is no such file"));
}

TEST_F(tool_crawl, a_root_a_base_and_other_names_are_for_local_trees) {
  const folder f{{{"site/index.html", links_to({"/a.html", "/none.html"})}, {"site/a.html", "x"}}};
  const auto rooted = crawl({"--root-dir", f / "site", f / "site/index.html"});
  EXPECT_EQ(lines_of(rooted.out).size(), 1u) << rooted.out << rooted.err;
  pages p{{{"/a.html", {"x"}}}};
  const auto based = crawl({"--base", p.url(), f / "site/index.html"});
  EXPECT_EQ(lines_of(based.out).size(), 1u) << based.out << based.err;
  EXPECT_THAT(based.out, HasSubstr("-> " + p.url("/none.html") + " (404 Not Found)"));
  const folder named{{{"x.html", links_to({"http://www.example.org/a.html"})}}};
  const auto remapped =
      crawl({"--remap", "^http://www\\.example\\.org/ " + p.url("/"), named / "x.html"});
  EXPECT_EQ(remapped.status, 0) << remapped.out << remapped.err;
}

TEST_F(tool_crawl, starts_come_from_standard_input_and_from_files) {
  pages p{{{"/a", {links_to({"/none-a"})}}, {"/b", {links_to({"/none-b"})}}}};
  const auto o = crawl({"-"}, "# two pages\n" + p.url("/a") + "\n\n" + p.url("/b") + "\n");
  EXPECT_EQ(lines_of(o.out).size(), 2u) << o.err;
  const temporary_file list{p.url("/a") + "\n"};
  EXPECT_EQ(lines_of(crawl({"--from", list.path(), p.url("/b")}).out).size(), 2u);
  const auto nothing = crawl({"-"}, "# nothing\n");
  EXPECT_EQ(nothing.status, 2);
  EXPECT_THAT(nothing.err, HasSubstr("nothing to crawl"));
}

TEST_F(tool_crawl, sitemaps_are_starts) {
  pages p{{{"/a", {links_to({"/none"})}}}};
  p.put("/sitemap.xml",
        {"<?xml version=\"1.0\"?><urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">"
         "<url><loc>" +
             p.url("/a") + "</loc></url></urlset>",
         "application/xml"});
  EXPECT_THAT(crawl({p.url("/sitemap.xml")}).out, HasSubstr("-> " + p.url("/none")));
}

// ---- how it asks ----

TEST_F(tool_crawl, robots_are_heeded_unless_told_otherwise) {
  pages p{{{"/", {links_to({"/private"})}},
           {"/robots.txt", {"User-agent: *\nDisallow: /private\n", "text/plain"}}}};
  const auto o = crawl({"-v", p.url()});
  EXPECT_EQ(o.status, 0) << o.out;
  EXPECT_THAT(o.out, HasSubstr("Skipped " + p.url("/private") + " (robots)"));
  EXPECT_EQ(p.count("GET /private"), 0);
  EXPECT_EQ(crawl({"--robots", "off", p.url()}).status, 1);
  EXPECT_EQ(crawl({"-A", "other/1", p.url()}).status, 0);
  EXPECT_EQ(p.sent("/robots.txt", "User-Agent"), "other/1");
}

TEST_F(tool_crawl, statuses_are_accepted_everywhere_or_on_some_hosts) {
  pages p{{{"/", {links_to({"/teapot"})}}, {"/teapot", {"", "text/html", 418}}}};
  EXPECT_EQ(crawl({p.url()}).status, 1);
  EXPECT_EQ(crawl({"--accept", "200..299,418", p.url()}).status, 0);
  EXPECT_EQ(crawl({"--accept", "127.0.0.*=200,418", p.url()}).status, 0);
  EXPECT_EQ(crawl({"--accept", "example.org=418", p.url()}).status, 1);
}

TEST_F(tool_crawl, fields_passwords_and_cookies_go_to_their_hosts) {
  pages p{{{"/", {"x"}}}};
  const temporary_file cookies{
      "# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tname\tvalue\n"};
  const auto o = crawl({"-H", "127.0.0.1: X-Key: 1", "-H", "example.org: X-Other: 1", "--user",
                        "127.0.0.1=me:secret", "--cookies", cookies.path(), p.url()});
  EXPECT_EQ(o.status, 0) << o.err;
  EXPECT_EQ(p.sent("/", "X-Key"), "1");
  EXPECT_EQ(p.sent("/", "X-Other"), "");
  EXPECT_EQ(p.sent("/", "Authorization"), "Basic bWU6c2VjcmV0");
  EXPECT_EQ(p.sent("/", "Cookie"), "name=value");
  pages other{{{"/", {"x"}}}};
  pages from{{{"/", {links_to({other.url("/")})}}}};
  EXPECT_EQ(crawl({"-H", "X-Key: 2", from.url()}).status, 0);
  EXPECT_EQ(from.sent("/", "X-Key"), "2");
  EXPECT_EQ(from.sent("/robots.txt", "X-Key"), "2");
  EXPECT_EQ(other.sent("/", "X-Key"), "");
  EXPECT_EQ(other.sent("/robots.txt", "X-Key"), "");
}

TEST_F(tool_crawl, private_addresses_are_excluded_when_asked_for) {
  pages p{{{"/", {"x"}}}};
  const auto o = crawl({"--exclude-private", "--robots", "off", p.url()});
  EXPECT_EQ(o.status, 1);
  EXPECT_EQ(p.requests(), 0);
}

TEST_F(tool_crawl, a_host_gets_so_many_requests_at_a_time) {
  pages::map site{{"/", {links_to({"/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8"})}}};
  for (int i = 1; i <= 8; ++i) site["/" + std::to_string(i)] = {"x"};
  pages p{site};
  EXPECT_EQ(crawl({"--per-host", "1", p.url()}).status, 0);
  EXPECT_EQ(p.most_at_once(), 1);
  pages q{site};
  EXPECT_EQ(crawl({"-c", "2", q.url()}).status, 0);
  EXPECT_LE(q.most_at_once(), 2);
}

TEST_F(tool_crawl, a_rate_spaces_requests) {
  pages p{{{"/", {links_to({"/1", "/2", "/3"})}}, {"/1", {"x"}}, {"/2", {"x"}}, {"/3", {"x"}}}};
  const auto begun = clock_type::now();
  EXPECT_EQ(crawl({"--rate", "127.0.0.1=10/s", "--robots", "off", p.url()}).status, 0);
  EXPECT_GE(clock_type::now() - begun, 300ms);
}

TEST_F(tool_crawl, what_may_pass_is_tried_again) {
  pages p{{{"/", {links_to({"/500"})}}, {"/500", {"", "text/html", 500}}}};
  EXPECT_EQ(crawl({"--retries", "2", "--method", "get", p.url()}).status, 1);
  EXPECT_EQ(p.count("GET /500"), 3);
  EXPECT_EQ(crawl({"--retries", "0", "--method", "get", p.url()}).status, 1);
  EXPECT_EQ(p.count("GET /500"), 4);
}

TEST_F(tool_crawl, pages_have_a_size_and_requests_a_time) {
  pages p{{{"/", {links_to({"/big", "/hang"})}},
           {"/big", {std::string(10'000, 'x')}},
           {"/hang", {"", "text/html", 200, {}, true}}}};
  const auto o = crawl({"--max-page", "4K", "--timeout", "300ms", "--retries", "0", p.url()});
  EXPECT_THAT(o.out, AllOf(HasSubstr("-> " + p.url("/big")), HasSubstr("-> " + p.url("/hang"))));
  EXPECT_EQ(lines_of(o.out).size(), 2u) << o.out;
}

TEST_F(tool_crawl, a_cache_spares_requests_of_other_sites) {
  pages other{{{"/x", {"x"}}}};
  pages p{{{"/", {links_to({other.url("/x")})}}}};
  const folder f;
  const std::vector<std::string> arguments{p.url(), "--cache", f / "cache.db", "--max-age", "7d"};
  EXPECT_EQ(crawl(arguments).status, 0);
  const int asked = other.requests() - other.count("GET /robots.txt");
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(crawl(arguments).status, 0);
  EXPECT_EQ(other.requests() - other.count("GET /robots.txt"), 1);
}

// ---- reports ----

TEST_F(tool_crawl, reports_go_into_files_by_their_formats) {
  pages p{small_site()};
  const folder f;
  const auto o = crawl({p.url(), "-o", f / "r.json", "-o", f / "r.xml", "-o", f / "r.sarif", "-o",
                        f / "r.csv", "-o", f / "r.html", "-o", f / "r.ndjson"});
  EXPECT_EQ(o.status, 1) << o.err;
  EXPECT_EQ(o.out, "");
  EXPECT_EQ(json::parse(f.read("r.json"))["broken"].size(), 2u);
  EXPECT_EQ(json::parse(f.read("r.sarif"))["version"], "2.1.0");
  EXPECT_THAT(f.read("r.xml"), HasSubstr("<testsuite"));
  EXPECT_THAT(f.read("r.csv"), HasSubstr(p.url("/gone")));
  EXPECT_THAT(f.read("r.html"), AllOf(HasSubstr("<html"), HasSubstr(p.url("/gone"))));
  for (const auto& line : lines_of(f.read("r.ndjson"))) EXPECT_TRUE(json::accept(line)) << line;
  EXPECT_THAT(f.names(), ElementsAre("r.csv", "r.html", "r.json", "r.ndjson", "r.sarif", "r.xml"));
  const auto both = crawl({p.url(), "--format", "github", "--format", "text", "-o", f / "log"});
  EXPECT_THAT(both.out, StartsWith("Broken link "));
  EXPECT_THAT(f.read("log"), StartsWith("::error "));
}

TEST_F(tool_crawl, a_report_that_cannot_be_written_is_named) {
  pages p{small_site()};
  const auto o = crawl({p.url(), "-o", "/nonexistent/r.json"});
  EXPECT_EQ(o.status, 2);
  EXPECT_THAT(o.err, HasSubstr("-o /nonexistent/r.json.part: No such file or directory"));
  EXPECT_EQ(p.requests(), 0);
  const folder f;
  EXPECT_EQ(crawl({p.url(), "-o", f / "r.json", "-o", "/nonexistent/r.csv"}).status, 2);
  EXPECT_THAT(f.names(), IsEmpty());
  const auto full = crawl({p.url(), "--format", "json", "-o", "/dev/full"});
  EXPECT_EQ(full.status, 2);
  EXPECT_THAT(full.err, HasSubstr("write /dev/full: No space left on device"));
  auto command = command_of("crawl", {p.url(), "-o", f / "r.html"});
  command.insert(command.begin(), {"/bin/sh", "-c", "ulimit -f 1; exec \"$@\"", "sh"});
  const auto long_file = outcome_of(std::move(command));
  EXPECT_EQ(long_file.status, 2);
  EXPECT_THAT(long_file.err, HasSubstr("r.html.part: File too large"));
}

TEST_F(tool_crawl, quiet_says_nothing_but_the_report) {
  pages p{small_site()};
  const auto o = crawl({"-q", p.url()});
  EXPECT_EQ(o.err, "");
  EXPECT_EQ(lines_of(o.out).size(), 2u);
}

TEST_F(tool_crawl, verbose_tells_of_hosts_at_the_end) {
  pages p{small_site()};
  const auto o = crawl({"-v", p.url()});
  EXPECT_THAT(o.err, HasSubstr("oneloop: " + p.host() + ": "));
  EXPECT_THAT(o.out, HasSubstr("OK " + p.url("/a")));
}

TEST_F(tool_crawl, a_terminal_sees_a_progress_line) {
  pages p{{{"/", {links_to({"/hang"})}}, {"/hang", {"", "text/html", 200, {}, true}}}};
  const descriptor terminal{::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  ASSERT_EQ(::grantpt(terminal.get()), 0);
  ASSERT_EQ(::unlockpt(terminal.get()), 0);
  const descriptor slave{::open(::ptsname(terminal.get()), O_RDWR | O_NOCTTY | O_CLOEXEC)};
  ::setenv("TERM", "xterm", 1);
  process run{command_of("crawl", {"--timeout", "1s", "--retries", "0", p.url()}), slave.get()};
  std::string shown;
  const auto until = clock_type::now() + 10s;
  while (shown.find("1 page, ") == shown.npos && clock_type::now() < until) {
    pollfd ready{terminal.get(), POLLIN, 0};
    if (::poll(&ready, 1, 100) <= 0) continue;
    char buffer[4096];
    const ssize_t n = ::read(terminal.get(), buffer, sizeof buffer);
    if (n > 0) shown.append(buffer, static_cast<std::size_t>(n));
  }
  EXPECT_THAT(shown, HasSubstr("1 page, "));
  EXPECT_EQ(run.wait(), 1);
}

// ---- going on ----

TEST_F(tool_crawl, ctrl_c_keeps_what_was_found_and_the_same_command_goes_on) {
  pages p{{{"/", {links_to({"/a", "/gone", "/hang"})}},
           {"/a", {"x"}},
           {"/hang", {"", "text/html", 200, {}, true}}}};
  const folder f;
  const std::vector<std::string> command =
      command_of("crawl", {"--state", f / "state.db", "--format", "json", "-o", f / "r.json",
                           "--format", "text", "--robots", "off", p.url()});
  process run{command};
  ASSERT_TRUE(run.wait_for_output("/gone (404 Not Found)\n"));
  ASSERT_TRUE(p.wait_for("GET /hang"));
  ASSERT_TRUE(p.wait_for("GET /a"));
  run.signal(SIGINT);
  EXPECT_EQ(run.wait(), 130);
  EXPECT_THAT(run.err,
              HasSubstr("the same command goes on from here, its state is in " + f / "state.db"));
  EXPECT_EQ(json::parse(f.read("r.json"))["broken"].size(), 1u);
  EXPECT_THAT(f.names(), testing::Not(testing::Contains("r.json.part")));

  p.put("/hang", {links_to({"/late"})});
  const auto o = outcome_of(command);
  EXPECT_EQ(o.status, 1) << o.err;
  const auto j = json::parse(f.read("r.json"));
  EXPECT_EQ(j["broken"].size(), 2u) << j;
  EXPECT_EQ(lines_of(o.out).size(), 2u) << "text tells of both runs: " << o.out;
  EXPECT_EQ(p.count("GET /"), 1);
  EXPECT_EQ(p.count("GET /a"), 1);
  EXPECT_EQ(p.count("GET /hang"), 2);
}

TEST_F(tool_crawl, sigterm_is_143_and_signals_also_end_the_reading_of_standard_input) {
  pages p{{{"/", {"", "text/html", 200, {}, true}}}};
  process run{command_of("crawl", {"--robots", "off", p.url()})};
  ASSERT_TRUE(p.wait_for("GET /"));
  run.signal(SIGTERM);
  EXPECT_EQ(run.wait(), 143);
  process reading{command_of("crawl", {"-"})};
  reading.write(p.url("/x") + "\n");
  ASSERT_TRUE(reading.wait_for_handler(SIGINT));
  reading.signal(SIGINT);
  EXPECT_EQ(reading.wait(), 130);
}

TEST_F(tool_crawl, a_state_of_another_crawl_is_refused) {
  pages p{small_site()};
  const folder f;
  EXPECT_EQ(crawl({"--state", f / "s.db", p.url()}).status, 1);
  const auto other = crawl({"--state", f / "s.db", "--level", "1", p.url()});
  EXPECT_EQ(other.status, 2);
  EXPECT_THAT(other.err, HasSubstr(f / "s.db"));
  f.write("text.db", "no database at all, but long enough to be looked at as one, or so one hopes");
  const auto none = crawl({"--state", f / "text.db", p.url()});
  EXPECT_EQ(none.status, 2);
  EXPECT_THAT(none.err, HasSubstr(f / "text.db"));
}

// ---- configuration ----

TEST_F(tool_crawl, a_file_configures_it_and_the_command_line_goes_before) {
  pages p{small_site()};
  const folder f{{{"oneloop.toml",
                   "# settings\n[crawl]\nlevel = 1\nformat = \"json\"\nrobots = false\n"
                   "header = [\"X-One: 1\", \"X-Two: 2\"]\nfragments = true\nexclude = '/none'\n"
                   "retry-delay = 1\n"}}};
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--config", f / "oneloop.toml", p.url()});
    return outcome_of(command_of("crawl", std::move(arguments)));
  };
  const auto o = run({});
  EXPECT_EQ(o.status, 1) << o.err;
  EXPECT_EQ(json::parse(o.out)["urls"], 3);
  EXPECT_EQ(p.count("GET /robots.txt"), 0);
  EXPECT_EQ(p.sent("/", "X-One") + p.sent("/", "X-Two"), "12");
  const auto more = run({"--level", "9", "-H", "X-Three: 3"});
  EXPECT_EQ(json::parse(more.out)["urls"], 6);
  EXPECT_EQ(p.sent("/", "X-One") + p.sent("/", "X-Three"), "3");
}

TEST_F(tool_crawl, a_file_in_the_current_directory_is_not_read_unless_asked_for) {
  pages p{{{"/", {"x"}}}};
  const folder f{{{"oneloop.toml", "nonsense"}, {".oneloopignore", "["}}};
  const auto o = outcome_of(
      {"/bin/sh", "-c", "cd \"$1\" && exec \"$0\" crawl \"$2\"", tool_path(), f.path(), p.url()});
  EXPECT_EQ(o.status, 0) << o.err;
}

TEST_F(tool_crawl, what_is_wrong_with_a_file_is_told_by_line_and_key) {
  const folder f;
  const std::vector<std::pair<std::string, std::string>> cases{
      {"[crawl]\nlevle = 1\n", ":2: levle: crawl has no such option"},
      {"[crawl]\nlevel = 1\n\nlevel = 2\n", ":4:"},
      {"[crawl\n", ":1:"},
      {"[check]\n", ":1: check: not known: settings stand below [crawl]"},
      {"level = 1\n", ":1: level: not known"},
      {"[crawl]\nlevel = 1979-05-27\n", ":2: level: must be a text, a number"},
      {"[crawl]\nlevel = [1, 2]\n", ":2: level: must be one value, and not a list"},
      {"[crawl]\nlevel = true\n", ":2: level: must be a value, and not true or false"},
      {"[crawl]\nfragments = \"yes\"\n", ":2: fragments: must be true or false"},
      {"[crawl]\n\nlevel = -1\n", ":3: level -1: must be a whole number from 0 to"},
      {"[crawl]\nexclude = [\n  'a',\n  '[b',\n]\n",
       ":4: exclude [b: not a pattern (RE2): missing ]"},
      {"[crawl]\nexternal = 'no'\n", ":2: external no: must be check, skip or follow"},
      {"[crawl]\nuser = 'me:hunter2'\n", ":2: user: "},
      {"[crawl]\nconcurrency = 0\n", ":2: concurrency 0: must be a whole number from 1"},
      {"[crawl]\nstate = ''\n", ":2: state: "},
      {"[crawl]\nconfig = 'other.toml'\n", ":2: config: crawl has no such option"},
  };
  for (const auto& [text, message] : cases) {
    f.write("c.toml", text);
    const auto o = crawl({"--config", f / "c.toml", "http://127.0.0.1:1/"});
    EXPECT_EQ(o.status, 2) << text;
    EXPECT_EQ(o.out, "") << text;
    EXPECT_THAT(o.err, HasSubstr(f / "c.toml" + message));
    EXPECT_THAT(o.err, Not(HasSubstr("hunter2")));
  }
  EXPECT_THAT(crawl({"--config", f / "none.toml", "http://a/"}).err,
              HasSubstr("--config " + f / "none.toml" + ": No such file or directory"));
}

// ---- wrong usage ----

TEST_F(tool_crawl, wrong_options_are_exit_status_2) {
  const temporary_file ignored{"fine\n# [\n[a\n"};
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
      {{"--level", "-1"}, "--level -1: must be a whole number from 0 to 4294967295"},
      {{"--level", ""}, "--level: must be a whole number"},
      {{"--limit", "0"}, "--limit 0: must be a whole number from 1 to"},
      {{"--external", "maybe"}, "--external maybe: must be check, skip or follow"},
      {{"--include", "(a"}, "--include (a: not a pattern (RE2): missing )"},
      {{"--exclude", "[a"}, "--exclude [a: not a pattern (RE2): missing ]"},
      {{"--exclude", ""}, "--exclude: an empty pattern matches everything"},
      {{"--internal", "*"}, "--internal *: not a pattern (RE2): "},
      {{"--fragment-exclude", "a{9999}"}, "--fragment-exclude a{9999}: not a pattern (RE2): "},
      {{"--ignore-file", ignored.path()},
       ignored.path() + ":3: [a: not a pattern (RE2): missing ]"},
      {{"--ignore-file", "/none"}, "--ignore-file /none: No such file or directory"},
      {{"--scheme", "http,"}, "--scheme http,: \"\" is not the name of a scheme"},
      {{"--robots", "maybe"}, "--robots maybe: must be on or off"},
      {{"--rate", "example.org"}, "--rate example.org: no host before \"=\""},
      {{"--rate", "a=x/s"}, "--rate a=x/s: no number between"},
      {{"--rate", "*=0/s"}, "--rate *=0/s: must be from 0.000001 to 1000000000"},
      {{"--level", "1", "--level", "2"}, "--level: given 2 times, and it takes one value"},
      {{"--per-host", "0"}, "--per-host 0: must be a whole number from 1 to 65535"},
      {{"-c", "x"}, "--concurrency x: must be a whole number from 1 to 65535"},
      {{"--retries", "11"}, "--retries 11: must be a whole number from 0 to 10"},
      {{"--accept", "example.org=2xx"}, "--accept example.org=2xx: \"2xx\" is not a status"},
      {{"--accept", "a b=200"}, "--accept a b=200: \"a b\" is not the name of a host"},
      {{"--accept", "200", "--accept", "201"}, "--accept 201: there is a list for all hosts"},
      {{"--format", "yaml"}, "--format yaml: must be text, json, ndjson, junit, sarif, csv, html"},
      {{"-o", "report"}, "-o report: which format?"},
      {{"--format", "csv", "--format", "json"}, "--format json: 2 formats for 0 files"},
      {{"--base", "nowhere"}, "--base nowhere: "},
      {{"--base", "mailto:x"}, "--base mailto:x: nothing can be relative to it"},
      {{"--root-dir", "/none"}, "--root-dir /none: No such file or directory"},
      {{"--remap", "one-word"}, "--remap one-word: write 'PATTERN REPLACEMENT'"},
      {{"--remap", "[a b"}, "--remap [a b: not a pattern (RE2): missing ]"},
      {{"--max-age", "1h"}, "--max-age 1h: of which cache?"},
      {{"--cache", "c", "--max-age", "366d"}, "--max-age 366d: must be from 1ms to 365d"},
      {{"--max-page", "16X"}, "--max-page 16X: not a size"},
      {{"--mailto", "on"}, "--mailto on: must be check or skip"},
      {{"--tel", ""}, "--tel: must be check or skip"},
      {{"--cookies", "/none"}, "--cookies /none: No such file or directory"},
      {{"--from", "/none"}, "--from /none: No such file or directory"},
      {{"-q", "-v"}, "-q and -v: choose one"},
  };
  for (auto [arguments, message] : cases) {
    arguments.emplace_back("http://127.0.0.1:1/");
    const auto o = outcome_of(command_of("crawl", arguments));
    EXPECT_EQ(o.status, 2) << message;
    EXPECT_EQ(o.out, "") << message;
    EXPECT_THAT(o.err, HasSubstr("oneloop: " + message));
    EXPECT_THAT(o.err, HasSubstr("see oneloop crawl --help"));
  }
  EXPECT_THAT(crawl({}).err, HasSubstr("nothing to crawl: name URLs, files or directories"));
  EXPECT_EQ(crawl({""}).status, 2);
  const auto nowhere = crawl({"/none/such.html"});
  EXPECT_EQ(nowhere.status, 2);
  EXPECT_THAT(nowhere.err, HasSubstr("/none/such.html"));
}

}  // namespace
}  // namespace tool_test
