#include "oneloop/thread/thread.hpp"

#include <array>

#include "oneloop/net/tcp.hpp"
using namespace oneloop;

void echo(net::tcp_stream peer) {
  std::array<std::byte, 4096> buffer;
  while (auto n = await(peer.read_some(buffer))) await(peer.write_all(std::span{buffer}.first(n)));
}

void serve(nursery& n) {
  net::tcp_listener listener{{net::ip_address::loopback_v4(), 7000}};
  for (;;) n.start(echo, await(listener.accept()));
}

int main() { with_nursery(serve); }
