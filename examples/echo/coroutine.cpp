#include <array>

#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

task<> echo(net::tcp_stream peer) {
  std::array<std::byte, 4096> buffer;
  while (auto n = co_await peer.read_some(buffer))
    co_await peer.write_all(std::span{buffer}.first(n));
}

task<> serve(nursery& n) {
  net::tcp_listener listener{{net::ip_address::loopback_v4(), 7000}};
  for (;;) n.start(echo, co_await listener.accept());
}

int main() { run(with_nursery(serve)); }
