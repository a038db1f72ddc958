// The two ends of TLS, for tests: what a test CA has issued, and trust in that CA.
#pragma once

#include <gtest/gtest.h>

#include "oneloop/net/tls.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::inline v0::test {

inline net::tls_context identity(const testing::test_ca& ca) {
  const auto issued = ca.issue({"localhost", "127.0.0.1"});
  net::tls_server_options o;
  o.certificate = issued.certificate;
  o.key = issued.key;
  return net::tls_context::server(o);
}

inline net::tls_context trust(const testing::test_ca& ca) {
  net::tls_client_options o;
  o.ca = ca.certificate();
  return net::tls_context::client(o);
}

}  // namespace oneloop::inline v0::test
