// Crawls of sites that are too much: a million URLs, pages without end, bodies without end, hosts
// that want to be left alone. Each ends within its bounds.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/check/crawl.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using http::server_request;
using http::server_response;

server_response page(std::string text) {
  return server_response{}.field("Content-Type", "text/html").body(std::move(text));
}

/// Nothing but links.
std::string links(std::string_view to, std::size_t n, std::string_view suffix = "") {
  std::string text = "<!DOCTYPE html><title>links</title>";
  for (std::size_t i = 0; i < n; ++i) {
    text.append("<a href=\"").append(to).append(std::to_string(i)).append(suffix);
    text.append("\">a link</a>\n");
  }
  return text;
}

/// What a crawl told, as numbers; `each` sees all of it.
struct crawled {
  std::map<std::string, std::size_t> verdicts;  // by "ok", or the kind of the failure
  std::map<crawl_skip_reason, std::size_t> skipped;
  std::size_t broken = 0;
  std::function<void(const crawl_event&)> each;
  crawl_report report;

  task<> take(crawl_event e) {
    if (each) each(e);
    if (const auto* v = std::get_if<crawl_verdict>(&e)) {
      ++verdicts[v->result.ok ? "ok" : std::string{to_string(v->result.error->kind())}];
    }
    if (const auto* s = std::get_if<crawl_skipped_link>(&e)) ++skipped[s->why];
    if (std::holds_alternative<crawl_broken_link>(e)) ++broken;
    co_return;
  }
};

task<> crawl_into(std::vector<std::string> starts, crawled* to, crawl_options o) {
  auto sink = [to](crawl_event e) -> task<> { return to->take(std::move(e)); };
  auto crawling = crawl(std::move(starts), sink, std::move(o));
  to->report = co_await std::move(crawling);
}

/// Crawls what `answer` says, over loopback; the paths are of its server.
void crawl_served(http::request_handler answer, const std::string& start, crawled& to,
                  crawl_options o) {
  net::tcp_listener at{net::endpoint{net::ip_address::loopback_v4(), 0}};
  http::server server{std::move(answer)};
  auto body = [&](nursery& n) -> task<> {
    n.start([&] { return server.serve(at); });
    auto crawling =
        crawl_into({"http://" + at.local_endpoint().to_string() + start}, &to, std::move(o));
    co_await std::move(crawling);
    n.cancel();
  };
  run(with_nursery(std::ref(body)));
}

crawl_options without_robots() {
  crawl_options o;
  o.robots(false);
  o.check().concurrency(64);
  return o;
}

// ---- memory ----

/// Of this process, in bytes: "VmRSS", or "VmHWM", the most since forget_peak.
std::size_t memory(std::string_view what) {
  std::ifstream in{"/proc/self/status"};
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(what)) return std::stoull(line.substr(what.size() + 1)) * 1024;
  }
  return 0;
}
void forget_peak() { std::ofstream{"/proc/self/clear_refs"} << "5"; }

TEST(crawl_limits, memory_grows_by_less_than_300_bytes_a_url) {
  constexpr std::size_t lists = test::sanitized ? 10 : 40;
  std::size_t requests = 0;
  auto answer = [&](server_request& r) -> task<server_response> {
    ++requests;
    const std::string_view path = r.path();
    if (path == "/") co_return page(links("/list/", lists));
    if (path.starts_with("/list/")) {
      const std::string number{path.substr(6)};
      co_return page(links("/leaves-of-list-" + number + "/an-entry-of-some-length-", 1000));
    }
    co_return page("<title>A leaf</title>");
  };
  crawled all;
  auto options = without_robots();
  options.frontier(frontier_options{}.traps([] {
    trap_limits t;
    t.alike = 10'000'000;
    return t;
  }()));
  forget_peak();
  const auto before = memory("VmRSS");
  crawl_served(answer, "/", all, std::move(options));
  const auto grown = memory("VmHWM") - before;
  constexpr std::size_t urls = lists * 1001 + 1;
  EXPECT_EQ(all.report.urls, urls);
  EXPECT_EQ(all.report.pages, urls);
  EXPECT_EQ(requests, urls);
  RecordProperty("bytes_a_url", static_cast<int>(grown / urls));
  // What does not grow with the URLs (connections, pages under way) is in the 6 MiB.
  if (!test::sanitized) {
    EXPECT_LT(grown, urls * 300 + (std::size_t{6} << 20U));
  }
}

// ---- pages with many links ----

duration processor_time() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

/// What a crawl of a page with so many links takes of the processor: the lesser of two.
void cost_of_links(std::size_t n, bool one_url, duration& least) {
  const std::string text = one_url ? links("/gone?#", n) : links("/page-", n);
  auto answer = [&](server_request& r) -> task<server_response> {
    if (r.path() == "/") co_return page(text);
    co_return server_response{404};
  };
  least = duration::max();
  for (int i = 0; i < 2; ++i) {
    auto options = without_robots();
    if (!one_url) options.frontier(frontier_options{}.limit(1));
    options.check().method(check_method::get);
    crawled all;
    const auto begun = processor_time();
    crawl_served(answer, "/", all, std::move(options));
    least = std::min(least, processor_time() - begun);
    EXPECT_EQ(all.report.links, n);
    if (one_url) {
      ASSERT_EQ(all.report.broken.size(), 1u);
      EXPECT_EQ(all.report.broken[0].linked, n);
    } else {
      EXPECT_EQ(all.report.skipped[static_cast<std::size_t>(crawl_skip_reason::limit)], n);
    }
  }
}

TEST(crawl_limits, a_page_takes_linear_time_for_its_links) {
  constexpr std::size_t n = test::sanitized ? 1'000 : 10'000;
  duration quarter{}, whole{};
  cost_of_links(n, false, quarter);
  cost_of_links(4 * n, false, whole);
  EXPECT_LT(whole, quarter * 9) << "quadratic would be 16";
}

TEST(crawl_limits, so_it_does_for_many_links_to_one_broken_url) {
  constexpr std::size_t n = test::sanitized ? 1'000 : 10'000;
  duration quarter{}, whole{};
  cost_of_links(n, true, quarter);
  cost_of_links(4 * n, true, whole);
  EXPECT_LT(whole, quarter * 9) << "quadratic would be 16";
}

// ---- bodies without end ----

TEST(crawl_limits, a_body_of_a_gigabyte_is_cut_at_the_cap) {
  constexpr std::uint64_t whole = std::uint64_t{1} << 30U;
  std::uint64_t sent = 0;
  int requests = 0;
  auto answer = [&](server_request& r) -> task<server_response> {
    if (r.path() == "/") co_return page("<a href=big>big</a>");
    ++requests;
    auto source = [&](http::body_writer& to) -> task<> {
      const std::string piece(64 * 1024, ' ');
      while (sent < whole) {
        auto writing = to.write(piece);
        co_await std::move(writing);
        sent += piece.size();
      }
    };
    co_return server_response{}.stream(source, "text/html").length(whole);
  };
  crawled all;
  forget_peak();
  const auto before = memory("VmRSS");
  crawl_served(answer, "/", all, without_robots());
  EXPECT_EQ(all.verdicts["too_large"], 1u);
  EXPECT_EQ(all.broken, 1u);
  EXPECT_EQ(requests, 1);
  EXPECT_LT(sent, std::uint64_t{32} << 20U);  // of which 16 MiB are read
  EXPECT_LT(memory("VmHWM") - before, std::size_t{100} << 20U);
}

std::string gzipped_zeros(std::size_t n) {
  z_stream z{};
  deflateInit2(&z, 9, Z_DEFLATED, 31, 9, Z_DEFAULT_STRATEGY);
  std::string out(n / 500 + 1024, '\0');
  const std::string piece(1 << 20U, '\0');
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  for (std::size_t done = 0; done < n; done += piece.size()) {
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    z.avail_in = static_cast<uInt>(piece.size());
    deflate(&z, done + piece.size() < n ? Z_NO_FLUSH : Z_FINISH);
  }
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

TEST(crawl_limits, a_gzip_bomb_is_cut_at_the_cap) {
  const std::string bomb = gzipped_zeros(std::size_t{64} << 20U);
  ASSERT_LT(bomb.size(), 300'000u);
  int requests = 0;
  auto answer = [&](server_request& r) -> task<server_response> {
    if (r.path() == "/") co_return page("<a href=bomb>bomb</a>");
    ++requests;
    co_return page(bomb).field("Content-Encoding", "gzip");
  };
  crawled all;
  forget_peak();
  const auto before = memory("VmRSS");
  crawl_served(answer, "/", all, without_robots());
  EXPECT_EQ(all.verdicts["too_large"], 1u);
  EXPECT_EQ(requests, 1);
  EXPECT_LT(memory("VmHWM") - before, std::size_t{100} << 20U);
}

// ---- hosts that want to be left alone ----

TEST(crawl_limits, a_host_that_answers_429_slows_down_itself_alone) {
  testing::simulation sim{1};
  struct asked {
    std::string url;
    duration at;
  };
  std::vector<asked> requests;
  std::set<std::string> refused;
  const auto begun = sim.loop().now();
  auto serve = [&](std::string host) -> task<> {
    http::server s{[&, host](server_request& r) -> task<server_response> {
      const std::string path{r.path()};
      requests.push_back({host + path, sim.loop().now() - begun});
      // "busy" takes three requests, and then none for a minute.
      if (host == "busy.test" && sim.loop().now() - begun < 30s && requests.size() > 0) {
        if (refused.insert(path).second && refused.size() > 3) {
          co_return server_response{429}.field("Retry-After", "30");
        }
      }
      co_await sleep_for(10ms);
      if (path == "/") co_return page(links("/page-", 100));
      co_return page("<title>A leaf</title>");
    }};
    net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 80}};
    auto serving = s.serve(l);
    co_await std::move(serving);
  };
  crawled all;
  std::map<std::string, duration> last;  // verdict, by host
  all.each = [&](const crawl_event& e) {
    if (const auto* v = std::get_if<crawl_verdict>(&e)) {
      last[std::string{url::parse(v->result.url)->host()}] = sim.loop().now() - begun;
    }
  };
  sim.run([&]() -> task<> {
    auto body = [&](nursery& n) -> task<> {
      auto& net = sim.network();
      net.host("busy.test").start(n, serve, std::string{"busy.test"});
      net.host("free.test").start(n, serve, std::string{"free.test"});
      co_await sleep_for(1ms);
      auto options = without_robots();
      options.limiter(limiter_options{}.per_host(2));
      std::vector<std::string> starts{"http://busy.test/", "http://free.test/"};
      auto crawling =
          net.host("client").run(crawl_into, std::move(starts), &all, std::move(options));
      co_await std::move(crawling);
      n.cancel();
    };
    auto running = with_nursery(std::ref(body));
    co_await std::move(running);
  });
  EXPECT_EQ(all.verdicts["ok"], 202u);
  EXPECT_LT(last["free.test"], 10s);
  EXPECT_GT(last["busy.test"], 30s);
  // Of the busy host nothing is asked in its pause, but for what was under way.
  const auto in_pause = std::ranges::count_if(requests, [](const asked& a) {
    return a.url.starts_with("busy.test") && a.at > 5s && a.at < 29s;
  });
  EXPECT_EQ(in_pause, 0);
  EXPECT_LE(refused.size(), 3u + 2u);
  // Each page was given once; what was refused was asked again.
  EXPECT_LE(requests.size(), 202u + 2u);
}

// ---- parts without end ----

struct endless {
  const char* name;
  std::function<std::string(std::string_view target)> next;  // a relative link
  std::size_t most;                                          // requests
};

std::string letters(std::size_t n) {
  std::string text;
  for (; n > 0; n /= 26) text += static_cast<char>('a' + n % 26);
  return "x" + text;
}

class crawl_trap : public ::testing::TestWithParam<endless> {};

TEST_P(crawl_trap, ends_within_its_budget) {
  std::size_t requests = 0;
  auto answer = [&](server_request& r) -> task<server_response> {
    ++requests;
    co_return page("<a href='" + GetParam().next(r.target()) + "'>on and on</a>");
  };
  crawled all;
  crawl_served(answer, "/", all, without_robots());
  EXPECT_EQ(requests, GetParam().most);
  EXPECT_EQ(all.report.pages, requests);
  EXPECT_EQ(all.skipped[crawl_skip_reason::trap], 1u);
  EXPECT_TRUE(all.report.broken.empty());
}

std::size_t segments_of(std::string_view target) {
  return static_cast<std::size_t>(std::ranges::count(target, '/'));
}

INSTANTIATE_TEST_SUITE_P(
    all_kinds, crawl_trap,
    ::testing::Values(
        endless{"the_same_segment", [](auto) { return "again/"; }, 4},
        endless{"two_segments", [](auto at) { return segments_of(at) % 2 == 0 ? "one/" : "two/"; },
                8},
        endless{"new_segments", [](auto at) { return letters(segments_of(at)) + "/"; }, 41},
        endless{"new_parameters",
                [](auto at) {
                  const std::string q{at.substr(std::min(at.find('?') + 1, at.size()))};
                  return at.find('?') == at.npos ? "?x=1"
                                                 : "?" + q + "&" + letters(q.size()) + "=1";
                },
                65},
        endless{"the_same_parameter",
                [](auto at) {
                  const std::string q{at.substr(std::min(at.find('?') + 1, at.size()))};
                  return at.find('?') == at.npos ? "?x=1"
                                                 : "?" + q + "&x=" + std::to_string(q.size());
                },
                9},
        endless{"longer_and_longer",
                [](auto at) { return "/" + std::string(at.size() + 999, 'x'); }, 9},
        endless{"deeper_and_deeper", [n = std::size_t{0}](auto) mutable { return letters(++n); },
                1001}),
    [](const auto& one) { return std::string{one.param.name}; });

TEST(crawl_limits, redirects_without_end_end) {
  std::size_t requests = 0;
  auto answer = [&](server_request& r) -> task<server_response> {
    ++requests;
    if (r.path() == "/") co_return page("<a href=/hop?x=1>on and on</a>");
    co_return server_response{302}.field("Location", "/hop?x=" + std::to_string(requests));
  };
  crawled all;
  crawl_served(answer, "/", all, without_robots());
  EXPECT_LE(requests, 100u);
  EXPECT_FALSE(all.report.broken.empty());
}

}  // namespace
}  // namespace oneloop
