#include "oneloop/thread/thread.hpp"

#include <cstdio>
#include <span>

#include "oneloop/http/client.hpp"
#include "oneloop/loop/runtime.hpp"
using namespace oneloop;

void fetch(loop& net, http::client& web, const char* url) {
  const bool ok = call_on(net, [&] {
    auto page = await(try_await(web.get(url)));
    return page && page->status() == 200;
  });
  std::printf("%s %s\n", url, ok ? "OK" : "Bad");
}

int main(int argc, char** argv) {
  runtime rt{1};
  http::client web;
  with_nursery([&](nursery& n) {
    for (const char* url : std::span{argv + 1, argv + argc})
      n.start(fetch, std::ref(rt.loop(0)), std::ref(web), url);
  });
}
