#include <iostream>

#include "oneloop/deferred/react.hpp"
#include "oneloop/protocol/protocol.hpp"
using namespace oneloop;

struct echo : protocol {
  void data_received(bytes data) override { transport().write(data); }
};

deferred<> serve(net::endpoint at) {
  auto port = listen_tcp(at, factory_of<echo>());
  std::cout << "listening on " << port.get_host().to_string() << std::endl;
  return port.closed();
}

int main(int argc, char** argv) try {
  const std::string port = argc > 1 ? argv[1] : "7000";
  return react(serve, net::endpoint{"127.0.0.1:" + port});
} catch (const std::exception& e) {
  std::cerr << "echo/callbacks [PORT]: " << e.what() << "\n";
  return 1;
}
