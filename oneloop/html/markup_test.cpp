#include <chrono>
#include <string>
#include <thread>

#include "oneloop/html/extract_test.hpp"

namespace oneloop::html_test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(html, finds_every_attribute_that_holds_a_link) {
  const document d = read_html(R"(<html manifest=m><link rel=icon href=l1><body background=bg>
<a href=a1 ping="p1  p2"><area href=a2><iframe src=f1 longdesc=f2></iframe>
<img src=i1 longdesc=i2 lowsrc=i3><script src=s1></script><embed src=e1><audio src=au></audio>
<video src=v1 poster=v2><track src=t1><source src=so1 srcset="so2 2x"></video>
<input type=image src=in1 formaction=in2><button formaction=b1></button><form action=f3></form>
<object data=o1 archive="o2 o3"></object><applet archive="ap1,ap2"></applet>
<blockquote cite=c1></blockquote><q cite=c2></q><ins cite=c3></ins><del cite=c4></del>
<table background=tb><tr><td background=td></table>
<div src=no href=no data=no cite=no poster=no action=no></div>)");
  EXPECT_THAT(
      brief(d),
      ElementsAre("html manifest m", "link href l1", "body background bg", "a href a1", "a ping p1",
                  "a ping p2", "area href a2", "iframe src f1", "iframe longdesc f2", "img src i1",
                  "img longdesc i2", "img lowsrc i3", "script src s1", "embed src e1",
                  "audio src au", "video src v1", "video poster v2", "track src t1",
                  "source src so1", "source srcset so2", "input src in1", "input formaction in2",
                  "button formaction b1", "form action f3", "object data o1", "object archive o2",
                  "object archive o3", "applet archive ap1", "applet archive ap2",
                  "blockquote cite c1", "q cite c2", "ins cite c3", "del cite c4",
                  "table background tb", "td background td"));
}

TEST(html, a_frameset_has_its_frames) {
  EXPECT_THAT(brief(read_html("<frameset><frame src=f longdesc=l></frameset>")),
              ElementsAre("frame src f", "frame longdesc l"));
}

TEST(html, srcset_is_cut_as_browsers_do) {
  const auto of = [](std::string_view set) {
    return raws(read_html("<img srcset=\"" + std::string{set} + "\">"));
  };
  EXPECT_THAT(of("a.png 1x, b.png 2x,c.png"), ElementsAre("a.png", "b.png", "c.png"));
  EXPECT_THAT(of(" a,b.png 1x,, data:,x 2x"), ElementsAre("a,b.png", "data:,x"));
  EXPECT_THAT(of("a.png, b.png,"), ElementsAre("a.png", "b.png"));
  EXPECT_THAT(of("a (x,y) 1x, b"), ElementsAre("a", "b"));
  EXPECT_THAT(of(",, ,"), IsEmpty());
  const document d = read_html("<img srcset=\"a&amp;b 1x,\n  c 2x\">");
  EXPECT_THAT(raws(d), ElementsAre("a&b", "c"));
  EXPECT_THAT(places(d), ElementsAre("1:14", "2:3"));
}

TEST(html, meta_refresh_is_a_link) {
  const auto of = [](std::string_view content) {
    return raws(read_html("<meta http-equiv=Refresh content=\"" + std::string{content} + "\">"));
  };
  EXPECT_THAT(of("5; url=next"), ElementsAre("next"));
  EXPECT_THAT(of("0;URL = 'a b' x"), ElementsAre("a b"));
  EXPECT_THAT(of("0.5,next"), ElementsAre("next"));
  EXPECT_THAT(of("0 next"), ElementsAre("next"));
  EXPECT_THAT(of("0; urlx"), ElementsAre("urlx"));
  EXPECT_THAT(of("5"), IsEmpty());
  EXPECT_THAT(of("x; url=no"), IsEmpty());
  EXPECT_THAT(places(read_html("<meta http-equiv=refresh content='5; url=next'>")),
              ElementsAre("1:42"));
}

TEST(html, meta_properties_that_are_urls_are_links) {
  const document d = read_html(
      "<meta property=og:image content=i><meta property=og:title content=no>"
      "<meta name=Twitter:Image content=t><meta property=og:url content=u>");
  EXPECT_THAT(raws(d), ElementsAre("i", "t", "u"));
  EXPECT_EQ(d.links[0].use, link_use::resource);
  EXPECT_EQ(d.links[2].use, link_use::navigation);
}

TEST(html, says_what_a_link_is_there_for) {
  const auto of = [](std::string_view tag) { return read_html(tag).links.at(0).use; };
  EXPECT_EQ(of("<a href=x>"), link_use::navigation);
  EXPECT_EQ(of("<iframe src=x>"), link_use::navigation);
  EXPECT_EQ(of("<link rel=next href=x>"), link_use::navigation);
  EXPECT_EQ(of("<img src=x>"), link_use::resource);
  EXPECT_EQ(of("<link rel='shortcut ICON' href=x>"), link_use::resource);
  EXPECT_EQ(of("<link rel='alternate stylesheet' href=x>"), link_use::stylesheet);
  EXPECT_EQ(of("<link rel=preconnect href=//x>"), link_use::hint);
  EXPECT_EQ(of("<link rel=dns-prefetch href=//x>"), link_use::hint);
  EXPECT_EQ(of("<form action=x>"), link_use::submission);
  EXPECT_EQ(of("<link rel=pingback href=x>"), link_use::submission);
  EXPECT_TRUE(read_html("<a href=x rel='external NoFollow'>").links.at(0).nofollow);
  EXPECT_EQ(read_html("<a href=x rel='external NoFollow'>").links.at(0).rel, "external nofollow");
  EXPECT_FALSE(read_html("<a href=x rel=nofollowing>").links.at(0).nofollow);
  EXPECT_TRUE(read_html("<meta name=robots content='noindex,NOFOLLOW'>").nofollow);
  EXPECT_FALSE(read_html("<meta name=robots content=index>").nofollow);
}

TEST(html, the_first_base_with_href_counts_for_all_links) {
  const document d = read_html(
      "<a href=before></a><base target=x><base href='../b/'><base href=/no/><a href=after></a>");
  EXPECT_EQ(d.base.href(), "http://example.com/b/");
  EXPECT_EQ(d.links[0].target->href(), "http://example.com/b/before");
  EXPECT_EQ(d.links[1].target->href(), "http://example.com/b/after");
  EXPECT_EQ(read_html("<base href='data:,x'>").base, page());
  EXPECT_EQ(read_html("<base href='http://[x'>").base, page());
}

TEST(html, a_link_that_is_no_url_says_why) {
  const document d = read_html("<a href='http://a:99999/'><a href=''><a href='  x\t'><a>no</a>");
  ASSERT_EQ(d.links.size(), 3);
  EXPECT_EQ(d.links[0].target.error(), url_errc::invalid_port);
  EXPECT_EQ(d.links[1].target->href(), "http://example.com/dir/page?q");
  EXPECT_EQ(d.links[2].raw, "x");
  EXPECT_THAT(places(d), ElementsAre("1:10", "1:36", "1:49"));
  // An image of nothing is none.
  EXPECT_THAT(raws(read_html("<img src=''><link href='' rel=icon><form action=''>")), IsEmpty());
}

TEST(html, a_link_too_long_for_a_url_is_kept_short) {
  const document d = read_html("<a href='" + std::string(1'000'000, 'x') + "'>");
  EXPECT_EQ(d.links.at(0).target.error(), url_errc::too_long);
  EXPECT_EQ(d.links.at(0).raw.size(), url::max_input + 1);
}

TEST(html, text_is_what_a_reader_sees) {
  const auto of = [](std::string_view body) { return read_html(body).links.at(0).text; };
  EXPECT_EQ(of("<a href=x> Hello <b>big\n\t world</b> &amp; &lt;all&gt; </a>no"),
            "Hello big world & <all>");
  EXPECT_EQ(of("<a href=x><img alt='An image'></a>"), "An image");
  EXPECT_EQ(of("<img src=x alt=' A  cat '>"), "A cat");
  EXPECT_EQ(of("<area href=x alt=here>"), "here");
  EXPECT_EQ(of("<iframe src=x title=film></iframe>"), "film");
  EXPECT_EQ(of("<a href=x><!-- no -->a<script>no</script>b<style>no{}</style></a>"), "ab");
  EXPECT_EQ(of("<a href=x>1 < 2</a>"), "1 < 2");
  const std::string text =
      read_html("<a href=x>" + std::string(1000, 'e') + "</a>").links.at(0).text;
  EXPECT_EQ(text.size(), 160);
  std::string umlauts;
  for (int i = 0; i < 200; ++i) umlauts += "ü";
  EXPECT_EQ(read_html("<a href=x>y" + umlauts + "</a>").links.at(0).text.size(), 159);
}

TEST(html, text_and_values_are_whole_however_they_are_written) {
  // What has to be decoded beside what has not, in one text, with odd characters in between.
  const auto text_of_link = [](std::string text) {
    const document d = read_html("<p>before <a href=x>" + text + "</a> after");
    return d.links.empty() ? "no link" : d.links.front().text;
  };
  EXPECT_EQ(text_of_link("one<!-- c --> two &amp; <b>three<i>four</b>five"),
            "one two & threefourfive");
  EXPECT_EQ(text_of_link("a &lt; b<!-- -->\ue000<!-- -->c &gt; d"), "a < b\ue000c > d");
  EXPECT_EQ(text_of_link("\r\nline\r\n line\x01\xff"), "line line\ufffd\ufffd");
  EXPECT_EQ(text_of_link("<table>in<tr>a<td>table"), "inatable");
  EXPECT_EQ(text_of_link("1 < 2 > 0"), "1 < 2 > 0");
  EXPECT_EQ(text_of_link("<img src=y alt='seen &amp; heard'>"), "seen & heard");
  const document d = read_html(
      "<a href='a&amp;b' id=one>x</a>\n<a id='t&#119;o' href = ' b\tc '>y</a><a "
      "href=\"\ue000\">z</a>"
      "<a href=unfinished id=three");
  EXPECT_THAT(raws(d), ElementsAre("a&b", "b\tc", "\ue000"));
  EXPECT_THAT(places(d), ElementsAre("1:10", "2:27", "2:47"));
  EXPECT_TRUE(d.anchors.contains("one"));
  EXPECT_TRUE(d.anchors.contains("two"));
  EXPECT_FALSE(d.anchors.contains("three"));
}

TEST(html, what_the_parser_makes_twice_is_one_link) {
  const document d = read_html("<a href=1><p>one</p>two<div>three</a>four</div><p><a href=2>five");
  EXPECT_THAT(raws(d), ElementsAre("1", "2"));
  EXPECT_EQ(d.links[0].text, "onetwothree");
}

TEST(html, code_is_left_out_unless_asked_for) {
  constexpr std::string_view text =
      "<pre><a href=1></a></pre><code><b><a href=2></a></b></code><samp><img src=3></samp>"
      "<kbd><a href=4></a></kbd><a href=5><code>yes</code></a><pre id=p><i id=i></i></pre>";
  EXPECT_THAT(raws(read_html(text)), ElementsAre("5"));
  EXPECT_THAT(raws(read_html(text, {.code_blocks = true})), ElementsAre("1", "2", "3", "4", "5"));
  EXPECT_THAT(read_html(text).anchors, ElementsAre("i", "p"));
}

TEST(html, what_is_no_content_holds_no_links) {
  EXPECT_THAT(raws(read_html("<!-- <a href=1> --><!--><a href=2><!----!><a href=3>"
                             "<script>'<a href=4>'</script><textarea><a href=5></textarea>"
                             "<title><a href=6></title><xmp><a href=7></xmp>"
                             "<iframe><a href=8></iframe><noembed><a href=9></noembed>")),
              ElementsAre("2", "3"));
  EXPECT_THAT(raws(read_html("<script><!-- <script> </script> <a href=1> --></script><a href=2>")),
              ElementsAre("2"));
  EXPECT_THAT(raws(read_html("<plaintext><a href=1>")), IsEmpty());
}

TEST(html, a_template_is_left_out_and_noscript_counts) {
  constexpr std::string_view text =
      "<template><a href=1 id=t></a><base href=/x/></template><noscript><a href=2></a></noscript>"
      "<head><noscript><link href=3 rel=stylesheet></noscript></head>";
  const document d = read_html(text);
  EXPECT_THAT(raws(d), ElementsAre("2", "3"));
  EXPECT_THAT(d.anchors, IsEmpty());
  EXPECT_EQ(d.base, page());
  EXPECT_THAT(raws(read_html(text, {.templates = true})), ElementsAre("1", "2", "3"));
}

TEST(html, styles_inside_are_read) {
  const document d = read_html(
      "<style>@import 'a.css'; b { background: url( b.png ) }</style>\n"
      "<p style='background: url(&quot;c.png&quot;)'><svg><style>a{b:url(&#x64;.png)}</style></svg>"
      "<svg><style><![CDATA[a{b:url(e.png)}]]></style>");
  EXPECT_THAT(brief(d), ElementsAre("style a.css", "style b.png", "p style c.png", "style d.png",
                                    "style e.png"));
  EXPECT_EQ(d.links[0].use, link_use::stylesheet);
  EXPECT_THAT(places(d), ElementsAre("1:17", "1:46", "2:33", "2:67", "2:122"));
}

TEST(html, svg_and_mathml_have_links_of_their_own) {
  const document d = read_html(
      "<svg><a href=1><text>t</text></a><a xlink:href=2></a><use href='s.svg#i'/>"
      "<image xlink:href=3 /><title><a href=4></a></title></svg><math href=5><mi>x</mi></math>"
      "<svg><desc><textarea><a href=no></textarea></desc></svg><a href=6>");
  EXPECT_THAT(brief(d), ElementsAre("a href 1", "a xlink:href 2", "use href s.svg#i",
                                    "image xlink:href 3", "a href 4", "math href 5", "a href 6"));
  EXPECT_EQ(d.links[0].text, "t");
  EXPECT_EQ(d.links[0].use, link_use::navigation);
  EXPECT_EQ(d.links[2].use, link_use::resource);
  // Sections of CDATA may begin and end anywhere in a style.
  EXPECT_THAT(places(read_html("<svg><style>u<![CDATA[rl(c)&amp;]]>&#97;{b:url<![CDATA[(]]>d)")),
              ElementsAre("1:26", "1:60"));
}

TEST(html, a_document_in_an_attribute_is_read_where_it_stands) {
  const document d = read_html(
      "<p>\n<iframe srcdoc=\"<p>&#10;</p><a href=&quot;in&amp;amp;side&quot; "
      "id=no>x</a>\"></iframe>");
  EXPECT_THAT(brief(d), ElementsAre("a href in&side"));
  EXPECT_THAT(places(d), ElementsAre("2:43"));
  EXPECT_THAT(d.anchors, IsEmpty());
  std::string nested = "<a href=deep>";
  for (int i = 0; i < 8; ++i) {
    std::string escaped;
    for (const char c : nested)
      escaped += c == '&' ? "&amp;" : c == '\'' ? "&apos;" : std::string(1, c);
    nested = "<iframe srcdoc='" + escaped + "'></iframe>";
  }
  EXPECT_THAT(raws(read_html(nested)), IsEmpty());
}

TEST(html, places_are_those_of_the_value) {
  const document d = read_html(
      "<p>\n\t<a href=1><a\nhref = \"2\"><a href='\n 3 '>\r\n<a href=4>\r<a href=5>é<a href=6>");
  EXPECT_THAT(places(d), ElementsAre("2:10", "3:9", "4:2", "5:9", "6:9", "6:20"));
  EXPECT_EQ(d.links[1].at.offset, 26);
}

TEST(html, entities_are_decoded_as_in_attributes) {
  EXPECT_THAT(raws(read_html("<a href='a?b=1&copy=2&amp;c&lt=&#x41;&#66&nosuch;'>")),
              ElementsAre("a?b=1&copy=2&c&lt=AB&nosuch;"));
  const document d = read_html("<img srcset='&NotEqualTilde;x 1x,&fjlig; 2x,&amp;&amp;amp 3x, z'>");
  EXPECT_THAT(raws(d), ElementsAre("≂̸x", "fj", "&&amp", "z"));
  EXPECT_THAT(places(d), ElementsAre("1:14", "1:34", "1:45", "1:63"));
}

TEST(html, places_are_right_where_gumbo_or_the_text_is_odd) {
  EXPECT_THAT(places(read_html("s<a href=&quot>i<a href=&amp;x>")), ElementsAre("1:10", "1:25"));
  EXPECT_THAT(places(read_html("<svg><style>a{b:url(&quoteume&quot);c:url(d)}")),
              ElementsAre("1:26", "1:43"));
  EXPECT_THAT(places(read_html("<svg><style><:url(6)<!-- -->url(7)")), ElementsAre("1:19", "1:33"));
  EXPECT_THAT(places(read_html(std::string_view{"<img srcset=\"\0\x01\xff, x\">", 22})),
              ElementsAre("1:14", "1:19"));
  // A soft hyphen stands for text that the parser is not shown.
  EXPECT_EQ(read_html("<a href=x>1\u00ad2<table></a>3</table>").links.at(0).text, "12");
}

TEST(html, broken_documents_are_read_as_browsers_do) {
  EXPECT_THAT(raws(read_html("<a href=1<b>x</a><a href=\"2\"href=\"no\"><a/href=3/><A HREF=4>")),
              ElementsAre("1<b", "2", "3/", "4"));
  EXPECT_THAT(raws(read_html("<a href=1>x</a><a href=\"2")), ElementsAre("1"));
  EXPECT_THAT(raws(read_html("<a href=1>x</a><!-- <a href=2>")), ElementsAre("1"));
  EXPECT_THAT(raws(read_html("<table><a href=1><tr><td><a href=2></table></p></br><a href=3>")),
              ElementsAre("1", "2", "3"));
  EXPECT_THAT(raws(read_html("</ <a href=no><? <a href=no><! <a href=no>< <a href=1>")),
              ElementsAre("1"));
  EXPECT_THAT(raws(read_html(std::string_view{"<a href=\"a\0b\">", 14})),
              ElementsAre("a\xef\xbf\xbd"
                          "b"));
  EXPECT_THAT(raws(read_html("")), IsEmpty());
}

TEST(html, attributes_after_a_slash_do_not_close_a_link) {
  const document d = read_html("<a href=http://x.y/>text</a><a href='z'/>more</a>");
  EXPECT_EQ(d.links.at(0).text, "text");
  EXPECT_EQ(d.links.at(1).text, "more");
}

std::string times(std::string_view s, int n) {
  std::string all;
  for (int i = 0; i < n; ++i) all += s;
  return all;
}

TEST(html, depth_and_numbers_cost_no_stack_and_linear_time) {
  // On the stack of a fiber such a page would end the program, and time by the square ends no test.
  EXPECT_THAT(raws(read_html(times("<div>", 60000) + "<a href=x>")), ElementsAre("x"));
  EXPECT_THAT(raws(read_html(times("<b>", 30000) + "<a href=x>")), ElementsAre("x"));
  EXPECT_THAT(raws(read_html(times("<table><tr><td>", 10000) + "<a href=x>")), ElementsAre("x"));
  EXPECT_THAT(raws(read_html("<svg>" + times("<g>", 30000) + "<a href=x>")), ElementsAre("x"));
  EXPECT_THAT(raws(read_html(times("<div>", 30000) + "<frameset><frame src=x>")), ElementsAre("x"));
  EXPECT_THAT(raws(read_html("<a " + times("b=1 href ", 100000) + "><a href=x>")),
              ElementsAre("", "x"));
  std::string fonts;
  for (int i = 0; i < 400; ++i)
    fonts += "<font size=" + std::to_string(i) + " id=" + std::to_string(i) + ">";
  EXPECT_THAT(
      raws(read_html("<div>" + fonts + "</div>" + times("<div>x</div>", 5000) + "<a href=x>")),
      ElementsAre("x"));
}

TEST(html, a_page_with_100000_links_has_them_all) {
  std::string text = "<ul>";
  for (int i = 0; i < 100000; ++i) {
    text += "<li><a href=/p/" + std::to_string(i) + " class=c>n" + std::to_string(i) + "</a>\n";
  }
  const document d = read_html(text);
  ASSERT_EQ(d.links.size(), 100000);
  for (std::size_t i = 0; i < d.links.size(); ++i) {
    ASSERT_EQ(d.links[i].raw, "/p/" + std::to_string(i));
    ASSERT_EQ(d.links[i].text, "n" + std::to_string(i));
    ASSERT_EQ(d.links[i].at.line, i + 1);
  }
}

TEST(html, what_is_open_stays_open_in_a_long_page) {
  const std::string many = times("<i>x</i>", 10000);
  EXPECT_THAT(raws(read_html("<pre>" + many + "<a href=1></a></pre><a href=2></a>")),
              ElementsAre("2"));
  EXPECT_THAT(raws(read_html("<template>" + many + "<a href=1></a></template><a href=2></a>")),
              ElementsAre("2"));
  EXPECT_THAT(brief(read_html("<svg>" + many + "</svg><svg>" + times("<g></g>", 10000) +
                              "<a xlink:href=1></svg>")),
              ElementsAre("a xlink:href 1"));
  EXPECT_THAT(raws(read_html(many + "<base href=/b/>" + many)), IsEmpty());
}

TEST(html, limits_are_told_and_what_was_found_is_kept) {
  const document d = read_html("<a href=1><a href=2><a href=3>", {.max_links = 2});
  EXPECT_THAT(raws(d), ElementsAre("1", "2"));
  ASSERT_TRUE(d.problem);
  EXPECT_EQ(d.problem->code(), errc::limit_exceeded);
  EXPECT_STREQ(d.problem->what(), "read http://example.com/dir/page?q: it has more than 2 links");
  const document e = read_html("<a href=1><a href=2>", {.max_size = 10});
  EXPECT_THAT(raws(e), ElementsAre("1"));
  EXPECT_EQ(e.problem.value().code(), errc::limit_exceeded);
  EXPECT_FALSE(read_html("<a href=1>", {.max_links = 1, .max_size = 10}).problem);
}

TEST(html, any_thread_may_read) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([] {
      for (int n = 0; n < 20; ++n) {
        EXPECT_EQ(read_html("<a href=x>y</a><style>a{b:url(z)}</style>").links.size(), 2);
      }
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace
}  // namespace oneloop::html_test
