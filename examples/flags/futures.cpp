#include <fmt/core.h>

#include <filesystem>
#include <fstream>

#include "oneloop/http/client.hpp"
#include "oneloop/thread/thread_pool.hpp"
using namespace oneloop;

const std::vector<std::string> countries{"CN", "IN", "US", "ID", "BR", "PK", "NG",
                                         "BD", "RU", "JP", "MX", "PH", "VN", "ET",
                                         "EG", "DE", "IR", "TR", "CD", "FR"};

void save(const std::string& file, std::string_view image) {
  if (!(std::ofstream{file + ".part"} << image << std::flush))
    throw std::system_error{errno, std::generic_category(), file + ".part"};
  std::filesystem::rename(file + ".part", file);
}

void download(http::client& web, std::string base, std::string country) {
  std::string cc = country;
  for (char& c : cc) c = static_cast<char>(std::tolower(c));
  auto page = await(web.get(fmt::format("{0}/{1}/{1}.gif", base, cc)));
  page.expect_success();
  save(cc + ".gif", await(page.text()));
  fmt::print("{} ", country);
  std::fflush(stdout);
}

int main(int argc, char** argv) try {
  const auto start = std::chrono::steady_clock::now();
  const std::string base = argc > 1 ? argv[1] : "http://127.0.0.1:8001/flags";
  if (argc > 2) std::filesystem::current_path(argv[2]);
  http::client web;
  thread_pool pool{countries.size()};
  std::vector<future<>> downloads;
  for (auto& country : countries)
    downloads.push_back(pool.submit(download, std::ref(web), base, country));
  for (auto& done : downloads) done.result();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  fmt::print("\n{} flags downloaded in {:.2f}s\n", countries.size(), took.count());
} catch (const std::exception& e) {
  fmt::print(stderr, "flags/futures [BASE_URL [DEST_DIR]]: {}\n", e.what());
  return 1;
}
