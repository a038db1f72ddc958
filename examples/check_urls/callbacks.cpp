#include <cstdio>
#include <span>
#include <vector>

#include "oneloop/deferred/gather.hpp"
#include "oneloop/deferred/react.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

deferred<> check(http::client& web, const char* url) {
  return defer(web.get(url))
      .add_callback([](http::response page) { return page.status() == 200; })
      .add_errback([](failure) { return false; })
      .add_callback([url](bool ok) { std::printf("%s %s\n", url, ok ? "OK" : "Bad"); });
}

int main(int argc, char** argv) {
  http::client web;
  return react([&] {
    std::vector<deferred<>> checks;
    for (const char* url : std::span{argv + 1, argv + argc}) checks.push_back(check(web, url));
    return deferred_list(std::move(checks));
  });
}
