// Values as bytes, between a program and its own workers. Internal to check/.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::detail {

class wire_writer {
 public:
  template <class T>
    requires std::is_trivially_copyable_v<T> && (!std::is_pointer_v<T>)
  void put(const T& value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(const std::string& text) {
    put(text.size());
    bytes_ += text;
  }
  [[nodiscard]] std::string take() noexcept { return std::move(bytes_); }

 private:
  std::string bytes_;
};

/// Throws error (protocol) if there are fewer bytes than asked for.
class wire_reader {
 public:
  explicit wire_reader(std::string_view bytes) noexcept : bytes_{bytes} {}
  template <class T>
    requires std::is_trivially_copyable_v<T> && (!std::is_pointer_v<T>)
  void get(T& value) {
    const auto bytes = cut(sizeof value);
    std::memcpy(&value, bytes.data(), bytes.size());
  }
  void get(std::string& text) {
    std::size_t size = 0;
    get(size);
    text = cut(size);
  }
  template <class T>
  [[nodiscard]] T get() {
    T value{};
    get(value);
    return value;
  }

 private:
  std::string_view cut(std::size_t n) {
    if (n > bytes_.size()) {
      throw error{"read", "a worker's answer", make_error_code(errc::protocol)};
    }
    const auto piece = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return piece;
  }
  std::string_view bytes_;
};

}  // namespace oneloop::inline v0::detail
