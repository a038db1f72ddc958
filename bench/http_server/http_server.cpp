// http_server PORT: "hello, world\n" to everybody.
#include <cstdio>
#include <string>

#include "oneloop/http/server.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;

static task<http::server_response> hello(http::server_request&) {
  co_return http::server_response{}.body("hello, world\n", "text/plain");
}

int main(int argc, char** argv) try {
  if (argc != 2) return 2;
  net::tcp_listener at{net::endpoint{"127.0.0.1:" + std::string{argv[1]}}};
  run(http::serve(at, hello));
} catch (const std::exception& e) {
  std::fprintf(stderr, "bench_http_server: %s\n", e.what());
  return 1;
}
