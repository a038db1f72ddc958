// The long form: a limit on concurrency, a progress bar, and counts of what went well and what not.
#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "oneloop/http/client.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
using namespace oneloop;

constexpr auto usage =
    "flags/long [-m MAX_REQUESTS] [-t TIMEOUT_SECONDS] [-v] [BASE_URL [DEST_DIR [CC...]]]";
const std::vector<std::string> top_20{"CN", "IN", "US", "ID", "BR", "PK", "NG", "BD", "RU", "JP",
                                      "MX", "PH", "VN", "ET", "EG", "DE", "IR", "TR", "CD", "FR"};

struct options {
  std::size_t max_requests = 5;
  std::chrono::seconds timeout{10};
  bool verbose = false;
  std::string base = "http://127.0.0.1:8001/flags";
  std::vector<std::string> countries = top_20;
};

options parse(int argc, char** argv) {
  options o;
  for (int c; (c = ::getopt(argc, argv, "m:t:v")) != -1;) {
    if (c == '?') throw std::invalid_argument{"wrong option"};
    if (c == 'm') o.max_requests = std::max(1UL, std::stoul(optarg));
    if (c == 't') o.timeout = std::chrono::seconds{std::stoi(optarg)};
    if (c == 'v') o.verbose = true;
  }
  const std::vector<std::string> rest{argv + optind, argv + argc};
  if (rest.size() > 0) o.base = rest[0];
  if (rest.size() > 1) std::filesystem::current_path(rest[1]);
  if (rest.size() > 2) o.countries.assign(rest.begin() + 2, rest.end());
  return o;
}

void save(const std::string& file, std::string_view image) {
  if (!(std::ofstream{file + ".part"} << image << std::flush))
    throw std::system_error{errno, std::generic_category(), file + ".part"};
  std::filesystem::rename(file + ".part", file);
}

class downloader {
 public:
  explicit downloader(const options& o)
      : options_{o},
        web_{http::client_options{}.per_host(o.max_requests).total_timeout(o.timeout)},
        at_most_{o.max_requests} {}

  task<> download_all(nursery& n) {
    for (auto& country : options_.countries) n.start(&downloader::download, this, country);
    co_return;
  }
  void report() const {
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start_;
    fmt::print("\n{} ok, {} not found, {} error\n", ok_, not_found_, error_);
    fmt::print("{} flags downloaded in {:.2f}s\n", ok_, took.count());
  }

 private:
  task<> download(std::string country) {
    const auto permit = co_await at_most_.permit();
    std::string verdict = "ok";
    try {
      auto fetching = fetch(country);
      const bool found = co_await std::move(fetching);
      ++(found ? ok_ : not_found_);
      if (!found) verdict = "not found";
    } catch (const http::http_error& e) {
      ++error_;
      verdict = e.what();
    }
    show(country + " " + verdict);
  }
  task<bool> fetch(std::string cc) {
    for (char& c : cc) c = static_cast<char>(std::tolower(c));
    auto page = co_await web_.get(fmt::format("{0}/{1}/{1}.gif", options_.base, cc));
    if (page.status() == 404) co_return false;
    page.expect_success();
    save(cc + ".gif", co_await page.text());
    co_return true;
  }
  void show(const std::string& line) const {
    const auto all = options_.countries.size(), done = ok_ + not_found_ + error_;
    const std::string bar(40 * done / all, '#');
    if (options_.verbose) fmt::print("{}\n", line);
    if (!options_.verbose) fmt::print(stderr, "\r[{:.<40}] {}/{} ", bar, done, all);
  }

  const options& options_;
  http::client web_;
  semaphore at_most_;
  std::size_t ok_ = 0, not_found_ = 0, error_ = 0;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

int main(int argc, char** argv) try {
  const options o = parse(argc, argv);
  downloader all{o};
  run(with_nursery(std::bind_front(&downloader::download_all, &all)));
  all.report();
} catch (const std::exception& e) {
  fmt::print(stderr, "{}: {}\n", usage, e.what());
  return 1;
}
