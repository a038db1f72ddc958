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
    : context_{c}, passed_before_{c.passed()}, waits_{c.home() != nullptr ? c.home()->waits() : 0} {
  c.set_passed(false);
}

checkpoint_watch::~checkpoint_watch() {
  if (passed_before_) context_.set_passed(true);
}

bool checkpoint_watch::waited() const noexcept {
  // While this party does not wait, nobody else does on its loop.
  return context_.home() == nullptr ? context_.passed() : context_.home()->waits() != waits_;
}

void checkpoint_watch::require_both() const {
  const bool passed = context_.passed();
  if (passed && waited()) return;
  throw check_failed{"assert_checkpoints", "the body passes a checkpoint",
                     passed     ? "it passed a cancel point, but waited for nothing"
                     : waited() ? "it waited, but passed no cancel point"
                                : "it passed none"};
}

void checkpoint_watch::require_none() const {
  const bool passed = context_.passed();
  if (!passed && !waited()) return;
  throw check_failed{"assert_no_checkpoints", "the body passes no checkpoint",
                     passed ? "it passed one" : "it waited"};
}

}  // namespace detail
}  // namespace oneloop::inline v0::testing
