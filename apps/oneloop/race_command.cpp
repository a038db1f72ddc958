#include "race_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "arguments.hpp"
#include "measure.hpp"
#include "oneloop/base/clock.hpp"
#include "oneloop/check/model.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "open_files.hpp"
#include "output.hpp"

namespace tool {
namespace {

using namespace oneloop;
using namespace std::chrono_literals;

/// How each model waits, in the order of check_models.
constexpr std::array how_they_wait{
    "the only thread sleeps until the answer is there, then asks for the next URL",
    "a thread for each URL sleeps; the kernel wakes it",
    "a process for each URL sleeps; its parent waits for the pipes",
    "nobody waits: the loop calls a function when the answer is there",
    "a fiber for each URL is put aside with its stack; one thread runs those that can go on",
    "a coroutine for each URL is put aside with its frame; one thread runs those that can go on",
    "a coroutine for each URL waits, and who gave it the URL waits for its channel",
    "a thread of a pool sleeps for each URL, and a future stands for what it will find",
};
static_assert(how_they_wait.size() == check_models.size());

void say(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

double milliseconds(duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

struct settings {
  std::size_t urls;
  duration delay;
  std::size_t concurrency;
  std::vector<std::string_view> models;
  bool json;
};

settings read_settings(const race_arguments& a) {
  settings s{};
  s.urls = parse_count("--urls", a.urls, 1, 10'000);
  s.delay = parse_duration("--delay", a.delay);
  if (s.delay > 10s) throw usage_error{fmt::format("--delay {}: must be at most 10s", a.delay)};
  s.concurrency =
      a.concurrency.empty() ? s.urls : parse_count("--concurrency", a.concurrency, 1, 10'000);
  s.models = parse_models(a.models, {check_models.begin(), check_models.end()});
  s.json = parse_choice("--format", a.format, race_format_names) == 1;
  return s;
}

/// Pages that take their time, every tenth of which does not exist; on a thread of its own.
class slow_site {
 public:
  slow_site(std::size_t pages, duration delay) : delay_{delay} {
    const auto at = "http://" + listener_.local_endpoint().to_string();
    for (std::size_t i = 0; i < pages; ++i) {
      truth_[fmt::format("{}/{}/{}", at, is_there(i) ? "page" : "none", i)] = is_there(i);
    }
    thread_ = std::jthread{[this](const std::stop_token& stop) { oneloop::run(serve(stop)); }};
  }

  /// URL and whether it is OK.
  [[nodiscard]] const std::map<std::string, bool>& truth() const noexcept { return truth_; }
  [[nodiscard]] std::size_t bad() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(truth_, [](const auto& t) { return !t.second; }));
  }

 private:
  static bool is_there(std::size_t i) { return i % 10 != 9; }
  task<http::server_response> answer(http::server_request& r) const {
    co_await sleep_for(delay_);
    if (r.path().starts_with("/page/")) co_return http::server_response{}.body("fine\n");
    co_return http::server_response{404};
  }
  task<> serve(std::stop_token stop) {
    http::server server{[this](http::server_request& r) { return answer(r); },
                        http::server_options{}.stop_timeout(100ms)};
    (void)co_await with_scope(scope_options{}, [&](cancel_scope& scope) -> task<> {
      const std::stop_callback ending{stop, [h = scope.handle()] { h.cancel(); }};
      auto serving = server.serve(listener_);
      co_await std::move(serving);
    });
  }
  duration delay_;
  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  std::map<std::string, bool> truth_;
  std::jthread thread_;
};

/// One model's run.
struct entry {
  std::string_view model;
  measured cost;
  std::size_t ok = 0, bad = 0;
  std::optional<std::uint64_t> bytes_per_task;
  std::string failure;  // empty: none
};

class race {
 public:
  explicit race(settings s) : settings_{std::move(s)}, site_{settings_.urls, settings_.delay} {}

  task<> run() {
    if (!settings_.json) say(heading());
    for (const auto model : settings_.models) {
      auto running = run_model(model);
      entries_.push_back(co_await std::move(running));
      if (!settings_.json) say(line(entries_.back()));
    }
  }
  /// The exit status.
  [[nodiscard]] int finish() const {
    if (settings_.json) say(document());
    int status = exit_ok;
    for (const auto& e : entries_) {
      if (e.failure.empty()) continue;
      complain(fmt::format("race: {}: {}", e.model, printable(e.failure)));
      status = exit_bad;
    }
    return status;
  }

 private:
  [[nodiscard]] std::size_t at_a_time(std::string_view model) const {
    return model == "sequential" ? 1 : std::min(settings_.concurrency, settings_.urls);
  }

  task<entry> run_model(std::string_view model) {
    entry e{model, {}, 0, 0, {}, {}};
    auto running = run_urls(model, settings_.urls);
    e.cost = co_await std::move(running);
    judge(e);
    if (!e.failure.empty() || at_a_time(model) == 1) co_return e;
    // One check at a time, for what the others take on top of it.
    auto again = run_urls(model, 1);
    const auto one = co_await std::move(again);
    const auto more = e.cost.peak_kb - std::min(e.cost.peak_kb, one.peak_kb);
    e.bytes_per_task = more * 1024 / (at_a_time(model) - 1);
    co_return e;
  }

  task<measured> run_urls(std::string_view model, std::size_t n) {
    const auto c = std::to_string(at_a_time(model));
    std::vector<std::string> command{
        "check",
        "--model",
        std::string{model},
        "-c",
        c,
        "--per-host",
        c,
        "--method",
        "get",
        "--retries",
        "0",
        "--from",
        "-",
        "--format",
        "ndjson",
        "--quiet",
        "--proxy",
        "none",
        "--timeout",
        fmt::format("{}s", std::chrono::ceil<std::chrono::seconds>(settings_.delay).count() + 30)};
    std::string urls;
    for (const auto& [url, ok] : site_.truth()) {
      if (n-- == 0) break;
      urls += url + "\n";
    }
    const auto rounds = (settings_.urls + at_a_time(model) - 1) / at_a_time(model);
    const duration limit = 2 * settings_.delay * rounds + 60s;
    return measure(std::move(command), std::move(urls), limit);
  }

  /// What the verdicts should have been.
  void judge(entry& e) const {
    auto missing = site_.truth();
    for (std::string_view rest = e.cost.out; !rest.empty();) {
      const auto line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(line.size() + 1, rest.size()));
      const auto verdict = nlohmann::json::parse(line, nullptr, false);
      if (!verdict.is_object() || !verdict.contains("ok")) continue;
      const bool ok = verdict["ok"].get<bool>();
      ++(ok ? e.ok : e.bad);
      const auto url = verdict.value("url", "");
      const auto known = missing.find(url);
      if (known == missing.end() || known->second != ok) {
        const auto why = ok ? "" : ": " + verdict["error"].value("message", "");
        e.failure = fmt::format("the wrong verdict on {}: {}{}", url, ok ? "OK" : "Bad", why);
      }
      if (known != missing.end()) missing.erase(known);
    }
    if (e.cost.timed_out) {
      e.failure = fmt::format("not ready after {:.0f} s", milliseconds(e.cost.wall) / 1000);
    } else if (!missing.empty() && e.failure.empty()) {
      const auto& said = e.cost.err;
      const auto first = said.substr(0, said.find('\n'));
      e.failure = fmt::format("{} URLs without a verdict (exit status {}{}{})", missing.size(),
                              e.cost.status, first.empty() ? "" : ": ", first);
    }
  }

  [[nodiscard]] std::string heading() const {
    return fmt::format(
        "{} URLs of a site in this process, each {:g} ms away, {} of them bad; {} at a time,\n"
        "by oneloop check --model MODEL in a fresh process.\n\n"
        "{:<10} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9}  {}\n",
        settings_.urls, milliseconds(settings_.delay), site_.bad(),
        std::min(settings_.concurrency, settings_.urls), "model", "wall ms", "CPU ms", "peak MB",
        "threads", "switches", "B a task", "how it waits");
  }
  static std::string line(const entry& e) {
    const auto place = std::ranges::find(check_models, e.model) - check_models.begin();
    return fmt::format(
        "{:<10} {:>8.0f} {:>8.0f} {:>8.1f} {:>8} {:>9} {:>9}  {}\n", e.model,
        milliseconds(e.cost.wall), milliseconds(e.cost.cpu),
        static_cast<double>(e.cost.peak_kb) / 1024, e.cost.threads, e.cost.switches,
        e.bytes_per_task ? std::to_string(*e.bytes_per_task) : "-",
        e.failure.empty() ? how_they_wait.at(static_cast<std::size_t>(place)) : "FAILED");
  }
  [[nodiscard]] std::string document() const {
    auto models = nlohmann::ordered_json::array();
    for (const auto& e : entries_) {
      nlohmann::ordered_json j;
      j["model"] = e.model;
      j["wall_ms"] = std::round(milliseconds(e.cost.wall) * 10) / 10;
      j["cpu_ms"] = std::round(milliseconds(e.cost.cpu) * 10) / 10;
      j["peak_kb"] = e.cost.peak_kb;
      j["threads"] = e.cost.threads;
      j["switches"] = e.cost.switches;
      j["ok"] = e.ok;
      j["bad"] = e.bad;
      if (e.bytes_per_task) j["bytes_per_task"] = *e.bytes_per_task;
      if (!e.failure.empty()) j["error"] = e.failure;
      models.push_back(std::move(j));
    }
    nlohmann::ordered_json all;
    all["models"] = std::move(models);
    return all.dump(2) + "\n";
  }

  settings settings_;
  slow_site site_;
  std::vector<entry> entries_;
};

/// Runs `r`; the signal that ended it, or 0.
task<int> until_signal(race& r) {
  int signal = 0;
  signal_set stop{SIGINT, SIGTERM};
  co_await with_nursery([&](nursery& n) -> task<> {
    n.start([&]() -> task<> {
      signal = co_await stop.next();
      n.cancel();
    });
    auto running = r.run();
    co_await std::move(running);
    n.cancel();
  });
  co_return signal;
}

}  // namespace

std::vector<std::string_view> parse_models(std::string_view text,
                                           const std::vector<std::string_view>& names) {
  if (text.empty()) return names;
  std::vector<std::string_view> chosen;
  const std::string choices = fmt::format("{}", fmt::join(names, "|"));
  for (std::string_view rest = text;;) {
    const auto word = rest.substr(0, rest.find(','));
    const auto model = names[parse_choice("--models", word, choices)];
    if (std::ranges::find(chosen, model) != chosen.end()) {
      throw usage_error{fmt::format("--models {}: {} stands there twice", text, word)};
    }
    chosen.push_back(model);
    if (word.size() == rest.size()) return chosen;
    rest.remove_prefix(word.size() + 1);
  }
}

int race_command(const race_arguments& arguments) {
  if (arguments.cpu) return race_cpu_command(arguments);
  settings s = read_settings(arguments);
  (void)raise_open_files();
  race r{std::move(s)};
  const int signal = oneloop::run(until_signal(r));
  if (signal != 0) return 128 + signal;
  return r.finish();
}

}  // namespace tool
