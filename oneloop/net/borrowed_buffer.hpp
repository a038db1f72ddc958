// Room for what has arrived, borrowed from the loop: thousands of connections that wait hold no
// buffer, and the few that have something to read use the same ones again and again, which are warm
// in the cache.
//
//     for (;;) {
//       co_await peer.readable();
//       const net::borrowed_buffer space;
//       const std::size_t n = co_await peer.read_some(space.all());
//       if (n == 0) break;
//       co_await peer.write_all(space.first(n));
//     }
//
// Threads: made and destroyed on one loop, or on a thread without one (where it is plain memory).
// Errors: std::bad_alloc. Cost: nothing but a list, once warm; a loop keeps up to 8 spare ones.
#pragma once

#include <cstddef>
#include <span>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::net {

class ONELOOP_API borrowed_buffer {
 public:
  static constexpr std::size_t size = std::size_t{256} * 1024;

  borrowed_buffer();
  ~borrowed_buffer();
  borrowed_buffer(const borrowed_buffer&) = delete;
  borrowed_buffer& operator=(const borrowed_buffer&) = delete;

  [[nodiscard]] std::span<std::byte> all() const noexcept { return {bytes_, size}; }
  [[nodiscard]] std::span<std::byte> first(std::size_t n) const { return all().first(n); }

 private:
  std::byte* bytes_;
};

}  // namespace oneloop::inline v0::net
