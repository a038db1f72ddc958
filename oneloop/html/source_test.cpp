// Charsets, and what kind of document something is.
#include <string>

#include "oneloop/html/extract_test.hpp"

namespace oneloop::html_test {
namespace {

using ::testing::ElementsAre;
using namespace std::string_view_literals;

document plain(std::string_view text, std::string_view charset = "") {
  return read(document_kind::html, text, {.charset = std::string{charset}});
}

TEST(charset, of_html_is_windows_1252_unless_something_says_otherwise) {
  const document d = plain("<a href='\xe9\x80'>");
  EXPECT_EQ(d.charset, "windows-1252");
  EXPECT_THAT(raws(d), ElementsAre("é€"));
  EXPECT_EQ(read(document_kind::css, "").charset, "UTF-8");
  EXPECT_EQ(read(document_kind::markdown, "").charset, "UTF-8");
}

TEST(charset, of_files_is_utf8_if_their_bytes_are) {
  const auto of = [](std::string_view text) {
    return read(document_kind::html, text, {.perhaps_utf8 = true}).charset;
  };
  EXPECT_EQ(of("<p id=\"Überblick\">"), "UTF-8");
  EXPECT_EQ(of("<p id=x>"), "UTF-8");
  EXPECT_EQ(of("<p id='\xe9\x80'>"), "windows-1252");
  EXPECT_EQ(of("<p id=x>\xc3"), "windows-1252");
  EXPECT_EQ(of("<meta charset=koi8-r><p id=\"Überblick\">"), "KOI8-R");
}

TEST(charset, a_mark_outranks_the_header_and_that_outranks_meta) {
  constexpr auto meta = "<meta charset=koi8-r><a href='\xc1'>"sv;
  EXPECT_EQ(plain(meta).charset, "KOI8-R");
  EXPECT_EQ(plain(meta, "latin1").charset, "windows-1252");
  EXPECT_EQ(plain(meta, "no-such-charset").charset, "KOI8-R");
  EXPECT_EQ(plain("\xef\xbb\xbf" + std::string{meta}, "latin1").charset, "UTF-8");
  EXPECT_EQ(plain("\xff\xfe<\0a\0"sv, "latin1").charset, "UTF-16LE");
}

TEST(charset, is_found_in_meta_as_the_standard_scans_for_it) {
  const auto of = [](std::string_view head) { return plain(head).charset; };
  EXPECT_EQ(of("<META CharSet = 'UTF8' >"), "UTF-8");
  EXPECT_EQ(of("<meta http-equiv=Content-Type content='text/html; charset=iso-8859-2'>"),
            "ISO-8859-2");
  EXPECT_EQ(of("<meta content='text/html; charset=\"gb2312\"' http-equiv=content-type>"), "GBK");
  EXPECT_EQ(of("<meta content='charset=koi8-r'>"), "windows-1252");
  EXPECT_EQ(of("<!-- <meta charset=koi8-r> --><meta charset=sjis>"), "Shift_JIS");
  EXPECT_EQ(of("<p title='<meta charset=koi8-r>'><meta charset=sjis>"), "Shift_JIS");
  EXPECT_EQ(of("<meta charset=utf-16>"), "UTF-8");
  EXPECT_EQ(of("<?xml version='1.0' encoding='windows-1251'?><html>"), "windows-1251");
  EXPECT_EQ(of(std::string(1024, ' ') + "<meta charset=koi8-r>"), "windows-1252");
}

TEST(charset, places_stay_those_of_the_source) {
  // Three characters before the link in each, in one, two and two bytes.
  const document cyrillic = plain("\xc1\xc2\xc3<a href='\xc4/x'>\n<a href=y>", "windows-1251");
  EXPECT_THAT(raws(cyrillic), ElementsAre("Д/x", "y"));
  EXPECT_THAT(places(cyrillic), ElementsAre("1:13", "2:9"));
  EXPECT_EQ(cyrillic.links[0].at.offset, 12);
  EXPECT_EQ(cyrillic.links[1].at.offset, 26);
  const document japanese = plain("\x82\xa0\x82\xa2\x82\xa4<a href='\x83\x5c'>", "shift_jis");
  EXPECT_THAT(raws(japanese), ElementsAre("ソ"));
  EXPECT_THAT(places(japanese), ElementsAre("1:13"));
  EXPECT_EQ(japanese.links[0].at.offset, 15);
  const document utf16 = plain("\xff\xfe\x3d\xd8\x00\xde<\0a\0 \0h\0r\0e\0f\0=\0x\0>\0"sv);
  EXPECT_THAT(raws(utf16), ElementsAre("x"));
  EXPECT_THAT(places(utf16), ElementsAre("1:10"));
  EXPECT_EQ(utf16.links[0].at.offset, 22);
  const document marked = plain("\xef\xbb\xbf<a href=x>");
  EXPECT_THAT(places(marked), ElementsAre("1:9"));
  EXPECT_EQ(marked.links[0].at.offset, 11);
}

TEST(charset, a_long_document_keeps_its_places) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "\xe4";
  text += "<a href=x>";
  const document d = plain(text, "latin1");
  EXPECT_EQ(d.links.at(0).at.offset, 20008);
  EXPECT_EQ(d.links.at(0).at.column, 20009);
}

TEST(charset, bytes_that_are_no_characters_are_replaced) {
  const document d = plain("\xff\xc3<a href='a\xff/\xe2\x82'>", "utf-8");
  EXPECT_THAT(raws(d), ElementsAre("a\xef\xbf\xbd/\xef\xbf\xbd"));
  EXPECT_THAT(places(d), ElementsAre("1:12"));
  EXPECT_THAT(raws(plain("<a href='\x81'>", "shift_jis")).size(), 1);
  EXPECT_THAT(plain("<a href=x>", "iso-2022-kr").links, testing::IsEmpty());
}

TEST(charset, the_query_of_a_link_is_in_that_of_its_document) {
  EXPECT_EQ(plain("<a href='/\xe9?\xe9=\x80#\xe9'>").links.at(0).target->href(),
            "http://example.com/%C3%A9?%E9=%80#%C3%A9");
  EXPECT_EQ(plain("<a href='?\xc3\xa9'>", "utf-8").links.at(0).target->href(),
            "http://example.com/dir/page?%C3%A9");
  EXPECT_EQ(plain("<a href='?&#x416;'><p>\xe9").links.at(0).target->href(),
            "http://example.com/dir/page?%26%231046%3B");
  EXPECT_EQ(plain("<a href='mailto:x?\xe9'>").links.at(0).target->href(), "mailto:x?%C3%A9");
}

TEST(charset, of_style_sheets_is_in_their_first_rule) {
  EXPECT_EQ(read(document_kind::css, "@charset \"windows-1251\";").charset, "windows-1251");
  EXPECT_EQ(read(document_kind::css, " @charset \"windows-1251\";").charset, "UTF-8");
  EXPECT_EQ(read(document_kind::css, "@charset \"utf-16\";").charset, "UTF-8");
}

TEST(media, goes_by_the_content_type) {
  EXPECT_EQ(media_of("text/html; charset=UTF-8").kind, document_kind::html);
  EXPECT_EQ(media_of("text/html; charset=UTF-8").charset, "UTF-8");
  EXPECT_EQ(media_of("Text/HTML;x=\"a;b\";CharSet=\"koi8-r\"").charset, "koi8-r");
  EXPECT_EQ(media_of("application/xhtml+xml").kind, document_kind::html);
  EXPECT_EQ(media_of("image/svg+xml").kind, document_kind::html);
  EXPECT_EQ(media_of("text/css").kind, document_kind::css);
  EXPECT_EQ(media_of("text/markdown; variant=GFM").kind, document_kind::markdown);
  EXPECT_EQ(media_of("application/pdf", "/x.html").kind, document_kind::none);
  EXPECT_EQ(media_of("text/plain", "/x.html?").kind, document_kind::none);
}

TEST(media, goes_by_name_and_bytes_where_the_type_says_little) {
  EXPECT_EQ(media_of("", "/README.md").kind, document_kind::markdown);
  EXPECT_EQ(media_of("text/plain", "/README.MD").kind, document_kind::markdown);
  EXPECT_EQ(media_of("", "a.htm").kind, document_kind::html);
  EXPECT_EQ(media_of("", "", "\xef\xbb\xbf <!DOCTYPE HTML>").kind, document_kind::html);
  EXPECT_EQ(media_of("text/plain", "", "<html>").kind, document_kind::none);
  EXPECT_EQ(media_of("application/xml", "/x", "<?xml version='1.0'?><urlset>").kind,
            document_kind::sitemap);
  EXPECT_EQ(media_of("application/xml", "/sitemap.xml", "<rss>").kind, document_kind::none);
  EXPECT_EQ(media_of("application/octet-stream", "/sitemap.xml.gz").kind, document_kind::sitemap);
  EXPECT_EQ(media_of("text/plain", "/sitemap.txt").kind, document_kind::sitemap);
  EXPECT_EQ(media_of("", "noext", "text").kind, document_kind::none);
}

}  // namespace
}  // namespace oneloop::html_test
