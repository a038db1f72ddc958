#include "oneloop/check/state.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/check/check_test.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

template <class Body>
void on_a_real_loop(Body body) {
  auto main = body();
  run(std::move(main));
}

class crawl_state_file : public ::testing::Test {
 protected:
  crawl_state_file() {
    std::string pattern = (std::filesystem::temp_directory_path() / "oneloop-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
  }
  ~crawl_state_file() override { std::filesystem::remove_all(folder); }
  [[nodiscard]] std::string file(const std::string& name = "s.db") const {
    return (folder / name).string();
  }
  /// Why the file is not opened.
  [[nodiscard]] std::string refused(const crawl_identity& run = {}) const {
    std::string why = "not at all";
    on_a_real_loop([&]() -> task<> {
      try {
        auto opening = crawl_state::open(file(), run);
        auto s = co_await std::move(opening);
        frontier f{frontier_options{}.recorded()};
        auto restoring = s.restore(f, [](const saved_verdict&) {});
        co_await std::move(restoring);
      } catch (const error& e) {
        why = e.what();
      }
    });
    return why;
  }
  std::filesystem::path folder;
};

check_result verdict(std::string text) {
  check_result r{std::move(text)};
  r.status = 404;
  r.attempts = 3;
  r.final_url = "http://a/final";
  r.redirects.push_back({301, "http://a/x", "http://a/final"});
  r.error.emplace(http::error_kind::status, "404 Not Found");
  r.warning = "expired";
  r.bytes = 1'000'000'000'000;
  r.times.total = 1500ms;
  r.times.reused = true;
  return r;
}

TEST_F(crawl_state_file, keeps_everything) {
  const crawl_identity same{{"start", "http://a/"}, {"level", "2"}};
  on_a_real_loop([&]() -> task<> {
    auto opening = crawl_state::open(file(), same);
    auto s = co_await std::move(opening);
    EXPECT_FALSE(s.resumed());
    frontier f{frontier_options{}.recorded().sources(2)};
    f.start(at("http://a/"));
    auto starting = s.save(f.changes());
    co_await std::move(starting);
    const auto root = *f.next();
    for (int i = 0; i < 3; ++i) {
      f.link(root, at("http://a/%7Ex#y"), {7, static_cast<std::uint32_t>(i), "Ünï'code", "a", "y"});
    }
    f.link(root, at("http://b/"));
    auto saving = s.save({root, verdict(f.said(root)), std::string("an\0chor", 7)}, f.changes());
    co_await std::move(saving);
    EXPECT_EQ(s.statistics().saved, 2u);
    auto closing = s.close();
    co_await std::move(closing);
  });
  on_a_real_loop([&]() -> task<> {
    auto opening = crawl_state::open(file(), same);
    auto s = co_await std::move(opening);
    EXPECT_TRUE(s.resumed());
    frontier f{frontier_options{}.recorded().sources(2)};
    std::vector<saved_verdict> seen;
    auto restoring = s.restore(f, [&](saved_verdict v) { seen.push_back(std::move(v)); });
    co_await std::move(restoring);
    EXPECT_EQ(seen.size(), 1u);
    const auto& v = seen.at(0);
    const auto expected = verdict("http://a/");
    EXPECT_EQ(v.id, 0u);
    EXPECT_EQ(v.more, std::string("an\0chor", 7));
    EXPECT_EQ(v.result.url, "http://a/");
    EXPECT_FALSE(v.result.ok);
    EXPECT_EQ(v.result.status, 404);
    EXPECT_EQ(v.result.attempts, 3);
    EXPECT_EQ(v.result.final_url, expected.final_url);
    EXPECT_EQ(v.result.redirects.at(0).to, "http://a/final");
    EXPECT_EQ(v.result.redirects.at(0).status, 301);
    EXPECT_EQ(v.result.error->message(), "404 Not Found");
    EXPECT_EQ(v.result.error->kind(), http::error_kind::status);
    EXPECT_EQ(v.result.warning, "expired");
    EXPECT_EQ(v.result.bytes, expected.bytes);
    EXPECT_EQ(v.result.times.total, 1500ms);
    EXPECT_TRUE(v.result.times.reused);
    const auto x = f.next();
    EXPECT_EQ(f.said(*x), "http://a/%7Ex");
    EXPECT_EQ(f.links_to(*x), 3u);
    auto asking = s.sources(*x);
    const auto sources = co_await std::move(asking);
    EXPECT_EQ(sources.size(), 2u);
    EXPECT_EQ(sources.at(1).place.column, 1u);
    EXPECT_EQ(sources.at(1).place.text, "Ünï'code");
    EXPECT_EQ(sources.at(1).place.fragment, "y");
    EXPECT_TRUE(f.next());
    EXPECT_FALSE(f.next());
    f.link(*x, at("http://a/%7Ex"), {1, 1, "a third", "a", ""});
    EXPECT_TRUE(f.changes().sources.empty());  // there are two
    // A second verdict replaces the first one.
    check_result good{"http://a/"};
    good.ok = true;
    auto again = s.save({0, good}, {});
    co_await std::move(again);
    std::vector<bool> all;
    auto reading = s.verdicts([&](const saved_verdict& w) { all.push_back(w.result.ok); });
    co_await std::move(reading);
    EXPECT_THAT(all, ElementsAre(true));
  });
}

TEST_F(crawl_state_file, of_another_run_is_refused) {
  EXPECT_EQ(refused({{"start", "http://a/"}, {"level", "2"}}), "not at all");
  EXPECT_EQ(refused({{"start", "http://a/"}, {"level", "2"}}), "not at all");
  EXPECT_EQ(refused({{"start", "http://a/"}, {"level", "3"}}),
            "state file " + file() +
                ": it belongs to another run: there, level is \"2\", here, level is \"3\"");
  EXPECT_THAT(refused({{"start", "http://a/"}}), HasSubstr("there, level is \"2\", here, nothing"));
  EXPECT_THAT(refused(), HasSubstr("there, start is \"http://a/\", here, nothing"));
}

TEST_F(crawl_state_file, that_is_none_is_refused_and_named) {
  std::ofstream{file()} << "This is a letter to my grandmother, and no database.\n";
  EXPECT_EQ(refused(), "state file " + file() + ": it is not a database");
  std::filesystem::remove(file());
  std::filesystem::create_directory(file());
  EXPECT_THAT(refused(), HasSubstr("state file " + file() + ": "));
  std::filesystem::remove(file());
  on_a_real_loop([&]() -> task<> {
    auto opening = verdict_cache::open(file(), 1h);
    auto cache = co_await std::move(opening);
    auto closing = cache.close();
    co_await std::move(closing);
  });
  EXPECT_EQ(refused(), "state file " + file() + ": it is a database of something else");
  std::filesystem::remove(file());
  std::ofstream{file()};  // an empty one is a new one
  EXPECT_EQ(refused(), "not at all");
  EXPECT_THAT(refused({{"x", "y"}}), HasSubstr("another run"));
}

TEST_F(crawl_state_file, that_is_damaged_is_told_and_never_taken) {
  on_a_real_loop([&]() -> task<> {
    auto opening = crawl_state::open(file(), {});
    auto s = co_await std::move(opening);
    frontier f{frontier_options{}.recorded()};
    f.start(at("http://a/"));
    const auto root = *f.next();
    for (int i = 0; i < 2000; ++i) f.link(root, at("http://a/" + std::to_string(i)));
    auto saving = s.save({root, verdict("http://a/")}, f.changes());
    co_await std::move(saving);
    auto closing = s.close();
    co_await std::move(closing);
  });
  std::ifstream in{file(), std::ios::binary};
  const std::string good{std::istreambuf_iterator<char>{in}, {}};
  ASSERT_GT(good.size(), 64u * 1024);
  // Not everything can be found out; a crash or a wrong message would be one too many.
  int told = 0;
  std::mt19937 random{3};  // NOLINT(cert-msc51-cpp)
  for (int i = 0; i < 12; ++i) {
    std::string bad = good;
    const auto at = 4096 * (1 + random() % (good.size() / 4096 - 1));
    for (std::size_t k = 0; k < 512; ++k) bad[at + k] = static_cast<char>(random());
    std::ofstream{file(), std::ios::binary | std::ios::trunc} << bad;
    const auto why = refused();
    if (why == "not at all") continue;
    ++told;
    EXPECT_THAT(why, HasSubstr("state file " + file() + ": it is damaged: "));
  }
  EXPECT_GE(told, 8);
  std::ofstream{file(), std::ios::binary | std::ios::trunc} << good.substr(0, good.size() / 2);
  EXPECT_THAT(refused(), HasSubstr("state file " + file() + ": it is damaged"));
}

TEST_F(crawl_state_file, belongs_to_one_run_at_a_time) {
  on_a_real_loop([&]() -> task<> {
    auto opening = crawl_state::open(file(), {});
    auto s = co_await std::move(opening);
    std::string why;
    try {
      auto second = crawl_state::open(file(), {});
      (void)co_await std::move(second);
    } catch (const error& e) {
      why = e.what();
      EXPECT_EQ(e.code(), std::errc::device_or_resource_busy);
    }
    EXPECT_EQ(why, "state file " + file() + ": another process uses it");
    auto closing = s.close();
    co_await std::move(closing);
    auto third = crawl_state::open(file(), {});
    (void)co_await std::move(third);
  });
}

TEST_F(crawl_state_file, many_saves_share_a_transaction) {
  on_a_real_loop([&]() -> task<> {
    auto opening = crawl_state::open(file(), {});
    auto s = co_await std::move(opening);
    frontier f{frontier_options{}.recorded()};
    for (int i = 0; i < 500; ++i) f.start(at("http://a/" + std::to_string(i)));
    auto starting = s.save(f.changes());
    co_await std::move(starting);
    int saved = 0;
    co_await with_nursery([&](nursery& n) -> task<> {
      while (auto id = f.next()) {
        n.start(
            [&](url_id u) -> task<> {
              auto saving = s.save({u, verdict(f.said(u))}, f.changes());
              co_await std::move(saving);
              ++saved;
            },
            *id);
      }
      co_return;
    });
    EXPECT_EQ(saved, 500);
    EXPECT_LE(s.statistics().transactions, 10u);
    std::vector<url_id> order;
    auto reading = s.verdicts([&](const saved_verdict& v) { order.push_back(v.id); });
    co_await std::move(reading);
    EXPECT_EQ(order.size(), 500u);
    EXPECT_TRUE(std::ranges::is_sorted(order));
  });
}

TEST_F(crawl_state_file, a_save_that_is_cancelled_is_committed_all_the_same) {
  for (const bool already : {true, false}) {
    const auto path = file(already ? "1" : "2");
    on_a_real_loop([&]() -> task<> {
      auto opening = crawl_state::open(path, {});
      auto s = co_await std::move(opening);
      frontier f{frontier_options{}.recorded()};
      f.start(at("http://a/"));
      bool waited = false;
      co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
        if (already) scope.cancel();
        auto saving = s.save({0, verdict("http://a/")}, f.changes());
        if (!already) scope.cancel();
        co_await std::move(saving);
        waited = true;
      });
      (void)waited;
      auto closing = s.close();
      co_await std::move(closing);
      auto again = crawl_state::open(path, {});
      auto t = co_await std::move(again);
      int verdicts = 0;
      auto reading = t.verdicts([&](const saved_verdict&) { ++verdicts; });
      co_await std::move(reading);
      EXPECT_EQ(verdicts, 1);
    });
  }
}

TEST_F(crawl_state_file, a_full_disk_fails_every_save_and_breaks_nothing) {
  on_a_real_loop([&]() -> task<> {
    auto opening = crawl_state::open(file(), {});
    auto s = co_await std::move(opening);
    std::vector<std::string> said;
    struct rlimit_guard {
      ::rlimit before{};
      rlimit_guard() {
        ::getrlimit(RLIMIT_FSIZE, &before);
        ::signal(SIGXFSZ, SIG_IGN);
        ::rlimit small{256 * 1024, before.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &small);
      }
      ~rlimit_guard() { ::setrlimit(RLIMIT_FSIZE, &before); }
    };
    {
      const rlimit_guard small;
      for (url_id i = 0; i < 3; ++i) {
        try {
          auto saving = s.save({i, verdict("http://a/"), std::string(600'000, 'x')}, {});
          co_await std::move(saving);
          said.emplace_back("fine");
        } catch (const error& e) {
          said.emplace_back(e.what());
        }
      }
    }
    EXPECT_THAT(said.at(0), HasSubstr("state file " + file() + ": "));
    EXPECT_EQ(said.at(0), said.at(2));
    try {
      auto closing = s.close();
      co_await std::move(closing);
      ADD_FAILURE();
    } catch (const error&) {  // something was not kept: whoever closes has to know
    }
  });
}

// ---- killed at any moment
// ------------------------------------------------------------------------

constexpr int pages = 300;

/// What page `n` links to.
std::vector<int> links_of(int n) { return {(n * 3 + 1) % pages, (n * 7 + 5) % pages, n / 2}; }
std::string page(int n) { return "http://a/p" + std::to_string(n); }

class journal {
 public:
  explicit journal(const char* path)
      : fd_{::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)} {}
  ~journal() { ::close(fd_); }
  void line(const std::string& text) const {
    const std::string all = text + "\n";
    EXPECT_EQ(::write(fd_, all.data(), all.size()), static_cast<ssize_t>(all.size()));
  }

 private:
  int fd_;
};

frontier_options of_the_crawl() { return frontier_options{}.recorded().level(9).sources(3); }

/// Crawls, and says what it does: a line before it asks, a line after a verdict was committed.
task<> crawl_beside_death(std::string path, journal& log) {
  auto opening = crawl_state::open(path, {{"start", page(0)}});
  auto s = co_await std::move(opening);
  frontier f{of_the_crawl()};
  auto restoring = s.restore(f, [](const saved_verdict&) {});
  co_await std::move(restoring);
  if (f.start(at(page(0))).fresh) {
    auto saving = s.save(f.changes());
    co_await std::move(saving);
  }
  log.line("begun");
  event changed;
  co_await with_nursery([&](nursery& n) -> task<> {
    for (int w = 0; w < 8; ++w) {
      n.start([&]() -> task<> {
        while (true) {
          const auto id = f.next();
          if (!id && f.statistics().running == 0) break;
          if (!id) {
            co_await changed.wait();
            continue;
          }
          const auto said = f.said(*id);
          log.line("ask " + said);
          co_await sleep_for(200us);
          check_result r{said};
          r.ok = true;
          r.status = 200;
          if (f.follows(*id)) {
            for (const int to : links_of(std::stoi(said.substr(page(0).size() - 1)))) {
              f.link(*id, at(page(to)), {1, static_cast<std::uint32_t>(to), "x", "a", ""});
            }
          }
          auto saving = s.save({*id, r}, f.changes());
          f.done(*id);
          changed.set();
          changed.reset();
          co_await std::move(saving);
          log.line("verdict " + said);
        }
        changed.set();
      });
    }
    co_return;
  });
  auto closing = s.close();
  co_await std::move(closing);
}

// The child's side: started by the test below.
TEST(crawl_state_child, DISABLED_crawls) {
  const char* path = std::getenv("ONELOOP_TEST_STATE");
  ASSERT_NE(path, nullptr);
  journal log{(std::string{path} + ".log").c_str()};
  run(crawl_beside_death(path, log));
}

pid_t start_child(const std::string& path) {
  const std::string setting = "ONELOOP_TEST_STATE=" + path;
  std::vector<std::string> texts{"/proc/self/exe",
                                 "--gtest_filter=crawl_state_child.DISABLED_crawls",
                                 "--gtest_also_run_disabled_tests", "--gtest_brief=1"};
  std::vector<char*> arguments;
  for (auto& t : texts) arguments.push_back(t.data());
  arguments.push_back(nullptr);
  std::vector<char*> environment;
  for (char** e = environ; *e != nullptr; ++e) environment.push_back(*e);
  environment.push_back(const_cast<char*>(setting.c_str()));
  environment.push_back(nullptr);
  pid_t child = 0;
  EXPECT_EQ(::posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, arguments.data(),
                          environment.data()),
            0);
  return child;
}

std::vector<std::string> lines_of(const std::string& path) {
  std::ifstream in{path};
  std::vector<std::string> all;
  for (std::string line; std::getline(in, line);) all.push_back(line);
  return all;
}

/// The URLs, their depths and the links to them.
std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> shape_of(const frontier& f) {
  std::map<std::string, std::pair<std::uint32_t, std::uint32_t>> all;
  for (url_id id = 0; id < f.statistics().urls; ++id) {
    all[f.said(id)] = {f.depth(id), f.links_to(id)};
  }
  return all;
}

TEST_F(crawl_state_file, killed_at_random_nothing_is_lost_and_nothing_asked_again) {
  // What it has to come to.
  frontier whole{of_the_crawl()};
  whole.start(at(page(0)));
  while (auto id = whole.next()) {
    const int n = std::stoi(whole.said(*id).substr(page(0).size() - 1));
    if (whole.follows(*id)) {
      for (const int to : links_of(n)) whole.link(*id, at(page(to)));
    }
    whole.done(*id);
  }
  const auto truth = shape_of(whole);
  ASSERT_GT(truth.size(), 200u);

  std::mt19937 random{std::random_device{}()};
  int kills = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (int round = 0; kills < 30 && std::chrono::steady_clock::now() - begun < 60s; ++round) {
    const auto path = file("crawl" + std::to_string(round));
    const auto log = path + ".log";
    for (int life = 0;; ++life) {
      const pid_t child = start_child(path);
      int status = 0;
      pid_t ended = 0;
      if (life < 20) {
        // From the moment at which it is under way (in some lives: at any) up to some time later.
        const auto before = std::ranges::count(lines_of(log), "begun");
        while (random() % 8 != 0 && std::ranges::count(lines_of(log), "begun") == before &&
               (ended = ::waitpid(child, &status, WNOHANG)) == 0) {
          std::this_thread::sleep_for(1ms);
        }
        if (ended == 0) {
          std::this_thread::sleep_for(std::chrono::microseconds{random() % 8000});
          ::kill(child, SIGKILL);
        }
      }
      if (ended == 0) ::waitpid(child, &status, 0);
      if (WIFEXITED(status)) {
        ASSERT_EQ(WEXITSTATUS(status), 0);
        break;
      }
      ++kills;
    }

    std::map<std::string, int> state;  // 1: asked, 2: has its verdict
    std::set<std::string> in_flight;   // at the last kill
    for (const auto& line : lines_of(log)) {
      if (line == "begun") {
        in_flight.clear();
        for (const auto& [u, s] : state) {
          if (s == 1) in_flight.insert(u);
        }
        continue;
      }
      const auto what = line.substr(0, line.find(' '));
      const auto u = line.substr(line.find(' ') + 1);
      if (what == "ask") {
        ASSERT_TRUE(state[u] == 0 || in_flight.erase(u) == 1) << u << " was asked again";
        state[u] = 1;
      } else {
        state[u] = 2;
      }
    }
    ASSERT_EQ(state.size(), truth.size());
    on_a_real_loop([&]() -> task<> {
      auto opening = crawl_state::open(path, {{"start", page(0)}});
      auto s = co_await std::move(opening);
      frontier f{of_the_crawl()};
      std::set<std::string> verdicts;
      auto restoring = s.restore(f, [&](const saved_verdict& v) { verdicts.insert(v.result.url); });
      co_await std::move(restoring);
      EXPECT_EQ(verdicts.size(), truth.size());
      EXPECT_EQ(shape_of(f), truth);
      EXPECT_FALSE(f.next());
    });
  }
  EXPECT_GE(kills, 30);
}

// ---- the cache
// -----------------------------------------------------------------------------------

TEST_F(crawl_state_file, a_cache_knows_verdicts_while_they_are_fresh) {
  on_a_real_loop([&]() -> task<> {
    auto opening = verdict_cache::open(file(), 1h);
    auto cache = co_await std::move(opening);
    auto putting = cache.put(at("http://a/%7Ex#y"), verdict("http://a/%7Ex"));
    co_await std::move(putting);
    auto sharing = verdict_cache::open(file(), 1h);  // as another process would
    auto other = co_await std::move(sharing);
    EXPECT_EQ(other.size(), 1u);
    auto finding = other.find(at("http://a/~x#z"));
    const auto found = co_await std::move(finding);
    EXPECT_TRUE(found);
    EXPECT_EQ(found->status, 404);
    EXPECT_EQ(found->url, "http://a/~x#z");
    auto missing = other.find(at("http://a/y"));
    EXPECT_FALSE(co_await std::move(missing));
    auto second = other.put(at("http://a/y"), check_result{"http://a/y"});
    co_await std::move(second);
    auto closing = other.close();
    co_await std::move(closing);
    auto first = cache.close();
    co_await std::move(first);
    auto late = verdict_cache::open(file(), -2s);  // so all of it is too old
    auto none = co_await std::move(late);
    EXPECT_EQ(none.size(), 0u);
  });
}

TEST_F(crawl_state_file, a_cache_goes_by_the_time_of_a_simulation) {
  oneloop::testing::run_simulated(1, [&]() -> task<> {
    auto opening = verdict_cache::open(file(), 1h);
    auto cache = co_await std::move(opening);
    auto putting = cache.put(at("http://a/x"), verdict("http://a/x"));
    co_await std::move(putting);
    auto closing = cache.close();
    co_await std::move(closing);
    co_await sleep_for(2h);
    auto late = verdict_cache::open(file(), 1h);
    auto none = co_await std::move(late);
    EXPECT_EQ(none.size(), 0u);
  });
}

}  // namespace
}  // namespace oneloop
