// What the checks of this folder throw: a rule did not hold.
//
//     try {
//       co_await testing::check_two_way_stream(make);
//     } catch (const testing::check_failed& e) {
//       log(e.what());   // "check_two_way_stream: close() is idempotent: it threw ..."
//     }
#pragma once

#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::testing {

class ONELOOP_API check_failed : public error {
 public:
  /// `check` is who looked, `rule` what should hold, `happened` what did instead.
  check_failed(std::string_view check, std::string_view rule, std::string_view happened);
  ~check_failed() override;
  check_failed(const check_failed&) noexcept = default;
  check_failed& operator=(const check_failed&) noexcept = default;

  /// The rule alone.
  [[nodiscard]] std::string_view rule() const noexcept {
    return std::string_view{what()}.substr(rule_at_, rule_size_);
  }

 private:
  std::size_t rule_at_, rule_size_;
};

}  // namespace oneloop::inline v0::testing
