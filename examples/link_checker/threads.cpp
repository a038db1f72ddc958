#include <cstdio>
#include <mutex>
#include <set>

#include "oneloop/channel/queue.hpp"
#include "oneloop/html/extract.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/thread/thread.hpp"
using namespace oneloop;

struct item {
  url page;
  int level;
  std::string source;
};

class link_checker {
 public:
  void check_all(nursery& workers, url start, int level) {
    put({start, level, "start"});
    for (int i = 0; i < 10; ++i) workers.start(&link_checker::work, this);
    await(items_.join());
    items_.shutdown();
  }

 private:
  void work() {
    while (auto next = await(items_.get())) {
      check(*next);
      items_.task_done();
    }
  }
  void check(const item& i) try {
    auto page = await(web_.get(i.page));
    if (page.status() != 200) throw error{errc::protocol, "not 200"};
    if (i.level == 0) return;
    const auto type = page.fields().get("Content-Type").value_or("");
    if (html::media_of(type).kind == html::document_kind::html)
      follow(i, page.final_url(), await(page.text()));
    else
      std::printf("Not html: %s\n", i.page.href().c_str());
  } catch (const error&) {
    std::printf("Broken link %s -> %s\n", i.source.c_str(), i.page.href().c_str());
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
    const std::scoped_lock hold{lock_};
    if (seen_.insert(i.page).second) (void)items_.try_put(std::move(i));
  }

  http::client web_;
  queue<item> items_{unbounded};  // in a bounded one, ten workers that put would wait for ever
  std::mutex lock_;
  std::set<url> seen_;
};

int main(int argc, char** argv) {
  const auto start = url::parse(argc > 1 ? argv[1] : "");
  if (!start) return std::puts("usage: link_checker/threads URL [LEVEL]"), 2;
  link_checker checker;
  with_nursery([&](nursery& workers) {
    checker.check_all(workers, *start, argc > 2 ? std::atoi(argv[2]) : 2);
  });
}
