// The client against a server that others wrote: nginx, over http and https. Skipped where it is
// not installed.
#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "oneloop/http/client_test.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/testing/test_ca.hpp"

extern char** environ;

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
namespace fs = std::filesystem;

/// An nginx of our own in a directory of its own, gone with this.
class nginx {
 public:
  static std::string program() {
    for (const char* path : {"/usr/sbin/nginx", "/usr/local/sbin/nginx", "/usr/bin/nginx"}) {
      if (::access(path, X_OK) == 0) return path;
    }
    return {};
  }

  nginx() {
    char name[] = "/tmp/oneloop-nginx-XXXXXX";
    dir_ = ::mkdtemp(name);
    fs::permissions(dir_, fs::perms::owner_all | fs::perms::others_exec | fs::perms::others_read);
    fs::create_directories(dir_ / "www");
    std::ofstream{dir_ / "www/small"} << "small\n";
    std::ofstream{dir_ / "www/large"} << std::string(3'000'000, 'n');
    const oneloop::testing::test_ca ca;
    const std::vector<std::string> names{"localhost"};
    const auto c = ca.issue(names);
    std::ofstream{dir_ / "ca.pem"} << ca.certificate();
    std::ofstream{dir_ / "site.pem"} << c.certificate;
    std::ofstream{dir_ / "site.key"} << c.key;
    {
      // Two numbers that are free now.
      const net::tcp_listener a{net::endpoint{net::ip_address::loopback_v4(), 0}};
      const net::tcp_listener b{net::endpoint{net::ip_address::loopback_v4(), 0}};
      plain_ = a.local_endpoint().port();
      secure_ = b.local_endpoint().port();
    }
    std::ofstream{dir_ / "nginx.conf"} << configuration();
    start();
  }
  ~nginx() {
    if (pid_ > 0) {
      ::kill(pid_, SIGTERM);
      ::waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    fs::remove_all(dir_, ignored);
  }

  [[nodiscard]] bool running() const { return pid_ > 0; }
  [[nodiscard]] std::string ca_file() const { return dir_ / "ca.pem"; }
  [[nodiscard]] std::string at(std::string_view path) const {
    return "http://localhost:" + std::to_string(plain_) + std::string{path};
  }
  [[nodiscard]] std::string secure_at(std::string_view path) const {
    return "https://localhost:" + std::to_string(secure_) + std::string{path};
  }

 private:
  [[nodiscard]] std::string configuration() const {
    std::string text = "daemon off; master_process off; pid nginx.pid; error_log error.log;\n";
    text += "events { worker_connections 1024; }\n";
    text += "http { access_log off; client_body_temp_path t; proxy_temp_path t;";
    text += " fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t; keepalive_timeout 5;\n";
    text += " keepalive_requests 7; root www;\n";
    for (const bool tls : {false, true}) {
      text += " server { listen 127.0.0.1:" + std::to_string(tls ? secure_ : plain_);
      text += tls ? " ssl; ssl_certificate site.pem; ssl_certificate_key site.key;" : ";";
      text += " server_name localhost; absolute_redirect off;\n";
      text += "  location = /moved { return 301 /small; }\n";
      text += "  location = /around { return 302 /around; }\n";
      text += "  location = /secure { return 302 " + secure_at("/small") + "; }\n";
      text += "  location = /chunked { chunked_transfer_encoding on; gzip on; gzip_min_length 1;";
      text += " gzip_types *; try_files /large =404; }\n";
      text += "  location = /close { keepalive_timeout 0; try_files /small =404; }\n }\n";
    }
    return text + "}\n";
  }

  void start() {
    std::string prefix = dir_;
    std::string config = dir_ / "nginx.conf";
    std::string log = dir_ / "error.log";
    std::string path = program();
    std::string p = "-p", c = "-c", e = "-e";
    char* const arguments[] = {path.data(),   p.data(), prefix.data(), c.data(),
                               config.data(), e.data(), log.data(),    nullptr};
    if (::posix_spawn(&pid_, path.c_str(), nullptr, nullptr, arguments, environ) != 0) pid_ = 0;
    for (int i = 0; i < 500 && pid_ > 0; ++i) {
      if (::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = 0;
      if (listens()) return;
      std::this_thread::sleep_for(10ms);
    }
    std::ifstream why{log};
    ADD_FAILURE() << "nginx did not start: "
                  << std::string{std::istreambuf_iterator<char>{why}, {}};
  }
  [[nodiscard]] bool listens() const {
    try {
      (void)await(net::connect(net::endpoint{net::ip_address::loopback_v4(), secure_}));
      return true;
    } catch (const error&) {
      return false;
    }
  }

  fs::path dir_;
  std::uint16_t plain_ = 0, secure_ = 0;
  pid_t pid_ = 0;
};

class http_nginx_on : public on_backends {
 protected:
  void SetUp() override {
    if (nginx::program().empty()) GTEST_SKIP() << "nginx is not installed";
  }
};
ON_BACKENDS(http_nginx_on);

TEST_P(http_nginx_on, files_redirects_and_errors_over_http_and_https) {
  const nginx site;
  if (!site.running()) return;
  go([&]() -> task<> {
    client c{client_options{}.ca_file(site.ca_file())};
    for (const bool tls : {false, true}) {
      auto at = [&](std::string_view path) { return tls ? site.secure_at(path) : site.at(path); };
      const auto small = co_await fetch(c, at("/small"));
      EXPECT_EQ(small, "small\n");
      const auto large = co_await fetch(c, at("/large"));
      EXPECT_EQ(large, std::string(3'000'000, 'n'));
      auto moved = co_await c.get(at("/moved"));
      EXPECT_EQ(moved.status(), 200);
      EXPECT_EQ(moved.final_url().href(), at("/small"));
      auto missing = co_await c.get(at("/missing"));
      EXPECT_EQ(missing.status(), 404);
      EXPECT_EQ(missing.reason(), "Not Found");
      auto head = co_await c.head(at("/large"));
      EXPECT_EQ(head.fields().get("Content-Length"), "3000000");
      const auto none = co_await head.text();
      EXPECT_EQ(none, "");
      const auto f = co_await failure_of(c.get(at("/around")));
      EXPECT_EQ(f.text, "redirect loop at " + at("/around"));
      const auto closed = co_await fetch(c, at("/close"));
      EXPECT_EQ(closed, "small\n");
    }
    auto up = co_await c.get(site.at("/secure"));
    EXPECT_EQ(up.final_url().href(), site.secure_at("/small"));
    (void)co_await up.discard();
    http::request packed{"GET", url::parse(site.at("/chunked")).value()};
    packed.fields().add("Accept-Encoding", "gzip");
    auto r = co_await c.send(packed);
    EXPECT_EQ(r.fields().get("Transfer-Encoding"), "chunked");
    const auto n = co_await r.discard();
    EXPECT_GT(n, 1000u);
    EXPECT_EQ(c.statistics().in_use, 0u);
  });
}

TEST_P(http_nginx_on, many_requests_at_once_over_few_connections) {
  const nginx site;
  if (!site.running()) return;
  go([&]() -> task<> {
    const std::size_t before = open_sockets();
    {
      client c{client_options{}.ca_file(site.ca_file()).per_host(20)};
      int right = 0;
      semaphore at_most{200};
      auto one = [&](int i) -> task<> {
        auto place = co_await at_most.permit();
        std::string target = site.at("/small");
        if (i % 4 == 0) target = site.secure_at("/small");
        const auto body = co_await fetch(c, std::move(target));
        right += body == "small\n" ? 1 : 0;
      };
      auto all = [&](nursery& n) -> task<> {
        for (int i = 0; i < 2000; ++i) n.start(std::ref(one), i);
        co_return;
      };
      co_await with_nursery(std::ref(all));
      EXPECT_EQ(right, 2000);
      EXPECT_EQ(c.statistics().in_use, 0u);
      EXPECT_EQ(c.statistics().opened + c.statistics().reused, 2000u + c.statistics().retried);
      EXPECT_LE(c.statistics().idle, 40u);
    }
    EXPECT_EQ(open_sockets(), before);
  });
}

}  // namespace
}  // namespace oneloop::inline v0::test
