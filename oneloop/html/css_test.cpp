#include "oneloop/html/extract_test.hpp"

namespace oneloop::html_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

document css(std::string_view text) { return read(document_kind::css, text); }

TEST(css, finds_urls_and_imports) {
  const document d =
      css("@import \"a.css\";\n@import url(b.css) screen;\n@import url('c.css');\n"
          "p { background: URL( d.png ), url(\"e.png\"); src: src('f.woff') }\n"
          "p { background: image-set(\"g.png\" 1x type(\"image/png\"), url(h.png) 2x) }");
  EXPECT_THAT(brief(d), ElementsAre("@import a.css", "@import b.css", "@import c.css", "url d.png",
                                    "url e.png", "url f.woff", "url g.png", "url h.png"));
  EXPECT_THAT(places(d),
              ElementsAre("1:10", "2:13", "3:14", "4:22", "4:36", "4:55", "5:28", "5:61"));
  EXPECT_EQ(d.links[2].use, link_use::stylesheet);
  EXPECT_EQ(d.links[3].use, link_use::resource);
}

TEST(css, decodes_escapes) {
  EXPECT_THAT(raws(css("a{b:url(a\\)b) url('c\\'d\\\ne') u\\72l(f\\20 g) url(\\000041 B)}")),
              ElementsAre("a)b", "c'de", "f g", "AB"));
}

TEST(css, places_are_behind_escaped_space) {
  EXPECT_THAT(places(css("a{b:url(\\d c) url(' \\20 d')}")), ElementsAre("1:12", "1:25"));
}

TEST(css, leaves_out_what_is_no_address) {
  EXPECT_THAT(raws(css("/* url(a) */ p::before{content:\"url(b)\" 'c'} @namespace url(d);"
                       "@namespace x \"e\"; q{fill:url(#f);r:url();s:url('')} format(\"g\")")),
              IsEmpty());
}

TEST(css, goes_on_after_what_is_broken) {
  EXPECT_THAT(raws(css("a{b:url(x y);c:url(d'e);f:url(ok)}")), ElementsAre("ok"));
  EXPECT_THAT(raws(css("a{b:\"broken\n;c:url(ok)}")), ElementsAre("ok"));
  EXPECT_THAT(raws(css("a{b:image-set((((}c{d:'no' url(ok)}")), ElementsAre("ok"));
  EXPECT_THAT(raws(css("a{b:url(end")), ElementsAre("end"));
  EXPECT_THAT(raws(css("a{b:url('end")), ElementsAre("end"));
  EXPECT_THAT(raws(css("@import")), IsEmpty());
  EXPECT_THAT(raws(css("\\")), IsEmpty());
  EXPECT_THAT(raws(css(std::string(200000, '(') + "url(x)")), ElementsAre("x"));
}

}  // namespace
}  // namespace oneloop::html_test
