#include <gtest/gtest.h>

#include <string>

#include "oneloop/check/fragments_internal.hpp"

namespace oneloop::inline v0::detail {
namespace {

html::anchor_set set_of(int page) {
  html::anchor_set all;
  for (int i = 0; i < 5; ++i) all.add("p" + std::to_string(page) + "-" + std::to_string(i));
  return all;
}

TEST(fragment_book, anchors_that_do_not_fit_into_memory_are_in_a_file) {
  fragment_book book{100};
  for (url_id page = 0; page < 1000; ++page) {
    book.know(page, packed(page % 7 == 0 ? html::anchor_set{} : set_of(static_cast<int>(page))));
  }
  EXPECT_FALSE(book.knows(1000));
  for (url_id page = 1000; page-- > 0;) {
    ASSERT_TRUE(book.knows(page));
    const auto expected = page % 7 == 0 ? html::anchor_set{} : set_of(static_cast<int>(page));
    EXPECT_EQ(book.anchors(page), expected) << page;
  }
}

TEST(fragment_book, links_wait_for_their_page_in_order) {
  fragment_book book;
  for (std::uint32_t line = 1; line < 4; ++line) book.wait({7, 1, {line, 1, "", "", "x"}});
  book.wait({8, 1, {9, 1, "", "", "x"}});
  const auto waiting = book.take(7);
  ASSERT_EQ(waiting.size(), 3u);
  EXPECT_EQ(waiting[2].place.line, 3u);
  EXPECT_TRUE(book.take(7).empty());
}

TEST(fragment_book, a_place_that_is_missing_may_be_there_in_another_case) {
  html::anchor_set anchors;
  anchors.add("Install");
  EXPECT_EQ(missing_fragment(anchors, "Install"), std::nullopt);
  EXPECT_EQ(missing_fragment(anchors, "install"), "there is \"Install\"");
  EXPECT_EQ(missing_fragment(anchors, "other"), "");
}

}  // namespace
}  // namespace oneloop::inline v0::detail
