// The operations of sockets from every kind of waiter: the same exchange, each kind with each.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/fiber.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::net {
namespace {

using namespace test;

// Both sides: a byte there, a large answer back, a read that times out, a cancelled one, the end.
constexpr std::size_t large = 2'000'000;

void serve_blocking(tcp_listener& l) {
  auto s = await(l.accept());
  std::array<std::byte, 1> b;
  EXPECT_EQ(await(s.read_some(b)), 1U);
  const std::string answer(large, 'a');
  EXPECT_EQ(await(s.write_all(bytes_of(answer))), large);
  EXPECT_EQ(await(s.read_some(b)), 0U);
}

task<> serve(tcp_listener& l) {
  auto s = co_await l.accept();
  std::array<std::byte, 1> b;
  const auto n = co_await s.read_some(b);
  EXPECT_EQ(n, 1U);
  const std::string answer(large, 'a');
  const auto sent = co_await s.write_all(bytes_of(answer));
  EXPECT_EQ(sent, large);
  const auto end = co_await s.read_some(b);
  EXPECT_EQ(end, 0U);
}

struct callback_server {
  explicit callback_server(tcp_listener& l) {
    defer(l.accept())
        .add_callback([this](tcp_stream accepted) {
          s = std::move(accepted);
          return defer(s.read_some(b));
        })
        .add_callback([this](std::size_t n) {
          EXPECT_EQ(n, 1U);
          return defer(s.write_all(bytes_of(answer)));
        })
        .add_callback([this](std::size_t n) {
          EXPECT_EQ(n, large);
          return defer(s.read_some(b));
        })
        .add_callback([this](std::size_t n) {
          EXPECT_EQ(n, 0U);
          done.set();
        });
  }
  const std::string answer = std::string(large, 'a');
  tcp_stream s;
  std::array<std::byte, 1> b;
  event done;
};

void ask_blocking(endpoint at) {
  auto s = await(connect(at));
  std::array<std::byte, 8> b;
  EXPECT_FALSE(await(move_on_after(0s, s.read_some(b))));
  EXPECT_FALSE(await(move_on_after(2ms, s.read_some(b))));
  EXPECT_THROW(await(fail_after(2ms, s.read_some(b))), timeout_error);
  EXPECT_EQ(await(s.write_all(bytes_of("x"))), 1U);
  std::string all;
  std::vector<std::byte> part(65536);  // not on a fiber's stack
  while (all.size() < large) {
    all += text_of(std::span{part}.first(await(s.read_some(part))));
  }
  EXPECT_EQ(all.size(), large);
  await(s.shutdown_write());
}

task<> ask(endpoint at) {
  auto s = co_await connect(at);
  std::array<std::byte, 8> b;
  const auto none = co_await move_on_after(2ms, s.read_some(b));
  EXPECT_FALSE(none);
  (void)co_await s.write_all(bytes_of("x"));
  std::string all;
  std::vector<std::byte> part(65536);
  while (all.size() < large) {
    const auto n = co_await s.read_some(part);
    all += text_of(std::span{part}.first(n));
  }
  EXPECT_EQ(all.size(), large);
  co_await s.shutdown_write();
}

struct callback_client {
  explicit callback_client(endpoint at) {
    defer(connect(at))
        .add_callback([this](tcp_stream connected) {
          s = std::move(connected);
          return defer(move_on_after(2ms, s.read_some(b)));
        })
        .add_callback([this](std::optional<std::size_t> none) {
          EXPECT_FALSE(none);
          return defer(s.write_all(bytes_of("x")));
        })
        .add_callback([this](std::size_t) { read(); });
  }
  void read() {
    defer(s.read_some(b)).add_callback([this](std::size_t n) {
      got += n;
      if (got < large) return read();
      defer(s.shutdown_write()).add_callback([this] { done.set(); });
    });
  }
  tcp_stream s;
  std::array<std::byte, 65536> b;
  std::size_t got = 0;
  event done;
};

class socket_waiters : public on_backends {};
ON_BACKENDS(socket_waiters);

TEST_P(socket_waiters, every_kind_talks_to_every_kind) {
  go([]() -> task<> {
    for (const char* server : {"coroutine", "fiber", "thread", "callback"}) {
      for (const char* client : {"coroutine", "fiber", "thread", "callback"}) {
        SCOPED_TRACE(std::string{server} + " <- " + client);
        tcp_listener l{endpoint{ip_address::loopback_v4(), 0}};
        const endpoint at = l.local_endpoint();
        std::vector<std::thread> threads;
        std::unique_ptr<callback_server> chain;
        std::unique_ptr<callback_client> other_chain;
        event server_done, client_done;
        co_await with_nursery([&](nursery& n) -> task<> {
          switch (server[0]) {
            case 'f': n.start([&] { serve_blocking(l); }); break;
            case 't': threads.emplace_back([&] { serve_blocking(l), server_done.set(); }); break;
            case 'c':
              if (server[1] == 'o') {
                n.start(serve, std::ref(l));
              } else {
                chain = std::make_unique<callback_server>(l);
              }
              break;
          }
          switch (client[0]) {
            case 'f': n.start([&] { ask_blocking(at); }); break;
            case 't': threads.emplace_back([&] { ask_blocking(at), client_done.set(); }); break;
            case 'c':
              if (client[1] == 'o') {
                n.start(ask, at);
              } else {
                other_chain = std::make_unique<callback_client>(at);
              }
              break;
          }
          if (server[0] == 't') co_await server_done.wait();
          if (client[0] == 't') co_await client_done.wait();
          if (chain) co_await chain->done.wait();
          if (other_chain) co_await other_chain->done.wait();
        });
        for (auto& t : threads) t.join();
      }
    }
  });
}

}  // namespace
}  // namespace oneloop::net
