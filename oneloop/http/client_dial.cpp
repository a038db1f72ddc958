#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/net/happy_eyeballs.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/tls.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

/// "[::1]" in a URL is "::1" for the net.
std::string plain_host(const url& to) {
  std::string_view host = to.host();
  if (to.kind_of_host() == host_kind::ipv6) host = host.substr(1, host.size() - 2);
  return std::string{host};
}

/// Name and TCP: the phases dns and connect.
task<net::tcp_stream> reach(net::resolver& names, std::string host, std::uint16_t port,
                            phase_clock& clock, timing& times) {
  clock.enter(phase::dns, host);
  bool connecting = false;
  auto look_up = [&](net::family kind) { return names.lookup(host, kind); };
  auto attempt = [&](net::endpoint to) -> task<net::tcp_stream> {
    if (!connecting) {
      connecting = true;
      times.dns = clock.elapsed();
      clock.enter(phase::connect, host + ":" + std::to_string(port));
    }
    auto call = net::connect(to);
    auto stream = co_await call;
    co_return std::move(stream);
  };
  try {
    task<net::tcp_stream> reaching;
    if (const auto literal = net::ip_address::parse(host)) {
      reaching = attempt(net::endpoint{*literal, port});
    } else {
      reaching = net::happy_eyeballs<net::tcp_stream>(host, port, net::connect_options{},
                                                      std::ref(look_up), std::ref(attempt));
    }
    auto stream = co_await std::move(reaching);
    times.connect = clock.elapsed();
    co_return std::move(stream);
  } catch (const error&) {
    rethrow_for_user(name_of(connecting ? phase::connect : phase::dns), host);
  }
}

/// The phase tls.
task<net::any_stream> secure(net::tcp_stream tcp, net::tls_context context, std::string host,
                             std::uint16_t port, phase_clock& clock, timing& times) {
  clock.enter(phase::tls, host);
  try {
    auto handshake = net::connect_tls(std::move(tcp), std::move(context), host, port);
    auto stream = co_await std::move(handshake);
    times.tls = clock.elapsed();
    co_return net::any_stream{std::move(stream)};
  } catch (const error&) {
    rethrow_for_user(name_of(phase::tls), host);
  }
}

}  // namespace

net::resolver& client_core::names() {
  loop& l = *pool_->home();
  if (!options_.resolver_) return net::resolver::of(l);
  if (!resolver_) resolver_.emplace(l, *options_.resolver_);
  return *resolver_;
}

const net::tls_context& client_core::trust() {
  if (tls_) return *tls_;
  net::tls_client_options o;
  o.verify = !options_.insecure_;
  o.ca_file = options_.ca_file_;
  o.alpn = {"http/1.1"};
  try {
    return tls_.emplace(net::tls_context::client(o));
  } catch (const error&) {
    rethrow_for_user(name_of(phase::tls), {});
  }
}

task<std::unique_ptr<connection>> client_core::dial(const url& to, phase_clock& clock,
                                                    timing& times) {
  times = timing{};
  const std::string host = plain_host(to);
  const bool tls = to.scheme() == "https";
  const std::uint16_t port = *to.effective_port();  // every http URL has one
  auto reaching = reach(names(), host, port, clock, times);
  auto tcp = co_await std::move(reaching);
  net::any_stream stream;
  if (tls) {
    auto securing = secure(std::move(tcp), trust(), host, port, clock, times);
    stream = co_await std::move(securing);
  } else {
    stream = std::move(tcp);
  }
  codec_limits limits;
  limits.max_head = options_.max_head_;
  co_return std::make_unique<connection>(std::move(stream), tls, limits);
}

}  // namespace oneloop::inline v0::http::detail
