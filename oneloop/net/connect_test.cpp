#include "oneloop/net/connect.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include "oneloop/net/dns.hpp"
#include "oneloop/net/dns_server_test.hpp"
#include "oneloop/net/happy_eyeballs.hpp"
#include "oneloop/net/simulation_test.hpp"

namespace oneloop::net {
namespace {

using namespace test;

// ---- the rules, under the virtual clock ----

/// A network that exists only here: when lookups answer, what attempts do, and a log with times.
class happy_eyeballs_rules : public ::testing::Test {
 protected:
  struct answer {
    duration after = 0s;
    std::vector<std::string> addresses;  // none: no such host
  };
  struct behaviour {
    duration after = 1h;
    int error = 0;  // 0: connected
  };

  /// The address that it connected to, or the message of the error.
  std::string connect_all() {
    std::string result;
    run(
        [](happy_eyeballs_rules& t, std::string& out) -> task<> {
          t.start_ = loop::current()->now();
          auto look_up = [&t](family kind) { return t.look(kind); };
          auto attempt = [&t](endpoint to) { return t.attempt(to); };
          auto connecting = happy_eyeballs<std::string>("host", 80, t.options, look_up, attempt);
          try {
            out = co_await std::move(connecting);
          } catch (const error& e) {
            out = e.what();
            t.code = e.code();
          }
          t.took = loop::current()->now() - t.start_;
        }(*this, result),
        "virtual");
    return result;
  }

  answer v6, v4;
  std::map<std::string, behaviour> hosts;
  connect_options options;
  std::string log;
  duration took{};
  std::error_code code;

 private:
  void note(std::string what) {
    const auto ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(loop::current()->now() - start_);
    if (!log.empty()) log += ", ";
    log += std::to_string(ms.count());
    log += " ";
    log += what;
  }
  task<std::vector<ip_address>> look(family kind) {
    const answer& a = kind == family::v6 ? v6 : v4;
    co_await sleep_for(a.after);
    std::vector<ip_address> list;
    for (const auto& text : a.addresses) list.push_back(*ip_address::parse(text));
    if (list.empty()) throw error{"resolve", "host", make_error_code(dns_errc::no_such_host)};
    co_return list;
  }
  task<std::string> attempt(endpoint to) {
    const std::string name = to.address().to_string();
    note(name);
    const behaviour b = hosts[name];
    try {
      co_await sleep_for(b.after);
    } catch (const cancelled&) {
      note("cancelled " + name);
      throw;
    }
    if (b.error != 0) throw error{"connect", to.to_string(), system_code(b.error)};
    co_return name;
  }
  time_point start_;
};

TEST_F(happy_eyeballs_rules, families_take_turns_and_each_attempt_has_a_head_start) {
  v6.addresses = {"::1", "::2", "::3"};
  v4.addresses = {"1.1.1.1", "1.1.1.2"};
  hosts["1.1.1.2"].after = 10ms;
  EXPECT_EQ(connect_all(), "1.1.1.2");
  EXPECT_EQ(log,
            "0 ::1, 250 1.1.1.1, 500 ::2, 750 1.1.1.2, 760 cancelled ::1, 760 cancelled 1.1.1.1, "
            "760 cancelled ::2");
  EXPECT_EQ(took, 760ms);
}

TEST_F(happy_eyeballs_rules, failed_attempt_starts_the_next_one_at_once) {
  v6.addresses = {"::1"};
  v4.addresses = {"1.1.1.1"};
  hosts["::1"] = {5ms, ENETUNREACH};
  hosts["1.1.1.1"].after = 20ms;
  EXPECT_EQ(connect_all(), "1.1.1.1");
  EXPECT_EQ(log, "0 ::1, 5 1.1.1.1");
  EXPECT_EQ(took, 25ms);
}

TEST_F(happy_eyeballs_rules, v4_waits_a_moment_for_v6) {
  v6 = {30ms, {"::1"}};
  v4 = {0ms, {"1.1.1.1"}};
  hosts["::1"].after = 1ms;
  EXPECT_EQ(connect_all(), "::1");
  EXPECT_EQ(log, "30 ::1");
}

TEST_F(happy_eyeballs_rules, v4_does_not_wait_longer_than_that_and_late_v6_joins_in) {
  v6 = {100ms, {"::1"}};
  v4 = {10ms, {"1.1.1.1"}};
  hosts["::1"].after = 1ms;
  EXPECT_EQ(connect_all(), "::1");
  EXPECT_EQ(log, "60 1.1.1.1, 310 ::1, 311 cancelled 1.1.1.1");
}

TEST_F(happy_eyeballs_rules, v4_does_not_wait_when_v6_is_known_to_have_nothing) {
  v6 = {5ms, {}};
  v4 = {20ms, {"1.1.1.1"}};
  hosts["1.1.1.1"].after = 1ms;
  EXPECT_EQ(connect_all(), "1.1.1.1");
  EXPECT_EQ(log, "20 1.1.1.1");
}

TEST_F(happy_eyeballs_rules, v6_does_not_wait_for_v4) {
  v6.addresses = {"::1"};
  v4 = {1h, {"1.1.1.1"}};
  hosts["::1"].after = 1ms;
  EXPECT_EQ(connect_all(), "::1");
  EXPECT_EQ(took, 1ms);
}

TEST_F(happy_eyeballs_rules, all_failures_are_reported_in_order) {
  v6.addresses = {"::1"};
  v4.addresses = {"1.1.1.1", "1.1.1.2"};
  hosts["::1"] = {0ms, ENETUNREACH};
  hosts["1.1.1.1"] = {1ms, ETIMEDOUT};
  hosts["1.1.1.2"] = {1ms, ECONNREFUSED};
  EXPECT_EQ(connect_all(),
            "connect host:80: all 3 attempts failed: [::1]:80: Network is unreachable; "
            "1.1.1.1:80: Connection timed out; 1.1.1.2:80: Connection refused");
  EXPECT_EQ(code, system_code(ETIMEDOUT)) << "not that there is no IPv6 here";
}

TEST_F(happy_eyeballs_rules, the_only_failure_is_reported_as_it_is) {
  v4.addresses = {"1.1.1.1"};
  options.only(family::v4);
  hosts["1.1.1.1"] = {1ms, ECONNREFUSED};
  EXPECT_EQ(connect_all(), "connect 1.1.1.1:80: Connection refused");
}

TEST_F(happy_eyeballs_rules, name_without_addresses_reports_the_lookup) {
  EXPECT_EQ(connect_all(), "resolve host: no such host (NXDOMAIN)");
  EXPECT_EQ(code, make_error_code(dns_errc::no_such_host));
}

TEST_F(happy_eyeballs_rules, v4_may_begin) {
  v6.addresses = {"::1"};
  v4 = {20ms, {"1.1.1.1"}};
  options.first(family::v4).attempt_delay(100ms);
  hosts["::1"].after = 1ms;
  EXPECT_EQ(connect_all(), "::1");
  EXPECT_EQ(log, "20 1.1.1.1, 120 ::1, 121 cancelled 1.1.1.1");
}

TEST_F(happy_eyeballs_rules, cancelling_the_whole_cancels_every_attempt) {
  v6.addresses = {"::1"};
  v4.addresses = {"1.1.1.1"};
  run(
      []() -> task<> {
        auto inner = []() -> task<> {
          auto look_up = [](family kind) -> task<std::vector<ip_address>> {
            std::vector<ip_address> list;
            list.push_back(kind == family::v6 ? ip_address::loopback_v6()
                                              : ip_address::loopback_v4());
            co_return list;
          };
          int begun = 0, ended = 0;
          auto attempt = [&](endpoint) -> task<int> {
            ++begun;
            try {
              co_await sleep_for(1h);
            } catch (const cancelled&) {
              ++ended;
              throw;
            }
            co_return 0;
          };
          try {
            auto all = happy_eyeballs<int>("host", 80, connect_options{}, look_up, attempt);
            (void)co_await std::move(all);
          } catch (const cancelled&) {
            EXPECT_EQ(begun, 2);
            EXPECT_EQ(ended, 2);
            throw;
          }
        };
        const auto done = co_await move_on_after(300ms, std::ref(inner));
        EXPECT_FALSE(done);
      }(),
      "virtual");
}

// ---- the real thing ----

class connecting : public on_backends_and_simulation {};
ON_BACKENDS_AND_SIMULATION(connecting);

/// With a name server of its own.
class connecting_in_kernel : public on_backends {};
ON_BACKENDS(connecting_in_kernel);

TEST_P(connecting, literals_and_localhost_need_no_name_server) {
  go([]() -> task<> {
    for (const auto at : {ip_address::loopback_v4(), ip_address::loopback_v6()}) {
      tcp_listener l{endpoint{at, 0}};
      for (const std::string& host : {at.to_string(), std::string{"localhost"}}) {
        auto s = co_await connect(host, l.local_endpoint().port());
        EXPECT_EQ(s.peer_endpoint(), l.local_endpoint()) << host;
      }
    }
  });
}

TEST_P(connecting_in_kernel, names_are_looked_up_and_both_kinds_tried) {
  go([]() -> task<> {
    dns_server server;
    std::vector<endpoint> list{server.at()};
    resolver r{resolver_options{}.servers(std::move(list)).search({}).hosts_file("")};
    connect_options o;
    o.use(r);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start(&dns_server::serve, &server);
      tcp_listener l{endpoint{ip_address::loopback_v4(), 0}};
      const auto port = l.local_endpoint().port();
      for (const char* host : {"local4.test", "local.test", "local.test"}) {
        auto s = co_await connect(host, port, o);
        EXPECT_EQ(s.peer_endpoint(), l.local_endpoint()) << host;
      }
      l.close();
      auto refused = connect("local4.test", port, o);
      const auto one = co_await message_of(std::move(refused));
      EXPECT_EQ(one, "connect 127.0.0.1:" + std::to_string(port) + ": Connection refused");
      auto missing = connect("nx.test", port, o);
      const auto none = co_await message_of(std::move(missing));
      EXPECT_EQ(none, "resolve nx.test: no such host (NXDOMAIN)");
      n.cancel();
    });
  });
}

TEST_P(connecting, every_refusal_is_reported) {
  go([]() -> task<> {
    tcp_listener l{endpoint{ip_address::loopback_v4(), 0}};
    const auto port = l.local_endpoint().port();
    l.close();
    const std::string p = std::to_string(port);
    auto refused = connect("localhost", port);
    const auto text = co_await message_of(std::move(refused));
    EXPECT_EQ(text, "connect localhost:" + p + ": all 2 attempts failed: [::1]:" + p +
                        ": Connection refused; 127.0.0.1:" + p + ": Connection refused");
    auto again = connect("localhost", port);
    const auto code = co_await code_of(std::move(again));
    EXPECT_EQ(code, system_code(ECONNREFUSED));
  });
}

TEST_P(connecting, a_dead_address_is_passed_by_and_the_winner_remembered) {
  go([]() -> task<> {
    // [::1] accepts nothing (its queue is full), 127.0.0.1 on the same port does.
    tcp_listener dead, alive;
    std::uint16_t port = 0;
    for (int i = 0; i < 100 && port == 0; ++i) {  // a port that is free in both families
      dead = tcp_listener{endpoint{ip_address::loopback_v6(), 0}, listen_options{}.backlog(0)};
      try {
        alive = tcp_listener{endpoint{ip_address::loopback_v4(), dead.local_endpoint().port()}};
        port = dead.local_endpoint().port();
      } catch (const error&) {
      }
    }
    EXPECT_NE(port, 0);
    std::vector<tcp_stream> queue;
    while (queue.size() < 4) {
      auto s = co_await move_on_after(20ms, connect(dead.local_endpoint()));
      if (!s) break;
      queue.push_back(std::move(*s));
    }
    auto& l = *loop::current();
    const auto start = l.now();
    auto first = co_await connect("localhost", port, connect_options{}.attempt_delay(100ms));
    EXPECT_TRUE(first.peer_endpoint().address().is_v4());
    EXPECT_GE(l.now() - start, 100ms);
    const auto middle = l.now();
    auto second = co_await connect("localhost", port, connect_options{}.attempt_delay(5s));
    EXPECT_TRUE(second.peer_endpoint().address().is_v4());
    EXPECT_LT(l.now() - middle, 5s);
    const auto late = co_await move_on_after(
        20ms, connect("localhost", port, connect_options{}.only(family::v6)));
    EXPECT_FALSE(late);
  });
}

}  // namespace
}  // namespace oneloop::net
