#include "oneloop/base/error.hpp"
#include "oneloop/http/client_core_internal.hpp"
#include "oneloop/net/happy_eyeballs.hpp"
#include "oneloop/net/tcp.hpp"

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

}  // namespace

net::resolver& client_core::names() {
  loop& l = *pool_->home();
  if (!options_.resolver_) return net::resolver::of(l);
  if (!resolver_) resolver_.emplace(l, *options_.resolver_);
  return *resolver_;
}

task<std::unique_ptr<connection>> client_core::dial(const url& to, phase_clock& clock,
                                                    timing& times) {
  times = timing{};
  const std::string host = plain_host(to);
  auto reaching = reach(names(), host, to.effective_port().value_or(80), clock, times);
  auto tcp = co_await std::move(reaching);
  codec_limits limits;
  limits.max_head = options_.max_head_;
  co_return std::make_unique<connection>(net::any_stream{std::move(tcp)}, false, limits);
}

}  // namespace oneloop::inline v0::http::detail
