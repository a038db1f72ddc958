// Fetches documents over kept connections: http_client BASE COUNT CONCURRENCY fetches BASE0, BASE1
// and so on, and prints the seconds that took and the processor's share of them.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>

#include "oneloop/http/client.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

using namespace oneloop;

namespace {

struct job {
  std::string base;
  int count;
  int concurrency;
  int next = 0;
};

task<> fetch(http::client& client, job& all) {
  while (all.next < all.count) {
    const std::string address = all.base + std::to_string(all.next++);
    auto response = co_await client.get(address);
    const std::string body = co_await response.text();
    if (response.status() != 200 || body.size() != 1024) {
      std::fprintf(stderr, "%s: %d, %zu bytes\n", address.c_str(), response.status(), body.size());
      std::exit(1);
    }
  }
}

task<> fetch_all(job& all) {
  http::client client{http::client_options{}.per_host(static_cast<std::size_t>(all.concurrency))};
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int i = 0; i < all.concurrency; ++i) n.start(fetch, std::ref(client), std::ref(all));
    co_return;
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fputs("usage: http_client BASE COUNT CONCURRENCY\n", stderr);
    return 2;
  }
  job all{argv[1], std::atoi(argv[2]), std::atoi(argv[3])};
  const auto begun = std::chrono::steady_clock::now();
  const std::clock_t cpu = std::clock();
  run(fetch_all(all));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  std::printf("%.4f %.4f\n", took.count(),
              static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC);
  return 0;
}
