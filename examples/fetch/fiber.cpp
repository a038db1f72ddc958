#include <cstdio>
#include <span>

#include "oneloop/fiber/run.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

void fetch(http::client& web, const char* url) {
  auto page = await(try_await(web.get(url)));
  std::printf("%s %s\n", url, page && page->status() == 200 ? "OK" : "Bad");
}

void fetch_all(nursery& n, std::span<char*> urls, http::client& web) {
  for (const char* url : urls) n.start(fetch, std::ref(web), url);
}

int main(int argc, char** argv) {
  http::client web;
  run([&] { with_nursery(fetch_all, std::span{argv + 1, argv + argc}, web); });
}
