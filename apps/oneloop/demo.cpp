#include "demo.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "arguments.hpp"
#include "demo_site.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "race_command.hpp"
#include "report.hpp"

namespace tool {
namespace {

using namespace oneloop;

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

double seconds(duration d) { return std::chrono::duration<double>(d).count(); }

/// "OK", "status 404", "tls"
std::string verdict(std::optional<http::error_kind> bad, int status) {
  if (!bad) return "OK";
  std::string text{to_string(*bad)};
  if (*bad == http::error_kind::status) text += fmt::format(" {}", status);
  return text;
}

class demo {
 public:
  /// Checks all pages, `at_a_time` of them at a time.
  task<check_summary> round(std::size_t at_a_time) {
    std::vector<std::string> urls;
    for (const auto& page : site_.pages()) urls.push_back(page.url);
    std::map<std::string, std::string> said;
    auto sink = [&](check_result r) -> task<> {
      said[r.url] = verdict(r.error ? std::optional{r.error->kind()} : std::nullopt, r.status);
      co_return;
    };
    auto checking = check_urls(
        std::move(urls), check_sink{sink},
        check_options{}
            .concurrency(at_a_time)
            .retries(0)
            .timeout(std::chrono::seconds{10})
            .client(http::client_options{}.per_host(at_a_time).ca_file(site_.ca_file())));
    auto summary = co_await std::move(checking);
    for (const auto& page : site_.pages()) {
      const auto wanted = verdict(page.bad, page.status);
      const auto got = said.contains(page.url) ? said[page.url] : "nothing";
      if (got != wanted) wrong_.push_back(fmt::format("{}: {}, not {}", page.url, got, wanted));
    }
    co_return summary;
  }

  task<> run() {
    co_await with_nursery([this](nursery& n) -> task<> {
      site_.start(n);
      auto playing = play();
      co_await std::move(playing);
      n.cancel();
    });
  }

  [[nodiscard]] const std::vector<std::string>& wrong() const noexcept { return wrong_; }

 private:
  task<> play() {
    const std::size_t pages = site_.pages().size();
    say(
        fmt::format("A site of {} URLs in this process, http and https: pages, redirects, 404s,\n"
                    "500s, a closed port, bad certificates, and 24 pages that take their time, 12\n"
                    "seconds together.\n\n",
                    pages));
    say("One at a time ... ");
    auto first = round(1);
    const auto slow = co_await std::move(first);
    say(summary_line(slow) + "\n");
    say("All at once ..... ");
    auto second = round(pages);
    const auto fast = co_await std::move(second);
    say(summary_line(fast) + "\n\n");
    say(fmt::format(
        "{:.0f} times as fast, on the same single thread. Judit Polgar plays 24 opponents; she\n"
        "needs 5 seconds for a move and they 55, and a game has 30 moves each. One game\n"
        "after another takes 12 hours. When she walks from board to board instead, making\n"
        "her move while the others think, all 24 are over in one hour: nobody thinks any\n"
        "faster, but nobody waits for the wrong thing.\n",
        seconds(slow.time()) / seconds(fast.time())));
  }

  demo_site site_;
  std::vector<std::string> wrong_;
};

}  // namespace

int demo_command() {
  loop l;
  demo d;
  oneloop::run(l, d.run());
  for (const auto& line : d.wrong()) say("WRONG VERDICT " + line + "\n");
  say("\nAnd how a program waits is its own affair. The same job in eight models:\n\n");
  const int race = race_command({});
  return d.wrong().empty() ? race : exit_bad;
}

}  // namespace tool
