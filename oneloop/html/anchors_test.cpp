#include "oneloop/html/anchors.hpp"

#include <ctime>
#include <string>

#include "oneloop/html/extract_test.hpp"

namespace oneloop::html_test {
namespace {

using ::testing::ElementsAre;

anchor_set of(std::initializer_list<std::string_view> names) {
  anchor_set a;
  for (const std::string_view n : names) a.add(n);
  return a;
}

TEST(anchors, are_ids_and_the_names_of_links) {
  EXPECT_THAT(read_html("<p id=One><a name=two><a name=a&amp;b id='c d'></a><img name=no>"
                        "<svg id=s><g id=g></svg><b id=''>")
                  .anchors,
              ElementsAre("a&b", "c d", "g", "One", "s", "two"));
}

TEST(anchors, match_as_written_then_decoded_and_by_case) {
  const anchor_set a = of({"Über", "a%20b", "c d", "Case"});
  EXPECT_TRUE(a.contains("Über"));
  EXPECT_TRUE(a.contains("%C3%9Cber"));
  EXPECT_TRUE(a.contains("a%20b"));
  EXPECT_TRUE(a.contains("a%2520b"));
  EXPECT_TRUE(a.contains("c%20d"));
  EXPECT_TRUE(a.contains("Case"));
  EXPECT_FALSE(a.contains("case"));
  EXPECT_FALSE(a.contains("a b"));
  EXPECT_EQ(a.find_other_case("cAsE"), "Case");
  EXPECT_EQ(a.find_other_case("none"), "");
}

TEST(anchors, another_case_is_found_without_looking_at_all_of_them) {
  const auto took = [](int n) {
    anchor_set a;
    for (int i = 0; i < n; ++i) a.add("Name-" + std::to_string(i));
    const auto begun = std::clock();  // of this process: others do not count
    for (int i = 0; i < n; ++i) {
      EXPECT_EQ(a.find_other_case("name-" + std::to_string(i)), "Name-" + std::to_string(i));
      EXPECT_EQ(a.find_other_case("name-x" + std::to_string(i)), "");
    }
    return std::clock() - begun;
  };
  took(1'000);
  const auto some = took(4'000);
  EXPECT_LT(took(40'000), some * 40);  // ten times as many; a square would be a hundred
}

TEST(anchors, the_top_and_text_fragments_are_always_there) {
  const anchor_set a = of({"x"});
  for (const char* f : {"", "top", "TOP", "%74op", ":~:text=any", "x:~:text=a,b", "x"}) {
    EXPECT_TRUE(a.contains(f)) << f;
  }
  EXPECT_FALSE(a.contains("y:~:text=a"));
  EXPECT_FALSE(a.contains("topper"));
}

}  // namespace
}  // namespace oneloop::html_test
