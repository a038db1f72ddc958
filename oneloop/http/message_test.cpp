#include "oneloop/http/message.hpp"

#include <gtest/gtest.h>

#include <string>

#include "oneloop/base/error.hpp"

namespace {

using oneloop::http::headers;

TEST(headers_test, lookup_ignores_case_and_order_stays) {
  headers h;
  h.add("Host", "a");
  h.add("X-One", "1");
  h.add("x-one", "2");
  EXPECT_EQ(h.get("HOST"), "a");
  EXPECT_EQ(h.get("X-ONE"), "1");
  EXPECT_FALSE(h.get("missing"));
  EXPECT_EQ(h.joined("x-One"), "1, 2");
  std::string order;
  for (const auto f : h) order.append(f.name).append("=").append(f.value).append(";");
  EXPECT_EQ(order, "Host=a;X-One=1;x-one=2;");
}

TEST(headers_test, set_replaces_all_at_the_place_of_the_first) {
  headers h;
  h.add("A", "1");
  h.add("B", "2");
  h.add("a", "3");
  h.add("C", "4");
  h.set("A", "new");
  ASSERT_EQ(h.size(), 3U);
  EXPECT_EQ(h[0].value, "new");
  EXPECT_EQ(h[1].name, "B");
  h.set("D", "5");
  EXPECT_EQ(h[3].name, "D");
  h.set("B", h.get("C").value());
  EXPECT_EQ(h.get("B"), "4");
  for (int i = 0; i < 100; ++i) h.add("E" + std::to_string(i), h[0].value);
  EXPECT_EQ(h.get("E99"), "new");
  for (int i = 0; i < 100; ++i) h.add(h[0].name, h[1].value);
  EXPECT_EQ(h[h.size() - 1].name, "A");
}

TEST(headers_test, remove_counts) {
  headers h;
  h.add("A", "1");
  h.add("a", "2");
  EXPECT_EQ(h.remove("A"), 2U);
  EXPECT_EQ(h.remove("A"), 0U);
  EXPECT_TRUE(h.empty());
}

TEST(headers_test, http08_single_accepts_equal_repetitions_only) {
  headers h;
  h.add("Location", "/a");
  h.add("location", "/a");
  EXPECT_EQ(h.single("Location"), "/a");
  h.add("LOCATION", "/b");
  EXPECT_THROW((void)h.single("Location"), oneloop::error);
  EXPECT_FALSE(h.single("missing"));
}

TEST(headers_test, tokens_of_a_list) {
  headers h;
  h.add("Connection", " keep-alive , Upgrade");
  h.add("connection", "x,,close");
  EXPECT_TRUE(h.has_token("Connection", "upgrade"));
  EXPECT_TRUE(h.has_token("Connection", "keep-alive"));
  EXPECT_TRUE(h.has_token("Connection", "CLOSE"));
  EXPECT_FALSE(h.has_token("Connection", "clos"));
}

TEST(headers_test, data_cannot_become_headers) {
  headers h;
  EXPECT_THROW(h.add("A", "1\r\nEvil: 2"), oneloop::misuse);
  EXPECT_THROW(h.add("A", std::string_view{"1\0", 2}), oneloop::misuse);
  EXPECT_THROW(h.add("A B", "1"), oneloop::misuse);
  EXPECT_THROW(h.add("", "1"), oneloop::misuse);
  EXPECT_THROW(h.set("A:", "1"), oneloop::misuse);
  EXPECT_TRUE(h.empty());
}

TEST(headers_test, values_are_trimmed) {
  headers h;
  h.add("A", " \t1 2\t ");
  EXPECT_EQ(h.get("A"), "1 2");
}

}  // namespace
