#include "oneloop/base/log.hpp"

#include <gtest/gtest.h>

#include <string>

namespace oneloop {
namespace {

std::string g_heard;

TEST(log, goes_to_standard_error_as_one_line) {
  testing::internal::CaptureStderr();
  log(severity::warning, "low on memory");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "oneloop: warning: low on memory\n");
}

TEST(log, goes_to_the_hook_until_it_is_taken_back) {
  const log_hook before = set_log_hook([](severity s, std::string_view text) noexcept {
    g_heard = std::string{to_string(s)} + "/" + std::string{text};
  });
  log(severity::error, "x");
  EXPECT_EQ(g_heard, "error/x");
  set_log_hook(nullptr);
  testing::internal::CaptureStderr();
  log(severity::info, "y");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "oneloop: info: y\n");
  set_log_hook(before);
}

}  // namespace
}  // namespace oneloop
