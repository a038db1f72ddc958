// A certificate authority made on the spot, for tests and demos of TLS: certificates for any host
// name, good ones and bad ones, as PEM text. No file and no network is involved.
//
//     oneloop::testing::test_ca ca;
//     auto good = ca.issue({"localhost", "127.0.0.1"});
//     auto old = ca.issue({"localhost"}, oneloop::testing::validity::expired);
//     server_options.certificate = good.certificate, server_options.key = good.key;
//     client_options.ca = ca.certificate();
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0::testing {

/// A certificate and the key that belongs to it, as PEM texts.
struct test_certificate {
  std::string certificate;
  std::string key;
};

enum class validity : std::uint8_t {
  valid,    // from yesterday on, for 30 days
  expired,  // ended yesterday
  not_yet,  // begins tomorrow
};

/// Issues certificates with keys on P-256. Copies are the same authority.
/// Cost: well below a millisecond a certificate.
/// Errors: misuse for a name that is no host name; oneloop::error if OpenSSL fails.
class ONELOOP_API test_ca {
 public:
  explicit test_ca(std::string_view name = "oneloop test CA");

  /// The authority's own certificate: what a client must trust.
  [[nodiscard]] const std::string& certificate() const noexcept;

  /// A certificate for these host names ("*.example.org" too) and IP addresses. Its subject, which
  /// nobody should look at, is the first of them, or `subject`.
  [[nodiscard]] test_certificate issue(const std::vector<std::string>& names,
                                       validity when = validity::valid,
                                       std::string_view subject = {}) const;

  /// A certificate that no authority stands behind.
  [[nodiscard]] static test_certificate self_signed(const std::vector<std::string>& names,
                                                    validity when = validity::valid);

 private:
  struct impl;
  std::shared_ptr<const impl> impl_;
};

}  // namespace oneloop::inline v0::testing
