// Files and directories as a site without a server.
#include <unistd.h>

#include <ctime>

#include "oneloop/check/crawl_test.hpp"

namespace oneloop {
namespace {

using namespace test;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class crawl_local : public crawl_test {
 protected:
  crawl_local() : before{std::filesystem::current_path()} {
    std::filesystem::current_path(here.path());
  }
  ~crawl_local() override { std::filesystem::current_path(before); }
  folder here;
  std::filesystem::path before;
};

TEST_F(crawl_local, a_directory_is_all_documents_below_it) {
  here.write("docs/a.md", "# One\n[b](b.html?x#y) [up](../docs/) [none](none.md)\n");
  here.write("docs/b.html",
             R"(<a href="/sub/c%20d.html">c</a><img src="i.png"><a href="sub">d</a>)");
  here.write("docs/sub/c d.html", R"(<a href="../a.md#one">a</a><a href="../a.md#two">a</a>)");
  here.write("docs/i.png", "png");
  here.write("docs/.git/x.html", R"(<a href="nowhere">x</a>)");
  const auto report = crawled({"docs"}, quick().fragments(true));
  EXPECT_THAT(broken(), ElementsAre("docs/a.md -> docs/none.md (No such file or directory)"));
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].error.kind(), http::error_kind::missing);
  EXPECT_EQ(report.broken[0].url, "docs/none.md");
  ASSERT_EQ(report.broken[0].sources.size(), 1u);
  EXPECT_EQ(report.broken[0].sources[0].place.line, 2u);
  EXPECT_EQ(report.pages, 3u);
  ASSERT_EQ(report.fragments.size(), 2u);
  std::vector<std::string> missing;
  for (const auto& f : report.fragments) missing.push_back(f.url + "#" + f.fragment);
  EXPECT_THAT(missing, UnorderedElementsAre("docs/b.html#y", "docs/a.md#two"));
}

TEST_F(crawl_local, a_file_leads_to_those_beside_it_and_names_stay_as_given) {
  here.write("x/README.md", "[next](sub/n.md) [out](../secret.html) [web](http://a.test/gone)\n");
  here.write("x/sub/n.md", "[gone](gone.md)\n");
  here.write("secret.html", R"(<a href="never-read">x</a>)");
  page("/", "");
  const auto report = crawled({"./x/README.md"}, quick());
  EXPECT_THAT(broken(),
              UnorderedElementsAre("./x/sub/n.md -> ./x/sub/gone.md (No such file or directory)",
                                   "./x/README.md -> http://a.test/gone (404 Not Found)"));
  EXPECT_EQ(report.pages, 2u);
  EXPECT_THAT(log, ElementsAre("HEAD a.test/gone", "GET a.test/gone"));
}

TEST_F(crawl_local, many_files_as_starts_take_linear_time) {
  for (int i = 0; i < 10'000; ++i) {
    here.write("d" + std::to_string(i % 100) + "/" + std::to_string(i) + ".md", "[x](0.md)\n");
  }
  const auto took = [&](int n) {
    std::vector<std::string> starts;
    for (int i = 0; i < n; ++i) {
      starts.push_back("d" + std::to_string(i % 100) + "/" + std::to_string(i) + ".md");
    }
    const auto begun = std::clock();  // of this process: others do not count
    const auto report = crawled(std::move(starts), quick());
    EXPECT_EQ(report.pages, static_cast<std::uint64_t>(n));
    return std::clock() - begun;
  };
  took(100);
  const auto some = took(1'000);
  EXPECT_LT(took(10'000), some * 30);  // ten times as many; a square would be a hundred
}

TEST_F(crawl_local, a_directory_and_files_in_it_are_one_site) {
  here.write("docs/a.html", R"(<a href="/sub/b.html">b</a>)");
  here.write("docs/sub/b.html", R"(<a href="/gone.html">x</a>)");
  crawled({"docs/sub/b.html", "docs", "./docs/a.html"}, quick());
  EXPECT_THAT(broken(),
              ElementsAre("docs/sub/b.html -> docs/gone.html (No such file or directory)"));
}

TEST_F(crawl_local, html_that_says_no_charset_is_utf8_if_it_can_be) {
  here.write("a.html",
             R"(<p id="Überblick"><a href="#%C3%9Cberblick">x</a><a href="ü.html">y</a>)");
  here.write("ü.html", "");
  const auto report = crawled({"a.html"}, quick().fragments(true));
  EXPECT_THAT(broken(), IsEmpty());
  EXPECT_THAT(report.fragments, IsEmpty());
}

TEST_F(crawl_local, however_it_is_written_the_top_is_that_of_the_site) {
  here.write("docs/sub/base.html", R"(<base href="/"><a href="a.html">x</a><a href="sub/">y</a>)");
  here.write(
      "docs/sub/other.html",
      R"(<a href="/../a.html">x</a><a href="\a.html">y</a><a href="/./%2e%2e/a.html?q">z</a>)");
  here.write("docs/sub/near.html", R"(<base href="../"><a href="a.html">x</a>)");
  here.write("docs/a.html", R"(<a href="../outside.html">o</a><a href="">self</a>)");
  here.write("outside.html", "");
  const auto report = crawled({"docs"}, quick());
  EXPECT_THAT(broken(), IsEmpty());
  EXPECT_EQ(report.urls, 6u);
  EXPECT_EQ(report.pages, 4u);
}

TEST_F(crawl_local, a_link_that_leaves_out_the_scheme_leads_into_the_web) {
  here.write("a.html", R"(<a href="//b.test/x">x</a>)");
  auto report = crawled({"a.html"}, quick().offline(true));
  EXPECT_THAT(broken(), IsEmpty());
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::offline)], 1u);
  report = crawled({"a.html"}, quick().frontier(frontier_options{}.external(external_links::skip)));
  ASSERT_EQ(all<crawl_skipped_link>().size(), 1u);
  EXPECT_EQ(all<crawl_skipped_link>()[0].url, "https://b.test/x");
}

TEST_F(crawl_local, links_out_of_the_tree_are_not_read) {
  here.write("secret/s.html", R"(<a href="never-read">x</a>)");
  here.write("docs/a.html", R"(<a href="link.html">l</a><a href="up/s.html">u</a>)");
  std::filesystem::create_symlink("../secret/s.html", here.path("docs/link.html"));
  std::filesystem::create_directory_symlink("../secret", here.path("docs/up"));
  const auto report = crawled({"docs/"}, quick());
  EXPECT_THAT(broken(), IsEmpty());
  EXPECT_EQ(report.pages, 1u);
  EXPECT_EQ(report.urls, 3u);
}

TEST_F(crawl_local, pages_of_the_web_lead_to_no_files) {
  here.write("secret.html", "x");
  page("/", "<a href=\"file://" + here.path("secret.html") + "\">x</a>");
  redirect("/r", "file://" + here.path("secret.html"));
  const auto report = crawled({"a.test", "a.test/r", "secret.html"}, quick());
  ASSERT_EQ(all<crawl_skipped_link>().size(), 1u);
  EXPECT_EQ(all<crawl_skipped_link>()[0].why, crawl_skip_reason::scheme);
  ASSERT_EQ(report.broken.size(), 1u);
  EXPECT_EQ(report.broken[0].error.kind(), http::error_kind::redirect);
}

TEST_F(crawl_local, offline_asks_nobody) {
  here.write("a.html", R"(<a href="http://a.test/">x</a><a href="b.html">b</a>)");
  page("/", "");
  const auto report = crawled({"a.html", "http://a.test/x"}, quick().offline(true));
  EXPECT_THAT(log, IsEmpty());
  EXPECT_THAT(broken(), UnorderedElementsAre("a.html -> b.html (No such file or directory)",
                                             " -> http://a.test/x (offline)"));
  EXPECT_EQ(report.skipped[static_cast<std::size_t>(crawl_skip_reason::offline)], 1u);
}

TEST_F(crawl_local, a_root_and_a_base_for_links) {
  here.write("pages/a.html", R"(<a href="/top.html">x</a><a href="b.html">b</a>)");
  here.write("site/top.html", "");
  here.write("pages/b.html", "");
  auto report = crawled({"pages/a.html"}, quick().root_dir("site"));
  EXPECT_THAT(broken(), IsEmpty());
  EXPECT_EQ(report.pages, 3u);
  page("/x/b.html", "");
  report = crawled({"pages/a.html"}, quick().base(*url::parse("http://a.test/x/")));
  EXPECT_THAT(broken(), ElementsAre("pages/a.html -> http://a.test/top.html (404 Not Found)"));
  EXPECT_THAT(log, UnorderedElementsAre("HEAD a.test/top.html", "GET a.test/top.html",
                                        "HEAD a.test/x/b.html"));
}

TEST_F(crawl_local, urls_are_asked_for_under_another_name) {
  here.write("built/index.html", R"(<a href="http://a.test/gone.html">x</a>)");
  page("/",
       R"(<a href="http://prod.test/index.html">x</a><a href="http://prod.test/no.html">x</a>)");
  const auto report = crawled(
      {"a.test"}, quick()
                      .frontier(frontier_options{}.internal("prod.test"))
                      .remap("^http://prod\\.test/(.*)$", "file://" + here.path("built") + "/\\1"));
  EXPECT_THAT(
      broken(),
      ElementsAre("http://a.test/ -> http://prod.test/no.html (No such file or directory)"));
  EXPECT_EQ(asked("GET prod.test/index.html"), 0);
}

TEST_F(crawl_local, a_directory_that_is_linked_leads_to_its_index) {
  here.write("a.html", R"(<a href="sub/">x</a><a href="empty">y</a>)");
  here.write("sub/index.html", R"(<a href="gone.html">x</a>)");
  here.write("empty/x", "");
  const auto report = crawled({"a.html"}, quick());
  EXPECT_THAT(broken(), ElementsAre("sub/index.html -> sub/gone.html (No such file or directory)"));
  EXPECT_THAT(report.redirects, IsEmpty());
}

TEST_F(crawl_local, a_start_that_is_neither_a_url_nor_there_is_an_error) {
  for (const std::string start :
       {"docs", "./a.b", "/no/such", "ftp://x/", "http://", "READNE.md", "example.org/index.html",
        "mailto:x@y", "mailto:x@y.org", "data:,x", "javascript:alert(1)"}) {
    EXPECT_THROW(crawled({start}, quick()), error) << start;
  }
  EXPECT_THROW(crawled({"example.org"}, quick().offline(true)), error);
  std::filesystem::create_directory(here.path("empty"));
  EXPECT_THROW(crawled({"empty"}, quick()), error);
}

}  // namespace
}  // namespace oneloop
