#include <cstdio>
#include <span>

#include "oneloop/http/client.hpp"
#include "oneloop/thread/thread.hpp"
using namespace oneloop;

void check(http::client& web, const char* url) {
  auto page = await(try_await(web.get(url)));
  std::printf("%s %s\n", url, page && page->status() == 200 ? "OK" : "Bad");
}

int main(int argc, char** argv) {
  http::client web;
  with_nursery([&](nursery& n) {
    for (const char* url : std::span{argv + 1, argv + argc}) n.start(check, std::ref(web), url);
  });
}
