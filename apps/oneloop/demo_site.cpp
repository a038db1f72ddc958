#include "demo_site.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <string_view>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/http/server.hpp"
#include "oneloop/http/server_tls.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/raw_address.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/testing/test_ca.hpp"

namespace tool {
namespace {

using namespace oneloop;
using http::error_kind;
using http::server_request;
using http::server_response;

const net::endpoint any_port{net::ip_address::loopback_v4(), 0};

/// The twenty-four boards: from 0 to a second, twelve seconds together.
constexpr int boards = 24;
duration thinking_time(int board) { return std::chrono::milliseconds{1000} * board / (boards - 1); }

std::string path_of(std::string_view word, int i) { return fmt::format("/{}/{}", word, i); }

server_response redirect(int status, std::string_view to) {
  return server_response{status}.field("Location", to);
}

task<server_response> answer(server_request& r) {
  const std::string_view path = r.path();
  const auto slash = path.rfind('/');
  const std::string_view word = path.substr(0, slash);
  int i = 0;
  std::from_chars(path.data() + slash + 1, path.data() + path.size(), i);
  if (word == "/page") co_return server_response{}.body(fmt::format("page {}\n", i));
  if (word == "/board") {
    co_await sleep_for(thinking_time(i));
    co_return server_response{}.body(fmt::format("board {}\n", i));
  }
  if (word == "/get-only") co_return server_response{r.method() == "HEAD" ? 405 : 200};
  if (word == "/error") co_return server_response{500};
  if (word == "/moved") {
    constexpr int statuses[] = {301, 302, 303, 307, 308};
    co_return redirect(statuses[i % 5], path_of("page", i));
  }
  if (word == "/circle") co_return redirect(302, i == 0 ? "/circle/1" : "/circle/0");
  if (word == "/endless") co_return redirect(302, path_of("endless", i + 1));
  co_return server_response{404}.body("no such page\n");
}

net::tls_context identity(const testing::test_certificate& c) {
  net::tls_server_options o;
  o.certificate = c.certificate;
  o.key = c.key;
  return net::tls_context::server(o);
}

/// Answers whatever comes with something that is not HTTP, or with nothing.
task<> misbehave(std::reference_wrapper<net::tcp_listener> listener, std::string_view reply) {
  while (true) {
    auto peer = co_await listener.get().accept();
    try {
      std::array<std::byte, 4096> request;
      (void)co_await peer.read_some(request);
      (void)co_await peer.write_all(net::bytes_of(reply));
    } catch (const error&) {
      continue;  // the peer has gone
    }
  }
}

/// A port that is taken, and on which nobody listens.
descriptor reserve_port() {
  descriptor d = descriptor::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const net::raw_address at{any_port};
  if (!d.is_open() || ::bind(d.fd(), at.data(), at.size()) != 0) {
    throw error{"bind", any_port.to_string(), system_code(errno)};
  }
  return d;
}

/// A text as a file that lives as long as the descriptor.
descriptor as_file(const char* name, std::string_view text) {
  descriptor d = descriptor::adopt(::memfd_create(name, MFD_CLOEXEC));
  if (!d.is_open() || ::write(d.fd(), text.data(), text.size()) != std::ssize(text)) {
    throw error{"write", name, system_code(errno)};
  }
  return d;
}

}  // namespace

struct demo_site::impl {
  impl() {
    ca_path = fmt::format("/proc/self/fd/{}", ca_file.fd());
    const std::string http = "http://" + plain.local_endpoint().to_string();
    const std::string https = fmt::format("https://localhost:{}", secure.local_endpoint().port());
    for (int i = 0; i < 60; ++i) ok(http + path_of("page", i));
    for (int i = 0; i < 50; ++i) ok(https + path_of("page", i));
    for (int i = 0; i < boards; ++i) ok((i % 2 == 0 ? http : https) + path_of("board", i));
    for (int i = 0; i < 6; ++i) ok(http + path_of("get-only", i));
    for (int i = 0; i < 20; ++i) ok((i < 10 ? http : https) + path_of("moved", i));
    for (int i = 0; i < 14; ++i) bad((i < 7 ? http : https) + path_of("none", i), 404);
    for (int i = 0; i < 10; ++i) bad((i < 5 ? http : https) + path_of("error", i), 500);
    bad(http + "/circle/0", error_kind::redirect);
    bad(https + "/circle/1", error_kind::redirect);
    bad(http + "/endless/0", error_kind::redirect);
    const auto nobody = net::raw_address::local_of(closed.fd()).to_endpoint().to_string();
    for (int i = 0; i < 5; ++i) bad("http://" + nobody + path_of("page", i), error_kind::refused);
    for (const auto* l : {&expired, &wrong_host, &unknown_ca}) {
      const auto port = l->local_endpoint().port();
      bad(fmt::format("https://localhost:{}/page/1", port), error_kind::tls);
      bad(fmt::format("https://127.0.0.1:{}/page/2", port), error_kind::tls);
    }
    bad("http://" + garbage.local_endpoint().to_string() + "/", error_kind::protocol);
    bad("http://" + silent.local_endpoint().to_string() + "/", error_kind::reset);
    bad("http://[::1/", error_kind::bad_url);
    bad("http//forgotten.colon/", error_kind::bad_url);
  }

  void ok(std::string url) { pages.push_back(expectation{std::move(url), std::nullopt, 200}); }
  void bad(std::string url, int status) {
    pages.push_back(expectation{std::move(url), error_kind::status, status});
  }
  void bad(std::string url, error_kind kind) {
    pages.push_back(expectation{std::move(url), kind, 0});
  }

  testing::test_ca ca;
  testing::test_ca stranger{"an authority that nobody trusts"};
  descriptor ca_file = as_file("oneloop-demo-ca", ca.certificate());
  std::string ca_path;
  http::server server{answer, http::server_options{}.stop_timeout(std::chrono::milliseconds{100})};
  net::tcp_listener plain{any_port}, secure{any_port};
  net::tcp_listener expired{any_port}, wrong_host{any_port}, unknown_ca{any_port};
  net::tcp_listener garbage{any_port}, silent{any_port};
  descriptor closed = reserve_port();
  std::vector<expectation> pages;
};

demo_site::demo_site() : impl_{std::make_unique<impl>()} {}
demo_site::~demo_site() = default;

void demo_site::start(nursery& n) {
  auto serve = [](http::server* s, net::tcp_listener* at, http::server::stream_step prepare) {
    return s->serve(*at, std::move(prepare));
  };
  const std::vector<std::string> here{"localhost", "127.0.0.1"};
  impl& i = *impl_;
  n.start(named{"http", serve}, &i.server, &i.plain, http::server::stream_step{});
  const auto https = [&](net::tcp_listener& at, const testing::test_certificate& c) {
    n.start(named{"https", serve}, &i.server, &at, http::tls_handshake(identity(c)));
  };
  https(i.secure, i.ca.issue(here));
  https(i.expired, i.ca.issue(here, testing::validity::expired));
  https(i.wrong_host, i.ca.issue({"somewhere.else.example"}));
  https(i.unknown_ca, i.stranger.issue(here));
  n.start(named{"garbage", misbehave}, std::ref(i.garbage), std::string_view{"SSH-2.0-demo\r\n"});
  n.start(named{"silent", misbehave}, std::ref(i.silent), std::string_view{});
}

const std::vector<expectation>& demo_site::pages() const noexcept { return impl_->pages; }
const std::string& demo_site::ca_file() const noexcept { return impl_->ca_path; }

}  // namespace tool
