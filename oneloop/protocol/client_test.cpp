#include "oneloop/protocol/client.hpp"

#include <cmath>

#include "oneloop/protocol/dialling_internal.hpp"
#include "oneloop/protocol/protocol_test.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::test {
namespace {

using std::make_shared, std::shared_ptr;

/// Writes down what a connector tells it.
struct noting : making {
  using making::making;
  void start_factory() override { log += "start "; }
  void stop_factory() override { log += "stop "; }
  void started_connecting(connector& c) override {
    log += "connecting ";
    if (on_start) on_start(c);
    changed.set();
  }
  void client_connection_failed(connector& c, failure f) override {
    log += "failed ";
    why = f.exception();
    if (on_end) on_end(c);
    changed.set();
  }
  void client_connection_lost(connector& c, failure f) override {
    log += "lost ";
    why = f.exception();
    if (on_end) on_end(c);
    changed.set();
  }
  [[nodiscard]] std::string reason() const { return failure{why}.what(); }
  std::function<void(connector&)> on_start, on_end;
  std::string log;
  std::exception_ptr why;
  event changed;
};

task<> until_end(shared_ptr<noting> f) {
  while (!f->why) {
    f->changed.reset();
    co_await f->changed.wait();
  }
  co_await yield_now();
}

/// A port that nobody listens on.
std::uint16_t dead_port() {
  const net::tcp_listener l{any_port};
  return l.local_endpoint().port();
}

class Clients : public on_backends {};

TEST_P(Clients, AConnectorConnectsAndTellsItsFactory) {
  go([]() -> task<> {
    auto server = make_shared<recorder>();
    auto client = make_shared<recorder>();
    auto port = listen_tcp(any_port, giving(server));
    auto f = make_shared<noting>([client] { return client; });
    client->on_lost = [&](recorder&) { f->log += "connection_lost "; };
    auto c = connect_tcp("127.0.0.1", port.port(), f);
    EXPECT_EQ(c->state(), connector::phase::connecting);
    EXPECT_THROW(c->connect(), misuse);
    auto made = until(*client, [&] { return client->made != 0; });
    co_await std::move(made);
    EXPECT_EQ(c->state(), connector::phase::connected);
    EXPECT_EQ(client->transport().get_peer(), port.get_host());
    EXPECT_THROW(c->stop_connecting(), misuse);
    c->disconnect();
    auto end = until_end(f);
    co_await std::move(end);
    EXPECT_EQ(c->state(), connector::phase::disconnected);
    EXPECT_EQ(f->log, "start connecting connection_lost lost stop ");
    EXPECT_TRUE(failure{f->why}.check<connection_done>());
    c->disconnect();  // nothing to do
    auto other = until_lost(server);
    co_await std::move(other);
  });
}

TEST_P(Clients, AFailureSaysWhatWasTried) {
  go([]() -> task<> {
    auto f = make_shared<noting>([] { return nullptr; });
    const auto port = dead_port();
    auto c = connect_tcp("127.0.0.1", port, f);
    auto end = until_end(f);
    co_await std::move(end);
    EXPECT_EQ(f->log, "start connecting failed stop ");
    EXPECT_EQ(f->reason(), "connect 127.0.0.1:" + std::to_string(port) + ": Connection refused");
    EXPECT_EQ(c->state(), connector::phase::disconnected);
  });
}

TEST_P(Clients, OneThatIsLostMayConnectAgain) {
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<protocol>());
    std::vector<shared_ptr<recorder>> made;
    auto f = make_shared<noting>([&] {
      auto r = make_shared<recorder>();
      r->on_made = [](recorder& p) { p.transport().lose_connection(); };
      made.push_back(r);
      return r;
    });
    f->on_end = [&](connector& c) {
      if (made.size() < 3) {
        f->why = nullptr;
        c.connect();
      }
    };
    connect_tcp("127.0.0.1", port.port(), f);
    auto end = until_end(f);
    co_await std::move(end);
    EXPECT_EQ(f->log, "start connecting lost connecting lost connecting lost stop ");
    for (const auto& r : made) EXPECT_EQ(r->lost, 1);
  });
}

TEST_P(Clients, AFactoryMayRefuseTheConnection) {
  go([]() -> task<> {
    auto server = make_shared<recorder>();
    auto port = listen_tcp(any_port, giving(server));
    auto f = make_shared<noting>([] { return nullptr; });
    connect_tcp("127.0.0.1", port.port(), f);
    auto end = until_end(f);
    co_await std::move(end);
    EXPECT_EQ(f->log, "start connecting lost stop ");
    auto other = until_lost(server);
    co_await std::move(other);
  });
}

TEST_P(Clients, AFactoryThatThrowsHasFailed) {
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<protocol>());
    auto f = make_shared<noting>(
        []() -> shared_ptr<protocol> { throw std::runtime_error{"no protocol"}; });
    connect_tcp("127.0.0.1", port.port(), f);
    auto end = until_end(f);
    co_await std::move(end);
    EXPECT_EQ(f->log, "start connecting failed stop ");
    EXPECT_EQ(f->reason(), "no protocol");
  });
}

TEST_P(Clients, DisconnectsFromWithinConnectionMade) {
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<protocol>());
    shared_ptr<connector> c;
    auto r = make_shared<recorder>();
    r->on_made = [&](recorder&) { c->disconnect(); };
    c = connect_tcp("127.0.0.1", port.port(), giving(r));
    auto end = until_lost(r);
    co_await std::move(end);
    EXPECT_TRUE(r->lost_by<connection_done>());
  });
}

TEST_P(Clients, AnAttemptCanBeGivenUp) {
  go([]() -> task<> {
    auto f = make_shared<noting>([] { return nullptr; });
    f->on_start = [](connector& c) { c.disconnect(); };
    auto port = listen_tcp(any_port, factory_of<protocol>());
    connect_tcp("127.0.0.1", port.port(), f);
    auto end = until_end(f);
    co_await std::move(end);
    // A connection that stood already is delivered, and then refused.
    EXPECT_TRUE(f->log == "start connecting failed stop " ||
                f->log == "start connecting lost stop ")
        << f->log;
  });
}

TEST_P(Clients, AnAttemptEndsWithItsNursery) {
  go([]() -> task<> {
    auto f = make_shared<noting>([] { return nullptr; });
    auto body = [&](nursery& n) -> task<> {
      n.cancel();
      connect_tcp("127.0.0.1", dead_port(), f);
      co_return;
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    EXPECT_EQ(f->log, "start connecting failed stop ");
    EXPECT_TRUE(is_cancelled(f->why));
  });
}

TEST_P(Clients, ConnectProtocolGivesIt) {
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<protocol>());
    auto r = make_shared<recorder>();
    auto connecting = connect_protocol("127.0.0.1", port.port(), r);
    auto same = co_await connecting;
    EXPECT_EQ(same, r);
    EXPECT_EQ(r->made, 1);
    r->transport().lose_connection();
    auto end = until_lost(r);
    co_await std::move(end);

    auto none = make_shared<recorder>();
    auto failing = code_of(connect_protocol("127.0.0.1", dead_port(), none));
    EXPECT_EQ(co_await std::move(failing), std::errc::connection_refused);
    EXPECT_EQ(none->made + none->lost, 0);
    auto given_up = connect_protocol("127.0.0.1", port.port(), none);
    given_up.cancel();
    auto code = code_of(std::move(given_up));
    EXPECT_EQ(co_await std::move(code), std::errc::operation_canceled);
    EXPECT_EQ(none->made, 0);
  });
}

TEST_P(Clients, AReconnectingFactoryComesBack) {
  struct hasty : reconnecting_client_factory {
    hasty() {
      set_initial_delay(1us);
      set_max_delay(1ms);
    }
    shared_ptr<protocol> build_protocol(const socket_address&) override {
      reset_delay();
      return r;
    }
    shared_ptr<recorder> r = make_shared<recorder>();
  };
  go([]() -> task<> {
    auto f = make_shared<hasty>();
    auto port = listen_tcp(any_port, factory_of<protocol>());
    connect_tcp("127.0.0.1", port.port(), f);
    auto first = until(*f->r, [&] { return f->r->made == 1; });
    co_await std::move(first);
    f->r->transport().abort_connection();
    auto second = until(*f->r, [&] { return f->r->made == 2; });
    co_await std::move(second);
    EXPECT_EQ(f->r->lost, 1);
    f->stop_trying();
    f->r->transport().abort_connection();
    auto end = until(*f->r, [&] { return f->r->lost == 2; });
    co_await std::move(end);
  });
}

// ---- reconnecting, on the virtual clock ----

/// Attempts that fail at once, and when they were made.
struct attempts {
  shared_ptr<connector> to(shared_ptr<client_factory> f, int fail = 1'000'000) {
    auto c = make_shared<connector>(
        dialling{"nowhere",
                 [this, fail]() -> task<connected_socket> { return attempt(this, fail); },
                 duration::zero()},
        std::move(f));
    c->connect();
    return c;
  }
  static task<connected_socket> attempt(attempts* self, int fail) {
    self->at.push_back(loop::current()->now());
    co_await yield_now();
    if (static_cast<int>(self->at.size()) <= fail)
      throw error{"connect", "nowhere", system_code(ECONNREFUSED)};
    co_await sleep_forever();
    co_return connected_socket{};
  }
  [[nodiscard]] std::vector<double> delays() const {
    std::vector<double> d;
    for (std::size_t i = 1; i < at.size(); ++i) {
      d.push_back(std::chrono::duration<double>(at[i] - at[i - 1]).count());
    }
    return d;
  }
  std::vector<time_point> at;
};

struct never_built : reconnecting_client_factory {
  shared_ptr<protocol> build_protocol(const socket_address&) override { return nullptr; }
  void stop_factory() override { ++stopped; }
  int stopped = 0;
};

template <class Body>
void on_virtual_loop(Body body) {
  run(body(), "virtual");
}

TEST(Reconnecting, DelaysGrowUpToTheirMaximum) {
  on_virtual_loop([]() -> task<> {
    attempts a;
    auto f = make_shared<never_built>();
    f->set_jitter(0);
    f->set_factor(2);
    f->set_max_delay(10s);
    f->set_max_retries(6);
    a.to(f);
    co_await sleep_for(1h);
    EXPECT_EQ(a.delays(), (std::vector<double>{2, 4, 8, 10, 10, 10}));
    EXPECT_EQ(f->retries(), 6U);
    EXPECT_EQ(f->stopped, 7);  // it is stopped between the attempts, as Twisted's
  });
}

TEST(Reconnecting, JitterScattersTheDelaysInTheSameWayInEveryRun) {
  std::vector<double> first;
  for (int i = 0; i < 2; ++i) {
    std::vector<double> seen;
    on_virtual_loop([&]() -> task<> {
      attempts a;
      auto f = make_shared<never_built>();
      f->set_factor(1);
      f->set_initial_delay(10s);
      f->set_max_retries(200);
      a.to(f);
      co_await sleep_for(24h);
      seen = a.delays();
    });
    EXPECT_EQ(seen.size(), 200U);
    double sum = 0, squares = 0;
    for (const double d : seen) {
      sum += d;
      squares += (d - 10) * (d - 10);
    }
    EXPECT_NEAR(sum / 200, 10, 0.5);
    EXPECT_NEAR(std::sqrt(squares / 200), 1.2, 0.3);
    if (i == 0) {
      first = seen;
    } else {
      EXPECT_EQ(seen, first);
    }
  }
}

TEST(Reconnecting, ResetDelayBeginsAnew) {
  on_virtual_loop([]() -> task<> {
    attempts a;
    auto f = make_shared<never_built>();
    f->set_jitter(0);
    f->set_factor(2);
    a.to(f);
    co_await sleep_for(7s);  // attempts at 0, 2, 6; the next would be at 14
    f->reset_delay();
    EXPECT_EQ(f->retries(), 0U);
    co_await sleep_for(10s);
    EXPECT_EQ(a.delays(), (std::vector<double>{2, 4, 8, 2}));
    f->stop_trying();
  });
}

TEST(Reconnecting, StopTryingEndsADelayAndAnAttempt) {
  on_virtual_loop([]() -> task<> {
    attempts waiting, under_way;
    auto f = make_shared<never_built>();
    f->set_jitter(0);
    auto c = waiting.to(f);
    co_await sleep_for(1s);
    f->stop_trying();
    co_await sleep_for(1h);
    EXPECT_EQ(waiting.at.size(), 1U);
    f->continue_trying();
    f->retry(*c);
    co_await sleep_for(10s);
    EXPECT_EQ(waiting.at.size(), 2U);
    f->stop_trying();

    auto g = make_shared<never_built>();
    auto d = under_way.to(g, 1);
    co_await sleep_for(10s);
    EXPECT_EQ(d->state(), connector::phase::connecting);  // the second, which never ends
    g->stop_trying();
    co_await sleep_for(1h);
    EXPECT_EQ(d->state(), connector::phase::disconnected);
    EXPECT_EQ(under_way.at.size(), 2U);
  });
}

TEST(Reconnecting, TheEndOfTheNurseryIsNoReasonToTryAgain) {
  on_virtual_loop([]() -> task<> {
    attempts waiting, under_way;
    auto body = [&](nursery& n) -> task<> {
      waiting.to(make_shared<never_built>());
      under_way.to(make_shared<never_built>(), 0);
      co_await sleep_for(1s);
      n.cancel();
    };
    auto running = with_nursery(body);
    co_await std::move(running);
    co_await sleep_for(1h);
    EXPECT_EQ(waiting.at.size(), 1U);
    EXPECT_EQ(under_way.at.size(), 1U);
  });
}

TEST(Connectors, AnAttemptTimesOut) {
  on_virtual_loop([]() -> task<> {
    auto f = make_shared<noting>([] { return nullptr; });
    auto c = make_shared<connector>(dialling{"nowhere",
                                             []() -> task<connected_socket> {
                                               co_await sleep_forever();
                                               co_return connected_socket{};
                                             },
                                             30s},
                                    f);
    c->connect();
    co_await sleep_for(29s);
    EXPECT_EQ(c->state(), connector::phase::connecting);
    co_await sleep_for(2s);
    EXPECT_EQ(f->log, "start connecting failed stop ");
    EXPECT_TRUE(failure{f->why}.check<timeout_error>());
    EXPECT_EQ(f->reason(), "connect nowhere: timed out");
  });
}

TEST(Connectors, AFactoryThatThrowsIsStoppedAllTheSame) {
  on_virtual_loop([]() -> task<> {
    auto f = make_shared<noting>([] { return nullptr; });
    f->on_end = [](connector&) { throw std::runtime_error{"from a callback"}; };
    auto c = make_shared<connector>(dialling{"nowhere",
                                             []() -> task<connected_socket> {
                                               co_await yield_now();
                                               throw std::runtime_error{"no way"};
                                             },
                                             30s},
                                    f);
    c->connect();
    co_await sleep_for(1s);
    EXPECT_EQ(f->log, "start connecting failed stop ");
  });
}

TEST_P(Clients, StopTryingFromBuildProtocolLeavesTheConnectionAlone) {
  struct once final : reconnecting_client_factory {
    shared_ptr<protocol> build_protocol(const socket_address&) override {
      stop_trying();
      return made;
    }
    shared_ptr<recorder> made = make_shared<recorder>();
  };
  go([]() -> task<> {
    auto port = listen_tcp(any_port, factory_of<protocol>());
    auto f = make_shared<once>();
    auto c = connect_tcp("127.0.0.1", port.port(), f);
    auto made = until(*f->made, [&] { return f->made->made != 0; });
    co_await std::move(made);
    EXPECT_EQ(c->state(), connector::phase::connected);
    c->disconnect();
    auto end = until_lost(f->made);
    co_await std::move(end);
  });
}

}  // namespace
ON_BACKENDS(Clients);
}  // namespace oneloop::inline v0::test
