// Ten thousand URLs of a real nginx, a thousand at a time, over http and https, on every backend:
// each gets its verdict, and every descriptor is given back.
#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "oneloop/check/check.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/testing/test_ca.hpp"

extern char** environ;

namespace {

using namespace std::chrono_literals;
using oneloop::check_method;
using oneloop::check_options;
using oneloop::check_result;
using oneloop::check_sink;
using oneloop::check_urls;
using oneloop::task;
namespace net = oneloop::net;
namespace fs = std::filesystem;

constexpr std::size_t urls = 10'000;
constexpr std::size_t at_a_time = 1000;

const char* nginx_path() {
  for (const char* path : {"/usr/sbin/nginx", "/usr/local/sbin/nginx",
                           "/usr/local/nginx/sbin/nginx", "/usr/bin/nginx"}) {
    if (::access(path, X_OK) == 0) return path;
  }
  return nullptr;
}

/// The program is built beside its tests.
std::string tool_path() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "oneloop").string();
}

/// Raises the limit of open files for this process and its children; whether it suffices.
bool enough_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur >= 4 * at_a_time;
}

std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* d = ::opendir("/proc/self/fd");
  while (::readdir(d) != nullptr) ++n;
  ::closedir(d);
  return n;
}

std::string slurp(const fs::path& path) {
  std::ifstream in{path};
  return {std::istreambuf_iterator<char>{in}, {}};
}

void spill(const fs::path& path, std::string_view text) { std::ofstream{path} << text; }

/// A free port; nobody else is likely to take it before nginx does.
std::uint16_t free_port() {
  net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
  return l.local_endpoint().port();
}

pid_t start(std::vector<std::string> command, const fs::path& output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  posix_spawn_file_actions_addopen(&actions, 2, (output.string() + ".err").c_str(),
                                   O_WRONLY | O_CREAT | O_TRUNC, 0644);
  std::vector<char*> argv;
  for (auto& word : command) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  if (::posix_spawn(&pid, command[0].c_str(), &actions, nullptr, argv.data(), environ) != 0)
    pid = -1;
  posix_spawn_file_actions_destroy(&actions);
  return pid;
}

/// An nginx of our own: one process, its files in a directory of its own.
class nginx {
 public:
  nginx() {
    std::string pattern = (fs::temp_directory_path() / "oneloop-nginx-XXXXXX").string();
    home_ = ::mkdtemp(pattern.data());
    fs::permissions(home_, fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
    const auto identity = ca_.issue({"localhost", "127.0.0.1"});
    spill(home_ / "cert.pem", identity.certificate);
    spill(home_ / "key.pem", identity.key);
    spill(home_ / "ca.pem", ca_.certificate());
    fs::create_directory(home_ / "site");
    spill(home_ / "site" / "page.txt", std::string(1024, 'x'));
    http_ = free_port();
    https_ = free_port();
    const std::string dir = home_.string();
    std::string config =
        "daemon off;\nmaster_process off;\nerror_log " + dir + "/error.log warn;\n";
    if (::geteuid() == 0) config += "user root;\n";
    config += "pid " + dir + "/pid;\nworker_rlimit_nofile 4000;\n";
    config += "events { worker_connections 4000; }\nhttp {\n access_log off;\n";
    for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
      config += std::string{" "} + kind + "_temp_path " + dir + "/" + kind + ";\n";
    }
    config +=
        " keepalive_requests 1000000;\n server {\n  listen 127.0.0.1:" + std::to_string(http_) +
        " backlog=4096;\n  listen 127.0.0.1:" + std::to_string(https_) +
        " ssl backlog=4096;\n  ssl_certificate " + dir + "/cert.pem;\n  ssl_certificate_key " +
        dir + "/key.pem;\n  root " + dir + "/site;\n  location /page/ { try_files /page.txt " +
        "=404; }\n }\n}\n";
    spill(home_ / "nginx.conf", config);
    pid_ = start({nginx_path(), "-p", dir, "-c", dir + "/nginx.conf", "-e", dir + "/error.log"},
                 home_ / "output");
  }
  ~nginx() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    fs::remove_all(home_);
  }
  nginx(const nginx&) = delete;
  nginx& operator=(const nginx&) = delete;

  /// Whether it answers, within 10 seconds.
  bool ready() {
    for (int i = 0; i < 200; ++i) {
      try {
        oneloop::run([](std::uint16_t port) -> task<> {
          (void)co_await net::connect(net::endpoint{net::ip_address::loopback_v4(), port});
        }(https_));
        return true;
      } catch (const oneloop::error&) {
        std::this_thread::sleep_for(50ms);
      }
    }
    return false;
  }
  [[nodiscard]] std::string url(const std::string& scheme, std::size_t i) const {
    return scheme + "://127.0.0.1:" + std::to_string(scheme == "http" ? http_ : https_) + "/page/" +
           std::to_string(i);
  }
  [[nodiscard]] fs::path file(const char* name) const { return home_ / name; }
  [[nodiscard]] std::string log() const { return slurp(home_ / "error.log"); }

 private:
  oneloop::testing::test_ca ca_;
  fs::path home_;
  std::uint16_t http_ = 0, https_ = 0;
  pid_t pid_ = -1;
};

std::vector<std::string> backends() {
  std::vector<std::string> names;
  const std::string all = oneloop::available_backends();
  for (const char* name : {"epoll", "io_uring"}) {
    if (all.find(name) != all.npos) names.emplace_back(name);
  }
  return names;
}

class nginx_load : public ::testing::TestWithParam<std::tuple<std::string, std::string>> {
 protected:
  void SetUp() override {
    if (nginx_path() == nullptr) GTEST_SKIP() << "nginx is not installed";
    if (!enough_descriptors()) GTEST_SKIP() << "the limit of open files is too low";
  }
};
INSTANTIATE_TEST_SUITE_P(all, nginx_load,
                         ::testing::Combine(::testing::ValuesIn(backends()),
                                            ::testing::Values("http", "https")),
                         [](const auto& chosen) {
                           return std::get<0>(chosen.param) + "_" + std::get<1>(chosen.param);
                         });

TEST_P(nginx_load, the_library_loses_no_url_and_no_descriptor) {
  const auto& [backend, scheme] = GetParam();
  nginx server;
  ASSERT_TRUE(server.ready()) << server.log();
  const auto before = open_descriptors();
  std::set<std::string> seen;
  std::size_t bad = 0;
  std::string first_bad;
  {
    auto sink = [&](check_result r) -> task<> {
      if (!r.ok && bad++ == 0) first_bad = r.url + ": " + r.error->message();
      if (r.ok) {
        EXPECT_EQ(r.bytes, 1024u);
      }
      seen.insert(std::move(r.url));
      co_return;
    };
    auto program = [&]() -> task<> {
      std::vector<std::string> list;
      for (std::size_t i = 0; i < urls; ++i) list.push_back(server.url(scheme, i));
      // A thousand handshakes at a time on a busy machine take what they take.
      oneloop::http::phase_timeouts patient;
      patient.connect = patient.tls = patient.write = patient.first_byte = patient.stall = 60s;
      auto options =
          check_options{}
              .concurrency(at_a_time)
              .method(check_method::get)
              .timeout(60s)
              .client(oneloop::http::client_options{}.per_host(at_a_time).timeouts(patient).ca_file(
                  server.file("ca.pem").string()));
      auto checking = check_urls(std::move(list), check_sink{sink}, std::move(options));
      const auto summary = co_await oneloop::fail_after(100s, std::move(checking));
      EXPECT_EQ(summary.total(), urls);
      EXPECT_EQ(summary.ok(), urls);
    };
    oneloop::run(program(), backend);
  }
  EXPECT_EQ(bad, 0u) << first_bad << "\n" << server.log();
  EXPECT_EQ(seen.size(), urls);
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(nginx_load, the_tool_reports_every_url) {
  const auto& [backend, scheme] = GetParam();
  if (::access(tool_path().c_str(), X_OK) != 0) GTEST_SKIP() << tool_path() << " is not built";
  nginx server;
  ASSERT_TRUE(server.ready()) << server.log();
  std::string list;
  for (std::size_t i = 0; i < urls; ++i) list += server.url(scheme, i) + "\n";
  spill(server.file("list"), list);
  const pid_t pid =
      start({tool_path(), "check", "--from", server.file("list"), "-c", std::to_string(at_a_time),
             "--backend", backend, "--cacert", server.file("ca.pem"), "--timeout", "60s",
             "--connect-timeout", "60s", "--per-host", std::to_string(at_a_time)},
            server.file("report"));
  ASSERT_GT(pid, 0);
  int status = -1;
  const auto until = std::chrono::steady_clock::now() + 100s;
  bool ended = false;
  while (!ended && std::chrono::steady_clock::now() < until) {
    ended = ::waitpid(pid, &status, WNOHANG) == pid;
    if (!ended) std::this_thread::sleep_for(10ms);
  }
  if (!ended) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, &status, 0);
  }
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0) << slurp(server.file("report.err")) << server.log();
  std::set<std::string> lines;
  std::ifstream report{server.file("report")};
  for (std::string line; std::getline(report, line);) {
    EXPECT_TRUE(lines.insert(line).second) << line;
  }
  EXPECT_EQ(lines.size(), urls);
  for (std::size_t i = 0; i < urls; i += 997) {
    EXPECT_TRUE(lines.contains(server.url(scheme, i) + " OK"));
  }
}

}  // namespace
