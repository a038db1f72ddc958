// 15: what the answer to a request for the rest of a body means.
#include "oneloop/http/range.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <utility>

namespace {

using namespace oneloop::http;
using outcome = partial_content::outcome;

headers fields(std::initializer_list<std::pair<const char*, const char*>> list) {
  headers h;
  for (const auto& [name, value] : list) h.add(name, value);
  return h;
}

content_range part(std::uint64_t first, std::uint64_t last, std::optional<std::uint64_t> total) {
  return {content_range::span{first, last}, total};
}

TEST(http_point_15, content_range) {
  EXPECT_EQ(parse_content_range("bytes 0-499/1234"), part(0, 499, 1234));
  EXPECT_EQ(parse_content_range("bytes 500-500/501"), part(500, 500, 501));
  EXPECT_EQ(parse_content_range("Bytes 0-0/*"), part(0, 0, std::nullopt));
  EXPECT_EQ(parse_content_range("bytes 0-18446744073709551614/18446744073709551615"),
            part(0, 18446744073709551614U, 18446744073709551615U));
  EXPECT_EQ(parse_content_range("bytes */1234"), (content_range{std::nullopt, 1234}));
  EXPECT_EQ(parse_content_range("bytes */0"), (content_range{std::nullopt, 0}));
  EXPECT_EQ(parse_content_range("bytes 007-008/010"), part(7, 8, 10));
}

TEST(http_point_15, content_range_that_makes_no_sense) {
  for (const char* text : {"",
                           "bytes",
                           "bytes ",
                           "bytes 0-499",
                           "bytes 0-499/",
                           "bytes 499-0/1234",
                           "bytes 0-1234/1234",
                           "bytes 0-0/0",
                           "bytes */*",
                           "bytes -499/1234",
                           "bytes 0-/1234",
                           "bytes 0-499/1234 ",
                           "bytes  0-499/1234",
                           "bytes=0-499/1234",
                           "bytes 0 - 499/1234",
                           "bytes +0-499/1234",
                           "bytes 0--1/1234",
                           "bytes 0-499/0x1234",
                           "items 0-499/1234",
                           "bytes 0-18446744073709551616/*",
                           "bytes 99999999999999999999-99999999999999999999/*",
                           "bytes 0-1/18446744073709551616",
                           "0-499/1234",
                           "bytes 0-1,3-4/10"}) {
    EXPECT_FALSE(parse_content_range(text)) << text;
  }
}

TEST(http_point_15, strong_entity_tags) {
  for (const char* text :
       {R"("")", R"("a")", R"("W/a")", R"("a,b\")", "\"\xc3\xa9\"", R"("!#$")"}) {
    EXPECT_TRUE(is_strong_etag(text)) << text;
  }
  for (const char* text : {"", "\"", "a", R"(W/"a")", R"(w/"a")", R"("a)", R"(a")", R"("a"b")",
                           R"("a", "b")", "\"a b\"", "\"a\tb\"", "\"\x7f\"", R"('a')"}) {
    EXPECT_FALSE(is_strong_etag(text)) << text;
  }
}

TEST(http_point_15, validators) {
  constexpr const char* early = "Sun, 06 Nov 1994 08:49:37 GMT";
  constexpr const char* later = "Sun, 06 Nov 1994 08:49:38 GMT";
  EXPECT_EQ(strong_validator({}), "");
  EXPECT_EQ(strong_validator(fields({{"ETag", "\"a\""}})), "\"a\"");
  EXPECT_EQ(strong_validator(fields({{"etag", "\"a\""}, {"ETag", "\"a\""}})), "\"a\"");
  EXPECT_EQ(strong_validator(fields({{"ETag", "\"a\""}, {"ETag", "\"b\""}})), "");
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", early}, {"Date", later}})), early);
  // As old as the answer itself: it may have changed again within that second.
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", later}, {"Date", later}})), "");
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", later}, {"Date", early}})), "");
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", early}})), "");
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", "yesterday"}, {"Date", later}})), "");
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", early}, {"Date", "today"}})), "");
  // With an ETag that is weak the server says that it does not know better.
  EXPECT_EQ(
      strong_validator(fields({{"ETag", "W/\"a\""}, {"Last-Modified", early}, {"Date", later}})),
      "");
  EXPECT_EQ(
      strong_validator(fields({{"ETag", "\"a\""}, {"Last-Modified", early}, {"Date", later}})),
      "\"a\"");
  EXPECT_EQ(strong_validator(fields({{"Last-Modified", "Sunday, 06-Nov-94 08:49:37 GMT"},
                                     {"Date", "Sun, 06 Nov 1994 09:49:37 GMT"}})),
            "Sunday, 06-Nov-94 08:49:37 GMT");
}

TEST(http_point_15, what_is_asked) {
  headers h = fields({{"Accept", "*/*"}, {"Range", "bytes=0-1"}});
  const partial_content got{1000, 5000, "\"v1\""};
  EXPECT_TRUE(got.resumable());
  got.ask(h);
  EXPECT_EQ(h.get("Range"), "bytes=1000-");
  EXPECT_EQ(h.get("If-Range"), "\"v1\"");
  EXPECT_EQ(h.get("Accept"), "*/*");
  // Nothing at hand, or nothing to tell it by: all of it, please.
  for (const partial_content& none :
       {partial_content{0, 5000, "\"v1\""}, partial_content{1000, 5000, ""}}) {
    EXPECT_FALSE(none.resumable());
    none.ask(h);
    EXPECT_FALSE(h.contains("Range"));
    EXPECT_FALSE(h.contains("If-Range"));
    EXPECT_EQ(h.size(), 1U);
  }
}

TEST(http_point_15, what_the_answer_means) {
  const partial_content got{1000, 5000, "\"v1\""};
  const struct {
    const char* why;
    int status;
    headers head;
    outcome expected;
  } cases[] = {
      {"the rest", 206, fields({{"Content-Range", "bytes 1000-4999/5000"}}), outcome::append},
      {"a part of the rest", 206, fields({{"Content-Range", "bytes 1000-1999/5000"}}),
       outcome::append},
      {"the total is not told", 206, fields({{"Content-Range", "bytes 1000-4999/*"}}),
       outcome::append},
      {"the same tag", 206, fields({{"Content-Range", "bytes 1000-4999/5000"}, {"ETag", "\"v1\""}}),
       outcome::append},
      {"twice the same", 206,
       fields(
           {{"Content-Range", "bytes 1000-4999/5000"}, {"Content-Range", "bytes 1000-4999/5000"}}),
       outcome::append},
      {"it has changed: all of it", 200, fields({{"ETag", "\"v2\""}}), outcome::restart},
      {"a server that knows no ranges", 200, {}, outcome::restart},
      {"another start", 206, fields({{"Content-Range", "bytes 0-4999/5000"}}), outcome::refused},
      {"a later start", 206, fields({{"Content-Range", "bytes 1001-4999/5000"}}), outcome::refused},
      {"another total", 206, fields({{"Content-Range", "bytes 1000-5999/6000"}}), outcome::refused},
      {"another tag", 206, fields({{"Content-Range", "bytes 1000-4999/5000"}, {"ETag", "\"v2\""}}),
       outcome::refused},
      {"the same tag, but weak", 206,
       fields({{"Content-Range", "bytes 1000-4999/5000"}, {"ETag", "W/\"v1\""}}), outcome::refused},
      {"no Content-Range (several parts)", 206,
       fields({{"Content-Type", "multipart/byteranges; boundary=x"}}), outcome::refused},
      {"two of them", 206,
       fields({{"Content-Range", "bytes 1000-4999/5000"}, {"Content-Range", "bytes 0-1/5000"}}),
       outcome::refused},
      {"one that makes no sense", 206, fields({{"Content-Range", "bytes 1000-5000/5000"}}),
       outcome::refused},
      {"nothing satisfied", 206, fields({{"Content-Range", "bytes */5000"}}), outcome::refused},
      {"past the end", 416, fields({{"Content-Range", "bytes */900"}}), outcome::refused},
      {"not at the end", 416, fields({{"Content-Range", "bytes */5000"}}), outcome::refused},
      {"no reason given", 416, {}, outcome::refused},
      {"an error", 503, fields({{"Content-Range", "bytes 1000-4999/5000"}}), outcome::refused},
      {"not modified", 304, {}, outcome::refused},
      {"no content", 204, {}, outcome::refused},
  };
  for (const auto& c : cases) EXPECT_EQ(got.answer(c.status, c.head), c.expected) << c.why;
}

TEST(http_point_15, all_was_there_already) {
  const headers at_end = fields({{"Content-Range", "bytes */1000"}});
  EXPECT_EQ((partial_content{1000, {}, "\"v1\""}.answer(416, at_end)), outcome::complete);
  EXPECT_EQ((partial_content{1000, 1000, "\"v1\""}.answer(416, at_end)), outcome::complete);
  EXPECT_EQ((partial_content{1000, 2000, "\"v1\""}.answer(416, at_end)), outcome::refused);
  EXPECT_EQ((partial_content{999, {}, "\"v1\""}.answer(416, at_end)), outcome::refused);
}

TEST(http_point_15, a_date_as_validator) {
  const char* date = "Sun, 06 Nov 1994 08:49:37 GMT";
  const partial_content got{10, {}, date};
  EXPECT_EQ(got.answer(206, fields({{"Content-Range", "bytes 10-19/20"}})), outcome::append);
  EXPECT_EQ(got.answer(206, fields({{"Content-Range", "bytes 10-19/20"}, {"Last-Modified", date}})),
            outcome::append);
  EXPECT_EQ(got.answer(206, fields({{"Content-Range", "bytes 10-19/20"},
                                    {"Last-Modified", "Sun, 06 Nov 1994 08:49:38 GMT"}})),
            outcome::refused);
}

TEST(http_point_15, a_range_that_nobody_asked_for) {
  const headers h = fields({{"Content-Range", "bytes 0-9/20"}});
  EXPECT_EQ((partial_content{0, {}, "\"v1\""}.answer(206, h)), outcome::refused);
  EXPECT_EQ((partial_content{0, {}, ""}.answer(200, {})), outcome::restart);
}

}  // namespace
