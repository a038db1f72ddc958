// A crawl of a web that does not exist: thousands of hosts on a network in memory, with everything
// that goes wrong on real ones, on a clock that jumps. The HTTP client and the servers are the
// library's own, and know nothing of it. The same seed gives the same crawl, packet by packet.
#include <cstdio>
#include <iostream>
#include <map>

#include "oneloop/channel/queue.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

class crawl {
 public:
  crawl(testing::simulation& s, std::uint64_t hosts)
      : sim_{s}, links_(hosts), seen_(hosts), web_{http::client_options{}.timeouts(patience())} {}

  task<> run(nursery& servers) {
    sim_.network().default_link().latency(testing::delays::exponential(30ms, 5ms)).loss(0.005);
    for (std::size_t host = 0; host < links_.size(); ++host) put_up(servers, host);
    servers.start(&crawl::cut_some_off, this);
    follow(0);
    for (int i = 0; i < 100; ++i) servers.start(&crawl::follow_links, this);
    co_await to_do_.join();
    servers.cancel();
  }
  const std::map<std::string, int>& outcomes() const { return outcomes_; }

 private:
  static http::phase_timeouts patience() {
    return {.dns = 5s, .connect = 5s, .first_byte = 5s, .stall = 5s};
  }
  static std::string name(std::size_t host) { return "host" + std::to_string(host) + ".test"; }

  /// One host, and what is wrong with it.
  void put_up(nursery& servers, std::size_t host) {
    for (auto& link : links_[host]) link = sim_.random() % links_.size();
    const auto fate = host == 0 ? 999 : sim_.random() % 1000;
    if (fate < 20) return;  // there is no such name
    auto& it = sim_.network().add_host(name(host));
    duration delay = 10ms;
    int status = 200;
    if (fate < 40) return;  // nobody listens
    if (fate < 60) return (void)it.black_hole();
    if (fate < 80)
      it.fail(testing::fault{testing::call::write, ECONNRESET});
    else if (fate < 150)
      it.fail(testing::call::read, 1, ECONNRESET);  // the first one
    else if (fate < 170)
      delay = 1h;
    else if (fate < 300)
      delay = 3s;
    else if (fate < 320)
      status = 503;
    it.start(servers, &crawl::serve, this, host, delay, status);
  }

  task<> serve(std::size_t host, duration delay, int status) {
    net::tcp_listener at{net::endpoint{net::ip_address::any_v4(), 80}};
    auto answer = [=, this](http::server_request&) -> task<http::server_response> {
      co_await sleep_for(delay);
      std::string page;
      for (auto link : links_[host]) page += "<a href=\"http://" + name(link) + "/\">next</a>\n";
      co_return http::server_response{status}.body(page, "text/html");
    };
    co_await http::serve(at, answer);
  }

  /// Now and then some hosts cannot be reached for a while.
  task<> cut_some_off() {
    for (;; co_await sleep_for(10s)) {
      std::vector<testing::host*> off;
      for (std::size_t i = 0; i < links_.size() / 20; ++i) {
        auto* host = sim_.network().find_host(name(sim_.random() % links_.size()));
        if (host != nullptr) off.push_back(host);
      }
      for (auto* host : off) host->isolate();
      co_await sleep_for(10s);
      for (auto* host : off) host->isolate(false);
    }
  }

  void follow(std::size_t host) {
    if (seen_[host]++ == 0) (void)to_do_.try_put(host);
  }
  task<> follow_links() {
    while (auto host = co_await to_do_.get()) {
      std::string outcome;
      for (auto pause = 1s; pause < 8s && outcome != "ok"; pause *= 2) {
        if (!outcome.empty()) co_await sleep_for(pause);
        auto visiting = visit(*host);
        outcome = co_await std::move(visiting);
      }
      ++outcomes_[outcome];
      to_do_.task_done();
    }
  }
  task<std::string> visit(std::size_t host) {
    std::string outcome = "ok";
    try {
      auto response = co_await web_.get("http://" + name(host) + "/");
      auto page = co_await response.text();
      if (response.status() != 200) co_return "status " + std::to_string(response.status());
      for (std::size_t at = 0; (at = page.find("//host", at)) != page.npos; at += 6)
        follow(std::stoul(page.substr(at + 6)));
    } catch (const http::http_error& e) {
      outcome = std::string{to_string(e.kind())}.append(" ").append(e.phase());
    }
    co_return outcome;
  }

  testing::simulation& sim_;
  std::vector<std::array<std::size_t, 5>> links_;
  std::vector<int> seen_;
  http::client web_;
  queue<std::size_t> to_do_{unbounded};
  std::map<std::string, int> outcomes_;
};

int main(int argc, char** argv) try {
  std::map<std::string, std::uint64_t> options{{"--seed", 1}, {"--hosts", 10'000}};
  for (int i = 1; i + 1 < argc; i += 2) options.at(argv[i]) = std::stoull(argv[i + 1]);
  testing::simulation sim{options["--seed"]};
  const auto start = sim.loop().now();
  crawl c{sim, std::max<std::uint64_t>(1, options["--hosts"])};
  sim.run([&] { return with_nursery([&](nursery& n) { return c.run(n); }); });
  for (const auto& [outcome, count] : c.outcomes()) std::printf("%6d %s\n", count, outcome.c_str());
  const std::chrono::duration<double> took = sim.loop().now() - start;
  std::printf("%.1f s, trace %016lx\n", took.count(), sim.trace().hash());
} catch (const std::exception& e) {
  std::cerr << "flaky_network/async [--seed N] [--hosts N]: " << e.what() << "\n";
  return 1;
}
