// Values as bytes that mean the same on every machine: what workers answer, and what is kept in
// files. Internal to check/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/probe_internal.hpp"

namespace oneloop::inline v0::detail {

template <class T>
concept wire_number = std::is_integral_v<T> || std::is_enum_v<T>;

class wire_writer {
 public:
  /// 7 bits a byte; small numbers are short, also negative ones.
  template <wire_number T>
  void put(T value) {
    const auto n = static_cast<std::int64_t>(value);
    put_bits((static_cast<std::uint64_t>(n) << 1U) ^ static_cast<std::uint64_t>(n >> 63U));
  }
  void put(duration d) { put(d.count()); }
  void put(std::string_view text) {
    put(text.size());
    bytes_ += text;
  }
  /// All but its url.
  void put(const check_result& r);
  void put(const probe_outcome& o);
  [[nodiscard]] std::string take() noexcept { return std::move(bytes_); }

 private:
  void put_bits(std::uint64_t n);
  std::string bytes_;
};

/// Throws error (protocol) if there are fewer bytes than asked for.
class wire_reader {
 public:
  explicit wire_reader(std::string_view bytes) noexcept : bytes_{bytes} {}
  template <wire_number T>
  void get(T& value) {
    const auto bits = get_bits();
    const auto n = static_cast<std::int64_t>(bits >> 1U) ^ -static_cast<std::int64_t>(bits & 1U);
    value = static_cast<T>(n);
  }
  void get(duration& d) { d = duration{get<duration::rep>()}; }
  void get(std::string& text) { text = cut(get<std::size_t>()); }
  /// Into one that is as forget() leaves it.
  void get(check_result& r);
  void get(probe_outcome& o);
  template <class T>
  [[nodiscard]] T get() {
    T value{};
    get(value);
    return value;
  }
  [[nodiscard]] bool empty() const noexcept { return bytes_.empty(); }

 private:
  std::string_view cut(std::size_t n);
  std::uint64_t get_bits();
  std::string_view bytes_;
};

}  // namespace oneloop::inline v0::detail
