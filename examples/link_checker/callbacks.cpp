#include <cstdio>
#include <set>

#include "oneloop/channel/queue.hpp"
#include "oneloop/deferred/react.hpp"
#include "oneloop/html/extract.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

struct item {
  url page;
  int level;
  std::string source;
};

class link_checker {
 public:
  deferred<> check_all(item start) {
    put(std::move(start));
    for (int i = 0; i < 10; ++i) work();
    return defer(items_.join()).add_callback([this] { items_.shutdown(); });
  }

 private:
  void work() {
    defer(items_.get()).add_callback([this](std::optional<item> next) {
      if (!next) return;
      check(*next).add_callback([this] {
        items_.task_done();
        work();
      });
    });
  }
  deferred<> check(item i) {
    return defer(web_.get(i.page))
        .add_callback([this, i](http::response page) { return read(i, std::move(page)); })
        .add_errback([i](failure) {
          std::printf("Broken link %s -> %s\n", i.source.c_str(), i.page.href().c_str());
        });
  }
  deferred<> read(item i, http::response page) {
    if (page.status() != 200) throw error{errc::protocol, "not 200"};
    const auto type = page.fields().get("Content-Type").value_or("");
    const bool is_html = html::media_of(type).kind == html::document_kind::html;
    if (i.level > 0 && !is_html) std::printf("Not html: %s\n", i.page.href().c_str());
    if (i.level == 0 || !is_html) return succeed();
    const auto whole = std::make_shared<http::response>(std::move(page));
    return defer(whole->text()).add_callback([this, i, whole](std::string text) {
      follow(i, whole->final_url(), text);
    });
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
  if (!start) return std::puts("usage: link_checker/callbacks URL [LEVEL]"), 2;
  link_checker checker;
  return react(
      [&] { return checker.check_all({*start, argc > 2 ? std::atoi(argv[2]) : 2, "start"}); });
}
