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
  EXPECT_EQ(endpoint{"[::1]:80"}.port(), 80);
  try {
    EXPECT_EQ(endpoint{"127.0.0.1:x"}.port(), 0);
    ADD_FAILURE() << "was taken";
  } catch (const error& e) {
    EXPECT_STREQ(e.what(), "endpoint '127.0.0.1:x': not ADDRESS:PORT");
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

// ---- networks ----

TEST(ip_network, contains_what_begins_with_its_bits) {
  auto in = [](const char* network, const char* address) {
    return ip_network::parse(network)->contains(*ip_address::parse(address));
  };
  EXPECT_TRUE(in("10.0.0.0/8", "10.255.0.1"));
  EXPECT_FALSE(in("10.0.0.0/8", "11.0.0.0"));
  EXPECT_TRUE(in("172.16.0.0/12", "172.31.255.255"));
  EXPECT_FALSE(in("172.16.0.0/12", "172.32.0.0"));
  EXPECT_TRUE(in("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(in("0.0.0.0/0", "2000::1"));
  EXPECT_TRUE(in("10.0.0.0/8", "::ffff:10.1.2.3"));
  EXPECT_TRUE(in("fe80::/10", "febf::1%1"));
  EXPECT_FALSE(in("fe80::/10", "fec0::1"));
  EXPECT_FALSE(in("::/0", "10.0.0.1"));
  EXPECT_TRUE(in("10.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(in("10.0.0.1", "10.0.0.2"));
  for (const char* none : {"", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "::/129", "a/8", "/8"}) {
    EXPECT_FALSE(ip_network::parse(none)) << none;
  }
}

TEST(ip_address, http_point_31_what_is_not_of_the_public_internet) {
  const std::pair<const char*, const char*> special[] = {
      {"0.0.0.0", "an unspecified address"},
      {"0.1.2.3", "an unspecified address"},
      {"10.0.0.1", "a private address"},
      {"100.64.0.1", "a private address"},
      {"100.127.255.255", "a private address"},
      {"127.0.0.1", "a loopback address"},
      {"127.255.255.254", "a loopback address"},
      {"169.254.169.254", "a link-local address"},
      {"172.16.0.1", "a private address"},
      {"172.31.255.255", "a private address"},
      {"192.0.0.8", "a reserved address"},
      {"192.0.2.1", "an address for documentation"},
      {"192.88.99.1", "a reserved address"},
      {"192.168.1.1", "a private address"},
      {"198.18.0.1", "a reserved address"},
      {"198.19.255.255", "a reserved address"},
      {"198.51.100.1", "an address for documentation"},
      {"203.0.113.1", "an address for documentation"},
      {"224.0.0.1", "a multicast address"},
      {"239.255.255.250", "a multicast address"},
      {"240.0.0.1", "a reserved address"},
      {"255.255.255.255", "the broadcast address"},
      {"::", "an unspecified address"},
      {"::1", "a loopback address"},
      {"::ffff:127.0.0.1", "a loopback address"},
      {"::ffff:10.0.0.1", "a private address"},
      {"::7f00:1", "a loopback address"},
      {"64:ff9b::a00:1", "a private address"},
      {"64:ff9b:1::808:808", "a private address"},
      {"2002:7f00:1::", "a loopback address"},
      {"2002:c0a8:101::1", "a private address"},
      {"100::1", "a reserved address"},
      {"2001::1", "a reserved address"},
      {"2001:db8::1", "an address for documentation"},
      {"3fff::1", "an address for documentation"},
      {"5f00::1", "a reserved address"},
      {"fc00::1", "a private address"},
      {"fdff::1", "a private address"},
      {"fe80::1", "a link-local address"},
      {"fec0::1", "a private address"},
      {"ff02::1", "a multicast address"},
      {"4000::1", "a reserved address"},
  };
  for (const auto& [text, kind] : special) {
    const auto a = *ip_address::parse(text);
    EXPECT_FALSE(a.is_public()) << text;
    EXPECT_EQ(a.special_kind(), kind) << text;
  }
  for (const char* text : {"1.1.1.1",         "8.8.8.8",          "9.255.255.255",
                           "11.0.0.0",        "100.63.255.255",   "100.128.0.0",
                           "126.255.255.255", "128.0.0.1",        "169.253.0.1",
                           "172.15.255.255",  "172.32.0.0",       "192.0.1.1",
                           "192.167.0.1",     "198.17.0.1",       "198.20.0.1",
                           "223.255.255.255", "2606:4700::1111",  "2001:4860:4860::8888",
                           "::ffff:8.8.8.8",  "64:ff9b::808:808", "2002:808:808::1"}) {
    EXPECT_TRUE(ip_address::parse(text)->is_public()) << text;
  }
}

}  // namespace
}  // namespace oneloop::net
