// The HTTP server over TLS.
//
//     net::tls_server_options identity;
//     identity.certificate_file = "site.pem", identity.key_file = "site.key";
//     co_await http::serve_tls(listener, net::tls_context::server(identity), hello);
//
// Everything else is as in server.hpp. A failed handshake ends that connection and counts as
// failed.
#pragma once

#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http {

/// What to hand to server::serve so that it speaks TLS.
[[nodiscard]] ONELOOP_API server::stream_step tls_handshake(net::tls_context context);

/// A server for one listener. Everything given by value lives as long as the task.
template <class Listener>
[[nodiscard]] task<> serve_tls(Listener& listener, net::tls_context context,
                               request_handler handler, server_options options = {}) {
  server s{std::move(handler), options};
  auto serving = s.serve(listener, tls_handshake(std::move(context)));
  co_await std::move(serving);
}

}  // namespace oneloop::inline v0::http
