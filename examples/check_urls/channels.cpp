#include <cstdio>
#include <span>
#include <string>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

void check(http::client& web, std::string url, channel<std::string>& verdicts) {
  auto page = await(try_await(web.get(url)));
  await(verdicts.send(url + (page && page->status() == 200 ? " OK" : " Bad")));
}

int main(int argc, char** argv) {
  http::client web;
  channel<std::string> verdicts;
  run([&] {
    const std::span urls{argv + 1, argv + argc};
    for (const char* url : urls) spawn(check, std::ref(web), url, std::ref(verdicts));
    for (std::size_t i = 0; i < urls.size(); ++i) std::puts(await(verdicts.receive())->c_str());
  });
}
