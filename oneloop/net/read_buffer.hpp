// Bytes that have been read and not yet taken: a growing array with a front that moves.
//
//     net::read_buffer b;
//     b.add(receive_into(b.space(4096)));
//     std::string first = b.take_text(std::min<std::size_t>(b.size(), 10));
//
// Cost: amortised one copy a byte; the memory is given back when it is empty and was large.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "oneloop/base/aligned_bytes.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::net {

class ONELOOP_API read_buffer {
 public:
  /// An empty buffer gives back more than this.
  static constexpr std::size_t kept = 64 * 1024;

  read_buffer() noexcept = default;
  read_buffer(read_buffer&& o) noexcept { swap(o); }
  read_buffer& operator=(read_buffer&& o) noexcept {
    read_buffer moved{std::move(o)};
    swap(moved);
    return *this;
  }

  [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
  [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
  [[nodiscard]] std::span<const std::byte> data() const noexcept {
    return {bytes_.get() + begin_, size()};
  }
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.get()) + begin_, size()};
  }

  /// Room for at least `n` bytes behind the data (all that there is); valid until the next call.
  [[nodiscard]] std::span<std::byte> space(std::size_t n);
  /// `n` bytes have been put into the front of that room.
  void add(std::size_t n) noexcept { end_ += n; }
  /// Appends a copy.
  void append(std::span<const std::byte> bytes);

  /// Takes out at most `n` bytes.
  void consume(std::size_t n) noexcept;
  /// Takes out as many as fit; how many.
  std::size_t take(std::span<std::byte> to) noexcept;
  /// Takes out at most `n` bytes as a string.
  [[nodiscard]] std::string take_text(std::size_t n);

 private:
  void swap(read_buffer& o) noexcept {
    std::swap(bytes_, o.bytes_);
    std::swap(capacity_, o.capacity_);
    std::swap(begin_, o.begin_);
    std::swap(end_, o.end_);
  }
  aligned_bytes bytes_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace oneloop::inline v0::net
