// echo coroutine|fiber|callback PORT: an echo server in each model.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>

#include "oneloop/deferred/react.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/net/borrowed_buffer.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/protocol/protocol.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;

static task<> echo(net::tcp_stream peer) {
  for (;;) {
    co_await peer.readable();
    const net::borrowed_buffer space;
    const std::size_t n = co_await peer.read_some(space.all());
    if (n == 0) break;
    co_await peer.write_all(space.first(n));
  }
}
static task<> serve(nursery& n, net::tcp_listener& listener) {
  for (;;) n.start(echo, co_await listener.accept());
}

static void echo_fiber(net::tcp_stream peer) {
  for (;;) {
    await(peer.readable());
    const net::borrowed_buffer space;
    const std::size_t n = await(peer.read_some(space.all()));
    if (n == 0) break;
    await(peer.write_all(space.first(n)));
  }
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
