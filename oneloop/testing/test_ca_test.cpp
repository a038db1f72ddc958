#include "oneloop/testing/test_ca.hpp"

#include <gtest/gtest.h>

#include <string>

#include "oneloop/base/error.hpp"

namespace {

using oneloop::testing::test_ca;

TEST(test_ca_test, gives_pem_texts) {
  const test_ca ca;
  EXPECT_TRUE(ca.certificate().starts_with("-----BEGIN CERTIFICATE-----\n"));
  const auto leaf = ca.issue({"localhost", "127.0.0.1", "::1", "*.example.org"});
  EXPECT_TRUE(leaf.certificate.starts_with("-----BEGIN CERTIFICATE-----\n"));
  EXPECT_TRUE(leaf.key.starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

TEST(test_ca_test, each_certificate_has_its_own_key) {
  const test_ca ca;
  EXPECT_NE(ca.issue({"a"}).key, ca.issue({"a"}).key);
}

TEST(test_ca_test, names_that_are_none_are_refused) {
  const test_ca ca;
  EXPECT_THROW((void)ca.issue({}), oneloop::misuse);
  EXPECT_THROW((void)ca.issue({"a,DNS:b"}), oneloop::misuse);
  EXPECT_THROW((void)test_ca::self_signed({""}), oneloop::misuse);
}

}  // namespace
