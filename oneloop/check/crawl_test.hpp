// A web in memory for the tests of crawls. Not installed.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/check/crawl.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop::inline v0::test {

using namespace std::chrono_literals;
using http::server_request;
using http::server_response;

/// What a page of a simulated site is.
using answer_fn = std::function<task<server_response>(server_request&)>;

/// A simulated web: hosts that answer by path, and keep a log of what they were asked.
class crawl_test : public ::testing::Test {
 protected:
  /// A page on http://a.test with this text of HTML.
  void page(const std::string& path, std::string html, const std::string& host = "a.test") {
    answer(
        path,
        [html = std::move(html)](server_request&) -> task<server_response> {
          co_return server_response{}.body(html, "text/html; charset=utf-8");
        },
        host);
  }
  void status(const std::string& path, int status, const std::string& host = "a.test") {
    answer(
        path,
        [status](server_request&) -> task<server_response> { co_return server_response{status}; },
        host);
  }
  void redirect(const std::string& path, std::string to, const std::string& host = "a.test") {
    answer(
        path,
        [to = std::move(to)](server_request&) -> task<server_response> {
          co_return server_response{302}.field("Location", to);
        },
        host);
  }
  void answer(const std::string& path, answer_fn f, const std::string& host = "a.test") {
    hosts[host][path] = std::move(f);
  }

  /// Crawls, beside the hosts. What happened is in `events`, what was asked in `log`.
  crawl_report crawled(std::vector<std::string> starts, crawl_options options = {}) {
    crawl_report report;
    testing::simulation sim{7};
    sim.network().default_link().latency(1ms);
    sim.run([&]() -> task<> {
      auto both = [&](nursery& n) -> task<> {
        for (const auto& [name, pages] : hosts) {
          sim.network().host(name).start(n, [this, name = name] { return serve(name); });
        }
        co_await sleep_for(1ms);
        events.clear();
        log.clear();
        auto sink = [this](crawl_event e) -> task<> {
          take(std::move(e));
          co_return;
        };
        // Beside the crawl, so that it can be cancelled.
        auto crawling = [&](cancel_scope& s) -> task<> {
          scope = &s;
          auto running = crawl(starts, sink, std::move(options), &partial);
          report = co_await std::move(running);
        };
        auto within = with_scope(scope_options{}, std::ref(crawling));
        finished = co_await std::move(within);
        n.cancel();
      };
      auto beside = with_nursery(std::ref(both));
      co_await std::move(beside);
    });
    return report;
  }
  /// How often this was asked: "GET a.test/x".
  [[nodiscard]] int asked(const std::string& what) const {
    return static_cast<int>(std::ranges::count(log, what));
  }
  template <class Event>
  [[nodiscard]] std::vector<Event> all() const {
    std::vector<Event> found;
    for (const auto& e : events) {
      if (const auto* x = std::get_if<Event>(&e)) found.push_back(*x);
    }
    return found;
  }
  /// "http://a.test/ -> http://a.test/x (404 Not Found)"
  [[nodiscard]] std::vector<std::string> broken() const {
    std::vector<std::string> lines;
    for (const auto& b : all<crawl_broken_link>()) {
      lines.push_back(b.source.page + " -> " + b.url + " (" + b.error.message() + ")");
    }
    return lines;
  }
  /// With little to wait for, and without robots.txt.
  static crawl_options quick() {
    return crawl_options{}.robots(false).check(check_options{}.backoff(10ms, 20ms));
  }

  std::map<std::string, std::map<std::string, answer_fn>> hosts;
  std::vector<std::string> log;
  std::vector<crawl_event> events;
  crawl_report partial;
  cancel_scope* scope = nullptr;  // around the crawl
  bool finished = false;          // and not cancelled
  /// Called with each event, before it is kept.
  std::function<void(const crawl_event&)> on_event = [](const crawl_event&) {};

 private:
  task<> serve(std::string name) {
    auto handler = [this, name](server_request& r) -> task<server_response> {
      const std::string line = r.method() + " " + name + r.target();
      log.push_back(line);
      const auto& pages = hosts.at(name);
      const auto found = pages.find(std::string{r.path()});
      if (found == pages.end()) co_return server_response{404};
      auto answering = found->second(r);
      auto response = co_await std::move(answering);
      co_return response;
    };
    http::server s{handler};
    net::tcp_listener l{net::endpoint{net::ip_address::any_v4(), 80}};
    auto serving = s.serve(l);
    co_await std::move(serving);
  }
  void take(crawl_event e) {
    on_event(e);
    events.push_back(std::move(e));
  }
};

/// A directory that is gone at the end.
class folder {
 public:
  folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "oneloop-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~folder() { std::filesystem::remove_all(path_); }
  folder(const folder&) = delete;
  folder& operator=(const folder&) = delete;
  [[nodiscard]] std::string path(const std::string& name = {}) const {
    return name.empty() ? path_.string() : (path_ / name).string();
  }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((path_ / name).parent_path());
    std::ofstream{path_ / name, std::ios::binary} << text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace oneloop::inline v0::test
