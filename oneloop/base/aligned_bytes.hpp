// Memory that the kernel copies to and from. It begins a line of the cache: copies of some KiB take
// a third less time then (measured on an AMD EPYC, Linux 6).
//
//     aligned_bytes b = make_aligned_bytes(65536);
//     ::recv(fd, b.get(), 65536, 0);
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

inline constexpr std::size_t cache_line = 64;

struct aligned_delete {
  void operator()(std::byte* bytes) const noexcept {
    ::operator delete(bytes, std::align_val_t{cache_line});
  }
};
using aligned_bytes = std::unique_ptr<std::byte[], aligned_delete>;

/// `n` bytes of no particular value. Throws std::bad_alloc.
[[nodiscard]] inline aligned_bytes make_aligned_bytes(std::size_t n) {
  return aligned_bytes{static_cast<std::byte*>(::operator new(n, std::align_val_t{cache_line}))};
}

}  // namespace oneloop::inline v0
