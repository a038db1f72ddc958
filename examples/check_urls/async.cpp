#include <cstdio>
#include <span>

#include "oneloop/http/client.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

task<> check(http::client& web, const char* url) {
  auto page = co_await try_await(web.get(url));
  std::printf("%s %s\n", url, page && page->status() == 200 ? "OK" : "Bad");
}

task<> check_all(nursery& n, http::client& web, std::span<char*> urls) {
  for (const char* url : urls) n.start(check, std::ref(web), url);
  co_return;
}

int main(int argc, char** argv) {
  http::client web;
  run(with_nursery(check_all, std::ref(web), std::span{argv + 1, argv + argc}));
}
