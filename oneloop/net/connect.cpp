#include "oneloop/net/connect.hpp"

#include "oneloop/net/dns.hpp"

namespace oneloop::inline v0::net {

task<tcp_stream> connect(std::string host, std::uint16_t port, connect_options options) {
  auto attempt = [&options](endpoint to) -> task<tcp_stream> {
    auto connecting = connect(to, options.nodelay());
    auto s = co_await connecting;
    co_return std::move(s);
  };
  task<tcp_stream> connecting;
  if (const auto literal = ip_address::parse(host)) {
    connecting = attempt(endpoint{*literal, port});
  } else {
    resolver& r = options.use() != nullptr ? *options.use() : resolver::of(*loop::current());
    auto look_up = [&r, host](family kind) { return r.lookup(host, kind); };
    connecting = happy_eyeballs<tcp_stream>(std::move(host), port, options, std::move(look_up),
                                            std::ref(attempt));
  }
  auto s = co_await std::move(connecting);
  co_return std::move(s);
}

}  // namespace oneloop::inline v0::net
