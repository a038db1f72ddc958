// The kernel's side of a simulated network: descriptors, calls, requests, ports, faults, datagrams.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "oneloop/testing/simulated_sockets_internal.hpp"

namespace oneloop::inline v0::testing::detail {
namespace {

constexpr int first_fd = 1 << 30;
constexpr std::size_t header = 28;  // of a datagram
constexpr std::size_t largest_datagram = 65507;
constexpr std::size_t smallest_buffer = 2304;

namespace state {
constexpr std::uint32_t started = 1, finished = 2;
}

std::size_t index(direction way) noexcept { return static_cast<std::size_t>(way); }

net::ip_address any_of(int family) noexcept {
  return family == AF_INET6 ? net::ip_address::any_v6() : net::ip_address::any_v4();
}

net::ip_address unmapped(const net::ip_address& a) noexcept {
  constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  const auto b = a.bytes();
  if (!a.is_v6() || !std::equal(prefix.begin(), prefix.end(), b.begin())) return a;
  return net::ip_address::v4({b[12], b[13], b[14], b[15]});
}

/// How well a socket fits that is bound to `own` (and takes IPv6 only) a packet for `to`: 0: not at
/// all.
int fit(const net::ip_address& own, bool v6_only, const net::ip_address& to) noexcept {
  if (own == to) return 2;
  if (!own.is_unspecified()) return 0;
  return own.is_v4() ? to.is_v4() : to.is_v6() || !v6_only;
}

bool v6_only(const socket& s) noexcept { return s.option(IPPROTO_IPV6, IPV6_V6ONLY) != 0; }

int fit(const socket& s, const net::endpoint& to) noexcept {
  return fit(s.local.address(), v6_only(s), to.address());
}

std::string unix_name_of(const sockaddr* at, socklen_t size) {
  constexpr std::size_t start = offsetof(sockaddr_un, sun_path);
  if (size <= start) return {};
  const auto* text = reinterpret_cast<const char*>(at) + start;
  std::string name{text, size - start};
  return name.front() == '\0' ? name : name.substr(0, name.find('\0'));
}

void write_unix_name(const std::string& name, sockaddr* to, socklen_t* size) noexcept {
  sockaddr_un u{};
  u.sun_family = AF_UNIX;
  const std::size_t n = std::min(name.size(), sizeof u.sun_path);
  std::memcpy(u.sun_path, name.data(), n);
  const auto full = static_cast<socklen_t>(name.empty() ? sizeof u.sun_family
                                                        : offsetof(sockaddr_un, sun_path) + n +
                                                              (name.front() == '\0' ? 0 : 1));
  std::memcpy(to, &u, std::min(*size, full));
  *size = full;
}

std::size_t size_of(const msghdr& m) noexcept {
  std::size_t n = 0;
  for (std::size_t i = 0; i < m.msg_iovlen; ++i) n += m.msg_iov[i].iov_len;
  return n;
}

}  // namespace

void write_address(const net::endpoint& e, int family, sockaddr* to, socklen_t* size) noexcept {
  sockaddr_storage s{};
  socklen_t full = 0;
  const auto b = e.address().bytes();
  if (family == AF_INET6) {
    auto& a = reinterpret_cast<sockaddr_in6&>(s);
    a.sin6_family = AF_INET6;
    a.sin6_port = htons(e.port());
    if (e.address().is_v6()) {
      std::memcpy(&a.sin6_addr, b.data(), 16);
      a.sin6_scope_id = e.address().zone();
    } else {
      a.sin6_addr.s6_addr[10] = a.sin6_addr.s6_addr[11] = 0xff;
      std::memcpy(&a.sin6_addr.s6_addr[12], b.data(), 4);
    }
    full = sizeof a;
  } else {
    auto& a = reinterpret_cast<sockaddr_in&>(s);
    a.sin_family = AF_INET;
    a.sin_port = htons(e.port());
    if (e.address().is_v4()) std::memcpy(&a.sin_addr, b.data(), 4);
    full = sizeof a;
  }
  std::memcpy(to, &s, std::min(*size, full));
  *size = full;
}

bool read_address(const sockaddr* from, socklen_t size, net::endpoint& to) noexcept {
  if (from == nullptr || size < sizeof from->sa_family) return false;
  if (from->sa_family == AF_INET && size >= sizeof(sockaddr_in)) {
    sockaddr_in a;
    std::memcpy(&a, from, sizeof a);
    std::array<std::uint8_t, 4> b;
    std::memcpy(b.data(), &a.sin_addr, 4);
    to = {net::ip_address::v4(b), ntohs(a.sin_port)};
    return true;
  }
  if (from->sa_family == AF_INET6 && size >= sizeof(sockaddr_in6)) {
    sockaddr_in6 a;
    std::memcpy(&a, from, sizeof a);
    std::array<std::uint8_t, 16> b;
    std::memcpy(b.data(), &a.sin6_addr, 16);
    to = {unmapped(net::ip_address::v6(b, a.sin6_scope_id)), ntohs(a.sin6_port)};
    return true;
  }
  return false;
}

simulated_sockets::simulated_sockets(loop& l, network& n) : home{l}, start{l.now()}, owner{n} {
  enlist();
  l.io().set_sockets(this);
}

simulated_sockets::~simulated_sockets() {
  observer = nullptr;
  home.io().set_sockets(nullptr);
  for (auto& s : table_) {
    if (s != nullptr) end_all(*s, -ECANCELED);
  }
  dispatch();
  paths.clear();
  // Ends of connections own each other.
  for (auto& h : hosts) {
    for (auto& s : h->machine_->sockets) s->other.reset();
  }
}

// ---- descriptors ----

socket* simulated_sockets::find(int fd) noexcept {
  const auto n = static_cast<std::size_t>(fd - first_fd);
  return fd >= first_fd && n < table_.size() ? table_[n].get() : nullptr;
}

int simulated_sockets::open(const socket_ptr& s) {
  machine& m = s->home;
  if (m.descriptors >= m.max_descriptors) return -EMFILE;
  if (free_.empty()) {
    free_.insert(first_fd + static_cast<int>(table_.size()));
    table_.emplace_back();
  }
  s->fd = free_.extract(free_.begin()).value();
  ++m.descriptors;
  ++counts.open_sockets;
  table_[static_cast<std::size_t>(s->fd - first_fd)] = s;
  return s->fd;
}

void simulated_sockets::enter(const socket_ptr& s) {
  s->place = s->home.sockets.size();
  s->home.sockets.push_back(s);
}

int simulated_sockets::socket(int family, int type, int /*protocol*/) {
  machine& m = here();
  type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (family != AF_INET && family != AF_INET6 && family != AF_UNIX) return -EAFNOSUPPORT;
  if (type != SOCK_STREAM && (type != SOCK_DGRAM || family == AF_UNIX)) return -EOPNOTSUPP;
  if (!m.up) return -ENETDOWN;
  if (const int e = hit_fault(m, call::socket, nullptr, nullptr)) return -e;
  const auto kind = family == AF_UNIX     ? protocol::unix_stream
                    : type == SOCK_STREAM ? protocol::tcp
                                          : protocol::udp;
  auto s = std::make_shared<detail::socket>(m, kind, family);
  s->local = s->peer = {any_of(family), 0};
  const int fd = open(s);
  if (fd >= 0) enter(s);
  return fd;
}

int simulated_sockets::socketpair(int family, int type, int protocol, int (&fds)[2]) {
  if (family != AF_UNIX) return -EOPNOTSUPP;
  for (int& fd : fds) {
    fd = socket(family, type, protocol);
    if (fd >= 0) continue;
    const int e = fd;
    if (&fd == &fds[1]) close(fds[0]);
    return e;
  }
  detail::socket::join(find(fds[0])->shared_from_this(), find(fds[1])->shared_from_this());
  return 0;
}

int simulated_sockets::close(int fd) {
  detail::socket* found = find(fd);
  if (found == nullptr) return -EBADF;
  const socket_ptr s = std::move(table_[static_cast<std::size_t>(fd - first_fd)]);
  free_.insert(fd);
  --counts.open_sockets;
  --s->home.descriptors;
  end_all(*s, -ECANCELED);
  s->fd = -1;
  s->closed = true;
  if (s->at == stage::listening) {
    s->at = stage::dead;
    for (const socket_ptr& waiting : std::exchange(s->queue, {})) {
      waiting->closed = true;
      waiting->reset_other();
    }
  }
  if (s->kind == protocol::udp) s->at = stage::dead;
  s->close_stream();
  return 0;
}

int simulated_sockets::shutdown(int fd, int how) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (s->at == stage::listening && how != SHUT_WR) {
    s->at = stage::dead;
    changed(*s);
    return 0;
  }
  if (s->at != stage::connected) return -ENOTCONN;
  if (how != SHUT_WR) s->eof = true;
  if (how != SHUT_RD) s->end_sending();
  changed(*s);
  return 0;
}

int simulated_sockets::getsockname(int fd, sockaddr* to, socklen_t* size) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (s->kind == protocol::unix_stream) {
    write_unix_name(s->unix_local, to, size);
  } else {
    write_address(s->local, s->family, to, size);
  }
  return 0;
}

int simulated_sockets::getpeername(int fd, sockaddr* to, socklen_t* size) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (s->at != stage::connected && !s->has_peer) return -ENOTCONN;
  if (s->kind == protocol::unix_stream) {
    write_unix_name(s->unix_peer, to, size);
  } else {
    write_address(s->peer, s->family, to, size);
  }
  return 0;
}

int simulated_sockets::setsockopt(int fd, int level, int name, const void* value, socklen_t size) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (level == SOL_SOCKET && name == SO_LINGER && size >= sizeof(linger)) {
    linger l;
    std::memcpy(&l, value, sizeof l);
    s->linger_reset = l.l_onoff != 0 && l.l_linger == 0;
    return 0;
  }
  if (size < sizeof(int)) return -EINVAL;
  int n = 0;
  std::memcpy(&n, value, sizeof n);
  if (level == IPPROTO_TCP) {
    const int most = name == TCP_KEEPCNT                             ? 127
                     : name == TCP_KEEPIDLE || name == TCP_KEEPINTVL ? 32767
                                                                     : 0;
    if (most != 0 && (n < 1 || n > most)) return -EINVAL;
  }
  s->options[{level, name}] = n;
  // As Linux: twice what was asked for, a part of which is its own.
  const auto real = std::max(static_cast<std::size_t>(std::max(n, 0)) * 2, smallest_buffer);
  if (level == SOL_SOCKET && name == SO_RCVBUF) s->receive_buffer = real;
  if (level == SOL_SOCKET && name == SO_SNDBUF) s->send_buffer = real;
  if (level == SOL_SOCKET && name == SO_KEEPALIVE) s->begin_probing();
  return 0;
}

int simulated_sockets::getsockopt(int fd, int level, int name, void* value, socklen_t* size) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (*size < sizeof(int)) return -EINVAL;
  int n = s->option(level, name);
  if (level == SOL_SOCKET) {
    switch (name) {
      case SO_ERROR: n = std::exchange(s->error, 0); break;
      case SO_TYPE: n = s->kind == protocol::udp ? SOCK_DGRAM : SOCK_STREAM; break;
      case SO_DOMAIN: n = s->family; break;
      case SO_PROTOCOL:
        n = s->kind == protocol::tcp ? IPPROTO_TCP : s->kind == protocol::udp ? IPPROTO_UDP : 0;
        break;
      case SO_ACCEPTCONN: n = s->at == stage::listening ? 1 : 0; break;
      case SO_RCVBUF: n = static_cast<int>(s->receive_buffer); break;
      case SO_SNDBUF: n = static_cast<int>(s->send_buffer); break;
      default: break;
    }
  }
  std::memcpy(value, &n, sizeof n);
  *size = sizeof n;
  return 0;
}

// ---- ports ----

machine& simulated_sockets::here() const { return *owner.current_host().machine_; }

machine* simulated_sockets::find(const machine& m, const net::ip_address& a) noexcept {
  if (a.is_loopback()) return hosts[m.number]->machine_.get();
  const auto h = by_address.find(a);
  return h != by_address.end() ? h->second->machine_.get() : nullptr;
}

/// Forgets the connections that have lingered long enough.
void simulated_sockets::end_lingering(machine& m) noexcept {
  while (!m.lingering.empty() && m.lingering.front().first <= now()) {
    const auto ended = m.lingering.front().second;
    m.lingering.pop_front();
    if (m.connections.erase(ended) == 0) continue;
    if (auto p = m.ports_in_use.find(ended.first.port()); --p->second == 0) m.ports_in_use.erase(p);
  }
}

bool simulated_sockets::may_bind(const detail::socket& s, const net::endpoint& at) const {
  const bool reuse = s.option(SOL_SOCKET, SO_REUSEADDR) != 0;
  const bool share = s.option(SOL_SOCKET, SO_REUSEPORT) != 0;
  if (s.kind == protocol::tcp && !reuse && s.home.ports_in_use.contains(at.port())) return false;
  const auto users = s.home.bound.find({s.kind, at.port()});
  if (users == s.home.bound.end()) return true;
  return std::ranges::all_of(users->second, [&](const detail::socket* o) {
    if (o == &s) return true;
    const auto& other = o->local.address();
    if (fit(*o, at) == 0 && fit(at.address(), v6_only(s), other) == 0) return true;
    if (share && o->option(SOL_SOCKET, SO_REUSEPORT) != 0) return true;
    const bool both = reuse && o->option(SOL_SOCKET, SO_REUSEADDR) != 0;
    return both && o->at != stage::listening;
  });
}

int simulated_sockets::choose_port(detail::socket& s, const net::endpoint* peer) {
  machine& m = s.home;
  const int n = m.last_port - m.first_port + 1;
  for (int i = 0; i < n; ++i) {
    const std::uint16_t port = m.next_port;
    m.next_port = port == m.last_port ? m.first_port : static_cast<std::uint16_t>(port + 1);
    if (m.bound.contains({s.kind, port})) continue;
    const bool taken = peer != nullptr ? m.connections.contains({{s.local.address(), port}, *peer})
                                       : s.kind == protocol::tcp && m.ports_in_use.contains(port);
    if (!taken) return port;
  }
  return 0;
}

void simulated_sockets::count_connection(detail::socket& s) {
  const bool added = s.home.connections.insert({s.local, s.peer}).second;
  if (added) ++s.home.ports_in_use[s.local.port()];
  s.counted = true;
}

void simulated_sockets::release_connection(detail::socket& s, duration lingering) noexcept {
  machine& m = s.home;
  const std::pair connection{s.local, s.peer};
  if (lingering > duration::zero() && m.up) {
    m.lingering.emplace_back(after(now(), lingering), connection);
  } else if (m.connections.erase(connection) != 0) {
    const auto p = m.ports_in_use.find(s.local.port());
    if (p != m.ports_in_use.end() && --p->second == 0) m.ports_in_use.erase(p);
  }
}

void simulated_sockets::bind_to(detail::socket& s, const net::endpoint& at) {
  s.local = at;
  s.home.bound[{s.kind, at.port()}].push_back(&s);
  s.bound = true;
}

void simulated_sockets::unbind(detail::socket& s) noexcept {
  machine& m = s.home;
  if (s.kind == protocol::unix_stream) {
    const auto u = m.unix_names.find(s.unix_local);
    if (u != m.unix_names.end() && u->second == &s) m.unix_names.erase(u);
    return;
  }
  if (!std::exchange(s.bound, false)) return;
  const auto users = m.bound.find({s.kind, s.local.port()});
  std::erase(users->second, &s);
  if (users->second.empty()) m.bound.erase(users);
}

int simulated_sockets::bind_socket(detail::socket& s, net::endpoint at) {
  end_lingering(s.home);
  const auto& a = at.address();
  if (a.is_v4() != (s.family == AF_INET) && !(a.is_v4() && s.family == AF_INET6)) return -EINVAL;
  if (!a.is_unspecified() && !s.home.has(a)) return -EADDRNOTAVAIL;
  if (at.port() == 0) {
    s.local = at;
    const int port = choose_port(s, nullptr);
    if (port == 0) return -EADDRINUSE;
    at = {a, static_cast<std::uint16_t>(port)};
  } else if (!may_bind(s, at)) {
    return -EADDRINUSE;
  }
  bind_to(s, at);
  return 0;
}

int simulated_sockets::bind(int fd, const sockaddr* at, socklen_t size) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (const int e = hit_fault(s->home, call::bind, s, nullptr)) return -e;
  if (s->at != stage::fresh || s->bound || !s->unix_local.empty()) return -EINVAL;
  if (s->kind == protocol::unix_stream) {
    const std::string name = unix_name_of(at, size);
    if (name.empty()) return -EINVAL;
    if (!s->home.unix_names.emplace(name, s).second) return -EADDRINUSE;
    s->unix_local = name;
    return 0;
  }
  net::endpoint e;
  if (!read_address(at, size, e)) return -EAFNOSUPPORT;
  return bind_socket(*s, e);
}

int simulated_sockets::listen(int fd, int backlog) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (s->kind == protocol::udp) return -EOPNOTSUPP;
  if (const int e = hit_fault(s->home, call::listen, s, nullptr)) return -e;
  if (s->at != stage::fresh && s->at != stage::listening) return -EINVAL;
  if (s->kind == protocol::tcp) {
    if (!s->bound) {
      if (const int e = bind_socket(*s, {any_of(s->family), 0}); e < 0) return e;
    }
    if (!may_bind(*s, s->local)) return -EADDRINUSE;
  } else if (s->unix_local.empty()) {
    return -EINVAL;
  }
  s->at = stage::listening;
  s->backlog = std::clamp(backlog, 0, 4096);
  return 0;
}

socket* simulated_sockets::listener_at(machine& m, const net::endpoint& at) {
  const auto users = m.bound.find({protocol::tcp, at.port()});
  if (users == m.bound.end()) return nullptr;
  int best = 0;
  std::vector<detail::socket*> found;
  for (detail::socket* s : users->second) {
    const int f = s->at == stage::listening ? fit(*s, at) : 0;
    if (f == 0 || f < best) continue;
    if (f > best) found.clear();
    best = f;
    found.push_back(s);
  }
  if (found.empty()) return nullptr;
  return found.size() == 1 ? found.front() : found[home.random() % found.size()];
}

// ---- connecting ----

/// The address of this end towards `to`: within a host that of the other, else one of its kind.
int simulated_sockets::own_address(const detail::socket& s, const net::endpoint& to,
                                   net::ip_address& own) {
  own = s.local.address();
  if (!own.is_unspecified()) return 0;
  own = to.address();
  if (find(s.home, own) == &s.home) return 0;
  const auto& mine = s.home.addresses;
  const auto same_kind = std::ranges::find_if(
      mine, [&](const net::ip_address& a) { return a.is_v4() == own.is_v4(); });
  if (same_kind == mine.end()) return -ENETUNREACH;
  own = *same_kind;
  return 0;
}

int simulated_sockets::connect(int fd, const sockaddr* to, socklen_t size) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  switch (s->at) {
    case stage::connecting: return -EALREADY;
    case stage::connected:
    case stage::listening: return -EISCONN;
    case stage::dead: return s->error != 0 ? -std::exchange(s->error, 0) : -ECONNABORTED;
    case stage::fresh: break;
  }
  if (s->kind == protocol::unix_stream) return connect_unix(*s, unix_name_of(to, size));
  net::endpoint e;
  if (!read_address(to, size, e)) return -EAFNOSUPPORT;
  if (e.address().is_v6() && s->family == AF_INET) return -EAFNOSUPPORT;
  if (e.address().is_unspecified()) {
    e = {e.address().is_v4() ? net::ip_address::loopback_v4() : net::ip_address::loopback_v6(),
         e.port()};
  }
  if (s->kind == protocol::udp) return connect_datagram(*s, e);
  s->peer = e;
  if (const int cause = hit_fault(s->home, call::connect, s, nullptr)) return -cause;
  net::ip_address own;
  if (const int cause = own_address(*s, e, own); cause < 0) return cause;
  end_lingering(s->home);
  std::uint16_t port = s->local.port();
  if (port == 0) {
    s->local = {own, 0};
    port = static_cast<std::uint16_t>(choose_port(*s, &e));
    if (port == 0) return -EADDRNOTAVAIL;
  }
  const bool was_bound = s->bound;
  if (was_bound) unbind(*s);
  s->local = {own, port};
  if (was_bound) bind_to(*s, s->local);
  if (s->home.connections.contains({s->local, e})) return -EADDRNOTAVAIL;
  count_connection(*s);
  if (machine* there = find(s->home, e.address())) {
    s->out = &way(s->home, *there);
    s->back = &way(*there, s->home);
  }
  s->start_connect();
  return -EINPROGRESS;
}

int simulated_sockets::connect_unix(detail::socket& s, const std::string& name) {
  if (const int e = hit_fault(s.home, call::connect, &s, nullptr)) return -e;
  const auto at = s.home.unix_names.find(name);
  if (at == s.home.unix_names.end()) return name.starts_with('\0') ? -ECONNREFUSED : -ENOENT;
  detail::socket& l = *at->second;
  if (l.at != stage::listening) return -ECONNREFUSED;
  if (l.queue.size() > static_cast<std::size_t>(l.backlog)) return -EAGAIN;
  auto made = std::make_shared<detail::socket>(s.home, protocol::unix_stream, AF_UNIX);
  made->unix_local = s.unix_peer = name;
  made->unix_peer = s.unix_local;
  enter(made);
  detail::socket::join(s.shared_from_this(), made);
  l.queue.push_back(std::move(made));
  changed(l);
  return 0;
}

std::int64_t simulated_sockets::accept(detail::socket& s, sockaddr* to, socklen_t* size) {
  if (s.at != stage::listening) return s.error != 0 ? -std::exchange(s.error, 0) : -EINVAL;
  if (s.queue.empty()) return -EAGAIN;
  if (const int e = hit_fault(s.home, call::accept, &s, nullptr)) return -e;
  const int fd = open(s.queue.front());
  if (fd < 0) return fd;
  detail::socket& made = *s.queue.front();
  if (to != nullptr) {
    if (made.kind == protocol::unix_stream) {
      write_unix_name(made.unix_peer, to, size);
    } else {
      write_address(made.peer, made.family, to, size);
    }
  }
  s.queue.pop_front();
  return fd;
}

// ---- transfers ----

std::int64_t simulated_sockets::failed(detail::socket& s, call what, std::size_t* at_most) {
  const int e = hit_fault(s.home, what, &s, at_most);
  if (e == ECONNRESET || e == EPIPE || e == ETIMEDOUT) s.reset_other();
  return -e;
}

std::int64_t simulated_sockets::recvmsg(int fd, msghdr& m, int flags) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  m.msg_flags = 0;
  if (s->kind == protocol::udp) return receive_datagram(*s, m, flags);
  m.msg_namelen = 0;
  m.msg_controllen = 0;
  if (s->received.empty()) {
    if (s->error != 0) return -std::exchange(s->error, 0);
    if (s->at == stage::fresh || s->at == stage::listening) return -ENOTCONN;
    if (!s->eof) return -EAGAIN;
  }
  if ((flags & MSG_PEEK) != 0) {
    return s->receive({m.msg_iov, static_cast<std::size_t>(m.msg_iovlen)}, flags);
  }
  std::size_t at_most = SIZE_MAX;
  if (const std::int64_t e = failed(*s, call::read, &at_most)) return e;
  if (at_most != SIZE_MAX && m.msg_iovlen != 0) {
    iovec part{m.msg_iov->iov_base, std::min(m.msg_iov->iov_len, at_most)};
    return s->receive({&part, 1}, flags);
  }
  return s->receive({m.msg_iov, static_cast<std::size_t>(m.msg_iovlen)}, flags);
}

std::int64_t simulated_sockets::sendmsg(int fd, const msghdr& m, int /*flags*/) {
  detail::socket* s = find(fd);
  if (s == nullptr) return -EBADF;
  if (s->kind == protocol::udp) return send_datagram(*s, m);
  if (s->error != 0) return -std::exchange(s->error, 0);
  if (s->at == stage::connecting) return -EAGAIN;
  if (s->at != stage::connected || s->sending.ending) return -EPIPE;
  if (size_of(m) == 0) return 0;
  std::size_t at_most = SIZE_MAX;
  s->apply_acknowledgements();
  if (s->sending.held() >= s->send_buffer) return -EAGAIN;
  if (const std::int64_t e = failed(*s, call::write, &at_most)) return e;
  return s->send({m.msg_iov, static_cast<std::size_t>(m.msg_iovlen)}, at_most);
}

// ---- datagrams ----

int simulated_sockets::connect_datagram(detail::socket& s, const net::endpoint& to) {
  if (const int e = hit_fault(s.home, call::connect, &s, nullptr)) return -e;
  net::ip_address own;
  if (const int cause = own_address(s, to, own); cause < 0) return cause;
  if (!s.bound) {
    if (const int e = bind_socket(s, {own, 0}); e < 0) return e;
  } else {
    s.local = {own, s.local.port()};
  }
  s.peer = to;
  s.has_peer = true;
  return 0;
}

std::int64_t simulated_sockets::send_datagram(detail::socket& s, const msghdr& m) {
  if (s.error != 0) return -std::exchange(s.error, 0);
  if (s.at == stage::dead) return -ENETDOWN;
  net::endpoint to = s.peer;
  if (m.msg_name != nullptr) {
    if (!read_address(static_cast<sockaddr*>(m.msg_name), m.msg_namelen, to)) return -EAFNOSUPPORT;
    if (to.address().is_v6() && s.family == AF_INET) return -EAFNOSUPPORT;
  } else if (!s.has_peer) {
    return -EDESTADDRREQ;
  }
  if (to.port() == 0) return -EINVAL;
  const std::size_t size = size_of(m);
  if (size > largest_datagram) return -EMSGSIZE;
  const bool to_all = to.address() == net::ip_address::v4({255, 255, 255, 255});
  if (to_all && s.option(SOL_SOCKET, SO_BROADCAST) == 0) return -EACCES;
  if (to.address().is_unspecified()) {
    to = {to.address().is_v4() ? net::ip_address::loopback_v4() : net::ip_address::loopback_v6(),
          to.port()};
  }
  if (const std::int64_t e = failed(s, call::write, nullptr)) return e;
  if (!s.bound) {
    if (const int e = bind_socket(s, {any_of(s.family), 0}); e < 0) return e;
  }
  bytes data;
  data.reserve(size);
  for (std::size_t i = 0; i < m.msg_iovlen; ++i) {
    const auto* from = static_cast<const std::byte*>(m.msg_iov[i].iov_base);
    data.insert(data.end(), from, from + m.msg_iov[i].iov_len);
  }
  net::ip_address own;
  if (const int cause = own_address(s, to, own); cause < 0) return cause;
  const net::endpoint from{own, s.local.port()};
  ++counts.datagrams;
  std::vector<machine*> targets;
  if (to_all) {
    for (auto& h : hosts) {
      if (h->machine_.get() != &s.home) targets.push_back(h->machine_.get());
    }
  } else if (machine* there = find(s.home, to.address())) {
    targets.push_back(there);
  } else {
    note("udp", from, to, size, true);
    ++counts.datagrams_lost;
  }
  for (machine* there : targets) {
    path& p = way(s.home, *there);
    auto one = [&](bool again) {
      if (again) ++counts.datagrams_duplicated;
      auto arrives = [this, there, from, to, data, back = s.weak_from_this()] {
        deliver_datagram(*there, from, to, data, back);
      };
      const settings& set = *p.set;
      const bool late = set.reordering > 0 && random_fraction(home) < set.reordering;
      const duration held_up = late ? set.held_up.draw(home) : duration{};
      if (!send(p, "udp", from, to, size + header, std::move(arrives), held_up)) {
        ++counts.datagrams_lost;
      }
    };
    one(false);
    if (p.set->duplication > 0 && random_fraction(home) < p.set->duplication) one(true);
  }
  return static_cast<std::int64_t>(size);
}

void simulated_sockets::deliver_datagram(machine& m, const net::endpoint& from,
                                         const net::endpoint& to, const bytes& data,
                                         const std::weak_ptr<detail::socket>& sender) {
  const auto users = m.bound.find({protocol::udp, to.port()});
  const bool to_all = to.address() == net::ip_address::v4({255, 255, 255, 255});
  std::vector<detail::socket*> found;
  int best = 0;
  if (users != m.bound.end()) {
    for (detail::socket* s : users->second) {
      if (s->has_peer && s->peer != from) continue;
      int f = to_all ? (s->local.address().is_unspecified() ? 1 : 0) : fit(*s, to);
      if (f != 0 && s->has_peer) f += 2;  // the most specific one
      if (f == 0 || f < best) continue;
      if (f > best) found.clear();
      best = f;
      found.push_back(s);
    }
  }
  if (found.empty()) {
    ++counts.datagrams_lost;
    const auto s = sender.lock();
    if (to_all || s == nullptr || m.black_hole || m.black_ports.contains(to.port())) return;
    send(way(m, s->home), "icmp", to, from, header, [this, sender, to] {
      const auto told = sender.lock();
      if (told == nullptr || !told->has_peer || told->peer != to) return;
      told->error = ECONNREFUSED;
      changed(*told);
    });
    return;
  }
  detail::socket& s = *(found.size() == 1 ? found.front() : found[home.random() % found.size()]);
  if (s.mailbox_bytes + data.size() > s.receive_buffer) {
    ++counts.datagrams_lost;
    return;
  }
  ++counts.datagrams_delivered;
  s.mailbox_bytes += data.size();
  s.mailbox.push_back({from, data});
  changed(s);
}

std::int64_t simulated_sockets::receive_datagram(detail::socket& s, msghdr& m, int flags) {
  if (s.mailbox.empty()) {
    if (s.error != 0) return -std::exchange(s.error, 0);
    return s.at == stage::dead ? -ENETDOWN : -EAGAIN;
  }
  if (const std::int64_t e = failed(s, call::read, nullptr)) return e;
  const datagram& d = s.mailbox.front();
  std::size_t copied = 0;
  for (std::size_t i = 0; i < m.msg_iovlen && copied < d.data.size(); ++i) {
    const std::size_t n = std::min(m.msg_iov[i].iov_len, d.data.size() - copied);
    std::copy_n(d.data.begin() + static_cast<std::ptrdiff_t>(copied), n,
                static_cast<std::byte*>(m.msg_iov[i].iov_base));
    copied += n;
  }
  const std::size_t full = d.data.size();
  if (copied < full) m.msg_flags |= MSG_TRUNC;
  if (m.msg_name != nullptr) {
    socklen_t size = m.msg_namelen;
    write_address(d.from, s.family, static_cast<sockaddr*>(m.msg_name), &size);
    m.msg_namelen = size;
  }
  m.msg_controllen = 0;
  if ((flags & MSG_PEEK) == 0) {
    s.mailbox_bytes -= full;
    s.mailbox.pop_front();
  }
  return static_cast<std::int64_t>((flags & MSG_TRUNC) != 0 ? full : copied);
}

// ---- requests ----

std::int64_t simulated_sockets::perform(detail::socket& s, io_request& r) {
  iovec part{r.data, r.size};
  msghdr one{};
  one.msg_iov = &part;
  one.msg_iovlen = 1;
  switch (r.op) {
    case io_op::read: return recvmsg(s.fd, one, 0);
    case io_op::write: return sendmsg(s.fd, one, 0);
    case io_op::recv: return recvmsg(s.fd, one, r.flags);
    case io_op::send: return sendmsg(s.fd, one, r.flags);
    case io_op::recvmsg: return recvmsg(s.fd, *r.message(), r.flags);
    case io_op::sendmsg: return sendmsg(s.fd, *r.message(), r.flags);
    case io_op::accept: return accept(s, r.address, r.address_size);
    case io_op::connect: break;
  }
  if ((r.driver_state & state::started) == 0) {
    r.driver_state |= state::started;
    const int n = connect(s.fd, r.address, *r.address_size);
    // A Unix listener whose queue is full: as the real drivers have it.
    return n == -EAGAIN ? -ECONNREFUSED : n == -EINPROGRESS ? -EAGAIN : n;
  }
  if (s.at == stage::connecting) return -EAGAIN;
  return s.error != 0 ? -std::exchange(s.error, 0) : 0;
}

void simulated_sockets::finish(io_request& r, std::int64_t result) noexcept {
  r.unlink();
  r.result = result;
  r.driver_state |= state::finished;
  finished_.push_back(r);
}

void simulated_sockets::submit(io_request& r) noexcept {
  r.driver_state = 0;
  detail::socket* s = find(r.handle.fd);
  if (s == nullptr) return finish(r, -EBADF);
  const auto d = direction_of(r.op);
  auto& waiting = s->requests[index(d)];
  waiting.push_back(r);
  if (waiting.front() == &r) advance(*s, d);
}

void simulated_sockets::cancel(io_request& r) noexcept {
  if ((r.driver_state & state::finished) == 0) finish(r, -ECANCELED);
}

void simulated_sockets::watch(io_watch& w) noexcept {
  detail::socket* s = find(w.handle.fd);
  if (s == nullptr) return ready_.push_back(w);
  s->watches[index(w.way)].push_back(w);
  advance(*s, w.way);
}

void simulated_sockets::advance(detail::socket& s, direction way) noexcept {
  auto& waiting = s.requests[index(way)];
  auto& watching = s.watches[index(way)];
  const bool stream = s.kind != protocol::udp;
  while (io_request* r = waiting.front()) {
    std::int64_t n = 0;
    try {
      n = perform(s, *r);
    } catch (const std::bad_alloc&) {
      n = -ENOBUFS;
    }
    if (n == -EAGAIN) break;
    finish(*r, n);
  }
  if (!watching.empty()) {
    bool ready = true;
    if (way == direction::in) {
      ready = stream ? s.readable() : !s.mailbox.empty() || s.error != 0 || s.at == stage::dead;
    } else if (stream) {
      s.apply_acknowledgements();
      ready = s.writable();
    }
    while (ready && !watching.empty()) {
      io_watch* w = watching.pop_front();
      ready_.push_back(*w);
    }
  }
  if (way == direction::out && !(waiting.empty() && watching.empty())) s.expect();
}

void simulated_sockets::changed(detail::socket& s) noexcept {
  advance(s, direction::in);
  advance(s, direction::out);
}

void simulated_sockets::end_all(detail::socket& s, std::int64_t result) noexcept {
  for (auto& list : s.requests) {
    while (io_request* r = list.front()) finish(*r, result);
  }
  for (auto& list : s.watches) {
    while (io_watch* w = list.pop_front()) ready_.push_back(*w);
  }
}

void simulated_sockets::forget(io_handle h) noexcept {
  if (detail::socket* s = find(h.fd)) end_all(*s, -ECANCELED);
  dispatch();
}

void simulated_sockets::dispatch() noexcept {
  while (io_request* r = finished_.pop_front()) r->done(*r);
  while (io_watch* w = ready_.pop_front()) w->ready(*w);
}

// ---- faults ----

void simulated_sockets::add_fault(fault f, const host* on) {
  f.host_ = on;
  faults.push_back(f);
}

/// The error with which this call fails; 0: it does not. `at_most` is cut if it is to be short.
int simulated_sockets::hit_fault(const machine& m, call what, const detail::socket* s,
                                 std::size_t* at_most) {
  int error = 0;
  std::size_t most = SIZE_MAX;
  for (fault& f : faults) {
    if (f.what_ != what || f.left_ == 0 || (f.host_ != nullptr && f.host_ != m.self)) continue;
    if (f.fd_ >= 0 && (s == nullptr || s->fd != f.fd_)) continue;
    if (f.peer_) {
      if (s == nullptr || s->peer.address() != f.peer_->address()) continue;
      if (f.peer_->port() != 0 && s->peer.port() != f.peer_->port()) continue;
    }
    // Each counts its own calls, also those that another one makes fail.
    ++f.seen_;
    if (error != 0) continue;
    if (f.nth_ != 0 ? f.seen_ != f.nth_ : f.seen_ % f.every_ != 0) continue;
    if (f.chance_ < 1 && random_fraction(home) >= f.chance_) continue;
    --f.left_;
    ++counts.faults;
    error = f.error_;
    if (error == 0) most = std::min(most, std::max<std::size_t>(f.at_most_, 1));
  }
  if (error == 0 && at_most != nullptr && most != SIZE_MAX) *at_most = most;
  return error;
}

}  // namespace oneloop::inline v0::testing::detail
