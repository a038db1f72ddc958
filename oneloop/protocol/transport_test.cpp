#include "oneloop/protocol/transport.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <sstream>

#include "oneloop/net/tls.hpp"
#include "oneloop/net/tls_contexts_test.hpp"
#include "oneloop/protocol/basic.hpp"
#include "oneloop/protocol/protocol_test.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::inline v0::test {
namespace {

using std::make_shared, std::shared_ptr;
constexpr std::size_t large = std::size_t{8} << 20;  // more than a socket takes

class Transports : public on_backends {
 protected:
  /// A recorder on one end of a connection, a stream on the other.
  template <class Body>
  void with_peer(shared_ptr<recorder> r, Body body) {
    go([&]() -> task<> {
      auto pairing = connected_pair();
      auto both = co_await std::move(pairing);
      start_protocol(std::move(both.first), r);
      auto running = body(r, both.second);
      co_await std::move(running);
    });
  }
};

/// Writes pieces when it may.
struct pieces : producer {
  explicit pieces(transport& t, int n) : to{t}, left{n} {}
  void pause_producing() override { log += 'p'; }
  void resume_producing() override {
    log += 'r';
    at_resume = to.buffered();
    if (--left < 0) return to.unregister_producer();
    to.write(std::string(std::size_t{256} << 10, 'x'));
  }
  void stop_producing() override { log += 's'; }
  transport& to;
  int left;
  std::size_t at_resume = 0;
  std::string log;
};

void small_buffers(int fd) {
  const int size = 64 << 10;
  EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  EXPECT_EQ(::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size), 0);
}

/// Time for what must not happen.
task<> a_while() {
  for (int i = 0; i < 5; ++i) co_await sleep_for(1ms);
}

TEST_P(Transports, LoseConnectionWaitsForWhatWasWritten) {
  auto r = make_shared<recorder>();
  r->on_made = [](recorder& p) {
    p.transport().write(std::string(large, 'x'));
    EXPECT_GT(p.transport().buffered(), 0U);
    p.transport().lose_connection();
    p.transport().write("y");  // still goes: a producer might be writing
  };
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    auto waiting = a_while();
    co_await std::move(waiting);
    EXPECT_EQ(p->lost, 0);
    co_await peer.write_all(net::bytes_of("not heard"));
    auto all = read_all(peer);
    const std::string got = co_await std::move(all);
    EXPECT_EQ(got.size(), large + 1);
    EXPECT_EQ(got.back(), 'y');
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_done>());
    EXPECT_EQ(p->text, "");
  });
}

TEST_P(Transports, APullProducerWritesAPieceAtATimeAndTheEndWaitsForIt) {
  auto r = make_shared<recorder>();
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    pieces source{p->transport(), 20};
    p->transport().register_producer(source, false);
    EXPECT_EQ(source.log, "r");
    EXPECT_THROW(p->transport().register_producer(source, false), misuse);
    p->transport().lose_connection();
    auto all = read_all(peer);
    const std::string got = co_await std::move(all);
    EXPECT_EQ(got.size(), std::size_t{20} * 256 << 10);
    EXPECT_EQ(source.log, std::string(21, 'r'));
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_done>());
  });
}

TEST_P(Transports, APushProducerIsPausedAndResumedAtTheMarks) {
  auto r = make_shared<recorder>();
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    transport& t = p->transport();
    EXPECT_THROW(t.set_write_watermarks(1, 2), misuse);
    t.set_write_watermarks(100, 50);
    pieces source{t, 1};
    t.register_producer(source, true);
    EXPECT_EQ(source.log, "");
    t.write(std::string(large, 'x'));
    EXPECT_EQ(source.log, "p");
    t.write("more");
    EXPECT_EQ(source.log, "p");  // once
    std::vector<std::byte> b(std::size_t{64} << 10);
    while (source.log == "p") {
      EXPECT_GT(t.buffered(), 50U);
      (void)co_await peer.read_some(b);
      co_await yield_now();
    }
    EXPECT_EQ(source.log.substr(0, 2), "pr");  // and perhaps paused again
    EXPECT_LE(source.at_resume, 50U);
    t.unregister_producer();
  });
}

TEST_P(Transports, AnAbortStopsTheProducerAndDoesNotWaitForIt) {
  auto r = make_shared<recorder>();
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream&) -> task<> {
    pieces source{p->transport(), 1000};
    p->transport().register_producer(source, false);
    p->transport().abort_connection();
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_EQ(source.log, "rs");
    EXPECT_TRUE(p->lost_by<connection_aborted>());
    pieces late{p->transport(), 1};
    late.to.register_producer(late, true);
    EXPECT_EQ(late.log, "s");
  });
}

TEST_P(Transports, AProducerThatDiesUnregistersItself) {
  auto r = make_shared<recorder>();
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream&) -> task<> {
    {
      pieces source{p->transport(), 1};
      p->transport().register_producer(source, true);
      p->transport().lose_connection();
    }
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_done>());
  });
}

TEST_P(Transports, NothingIsReceivedWhilePaused) {
  auto r = make_shared<recorder>();
  r->on_data = [](recorder& p, const std::string&) { p.transport().pause_producing(); };
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    co_await peer.write_all(net::bytes_of("one"));
    auto first = until(*p, [&] { return !p->text.empty(); });
    co_await std::move(first);
    co_await peer.write_all(net::bytes_of("two"));
    peer.close();
    auto waiting = a_while();
    co_await std::move(waiting);
    EXPECT_EQ(p->text, "one");
    EXPECT_EQ(p->lost, 0);
    p->transport().resume_producing();
    p->transport().resume_producing();
    auto second = until(*p, [&] { return p->text == "onetwo"; });
    co_await std::move(second);
    p->transport().resume_producing();
    auto end = until_lost(p);
    co_await std::move(end);
  });
}

TEST_P(Transports, AProxyHoldsTheSenderBackAndEndsWithEitherSide) {
  go([]() -> task<> {
    // source -> left | right -> sink; the proxy's sides are each other's producers.
    auto first = connected_pair();
    auto in = co_await std::move(first);
    auto second = connected_pair();
    auto out = co_await std::move(second);
    auto left = make_shared<recorder>();
    auto right = make_shared<recorder>();
    std::size_t most = 0;
    left->on_data = [&](recorder&, const std::string& s) {
      right->transport().write(s);
      most = std::max(most, right->transport().buffered());
    };
    left->on_lost = [&](recorder&) { right->transport().lose_connection(); };
    small_buffers(out.first.fd());
    small_buffers(out.second.fd());
    start_protocol(std::move(in.second), left);
    start_protocol(std::move(out.first), right);
    right->transport().register_producer(left->transport(), true);
    left->transport().register_producer(right->transport(), true);
    const std::string sent(large, 'x');
    std::string got;
    auto send = [&]() -> task<> {
      co_await in.first.write_all(net::bytes_of(sent));
      in.first.close();
    };
    auto receive = [&]() -> task<> {
      auto full =
          until(*left, [&] { return right->transport().buffered() > std::size_t{64} << 10; });
      co_await std::move(full);
      auto waiting = a_while();
      co_await std::move(waiting);
      auto all = read_all(out.second);
      got = co_await std::move(all);
    };
    auto both = gather(send(), receive());
    co_await std::move(both);
    EXPECT_EQ(got.size(), large);
    EXPECT_LE(most, std::size_t{256} << 10);
    auto a = until_lost(left);
    co_await std::move(a);
    auto b = until_lost(right);
    co_await std::move(b);
    left->text.clear();
  });
}

TEST_P(Transports, WritingWithoutEndMeetsTheLimit) {
  const logged log;
  auto r = make_shared<recorder>();
  r->on_data = [](recorder& p, const std::string&) {
    p.transport().set_write_limit(std::size_t{1} << 20);
    while (true) p.transport().write(std::string(std::size_t{256} << 10, 'x'));
  };
  with_peer(r, [](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    co_await peer.write_all(net::bytes_of("x"));
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<error>());
    EXPECT_NE(failure{p->why}.what().find("write 127.0.0.1"), std::string::npos);
  });
}

TEST_P(Transports, ManySmallWritesArriveInOrder) {
  auto r = make_shared<recorder>();
  std::string expected;
  r->on_made = [&](recorder& p) {
    for (int i = 0; i < 1000; ++i) {
      const std::string piece = std::to_string(i) + " ";
      expected += piece;
      p.transport().write(piece);
    }
    EXPECT_EQ(p.transport().get_host().host(), net::ip_address::loopback_v4());
    p.transport().set_tcp_no_delay(false);
    p.transport().set_tcp_keep_alive(true);
  };
  with_peer(r, [&](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    p->transport().write("end");  // outside a callback, behind them
    p->transport().lose_connection();
    auto all = read_all(peer);
    EXPECT_EQ(co_await std::move(all), expected + "end");
  });
}

TEST_P(Transports, SendsAFileAsFastAsItIsRead) {
  auto r = make_shared<recorder>();
  std::string content(std::size_t{3} << 20, 'x');
  content += "end";
  with_peer(r, [&](shared_ptr<recorder> p, net::tcp_stream& peer) -> task<> {
    auto sent = send_file(std::make_unique<std::istringstream>(content), p->transport());
    p->transport().lose_connection();
    auto all = read_all(peer);
    EXPECT_TRUE(co_await std::move(all) == content);
    co_await sent;
    auto end = until_lost(p);
    co_await std::move(end);
    bool failed = false;
    send_file(std::make_unique<std::istringstream>(content), p->transport())
        .add_errback([&](const failure& f) { failed = f.check<connection_aborted>(); });
    EXPECT_TRUE(failed);
  });
}

// ---- TLS ----

TEST_P(Transports, EchoOverTls) {
  const testing::test_ca ca;
  go([&]() -> task<> {
    struct echo : protocol {
      void data_received(bytes data) override { transport().write(data); }
    };
    auto port = listen_tls(any_port, factory_of<echo>(), test::identity(ca));
    auto r = make_shared<recorder>();
    const std::string sent(large, 'x');
    r->on_made = [&](recorder& p) { p.transport().write(sent); };  // waits for the handshake
    connect_tls("127.0.0.1", port.port(), giving(r), test::trust(ca));
    auto back = until(*r, [&] { return r->text.size() == sent.size(); });
    co_await std::move(back);
    EXPECT_EQ(r->calls, (std::vector<std::string>{"made", "handshake"}));
    r->transport().lose_connection();
    auto end = until_lost(r);
    co_await std::move(end);
    EXPECT_TRUE(r->lost_by<connection_done>());
  });
}

TEST_P(Transports, ATlsContextOfTheWrongKindIsRefusedAtOnce) {
  const testing::test_ca ca;
  go([&]() -> task<> {
    auto f = factory_of<protocol>();
    EXPECT_THROW(listen_tls(any_port, f, test::trust(ca)), misuse);
    EXPECT_THROW(connect_tls("localhost", 1, f, test::identity(ca)), misuse);
    co_return;
  });
}

TEST_P(Transports, ATlsPeerOfAnotherKindUnderstandsTheGoodbyes) {
  const testing::test_ca ca;
  go([&]() -> task<> {
    auto r = make_shared<recorder>();
    r->on_data = [](recorder& p, const std::string& s) {
      p.transport().write(s);
      p.transport().lose_connection();
    };
    auto port = listen_tls(any_port, giving(r), test::identity(ca));
    auto raw = co_await net::connect(port.get_host().endpoint());
    auto connecting = net::connect_tls(std::move(raw), test::trust(ca), "localhost");
    auto s = co_await std::move(connecting);
    co_await s.write_all(net::bytes_of("hello"));
    auto all = read_all(s);  // throws unless the end is a clean one
    EXPECT_EQ(co_await std::move(all), "hello");
    auto end = until_lost(r);
    co_await std::move(end);
    EXPECT_TRUE(r->lost_by<connection_done>());
  });
}

TEST_P(Transports, ACutTlsStreamIsNoCleanEnd) {
  const testing::test_ca ca;
  go([&]() -> task<> {
    auto r = make_shared<recorder>();
    auto port = listen_tls(any_port, giving(r), test::identity(ca));
    auto raw = co_await net::connect(port.get_host().endpoint());
    auto connecting = net::connect_tls(std::move(raw), test::trust(ca), "localhost");
    auto s = co_await std::move(connecting);
    co_await s.lower().shutdown_write();
    auto end = until_lost(r);
    co_await std::move(end);
    EXPECT_TRUE(r->lost_by<net::tls_error>());
  });
}

TEST_P(Transports, AWrongCertificateEndsBothSides) {
  const testing::test_ca ca, stranger;
  go([&]() -> task<> {
    auto server = make_shared<recorder>();
    auto client = make_shared<recorder>();
    client->on_made = [](recorder& p) { p.transport().write("secret"); };
    auto port = listen_tls(any_port, giving(server), test::identity(stranger));
    connect_tls("localhost", port.port(), giving(client), test::trust(ca));
    auto a = until_lost(client);
    co_await std::move(a);
    EXPECT_TRUE(client->lost_by<net::tls_error>());
    auto b = until_lost(server);
    co_await std::move(b);
    EXPECT_TRUE(server->lost_by<net::tls_error>());
    EXPECT_EQ(server->text, "");
  });
}

TEST_P(Transports, StartTlsInTheMiddle) {
  const testing::test_ca ca;
  const auto server_side = test::identity(ca);
  const auto client_side = test::trust(ca);
  auto server = make_shared<recorder>();
  auto client = make_shared<recorder>();
  server->on_data = [&](recorder& p, const std::string& s) {
    if (s == "STARTTLS") {
      p.transport().write("GO");
      p.transport().start_tls(server_side);
      EXPECT_THROW(p.transport().start_tls(server_side), misuse);
    } else if (p.text == "STARTTLSsecret") {
      p.transport().write("known");
      p.transport().pause_producing();  // what follows waits in the session
    }
  };
  client->on_made = [](recorder& p) { p.transport().write("STARTTLS"); };
  client->on_data = [&](recorder& p, const std::string& s) {
    if (s == "GO") {
      p.transport().start_tls(client_side, "localhost");
      p.transport().write("secret");
    } else if (s == "known") {
      p.transport().write("more");
      p.transport().lose_connection();
    }
  };
  go([&]() -> task<> {
    auto port = listen_tcp(any_port, giving(server));
    connect_tcp("127.0.0.1", port.port(), giving(client));
    auto a = until_lost(client);
    co_await std::move(a);
    EXPECT_TRUE(client->lost_by<connection_done>());
    EXPECT_EQ(client->text, "GOknown");
    EXPECT_EQ(server->text, "STARTTLSsecret");
    server->transport().resume_producing();
    auto b = until_lost(server);
    co_await std::move(b);
    EXPECT_EQ(server->text, "STARTTLSsecretmore");
    EXPECT_TRUE(server->lost_by<connection_done>());
  });
}

TEST_P(Transports, CancelledInTheMiddleOfAHandshake) {
  const testing::test_ca ca;
  auto r = make_shared<recorder>();
  go([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      auto port = listen_tls(any_port, giving(r), test::identity(ca));
      auto s = co_await net::connect(port.get_host().endpoint());
      co_await s.write_all(net::bytes_of("\x16\x03\x01"));  // a beginning
      auto made = until(*r, [&] { return r->made != 0; });
      co_await std::move(made);
      n.cancel();
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    EXPECT_TRUE(is_cancelled(r->why));
  });
  EXPECT_EQ(r->lost, 1);
}

}  // namespace
ON_BACKENDS(Transports);
}  // namespace oneloop::inline v0::test
