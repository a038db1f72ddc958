#include <iostream>
#include <thread>
#include <vector>

#include "oneloop/net/tcp.hpp"
#include "oneloop/process/worker.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

task<> echo(net::tcp_stream peer) {
  std::byte buffer[16384];
  while (auto n = (co_await try_await(peer.read_some(buffer))).value_or(0))
    co_await try_await(peer.write_all(std::span{buffer}.first(n)));
}

// In each worker; the kernel deals out the connections among their listeners.
task<> serve(nursery& n, process::message_pipe& parent) {
  const auto at = co_await parent.receive();
  net::tcp_listener listener{net::endpoint{at.value()}, net::listen_options{}.reuse_port()};
  co_await parent.send(listener.local_endpoint().to_string());
  for (;;) n.start(echo, co_await listener.accept());
}

int main(int argc, char** argv) try {
  if (auto parent = process::parent_pipe(argc, argv)) run(with_nursery(serve, std::ref(*parent)));
  std::string at = std::string{"127.0.0.1:"} + (argc > 1 ? argv[1] : "7000");
  std::vector<process::worker> workers(std::max(2U, std::thread::hardware_concurrency()));
  for (auto& worker : workers) {
    await(worker.send(at));
    at = await(worker.receive()).value();
  }
  std::cout << "listening on " << at << std::endl;
  for (auto& worker : workers) await(worker.wait());
} catch (const std::exception& e) {
  std::cerr << "echo/processes [PORT]: " << e.what() << "\n";
  return 1;
}
