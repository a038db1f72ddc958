// An hour of a thousand clients, in seconds.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "oneloop/http/client.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;

struct counters {
  int answered = 0;
  int failed = 0;
};

task<> keep_asking(simulation* sim, http::client* c, int server, counters* count) {
  const auto end = sim->loop().now() + 1h;
  co_await sleep_for(std::chrono::milliseconds{sim->random() % 60'000});
  while (sim->loop().now() < end) {
    bool ok = false;
    try {
      auto getting = c->get("http://server" + std::to_string(server) + ".test/");
      auto r = co_await std::move(getting);
      auto reading = r.text();
      const auto text = co_await std::move(reading);
      ok = r.status() == 200 && text == "ok";
    } catch (const error&) {
    }
    ++(ok ? count->answered : count->failed);
    server = static_cast<int>(sim->random() % 10);
    co_await sleep_for(std::chrono::milliseconds{30'000 + sim->random() % 60'000});
  }
}

task<http::server_response> fine(http::server_request&) {
  co_return http::server_response{}.body("ok");
}

task<> serve_for_good() {
  net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 80}};
  auto serving = http::serve(l, fine);
  co_await std::move(serving);
}

task<> ask_for_an_hour(simulation* sim, int number, counters* count) {
  http::client c{http::client_options{}.total_timeout(20s)};
  auto asking = keep_asking(sim, &c, number % 10, count);
  co_await std::move(asking);
}

std::pair<counters, std::uint64_t> simulated_hour(std::uint64_t seed, int clients) {
  counters count;
  simulation sim{seed};
  network& net = sim.network();
  net.default_link().latency(delays::normal(20ms, 5ms)).loss(0.001);
  sim.run([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      for (int i = 0; i < 10; ++i) {
        net.host("server" + std::to_string(i) + ".test").start(n, serve_for_good);
      }
      auto all_clients = [&](nursery& c) -> task<> {
        for (int i = 0; i < clients; ++i) {
          net.host("client" + std::to_string(i)).start(c, ask_for_an_hour, &sim, i, &count);
        }
        co_return;
      };
      // Every five minutes one server is cut off for a minute.
      n.start(
          [](simulation* s) -> task<> {
            while (true) {
              co_await sleep_for(4min);
              const auto which = s->random() % 9;
              auto& cut = s->network().host("server" + std::to_string(which) + ".test");
              cut.isolate();
              co_await sleep_for(1min);
              cut.isolate(false);
            }
          },
          &sim);
      auto asking = with_nursery(std::ref(all_clients));
      co_await std::move(asking);
      n.cancel();
    };
    auto all = with_nursery(std::ref(body));
    co_await std::move(all);
  });
  return {count, net.fingerprint() ^ sim.trace().hash()};
}

TEST(network_hour_test, thousand_clients_and_ten_servers_with_partitions) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int clients = 100;
#else
  constexpr int clients = 1000;
#endif
  const auto [count, fingerprint] = simulated_hour(1, clients);
  // A request a minute, of which one in fifty or so meets a server that is cut off.
  EXPECT_GT(count.answered, 50 * clients);
  EXPECT_GT(count.failed, clients / 10);
  EXPECT_LT(count.failed, 3 * clients);
}

TEST(network_hour_test, the_same_seed_gives_the_same_packets) {
  const auto one = simulated_hour(3, 20);
  EXPECT_EQ(one.second, simulated_hour(3, 20).second);
  EXPECT_NE(one.second, simulated_hour(4, 20).second);
}

}  // namespace
}  // namespace oneloop::inline v0::testing
