#include <cstdio>
#include <set>

#include "oneloop/channel/queue.hpp"
#include "oneloop/html/extract.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

struct item {
  url page;
  int level;
  std::string source;
};

class link_checker {
 public:
  task<> check_all(nursery& workers, url start, int level) {
    put({start, level, "start"});
    for (int i = 0; i < 10; ++i) workers.start(&link_checker::work, this);
    co_await items_.join();
    items_.shutdown();
  }

 private:
  task<> work() {
    while (auto next = co_await items_.get()) {
      auto checking = try_await(check(*next));
      auto good = co_await std::move(checking);
      if (!good || !*good)
        std::printf("Broken link %s -> %s\n", next->source.c_str(), next->page.href().c_str());
      items_.task_done();
    }
  }
  task<bool> check(const item& i) {
    auto page = co_await web_.get(i.page);
    if (page.status() != 200 || i.level == 0) co_return page.status() == 200;
    const auto type = page.fields().get("Content-Type").value_or("");
    if (html::media_of(type).kind == html::document_kind::html) {
      const auto text = co_await page.text();
      follow(i, page.final_url(), text);
    } else {
      std::printf("Not html: %s\n", i.page.href().c_str());
    }
    co_return true;
  }
  void follow(const item& from, const url& base, const std::string& text) {
    const auto bytes = std::as_bytes(std::span{text});
    const auto page = html::extract(html::document_kind::html, bytes, base);
    for (const auto& link : page.links) {
      const auto place = link.element + " " + link.attribute;
      if ((place != "a href" && place != "img src") || link.raw.starts_with('#')) continue;
      if (link.target && link.target->is_http())
        put({link.target->without_fragment(), from.level - 1, from.page.href()});
      else
        std::printf("Not http: %s\n", link.raw.c_str());
    }
  }
  void put(item i) {
    if (seen_.insert(i.page).second) (void)items_.try_put(std::move(i));
  }

  http::client web_;
  queue<item> items_{unbounded};  // in a bounded one, ten workers that put would wait for ever
  std::set<url> seen_;
};

int main(int argc, char** argv) {
  const auto start = url::parse(argc > 1 ? argv[1] : "");
  if (!start) return std::puts("usage: link_checker/async URL [LEVEL]"), 2;
  link_checker checker;
  run(with_nursery(std::bind_front(&link_checker::check_all, &checker), *start,
                   argc > 2 ? std::atoi(argv[2]) : 2));
}
