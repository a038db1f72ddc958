#include "oneloop/testing/checkpoints.hpp"

#include <string>

#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::testing {

check_failed::check_failed(std::string_view check, std::string_view rule, std::string_view happened)
    : error{make_error_code(errc::misuse),
            std::string{check}.append(": ").append(rule).append(": ").append(happened)},
      rule_at_{check.size() + 2},
      rule_size_{rule.size()} {}

check_failed::~check_failed() = default;

namespace detail {

checkpoint_watch::checkpoint_watch(context& c) noexcept
    : context_{c},
      outer_{std::exchange(c.passed, &passed_)},
      waits_{c.home() != nullptr ? c.home()->waits() : 0} {}

checkpoint_watch::~checkpoint_watch() {
  context_.passed = outer_;
  if (outer_ != nullptr) *outer_ = *outer_ || passed_;
}

bool checkpoint_watch::waited() const noexcept {
  // While this party does not wait, nobody else does on its loop.
  return context_.home() == nullptr ? passed_ : context_.home()->waits() != waits_;
}

void checkpoint_watch::require_both() const {
  if (passed_ && waited()) return;
  throw check_failed{"assert_checkpoints", "the body passes a checkpoint",
                     passed_    ? "it passed a cancel point, but waited for nothing"
                     : waited() ? "it waited, but passed no cancel point"
                                : "it passed none"};
}

void checkpoint_watch::require_none() const {
  if (!passed_ && !waited()) return;
  throw check_failed{"assert_no_checkpoints", "the body passes no checkpoint",
                     passed_ ? "it passed one" : "it waited"};
}

}  // namespace detail
}  // namespace oneloop::inline v0::testing
