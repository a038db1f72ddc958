#include <iostream>

#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

task<> echo(net::tcp_stream peer) {
  std::byte buffer[16384];
  while (auto n = (co_await try_await(peer.read_some(buffer))).value_or(0))
    co_await try_await(peer.write_all(std::span{buffer}.first(n)));
}

task<> serve(nursery& n, net::tcp_listener& listener) {
  for (;;) n.start(echo, co_await listener.accept());
}

int main(int argc, char** argv) try {
  const std::string port = argc > 1 ? argv[1] : "7000";
  net::tcp_listener listener{net::endpoint{"127.0.0.1:" + port}};
  std::cout << "listening on " << listener.local_endpoint().to_string() << std::endl;
  run(with_nursery(serve, std::ref(listener)));
} catch (const std::exception& e) {
  std::cerr << "echo/async [PORT]: " << e.what() << "\n";
  return 1;
}
