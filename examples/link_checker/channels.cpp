#include <cstdio>
#include <set>

#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/html/extract.hpp"
#include "oneloop/http/client.hpp"
using namespace oneloop;

struct item {
  url page;
  int level;
  std::string source;
};

std::vector<item> links_of(const item& from, const url& base, const std::string& text) {
  std::vector<item> found;
  const auto bytes = std::as_bytes(std::span{text});
  const auto page = html::extract(html::document_kind::html, bytes, base);
  for (const auto& link : page.links) {
    const auto place = link.element + " " + link.attribute;
    if ((place != "a href" && place != "img src") || link.raw.starts_with('#')) continue;
    if (link.target && link.target->is_http())
      found.push_back({link.target->without_fragment(), from.level - 1, from.page.href()});
    else
      std::printf("Not http: %s\n", link.raw.c_str());
  }
  return found;
}

std::vector<item> check(http::client& web, const item& i) try {
  auto page = await(web.get(i.page));
  if (page.status() != 200) throw error{errc::protocol, "not 200"};
  if (i.level == 0) return {};
  const auto type = page.fields().get("Content-Type").value_or("");
  if (html::media_of(type).kind == html::document_kind::html)
    return links_of(i, page.final_url(), await(page.text()));
  std::printf("Not html: %s\n", i.page.href().c_str());
  return {};
} catch (const error&) {
  std::printf("Broken link %s -> %s\n", i.source.c_str(), i.page.href().c_str());
  return {};
}

void work(http::client& web, channel<item>& todo, channel<std::vector<item>>& found) {
  while (auto next = await(todo.receive())) await(found.send(check(web, *next)));
}

void check_all(item start) {
  http::client web;
  channel<item> todo{unbounded};  // in a bounded one, we and the workers would wait for each other
  channel<std::vector<item>> found;
  for (int i = 0; i < 10; ++i) spawn(work, std::ref(web), std::ref(todo), std::ref(found));
  std::set<url> seen{start.page};
  await(todo.send(std::move(start)));
  for (int unanswered = 1; unanswered > 0; --unanswered) {
    auto links = await(found.receive());
    for (auto& link : *links) {
      if (!seen.insert(link.page).second) continue;
      await(todo.send(std::move(link)));
      ++unanswered;
    }
  }
  todo.close();
}

int main(int argc, char** argv) {
  const auto start = url::parse(argc > 1 ? argv[1] : "");
  if (!start) return std::puts("usage: link_checker/channels URL [LEVEL]"), 2;
  run([&] { check_all({*start, argc > 2 ? std::atoi(argv[2]) : 2, "start"}); });
}
