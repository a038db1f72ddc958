// Clients that others wrote against our HTTP server: curl, Python's http.client and bare sockets,
// openssl s_client; over TCP, a Unix socket and TLS, on every backend. A missing program is a
// failure: tools/packages installs them all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "oneloop/http/server.hpp"
#include "oneloop/http/server_tls.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace oneloop::http {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

task<> five_pieces(body_writer& out) {
  for (int i = 0; i < 5; ++i) {
    const std::string piece(20'000, static_cast<char>('a' + i));
    co_await out.write(piece);
  }
}

task<server_response> answer(server_request& r) {
  const auto path = r.path();
  if (path == "/hello") co_return server_response{}.body("hello\n");
  if (path == "/empty") co_return server_response{204};
  if (path == "/chunked") co_return server_response{}.stream(five_pieces);
  if (path == "/sized") co_return server_response{}.stream(five_pieces).length(100'000);
  if (path == "/big") co_return server_response{}.body(std::string(3'000'000, 'b'));
  if (path == "/echo") {
    auto reading = r.read_body();
    std::string& body = co_await std::move(reading);
    co_return server_response{}.body(std::move(body));
  }
  if (path == "/upload") {
    std::size_t size = 0;
    std::array<std::byte, 10'000> piece;
    while (true) {
      auto reading = r.read_some(piece);
      const auto n = co_await std::move(reading);
      if (n == 0) break;
      size += n;
    }
    co_return server_response{}.body(std::to_string(size) + " bytes\n");
  }
  co_return server_response{404}.body("nothing here\n");
}

struct result {
  int status = 0;
  std::string text;  // standard output and error
};

/// Runs a command of the shell, for at most 30 seconds.
result shell(const std::string& command) {
  result r;
  std::FILE* f = ::popen(("exec 2>&1; " + command).c_str(), "r");
  if (f == nullptr) return {-1, "popen failed"};
  char piece[4096];
  while (const std::size_t n = std::fread(piece, 1, sizeof piece, f)) r.text.append(piece, n);
  const int status = ::pclose(f);
  r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return r;
}

/// A server on a thread of its own, over TCP, TLS and a Unix socket; and a directory for files.
class site {
 public:
  explicit site(const std::string& backend) {
    char name[] = "/tmp/oneloop-interop-XXXXXX";
    dir = ::mkdtemp(name);
    const testing::test_ca ca;
    std::ofstream{dir + "/ca.pem"} << ca.certificate();
    const auto issued = ca.issue({"localhost", "127.0.0.1"});
    net::tls_server_options o;
    o.certificate = issued.certificate;
    o.key = issued.key;
    context_ = net::tls_context::server(o);
    local_ = net::unix_listener{net::unix_address{dir + "/socket"}};
    server_ = std::make_unique<server>(
        answer, server_options{}.stream_bodies().max_body(4'000'000).stop_timeout(1s));
    thread_ = std::thread{[this, backend] { run(serve(), backend); }};
  }
  ~site() {
    plain_.close();
    secure_.close();
    local_.close();
    thread_.join();
    const auto left = server_->statistics();
    EXPECT_EQ(left.connections, 0u);
    EXPECT_EQ(left.idle, 0u);
    std::filesystem::remove_all(dir);
  }
  site(const site&) = delete;
  site& operator=(const site&) = delete;

  [[nodiscard]] std::string port() const { return std::to_string(plain_.local_endpoint().port()); }
  [[nodiscard]] std::string tls_port() const {
    return std::to_string(secure_.local_endpoint().port());
  }
  [[nodiscard]] std::string at(const std::string& path) const {
    return "http://127.0.0.1:" + port() + path;
  }
  [[nodiscard]] std::string secure_at(const std::string& path) const {
    return "https://localhost:" + tls_port() + path;
  }
  result curl(const std::string& arguments) const {
    return shell("timeout 30 curl -sS --max-time 20 --noproxy '*' --cacert " + dir + "/ca.pem " +
                 arguments);
  }
  /// Runs `script`, for which PORT, TLS_PORT and CA are set.
  result python(const std::string& script) const {
    std::ofstream{dir + "/script.py"} << "PORT = " + port() + "\nTLS_PORT = " + tls_port() +
                                             "\nCA = '" + dir + "/ca.pem'\n" + script;
    return shell("timeout 30 python3 " + dir + "/script.py");
  }

  std::string dir;

 private:
  task<> serve() {
    co_await with_nursery([this](nursery& n) -> task<> {
      n.start([this]() -> task<> {
        auto serving = server_->serve(plain_);
        co_await std::move(serving);
      });
      n.start([this]() -> task<> {
        auto serving = server_->serve(secure_, tls_handshake(*context_));
        co_await std::move(serving);
      });
      n.start([this]() -> task<> {
        auto serving = server_->serve(local_);
        co_await std::move(serving);
      });
      co_return;
    });
  }

  net::tcp_listener plain_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  net::tcp_listener secure_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  net::unix_listener local_;
  std::optional<net::tls_context> context_;
  std::unique_ptr<server> server_;
  std::thread thread_;
};

class server_interop : public on_backends {};
ON_BACKENDS(server_interop);

TEST_P(server_interop, curl_keeps_the_connection) {
  const site s{GetParam()};
  const auto r = s.curl("-v " + s.at("/hello") + " " + s.at("/empty") + " " + s.at("/chunked") +
                        " " + s.at("/sized") + " " + s.at("/hello"));
  EXPECT_EQ(r.status, 0) << r.text;
  std::size_t reused = 0;
  for (std::size_t at = 0; (at = r.text.find("Re-using existing connection", at)) != r.text.npos;) {
    ++at;
    ++reused;
  }
  EXPECT_EQ(reused, 4u) << r.text;
  EXPECT_THAT(r.text, HasSubstr("204 No Content"));
  EXPECT_THAT(r.text, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(r.text, HasSubstr("Content-Length: 100000"));
}

TEST_P(server_interop, curl_asks_for_heads) {
  const site s{GetParam()};
  const auto r = s.curl("-I " + s.at("/big") + " " + s.at("/chunked") + " " + s.at("/nowhere"));
  EXPECT_EQ(r.status, 0) << r.text;
  EXPECT_THAT(r.text, HasSubstr("Content-Length: 3000000"));
  EXPECT_THAT(r.text, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(r.text, HasSubstr("404 Not Found"));
  EXPECT_THAT(r.text, Not(HasSubstr("nothing here")));
}

TEST_P(server_interop, curl_uploads) {
  const site s{GetParam()};
  std::ofstream{s.dir + "/file"} << std::string(2'000'000, 'u');
  const auto chunked =
      s.curl("-v -T - -H 'Expect: 100-continue' " + s.at("/upload") + " < " + s.dir + "/file");
  EXPECT_EQ(chunked.status, 0) << chunked.text;
  EXPECT_THAT(chunked.text, HasSubstr("Transfer-Encoding: chunked"));
  EXPECT_THAT(chunked.text, HasSubstr("HTTP/1.1 100 Continue"));
  EXPECT_THAT(chunked.text, HasSubstr("2000000 bytes\n"));
  const auto sized = s.curl("-v --data-binary @" + s.dir + "/file " + s.at("/upload"));
  EXPECT_EQ(sized.status, 0) << sized.text;
  EXPECT_THAT(sized.text, HasSubstr("Content-Length: 2000000"));
  EXPECT_THAT(sized.text, HasSubstr("2000000 bytes\n"));
  const auto form = s.curl("-d 'a=b&c=d' " + s.at("/echo"));
  EXPECT_EQ(form.text, "a=b&c=d");
  // Refused on sight; and not wanted.
  std::ofstream{s.dir + "/huge"} << std::string(5'000'000, 'h');
  const auto huge =
      s.curl("-o /dev/null -w '%{http_code}' --data-binary @" + s.dir + "/huge " + s.at("/upload"));
  EXPECT_THAT(huge.text, HasSubstr("413"));
  const auto unwanted =
      s.curl("-v -H 'Expect: 100-continue' --data-binary @" + s.dir + "/file " + s.at("/hello"));
  EXPECT_EQ(unwanted.status, 0) << unwanted.text;
  EXPECT_THAT(unwanted.text, Not(HasSubstr("100 Continue")));
  EXPECT_THAT(unwanted.text, HasSubstr("hello\n"));
}

TEST_P(server_interop, curl_speaks_http_1_0) {
  const site s{GetParam()};
  const auto r =
      s.curl("--http1.0 -v -o /dev/null -w '%{size_download} bytes' " + s.at("/chunked"));
  EXPECT_EQ(r.status, 0);
  EXPECT_THAT(r.text, HasSubstr("Connection: close"));
  EXPECT_THAT(r.text, Not(HasSubstr("Transfer-Encoding")));
  EXPECT_THAT(r.text, HasSubstr("100000 bytes"));
  const auto kept =
      s.curl("--http1.0 -v -H 'Connection: keep-alive' " + s.at("/sized") + " " + s.at("/hello"));
  EXPECT_THAT(kept.text, HasSubstr("Re-using existing connection"));
}

TEST_P(server_interop, curl_comes_over_unix_sockets_and_tls) {
  const site s{GetParam()};
  const auto local =
      s.curl("--unix-socket " + s.dir + "/socket http://local/hello http://local/sized");
  EXPECT_EQ(local.status, 0) << local.text;
  EXPECT_THAT(local.text, StartsWith("hello\naaaa"));
  const auto secure = s.curl("-v " + s.secure_at("/hello") + " " + s.secure_at("/big"));
  EXPECT_EQ(secure.status, 0);
  EXPECT_THAT(secure.text, HasSubstr("Re-using existing connection"));
  EXPECT_THAT(secure.text, HasSubstr("SSL certificate verify ok"));
  std::ofstream{s.dir + "/file"} << std::string(1'500'000, 'u');
  const auto upload = s.curl("-T " + s.dir + "/file " + s.secure_at("/upload"));
  EXPECT_EQ(upload.text, "1500000 bytes\n");
}

TEST_P(server_interop, curl_comes_many_times_at_once) {
  const site s{GetParam()};
  const auto r = s.curl(
      "-Z --parallel-immediate --parallel-max 30 -o /dev/null -w "
      "'%{http_code} %{size_download}\\n' '" +
      s.at("/sized") + "?[1-100]' 2>/dev/null");
  EXPECT_EQ(r.status, 0) << r.text;
  std::size_t good = 0;
  for (std::size_t at = 0; (at = r.text.find("200 100000\n", at)) != r.text.npos; ++at) ++good;
  EXPECT_EQ(good, 100u) << r.text;
}

TEST_P(server_interop, pythons_http_client_talks_to_it) {
  const site s{GetParam()};
  const auto r = s.python(R"(
import http.client, ssl
def talk(c):
    c.request('GET', '/hello')
    r = c.getresponse()
    assert (r.status, r.version, r.read()) == (200, 11, b'hello\n')
    sock = c.sock
    c.request('HEAD', '/big')
    r = c.getresponse()
    assert r.getheader('Content-Length') == '3000000' and r.read() == b''
    c.request('GET', '/chunked')
    assert len(c.getresponse().read()) == 100000
    c.request('GET', '/empty')
    r = c.getresponse()
    assert r.status == 204 and r.read() == b''
    c.request('POST', '/upload', body=(b'x' * 1000 for i in range(500)), encode_chunked=True)
    assert c.getresponse().read() == b'500000 bytes\n'
    c.request('PUT', '/echo', body=b'\x00\xff' * 1000)
    assert c.getresponse().read() == b'\x00\xff' * 1000
    assert c.sock is sock
    c.request('GET', '/hello', headers={'Connection': 'close'})
    assert c.getresponse().read() == b'hello\n' and c.sock is None
talk(http.client.HTTPConnection('127.0.0.1', PORT, timeout=10))
talk(http.client.HTTPSConnection('localhost', TLS_PORT, timeout=10,
                                 context=ssl.create_default_context(cafile=CA)))
print('good')
)");
  EXPECT_EQ(r.text, "good\n");
}

TEST_P(server_interop, bare_sockets_pipeline_dribble_and_leave) {
  const site s{GetParam()};
  const auto r = s.python(R"(
import socket, time
def ask(data, end=False):
    c = socket.create_connection(('127.0.0.1', PORT), timeout=10)
    for piece in data: c.sendall(piece)
    if end: c.shutdown(socket.SHUT_WR)
    all = b''
    while True:
        b = c.recv(65536)
        if not b: return all
        all += b
get = b'GET /hello HTTP/1.1\r\nHost: a\r\n\r\n'
post = b'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n%05d'
last = b'GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
got = ask([b''.join(get + post % i for i in range(300)) + last])
assert got.count(b'HTTP/1.1 200 OK') == 601, got.count(b'HTTP/1.1 200 OK')
at = -1
for i in range(300):
    at = got.index(b'\r\n\r\n%05d' % i, at + 1)
# A byte at a time.
assert ask([last[i:i+1] for i in range(len(last))]).endswith(b'hello\n')
# Half closed at once.
assert ask([get], end=True).endswith(b'hello\n')
# Empty lines before a request are skipped.
assert ask([b'\r\n\r\n' + last]).endswith(b'hello\n')
for bad in [b'GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n',
            b'GET / HTTP/1.1\r\nHost: a\r\n X: y\r\n\r\n', b'\x16\x03\x01']:
    assert ask([bad]).startswith(b'HTTP/1.1 400'), bad
assert ask([b'GET /hello\r\n\r\n']).startswith(b'HTTP/1.1 505')  # HTTP/0.9
# Those who leave in the middle do no harm.
for data in [b'', b'GET', get[:-2], b'POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc']:
    c = socket.create_connection(('127.0.0.1', PORT))
    c.sendall(data)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
    c.close()
c = socket.create_connection(('127.0.0.1', PORT))
c.sendall(get.replace(b'hello', b'big') * 20)
c.recv(100)
c.close()
assert ask([last]).endswith(b'hello\n')
print('good')
)");
  EXPECT_EQ(r.text, "good\n");
}

TEST_P(server_interop, openssl_s_client_shakes_hands_and_resumes) {
  const site s{GetParam()};
  const std::string request =
      "printf 'GET /hello HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' | "
      "timeout 30 openssl s_client -connect 127.0.0.1:" +
      s.tls_port() +
      " -servername localhost -verify_hostname localhost -verify_return_error -CAfile " + s.dir +
      "/ca.pem -ign_eof ";
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    const std::string saved = s.dir + "/session";
    const auto first = shell(request + version + " -sess_out " + saved);
    EXPECT_EQ(first.status, 0) << first.text;
    EXPECT_THAT(first.text,
                AllOf(HasSubstr("Verify return code: 0 (ok)"), HasSubstr("\r\n\r\nhello\n")));
    const auto second = shell(request + version + " -sess_in " + saved);
    EXPECT_THAT(second.text, AllOf(HasSubstr("Reused, TLSv1."), HasSubstr("\r\n\r\nhello\n")))
        << second.text;
  }
  const auto old = shell(request + "-tls1_1");
  EXPECT_NE(old.status, 0) << old.text;
  EXPECT_THAT(old.text, Not(HasSubstr("hello\n")));
}

}  // namespace
}  // namespace oneloop::http
