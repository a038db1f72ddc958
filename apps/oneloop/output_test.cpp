#include "output.hpp"

#include <gtest/gtest.h>

#include <chrono>

namespace tool {
namespace {

using namespace std::chrono_literals;

TEST(progress, is_one_line_that_fits) {
  progress_state s;
  s.done = 12;
  s.in_flight = 64;
  s.time = 2s;
  EXPECT_EQ(progress_text(s, true, 100), "12 done, 0 bad, 6/s, 64 in flight");
  s.total = 200;
  s.bad = 3;
  s.waiting = 2;
  EXPECT_EQ(progress_text(s, true, 100),
            "12/200 done, \033[31m3 bad\033[0m, 6/s, 64 in flight, 2 to try again");
  EXPECT_EQ(progress_text(s, false, 100), "12/200 done, 3 bad, 6/s, 64 in flight, 2 to try again");
  EXPECT_EQ(progress_text(s, true, 20), "12/200 done, 3 bad,");
  EXPECT_EQ(progress_text(s, true, 0), "");
}

TEST(printable, has_no_control_characters) {
  EXPECT_EQ(printable("a\r\nb\033[2J\x7f"), "a  b [2J ");
  EXPECT_EQ(printable("\xc2\x9b\x32J\xc2\x80\xc2\xa0\xc3\x9b\xc2"), " 2J \xc2\xa0\xc3\x9b\xc2");
}

}  // namespace
}  // namespace tool
