#include "oneloop/net/tcp.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/net/simulation_test.hpp"
#include "oneloop/net/stream.hpp"

namespace oneloop::net {
namespace {

using namespace test;

static_assert(byte_stream<tcp_stream>);

class tcp : public on_backends_and_simulation {};
ON_BACKENDS_AND_SIMULATION(tcp);

/// What only a kernel has: other threads, the process's descriptors.
class tcp_in_kernel : public on_backends {};
ON_BACKENDS(tcp_in_kernel);

task<> echo(tcp_listener& l) {
  auto peer = co_await l.accept();
  std::array<std::byte, 4096> b;
  while (true) {
    const auto n = co_await peer.read_some(b);
    if (n == 0) break;
    (void)co_await peer.write_all(std::span{b}.first(n));
  }
}

TEST_P(tcp, bytes_go_there_and_back) {
  go([]() -> task<> {
    for (const auto at : {ip_address::loopback_v4(), ip_address::loopback_v6()}) {
      tcp_listener l{endpoint{at, 0}};
      co_await with_nursery([&](nursery& n) -> task<> {
        n.start(echo, std::ref(l));
        auto s = co_await connect(l.local_endpoint());
        EXPECT_EQ(s.peer_endpoint(), l.local_endpoint());
        (void)co_await s.write_all(bytes_of("hello"));
        const auto reply = co_await read_text(s);
        EXPECT_EQ(reply, "hello");
      });
    }
  });
}

TEST_P(tcp, both_sides_know_both_endpoints) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    EXPECT_EQ(client.local_endpoint(), server.peer_endpoint());
    EXPECT_EQ(server.local_endpoint(), client.peer_endpoint());
    EXPECT_EQ(server.name(), client.local_endpoint().to_string());
  });
}

TEST_P(tcp, half_close_ends_one_direction_only) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    (void)co_await client.write_all(bytes_of("request"));
    co_await client.shutdown_write();
    const auto request = co_await read_all(server);
    EXPECT_EQ(request, "request");
    (void)co_await server.write_all(bytes_of("reply"));
    server.close();
    const auto reply = co_await read_all(client);
    EXPECT_EQ(reply, "reply");
    const auto code = co_await code_of(client.write_all(bytes_of("more")));
    EXPECT_EQ(code, system_code(EPIPE));
  });
}

TEST_P(tcp, an_empty_buffer_reads_nothing_at_once) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    const auto n = co_await both.first.read_some(std::span<std::byte>{});
    EXPECT_EQ(n, 0U);
  });
}

TEST_P(tcp, read_in_a_cancelled_scope_takes_nothing) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    (void)co_await client.write_all(bytes_of("x"));
    co_await server.readable();
    std::array<std::byte, 8> b;
    const auto n = co_await move_on_after(0s, server.read_some(b));
    EXPECT_FALSE(n);
    const auto text = co_await read_text(server);
    EXPECT_EQ(text, "x");
  });
}

TEST_P(tcp, read_that_was_cancelled_while_waiting_takes_nothing) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    std::array<std::byte, 8> b;
    const auto n = co_await move_on_after(10ms, server.read_some(b));
    EXPECT_FALSE(n);
    (void)co_await client.write_all(bytes_of("x"));
    const auto text = co_await read_text(server);
    EXPECT_EQ(text, "x");
  });
}

TEST_P(tcp, read_that_takes_too_long_fails_with_a_timeout) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    std::array<std::byte, 8> b;
    const auto code = co_await code_of(fail_after(10ms, both.second.read_some(b)));
    EXPECT_EQ(code, make_error_code(errc::timed_out));
  });
}

TEST_P(tcp, cancel_that_races_with_data_loses_no_byte) {
  go([]() -> task<> {
    constexpr int rounds = 300;
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        for (int i = 0; i < rounds; ++i) {
          co_await sleep_for(std::chrono::microseconds{100});
          (void)co_await client.write_all(bytes_of("x"));
        }
        co_await client.shutdown_write();
      });
      int received = 0, cancelled_reads = 0;
      while (true) {
        std::array<std::byte, 1> b;
        const auto got =
            co_await move_on_after(std::chrono::microseconds{100}, server.read_some(b));
        if (!got) {
          ++cancelled_reads;
        } else if (*got == 0) {
          break;
        } else {
          received += static_cast<int>(*got);
        }
      }
      EXPECT_EQ(received, rounds);
      EXPECT_GT(cancelled_reads, 0);
    });
  });
}

TEST_P(tcp, reset_by_the_peer_is_an_error_that_names_the_peer) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    client.reset();
    co_await server.readable();
    std::array<std::byte, 8> b;
    const auto text = co_await message_of(server.read_some(b));
    EXPECT_EQ(text, "read " + server.name() + ": Connection reset by peer");
  });
}

TEST_P(tcp, peer_that_goes_away_while_we_wait_ends_the_read) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(10ms);
        client.close();
      });
      std::array<std::byte, 8> b;
      const auto got = co_await server.read_some(b);
      EXPECT_EQ(got, 0U);
    });
  });
}

TEST_P(tcp, close_ends_a_read_that_waits) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& server = both.second;
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(10ms);
        server.close();
      });
      std::array<std::byte, 8> b;
      const auto name = server.name();
      const auto text = co_await message_of(server.read_some(b));
      EXPECT_EQ(text, "read " + name + ": closed");
    });
    std::array<std::byte, 8> b;
    const auto code = co_await code_of(server.read_some(b));
    EXPECT_EQ(code, make_error_code(errc::closed));
    const auto ended = co_await code_of(server.write_all(bytes_of("x")));
    EXPECT_EQ(ended, make_error_code(errc::closed));
  });
}

TEST_P(tcp, write_all_waits_for_a_slow_reader) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    std::string sent(20'000'000, '\0');
    for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 7 + i / 4096);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(10ms);
        const auto received = co_await read_all(server);
        EXPECT_EQ(received, sent);
      });
      const auto n_sent = co_await client.write_all(bytes_of(sent));
      EXPECT_EQ(n_sent, sent.size());
      co_await client.shutdown_write();
    });
  });
}

TEST_P(tcp, cancelled_write_all_reports_what_has_gone) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    const std::string sent(50'000'000, 'x');
    const auto n_sent = co_await move_on_after(20ms, client.write_all(bytes_of(sent)));
    EXPECT_TRUE(n_sent);
    if (!n_sent) co_return;
    EXPECT_GT(*n_sent, 0U);
    EXPECT_LT(*n_sent, sent.size());
    client.close();
    const auto received = co_await read_all(server);
    EXPECT_EQ(received.size(), *n_sent);
  });
}

TEST_P(tcp, cancelled_write_all_of_which_nothing_has_gone_did_not_happen) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& client = both.first;
    const std::string much(50'000'000, 'x');
    (void)co_await move_on_after(20ms, client.write_all(bytes_of(much)));
    const auto n = co_await move_on_after(10ms, client.write_all(bytes_of("x")));
    EXPECT_FALSE(n);
    bool went_on = false;
    (void)co_await move_on_after(0s, [&]() -> task<> {
      (void)co_await client.write_all(bytes_of("x"));
      went_on = true;
    });
    EXPECT_FALSE(went_on);
  });
}

TEST_P(tcp, write_all_ends_when_the_peer_resets) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    const std::string much(50'000'000, 'x');
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(10ms);
        server.reset();
      });
      const auto code = co_await code_of(client.write_all(bytes_of(much)));
      EXPECT_TRUE(code == system_code(ECONNRESET) || code == system_code(EPIPE)) << code.message();
    });
  });
}

TEST_P(tcp, close_ends_a_write_all_that_waits) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& client = both.first;
    const std::string much(50'000'000, 'x');
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(10ms);
        client.close();
      });
      const auto code = co_await code_of(client.write_all(bytes_of(much)));
      EXPECT_EQ(code, make_error_code(errc::closed));
    });
  });
}

TEST_P(tcp, reader_and_writer_of_one_stream_do_not_disturb_each_other) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    const std::string much(5'000'000, 'x');
    auto send = [&](tcp_stream& s) -> task<> {
      (void)co_await s.write_all(bytes_of(much));
      co_await s.shutdown_write();
    };
    auto receive = [&](tcp_stream& s) -> task<> {
      const auto all = co_await read_all(s);
      EXPECT_EQ(all.size(), much.size());
    };
    co_await gather(send(client), receive(client), send(server), receive(server));
  });
}

TEST_P(tcp, refused_connection_names_operation_object_and_cause) {
  go([]() -> task<> {
    tcp_listener l{any_loopback_port};
    const endpoint gone = l.local_endpoint();
    l.close();
    const auto text = co_await message_of(connect(gone));
    EXPECT_EQ(text, "connect " + gone.to_string() + ": Connection refused");
    const auto code = co_await code_of(connect(gone));
    EXPECT_EQ(code, system_code(ECONNREFUSED));
  });
}

// A listener whose queue is full: the kernel ignores further attempts.
struct deaf_listener {
  deaf_listener() : listener{any_loopback_port, listen_options{}.backlog(0)} {
    const raw_address at{listener.local_endpoint()};
    for (int i = 0; i < 4; ++i) {
      const int fd = sys::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      (void)sys::connect(fd, at.data(), at.size());
      fds.push_back(fd);
    }
  }
  ~deaf_listener() {
    for (const int fd : fds) sys::close(fd);
  }
  tcp_listener listener;
  std::vector<int> fds;
};

TEST_P(tcp, connect_can_be_cancelled_before_and_while_it_waits) {
  go([]() -> task<> {
    deaf_listener deaf;
    const auto before = co_await move_on_after(0s, connect(deaf.listener.local_endpoint()));
    EXPECT_FALSE(before);
    const auto during = co_await move_on_after(20ms, connect(deaf.listener.local_endpoint()));
    EXPECT_FALSE(during);
    const auto code = co_await code_of(fail_after(20ms, connect(deaf.listener.local_endpoint())));
    EXPECT_EQ(code, make_error_code(errc::timed_out));
  });
}

TEST_P(tcp, cancel_that_races_with_the_connection_leaks_no_descriptor) {
  auto open_descriptors = [] {
    const int fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    ::close(fd);
    return fd;
  };
  go([&]() -> task<> {
    tcp_listener l{any_loopback_port};
    const int before = open_descriptors();
    int stood = 0;
    for (int i = 0; i < 200; ++i) {
      const auto limit = std::chrono::microseconds{i * 5};
      const auto s = co_await move_on_after(limit, connect(l.local_endpoint()));
      if (s) ++stood;
      const auto accepted = co_await move_on_after(limit, l.accept());
      (void)accepted;
    }
    EXPECT_GT(stood, 0);
    EXPECT_EQ(open_descriptors(), before);
  });
}

TEST_P(tcp, accept_can_be_cancelled_and_the_listener_goes_on) {
  go([]() -> task<> {
    tcp_listener l{any_loopback_port};
    const auto none = co_await move_on_after(10ms, l.accept());
    EXPECT_FALSE(none);
    const auto client = co_await connect(l.local_endpoint());
    const auto never_accepted = co_await move_on_after(0s, l.accept());
    EXPECT_FALSE(never_accepted);
    const auto server = co_await l.accept();
    EXPECT_EQ(server.peer_endpoint(), client.local_endpoint());
  });
}

TEST_P(tcp, close_ends_an_accept_that_waits) {
  go([]() -> task<> {
    tcp_listener l{any_loopback_port};
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(10ms);
        l.close();
      });
      const auto name = l.name();
      const auto text = co_await message_of(l.accept());
      EXPECT_EQ(text, "accept " + name + ": closed");
    });
  });
}

TEST_P(tcp_in_kernel, accept_without_descriptors_left_fails_clearly_and_recovers) {
  go([]() -> task<> {
    tcp_listener l{any_loopback_port};
    auto client = co_await connect(l.local_endpoint());
    co_await l.acceptable();
    rlimit old{};
    ::getrlimit(RLIMIT_NOFILE, &old);
    const int next = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
    rlimit none{static_cast<rlim_t>(next), old.rlim_max};
    ::close(next);
    ::setrlimit(RLIMIT_NOFILE, &none);
    const auto text = co_await message_of(l.accept());
    const auto refused = co_await message_of(connect(l.local_endpoint()));
    ::setrlimit(RLIMIT_NOFILE, &old);
    EXPECT_EQ(text, "accept " + l.name() + ": Too many open files");
    EXPECT_EQ(refused, "connect " + l.name() + ": Too many open files");
    const auto server = co_await l.accept();
    EXPECT_EQ(server.peer_endpoint(), client.local_endpoint());
  });
}

TEST_P(tcp, address_in_use_is_told_and_reuse_port_shares_it) {
  go([]() -> task<> {
    tcp_listener l{any_loopback_port};
    try {
      tcp_listener second{l.local_endpoint()};
      ADD_FAILURE();
    } catch (const error& e) {
      EXPECT_EQ(e.what(), "listen " + l.name() + ": Address already in use");
    }
    tcp_listener a{any_loopback_port, listen_options{}.reuse_port()};
    tcp_listener b{a.local_endpoint(), listen_options{}.reuse_port()};
    EXPECT_EQ(a.local_endpoint(), b.local_endpoint());
    co_return;
  });
}

TEST_P(tcp, small_writes_go_out_at_once_unless_told_otherwise) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto nodelay = [](const tcp_stream& s) {
      int on = -1;
      socklen_t size = sizeof on;
      sys::getsockopt(s.fd(), IPPROTO_TCP, TCP_NODELAY, &on, &size);
      return on;
    };
    EXPECT_EQ(nodelay(both.first), 1);
    EXPECT_EQ(nodelay(both.second), 1);
    both.first.set_nodelay(false);
    EXPECT_EQ(nodelay(both.first), 0);
  });
}

TEST_P(tcp, an_idle_peer_is_probed_when_that_is_asked_for) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto option = [&](int level, int name) {
      int value = -1;
      socklen_t size = sizeof value;
      sys::getsockopt(both.first.fd(), level, name, &value, &size);
      return value;
    };
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 0);
    both.first.set_keepalive(20s, 5s, 3);
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPIDLE), 20);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPINTVL), 5);
    EXPECT_EQ(option(IPPROTO_TCP, TCP_KEEPCNT), 3);
    both.first.set_keepalive(false);
    EXPECT_EQ(option(SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_THROW(both.first.set_keepalive(0s, 5s, 3), error);
    EXPECT_THROW(both.first.set_keepalive(std::chrono::hours{1'000'000'000}, 5s, 3), error);
  });
}

TEST_P(tcp, readable_takes_part_in_a_select_and_takes_no_data) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    channel<int> stop;
    const auto late = co_await select(server.readable(), sleep_for(10ms));
    EXPECT_EQ(late.index(), 1U);
    (void)co_await client.write_all(bytes_of("x"));
    const auto ready = co_await select(server.readable(), stop.receive());
    EXPECT_EQ(ready.index(), 0U);
    const auto text = co_await read_text(server);
    EXPECT_EQ(text, "x");
  });
}

TEST_P(tcp, a_quiet_connection_stops_being_so_by_data_and_by_the_end) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    auto& [client, server] = both;
    EXPECT_TRUE(server.quiet());
    (void)co_await client.write_all(bytes_of("x"));
    co_await server.readable();
    EXPECT_FALSE(server.quiet());
    (void)co_await read_text(server);
    EXPECT_TRUE(server.quiet());
    client.close();
    co_await server.readable();
    EXPECT_FALSE(server.quiet());
  });
}

TEST_P(tcp_in_kernel, a_plain_thread_without_a_loop_talks_to_a_loop) {
  go([]() -> task<> {
    tcp_listener l{any_loopback_port};
    std::thread client{[at = l.local_endpoint()] {
      auto s = await(connect(at));
      const std::string sent(3'000'000, 'x');
      EXPECT_EQ(await(s.write_all(bytes_of(sent))), sent.size());
      await(s.shutdown_write());
      std::array<std::byte, 8> b;
      EXPECT_FALSE(await(move_on_after(10ms, s.read_some(b))));
      EXPECT_EQ(await(s.read_some(b)), 2U);
      EXPECT_EQ(await(s.read_some(b)), 0U);
    }};
    auto server = co_await l.accept();
    const auto received = co_await read_all(server);
    EXPECT_EQ(received.size(), 3'000'000U);
    co_await sleep_for(30ms);
    (void)co_await server.write_all(bytes_of("ok"));
    server.close();
    client.join();
  });
}

TEST_P(tcp, adopt_refuses_what_is_not_connected) {
  EXPECT_THROW((void)tcp_stream::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), error);
  EXPECT_THROW((void)tcp_stream::adopt(::open("/dev/null", O_RDONLY | O_CLOEXEC)), error);
  EXPECT_THROW((void)tcp_stream::adopt(-1), error);
}

TEST_P(tcp, any_stream_behaves_as_the_stream_inside) {
  go([]() -> task<> {
    auto both = co_await connected_pair();
    any_stream client{std::move(both.first)};
    auto& server = both.second;
    EXPECT_NE(client.get_if<tcp_stream>(), nullptr);
    EXPECT_EQ(client.name(), server.local_endpoint().to_string());
    EXPECT_TRUE(client.quiet());
    (void)co_await client.write_all(bytes_of("question"));
    co_await client.shutdown_write();
    const auto question = co_await read_all(server);
    EXPECT_EQ(question, "question");
    (void)co_await server.write_all(bytes_of("answer"));
    const auto answer = co_await read_text(client);
    EXPECT_EQ(answer, "answer");
    const auto nothing = co_await move_on_after(10ms, read_text(client));
    EXPECT_FALSE(nothing);
    client.close();
    EXPECT_THROW((void)any_stream{}.shutdown_write(), misuse);
  });
}

}  // namespace
}  // namespace oneloop::net
