// `oneloop crawl --state`, killed again and again: the same command goes on, nothing that was told
// is lost or taken back, and only what was under way is asked for once more.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "oneloop/base/sanitized_test.hpp"
#include "planted_site.hpp"
#include "tool.hpp"

namespace tool_test {
namespace {

using nlohmann::json;
using oneloop::planted::canonical;
namespace net = oneloop::net;
namespace planted = oneloop::planted;

/// A planted site over loopback, served by a thread of its own. The ports outlive the servers.
class served_site {
 public:
  explicit served_site(std::uint64_t seed)
      : site_{seed, {name_of(home_), name_of(other_)}, shape()} {}

  [[nodiscard]] const planted::site& site() const { return site_; }

  class service {
   public:
    explicit service(served_site& of) : of_{of}, server_{of.site_} {
      server_.delay(3ms);
      std::promise<oneloop::cancel_handle> ready;
      auto handle = ready.get_future();
      thread_ = std::thread{[this, &ready] { oneloop::run(serve(ready)); }};
      stop_ = handle.get();
    }
    ~service() {
      stop_.cancel();
      thread_.join();
    }
    service(const service&) = delete;
    service& operator=(const service&) = delete;
    [[nodiscard]] const planted::server& server() const { return server_; }

   private:
    oneloop::task<> serve(std::promise<oneloop::cancel_handle>& ready) {
      co_await oneloop::with_scope(
          oneloop::scope_options{}, [&](oneloop::cancel_scope& s) -> oneloop::task<> {
            ready.set_value(s.handle());
            co_await oneloop::with_nursery([&](oneloop::nursery& n) -> oneloop::task<> {
              n.start([this] { return server_.serve(of_.home_, 0); });
              n.start([this] { return server_.serve(of_.other_, 1); });
              co_return;
            });
          });
    }
    served_site& of_;
    planted::server server_;
    oneloop::cancel_handle stop_;
    std::thread thread_;
  };

 private:
  static std::string name_of(const net::tcp_listener& l) { return l.local_endpoint().to_string(); }
  static planted::shape shape() {
    planted::shape s;
    s.pages = 60;
    s.faults = 30;
    s.slow = s.unnamed = s.traps = false;
    return s;
  }
  net::tcp_listener home_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  net::tcp_listener other_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  planted::site site_;
};

constexpr int at_a_time = 4;
/// Under a sanitizer everything takes longer, and fewer kills have to do.
constexpr int slowness = oneloop::test::sanitized ? 10 : 1;
constexpr int enough_kills = oneloop::test::sanitized ? 8 : 50;

std::vector<std::string> crawl_command(const planted::site& s, std::vector<std::string> more) {
  std::vector<std::string> all{"--fragments",   "-c",  std::to_string(at_a_time),
                               "--retry-delay", "1ms", s.start()};
  all.insert(all.end(), more.begin(), more.end());
  return command_of("crawl", std::move(all));
}

/// One spelling of the URLs in an item: which one a report has depends on the page that came first.
void respell(json& item) {
  for (const char* key : {"url", "from", "to", "page"}) {
    if (item.contains(key)) item[key] = canonical(item[key].get<std::string>());
  }
}

/// A report but for what differs between two crawls of the same site: times, orders and spellings.
json comparable(const std::string& text) {
  json r = json::parse(text);
  for (const char* key : {"elapsed_ms", "resumed", "hosts"}) r.erase(key);
  for (const char* key : {"broken", "fragments", "redirects"}) {
    for (auto& item : r[key]) {
      respell(item);
      for (auto& from : item["sources"]) respell(from);
    }
    for (auto& item : r[key]) std::sort(item["sources"].begin(), item["sources"].end());
    std::sort(r[key].begin(), r[key].end());
  }
  return r;
}

/// The whole lines of NDJSON.
std::vector<json> objects_of(const std::string& text) {
  std::vector<json> all;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\n', at);
    if (end == text.npos) break;
    all.push_back(json::parse(text.substr(at, end - at)));
    at = end + 1;
  }
  return all;
}

class state_file {
 public:
  state_file() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "oneloop-crawl-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~state_file() { std::filesystem::remove_all(directory_); }
  state_file(const state_file&) = delete;
  state_file& operator=(const state_file&) = delete;
  [[nodiscard]] std::string path() const { return (directory_ / "state").string(); }

 private:
  std::filesystem::path directory_;
};

struct killed_crawl {
  int kills = 0;
  std::map<std::string, bool> verdicts;                  // that were told, by URL: ok
  std::set<std::pair<std::string, std::string>> broken;  // links that were told: URL and place
  std::string report;
};

void note(const json& line, killed_crawl& all) {
  const auto url = canonical(line.value("url", ""));
  if (line["type"] == "verdict") {
    EXPECT_TRUE(all.verdicts.emplace(url, line["ok"].get<bool>()).second) << "told twice: " << url;
  } else if (line["type"] == "broken") {
    all.broken.emplace(url, line["source"].dump());
  }
}

/// Runs the command, kills it, and so on until it comes to its end; then asks for the report.
void crawl_with_kills(const served_site& s, const planted::server& server, std::mt19937_64& random,
                      killed_crawl& all) {
  const state_file state;
  std::set<std::string> done;  // URLs that had been told before the run
  bool ended = false;
  unsigned in_vain = 0;  // runs in a row that told nothing new
  while (!ended) {
    const auto before = server.log().size();
    process p{crawl_command(s.site(), {"--state", state.path(), "--format", "ndjson", "-v"})};
    // From the first moment to about a third of the whole; later, where the machine is so busy that
    // nobody gets on.
    p.listen(slowness * std::chrono::milliseconds{5 + random() % (60 + 20 * in_vain)});
    p.signal(SIGKILL);
    const int status = p.wait();
    ended = status != -SIGKILL;
    if (ended) {
      EXPECT_EQ(status, 1) << p.err;
    } else {
      ++all.kills;
    }
    const auto log = server.log();
    for (std::size_t i = before; i < log.size(); ++i) {
      const auto url = log[i].substr(log[i].find(' ') + 1);
      EXPECT_FALSE(done.contains(url)) << "asked again, and was done: " << log[i];
    }
    for (const auto& line : objects_of(p.out)) note(line, all);
    in_vain = all.verdicts.size() == done.size() ? in_vain + 1 : 0;
    for (const auto& [url, ok] : all.verdicts) done.insert(url);
    ASSERT_LT(all.kills, 1000) << "it does not get on: " << p.err;
  }
  const auto asked = server.log().size();
  const auto o = outcome_of(crawl_command(s.site(), {"--state", state.path(), "--format", "json"}));
  EXPECT_EQ(o.status, 1) << o.err;
  const auto log = server.log();
  for (std::size_t i = asked; i < log.size(); ++i) {
    // Each run asks what it may ask for, if there is anything that it may not have asked for
    // before.
    if (log[i].ends_with("/robots.txt")) continue;
    ADD_FAILURE() << "a crawl that is complete asks for " << log[i];
  }
  all.report = o.out;
}

TEST(crawl_kill, fifty_kills_lose_nothing_and_ask_for_nothing_twice) {
  std::random_device device;
  const std::uint64_t seed = device();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random{seed};
  int kills = 0;
  for (std::uint64_t which = 1; kills < enough_kills && !testing::Test::HasFailure(); ++which) {
    SCOPED_TRACE("site " + std::to_string(which));
    served_site s{which};
    std::string whole;
    {
      const served_site::service undisturbed{s};
      const auto o = outcome_of(crawl_command(s.site(), {"--format", "json"}));
      ASSERT_EQ(o.status, 1) << o.err;
      whole = o.out;
    }
    const served_site::service disturbed{s};
    killed_crawl all;
    crawl_with_kills(s, disturbed.server(), random, all);
    if (testing::Test::HasFailure()) break;
    kills += all.kills;
    EXPECT_EQ(comparable(all.report), comparable(whole));
    // What was told is what the report says.
    std::set<std::string> bad;
    std::set<std::pair<std::string, std::string>> links;
    const json report = json::parse(all.report);
    for (const auto& b : report["broken"]) {
      const auto url = canonical(b["url"].get<std::string>());
      bad.insert(url);
      for (const auto& from : b["sources"]) links.emplace(url, from.dump());
    }
    for (const auto& [url, ok] : all.verdicts) {
      // What only redirects lead to is told of with the links that lead to those.
      const bool linked =
          std::ranges::any_of(all.broken, [&](const auto& link) { return link.first == url; });
      EXPECT_EQ(bad.contains(url), !ok && linked) << url;
    }
    for (const auto& link : all.broken) {
      EXPECT_TRUE(links.contains(link)) << link.first << " " << link.second;
    }
    // Each kill costs what was under way, and no more.
    int again = 0;
    for (const auto& [url, count] : disturbed.server().counted()) {
      if (!url.ends_with("/robots.txt")) again += std::max(0, count.successes - 1);
    }
    EXPECT_LE(again, all.kills * at_a_time);
  }
}

}  // namespace
}  // namespace tool_test
