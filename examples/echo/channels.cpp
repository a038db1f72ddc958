#include <iostream>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/net/tcp.hpp"
using namespace oneloop;

void read_all(net::tcp_stream& peer, channel<std::vector<std::byte>>& out) {
  std::vector<std::byte> chunk(16384);
  while (auto n = await(try_await(peer.read_some(chunk))).value_or(0))
    await(out.send({chunk.begin(), chunk.begin() + static_cast<std::ptrdiff_t>(n)}));
  out.close();
}

void echo(net::tcp_stream peer) {
  channel<std::vector<std::byte>> chunks{4};  // while one is written, the next ones are read
  with_nursery([&](nursery& n) {
    n.start(read_all, std::ref(peer), std::ref(chunks));
    while (auto chunk = await(chunks.receive())) await(try_await(peer.write_all(*chunk)));
  });
}

void serve(nursery& n, net::tcp_listener& listener) {
  for (;;) n.start(echo, await(listener.accept()));
}

int main(int argc, char** argv) try {
  const std::string port = argc > 1 ? argv[1] : "7000";
  net::tcp_listener listener{net::endpoint{"127.0.0.1:" + port}};
  std::cout << "listening on " << listener.local_endpoint().to_string() << std::endl;
  run([&] { with_nursery(serve, listener); });
} catch (const std::exception& e) {
  std::cerr << "echo/channels [PORT]: " << e.what() << "\n";
  return 1;
}
