#include "oneloop/fiber/green.hpp"

#include <cstdio>
#include <span>
#include <vector>

#include "oneloop/fiber/run.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

void check(http::client& web, const char* url) {
  auto page = await(try_await(web.get(url)));
  std::printf("%s %s\n", url, page && page->status() == 200 ? "OK" : "Bad");
}

int main(int argc, char** argv) {
  http::client web;
  run([&] {
    std::vector<fiber<>> checks;
    for (const char* url : std::span{argv + 1, argv + argc})
      checks.push_back(spawn(check, std::ref(web), url));
    joinall(checks);
  });
}
