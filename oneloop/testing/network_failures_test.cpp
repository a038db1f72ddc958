// What goes wrong on purpose: partitions, crashes, faults, cancellation.
#include <cerrno>
#include <memory>
#include <string_view>

#include "oneloop/net/udp.hpp"
#include "oneloop/testing/network_test.hpp"

namespace oneloop::inline v0::test {
namespace {

using network_failures_test = network_test;

TEST_F(network_failures_test, nobody_listening_refuses) {
  go([&](nursery&) -> task<> {
    auto refused = message_of(net::connect(b.at(81)));
    EXPECT_EQ(co_await std::move(refused), "connect 10.0.0.3:81: Connection refused");
    EXPECT_EQ(elapsed(), 20ms);
    EXPECT_EQ(net.statistics().refused, 1u);
  });
}

TEST_F(network_failures_test, what_nobody_answers_times_out_as_on_linux) {
  go([&](nursery&) -> task<> {
    auto nobody = message_of(net::connect(net::endpoint{"192.0.2.1:80"}));
    EXPECT_EQ(co_await std::move(nobody), "connect 192.0.2.1:80: Connection timed out");
    EXPECT_EQ(elapsed(), 127s);
    b.black_hole(81);
    auto hole = message_of(net::connect(b.at(81)));
    EXPECT_EQ(co_await std::move(hole), "connect 10.0.0.3:81: Connection timed out");
    auto v6 = message_of(net::connect(net::endpoint{"[2001:db8::1]:80"}));
    EXPECT_EQ(co_await std::move(v6), "connect [2001:db8::1]:80: Network is unreachable");
  });
}

TEST_F(network_failures_test, a_full_queue_lets_the_next_one_in_when_there_is_room) {
  go([&](nursery&) -> task<> {
    net::tcp_listener listener;
    {
      const testing::on_host there{b};
      listener = net::tcp_listener{b.at(80), net::listen_options{}.backlog(1)};
    }
    auto one = co_await net::connect(b.at(80));
    auto two = co_await net::connect(b.at(80));
    auto third = move_on_after(500ms, net::connect(b.at(80)));
    EXPECT_FALSE((co_await std::move(third)).has_value());
    (void)co_await listener.accept();
    auto fourth = message_of(net::connect(b.at(80)));
    EXPECT_EQ(co_await std::move(fourth), "");
  });
}

TEST_F(network_failures_test, a_partition_that_heals_is_survived) {
  go([&](nursery& n) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    net.partition({a}, {b});
    (void)co_await client.write_all(net::bytes_of("late"));
    n.start(
        [](testing::network* all) -> task<> {
          co_await sleep_for(10min);
          all->heal();
        },
        &net);
    auto reading = read_text(server);
    EXPECT_EQ(co_await std::move(reading), "late");
    EXPECT_GT(elapsed(), 10min);
    EXPECT_LT(elapsed(), 12min + 1s);  // at the next try
  });
}

TEST_F(network_failures_test, a_partition_that_stays_ends_the_connection) {
  go([&](nursery&) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    net.cut(a, b);
    const auto begin = l.now();
    (void)co_await client.write_all(net::bytes_of("lost"));
    std::vector<std::byte> buffer(10);
    auto reading = message_of(client.read_some(buffer));
    EXPECT_EQ(co_await std::move(reading), "read 10.0.0.3:7: Connection timed out");
    EXPECT_GT(l.now() - begin, 924s);
    EXPECT_LT(l.now() - begin, 926s);
    // The other end does not know; it finds out when it says something.
    net.heal(a, b);
    EXPECT_TRUE(server.quiet());
    (void)co_await server.write_all(net::bytes_of("hello?"));
    auto found_out = message_of(server.read_some(buffer));
    const auto text = co_await std::move(found_out);
    EXPECT_NE(text.find("Connection reset by peer"), text.npos) << text;
  });
}

TEST_F(network_failures_test, one_way_cuts_deliver_and_still_time_out) {
  go([&](nursery&) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    net.cut(b, a, false);
    (void)co_await client.write_all(net::bytes_of("there"));
    auto reading = read_text(server);
    EXPECT_EQ(co_await std::move(reading), "there");
    std::vector<std::byte> buffer(10);
    auto waiting = message_of(client.read_some(buffer));
    EXPECT_EQ(co_await std::move(waiting), "read 10.0.0.3:7: Connection timed out");
  });
}

TEST_F(network_failures_test, a_crashed_host_is_silent_and_after_a_restart_resets) {
  go([&](nursery& n) -> task<> {
    bool cleaned_up = false;
    auto program = [&]() -> task<> {
      const struct at_end {
        bool& yes;
        ~at_end() { yes = true; }
      } mark{cleaned_up};
      net::tcp_listener listener{b.at(7)};
      auto s = co_await listener.accept();
      co_await sleep_forever();
    };
    b.start(n, std::ref(program));
    co_await sleep_for(1ms);
    auto s = co_await net::connect(b.at(7));
    co_await sleep_for(1s);
    b.crash();
    co_await sleep_for(1s);
    EXPECT_TRUE(cleaned_up);
    EXPECT_TRUE(s.quiet());  // half-open
    auto nobody = move_on_after(1min, net::connect(b.at(7)));
    EXPECT_FALSE((co_await std::move(nobody)).has_value());
    (void)co_await s.write_all(net::bytes_of("anybody?"));
    std::vector<std::byte> buffer(10);
    auto silent = move_on_after(5min, s.read_some(buffer));
    EXPECT_FALSE((co_await std::move(silent)).has_value());
    b.restart();
    auto reset = message_of(s.read_some(buffer));
    EXPECT_EQ(co_await std::move(reset), "read 10.0.0.3:7: Connection reset by peer");
    auto refused = message_of(net::connect(b.at(7)));
    EXPECT_EQ(co_await std::move(refused), "connect 10.0.0.3:7: Connection refused");
  });
}

TEST_F(network_failures_test, a_half_open_peer_is_found_by_keepalive) {
  int probes = 0;
  net.on_packet([&](const testing::packet_event& e) {
    probes += std::string_view{e.what} == "probe" ? 1 : 0;
  });
  go([&](nursery&) -> task<> {
    auto [s, theirs] = co_await connected_to(&b, 7);
    std::vector<std::byte> buffer(10);
    s.set_keepalive(20s, 5s, 3);
    // What is answered keeps the connection, and costs nothing: the next hour is one jump.
    auto idle = move_on_after(1h, s.read_some(buffer));
    EXPECT_FALSE((co_await std::move(idle)).has_value());
    EXPECT_EQ(probes, 0);
    (void)co_await theirs.write_all(net::bytes_of("x"));
    const auto got = co_await read_text(s);
    EXPECT_EQ(got, "x");
    const auto heard = elapsed();
    co_await sleep_for(7s);
    b.crash();
    auto vanished = message_of(s.read_some(buffer));
    EXPECT_EQ(co_await std::move(vanished), "read 10.0.0.3:7: Connection timed out");
    EXPECT_EQ(elapsed() - heard, 20s + 3 * 5s);
    EXPECT_EQ(probes, 3);
  });
}

TEST_F(network_failures_test, a_path_that_heals_before_the_last_probe_keeps_the_connection) {
  go([&](nursery&) -> task<> {
    auto [s, theirs] = co_await connected_to(&b, 7);
    std::vector<std::byte> buffer(10);
    s.set_keepalive(true);  // after two hours, 9 times every 75 s
    b.isolate();
    co_await sleep_for(2h + 8 * 75s - 1s);
    EXPECT_TRUE(s.quiet());
    b.isolate(false);
    co_await sleep_for(4h);
    (void)co_await theirs.write_all(net::bytes_of("x"));
    const auto got = co_await read_text(s);
    EXPECT_EQ(got, "x");
    // One way is enough to lose the answers.
    net.cut(b, a, false);
    const auto cut = elapsed();
    auto vanished = message_of(s.read_some(buffer));
    EXPECT_EQ(co_await std::move(vanished), "read 10.0.0.3:7: Connection timed out");
    EXPECT_GT(elapsed() - cut, 2h);
    EXPECT_LT(elapsed() - cut, 2h + 10 * 75s);
  });
}

TEST_F(network_failures_test, a_probe_to_a_host_that_was_restarted_is_answered_by_a_reset) {
  go([&](nursery&) -> task<> {
    auto [s, theirs] = co_await connected_to(&b, 7);
    std::vector<std::byte> buffer(10);
    s.set_keepalive(20s, 5s, 3);
    const auto begun = elapsed();
    b.crash();
    co_await sleep_for(22s);  // the first probe was in vain
    b.restart();
    auto reset = message_of(s.read_some(buffer));
    EXPECT_EQ(co_await std::move(reset), "read 10.0.0.3:7: Connection reset by peer");
    EXPECT_EQ(elapsed() - begun, 25s + 20ms);
  });
}

TEST_F(network_failures_test, a_program_on_a_host_that_crashes_ends_so) {
  go([&](nursery& n) -> task<> {
    n.start(
        [](host* h) -> task<> {
          co_await sleep_for(1s);
          h->crash();
        },
        &b);
    auto forever = []() -> task<> { co_await sleep_forever(); };
    auto running = message_of(b.run(forever));
    EXPECT_EQ(co_await std::move(running), "run b.test: Network is down");
    auto again = message_of(b.run(forever));
    EXPECT_EQ(co_await std::move(again), "run b.test: Network is down");
  });
}

TEST_F(network_failures_test, calls_fail_where_they_are_told_to) {
  go([&](nursery&) -> task<> {
    a.fail(testing::call::connect, 2, EACCES);
    auto first = message_of(net::connect(b.at(81)));
    EXPECT_EQ(co_await std::move(first), "connect 10.0.0.3:81: Connection refused");
    auto second = message_of(net::connect(b.at(81)));
    EXPECT_EQ(co_await std::move(second), "connect 10.0.0.3:81: Permission denied");
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    std::vector<std::byte> buffer(10);
    // The third read, counting those that would give something.
    a.fail(testing::call::read, 3, ECONNRESET);
    for (int i = 0; i < 2; ++i) {
      (void)co_await server.write_all(net::bytes_of("x"));
      (void)co_await client.read_some(buffer);
    }
    (void)co_await server.write_all(net::bytes_of("x"));
    auto third = message_of(client.read_some(buffer));
    EXPECT_EQ(co_await std::move(third), "read 10.0.0.3:7: Connection reset by peer");
    auto other = message_of(server.read_some(buffer));
    const auto text = co_await std::move(other);
    EXPECT_NE(text.find("Connection reset by peer"), text.npos) << text;
    EXPECT_EQ(net.statistics().faults, 2u);
  });
}

TEST_F(network_failures_test, faults_by_chance_by_peer_and_short_transfers) {
  go([&](nursery&) -> task<> {
    a.fail(fault{testing::call::connect, ENETUNREACH}.peer(b.at(0)).chance(0.5));
    int failed = 0;
    for (int i = 0; i < 100; ++i) {
      auto one = message_of(net::connect(b.at(81)));
      const auto text = co_await std::move(one);
      failed += text.find("unreachable") != text.npos ? 1 : 0;
    }
    EXPECT_GT(failed, 25);
    EXPECT_LT(failed, 75);
    net.clear_faults();
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    net.fail(fault::short_transfers(testing::call::read, 3).every(2));
    (void)co_await client.write_all(net::bytes_of("abcdefgh"));
    std::vector<std::string> pieces;
    std::vector<std::byte> buffer(4);
    for (std::size_t got = 0; got < 8;) {
      const auto n = co_await server.read_some(buffer);
      pieces.emplace_back(reinterpret_cast<const char*>(buffer.data()), n);
      got += n;
    }
    EXPECT_EQ(pieces, (std::vector<std::string>{"abcd", "efg", "h"}));
  });
}

TEST_F(network_failures_test, cancelled_operations_leave_nothing_behind) {
  go([&](nursery&) -> task<> {
    auto hopeless = move_on_after(10s, net::connect(net::endpoint{"192.0.2.1:80"}));
    EXPECT_FALSE((co_await std::move(hopeless)).has_value());
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    std::vector<std::byte> buffer(10);
    auto reading = move_on_after(1s, client.read_some(buffer));
    EXPECT_FALSE((co_await std::move(reading)).has_value());
    auto ready = move_on_after(1s, client.readable());
    EXPECT_FALSE(co_await std::move(ready));
    // The next byte is for the next reader.
    (void)co_await server.write_all(net::bytes_of("x"));
    EXPECT_EQ(co_await client.read_some(buffer), 1u);
  });
  EXPECT_EQ(net.statistics().open_sockets, 0u);
}

TEST_F(network_failures_test, a_host_that_crashes_and_is_up_at_once_fails_nobody) {
  auto serve = [] {
    return with_nursery([](nursery& n) -> task<> {
      net::tcp_listener at{net::endpoint{net::ip_address::any_v4(), 7}};
      for (;;) {
        auto accepting = at.accept();
        auto s = co_await std::move(accepting);
        n.start(
            [](net::tcp_stream c) -> task<> {
              std::vector<std::byte> buffer(10);
              (void)co_await c.read_some(buffer);
            },
            std::move(s));
      }
    });
  };
  go([&](nursery& n) -> task<> {
    b.start(n, serve);
    co_await sleep_for(1s);
    auto one = co_await net::connect(b.at(7));
    auto two = co_await net::connect(b.at(7));
    co_await sleep_for(1s);
    b.crash();
    b.restart();
    b.start(n, serve);
    co_await sleep_for(1s);
    auto three = co_await net::connect(b.at(7));
  });
}

TEST_F(network_failures_test, faults_count_their_calls_beside_short_transfers) {
  a.fail(fault::short_transfers(testing::call::read, 1));
  a.fail(testing::call::read, 3, ECONNRESET);
  go([&](nursery&) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    (void)co_await server.write_all(net::bytes_of("abc"));
    for (int i = 0; i < 2; ++i) {
      auto reading = read_text(client);
      EXPECT_EQ((co_await std::move(reading)).size(), 1u);
    }
    auto third = message_of(read_text(client));
    EXPECT_NE((co_await std::move(third)).find("reset"), std::string::npos);
  });
}

TEST_F(network_failures_test, a_port_that_lingers_is_free_after_a_minute) {
  go([&](nursery&) -> task<> {
    {
      auto connecting = connected_to(&b, 7);
      auto both = co_await std::move(connecting);
      both.second.close();  // first
      auto reading = read_text(both.first);
      EXPECT_EQ(co_await std::move(reading), "");
    }
    const testing::on_host there{b};
    const auto alone = net::listen_options{}.reuse_address(false);
    co_await sleep_for(30s);
    EXPECT_THROW((net::tcp_listener{b.at(7), alone}), error);
    co_await sleep_for(31s);
    EXPECT_NO_THROW((net::tcp_listener{b.at(7), alone}));
  });
}

TEST_F(network_failures_test, closing_ends_what_waits) {
  go([&](nursery& n) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    std::string said;
    n.start(
        [](net::tcp_stream* s, std::string* to) -> task<> {
          std::vector<std::byte> buffer(10);
          auto reading = message_of(s->read_some(buffer));
          *to = co_await std::move(reading);
        },
        &client, &said);
    co_await sleep_for(1s);
    client.close();
    co_await sleep_for(1s);
    EXPECT_NE(said.find("closed"), said.npos) << said;
  });
}

TEST(network_end_test, a_network_that_goes_first_ends_what_waits_on_it) {
  loop l{"virtual"};
  auto net = std::make_unique<testing::network>(l);
  std::string said;
  run(l, [](std::unique_ptr<testing::network>* all, std::string* to) -> task<> {
    auto body = [&](nursery& n) -> task<> {
      net::udp_socket s{(*all)->default_host().at(1)};
      n.start(
          [](net::udp_socket* u, std::string* text) -> task<> {
            std::vector<std::byte> buffer(10);
            auto receiving = message_of(u->receive_from(buffer));
            *text = co_await std::move(receiving);
          },
          &s, to);
      co_await sleep_for(1s);
      all->reset();
      co_await sleep_for(1s);
    };
    auto both = with_nursery(std::ref(body));
    co_await std::move(both);
  }(&net, &said));
  EXPECT_NE(said.find("closed"), said.npos) << said;
}

}  // namespace
}  // namespace oneloop::inline v0::test
