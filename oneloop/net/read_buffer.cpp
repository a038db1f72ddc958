#include "oneloop/net/read_buffer.hpp"

#include <algorithm>
#include <cstring>

namespace oneloop::inline v0::net {

std::span<std::byte> read_buffer::space(std::size_t n) {
  if (capacity_ - end_ < n) {
    if (capacity_ - size() >= n && begin_ >= size()) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, size());
    } else {
      const std::size_t wanted = std::max(capacity_ + capacity_ / 2, size() + n);
      auto larger = make_aligned_bytes(wanted);
      if (!empty()) std::memcpy(larger.get(), bytes_.get() + begin_, size());
      bytes_ = std::move(larger);
      capacity_ = wanted;
    }
    end_ -= begin_;
    begin_ = 0;
  }
  return {bytes_.get() + end_, capacity_ - end_};
}

void read_buffer::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const auto room = space(bytes.size());
  std::memcpy(room.data(), bytes.data(), bytes.size());
  add(bytes.size());
}

void read_buffer::consume(std::size_t n) noexcept {
  begin_ += std::min(n, size());
  if (!empty()) return;
  begin_ = end_ = 0;
  if (capacity_ > kept) {
    bytes_.reset();
    capacity_ = 0;
  }
}

std::size_t read_buffer::take(std::span<std::byte> to) noexcept {
  const std::size_t n = std::min(to.size(), size());
  if (n != 0) std::memcpy(to.data(), bytes_.get() + begin_, n);
  consume(n);
  return n;
}

std::string read_buffer::take_text(std::size_t n) {
  std::string s{text().substr(0, n)};
  consume(n);
  return s;
}

}  // namespace oneloop::inline v0::net
