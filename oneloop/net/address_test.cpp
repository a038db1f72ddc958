#include "oneloop/net/address.hpp"

#include <gtest/gtest.h>

#include "oneloop/base/error.hpp"
#include "oneloop/net/raw_address.hpp"

namespace oneloop::net {
namespace {

TEST(ip_address, prints_what_it_parsed) {
  for (const char* text :
       {"127.0.0.1", "0.0.0.0", "255.255.255.255", "::", "::1", "2001:db8::1", "::ffff:1.2.3.4"}) {
    const auto a = ip_address::parse(text);
    ASSERT_TRUE(a) << text;
    EXPECT_EQ(a->to_string(), text);
  }
}

TEST(ip_address, refuses_what_is_no_address) {
  for (const char* text :
       {"", "1", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4 ", "01.2.3.4x", "[::1]",
        "::1::", "fe80::1%", "fe80::1%no_such_interface", "localhost", "12345::"}) {
    EXPECT_FALSE(ip_address::parse(text)) << text;
  }
  EXPECT_FALSE(ip_address::parse(std::string_view{"1.2.3.4\0", 8}));
}

TEST(ip_address, zone_of_a_link_local_address_is_kept) {
  const auto a = ip_address::parse("fe80::1%lo");
  ASSERT_TRUE(a);
  EXPECT_NE(a->zone(), 0U);
  EXPECT_EQ(a->to_string(), "fe80::1%lo");
}

TEST(ip_address, knows_loopback_and_unspecified) {
  EXPECT_TRUE(ip_address::parse("127.1.2.3")->is_loopback());
  EXPECT_TRUE(ip_address::parse("::1")->is_loopback());
  EXPECT_TRUE(ip_address::parse("::ffff:127.0.0.1")->is_loopback());
  EXPECT_FALSE(ip_address::parse("128.0.0.1")->is_loopback());
  EXPECT_TRUE(ip_address::any_v6().is_unspecified());
  EXPECT_TRUE(ip_address::any_v4().is_unspecified());
  EXPECT_FALSE(ip_address::loopback_v6().is_unspecified());
}

TEST(ip_address, orders_v4_before_v6_and_then_by_bytes) {
  EXPECT_LT(*ip_address::parse("255.0.0.1"), *ip_address::parse("::"));
  EXPECT_LT(*ip_address::parse("9.0.0.1"), *ip_address::parse("10.0.0.1"));
  EXPECT_NE(ip_address::any_v4(), ip_address::any_v6());
}

TEST(endpoint, prints_v6_in_brackets_and_parses_it_back) {
  EXPECT_EQ((endpoint{ip_address::loopback_v4(), 81}.to_string()), "127.0.0.1:81");
  EXPECT_EQ((endpoint{ip_address::loopback_v6(), 81}.to_string()), "[::1]:81");
  for (const char* text : {"127.0.0.1:0", "[::1]:65535", "[2001:db8::1]:80"}) {
    ASSERT_TRUE(endpoint::parse(text)) << text;
    EXPECT_EQ(endpoint::parse(text)->to_string(), text);
  }
}

TEST(endpoint, refuses_what_is_no_endpoint) {
  for (const char* text : {"", "127.0.0.1", ":80", "127.0.0.1:", "127.0.0.1:65536", "::1:80",
                           "[127.0.0.1]:80", "127.0.0.1:-1", "127.0.0.1:8 0", "[::1]80", "[]:80"}) {
    EXPECT_FALSE(endpoint::parse(text)) << text;
  }
}

TEST(endpoint, survives_the_way_to_the_kernel_and_back) {
  for (const char* text : {"1.2.3.4:5", "[1:2:3:4:5:6:7:8]:9"}) {
    const endpoint e = *endpoint::parse(text);
    EXPECT_EQ(raw_address{e}.to_endpoint(), e);
  }
}

TEST(unix_address, tells_paths_from_abstract_names) {
  const unix_address path{"/run/app.sock"};
  EXPECT_FALSE(path.is_abstract());
  EXPECT_EQ(path.to_string(), "/run/app.sock");
  EXPECT_EQ(raw_address{path}.to_unix(), path);

  const unix_address name{"@app"};
  EXPECT_TRUE(name.is_abstract());
  EXPECT_EQ(name.name(), "app");
  EXPECT_EQ(name.to_string(), "@app");
  EXPECT_EQ(raw_address{name}.to_unix(), name);

  EXPECT_TRUE(unix_address{}.is_unnamed());
  EXPECT_EQ(raw_address{unix_address{}}.to_unix(), unix_address{});
}

TEST(unix_address, longest_path_fits_and_a_longer_one_is_refused) {
  const unix_address longest{std::string(unix_address::max_size, 'x')};
  EXPECT_EQ(raw_address{longest}.to_unix(), longest);
  EXPECT_THROW(unix_address{std::string(unix_address::max_size + 1, 'x')}, error);
  EXPECT_THROW(unix_address{""}, error);
  EXPECT_THROW((unix_address{std::string_view{"a\0b", 3}}), error);
}

}  // namespace
}  // namespace oneloop::net
