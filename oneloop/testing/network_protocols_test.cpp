// TLS and protocols, unchanged, on the simulated network.
#include <memory>

#include "oneloop/net/tls.hpp"
#include "oneloop/protocol/client.hpp"
#include "oneloop/testing/network_test.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::inline v0::test {
namespace {

using network_protocols_test = network_test;

TEST_F(network_protocols_test, tls_with_a_name_that_the_certificate_has) {
  testing::test_ca ca;
  const auto mine = ca.issue({"secure.test"});
  host& secure = net.host("secure.test");
  go([&](nursery& n) -> task<> {
    net::tls_server_options o;
    o.certificate = mine.certificate;
    o.key = mine.key;
    auto serve_tls = [&]() -> task<> {
      net::tcp_listener listener{net::endpoint{net::ip_address::any_v4(), 443}};
      auto s = co_await listener.accept();
      auto shaking = net::accept_tls(std::move(s), net::tls_context::server(o));
      auto secured = co_await std::move(shaking);
      co_await secured.write_all(net::bytes_of("secret"));
      co_await secured.shutdown_write();
    };
    secure.start(n, std::ref(serve_tls));
    co_await sleep_for(1ms);
    net::tls_client_options c;
    c.ca = ca.certificate();
    auto connecting = net::connect("secure.test", 443);
    auto s = co_await std::move(connecting);
    auto shaking = net::connect_tls(std::move(s), net::tls_context::client(c), "secure.test", 443);
    auto secured = co_await std::move(shaking);
    std::vector<std::byte> buffer(100);
    const auto got = co_await secured.read_some(buffer);
    EXPECT_EQ(got, 6u);
  });
}

/// Says hello, and remembers who was there.
struct greeter : protocol {
  void connection_made() override {
    peer = transport().get_peer().to_string();
    transport().write(net::bytes_of("hello"));
  }
  static inline std::string peer;
};
struct news : protocol {
  void data_received(bytes data) override {
    text.append(reinterpret_cast<const char*>(data.data()), data.size());
    ++times;
    transport().lose_connection();
  }
  static inline std::string text;
  static inline int times = 0;
};

TEST_F(network_protocols_test, protocols_and_a_client_that_reconnects) {
  news::times = 0;
  go([&](nursery& n) -> task<> {
    auto listening = []() -> task<> {
      co_await sleep_for(3s);
      auto port = listen_tcp(79, factory_of<greeter>());
      co_await sleep_forever();
    };
    auto f = factory_of<news, reconnecting_client_factory>();
    b.start(n, listening);
    auto c = connect_tcp("b.test", 79, f);  // refused at first
    co_await sleep_for(2s);
    EXPECT_EQ(news::times, 0);
    co_await sleep_for(10min);
    EXPECT_GT(news::times, 1);
    EXPECT_EQ(news::text.substr(0, 10), "hellohello");
    EXPECT_EQ(greeter::peer.substr(0, greeter::peer.find(':')), a.address().to_string());
    f->stop_trying();
    c->disconnect();
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
