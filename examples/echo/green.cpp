#include "oneloop/fiber/green.hpp"

#include <iostream>

#include "oneloop/fiber/run.hpp"
#include "oneloop/net/tcp.hpp"
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
  run([&] {
    for (;;) spawn(echo, await(listener.accept()));
  });
} catch (const std::exception& e) {
  std::cerr << "echo/green [PORT]: " << e.what() << "\n";
  return 1;
}
