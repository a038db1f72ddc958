#include "arguments.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace tool {
namespace {

using namespace std::chrono_literals;

TEST(duration, is_read_with_its_unit) {
  EXPECT_EQ(parse_duration("-t", "500ms"), 500ms);
  EXPECT_EQ(parse_duration("-t", "5s"), 5s);
  EXPECT_EQ(parse_duration("-t", "1m"), 1min);
  EXPECT_EQ(parse_duration("-t", "2h"), 2h);
  EXPECT_EQ(parse_duration("-t", "7"), 7s);
  EXPECT_EQ(parse_duration("-t", "1.5"), 1500ms);
  EXPECT_EQ(parse_duration("-t", "0.25s"), 250ms);
}

TEST(duration, must_be_one) {
  for (const char* text : {"", "s", "soon", "5 s", "5sec", "1e3s", "inf", "nan", "0", "0.1ms",
                           "-1s", "25h", "99999999999999999999999s", "5s5"}) {
    EXPECT_THROW((void)parse_duration("-t", text), usage_error) << text;
  }
}

TEST(count, must_be_a_whole_number_in_its_range) {
  EXPECT_EQ(parse_count("-c", "1", 1, 65535), 1u);
  EXPECT_EQ(parse_count("-c", "65535", 1, 65535), 65535u);
  for (const char* text :
       {"", "0", "65536", "-1", "+1", "1.5", "1k", " 1", "0x10", "99999999999999999999999"}) {
    EXPECT_THROW((void)parse_count("-c", text, 1, 65535), usage_error) << text;
  }
}

TEST(message, names_what_where_and_why) {
  try {
    (void)parse_duration("--timeout", "5x");
    FAIL();
  } catch (const usage_error& e) {
    EXPECT_STREQ(e.what(),
                 "--timeout 5x: not a duration: write 500ms, 5s, 1m or a number of seconds");
  }
}

}  // namespace
}  // namespace tool
