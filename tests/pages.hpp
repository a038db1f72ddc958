// A site of pages that a test makes up, on a thread of its own; it remembers what was asked.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "tool.hpp"

namespace tool_test {

struct page {
  std::string body;
  std::string type = "text/html";
  int status = 200;
  std::vector<std::pair<std::string, std::string>> fields = {};
  bool hangs = false;  // no answer until the site goes
};

/// "<a href="...">", one a line.
inline std::string links_to(const std::vector<std::string>& targets) {
  std::string text;
  for (const auto& t : targets) text += "<a href=\"" + t + "\">" + t + "</a>\n";
  return text;
}

class pages {
 public:
  using map = std::map<std::string, page>;

  /// By path, with the query. What is not there is 404; so is a /robots.txt, unless it is there.
  explicit pages(map all) : all_{std::move(all)} {
    std::promise<oneloop::cancel_handle> ready;
    auto handle = ready.get_future();
    thread_ = std::thread{[this, &ready] { oneloop::run(serve(ready)); }};
    stop_ = handle.get();
  }
  ~pages() {
    stop_.cancel();
    thread_.join();
  }
  pages(const pages&) = delete;
  pages& operator=(const pages&) = delete;

  [[nodiscard]] std::string host() const { return listener_.local_endpoint().to_string(); }
  [[nodiscard]] std::string url(std::string_view path = "/") const {
    return "http://" + host() + std::string{path};
  }
  /// From now on there is this page.
  void put(const std::string& path, page p) {
    const std::scoped_lock hold{lock_};
    all_[path] = std::move(p);
  }
  /// "GET /ok": how often that was asked.
  [[nodiscard]] int count(const std::string& request) const {
    const std::scoped_lock hold{lock_};
    const auto found = seen_.find(request);
    return found == seen_.end() ? 0 : found->second;
  }
  [[nodiscard]] int requests() const {
    const std::scoped_lock hold{lock_};
    int n = 0;
    for (const auto& [request, times] : seen_) n += times;
    return n;
  }
  /// A field of the last request for a path.
  [[nodiscard]] std::string sent(const std::string& path, const std::string& field) const {
    const std::scoped_lock hold{lock_};
    const auto found = fields_.find(path);
    return found == fields_.end() ? "" : std::string{found->second.get(field).value_or("")};
  }
  /// The most requests that were under way at a time.
  [[nodiscard]] int most_at_once() const {
    const std::scoped_lock hold{lock_};
    return most_;
  }
  /// Waits until something was asked that often, for 10 seconds at most.
  bool wait_for(const std::string& request, int times = 1) const {
    const auto until = clock_type::now() + 10s;
    while (count(request) < times && clock_type::now() < until) std::this_thread::sleep_for(1ms);
    return count(request) >= times;
  }

 private:
  oneloop::task<oneloop::http::server_response> answer(oneloop::http::server_request& r) {
    const std::string target{r.target()};
    page p;
    {
      const std::scoped_lock hold{lock_};
      ++seen_[r.method() + " " + target];
      fields_.insert_or_assign(target, r.fields());
      most_ = std::max(most_, ++now_);
      const auto found = all_.find(target);
      p = found == all_.end() ? page{"", "text/html", 404} : found->second;
    }
    const struct leaving {
      pages& self;
      ~leaving() {
        const std::scoped_lock hold{self.lock_};
        --self.now_;
      }
    } at_end{*this};
    if (p.hangs) co_await oneloop::sleep_forever();
    oneloop::http::server_response response{p.status};
    if (!p.type.empty()) response.field("Content-Type", p.type);
    for (const auto& [name, value] : p.fields) response.field(name, value);
    co_return std::move(response).body(p.body);
  }
  oneloop::task<> serve(std::promise<oneloop::cancel_handle>& ready) {
    oneloop::http::server server{[this](oneloop::http::server_request& r) { return answer(r); },
                                 oneloop::http::server_options{}.stop_timeout(50ms)};
    (void)co_await oneloop::with_scope(oneloop::scope_options{},
                                       [&](oneloop::cancel_scope& scope) -> oneloop::task<> {
                                         ready.set_value(scope.handle());
                                         auto serving = server.serve(listener_);
                                         co_await std::move(serving);
                                       });
  }

  oneloop::net::tcp_listener listener_{
      oneloop::net::endpoint{oneloop::net::ip_address::loopback_v4(), 0}};
  mutable std::mutex lock_;
  map all_;
  std::map<std::string, int> seen_;
  std::map<std::string, oneloop::http::headers> fields_;
  int now_ = 0, most_ = 0;
  oneloop::cancel_handle stop_;
  std::thread thread_;
};

}  // namespace tool_test
