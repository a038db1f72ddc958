#include "oneloop/scope/gather.hpp"

namespace oneloop::inline v0::detail {
namespace {

// The parts are in a scope below the waiter's: cancelling that scope cancels them, and the last one
// to end wakes the waiter.
constexpr operation_info gather_info{"gather", [](void*, waiter&) noexcept {}};
constexpr operation_info first_of_info{"first_of", [](void*, waiter&) noexcept {}};

}  // namespace

void combinator::open(waiter& w, std::size_t parts) {
  if (w.home() == nullptr) {
    throw loop_not_running{rule_ == rule::all ? "gather in a plain thread"
                                              : "first_of in a plain thread"};
  }
  waiter_ = &w;
  running_ = parts;
  scope_.emplace(w.home(), nullptr, &context_of(w).scope());
}

bool combinator::wait() noexcept {
  if (running_ == 0) return false;
  waiter_->arm(this, rule_ == rule::all ? gather_info : first_of_info);
  waiting_ = true;
  return true;
}

void combinator::part_ended(std::size_t index, std::exception_ptr error) noexcept {
  const bool failed = error && !is_cancelled(error);
  incomplete_ |= error != nullptr;
  if (first_ == none) {
    first_ = index;
    first_error_ = error;
    if (rule_ == rule::first) scope_->cancel();
  }
  if (failed) {
    errors_.push_back(std::move(error));
    scope_->cancel();
  }
  if (--running_ == 0 && waiting_) {
    waiter_->try_claim();
    waiter_->wake();
  }
}

void combinator::close() {
  scope_.reset();
  if (rule_ == rule::first) {
    if (first_error_) std::rethrow_exception(std::move(first_error_));
    return;
  }
  if (errors_.size() == 1) std::rethrow_exception(std::move(errors_.front()));
  if (!errors_.empty()) throw exception_group{std::move(errors_)};
  if (incomplete_) throw cancelled{};  // without a failure, only a cancel ends a part early
}

}  // namespace oneloop::inline v0::detail
