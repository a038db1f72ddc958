#include "oneloop/deferred/gather.hpp"

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

first_error::first_error(std::size_t index, failure sub)
    : index_{index},
      sub_{std::move(sub)},
      text_{std::make_shared<const std::string>("part " + std::to_string(index) + ": " +
                                                sub_.what())} {}

namespace detail {

void parts_of_whole::let_cancel(chain& whole, const std::shared_ptr<parts_of_whole>& self) const {
  if (parts_.empty()) return;
  std::vector<chain_ref> kept;
  for (chain* c : parts_) kept.emplace_back((c->retain(), c));
  whole.set_canceller(
      [weak = std::weak_ptr{self}, kept = std::move(kept)] {
        if (const auto parts = weak.lock()) parts->cancel();
      },
      false);
  whole.kept_by_source();
}

void parts_of_whole::cancel() const {
  // Cancellers are users' code: they may fire any part.
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i] == nullptr) continue;
    parts_[i]->retain();
    const chain_ref keep{parts_[i]};
    keep->cancel();
  }
}

std::exception_ptr group(std::vector<std::exception_ptr> errors) {
  std::erase_if(errors, [](const std::exception_ptr& e) { return is_cancelled(e); });
  if (errors.empty()) return std::make_exception_ptr(cancelled{});
  return std::make_exception_ptr(exception_group{std::move(errors)});
}

std::exception_ptr first(std::size_t i, const failure& f) {
  if (is_cancelled(f.exception())) return f.exception();
  return std::make_exception_ptr(first_error{i, f});
}

}  // namespace detail
}  // namespace oneloop::inline v0
