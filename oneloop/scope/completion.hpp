// How one of several ended: what gather_outcomes and as_completed give in place of a result.
//
//     for (auto& c : co_await gather_outcomes(std::move(fetches))) {
//       if (!c.failed()) use(c.index(), c.get());
//     }
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

template <class T>
class completion {
  using stored = std::conditional_t<
      std::is_void_v<T>, char,
      std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, T>>;

 public:
  /// Its place among the others.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  [[nodiscard]] bool failed() const noexcept { return error_ != nullptr; }
  /// What it threw; null if it did not fail.
  [[nodiscard]] const std::exception_ptr& error() const noexcept { return error_; }
  /// The result, once; or throws what it threw.
  T get() {
    if (error_) std::rethrow_exception(error_);
    if constexpr (std::is_reference_v<T>) {
      return static_cast<T>(**value_);
    } else if constexpr (!std::is_void_v<T>) {
      return *std::move(value_);
    }
  }

  // ---- for models ----
  explicit completion(std::size_t index) noexcept : index_{index} {}
  void fail(std::exception_ptr error) noexcept { error_ = std::move(error); }
  /// Runs `get` and keeps what it gives; what it throws is thrown on.
  template <class Get>
  void keep(Get&& get) {
    if constexpr (std::is_void_v<T>) {
      get();
    } else if constexpr (std::is_reference_v<T>) {
      value_ = std::addressof(get());
    } else {
      value_.emplace(get());
    }
  }

 private:
  std::size_t index_;
  std::optional<stored> value_;
  std::exception_ptr error_;
};

}  // namespace oneloop::inline v0
