#include <cstdio>
#include <set>
#include <sstream>

#include "oneloop/channel/queue.hpp"
#include "oneloop/html/extract.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/process/worker.hpp"
#include "oneloop/thread/thread.hpp"
using namespace oneloop;

struct item {
  url page;
  int level;
  std::string source;
};

std::string links_of(std::string page) try {  // in a worker: a link a line
  http::client web;
  auto response = await(web.get(page));
  if (response.status() != 200) throw error{errc::protocol, "not 200"};
  const auto type = response.fields().get("Content-Type").value_or("");
  if (html::media_of(type).kind != html::document_kind::html) return "Not html";
  const auto text = await(response.text());
  const auto bytes = std::as_bytes(std::span{text});
  std::string lines;
  for (const auto document = html::extract(html::document_kind::html, bytes, response.final_url());
       const auto& link : document.links) {
    const auto place = link.element + " " + link.attribute;
    if ((place != "a href" && place != "img src") || link.raw.starts_with('#')) continue;
    lines += (link.target ? link.target->without_fragment().href() : link.raw) + "\n";
  }
  return lines;
} catch (const error&) {
  return "Broken link";
}

class link_checker {
 public:
  void check_all(nursery& n, item start) {
    put(std::move(start));
    for (int i = 0; i < 10; ++i) n.start(&link_checker::work, this);
    await(items_.join());
    items_.shutdown();
  }

 private:
  void work() {  // a thread for each worker
    process::worker worker;
    while (auto next = await(items_.get())) {
      await(worker.send(next->page.href()));
      take(*next, await(worker.receive()).value_or("Broken link"));
      items_.task_done();
    }
  }
  void take(const item& i, const std::string& answer) {
    const char* const page = i.page.href().c_str();
    if (answer == "Broken link") std::printf("Broken link %s -> %s\n", i.source.c_str(), page);
    if (answer == "Broken link" || i.level == 0) return;
    if (answer == "Not html") return std::printf("Not html: %s\n", page), void();
    std::istringstream lines{answer};
    for (std::string line; std::getline(lines, line);) {
      const auto link = url::parse(line);
      if (link && link->is_http())
        put({*link, i.level - 1, i.page.href()});
      else
        std::printf("Not http: %s\n", line.c_str());
    }
  }
  void put(item i) {
    const std::scoped_lock hold{lock_};
    if (seen_.insert(i.page).second) (void)items_.try_put(std::move(i));
  }

  queue<item> items_{unbounded};  // in a bounded one, ten threads that put would wait for ever
  std::mutex lock_;
  std::set<url> seen_;
};

int main(int argc, char** argv) {
  if (auto parent = process::parent_pipe(argc, argv)) return process::answer(*parent, links_of);
  const auto start = url::parse(argc > 1 ? argv[1] : "");
  if (!start) return std::puts("usage: link_checker/processes URL [LEVEL]"), 2;
  link_checker checker;
  const item first{*start, argc > 2 ? std::atoi(argv[2]) : 2, "start"};
  with_nursery([&](nursery& n) { checker.check_all(n, first); });
}
