#include <cstdio>
#include <span>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

void fetch(http::client& web, const char* url) {
  defer(web.get(url))
      .add_callback([](http::response page) { return page.status() == 200; })
      .add_errback([](failure) { return false; })
      .add_callback([url](bool ok) { std::printf("%s %s\n", url, ok ? "OK" : "Bad"); });
}

void fetch_all(nursery&, http::client& web, std::span<char*> urls) {
  for (const char* url : urls) fetch(web, url);
}

int main(int argc, char** argv) {
  http::client web;
  run([&] { with_nursery(fetch_all, web, std::span{argv + 1, argv + argc}); });
}
