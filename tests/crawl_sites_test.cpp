// Crawls of random sites with planted faults: what is told is the truth, all of it and each thing
// once; and nothing is asked for that need not be.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/check/crawl.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"
#include "planted_site.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using planted::canonical;
using planted::link_truth_kind;
using planted::url_truth;

crawl_options options_for(const planted::shape& s) {
  trap_limits traps;
  traps.alike = static_cast<std::size_t>(s.alike);
  traps.alike_with_query = static_cast<std::size_t>(s.alike_query);
  crawl_options o;
  o.check().concurrency(16).timeout(3s).retries(s.retries).backoff(20ms, 100ms);
  o.frontier(frontier_options{}.traps(traps)).fragments(true).max_page(s.cap);
  return o;
}

/// What a crawl told.
struct told {
  std::vector<crawl_verdict> verdicts;
  std::vector<crawl_broken_link> broken;
  std::vector<crawl_broken_fragment> fragments;
  std::vector<crawl_skipped_link> skipped;
  std::vector<crawl_not_read> not_read;
  std::vector<std::string> notes;
  crawl_report report;

  task<> take(crawl_event e) {
    if (auto* v = std::get_if<crawl_verdict>(&e)) verdicts.push_back(std::move(*v));
    if (auto* b = std::get_if<crawl_broken_link>(&e)) broken.push_back(std::move(*b));
    if (auto* f = std::get_if<crawl_broken_fragment>(&e)) fragments.push_back(std::move(*f));
    if (auto* s = std::get_if<crawl_skipped_link>(&e)) skipped.push_back(std::move(*s));
    if (auto* n = std::get_if<crawl_not_read>(&e)) not_read.push_back(std::move(*n));
    if (auto* n = std::get_if<crawl_note>(&e)) notes.push_back(std::move(n->text));
    co_return;
  }
};

task<> crawl_it(std::string start, told* to, crawl_options o) {
  auto sink = [to](crawl_event e) -> task<> { return to->take(std::move(e)); };
  std::vector<std::string> starts{std::move(start)};
  auto crawling = crawl(std::move(starts), sink, std::move(o));
  to->report = co_await std::move(crawling);
}

// ---- held against the truth ----

std::string place(const std::string& page, std::uint32_t line, std::uint32_t column) {
  return page + ":" + std::to_string(line) + ":" + std::to_string(column);
}
std::string place(const crawl_source& s) {
  return place(canonical(s.page), s.place.line, s.place.column);
}

class comparison {
 public:
  comparison(const planted::site& s, const planted::server& server, const told& t)
      : site_{s}, server_{server}, told_{t} {
    for (const auto& l : s.links()) links_[place(l.page, l.line, l.column)] = &l;
  }

  void run() {
    verdicts();
    broken();
    fragments();
    skipped();
    requests();
    report();
  }

 private:
  [[nodiscard]] const url_truth* truth(const std::string& url) const {
    const auto found = site_.urls().find(url);
    return found == site_.urls().end() ? nullptr : &found->second;
  }
  [[nodiscard]] const planted::link_truth* link_at(const std::string& where) const {
    const auto found = links_.find(where);
    return found == links_.end() ? nullptr : found->second;
  }
  /// Whether a page says so; else it is a hop to somewhere.
  [[nodiscard]] bool linked(const std::string& url) const {
    return std::ranges::any_of(site_.links(), [&](const auto& l) { return l.url == url; });
  }
  /// Where what happens is not laid down: in the parts without end, and behind them.
  [[nodiscard]] bool open(const crawl_source& s, const std::string& url) const {
    const auto* of_page = truth(canonical(s.page));
    const auto* of_url = truth(url);
    const auto* l = link_at(place(s));
    return site_.zone_of(canonical(s.page)) != nullptr || (of_page && !of_page->sure) ||
           (of_url && !of_url->sure) || (l && l->kind == link_truth_kind::unsure);
  }

  void verdicts() const {
    std::set<std::string> seen;
    for (const auto& v : told_.verdicts) {
      const std::string url = canonical(v.result.url);
      EXPECT_TRUE(seen.insert(url).second) << "two verdicts: " << url;
      if (site_.zone_of(url) != nullptr) continue;
      const auto* t = truth(url);
      if (t == nullptr) {
        ADD_FAILURE() << "a verdict on what is not there: " << url;
        continue;
      }
      if (!t->sure) continue;
      EXPECT_EQ(v.result.ok, t->ok)
          << url << ": " << (v.result.ok ? "OK" : v.result.error->message());
      EXPECT_EQ(v.internal, t->internal) << url;
      if (t->redirect_status == 0) {
        EXPECT_EQ(v.read, t->document) << url;
      }
      if (!v.result.ok && !t->ok) expect_failure(url, *t, *v.result.error, v.result.status);
    }
    for (const auto& [url, t] : site_.urls()) {
      if (t.sure) {
        EXPECT_TRUE(seen.contains(url)) << "no verdict: " << url;
      }
    }
  }

  static void expect_failure(const std::string& what, const url_truth& t, const check_error& e,
                             int status) {
    EXPECT_EQ(to_string(e.kind()), to_string(*t.kind)) << what << ": " << e.message();
    if (t.status) {
      EXPECT_EQ(status, *t.status) << what << ": " << e.message();
    }
  }

  void broken() const {
    std::set<std::string> seen;
    for (const auto& b : told_.broken) {
      const std::string url = canonical(b.url);
      const std::string where = place(b.source);
      EXPECT_TRUE(seen.insert(where + " " + url).second)
          << "told twice: " << where << " -> " << url;
      if (open(b.source, url)) continue;
      const auto* t = truth(url);
      if (b.source.place.element == "redirect") {
        EXPECT_TRUE(t && !t->ok) << where << " redirects to " << url;
        continue;
      }
      const auto* l = link_at(where);
      if (l == nullptr || l->url != url || t == nullptr || t->ok) {
        ADD_FAILURE() << "not broken: " << where << " -> " << url << ": " << b.error.message();
        continue;
      }
      expect_failure(where + " -> " + url, *t, b.error, b.status);
      expect_place(b.source, *l);
    }
    for (const auto& [where, l] : links_) {
      const auto* t = truth(l->url);
      if (t == nullptr || t->ok || !t->sure || l->kind == link_truth_kind::unsure) continue;
      EXPECT_TRUE(seen.contains(where + " " + l->url)) << "not told: " << where << " -> " << l->url;
    }
  }

  static void expect_place(const crawl_source& s, const planted::link_truth& l) {
    if (!l.element.empty()) {
      EXPECT_EQ(s.place.element, l.element) << place(s);
    }
    if (l.text) {
      EXPECT_EQ(s.place.text, *l.text) << place(s);
    }
  }

  void fragments() const {
    std::set<std::string> seen;
    for (const auto& f : told_.fragments) {
      const std::string url = canonical(f.url);
      const std::string where = place(f.source);
      EXPECT_TRUE(seen.insert(where).second) << "told twice: " << where << " #" << f.fragment;
      const auto* l = link_at(where);
      if (l == nullptr || l->url != url || l->fragment != f.fragment || l->fragment.empty()) {
        ADD_FAILURE() << "not missing: " << where << " -> " << url << "#" << f.fragment;
        continue;
      }
      EXPECT_EQ(!f.hint.empty(), l->kind == link_truth_kind::other_case)
          << f.fragment << ": " << f.hint;
      expect_place(f.source, *l);
    }
    for (const auto& [where, l] : links_) {
      if (l->fragment.empty()) continue;
      EXPECT_TRUE(seen.contains(where))
          << "not told: " << where << " -> " << l->url << "#" << l->fragment;
    }
  }

  void skipped() {
    std::set<std::string> seen;
    std::map<const planted::zone*, int> traps;
    for (const auto& s : told_.skipped) {
      const std::string where = place(s.source);
      EXPECT_TRUE(seen.insert(where).second) << "told twice: " << where << " -> " << s.url;
      if (const auto* z = site_.zone_of(canonical(s.source.page));
          z != nullptr && s.why == crawl_skip_reason::trap) {
        ++traps[z];
        continue;
      }
      if (open(s.source, canonical(s.url))) continue;
      const auto* l = link_at(where);
      EXPECT_EQ(to_string(s.why), l == nullptr ? "nothing" : expected_skip(l->kind))
          << where << " -> " << s.url;
    }
    for (const auto& [where, l] : links_) {
      if (expected_skip(l->kind) == "nothing") continue;
      EXPECT_TRUE(seen.contains(where)) << "not told: " << where << " -> " << l->url;
    }
    for (const auto& z : site_.zones()) {
      if (z.skips) {
        EXPECT_GT(traps[&z], 0) << "nothing skipped in " << z.prefix;
      }
    }
  }
  static std::string_view expected_skip(link_truth_kind k) {
    switch (k) {
      case link_truth_kind::scheme: return "scheme";
      case link_truth_kind::mail: return "mail";
      case link_truth_kind::telephone: return "telephone";
      case link_truth_kind::robots: return "robots";
      default: return "nothing";
    }
  }

  void requests() const {
    std::map<const planted::zone*, int> in_zones;
    for (const auto& [url, count] : server_.counted()) {
      if (url.ends_with("/robots.txt")) {
        EXPECT_EQ(count.all(), 1) << url;
        continue;
      }
      if (const auto* z = site_.zone_of(url)) {
        ++in_zones[z];
        EXPECT_EQ(count.all(), 1) << url;
        continue;
      }
      const auto* t = truth(url);
      if (t == nullptr) {
        ADD_FAILURE() << "need not be asked for: " << url;
        continue;
      }
      EXPECT_EQ(count.successes, t->successes)
          << url << ": " << count.head << " HEAD, " << count.get << " GET";
      EXPECT_LE(count.failed_head, t->failed_heads) << url;
      EXPECT_LE(count.failed_get, t->failed_gets) << url;
      EXPECT_GE(count.failed_head + count.failed_get, t->least_failed) << url;
    }
    for (const auto& [url, t] : site_.urls()) {
      if (t.asked) {
        EXPECT_TRUE(server_.counted().contains(url)) << "not asked for: " << url;
      }
    }
    for (const auto& z : site_.zones()) {
      EXPECT_GE(in_zones[&z], z.least) << z.prefix;
      EXPECT_LE(in_zones[&z], z.most) << z.prefix;
    }
  }

  void report() const {
    const auto& r = told_.report;
    EXPECT_EQ(r.urls, told_.verdicts.size());
    EXPECT_EQ(r.fragments.size(), told_.fragments.size());
    std::uint64_t read = 0, not_read = told_.not_read.size(), links = 0;
    std::map<std::string, std::set<std::string>> broken;  // and where they are linked
    for (const auto& v : told_.verdicts) {
      read += v.read ? 1 : 0;
      links += v.links;
    }
    for (const auto& b : told_.broken) broken[canonical(b.url)].insert(place(b.source));
    EXPECT_EQ(r.pages, read);
    EXPECT_EQ(r.links, links);
    EXPECT_EQ(r.not_read, not_read);
    std::map<std::string, std::set<std::string>> in_report;
    for (const auto& b : r.broken) {
      auto& places = in_report[canonical(b.url)];
      for (const auto& s : b.sources) places.insert(place(s));
      EXPECT_EQ(b.linked, b.sources.size()) << b.url;
    }
    EXPECT_EQ(in_report, broken);
    std::map<std::string, const crawl_redirect*> redirects;
    for (const auto& one : r.redirects) redirects[canonical(one.from)] = &one;
    for (const auto& [url, t] : site_.urls()) {
      if (t.redirect_status == 0 || !t.sure || !t.ok || !linked(url)) continue;
      const auto found = redirects.find(url);
      if (found == redirects.end()) {
        ADD_FAILURE() << "a redirect that is not in the report: " << url;
        continue;
      }
      EXPECT_EQ(found->second->status, t.redirect_status) << url;
      EXPECT_EQ(canonical(found->second->to), t.redirect) << url;
    }
    std::array<std::uint64_t, crawl_skip_reasons> counted{};
    for (const auto& s : told_.skipped) ++counted[static_cast<std::size_t>(s.why)];
    for (std::size_t i = 0; i < counted.size(); ++i) {
      const auto why = static_cast<crawl_skip_reason>(i);
      EXPECT_EQ(r.skipped[i], counted[i]) << to_string(why);
    }
  }

  const planted::site& site_;
  const planted::server& server_;
  const told& told_;
  std::map<std::string, const planted::link_truth*> links_;
};

std::string described(const planted::site& s) {
  std::string all = "planted:";
  for (const auto& p : s.planted()) all.append(" ").append(p).append(",");
  return all;
}

// ---- in memory ----

void crawl_simulated(std::uint64_t seed) {
  SCOPED_TRACE(testing::how_to_replay(seed));
  planted::shape shape;
  shape.refused = "site.test:81";
  shape.pages = 4 + static_cast<int>(seed % 20);
  const planted::site site{seed, {"site.test", "other.test"}, shape};
  SCOPED_TRACE(described(site));
  planted::server server{site};
  told heard;
  testing::simulation sim{seed};
  auto serve = [&](int host) -> task<> {
    net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 80}};
    auto serving = server.serve(l, host);
    co_await std::move(serving);
  };
  sim.run([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      auto& net = sim.network();
      net.host("site.test").start(n, serve, 0);
      net.host("other.test").start(n, serve, 1);
      co_await sleep_for(1ms);
      auto crawling = net.host("client").run(crawl_it, site.start(), &heard, options_for(shape));
      co_await std::move(crawling);
      n.cancel();
    };
    auto running = with_nursery(std::ref(body));
    co_await std::move(running);
  });
  comparison{site, server, heard}.run();
}

/// Ten sites each, so that they can be run beside each other.
class crawl_sites : public ::testing::TestWithParam<int> {};

TEST_P(crawl_sites, every_planted_fault_is_told_and_nothing_else) {
  if (const auto one = testing::seed_to_replay()) {
    crawl_simulated(*one);
    return;
  }
  for (int i = 1; i <= 10 && !HasFailure(); ++i) {
    crawl_simulated(static_cast<std::uint64_t>(GetParam() * 10 + i));
  }
}
INSTANTIATE_TEST_SUITE_P(in_memory, crawl_sites, ::testing::Range(0, 20));

// ---- over real sockets ----

void crawl_for_real(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  net::tcp_listener home{net::endpoint{net::ip_address::loopback_v4(), 0}};
  net::tcp_listener other{net::endpoint{net::ip_address::loopback_v4(), 0}};
  net::tcp_listener closed{net::endpoint{net::ip_address::loopback_v4(), 0}};
  const auto port = [](const net::tcp_listener& l) {
    return std::to_string(l.local_endpoint().port());
  };
  planted::shape shape;
  shape.slow = false;
  shape.unnamed = false;
  shape.refused = "127.0.0.1:" + port(closed);
  closed.close();
  const planted::site site{seed, {"127.0.0.1:" + port(home), "localhost:" + port(other)}, shape};
  SCOPED_TRACE(described(site));
  planted::server server{site};
  told heard;
  auto body = [&](nursery& n) -> task<> {
    n.start([&] { return server.serve(home, 0); });
    n.start([&] { return server.serve(other, 1); });
    auto options = options_for(shape);
    options.check().timeout(60s);
    auto crawling = crawl_it(site.start(), &heard, std::move(options));
    co_await std::move(crawling);
    n.cancel();
  };
  run(with_nursery(std::ref(body)));
  comparison{site, server, heard}.run();
}

class crawl_real_sites : public ::testing::TestWithParam<int> {};

TEST_P(crawl_real_sites, are_judged_the_same) {
  for (int i = 1; i <= 10 && !HasFailure(); ++i) {
    crawl_for_real(static_cast<std::uint64_t>(1000 + GetParam() * 10 + i));
  }
}
INSTANTIATE_TEST_SUITE_P(over_sockets, crawl_real_sites, ::testing::Range(0, 2));

}  // namespace
}  // namespace oneloop
