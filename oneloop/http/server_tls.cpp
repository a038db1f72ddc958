#include "oneloop/http/server_tls.hpp"

#include "oneloop/net/tcp.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/net/unix.hpp"

namespace oneloop::inline v0::http {
namespace {

template <class Stream>
task<net::any_stream> shake_hands_over(Stream stream, net::tls_context context) {
  auto shaking = net::accept_tls(std::move(stream), std::move(context));
  net::any_stream secure{co_await std::move(shaking)};
  co_return secure;
}

/// Over the stream itself where it is known: an idle session then waits without a buffer.
task<net::any_stream> shake_hands(net::any_stream stream, net::tls_context context) {
  if (auto* tcp = stream.get_if<net::tcp_stream>()) {
    return shake_hands_over(std::move(*tcp), std::move(context));
  }
  if (auto* local = stream.get_if<net::unix_stream>()) {
    return shake_hands_over(std::move(*local), std::move(context));
  }
  return shake_hands_over(std::move(stream), std::move(context));
}

}  // namespace

server::stream_step tls_handshake(net::tls_context context) {
  return [context = std::move(context)](net::any_stream stream) {
    return shake_hands(std::move(stream), context);
  };
}

}  // namespace oneloop::inline v0::http
