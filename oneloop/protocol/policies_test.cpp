#include "oneloop/protocol/policies.hpp"

#include "oneloop/protocol/basic.hpp"
#include "oneloop/protocol/datagram.hpp"
#include "oneloop/protocol/protocol_test.hpp"
#include "oneloop/testing/string_transport.hpp"

namespace oneloop::inline v0::test {
namespace {

using std::make_shared, std::shared_ptr;

struct session : timeout_mixin<line_receiver> {
  void connection_made() override { set_timeout(10s); }
  void line_received(std::string_view) override { reset_timeout(); }
  void timeout_connection() override {
    ++timeouts;
    timeout_mixin::timeout_connection();
  }
  int timeouts = 0;
};

TEST(Timeouts, AnIdleConnectionIsEnded) {
  run(
      []() -> task<> {
        session p;
        testing::string_transport t{p};
        co_await sleep_for(9s);
        t.receive("a\r\n");
        co_await sleep_for(9s);
        t.receive("b\r\n");
        co_await sleep_for(9s);
        EXPECT_FALSE(t.disconnecting());
        EXPECT_EQ(p.timeout(), duration{10s});
        co_await sleep_for(2s);
        EXPECT_TRUE(t.disconnecting());
        co_await sleep_for(1h);
        EXPECT_EQ(p.timeouts, 1);
        EXPECT_EQ(p.timeout(), std::nullopt);
      }(),
      "virtual");
}

TEST(Timeouts, EndWithTheConnectionOrOnDemand) {
  run(
      []() -> task<> {
        session ended, stopped, shorter;
        {
          testing::string_transport a{ended};
          a.end();
        }
        testing::string_transport b{stopped}, c{shorter};
        stopped.set_timeout({});
        shorter.set_timeout(1s);
        co_await sleep_for(2s);
        EXPECT_EQ(shorter.timeouts, 1);
        co_await sleep_for(1h);
        EXPECT_EQ(ended.timeouts + stopped.timeouts, 0);
        stopped.set_timeout(10s);  // pending when the protocol dies, and the loop
      }(),
      "virtual");
}

class Policies : public on_backends {};

TEST_P(Policies, LimitsOnConnections) {
  go([]() -> task<> {
    std::vector<shared_ptr<recorder>> made;
    auto inner = make_shared<making>([&] {
      made.push_back(make_shared<recorder>());
      return made.back();
    });
    auto port = listen_tcp(any_port, limit_connections(inner, 2));
    auto a = co_await net::connect(port.get_host().endpoint());
    auto b = co_await net::connect(port.get_host().endpoint());
    auto c = co_await net::connect(port.get_host().endpoint());
    auto refused = read_all(c);
    EXPECT_EQ(co_await std::move(refused), "");
    EXPECT_EQ(made.size(), 2U);
    EXPECT_EQ(&made[0]->made_by<making>(), inner.get());
    a.close();
    auto end = until_lost(made[0]);
    co_await std::move(end);
    co_await yield_now();
    auto d = co_await net::connect(port.get_host().endpoint());
    co_await d.write_all(net::bytes_of("x"));
    while (made.size() < 3) co_await sleep_for(1ms);
    auto came = until(*made[2], [&] { return made[2]->text == "x"; });
    co_await std::move(came);

    auto one = listen_tcp(any_port, limit_connections(inner, 100, 1));
    auto e = co_await net::connect(one.get_host().endpoint());
    auto g = co_await net::connect(one.get_host().endpoint());
    auto again = read_all(g);
    EXPECT_EQ(co_await std::move(again), "");
    EXPECT_EQ(made.size(), 4U);
  });
}

// ---- datagrams ----

struct datagrams : datagram_protocol {
  void start_protocol() override { log += "start "; }
  void stop_protocol() override {
    log += "stop";
    changed.set();
  }
  void datagram_received(bytes data, const net::endpoint& from) override {
    log += text_of(data) + " ";
    changed.set();
    if (answers) transport().write(data, from);
    if (throws) throw std::runtime_error{"no such datagram"};
  }
  void connection_refused() override {
    refused = true;
    changed.set();
  }
  bool answers = false, throws = false, refused = false;
  std::string log;
  event changed;
};

TEST_P(Policies, DatagramsGoBothWays) {
  const logged log;
  auto server = make_shared<datagrams>();
  auto client = make_shared<datagrams>();
  go([&]() -> task<> {
    server->answers = server->throws = true;
    auto at = listen_udp(any_port, server);
    auto from = listen_udp(any_port, client);
    for (const char* text : {"one", "", "two"}) {
      client->changed.reset();
      EXPECT_TRUE(from.write(text, at.get_host()));
      co_await client->changed.wait();
    }
    EXPECT_EQ(client->log, "start one  two ");
    from.connect(at.get_host());
    client->changed.reset();
    from.write("three");
    co_await client->changed.wait();
    const std::string huge(70'000, 'x');
    try {
      from.write(huge);
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_EQ(e.code(), std::errc::message_size);
    }
    co_await at.stop_listening();
    EXPECT_EQ(server->log, "start one  two three stop");
    server->transport().write("nobody minds", from.get_host());
    while (!client->refused) {
      from.write("anybody?");
      co_await sleep_for(1ms);
    }
  });
  EXPECT_EQ(client->log, "start one  two three stop");
  EXPECT_NE(logged::lines().find("no such datagram"), std::string::npos);
}

TEST_P(Policies, DatagramProtocolsAreStoppedWithTheirNursery) {
  auto p = make_shared<datagrams>();
  go([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      listen_udp(any_port, p);
      n.cancel();
      co_return;
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    EXPECT_EQ(p->log, "start stop");
  });
}

}  // namespace
ON_BACKENDS(Policies);
}  // namespace oneloop::inline v0::test
