#include "oneloop/html/extract_test.hpp"

namespace oneloop::html_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

document md(std::string_view text, const options& how = {}) {
  return read(document_kind::markdown, text, how);
}

TEST(markdown, finds_links_images_and_autolinks_where_their_addresses_stand) {
  const document d =
      md("A [link](a?b&amp;c \"t\") ![img *x*](d\\_e.png)\n<http://u.v/> [m\nn](  <o p> )\n");
  EXPECT_THAT(brief(d),
              ElementsAre("a href a?b&c", "img src d_e.png", "a href http://u.v/", "a href o p"));
  EXPECT_THAT(places(d), ElementsAre("1:10", "1:36", "2:2", "3:7"));
  EXPECT_EQ(d.links[0].text, "link");
  EXPECT_EQ(d.links[1].text, "img x");
  EXPECT_EQ(d.links[3].text, "m n");
  EXPECT_EQ(d.links[1].use, link_use::resource);
}

TEST(markdown, a_reference_stands_where_it_is_defined) {
  const document d = md("[one] [two][ONE] [three]\n\n> [one]: /u\n\n[three]:\n  <v w> 't'\n");
  EXPECT_THAT(raws(d), ElementsAre("/u", "/u", "v w"));
  EXPECT_THAT(places(d), ElementsAre("3:10", "3:10", "6:4"));
  EXPECT_EQ(d.links[1].text, "two");
}

TEST(markdown, code_is_left_out_unless_asked_for) {
  constexpr std::string_view text =
      "`[a](b)` [c](b) `http://d/`\n\n```\n[e](f) http://g/\n```\n\n    http://h/\n";
  const document d = md(text);
  EXPECT_THAT(raws(d), ElementsAre("b"));
  EXPECT_THAT(places(d), ElementsAre("1:14"));
  EXPECT_THAT(raws(md(text, {.code_blocks = true})),
              ElementsAre("b", "http://d/", "http://g/", "http://h/"));
}

TEST(markdown, html_inside_is_read_where_it_stands) {
  const document d =
      md("# x\n<div>\n <img src=\"a.png\">\n</div>\n\n> text <a href=\"b\" id=c>d *e*</a>\n> <a\n> "
         "href=f>g</a>\n"
         "\n<pre><a href=no></a></pre>\n");
  EXPECT_THAT(brief(d), ElementsAre("img src a.png", "a href b", "a href f"));
  EXPECT_THAT(places(d), ElementsAre("3:12", "6:17", "8:8"));
  EXPECT_EQ(d.links[1].text, "d e");
  EXPECT_THAT(d.anchors, ElementsAre("c", "x"));
}

TEST(markdown, bare_urls_are_links_as_on_github) {
  EXPECT_THAT(
      raws(md("http://a/b. (http://c/d_(e)) *https://f/*, xhttp://no http:// http://g?h&amp; "
              "<b>http://i</b> [http://no](j)")),
      ElementsAre("http://a/b", "http://c/d_(e)", "https://f/", "http://g?h&", "http://i", "j"));
  EXPECT_THAT(places(md("x http://a/ and\n- http://b/\n")), ElementsAre("1:3", "2:3"));
  EXPECT_THAT(raws(md("http://a/", {.bare_urls = false})), IsEmpty());
}

TEST(markdown, headings_have_the_anchors_of_github) {
  EXPECT_THAT(md("# Hello, *World* & `code`!\n## Über_uns 2.0 – x\nTwo\n===\n# Two\n# two\n# a-b  "
                 "c ![no](i)\n# !\n# last\n")
                  .anchors,
              UnorderedElementsAre("hello-world--code", "über_uns-20--x", "two", "two-1", "two-2",
                                   "a-b--c-", "last"));
}

TEST(markdown, data_at_the_front_is_passed_over) {
  const document d = md("---\ntitle: http://no/\n---\n[a](b)\n");
  EXPECT_THAT(raws(d), ElementsAre("b"));
  EXPECT_THAT(places(d), ElementsAre("4:5"));
  EXPECT_THAT(d.anchors, IsEmpty());
}

TEST(markdown, long_paragraphs_keep_their_links) {
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "- [n](u" + std::to_string(i) + ") and `code` and [r]\n";
  const document d = md(lines + "\n[r]: ref\n");
  ASSERT_EQ(d.links.size(), 10000);
  int refs = 0;
  for (const link& l : d.links) refs += l.raw == "ref" ? 1 : 0;
  EXPECT_EQ(refs, 5000);
  EXPECT_EQ(d.links[4999].at.line, 5000);
  // cmark alone takes minutes.
  std::string hostile;
  for (int i = 0; i < 20000; ++i) hostile += "![[]()";
  EXPECT_GT(md(hostile).links.size(), 19000);
  EXPECT_THAT(raws(md(std::string(50000, '>') + "[a](b)")), testing::SizeIs(testing::Le(1)));
  EXPECT_THAT(raws(md(std::string(50000, '[') + "\n\n[a](b)")), ElementsAre("b"));
}

}  // namespace
}  // namespace oneloop::html_test
