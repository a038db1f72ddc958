#include "oneloop/testing/network_test.hpp"

#include <algorithm>
#include <cerrno>

#include "oneloop/net/udp.hpp"
#include "oneloop/net/unix.hpp"

namespace oneloop::inline v0::test {
namespace {

TEST_F(network_test, bytes_take_the_time_of_the_link) {
  go([&](nursery&) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    EXPECT_EQ(elapsed(), 30ms);  // three packets
    EXPECT_EQ(client.local_endpoint().address(), a.address());
    EXPECT_EQ(client.peer_endpoint(), b.at(7));
    EXPECT_EQ(server.peer_endpoint(), client.local_endpoint());
    (void)co_await client.write_all(net::bytes_of("ping"));
    auto reading = read_text(server);
    EXPECT_EQ(co_await std::move(reading), "ping");
    EXPECT_EQ(elapsed(), 40ms);
    client.close();
    auto at_end = read_text(server);
    EXPECT_EQ(co_await std::move(at_end), "");
    EXPECT_EQ(elapsed(), 50ms);
    EXPECT_EQ(net.statistics().connections, 1u);
    EXPECT_EQ(net.statistics().stream_bytes, 4u);
  });
  EXPECT_EQ(net.statistics().open_sockets, 0u);
}

TEST_F(network_test, delays_are_drawn_from_distributions) {
  const auto mean_of = [&](const testing::delays& d) {
    duration sum{};
    for (int i = 0; i < 10'000; ++i) sum += d.draw(l);
    return sum / 10'000;
  };
  const auto near = [](duration d, duration expected) {
    return d > expected * 9 / 10 && d < expected * 11 / 10;
  };
  EXPECT_EQ(mean_of(5ms), 5ms);
  EXPECT_TRUE(near(mean_of(testing::delays::uniform(10ms, 30ms)), 20ms));
  EXPECT_TRUE(near(mean_of(testing::delays::normal(20ms, 2ms)), 20ms));
  EXPECT_TRUE(near(mean_of(testing::delays::exponential(20ms, 5ms)), 25ms));
  EXPECT_EQ(mean_of(testing::delays{[](loop&) { return -1ms; }}), 0ms);
}

TEST_F(network_test, bandwidth_is_shared_and_bytes_stay_in_order_on_a_lossy_link) {
  net.link(a, b).bandwidth(100'000).loss(0.05).latency(testing::delays::uniform(5ms, 50ms));
  go([&](nursery& n) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    std::string sent(300'000, ' ');
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 % 251);
    n.start(
        [](net::tcp_stream* s, const std::string* text) -> task<> {
          (void)co_await s->write_all(net::bytes_of(*text));
          s->close();
        },
        &client, &sent);
    std::string got;
    while (true) {
      auto reading = read_text(server);
      const auto piece = co_await std::move(reading);
      if (piece.empty()) break;
      got += piece;
    }
    EXPECT_EQ(got, sent);
    EXPECT_GT(elapsed(), 3s);
    EXPECT_GT(net.statistics().retransmissions, 0u);
  });
}

TEST_F(network_test, a_slow_reader_holds_up_the_sender) {
  a.buffers(10'000, 10'000);
  b.buffers(10'000, 20'000);
  go([&](nursery&) -> task<> {
    auto connecting = connected_to(&b, 7);
    auto both = co_await std::move(connecting);
    auto& [client, server] = both;
    const std::string much(1'000'000, 'x');
    auto writing = move_on_after(1h, client.write_all(net::bytes_of(much)));
    const auto written = co_await std::move(writing);
    EXPECT_EQ(written, 30'000u);  // what fits into both buffers, and no more
    auto reading = read_text(server);
    const auto first = co_await std::move(reading);
    EXPECT_EQ(first.size(), 20'000u);
    auto going_on = move_on_after(1s, client.write_all(net::bytes_of(much)));
    const auto more = co_await std::move(going_on);
    EXPECT_EQ(more, 20'000u);
  });
}

TEST_F(network_test, ports_are_taken_shared_and_run_out) {
  a.ephemeral_ports(40'000, 40'002);
  go([&](nursery&) -> task<> {
    const net::endpoint at{net::ip_address::any_v4(), 80};
    auto first = net::tcp_listener{at};
    try {
      net::tcp_listener second{at};
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_STREQ(e.what(), "listen 0.0.0.0:80: Address already in use");
    }
    try {
      net::tcp_listener elsewhere{b.at(80)};
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_EQ(e.code(), system_code(EADDRNOTAVAIL));
    }
    net::tcp_listener one{a.at(81), net::listen_options{}.reuse_port()};
    net::tcp_listener two{a.at(81), net::listen_options{}.reuse_port()};
    // Three ports, and each is taken for a minute by the side that has closed first.
    for (int i = 0; i < 3; ++i) {
      auto s = co_await net::connect(a.at(80));
      auto peer = co_await first.accept();
      s.close();
      auto reading = read_text(peer);
      EXPECT_EQ(co_await std::move(reading), "");
    }
    auto fourth = message_of(net::connect(a.at(80)));
    EXPECT_EQ(co_await std::move(fourth),
              "connect " + a.at(80).to_string() + ": Cannot assign requested address");
    co_await sleep_for(61s);
    auto later = message_of(net::connect(a.at(80)));
    EXPECT_EQ(co_await std::move(later), "");
  });
}

TEST_F(network_test, descriptors_run_out) {
  a.max_descriptors(2);
  go([&](nursery&) -> task<> {
    net::tcp_listener one{a.at(1)};
    {
      net::tcp_listener two{a.at(2)};
      auto third = message_of(net::connect(b.at(3)));
      EXPECT_EQ(co_await std::move(third), "connect 10.0.0.3:3: Too many open files");
    }
    auto again = message_of(net::connect(b.at(3)));
    EXPECT_EQ(co_await std::move(again), "connect 10.0.0.3:3: Connection refused");
  });
}

TEST_F(network_test, datagrams_are_lost_doubled_and_overtake_each_other) {
  go([&](nursery&) -> task<> {
    net::udp_socket mine{a.at(0)};
    net::udp_socket theirs;
    {
      const testing::on_host there{b};
      theirs = net::udp_socket{b.at(53)};
    }
    std::vector<std::byte> buffer(10);
    auto count = [&](int n) -> task<std::string> {
      for (int i = 0; i < n; ++i) {
        const std::string text(1, static_cast<char>('a' + i));
        (void)co_await mine.send_to(net::bytes_of(text), b.at(53));
        co_await sleep_for(1ms);
      }
      std::string got;
      while (true) {
        auto next = co_await move_on_after(1s, theirs.receive_from(buffer));
        if (!next) break;
        EXPECT_EQ(next->from, mine.local_endpoint());
        got += static_cast<char>(buffer[0]);
      }
      co_return got;
    };
    auto all = count(26);
    EXPECT_EQ(co_await std::move(all), "abcdefghijklmnopqrstuvwxyz");
    net.link(a, b).loss(0.5);
    auto some = count(26);
    const auto left = co_await std::move(some);
    EXPECT_GT(left.size(), 5u);
    EXPECT_LT(left.size(), 21u);
    EXPECT_TRUE(std::ranges::is_sorted(left));
    net.link(a, b).loss(0).duplication(1);
    auto twice = count(3);
    EXPECT_EQ((co_await std::move(twice)).size(), 6u);
    net.link(a, b).duplication(0).reordering(0.3, 5ms);
    auto mixed = count(26);
    const auto order = co_await std::move(mixed);
    EXPECT_EQ(order.size(), 26u);
    EXPECT_FALSE(std::ranges::is_sorted(order));
    // Nobody there: a connected socket is told.
    net::udp_socket c;
    c = net::udp_socket::connected(b.at(54));
    (void)co_await c.send(net::bytes_of("x"));
    auto refused = message_of(c.receive_from(buffer));
    const auto text = co_await std::move(refused);
    EXPECT_NE(text.find("Connection refused"), text.npos) << text;
  });
}

TEST_F(network_test, unix_sockets_belong_to_their_host) {
  go([&](nursery&) -> task<> {
    net::unix_listener listener{net::unix_address{"/run/app.sock"}};
    auto mine = co_await net::connect(net::unix_address{"/run/app.sock"});
    auto other = co_await listener.accept();
    (void)co_await mine.write_all(net::bytes_of("hi"));
    auto reading = read_text(other);
    EXPECT_EQ(co_await std::move(reading), "hi");
    auto elsewhere = [] { return message_of(net::connect(net::unix_address{"/run/app.sock"})); };
    auto asking = b.run(elsewhere);
    EXPECT_EQ(co_await std::move(asking), "connect /run/app.sock: No such file or directory");
  });
}

TEST_F(network_test, parties_are_on_the_host_that_started_them) {
  go([&](nursery& n) -> task<> {
    EXPECT_EQ(&net.current_host(), &a);
    std::vector<std::string> names;
    auto on_b = [&]() -> task<> {
      auto inner = [&](nursery& m) -> task<> {
        m.start([&]() -> task<> {
          names.push_back(net.current_host().name());
          co_return;
        });
        co_return;
      };
      auto running = with_nursery(std::ref(inner));
      co_await std::move(running);
      names.push_back(net.current_host().name());
    };
    b.start(n, std::ref(on_b));
    co_await sleep_for(1s);
    EXPECT_EQ(names, (std::vector<std::string>{"b.test", "b.test"}));
    EXPECT_EQ(&net.current_host(), &a);
  });
  EXPECT_EQ(&net.current_host(), &net.default_host());
}

TEST_F(network_test, names_are_asked_for_with_tries_and_kept) {
  go([&](nursery&) -> task<> {
    auto& dns = net::resolver::current();
    auto known = dns.lookup("B.test");
    const auto found = co_await std::move(known);
    EXPECT_EQ(found, std::vector{b.address()});
    EXPECT_EQ(elapsed(), 1ms);
    auto kept = dns.lookup("b.test");
    (void)co_await std::move(kept);
    EXPECT_EQ(elapsed(), 1ms);
    auto none = message_of(dns.lookup("none.test"));
    EXPECT_EQ(co_await std::move(none), "resolve none.test: no such host (NXDOMAIN)");
    net.fail_name("broken.test", net::dns_errc::server_failure);
    auto broken = message_of(dns.lookup("broken.test"));
    EXPECT_EQ(co_await std::move(broken), "resolve broken.test: the name server failed (SERVFAIL)");
    const auto before = elapsed();
    net.fail_name("silent.test", net::dns_errc::timed_out);
    auto silent = message_of(dns.lookup("silent.test"));
    EXPECT_EQ(co_await std::move(silent),
              "resolve silent.test: the name server did not answer in time");
    EXPECT_EQ(elapsed() - before, 2s + 4s + 8s);
    // A server that is back for the second try answers it.
    net.name_servers_up(false);
    const auto asked = elapsed();
    auto late = dns.lookup("a.test");
    auto waiting = move_on_after(1s, std::move(late));
    EXPECT_FALSE((co_await std::move(waiting)).has_value());
    net.name_servers_up(true);
    auto again = dns.lookup("a.test");
    (void)co_await std::move(again);
    EXPECT_EQ(elapsed() - asked, 2s + 1ms);
  });
}

TEST_F(network_test, happy_eyeballs_passes_over_an_address_that_does_not_answer) {
  net.add_name("both.test", {*net::ip_address::parse("2001:db8::1"), b.address()});
  a.add_address(*net::ip_address::parse("2001:db8::2"));
  go([&](nursery& n) -> task<> {
    b.start(n, []() -> task<> {
      net::tcp_listener listener{net::endpoint{net::ip_address::any_v4(), 80}};
      (void)co_await listener.accept();
      co_await sleep_forever();
    });
    co_await sleep_for(1ms);
    const auto begin = l.now();
    auto connecting = net::connect("both.test", 80);
    auto s = co_await std::move(connecting);
    EXPECT_EQ(s.peer_endpoint(), b.at(80));
    EXPECT_EQ(l.now() - begin, 1ms + 250ms + 20ms);
  });
}

TEST(network_alone_test, equal_seeds_give_equal_packets) {
  const auto packets = [](std::uint64_t seed) {
    loop l{"virtual"};
    l.seed(seed);
    testing::network net{l};
    net.default_link().latency(testing::delays::exponential(10ms)).loss(0.1);
    auto& b = net.host("b");
    std::vector<std::string> seen;
    net.on_packet(
        [&](const testing::packet_event& e) { seen.push_back(e.to_string(net.start())); });
    run(l, [](host* to) -> task<> {
      auto connecting = connected_to(to, 7);
      auto both = co_await std::move(connecting);
      auto& [client, server] = both;
      const std::string much(20'000, 'x');
      (void)co_await client.write_all(net::bytes_of(much));
      client.close();
      while (true) {
        auto reading = read_text(server);
        const auto text = co_await std::move(reading);
        if (text.empty()) break;
      }
    }(&b));
    seen.push_back(std::to_string(net.fingerprint()));
    return seen;
  };
  const auto one = packets(1);
  EXPECT_GT(one.size(), 15u);
  EXPECT_NE(one.front().find("10.0.0.1:32768 > 10.0.0.2:7 syn"), std::string::npos);
  EXPECT_EQ(one, packets(1));
  EXPECT_NE(one, packets(2));
}

TEST(network_alone_test, it_needs_a_virtual_loop_that_has_none) {
  loop real{"epoll"};
  EXPECT_THROW(testing::network{real}, misuse);
  loop l{"virtual"};
  testing::network net{l};
  EXPECT_THROW(testing::network{l}, misuse);
  EXPECT_THROW(net.add_host("default"), misuse);
  EXPECT_THROW(net.add_host("x", {net.default_host().address()}), misuse);
}

}  // namespace
}  // namespace oneloop::inline v0::test
