#include "oneloop/scope/gather.hpp"

#include <string>

namespace oneloop::inline v0::detail {
namespace {

// The parts are in a scope below the waiter's: cancelling that scope cancels them, and the last one
// to end wakes the waiter.
template <combinator::rule Rule>
constexpr operation_info info{combinator::name_of(Rule), [](void*, waiter&) noexcept {}};

const operation_info& info_of(combinator::rule r) noexcept {
  using rule = combinator::rule;
  if (r == rule::all) return info<rule::all>;
  return r == rule::outcomes ? info<rule::outcomes> : info<rule::first>;
}

}  // namespace

void combinator::open(waiter& w, std::size_t parts) {
  if (w.home() == nullptr) {
    throw loop_not_running{std::string{name_of(rule_)} + " in a plain thread"};
  }
  waiter_ = &w;
  running_ = parts;
  scope_.emplace(w.home(), nullptr, &context_of(w).scope());
}

bool combinator::wait() noexcept {
  if (running_ == 0) return false;
  waiter_->arm(this, info_of(rule_));
  waiting_ = true;
  return true;
}

void combinator::part_ended(std::size_t index, const std::exception_ptr& error) noexcept {
  incomplete_ |= is_cancelled(error);
  if (first_ == none) {
    first_ = index;
    first_error_ = error;
    if (rule_ == rule::first) scope_->cancel();
  }
  if (rule_ == rule::all && error && !is_cancelled(error)) {
    errors_.push_back(error);
    scope_->cancel();
  }
  if (--running_ == 0 && waiting_) {
    waiter_->try_claim();
    waiter_->wake();
  }
}

void combinator::close() {
  // A part that failed by `cancelled` alone, in a scope that nobody cancelled, is an outcome.
  const bool cut_short = incomplete_ && (rule_ == rule::all || scope_->cancelled());
  scope_.reset();
  if (rule_ == rule::first) {
    if (first_error_) std::rethrow_exception(std::move(first_error_));
    return;
  }
  if (errors_.size() == 1) std::rethrow_exception(std::move(errors_.front()));
  if (!errors_.empty()) throw exception_group{std::move(errors_)};
  if (cut_short) throw cancelled{};
}

}  // namespace oneloop::inline v0::detail
