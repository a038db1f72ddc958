#include <cstdio>
#include <span>
#include <string>

#include "oneloop/http/client.hpp"
#include "oneloop/thread/thread_pool.hpp"
using namespace oneloop;

int main(int argc, char** argv) {
  http::client web;
  auto check = [&](std::string url) {
    auto page = await(try_await(web.get(url)));
    return url + (page && page->status() == 200 ? " OK" : " Bad");
  };
  thread_pool pool{20};
  for (const auto& verdict : pool.map(check, std::span{argv + 1, argv + argc}))
    std::puts(verdict.c_str());
}
