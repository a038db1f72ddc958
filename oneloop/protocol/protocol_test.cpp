#include "oneloop/protocol/protocol.hpp"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <thread>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/net/raw_address.hpp"
#include "oneloop/protocol/protocol_test.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::test {
namespace {

struct echo : protocol {
  void data_received(bytes data) override { transport().write(data); }
};

class Protocols : public on_backends {
 protected:
  /// Runs `body(server, client)` with a recorded server's side and a plain client's.
  template <class Body>
  void with_client(std::shared_ptr<recorder> server, Body body) {
    go([&]() -> task<> {
      auto port = listen_tcp(any_port, giving(server));
      auto s = co_await net::connect(port.get_host().endpoint());
      auto made = until(*server, [&] { return server->made != 0; });
      co_await std::move(made);
      auto running = body(server, s);
      co_await std::move(running);
    });
  }
};

TEST_P(Protocols, EchoOverTcp) {
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<echo>());
    auto s = co_await net::connect(port.get_host().endpoint());
    co_await s.write_all(net::bytes_of("hello"));
    auto reading = read_text(s);
    EXPECT_EQ(co_await std::move(reading), "hello");
    // One large message, and the end of it: all of it comes back before the end.
    std::string large(std::size_t{3} << 20, 'x');
    for (std::size_t i = 0; i < large.size(); i += 4096) large[i] = static_cast<char>('a' + i % 23);
    std::string back;
    auto send = [&]() -> task<> {
      co_await s.write_all(net::bytes_of(large));
      co_await s.shutdown_write();
    };
    auto receive = [&]() -> task<> {
      auto all = read_all(s);
      back = co_await std::move(all);
    };
    auto both = gather(send(), receive());
    co_await std::move(both);
    EXPECT_TRUE(back == large);
  });
}

TEST_P(Protocols, EchoOverUnixSockets) {
  go([]() -> task<> {
    const auto at =
        net::unix_address::abstract("oneloop protocol test " + std::to_string(getpid()));
    auto port = listen_unix(at, factory_of<echo>());
    auto r = std::make_shared<recorder>();
    r->on_made = [&](recorder& p) {
      EXPECT_EQ(p.transport().get_peer(), socket_address{at});
      p.transport().write_sequence({"a", "b", "c"});
      p.transport().lose_write_connection();
    };
    auto c = connect_unix(at, giving(r));
    auto end = until_lost(r);
    co_await std::move(end);
    EXPECT_EQ(r->text, "abc");
    EXPECT_EQ(c->destination(), at.to_string());
    EXPECT_TRUE(r->lost_by<connection_done>());
  });
}

// ---- connection_lost: exactly once, after connection_made, whatever happens ----

TEST_P(Protocols, LostWhenThePeerCloses) {
  auto r = std::make_shared<recorder>();
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.write_all(net::bytes_of("bye"));
    s.close();
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_EQ(p->text, "bye");
    EXPECT_TRUE(p->lost_by<connection_done>());
    EXPECT_EQ(p->calls, (std::vector<std::string>{"made", "read lost", "lost"}));
  });
  EXPECT_EQ(r->lost, 1);
}

TEST_P(Protocols, LostWhenThePeerResets) {
  auto r = std::make_shared<recorder>();
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    s.reset();
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_NE(failure{p->why}.what().find("Connection reset"), std::string::npos);
  });
  EXPECT_EQ(r->lost, 1);
}

TEST_P(Protocols, LostByLoseConnectionAndTheBytesArrive) {
  auto r = std::make_shared<recorder>();
  r->on_data = [](recorder& p, const std::string&) {
    p.transport().write("last words");
    p.transport().lose_connection();
    p.transport().lose_connection();
    EXPECT_EQ(p.lost, 0);
    EXPECT_TRUE(p.transport().connected());
    EXPECT_TRUE(p.transport().disconnecting());
  };
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.write_all(net::bytes_of("x"));
    auto all = read_all(s);
    EXPECT_EQ(co_await std::move(all), "last words");
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_done>());
  });
  EXPECT_EQ(r->text, "x");
}

TEST_P(Protocols, WhatACallbackWritesInPiecesGoesOutBeforeTheEnd) {
  auto r = std::make_shared<recorder>();
  r->on_data = [](recorder& p, const std::string&) {
    for (const char* piece : {"a", "b", "c"}) p.transport().write(piece);
    p.transport().lose_connection();
  };
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.write_all(net::bytes_of("x"));
    auto all = read_all(s);
    EXPECT_EQ(co_await std::move(all), "abc");
    auto end = until_lost(p);
    co_await std::move(end);
  });
}

TEST_P(Protocols, LostByAbortAndThePeerSeesAReset) {
  auto r = std::make_shared<recorder>();
  r->on_data = [](recorder& p, const std::string&) {
    p.transport().write(std::string(std::size_t{8} << 20, 'x'));
    p.transport().lose_connection();   // would wait
    p.transport().abort_connection();  // does not
    EXPECT_EQ(p.lost, 0);              // never from within
    EXPECT_FALSE(p.transport().connected());
    p.transport().write("ignored");
  };
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.write_all(net::bytes_of("x"));
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_aborted>());
    auto reading = read_all(s);
    auto code = code_of(std::move(reading));
    EXPECT_EQ(co_await std::move(code), std::errc::connection_reset);
  });
}

TEST_P(Protocols, AnExceptionInDataReceivedIsLoggedAndTheReason) {
  const logged log;
  auto r = std::make_shared<recorder>();
  r->on_data = [](recorder&, const std::string&) { throw std::runtime_error{"no such verb"}; };
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.write_all(net::bytes_of("x"));
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<std::runtime_error>());
  });
  EXPECT_NE(logged::lines().find("no such verb"), std::string::npos);
}

TEST_P(Protocols, ExceptionsInTheOtherCallbacksHurtNobodyElse) {
  const logged log;
  go([]() -> task<> {
    auto r = std::make_shared<recorder>();
    r->on_made = [](recorder&) { throw std::runtime_error{"made"}; };
    r->on_lost = [](recorder&) { throw std::runtime_error{"lost"}; };
    int built = 0;
    auto port = listen_tcp(any_port, std::make_shared<making>([&]() -> std::shared_ptr<protocol> {
                             if (++built == 1) throw std::runtime_error{"built"};
                             if (built == 2) return nullptr;
                             if (built == 3) return r;
                             return std::make_shared<echo>();
                           }));
    for (int i = 0; i < 3; ++i) {
      auto s = co_await net::connect(port.get_host().endpoint());
      auto reading = read_all(s);
      auto code = code_of(std::move(reading));
      (void)co_await std::move(code);  // the end, or a reset
    }
    auto s = co_await net::connect(port.get_host().endpoint());
    co_await s.write_all(net::bytes_of("hello"));
    auto reading = read_text(s);
    EXPECT_EQ(co_await std::move(reading), "hello");
    EXPECT_EQ(r->lost, 1);
    EXPECT_EQ(failure{r->why}.what(), "made");
  });
  for (const char* what : {"built", "made", "lost"}) {
    EXPECT_NE(logged::lines().find(what), std::string::npos) << what;
  }
}

TEST_P(Protocols, LostByTheCancellationOfTheNursery) {
  auto server = std::make_shared<recorder>();
  auto client = std::make_shared<recorder>();
  client->on_made = [](recorder& p) {
    p.transport().write(std::string(std::size_t{8} << 20, 'x'));  // something that waits
  };
  go([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      auto port = listen_tcp(any_port, giving(server));
      connect_tcp("127.0.0.1", port.port(), giving(client));
      auto a = until(*server, [&] { return server->made != 0; });
      co_await std::move(a);
      auto b = until(*client, [&] { return client->made != 0; });
      co_await std::move(b);
      n.cancel();
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    EXPECT_EQ(server->lost, 1);
    EXPECT_EQ(client->lost, 1);
    EXPECT_TRUE(is_cancelled(server->why));
    EXPECT_TRUE(is_cancelled(client->why));
  });
}

TEST_P(Protocols, CancelledFromWithinACallbackItIsLostOnceAndLater) {
  auto r = std::make_shared<recorder>();
  go([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      auto port = listen_tcp(any_port, giving(r));
      r->on_data = [&](recorder& p, const std::string&) {
        n.cancel();
        EXPECT_EQ(p.lost, 0);
        p.transport().lose_connection();
      };
      auto s = co_await net::connect(port.get_host().endpoint());
      co_await s.write_all(net::bytes_of("x"));
      co_await sleep_forever();
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    EXPECT_TRUE(is_cancelled(r->why));
  });
  EXPECT_EQ(r->lost, 1);
}

TEST_P(Protocols, LostAtTheEndOfTheLoop) {
  auto server = std::make_shared<recorder>();
  auto client = std::make_shared<recorder>();
  std::weak_ptr<recorder> not_kept;
  go([&]() -> task<> {
    auto port = listen_tcp(any_port, giving(server));
    connect_tcp("127.0.0.1", port.port(), giving(client));
    auto a = until(*server, [&] { return server->made != 0; });
    co_await std::move(a);
    auto b = until(*client, [&] { return client->made != 0; });
    co_await std::move(b);
    auto s = co_await net::connect(port.get_host().endpoint());  // not accepted before the end
    auto other = std::make_shared<recorder>();
    not_kept = other;
    start_protocol(std::move(s), std::move(other));
  });
  EXPECT_TRUE(is_cancelled(server->why));
  EXPECT_TRUE(is_cancelled(client->why));
  EXPECT_EQ(client->calls, (std::vector<std::string>{"made", "lost"}));
  EXPECT_TRUE(not_kept.expired());
  client->transport().write("nobody minds");
  EXPECT_FALSE(client->transport().connected());
}

TEST_P(Protocols, StartedInACancelledNurseryItIsMadeAndLost) {
  auto r = std::make_shared<recorder>();
  go([&]() -> task<> {
    auto pairing = connected_pair();
    auto both = co_await std::move(pairing);
    auto body = [&](nursery& n) -> task<> {
      n.cancel();
      auto port = listen_tcp(any_port, factory_of<echo>());
      start_protocol(std::move(both.first), r);
      co_return;
    };
    auto running = with_nursery(body);
    co_await std::move(running);
  });
  EXPECT_EQ(r->calls, (std::vector<std::string>{"made", "lost"}));
  EXPECT_TRUE(is_cancelled(r->why));
}

// ---- half of a connection ----

TEST_P(Protocols, GoesOnWritingAfterThePeerHasEndedItsDirection) {
  auto r = std::make_shared<recorder>();
  r->on_read_lost = [](recorder& p) { p.transport().write("still here"); };
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.shutdown_write();
    auto reading = read_text(s);
    EXPECT_EQ(co_await std::move(reading), "still here");
    EXPECT_EQ(p->lost, 0);
    p->transport().lose_write_connection();
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_done>());
    EXPECT_EQ(p->calls, (std::vector<std::string>{"made", "read lost", "write lost", "lost"}));
  });
}

TEST_P(Protocols, GoesOnReadingAfterEndingItsOwnDirection) {
  auto r = std::make_shared<recorder>();
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    p->transport().write("done");
    p->transport().lose_write_connection();
    p->transport().write("ignored");
    auto all = read_all(s);
    EXPECT_EQ(co_await std::move(all), "done");
    co_await s.write_all(net::bytes_of("but I am not"));
    auto came = until(*p, [&] { return p->text == "but I am not"; });
    co_await std::move(came);
    EXPECT_EQ(p->lost, 0);
    s.close();
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<connection_done>());
  });
}

// ---- what callbacks may do ----

TEST_P(Protocols, WhatACallbackStartsBelongsToTheNurseryOfTheConnection) {
  auto r = std::make_shared<recorder>();
  bool ended = false;
  go([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      auto port = listen_tcp(any_port, giving(r));
      r->on_data = [&](recorder& p, const std::string&) {
        defer(sleep_forever()).add_both([&](auto&&) { ended = true; });
        p.changed.set();
      };
      auto s = co_await net::connect(port.get_host().endpoint());
      co_await s.write_all(net::bytes_of("x"));
      auto came = until(*r, [&] { return !r->text.empty(); });
      co_await std::move(came);
      n.cancel();
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    EXPECT_TRUE(ended);
  });
}

TEST_P(Protocols, ACallbackCannotWait) {
  const logged log;
  auto r = std::make_shared<recorder>();
  r->on_data = [](recorder&, const std::string&) { await(sleep_for(1ms)); };
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream& s) -> task<> {
    co_await s.write_all(net::bytes_of("x"));
    auto end = until_lost(p);
    co_await std::move(end);
    EXPECT_TRUE(p->lost_by<would_block_loop>());
  });
}

TEST_P(Protocols, OtherThreadsAreRefused) {
  auto r = std::make_shared<recorder>();
  with_client(r, [](std::shared_ptr<recorder> p, net::tcp_stream&) -> task<> {
    int refused = 0;
    std::thread{[&] {
      const auto tries = [&](auto&& f) {
        try {
          f();
        } catch (const wrong_thread&) {
          ++refused;
        }
      };
      tries([&] { p->transport().write("x"); });
      tries([&] { p->transport().lose_connection(); });
      tries([&] { p->transport().abort_connection(); });
      tries([&] { p->transport().pause_producing(); });
    }}.join();
    EXPECT_EQ(refused, 4);
    EXPECT_TRUE(p->transport().connected());
    co_return;
  });
}

TEST(ProtocolsWithoutALoop, AreRefused) {
  EXPECT_THROW(listen_tcp(any_port, factory_of<echo>()), loop_not_running);
  EXPECT_THROW(connect_tcp("127.0.0.1", 1, factory_of<echo>()), loop_not_running);
}

// ---- ports and factories ----

TEST_P(Protocols, AFactoryStartsWithItsFirstPortAndStopsWithTheLast) {
  struct counting : making {
    using making::making;
    void start_factory() override { ++started; }
    void stop_factory() override { ++stopped; }
    void connection_ended(protocol&, const socket_address& peer) override {
      ++ended;
      EXPECT_TRUE(peer.host().is_loopback());
    }
    int started = 0, stopped = 0, ended = 0;
  };
  go([]() -> task<> {
    auto r = std::make_shared<recorder>();
    auto f = std::make_shared<counting>([r] { return r; });
    r->on_made = [&](recorder& p) { EXPECT_EQ(&p.made_by<counting>(), f.get()); };
    auto a = listen_tcp(any_port, f);
    auto b = listen_tcp(any_port, f);
    EXPECT_NE(a.port(), b.port());
    EXPECT_EQ(f->started, 1);
    auto s = co_await net::connect(a.get_host().endpoint());
    auto made = until(*r, [&] { return r->made != 0; });
    co_await std::move(made);
    co_await a.stop_listening();
    co_await a.stop_listening();
    EXPECT_EQ(f->stopped, 0);
    auto refused = code_of(net::connect(a.get_host().endpoint()));
    EXPECT_EQ(co_await std::move(refused), std::errc::connection_refused);
    auto gone = b.closed();
    bool told = false;
    gone.add_callback([&] { told = true; });
    co_await b.stop_listening();
    EXPECT_TRUE(told);
    EXPECT_EQ(f->stopped, 1);
    // The connection goes on without its port.
    co_await s.write_all(net::bytes_of("x"));
    auto came = until(*r, [&] { return r->text == "x"; });
    co_await std::move(came);
    s.close();
    auto end = until_lost(r);
    co_await std::move(end);
    co_await yield_now();
    EXPECT_EQ(f->ended, 1);
  });
}

TEST_P(Protocols, APortPausesWhileDescriptorsHaveRunOut) {
  go([]() -> task<> {
    int built = 0;
    auto port = listen_tcp(any_port, std::make_shared<making>([&] {
                             ++built;
                             return std::make_shared<protocol>();
                           }));
    co_await sleep_for(1ms);  // it accepts
    const auto open = [] {
      return descriptor::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    };
    const descriptor a = open(), b = open();
    const net::raw_address to{port.get_host().endpoint()};
    rlimit old{};
    getrlimit(RLIMIT_NOFILE, &old);
    const int next = ::dup(0);
    ::close(next);
    rlimit none = old;
    none.rlim_cur = static_cast<rlim_t>(next);
    setrlimit(RLIMIT_NOFILE, &none);
    EXPECT_EQ(::connect(a.fd(), to.data(), to.size()), 0);
    EXPECT_EQ(::connect(b.fd(), to.data(), to.size()), 0);
    for (int i = 0; i < 10; ++i) co_await sleep_for(1ms);
    EXPECT_LT(built, 2);  // an accept that io_uring has begun knows the old limit only
    setrlimit(RLIMIT_NOFILE, &old);
    while (built < 2) co_await sleep_for(1ms);
  });
}

TEST_P(Protocols, APortSaysWhyItCannotListen) {
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<echo>());
    try {
      listen_tcp(port.get_host().endpoint(), factory_of<echo>());
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_EQ(e.code(), std::errc::address_in_use);
    }
    co_return;
  });
}

}  // namespace
ON_BACKENDS(Protocols);
}  // namespace oneloop::inline v0::test
