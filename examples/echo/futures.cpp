#include <iostream>

#include "oneloop/net/tcp.hpp"
#include "oneloop/thread/thread_pool.hpp"
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
  thread_pool pool{100};  // the 101st connection waits until another has ended
  for (;;) pool.submit(echo, await(listener.accept()));
} catch (const std::exception& e) {
  std::cerr << "echo/futures [PORT]: " << e.what() << "\n";
  return 1;
}
