// What the fuzzers share: a check that tells what it found, and the text of an input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>

namespace fuzz {

/// Ends the program, which the fuzzer takes for a crash and keeps the input of.
inline void check(bool ok, const char* rule) {
  if (ok) return;
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

/// An input, of which pieces are taken from the front.
class input {
 public:
  input(const std::uint8_t* data, std::size_t size)
      : rest_{reinterpret_cast<const char*>(data), size} {}

  /// A byte to make choices with; 0 if there is none.
  unsigned byte() {
    if (rest_.empty()) return 0;
    const auto b = static_cast<unsigned char>(rest_[0]);
    rest_.remove_prefix(1);
    return b;
  }
  /// What comes before the next line break.
  std::string_view line() {
    const std::size_t end = rest_.find('\n');
    const std::string_view l = rest_.substr(0, end);
    rest_.remove_prefix(end == rest_.npos ? rest_.size() : end + 1);
    return l;
  }
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

inline std::span<const std::byte> bytes(std::string_view s) { return std::as_bytes(std::span{s}); }

/// Sizes for cutting something into pieces: a walk that a number decides.
class pieces {
 public:
  explicit pieces(unsigned seed) : state_{seed} {}
  std::size_t next(std::size_t most) {
    state_ = state_ * 1664525U + 1013904223U;
    const unsigned r = state_ >> 16;
    // Single bytes are what finds most.
    const std::size_t n = r % 3 == 0 ? 1 : r % 61 + 1;
    return n < most ? n : most;
  }

 private:
  std::uint32_t state_;
};

}  // namespace fuzz
