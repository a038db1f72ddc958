#include <zlib.h>

#include <string>

#include "oneloop/html/extract_test.hpp"

namespace oneloop::html_test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

document sitemap(std::string_view text, const options& how = {}) {
  return read(document_kind::sitemap, text, how);
}

std::string gzip(std::string_view text) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

constexpr std::string_view simple =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
    "<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\" xmlns:i=\"urn:i\">\n"
    "<url><loc>\n http://a/?b&amp;c\n</loc><i:image><i:loc>no</i:loc></i:image></url>\n"
    "<url><i:loc>no</i:loc><lastmod>no</lastmod><loc><![CDATA[/d]]></loc></url></urlset>\n";

TEST(sitemap, has_the_places_of_its_urls) {
  const document d = sitemap(simple);
  EXPECT_THAT(brief(d), ElementsAre("loc http://a/?b&c", "loc /d"));
  EXPECT_THAT(places(d), ElementsAre("4:2", "6:58"));
  EXPECT_FALSE(d.problem);
  EXPECT_FALSE(d.sitemap_index);
}

TEST(sitemap, an_index_says_that_it_is_one) {
  const document d = sitemap(
      "\n<sitemapindex><sitemap><loc>s.xml</loc></sitemap><url><loc>no</loc></url></sitemapindex>");
  EXPECT_THAT(raws(d), ElementsAre("s.xml"));
  EXPECT_TRUE(d.sitemap_index);
}

TEST(sitemap, may_be_a_text) {
  const document d = sitemap("\xef\xbb\xbfhttp://a/\r\n\r\n http://b/ \nhttp://c/");
  EXPECT_THAT(raws(d), ElementsAre("http://a/", "http://b/", "http://c/"));
  EXPECT_THAT(places(d), ElementsAre("1:1", "3:2", "4:1"));
}

TEST(sitemap, may_be_gzipped_in_several_members) {
  const std::string text{simple};
  EXPECT_EQ(raws(sitemap(gzip(text))), raws(sitemap(text)));
  EXPECT_EQ(raws(sitemap(gzip(text.substr(0, 100)) + gzip(text.substr(100)))), raws(sitemap(text)));
}

TEST(sitemap, a_bomb_ends_at_the_limit) {
  const std::string bomb = gzip("<urlset><url><loc>x</loc></url>" + std::string(4'000'000, ' '));
  ASSERT_LT(bomb.size(), 10'000);
  const document d = sitemap(bomb, {.max_size = 100'000});
  EXPECT_EQ(d.problem.value().code(), errc::limit_exceeded);
  EXPECT_THAT(d.problem->what(), HasSubstr("it grows beyond the limit"));
  EXPECT_THAT(raws(d), ElementsAre("x"));
}

TEST(sitemap, what_is_cut_off_keeps_what_came) {
  const std::string whole = gzip(simple);
  EXPECT_THAT(sitemap(whole.substr(0, whole.size() - 10)).problem.value().what(),
              HasSubstr("its gzip stream is cut off"));
  std::string broken = whole;
  broken[20] ^= 0x55;
  EXPECT_EQ(sitemap(broken).problem.value().code(), errc::protocol);
  const document d = sitemap("<urlset><url><loc>x</loc></url><url><loc>y</lo");
  EXPECT_THAT(raws(d), ElementsAre("x"));
  EXPECT_EQ(d.problem.value().code(), errc::protocol);
  EXPECT_THAT(d.problem->what(), HasSubstr("broken XML at 1:"));
}

TEST(sitemap, entities_of_its_own_are_refused) {
  const document d = sitemap(
      "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>"
      "<urlset><url><loc>&b;</loc></url></urlset>");
  EXPECT_THAT(d.links, IsEmpty());
  EXPECT_EQ(d.problem.value().code(), errc::protocol);
  EXPECT_THAT(d.problem->what(), HasSubstr("entities of its own"));
  EXPECT_THAT(sitemap("<!DOCTYPE x [<!ENTITY % p SYSTEM 'file:///etc/passwd'>%p;]><urlset/>")
                  .problem.value()
                  .what(),
              HasSubstr("entities of its own"));
}

TEST(sitemap, other_xml_is_none) {
  EXPECT_THAT(sitemap("<rss><channel/></rss>").problem.value().what(),
              HasSubstr("<rss> is no sitemap"));
  EXPECT_THAT(sitemap("").links, IsEmpty());
}

TEST(sitemap, other_encodings_are_read) {
  const document d = sitemap(
      "<?xml version='1.0' encoding='windows-1251'?><urlset><url><loc>/\xc4</loc></url></urlset>");
  EXPECT_THAT(raws(d), ElementsAre("/Д"));
  EXPECT_EQ(d.charset, "windows-1251");
}

TEST(sitemap, depth_costs_no_stack) {
  std::string deep = "<urlset>";
  for (int i = 0; i < 100000; ++i) deep += "<a>";
  EXPECT_TRUE(sitemap(deep).problem);
}

}  // namespace
}  // namespace oneloop::html_test
