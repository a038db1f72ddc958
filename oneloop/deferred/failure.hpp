// What an errback receives: an exception that has been caught, to be looked at, handled or passed
// on.
//
//     d.add_errback([](failure f) {
//       f.trap<timeout_error>();          // everything else goes on down the chain
//       return std::string{"too slow"};
//     });
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

class failure {
 public:
  explicit failure(std::exception_ptr e) noexcept : error_{std::move(e)} {}

  /// The exception itself, if it is an E or derived from it; else null. It lives as long as this.
  template <class E>
  [[nodiscard]] const E* as() const noexcept {
    try {
      std::rethrow_exception(error_);
    } catch (const E& e) {
      return &e;
    } catch (...) {
      return nullptr;
    }
  }
  /// Whether it is one of these, or derived from one.
  template <class... E>
  [[nodiscard]] bool check() const noexcept {
    return ((as<E>() != nullptr) || ...);
  }
  /// Rethrows it unless it is one of these.
  template <class... E>
  void trap() const {
    if (!check<E...>()) rethrow();
  }
  [[noreturn]] void rethrow() const { std::rethrow_exception(error_); }
  /// One line for people.
  [[nodiscard]] std::string what() const { return describe(error_); }
  [[nodiscard]] const std::exception_ptr& exception() const noexcept { return error_; }

 private:
  std::exception_ptr error_;
};

}  // namespace oneloop::inline v0
