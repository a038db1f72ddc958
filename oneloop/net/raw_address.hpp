// An address as the kernel wants it, kept opaque: what operations hold while a call is under way.
// Internal; the values of address.hpp are what programs use.
#pragma once

#include <sys/socket.h>

#include <cstddef>

#include "oneloop/base/config.hpp"
#include "oneloop/net/address.hpp"

namespace oneloop::inline v0::net {

class ONELOOP_API raw_address {
 public:
  /// Empty, to be filled by a call.
  raw_address() noexcept = default;
  explicit raw_address(const endpoint& e) noexcept;
  explicit raw_address(const unix_address& a) noexcept;

  [[nodiscard]] sockaddr* data() noexcept { return reinterpret_cast<sockaddr*>(&storage_); }
  [[nodiscard]] const sockaddr* data() const noexcept {
    return reinterpret_cast<const sockaddr*>(&storage_);
  }
  [[nodiscard]] sockaddr_storage* storage() noexcept { return &storage_; }
  [[nodiscard]] socklen_t size() const noexcept { return size_; }
  void set_size(socklen_t n) noexcept { size_ = n; }
  [[nodiscard]] int family() const noexcept { return storage_.ss_family; }

  /// 0.0.0.0:0 if it is of another family.
  [[nodiscard]] endpoint to_endpoint() const noexcept;
  [[nodiscard]] unix_address to_unix() const noexcept;
  /// Whichever of the two is asked for.
  void get(endpoint& e) const noexcept { e = to_endpoint(); }
  void get(unix_address& a) const noexcept { a = to_unix(); }

  /// getsockname(2) and getpeername(2); empty if the call fails.
  [[nodiscard]] static raw_address local_of(int fd) noexcept;
  [[nodiscard]] static raw_address peer_of(int fd) noexcept;

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = sizeof(sockaddr_storage);
};

}  // namespace oneloop::inline v0::net
