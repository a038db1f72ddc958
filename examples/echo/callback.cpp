#include <array>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/net/tcp.hpp"
using namespace oneloop;

struct connection : net::tcp_stream {
  std::array<std::byte, 4096> buffer;
};

void echo(std::shared_ptr<connection> c) {
  defer(c->read_some(c->buffer)).add_callback([c](std::size_t n) {
    if (n != 0) defer(c->write_all(std::span{c->buffer}.first(n))).add_callback([c] { echo(c); });
  });
}

void serve(net::tcp_listener& l) {
  defer(l.accept()).add_callback([&l](net::tcp_stream peer) {
    echo(std::make_shared<connection>(std::move(peer)));
    serve(l);
  });
}

int main() {
  net::tcp_listener listener{{net::ip_address::loopback_v4(), 7000}};
  run([&] { with_nursery([&](nursery&) { serve(listener); }); });
}
