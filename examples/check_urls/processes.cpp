#include <cstdio>
#include <vector>

#include "oneloop/http/client.hpp"
#include "oneloop/process/worker.hpp"
using namespace oneloop;

std::string check(std::string url) {  // in a worker
  http::client web;
  auto page = await(try_await(web.get(url)));
  return url + (page && page->status() == 200 ? " OK" : " Bad");
}

int main(int argc, char** argv) {
  if (auto parent = process::parent_pipe(argc, argv)) return process::answer(*parent, check);
  const auto urls = std::span{argv, argv + argc}.subspan(1);
  std::vector<process::worker> workers(std::min(urls.size(), std::size_t{10}));
  for (std::size_t i = 0, n = workers.size(); i < urls.size() + n; ++i) {
    auto& worker = workers[i % n];
    if (i >= n) std::puts(await(worker.receive()).value().c_str());
    if (i < urls.size()) await(worker.send(urls[i]));
  }
}
