// asio [PORT]: an echo server with Asio's coroutines, or with those of Boost.Asio.
#include <utility>  // which Boost.Asio 1.74 forgets
#ifdef BOOST
#include <boost/asio.hpp>
namespace asio = boost::asio;
#else
#include <asio.hpp>
#endif
#include <iostream>
using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket peer) try {
  char buffer[16384];
  for (;;) {
    const auto n = co_await peer.async_read_some(asio::buffer(buffer), asio::use_awaitable);
    co_await asio::async_write(peer, asio::buffer(buffer, n), asio::use_awaitable);
  }
} catch (const std::exception&) {
}

asio::awaitable<void> serve(tcp::acceptor& listener) {
  for (;;) {
    auto peer = co_await listener.async_accept(asio::use_awaitable);
    asio::co_spawn(listener.get_executor(), echo(std::move(peer)), asio::detached);
  }
}

int main(int argc, char** argv) try {
  asio::io_context io{1};
  const int port = argc > 1 ? std::stoi(argv[1]) : 7000;
  tcp::acceptor listener{io, {asio::ip::address_v4::loopback(), static_cast<unsigned short>(port)}};
  std::cout << "listening on " << listener.local_endpoint() << std::endl;
  asio::co_spawn(io, serve(listener), asio::detached);
  io.run();
} catch (const std::exception& e) {
  std::cerr << "asio [PORT]: " << e.what() << "\n";
  return 1;
}
