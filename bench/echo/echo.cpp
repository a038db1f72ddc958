// echo coroutine|fiber|callback PORT: an echo server in each model.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "oneloop/deferred/react.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/protocol/protocol.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;

constexpr std::size_t most = 256 * 1024;

static task<> echo(net::tcp_stream peer) {
  const auto space = std::make_unique_for_overwrite<std::byte[]>(most);
  const std::span buffer{space.get(), most};
  while (const std::size_t n = co_await peer.read_some(buffer)) {
    co_await peer.write_all(buffer.first(n));
  }
}
static task<> serve(nursery& n, net::tcp_listener& listener) {
  for (;;) n.start(echo, co_await listener.accept());
}

static void echo_fiber(net::tcp_stream peer) {
  const auto space = std::make_unique_for_overwrite<std::byte[]>(most);
  const std::span buffer{space.get(), most};
  while (const std::size_t n = await(peer.read_some(buffer)))
    await(peer.write_all(buffer.first(n)));
}
static void serve_fibers(nursery& n, net::tcp_listener& listener) {
  for (;;) n.start(echo_fiber, await(listener.accept()));
}

struct echo_protocol : protocol {
  void data_received(bytes data) override { transport().write(data); }
};
static deferred<> serve_callbacks(net::endpoint at) {
  return listen_tcp(at, factory_of<echo_protocol>()).closed();
}

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  const std::string_view model = argv[1];
  const net::endpoint at{"127.0.0.1:" + std::string{argv[2]}};
  if (model == "callback") return react(serve_callbacks, at);
  net::tcp_listener listener{at};
  if (model == "fiber") {
    run([&] { with_nursery(serve_fibers, listener); });
  } else {
    run(with_nursery(serve, std::ref(listener)));
  }
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_echo: %s\n", e.what());
  return 1;
}
