#include <algorithm>
#include <cerrno>

#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/http/tunnel_internal.hpp"
#include "oneloop/net/happy_eyeballs.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/tls.hpp"

namespace oneloop::inline v0::http::detail {

/// A TCP connection, and what it counts as.
struct dialled {
  claim at_address;
  claim socket;
  net::tcp_stream stream;
};

namespace {

/// "[::1]" in a URL is "::1" for the net.
std::string plain_host(const url& to) {
  std::string_view host = to.host();
  if (to.kind_of_host() == host_kind::ipv6) host = host.substr(1, host.size() - 2);
  return std::string{host};
}

std::uint16_t port_of(const url& to) { return to.effective_port().value_or(0); }

/// Several attempts at a time are in one phase: connect, as soon as one of them has all its claims.
class attempts {
 public:
  attempts(dial_progress& p, std::string target) : progress_{p}, target_{std::move(target)} {}

  void wait() {
    if (!std::exchange(begun_, true)) progress_.times.dns += progress_.clock.elapsed();
    ++waiting_;
    pause();
  }
  void connect() {
    --waiting_;
    ++connecting_;
    phase_clock& clock = progress_.clock;
    if (clock.current() == phase::queue) progress_.times.queued += clock.leave_queue();
    // All attempts together have the time of one.
    if (clock.current() != phase::connect) clock.enter(phase::connect, target_, spent_);
  }
  void give_up() {
    --connecting_;
    pause();
  }
  [[nodiscard]] bool begun() const noexcept { return begun_; }

 private:
  void pause() {
    const phase now = progress_.clock.current();
    if (connecting_ != 0 || waiting_ == 0 || now == phase::queue) return;
    if (now == phase::connect) spent_ = progress_.clock.elapsed();
    progress_.clock.enter(phase::queue, target_);
  }
  dial_progress& progress_;
  std::string target_;
  int waiting_ = 0;
  int connecting_ = 0;
  duration spent_{};  // connecting, before the pause
  bool begun_ = false;
};

/// The phase tls, over a stream of this type.
template <class Stream>
task<secured> secure(Stream below, net::tls_context context, std::string host, std::uint16_t port,
                     dial_progress& progress) {
  progress.clock.enter(phase::tls, host);
  try {
    auto handshake = net::connect_tls(std::move(below), std::move(context), host, port);
    auto stream = co_await std::move(handshake);
    progress.times.tls += progress.clock.elapsed();
    secured s;
    s.certificate_problem = stream.session().certificate_problem();
    s.stream = net::any_stream{std::move(stream)};
    co_return s;
  } catch (const error&) {
    rethrow_for_user(name_of(phase::tls), host);
  }
}

/// Over what there is: TCP, or TLS to a proxy.
task<secured> secure(net::any_stream below, net::tls_context context, std::string host,
                     std::uint16_t port, dial_progress& progress) {
  using to_proxy = net::tls_stream<net::tcp_stream>;
  if (auto* tcp = below.get_if<net::tcp_stream>()) {
    return secure(std::move(*tcp), std::move(context), std::move(host), port, progress);
  }
  return secure(std::move(*below.get_if<to_proxy>()), std::move(context), std::move(host), port,
                progress);
}

}  // namespace

net::resolver& client_core::names() {
  loop& l = *pool_->home();
  if (!options_.resolver_) return net::resolver::of(l);
  if (!resolver_) resolver_.emplace(l, *options_.resolver_);
  return *resolver_;
}

net::tls_context client_cores::trust(bool anonymous) {
  const std::scoped_lock hold{mutex_};
  auto& context = anonymous ? anonymous_tls_ : tls_;
  if (context) return *context;
  net::tls_client_options o;
  o.verify = !options.insecure_;
  o.ca_file = options.ca_file_;
  o.alpn = {"http/1.1"};
  if (!anonymous) {
    o.certificate_file = options.certificate_file_;
    o.key_file = options.key_file_;
  }
  try {
    return context.emplace(net::tls_context::client(o));
  } catch (const error&) {
    rethrow_for_user(name_of(phase::tls), {});
  }
}

const net::ip_address* client_core::told_address(std::string_view host,
                                                 std::uint16_t port) const noexcept {
  auto plain = [](std::string_view text) {
    if (text.starts_with('[') && text.ends_with(']')) return text.substr(1, text.size() - 2);
    return text.substr(0, text.size() - (text.ends_with('.') ? 1 : 0));
  };
  for (const auto& r : options_.resolve_) {
    if (r.port == port && equal_ignoring_case(plain(r.host), plain(host))) return &r.to;
  }
  return nullptr;
}

task<std::vector<net::ip_address>> client_core::addresses_of(std::string host, std::uint16_t port,
                                                             net::family kind, bool guarded) {
  std::vector<net::ip_address> found;
  const auto literal = net::ip_address::parse(host);
  if (const auto* told = told_address(host, port)) {
    found.push_back(*told);
  } else if (literal) {
    found.push_back(*literal);
  } else {
    auto looking = names().lookup(host, kind);
    found = co_await std::move(looking);
  }
  std::erase_if(found, [&](const net::ip_address& a) {
    return kind != net::family::any && a.is_v4() != (kind == net::family::v4);
  });
  if (found.empty()) throw error{"resolve", host, make_error_code(net::dns_errc::no_data)};
  if (!guarded) co_return found;
  const net::ip_address first = found.front();
  std::erase_if(found, [](const net::ip_address& a) { return !a.is_public(); });
  if (found.empty()) {
    std::string why = literal ? "" : host + ": ";
    why.append(first.to_string()).append(" is ").append(first.special_kind());
    throw http_error{error_kind::forbidden, literal ? "connect" : "dns", system_code(EACCES),
                     why + ", and private addresses are excluded"};
  }
  co_return found;
}

task<> client_core::enter_dns(std::string host, std::uint16_t port, dial_progress& progress) {
  // The resolver needs a descriptor as well, and takes the lack of one for a server's silence.
  if (told_address(host, port) == nullptr && !net::ip_address::parse(host)) {
    progress.clock.enter(phase::queue, host);
    auto waiting = pool_->open_socket(net::endpoint{net::ip_address::loopback_v4(), port});
    try {
      (void)co_await std::move(waiting);
    } catch (const closed_error&) {
      throw;
    } catch (const error& e) {
      throw error{"resolve", host, e.code()};
    }
    progress.times.queued += progress.clock.leave_queue();
  }
  progress.clock.enter(phase::dns, host);
}

task<dialled> client_core::reach(std::string host, std::uint16_t port, bool of_proxy,
                                 dial_progress& progress) {
  attempts all{progress, host + ":" + std::to_string(port)};
  const bool guarded = options_.exclude_private_ && !of_proxy;
  auto look = [&](net::family kind) { return addresses_of(host, port, kind, guarded); };
  auto attempt = [&](net::endpoint to) -> task<dialled> {
    all.wait();
    dialled d;
    if (!of_proxy) {
      auto placing = pool_->at_address(to.address());
      d.at_address = co_await std::move(placing);
    }
    auto opening = pool_->open_socket(to);
    auto made = co_await std::move(opening);
    d.socket = std::move(made.place);
    all.connect();
    try {
      auto call = net::connect(to, std::move(made.handle));
      d.stream = co_await call;
    } catch (const error&) {
      all.give_up();
      throw;
    }
    co_return d;
  };
  auto entering = enter_dns(host, port, progress);
  co_await std::move(entering);
  try {
    // One that is known needs no race; what is refused is refused before anything is opened.
    const auto* told = told_address(host, port);
    const auto literal = net::ip_address::parse(host);
    task<dialled> reaching;
    if (told != nullptr || literal) {
      auto looking = look(net::family::any);
      const auto known = co_await std::move(looking);
      reaching = attempt(net::endpoint{known.front(), port});
    } else {
      reaching = net::happy_eyeballs<dialled>(host, port, net::connect_options{}, std::ref(look),
                                              std::ref(attempt));
    }
    auto d = co_await std::move(reaching);
    progress.times.connect += progress.clock.elapsed();
    co_return d;
  } catch (const error&) {
    rethrow_for_user(name_of(all.begun() ? phase::connect : phase::dns), host);
  }
}

task<std::unique_ptr<connection>> client_core::dial(const request& r, phase_clock& clock,
                                                    timing& times) {
  times = timing{.queued = times.queued};
  dial_progress progress{clock, times};
  const auto proxy = options_.proxies_.for_url(r.target());
  task<std::unique_ptr<connection>> dialing;
  if (proxy) {
    dialing = dial_through(*proxy, r, progress);
  } else {
    dialing = dial_directly(r, progress);
  }
  auto made = co_await std::move(dialing);
  co_return made;
}

task<std::unique_ptr<connection>> client_core::dial_directly(const request& r,
                                                             dial_progress& progress) {
  const url& to = r.target();
  auto reaching = reach(plain_host(to), port_of(to), false, progress);
  auto d = co_await std::move(reaching);
  auto finishing = finish(std::move(d.stream), r, progress);
  auto made = co_await std::move(finishing);
  made->at_address = std::move(d.at_address);
  made->socket = std::move(d.socket);
  co_return made;
}

task<std::unique_ptr<connection>> client_core::finish(net::any_stream wire, const request& r,
                                                      dial_progress& progress) {
  const url& to = r.target();
  codec_limits limits;
  limits.max_head = options_.max_head_;
  if (to.scheme() != "https") {
    co_return std::make_unique<connection>(std::move(wire), false, limits);
  }
  auto securing = secure(std::move(wire), all_->trust(r.goes_to_stranger()), plain_host(to),
                         port_of(to), progress);
  auto s = co_await std::move(securing);
  auto made = std::make_unique<connection>(std::move(s.stream), true, limits);
  made->certificate_problem = std::move(s.certificate_problem);
  co_return made;
}

task<std::unique_ptr<connection>> client_core::dial_through(url proxy, const request& r,
                                                            dial_progress& progress) {
  const url& to = r.target();
  const std::string host = plain_host(to);
  const std::uint16_t port = port_of(to);
  const bool resolve_here = proxy.scheme() == "socks5" || options_.exclude_private_ ||
                            told_address(host, port) != nullptr;
  std::vector<tunnel_end> ends{{host, port, {}}};
  if (resolve_here) {
    auto entering = enter_dns(host, port, progress);
    co_await std::move(entering);
    try {
      auto looking = addresses_of(host, port, net::family::any, options_.exclude_private_);
      const auto found = co_await std::move(looking);
      ends.clear();
      for (const auto& a : found) ends.push_back({host, port, a});
    } catch (const error&) {
      rethrow_for_user(name_of(phase::dns), host);
    }
    progress.times.dns += progress.clock.elapsed();
  }
  // A proxy that reads plain requests looks at their URL only, which must not name an address in
  // place of a host.
  const bool reads_requests = proxy.is_http() && to.scheme() == "http" && !resolve_here;
  for (std::size_t i = 0;; ++i) {
    try {
      auto opening = reach_proxy(proxy, progress);
      auto there = co_await std::move(opening);
      if (!reads_requests) {
        progress.clock.enter(phase::proxy, name_of_proxy(proxy).substr(6));
        codec_limits limits;
        limits.max_head = options_.max_head_;
        auto tunnel = open_tunnel(there.stream, proxy, ends[i], options_.user_agent_, limits);
        co_await std::move(tunnel);
      }
      auto finishing = finish(std::move(there.stream), r, progress);
      auto made = co_await std::move(finishing);
      made->socket = std::move(there.socket);
      made->absolute_form = reads_requests;
      if (reads_requests) made->proxy_authorization = basic_authorization(proxy);
      co_return made;
    } catch (const http_error& e) {
      // It may have a way to the next address.
      if (e.kind() != error_kind::proxy || i + 1 == ends.size()) throw;
    }
  }
}

task<at_proxy> client_core::reach_proxy(const url& proxy, dial_progress& progress) {
  try {
    auto reaching = reach(plain_host(proxy), port_of(proxy), true, progress);
    auto d = co_await std::move(reaching);
    at_proxy there;
    there.socket = std::move(d.socket);
    if (proxy.scheme() == "https") {
      auto securing = secure(std::move(d.stream), all_->trust(true), plain_host(proxy),
                             port_of(proxy), progress);
      auto s = co_await std::move(securing);
      there.stream = std::move(s.stream);
    } else {
      there.stream = std::move(d.stream);
    }
    co_return there;
  } catch (const http_error& e) {
    if (e.kind() == error_kind::timeout) throw;
    fail_proxy(proxy, e.what(), e.code());
  }
}

}  // namespace oneloop::inline v0::http::detail
