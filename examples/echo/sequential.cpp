#include <iostream>

#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/await.hpp"
using namespace oneloop;

void echo(net::tcp_stream peer) {
  std::byte buffer[16384];
  while (auto n = await(try_await(peer.read_some(buffer))).value_or(0))
    await(try_await(peer.write_all(std::span{buffer}.first(n))));
}

int main(int argc, char** argv) try {
  const std::string port = argc > 1 ? argv[1] : "7000";
  net::tcp_listener listener{net::endpoint{"127.0.0.1:" + port}};
  std::cout << "listening on " << listener.local_endpoint().to_string() << std::endl;
  for (;;) echo(await(listener.accept()));  // one connection after the other
} catch (const std::exception& e) {
  std::cerr << "echo/sequential [PORT]: " << e.what() << "\n";
  return 1;
}
