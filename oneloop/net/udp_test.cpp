#include "oneloop/net/udp.hpp"

#include <array>
#include <thread>

#include "oneloop/net/simulation_test.hpp"
#include "oneloop/net/stream.hpp"

namespace oneloop::net {
namespace {

using namespace test;

class udp : public on_backends_and_simulation {};
ON_BACKENDS_AND_SIMULATION(udp);

/// What only a kernel has: other threads.
class udp_in_kernel : public on_backends {};
ON_BACKENDS(udp_in_kernel);

TEST_P(udp, datagrams_arrive_whole_with_their_sender) {
  go([]() -> task<> {
    for (const auto at : {ip_address::loopback_v4(), ip_address::loopback_v6()}) {
      udp_socket a{endpoint{at, 0}}, b{endpoint{at, 0}};
      const auto n = co_await a.send_to(bytes_of("one"), b.local_endpoint());
      EXPECT_EQ(n, 3U);
      (void)co_await a.send_to(bytes_of(""), b.local_endpoint());
      std::array<std::byte, 16> buffer;
      const auto one = co_await b.receive_from(buffer);
      EXPECT_EQ(text_of(std::span{buffer}.first(one.size)), "one");
      EXPECT_EQ(one.from, a.local_endpoint());
      EXPECT_FALSE(one.truncated());
      const auto empty = co_await b.receive_from(buffer);
      EXPECT_EQ(empty.full_size, 0U);
      EXPECT_EQ(empty.from, a.local_endpoint());
    }
  });
}

TEST_P(udp, too_small_a_buffer_is_reported) {
  go([]() -> task<> {
    udp_socket a{any_loopback_port}, b{any_loopback_port};
    (void)co_await a.send_to(bytes_of("abcdefgh"), b.local_endpoint());
    (void)co_await a.send_to(bytes_of("ij"), b.local_endpoint());
    std::array<std::byte, 3> buffer;
    const auto cut = co_await b.receive_from(buffer);
    EXPECT_TRUE(cut.truncated());
    EXPECT_EQ(cut.size, 3U);
    EXPECT_EQ(cut.full_size, 8U);
    const auto next = co_await b.receive_from(buffer);
    EXPECT_EQ(next.size, 2U);
  });
}

TEST_P(udp, receive_that_waits_is_woken_by_a_datagram) {
  go([]() -> task<> {
    udp_socket a{any_loopback_port}, b{any_loopback_port};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(5ms);
        (void)co_await a.send_to(bytes_of("late"), b.local_endpoint());
      });
      std::array<std::byte, 2> buffer;
      const auto d = co_await b.receive_from(buffer);
      EXPECT_EQ(d.full_size, 4U);
      EXPECT_EQ(d.from, a.local_endpoint());
    });
  });
}

TEST_P(udp, cancelled_receives_lose_no_datagram) {
  go([]() -> task<> {
    constexpr int rounds = 200;
    udp_socket a{any_loopback_port}, b{any_loopback_port};
    std::array<std::byte, 8> buffer;
    const auto at_once = co_await move_on_after(0s, b.receive_from(buffer));
    EXPECT_FALSE(at_once);
    const auto code = co_await code_of(fail_after(5ms, b.receive_from(buffer)));
    EXPECT_EQ(code, make_error_code(errc::timed_out));
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        for (int i = 0; i < rounds; ++i) {
          co_await sleep_for(std::chrono::microseconds{100});
          (void)co_await a.send_to(bytes_of("x"), b.local_endpoint());
        }
      });
      int received = 0;
      while (received < rounds) {
        const auto d =
            co_await move_on_after(std::chrono::microseconds{100}, b.receive_from(buffer));
        if (d) ++received;
      }
      EXPECT_EQ(received, rounds);
    });
  });
}

TEST_P(udp, connected_socket_hears_its_peer_only_and_is_told_when_nobody_listens) {
  go([]() -> task<> {
    udp_socket server{any_loopback_port}, stranger{any_loopback_port};
    auto client = udp_socket::connected(server.local_endpoint());
    (void)co_await client.send(bytes_of("hello"));
    std::array<std::byte, 8> buffer;
    const auto hello = co_await server.receive_from(buffer);
    const endpoint back{ip_address::loopback_v4(), hello.from.port()};
    (void)co_await stranger.send_to(bytes_of("spam"), back);
    (void)co_await server.send_to(bytes_of("ok"), back);
    const auto d = co_await client.receive_from(buffer);
    EXPECT_EQ(d.from, server.local_endpoint());
    server.close();
    (void)co_await client.send(bytes_of("anybody?"));
    const auto code = co_await code_of(client.receive_from(buffer));
    EXPECT_EQ(code, system_code(ECONNREFUSED));
  });
}

TEST_P(udp, errors_name_operation_and_object) {
  go([]() -> task<> {
    udp_socket a{any_loopback_port};
    try {
      udp_socket b{a.local_endpoint()};
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_EQ(e.what(), "bind " + a.local_endpoint().to_string() + ": Address already in use");
    }
    const std::string much(100'000, 'x');
    const auto text = co_await message_of(a.send_to(bytes_of(much), a.local_endpoint()));
    EXPECT_EQ(text, "send " + a.local_endpoint().to_string() + ": Message too long");
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(5ms);
        a.close();
      });
      std::array<std::byte, 8> buffer;
      const auto code = co_await code_of(a.receive_from(buffer));
      EXPECT_EQ(code, make_error_code(errc::closed));
    });
  });
}

TEST_P(udp_in_kernel, a_plain_thread_without_a_loop_talks_to_a_loop) {
  go([]() -> task<> {
    udp_socket server{any_loopback_port};
    std::thread client{[to = server.local_endpoint()] {
      udp_socket s{any_loopback_port};
      std::array<std::byte, 8> buffer;
      EXPECT_FALSE(await(move_on_after(5ms, s.receive_from(buffer))));
      EXPECT_EQ(await(s.send_to(bytes_of("ping"), to)), 4U);
      EXPECT_EQ(await(s.receive_from(buffer)).full_size, 4U);
    }};
    std::array<std::byte, 8> buffer;
    const auto d = co_await server.receive_from(buffer);
    (void)co_await server.send_to(bytes_of("pong"), d.from);
    client.join();
  });
}

}  // namespace
}  // namespace oneloop::net
