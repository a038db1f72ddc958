// Where things are on the network: IP addresses, endpoints (address and port), Unix socket paths.
// Plain values: trivially copyable, ordered, printed as people write them.
//
//     net::endpoint e{net::ip_address::loopback_v6(), 81};
//     std::string s = e.to_string();                         // "[::1]:81"
//     auto same = net::endpoint::parse("[::1]:81");          // std::optional
//     auto u = net::unix_address{"/run/app.sock"};           // or "@name": the abstract namespace
//
// Errors: parsing gives an empty optional; a Unix path that is too long throws oneloop::error.
// Threads: values. Cost: no allocation but in to_string; 24 bytes an IP address.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::net {

/// Which addresses of a name are wanted.
enum class family : std::uint8_t { any, v4, v6 };

/// An IPv4 or IPv6 address; 0.0.0.0 unless said otherwise.
class ONELOOP_API ip_address {
 public:
  constexpr ip_address() noexcept = default;

  [[nodiscard]] static constexpr ip_address v4(std::array<std::uint8_t, 4> bytes) noexcept {
    ip_address a;
    for (std::size_t i = 0; i < bytes.size(); ++i) a.bytes_[i] = bytes[i];
    return a;
  }
  /// `zone`: the interface index of a link-local address.
  [[nodiscard]] static constexpr ip_address v6(std::array<std::uint8_t, 16> bytes,
                                               std::uint32_t zone = 0) noexcept {
    ip_address a;
    a.bytes_ = bytes;
    a.zone_ = zone;
    a.is_v6_ = true;
    return a;
  }
  [[nodiscard]] static constexpr ip_address loopback_v4() noexcept { return v4({127, 0, 0, 1}); }
  [[nodiscard]] static constexpr ip_address loopback_v6() noexcept {
    return v6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
  }
  /// 0.0.0.0 and [::]: every address of this machine, for binding.
  [[nodiscard]] static constexpr ip_address any_v4() noexcept { return {}; }
  [[nodiscard]] static constexpr ip_address any_v6() noexcept { return v6({}); }

  /// "127.0.0.1", "::1", "fe80::1%eth0"; the strict forms of inet_pton, without brackets.
  [[nodiscard]] static std::optional<ip_address> parse(std::string_view text) noexcept;

  [[nodiscard]] constexpr bool is_v4() const noexcept { return !is_v6_; }
  [[nodiscard]] constexpr bool is_v6() const noexcept { return is_v6_; }
  /// 127.0.0.0/8, ::1 and ::ffff:127.0.0.0/104.
  [[nodiscard]] bool is_loopback() const noexcept;
  /// 0.0.0.0 or ::.
  [[nodiscard]] bool is_unspecified() const noexcept;
  /// An address of the public Internet, as far as addresses tell: none that the registries of RFC
  /// 6890 (IANA's special-purpose addresses) or the multicast ranges reserve for anything else. Not
  /// public are:
  ///   this machine        0.0.0.0/8, 127.0.0.0/8, ::, ::1
  ///   private networks    10/8, 172.16/12, 192.168/16, fc00::/7, fec0::/10; 100.64/10 (RFC 6598)
  ///   the link            169.254/16, fe80::/10
  ///   multicast and all   224/4, ff00::/8, 255.255.255.255
  ///   documentation       192.0.2/24, 198.51.100/24, 203.0.113/24, 2001:db8::/32, 3fff::/20
  ///   protocols, tests    192.0.0/24, 192.88.99/24, 198.18/15, 240/4, 100::/64, 2001::/23 (with
  ///                       Teredo), 5f00::/16, and all of IPv6 that is not 2000::/3
  /// An IPv6 address that stands for an IPv4 one (::ffff:0:0/96, ::/96, 64:ff9b::/96, 6to4's
  /// 2002::/16) is what that one is; 64:ff9b:1::/48, local NAT64, is not public.
  [[nodiscard]] bool is_public() const noexcept;
  /// What kind of address is_public refuses it for: "a loopback address"; empty for a public one.
  [[nodiscard]] std::string_view special_kind() const noexcept;
  /// 4 or 16 bytes, in network order.
  [[nodiscard]] std::span<const std::uint8_t> bytes() const noexcept {
    return {bytes_.data(), is_v6_ ? std::size_t{16} : std::size_t{4}};
  }
  [[nodiscard]] std::uint32_t zone() const noexcept { return zone_; }

  /// As RFC 5952 has it: "2001:db8::1".
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const ip_address&, const ip_address&) = default;
  /// IPv4 before IPv6, then by bytes.
  friend std::strong_ordering operator<=>(const ip_address& a, const ip_address& b) noexcept {
    if (a.is_v6_ != b.is_v6_) return a.is_v6_ <=> b.is_v6_;
    if (const auto order = a.bytes_ <=> b.bytes_; order != 0) return order;
    return a.zone_ <=> b.zone_;
  }

 private:
  std::array<std::uint8_t, 16> bytes_{};
  std::uint32_t zone_ = 0;
  bool is_v6_ = false;
};

/// The addresses that begin with the same bits: "10.0.0.0/8", "fe80::/10".
class ONELOOP_API ip_network {
 public:
  /// `bits` of `address` count: at most 32 of IPv4, 128 of IPv6.
  constexpr ip_network(const ip_address& address, unsigned bits) noexcept
      : address_{address}, bits_{bits} {}

  /// "10.0.0.0/8", or an address alone: that one.
  [[nodiscard]] static std::optional<ip_network> parse(std::string_view text) noexcept;

  /// An IPv4 address is in no IPv6 network, but one that is mapped into IPv6 (::ffff:10.0.0.1) is
  /// in IPv4's as well. Zones do not matter.
  [[nodiscard]] bool contains(const ip_address& a) const noexcept;
  [[nodiscard]] constexpr const ip_address& address() const noexcept { return address_; }
  [[nodiscard]] constexpr unsigned bits() const noexcept { return bits_; }

 private:
  ip_address address_;
  unsigned bits_;
};

/// An address and a port.
class ONELOOP_API endpoint {
 public:
  constexpr endpoint() noexcept = default;
  constexpr endpoint(ip_address address, std::uint16_t port) noexcept
      : address_{address}, port_{port} {}

  /// "127.0.0.1:81" or "[::1]:81". Names are not looked up. Throws error if it is anything else.
  explicit endpoint(std::string_view text);
  /// The same; nothing if it is anything else.
  [[nodiscard]] static std::optional<endpoint> parse(std::string_view text) noexcept;

  [[nodiscard]] constexpr const ip_address& address() const noexcept { return address_; }
  [[nodiscard]] constexpr std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const endpoint&, const endpoint&) = default;
  friend std::strong_ordering operator<=>(const endpoint&, const endpoint&) = default;

 private:
  ip_address address_;
  std::uint16_t port_ = 0;
};

/// The address of a Unix socket: a path of the file system, a name in Linux' abstract namespace
/// (which vanishes with its socket), or nothing (a client that bound none).
class ONELOOP_API unix_address {
 public:
  static constexpr std::size_t max_size = 107;

  constexpr unix_address() noexcept = default;
  /// A path; with a leading '@' the abstract name behind it. Throws error if it is too long, empty
  /// or contains a zero byte.
  explicit unix_address(std::string_view text);
  /// Any bytes as an abstract name.
  [[nodiscard]] static unix_address abstract(std::string_view name);

  [[nodiscard]] bool is_abstract() const noexcept { return abstract_; }
  [[nodiscard]] bool is_unnamed() const noexcept { return size_ == 0 && !abstract_; }
  /// The path, or the abstract name without '@'.
  [[nodiscard]] std::string_view name() const noexcept { return {text_.data(), size_}; }
  /// "/run/app.sock", "@name", or "unix socket" for an unnamed one.
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const unix_address&, const unix_address&) = default;

 private:
  std::array<char, max_size> text_{};
  std::uint8_t size_ = 0;
  bool abstract_ = false;
};

}  // namespace oneloop::inline v0::net
