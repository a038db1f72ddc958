#include "oneloop/net/address.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/net/raw_address.hpp"

namespace oneloop::inline v0::net {
namespace {

std::optional<std::uint32_t> parse_number(std::string_view text, std::uint32_t max) noexcept {
  std::uint32_t n = 0;
  const auto [end, e] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (e != std::errc{} || end != text.data() + text.size() || n > max) return {};
  return n;
}

template <std::size_t N>
bool copy_text(std::string_view text, char (&to)[N]) noexcept {
  if (text.size() >= N || text.find('\0') != text.npos) return false;
  std::memcpy(to, text.data(), text.size());
  to[text.size()] = '\0';
  return true;
}

bool is_mapped_v4(std::span<const std::uint8_t> b) noexcept {
  return b[10] == 0xff && b[11] == 0xff &&
         std::all_of(b.begin(), b.begin() + 10, [](auto x) { return x == 0; });
}

}  // namespace

// ---- addresses ----

std::optional<ip_address> ip_address::parse(std::string_view text) noexcept {
  char zeroed[INET6_ADDRSTRLEN + 1];
  if (text.find(':') == text.npos) {
    std::array<std::uint8_t, 4> b;
    if (!copy_text(text, zeroed) || ::inet_pton(AF_INET, zeroed, b.data()) != 1) return {};
    return v4(b);
  }
  std::uint32_t zone = 0;
  if (const auto percent = text.find('%'); percent != text.npos) {
    const std::string_view name = text.substr(percent + 1);
    char interface[IF_NAMESIZE];
    if (const auto n = parse_number(name, 0xffffffff)) {
      zone = *n;
    } else if (copy_text(name, interface)) {
      zone = ::if_nametoindex(interface);
    }
    if (zone == 0) return {};
    text = text.substr(0, percent);
  }
  std::array<std::uint8_t, 16> b;
  if (!copy_text(text, zeroed) || ::inet_pton(AF_INET6, zeroed, b.data()) != 1) return {};
  return v6(b, zone);
}

bool ip_address::is_loopback() const noexcept {
  if (is_v4()) return bytes_[0] == 127;
  return *this == loopback_v6() || (is_mapped_v4(bytes()) && bytes_[12] == 127);
}

bool ip_address::is_unspecified() const noexcept {
  return std::all_of(bytes_.begin(), bytes_.end(), [](auto b) { return b == 0; });
}

std::string ip_address::to_string() const {
  char text[INET6_ADDRSTRLEN];
  std::string s{::inet_ntop(is_v6_ ? AF_INET6 : AF_INET, bytes_.data(), text, sizeof text)};
  if (zone_ != 0) {
    char name[IF_NAMESIZE];
    s += '%';
    if (::if_indextoname(zone_, name) != nullptr) {
      s += name;
    } else {
      s += std::to_string(zone_);
    }
  }
  return s;
}

// ---- networks ----

std::optional<ip_network> ip_network::parse(std::string_view text) noexcept {
  const auto slash = text.find('/');
  const auto address = ip_address::parse(text.substr(0, slash));
  if (!address) return {};
  const unsigned all = address->is_v6() ? 128 : 32;
  if (slash == text.npos) return ip_network{*address, all};
  const auto bits = parse_number(text.substr(slash + 1), all);
  if (!bits) return {};
  return ip_network{*address, *bits};
}

bool ip_network::contains(const ip_address& a) const noexcept {
  auto bytes = a.bytes();
  if (address_.is_v4() && a.is_v6()) {
    if (!is_mapped_v4(bytes)) return false;
    bytes = bytes.subspan(12);
  } else if (address_.is_v6() != a.is_v6()) {
    return false;
  }
  const auto ours = address_.bytes();
  const unsigned whole = bits_ / 8;
  if (!std::equal(ours.begin(), ours.begin() + whole, bytes.begin())) return false;
  const unsigned rest = bits_ % 8;
  return rest == 0 || ((ours[whole] ^ bytes[whole]) >> (8 - rest)) == 0;
}

namespace {

struct special_network {
  ip_network network;
  std::string_view kind;
};

constexpr ip_network v4_network(std::array<std::uint8_t, 4> bytes, unsigned bits) noexcept {
  return {ip_address::v4(bytes), bits};
}
/// From the first 16-bit groups, as IPv6 is written.
constexpr ip_network v6_network(std::array<std::uint16_t, 8> groups, unsigned bits) noexcept {
  std::array<std::uint8_t, 16> bytes{};
  for (std::size_t i = 0; i < groups.size(); ++i) {
    bytes[2 * i] = static_cast<std::uint8_t>(groups[i] >> 8);
    bytes[2 * i + 1] = static_cast<std::uint8_t>(groups[i]);
  }
  return {ip_address::v6(bytes), bits};
}

constexpr std::string_view unspecified = "an unspecified address";
constexpr std::string_view loopback = "a loopback address";
constexpr std::string_view private_use = "a private address";
constexpr std::string_view link_local = "a link-local address";
constexpr std::string_view multicast = "a multicast address";
constexpr std::string_view documentation = "an address for documentation";
constexpr std::string_view reserved = "a reserved address";

// The first that contains an address tells what it is.
constexpr special_network special_v4[] = {
    {v4_network({0, 0, 0, 0}, 8), unspecified},
    {v4_network({10, 0, 0, 0}, 8), private_use},
    {v4_network({100, 64, 0, 0}, 10), private_use},
    {v4_network({127, 0, 0, 0}, 8), loopback},
    {v4_network({169, 254, 0, 0}, 16), link_local},
    {v4_network({172, 16, 0, 0}, 12), private_use},
    {v4_network({192, 0, 0, 0}, 24), reserved},
    {v4_network({192, 0, 2, 0}, 24), documentation},
    {v4_network({192, 88, 99, 0}, 24), reserved},
    {v4_network({192, 168, 0, 0}, 16), private_use},
    {v4_network({198, 18, 0, 0}, 15), reserved},
    {v4_network({198, 51, 100, 0}, 24), documentation},
    {v4_network({203, 0, 113, 0}, 24), documentation},
    {v4_network({224, 0, 0, 0}, 4), multicast},
    {v4_network({255, 255, 255, 255}, 32), "the broadcast address"},
    {v4_network({240, 0, 0, 0}, 4), reserved},
};
constexpr special_network special_v6[] = {
    {v6_network({}, 128), unspecified},
    {v6_network({0, 0, 0, 0, 0, 0, 0, 1}, 128), loopback},
    {v6_network({0xfe80}, 10), link_local},
    {v6_network({0xfec0}, 10), private_use},
    {v6_network({0xfc00}, 7), private_use},
    {v6_network({0x64, 0xff9b, 1}, 48), private_use},
    {v6_network({0xff00}, 8), multicast},
    {v6_network({0x2001, 0xdb8}, 32), documentation},
    {v6_network({0x3fff}, 20), documentation},
    {v6_network({0x2001}, 23), reserved},
};
constexpr ip_network global_v6 = v6_network({0x2000}, 3);

/// Where an IPv4 address stands in an IPv6 one.
struct embedding {
  ip_network network;
  std::size_t at;
};
constexpr embedding embeddings[] = {
    {v6_network({0, 0, 0, 0, 0, 0xffff}, 96), 12},
    {v6_network({}, 96), 12},
    {v6_network({0x64, 0xff9b}, 96), 12},
    {v6_network({0x2002}, 16), 2},
};

}  // namespace

std::string_view ip_address::special_kind() const noexcept {
  const std::span<const special_network> list =
      is_v6_ ? std::span<const special_network>{special_v6} : special_v4;
  for (const auto& s : list) {
    if (s.network.contains(*this)) return s.kind;
  }
  if (is_v4()) return {};
  for (const auto& e : embeddings) {
    if (!e.network.contains(*this)) continue;
    return v4({bytes_[e.at], bytes_[e.at + 1], bytes_[e.at + 2], bytes_[e.at + 3]}).special_kind();
  }
  return global_v6.contains(*this) ? std::string_view{} : reserved;
}

bool ip_address::is_public() const noexcept { return special_kind().empty(); }

// ---- endpoints ----

endpoint::endpoint(std::string_view text) {
  const auto parsed = parse(text);
  if (!parsed) {
    throw error{system_code(EINVAL), "endpoint '" + std::string{text} + "': not ADDRESS:PORT"};
  }
  *this = *parsed;
}

std::optional<endpoint> endpoint::parse(std::string_view text) noexcept {
  const auto colon = text.rfind(':');
  if (colon == text.npos) return {};
  const auto port = parse_number(text.substr(colon + 1), 0xffff);
  std::string_view host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  const auto address = ip_address::parse(host);
  if (!port || !address || address->is_v6() != bracketed) return {};
  return endpoint{*address, static_cast<std::uint16_t>(*port)};
}

std::string endpoint::to_string() const {
  std::string s;
  if (address_.is_v6()) s += '[';
  s += address_.to_string();
  if (address_.is_v6()) s += ']';
  s += ':';
  return s += std::to_string(port_);
}

// ---- Unix paths ----

unix_address::unix_address(std::string_view text) {
  static_assert(max_size < sizeof(sockaddr_un::sun_path));
  if (text.starts_with('@')) {
    *this = abstract(text.substr(1));
    return;
  }
  if (text.empty() || text.find('\0') != text.npos) {
    throw error{"unix_address", text, system_code(EINVAL)};
  }
  if (text.size() > max_size) throw error{"unix_address", text, system_code(ENAMETOOLONG)};
  std::memcpy(text_.data(), text.data(), text.size());
  size_ = static_cast<std::uint8_t>(text.size());
}

unix_address unix_address::abstract(std::string_view name) {
  if (name.size() > max_size) {
    throw error{"unix_address", "@" + std::string{name}, system_code(ENAMETOOLONG)};
  }
  unix_address a;
  if (!name.empty()) std::memcpy(a.text_.data(), name.data(), name.size());
  a.size_ = static_cast<std::uint8_t>(name.size());
  a.abstract_ = true;
  return a;
}

std::string unix_address::to_string() const {
  if (is_unnamed()) return "unix socket";
  std::string s{abstract_ ? "@" : ""};
  for (const char c : name()) s += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  return s;
}

// ---- as the kernel wants them ----

raw_address::raw_address(const endpoint& e) noexcept {
  const auto bytes = e.address().bytes();
  if (e.address().is_v4()) {
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_port = htons(e.port());
    std::memcpy(&a.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&storage_, &a, size_ = sizeof a);
  } else {
    sockaddr_in6 a{};
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(e.port());
    a.sin6_scope_id = e.address().zone();
    std::memcpy(&a.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&storage_, &a, size_ = sizeof a);
  }
}

raw_address::raw_address(const unix_address& a) noexcept {
  sockaddr_un u{};
  u.sun_family = AF_UNIX;
  const std::string_view name = a.name();
  const std::size_t skip = a.is_abstract() ? 1 : 0;
  if (!name.empty()) std::memcpy(u.sun_path + skip, name.data(), name.size());
  // A path is followed by its zero, an abstract name is led by one.
  const std::size_t used = a.is_unnamed() ? 0 : name.size() + 1;
  size_ = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + used);
  std::memcpy(&storage_, &u, sizeof u);
}

endpoint raw_address::to_endpoint() const noexcept {
  if (family() == AF_INET) {
    sockaddr_in a;
    std::memcpy(&a, &storage_, sizeof a);
    std::array<std::uint8_t, 4> bytes;
    std::memcpy(bytes.data(), &a.sin_addr, bytes.size());
    return {ip_address::v4(bytes), ntohs(a.sin_port)};
  }
  if (family() == AF_INET6) {
    sockaddr_in6 a;
    std::memcpy(&a, &storage_, sizeof a);
    std::array<std::uint8_t, 16> bytes;
    std::memcpy(bytes.data(), &a.sin6_addr, bytes.size());
    return {ip_address::v6(bytes, a.sin6_scope_id), ntohs(a.sin6_port)};
  }
  return {};
}

unix_address raw_address::to_unix() const noexcept {
  constexpr std::size_t start = offsetof(sockaddr_un, sun_path);
  if (family() != AF_UNIX || size_ <= start) return {};
  sockaddr_un u;
  std::memcpy(&u, &storage_, sizeof u);
  std::string_view path{u.sun_path, std::min<std::size_t>(size_ - start, sizeof u.sun_path)};
  if (path.front() == '\0') return unix_address::abstract(path.substr(1));
  path = path.substr(0, path.find('\0'));
  if (path.size() > unix_address::max_size) return {};
  return unix_address{path};
}

raw_address raw_address::local_of(int fd) noexcept {
  raw_address a;
  if (sys::getsockname(fd, a.data(), &a.size_) != 0) a = {};
  return a;
}

raw_address raw_address::peer_of(int fd) noexcept {
  raw_address a;
  if (sys::getpeername(fd, a.data(), &a.size_) != 0) a = {};
  return a;
}

}  // namespace oneloop::inline v0::net
