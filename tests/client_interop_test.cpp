// Our HTTP client against servers that others wrote: Python's http.server (HTTP/1.0 and 1.1, plain
// and TLS), nginx, openssl s_server; on every backend. A missing program is a failure:
// tools/packages installs them all.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/http/client.hpp"
#include "oneloop/http/client_test.hpp"
#include "oneloop/testing/test_ca.hpp"

extern char** environ;

namespace oneloop::inline v0::test {
namespace {

using http::client;
using http::client_options;
using http::request;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

/// A directory with a site and its certificate, gone with this.
class site_directory {
 public:
  site_directory() {
    char name[] = "/tmp/oneloop-client-interop-XXXXXX";
    path = ::mkdtemp(name);
    fs::permissions(path, fs::perms::owner_all | fs::perms::others_exec | fs::perms::others_read);
    fs::create_directories(path / "dir");
    std::ofstream{path / "small"} << "small\n";
    std::ofstream{path / "empty"};
    std::ofstream{path / "large"} << std::string(3'000'000, 'l');
    std::ofstream{path / "dir/index.html"} << "<p>index\n";
    const oneloop::testing::test_ca ca;
    const std::vector<std::string> names{"localhost", "127.0.0.1"};
    const auto c = ca.issue(names);
    std::ofstream{path / "ca.pem"} << ca.certificate();
    std::ofstream{path / "site.pem"} << c.certificate;
    std::ofstream{path / "site.key"} << c.key;
  }
  ~site_directory() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  site_directory(const site_directory&) = delete;
  site_directory& operator=(const site_directory&) = delete;
  [[nodiscard]] std::string file(const std::string& name) const { return path / name; }
  fs::path path;
};

/// A number that is free now.
std::string free_port() {
  const net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
  return std::to_string(l.local_endpoint().port());
}

/// A server program, started in the directory, ended with this. It says its port on standard
/// output, behind `before_port`; or it listens on `port` when it is ready.
class server_program {
 public:
  server_program(const site_directory& at, const std::string& command,
                 const std::string& before_port, std::string port = {})
      : port_{std::move(port)} {
    int out[2];
    if (::pipe2(out, O_CLOEXEC) != 0) return;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, at.file("log").c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    std::string shell = "/bin/sh", c = "-c";
    std::string text = "cd " + at.path.string() + " && PATH=$PATH:/usr/sbin exec " + command;
    char* const arguments[] = {shell.data(), c.data(), text.data(), nullptr};
    if (::posix_spawn(&pid_, "/bin/sh", &actions, nullptr, arguments, environ) != 0) pid_ = 0;
    posix_spawn_file_actions_destroy(&actions);
    ::close(out[1]);
    keep_ = out[0];
    if (port_.empty()) {
      read_port(before_port);
    } else {
      wait_for_port();
    }
  }
  ~server_program() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    if (keep_ >= 0) ::close(keep_);
  }
  server_program(const server_program&) = delete;
  server_program& operator=(const server_program&) = delete;

  [[nodiscard]] std::string at(const std::string& path) const {
    return "http://127.0.0.1:" + port_ + path;
  }
  [[nodiscard]] std::string secure_at(const std::string& path) const {
    return "https://localhost:" + port_ + path;
  }
  [[nodiscard]] bool runs() const { return !port_.empty(); }

 private:
  void read_port(const std::string& before) {
    std::string said;
    char b = 0;
    while (port_.empty() && ::read(keep_, &b, 1) == 1) {
      said += b;
      const auto found = said.find(before);
      if (b == '\n' && found != said.npos) {
        const auto begin = found + before.size();
        port_ = said.substr(begin, said.find('\n', begin) - begin);
      }
    }
  }
  void wait_for_port() {
    const net::endpoint there{net::ip_address::loopback_v4(),
                              static_cast<std::uint16_t>(std::stoul(port_))};
    for (int i = 0; i < 1000 && ::waitpid(pid_, nullptr, WNOHANG) == 0; ++i) {
      try {
        (void)await(net::connect(there));
        return;
      } catch (const error&) {
        std::this_thread::sleep_for(5ms);
      }
    }
    port_.clear();
  }

  pid_t pid_ = 0;
  int keep_ = -1;
  std::string port_;
};

constexpr const char* python_server = R"(
import http.server, ssl, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = sys.argv[1]
    def log_message(self, *a): pass
    def do_POST(self):
        if self.headers['Transfer-Encoding'] == 'chunked':
            body = b''
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers['Content-Length']))
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
server.daemon_threads = True
if sys.argv[2] == 'tls':
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain('site.pem', 'site.key')
    server.socket = context.wrap_socket(server.socket, server_side=True)
print('port', server.server_address[1], flush=True)
server.serve_forever()
)";

task<http::response> send(client& c, std::string method, std::string text) {
  request r{std::move(method), url::parse(text).value()};
  auto sending = c.send(std::move(r));
  auto response = co_await std::move(sending);
  co_return std::move(response);
}

/// What every file server does alike.
task<> files_come_whole(client& c, std::function<std::string(const std::string&)> at) {
  for (int i = 0; i < 3; ++i) {
    const auto small = co_await fetch(c, at("/small"));
    EXPECT_EQ(small, "small\n");
  }
  const auto empty = co_await fetch(c, at("/empty"));
  EXPECT_EQ(empty, "");
  const auto large = co_await fetch(c, at("/large"));
  EXPECT_EQ(large, std::string(3'000'000, 'l'));
  auto heading = send(c, "HEAD", at("/large"));
  auto head = co_await std::move(heading);
  EXPECT_EQ(head.status(), 200);
  EXPECT_EQ(head.fields().get("Content-Length"), "3000000");
  const auto none = co_await head.text();
  EXPECT_EQ(none, "");
  auto asking = send(c, "GET", at("/missing"));
  auto missing = co_await std::move(asking);
  EXPECT_EQ(missing.status(), 404);
  (void)co_await missing.discard();
  auto moving = send(c, "GET", at("/dir"));
  auto moved = co_await std::move(moving);
  EXPECT_EQ(moved.final_url().path(), "/dir/");
  const auto index = co_await moved.text();
  EXPECT_EQ(index, "<p>index\n");
}

class client_interop : public on_backends {
 protected:
  /// Runs `body(client)` and looks for what it leaves.
  template <class Body>
  void with_client(const site_directory& site, Body body) {
    go([&]() -> task<> {
      const std::size_t before = open_sockets();
      {
        client c{client_options{}.ca_file(site.file("ca.pem"))};
        auto running = body(c);
        co_await std::move(running);
        EXPECT_EQ(c.statistics().in_use, 0u);
        auto closing = c.close();
        co_await std::move(closing);
      }
      EXPECT_EQ(open_sockets(), before);
    });
  }
};
ON_BACKENDS(client_interop);

TEST_P(client_interop, pythons_http_server) {
  const site_directory site;
  std::ofstream{site.path / "server.py"} << python_server;
  for (const std::string version : {"1.0", "1.1"}) {
    for (const std::string over : {"plain", "tls"}) {
      SCOPED_TRACE("HTTP/" + version + " " + over);
      const server_program python{site, "python3 server.py HTTP/" + version + " " + over, "port "};
      ASSERT_TRUE(python.runs());
      with_client(site, [&](client& c) -> task<> {
        auto at = [&](const std::string& path) {
          return over == "tls" ? python.secure_at(path) : python.at(path);
        };
        auto files = files_come_whole(c, at);
        co_await std::move(files);
        auto sending = c.post(at("/echo"), std::string(200'000, 'p'), "text/plain");
        auto echo = co_await std::move(sending);
        const auto body = co_await echo.text();
        EXPECT_EQ(body, std::string(200'000, 'p'));
        // 1.0 ends each connection; so does Python's answer of 404 by the field that says so.
        if (version == "1.0") {
          EXPECT_EQ(c.statistics().reused, 0u);
        } else {
          EXPECT_EQ(c.statistics().opened, 2u);
        }
      });
    }
  }
}

TEST_P(client_interop, openssl_s_server) {
  const site_directory site;
  for (const std::string version : {"-tls1_2", "-tls1_3"}) {
    SCOPED_TRACE(version);
    const server_program openssl{
        site,
        "openssl s_server -accept 127.0.0.1:0 -cert site.pem -key site.key "
        "-WWW " +
            version,
        "ACCEPT 127.0.0.1:"};
    ASSERT_TRUE(openssl.runs());
    with_client(site, [&](client& c) -> task<> {
      const auto small = co_await fetch(c, openssl.secure_at("/small"));
      EXPECT_EQ(small, "small\n");
      const auto large = co_await fetch(c, openssl.secure_at("/large"));
      EXPECT_EQ(large.size(), 3'000'000u);
    });
    const server_program status{site,
                                "openssl s_server -accept 127.0.0.1:0 -cert site.pem -key site.key "
                                "-www " +
                                    version,
                                "ACCEPT 127.0.0.1:"};
    ASSERT_TRUE(status.runs());
    with_client(site, [&](client& c) -> task<> {
      const auto page = co_await fetch(c, status.secure_at("/"));
      EXPECT_THAT(page, HasSubstr(version == "-tls1_2" ? "TLSv1.2" : "TLSv1.3"));
      EXPECT_THAT(page, HasSubstr("</HTML>"));
    });
    with_client(site, [&](client&) -> task<> {
      client stranger{client_options{}};
      const auto f = co_await failure_of(stranger.get(status.secure_at("/")));
      EXPECT_EQ(f.phase, "tls");
    });
  }
}

TEST_P(client_interop, nginx) {
  const site_directory site;
  const std::string plain = free_port(), secure = free_port();
  std::ofstream{site.path / "nginx.conf"}
      << "daemon off; master_process off; pid nginx.pid; error_log error.log;\n"
         "events { worker_connections 256; }\nhttp { access_log off; root .;\n"
         "client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t;\n"
         "scgi_temp_path t; server { absolute_redirect off; listen 127.0.0.1:"
      << secure
      << " ssl; ssl_certificate site.pem; ssl_certificate_key site.key; listen 127.0.0.1:" << plain
      << "; } }\n";
  const server_program nginx{site, "nginx -p . -c nginx.conf -e error.log", "", plain};
  ASSERT_TRUE(nginx.runs());
  for (const bool tls : {false, true}) {
    with_client(site, [&](client& c) -> task<> {
      auto at = [&](const std::string& path) {
        return tls ? "https://localhost:" + secure + path : nginx.at(path);
      };
      auto files = files_come_whole(c, at);
      co_await std::move(files);
      EXPECT_EQ(c.statistics().opened, 1u);
      request part{"GET", url::parse(at("/large")).value()};
      part.fields().add("Range", "bytes=2999990-");
      auto sending = c.send(part);
      auto rest = co_await std::move(sending);
      EXPECT_EQ(rest.status(), 206);
      EXPECT_EQ(rest.fields().get("Content-Range"), "bytes 2999990-2999999/3000000");
      const auto body = co_await rest.text();
      EXPECT_EQ(body, "llllllllll");
      request beyond{"GET", url::parse(at("/large")).value()};
      beyond.fields().add("Range", "bytes=3000000-");
      auto asking = c.send(beyond);
      auto refused = co_await std::move(asking);
      EXPECT_EQ(refused.status(), 416);
      (void)co_await refused.discard();
      auto heading = send(c, "HEAD", at("/small"));
      auto head = co_await std::move(heading);
      request same{"GET", url::parse(at("/small")).value()};
      same.fields().add("If-None-Match", head.fields().get("ETag").value_or(""));
      auto repeating = c.send(same);
      auto unchanged = co_await std::move(repeating);
      EXPECT_EQ(unchanged.status(), 304);
      const auto nothing = co_await unchanged.text();
      EXPECT_EQ(nothing, "");
    });
  }
}

}  // namespace
}  // namespace oneloop::inline v0::test
