#include "oneloop/http/server_tls.hpp"

#include "oneloop/net/tcp.hpp"
#include "oneloop/net/tls.hpp"

namespace oneloop::inline v0::http {
namespace {

task<net::any_stream> shake_hands(net::any_stream stream, net::tls_context context) {
  if (auto* tcp = stream.get_if<net::tcp_stream>()) {
    auto shaking = net::accept_tls(std::move(*tcp), std::move(context));
    net::any_stream secure{co_await std::move(shaking)};
    co_return secure;
  }
  auto shaking = net::accept_tls(std::move(stream), std::move(context));
  net::any_stream secure{co_await std::move(shaking)};
  co_return secure;
}

}  // namespace

server::stream_step tls_handshake(net::tls_context context) {
  return [context = std::move(context)](net::any_stream stream) {
    return shake_hands(std::move(stream), context);
  };
}

}  // namespace oneloop::inline v0::http
