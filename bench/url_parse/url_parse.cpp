// How many typical absolute URLs a second one core parses.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include "oneloop/url/url.hpp"

namespace {

/// Of the lengths and shapes that pages link to: about 60 bytes, some with a query or a fragment.
std::vector<std::string> typical() {
  std::vector<std::string> urls;
  for (int i = 0; i < 1000; ++i) {
    const std::string n = std::to_string(i);
    switch (i % 5) {
      case 0:
        urls.push_back("https://www.example.org/articles/2026/11/some-long-title-" + n);
        break;
      case 1:
        urls.push_back("http://static.example.net:8080/images/photo_" + n + ".jpg?w=640");
        break;
      case 2:
        urls.push_back("https://en.example.org/wiki/Concurrency_(computer)#History_" + n);
        break;
      case 3:
        urls.push_back("https://shop.example.com/?category=" + n + "&sort=price&page=2");
        break;
      default:
        urls.push_back("https://Docs.Example.com/a/b/../c/%7Euser/index" + n + ".html");
        break;
    }
  }
  return urls;
}

void parse(benchmark::State& state) {
  const std::vector<std::string> urls = typical();
  std::int64_t parsed = 0;
  for (auto _ : state) {
    for (const std::string& u : urls) {
      auto result = oneloop::url::parse(u);
      benchmark::DoNotOptimize(result);
    }
    parsed += static_cast<std::int64_t>(urls.size());
  }
  state.SetItemsProcessed(parsed);
}
BENCHMARK(parse);

void resolve(benchmark::State& state) {
  const auto base = *oneloop::url::parse("https://www.example.org/docs/guide/index.html");
  const std::vector<std::string> links{"../images/a.png", "/about", "chapter-2.html#s3", "?page=2",
                                       "//cdn.example.net/lib.js"};
  std::int64_t resolved = 0;
  for (auto _ : state) {
    for (const std::string& l : links) {
      auto result = base.resolve(l);
      benchmark::DoNotOptimize(result);
    }
    resolved += static_cast<std::int64_t>(links.size());
  }
  state.SetItemsProcessed(resolved);
}
BENCHMARK(resolve);

}  // namespace

BENCHMARK_MAIN();
