// What 10,000 idle keep-alive connections cost the HTTP server. The client is another process (this
// program again), so that the memory measured is the server's.
#include <arpa/inet.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "oneloop/http/server.hpp"
#include "oneloop/http/server_tls.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/testing/test_ca.hpp"

extern char** environ;

namespace oneloop::http {
namespace {

using namespace test;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool measures = false;  // the sanitizer's own memory would be measured
#else
constexpr bool measures = true;
#endif

/// What the client and the tests want to hold, as far as the limit of descriptors allows.
std::size_t possible(std::size_t wanted) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(wanted, limit.rlim_cur < 300 ? 100 : limit.rlim_cur - 200);
}

// ---- the client ----

const std::string question = "GET /idle HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// One request on each of `streams`, all under way at once; how many were answered.
template <class Stream>
task<std::size_t> ask(std::span<Stream> streams) {
  for (Stream& s : streams) (void)co_await s.write_all(net::bytes_of(question));
  std::size_t answered = 0;
  for (Stream& s : streams) {
    std::string reply;
    while (!reply.ends_with("idle\n")) {
      std::array<std::byte, 1024> b;
      const auto n = co_await s.read_some(b);
      if (n == 0) break;
      reply += text_of(std::span{b}.first(n));
    }
    answered += reply.starts_with("HTTP/1.1 200 OK\r\n") ? 1 : 0;
  }
  co_return answered;
}

/// A line to the server, and one from it.
task<> report(std::size_t n) {
  std::cout << n << std::endl;
  std::string go;
  std::getline(std::cin, go);
  co_return;
}

/// Opens connections that are used once and then idle; at the end some are used again, then all are
/// read to their end.
template <class Stream, class Connect>
task<> hold(std::size_t n, Connect connect) {
  std::vector<Stream> held;
  held.reserve(n + 1);
  std::size_t answered = 0;
  constexpr std::size_t at_once = 100;
  while (held.size() < n + 1) {
    // The first one warms the server up.
    const std::size_t begin = held.size(), end = begin == 0 ? 1 : std::min(begin + at_once, n + 1);
    while (held.size() < end) {
      auto connecting = connect();
      held.push_back(co_await std::move(connecting));
    }
    auto asking = ask(std::span{held}.subspan(begin));
    answered += co_await std::move(asking);
    if (begin == 0) co_await report(answered);
  }
  co_await report(answered);
  std::size_t again = 0;
  for (std::size_t i = 0; i < held.size(); i += 97) {
    auto asking = ask(std::span{held}.subspan(i, 1));
    again += co_await std::move(asking);
  }
  co_await report(again);
  std::size_t ended = 0;
  for (Stream& s : held) {
    std::array<std::byte, 16> b;
    const auto rest = co_await s.read_some(b);
    ended += rest == 0 ? 1 : 0;
  }
  co_await report(ended);
}

int client(std::uint16_t port, std::size_t n, const std::string& ca) {
  (void)possible(n);
  const net::endpoint server{net::ip_address::loopback_v4(), port};
  if (ca.empty()) {
    auto connect = [&]() -> task<net::tcp_stream> {
      auto s = co_await net::connect(server);
      co_return std::move(s);
    };
    run(hold<net::tcp_stream>(n, connect));
  } else {
    net::tls_client_options trust;
    trust.ca_file = ca;
    trust.resume = false;
    const auto context = net::tls_context::client(trust);
    auto connect = [&]() -> task<net::tls_stream<net::tcp_stream>> {
      auto s = co_await net::connect(server);
      auto shaking = net::connect_tls(std::move(s), context, "localhost");
      auto secure = co_await std::move(shaking);
      co_return std::move(secure);
    };
    run(hold<net::tls_stream<net::tcp_stream>>(n, connect));
  }
  return 0;
}

// ---- the server ----

/// This program as a client, with pipes to its standard input and output.
class client_process {
 public:
  client_process(std::uint16_t port, std::size_t n, const std::string& ca) {
    int in[2], out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) std::abort();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], 0);
    posix_spawn_file_actions_adddup2(&actions, out[1], 1);
    std::string p = std::to_string(port), count = std::to_string(n), trusted = ca;
    char name[] = "client", mode[] = "--hold";
    char* argv[] = {name, mode, p.data(), count.data(), trusted.data(), nullptr};
    if (::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv, environ) != 0) std::abort();
    posix_spawn_file_actions_destroy(&actions);
    ::close(in[0]);
    ::close(out[1]);
    to_ = in[1];
    (void)make_nonblocking(out[0]);
    from_ = descriptor::adopt(out[0]);
  }
  ~client_process() {
    ::close(to_);
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  client_process(const client_process&) = delete;
  client_process& operator=(const client_process&) = delete;

  /// The number that it reports next.
  task<std::size_t> report() {
    std::string line;
    while (!line.ends_with('\n')) {
      std::array<std::byte, 64> b;
      const auto n = co_await io::read(from_, b);
      if (n <= 0) throw error{errc::closed, "the client has ended"};
      line += text_of(std::span{b}.first(static_cast<std::size_t>(n)));
    }
    co_return std::stoul(line);
  }
  void go_on() const { EXPECT_EQ(::write(to_, "\n", 1), 1); }

 private:
  pid_t pid_ = 0;
  int to_ = -1;
  descriptor from_;
};

std::size_t resident_bytes() {
  std::ifstream f{"/proc/self/smaps_rollup"};
  std::string word;
  while (f >> word) {
    if (word == "Rss:") break;
  }
  std::size_t kib = 0;
  f >> kib;
  return kib * 1024;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all{"/proc/self/fd"};
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

task<server_response> answer(server_request&) { co_return server_response{}.body("idle\n"); }

class http_server_idle : public on_backends {
 protected:
  /// Bytes of this process for each of `n` idle connections.
  void measure(std::size_t n, server::stream_step prepare, const std::string& ca, double& each) {
    go([&]() -> task<> {
      const std::size_t before_all = open_descriptors();
      {
        net::tcp_listener l{net::endpoint{net::ip_address::loopback_v4(), 0}};
        server s{answer, server_options{}.max_connections(n + 1).idle_timeout(120s)};
        client_process peer{l.local_endpoint().port(), n, ca};
        co_await with_nursery([&](nursery& children) -> task<> {
          children.start([&]() -> task<> {
            auto serving = s.serve(l, prepare);
            co_await std::move(serving);
          });
          auto warm = co_await peer.report();
          EXPECT_EQ(warm, 1u);
          co_await sleep_for(50ms);
          (void)::malloc_trim(0);  // what earlier tests have left
          const std::size_t before = resident_bytes();
          peer.go_on();
          auto answered = co_await peer.report();
          EXPECT_EQ(answered, n + 1);
          while (s.statistics().idle < n + 1) co_await sleep_for(5ms);
          each = static_cast<double>(resident_bytes() - before) / static_cast<double>(n);
          EXPECT_EQ(s.statistics().connections, n + 1);
          peer.go_on();
          auto again = co_await peer.report();
          EXPECT_EQ(again, n / 97 + 1);
          while (s.statistics().idle < n + 1) co_await sleep_for(5ms);
          peer.go_on();
          children.cancel();
        });
        EXPECT_EQ(s.statistics().connections, 0u);
        EXPECT_EQ(s.statistics().idle, 0u);
        EXPECT_EQ(s.statistics().failed, 0u);
        auto ended = co_await peer.report();
        EXPECT_EQ(ended, n + 1);
        peer.go_on();
      }
      EXPECT_EQ(open_descriptors(), before_all);
    });
  }
};
ON_BACKENDS(http_server_idle);

TEST_P(http_server_idle, ten_thousand_connections_cost_at_most_1_kb_each) {
  const std::size_t n = possible(measures ? 10'000 : 500);
  double each = 0;
  measure(n, {}, "", each);
  if (measures) {
    std::cout << n << " idle http connections: " << each << " bytes each" << std::endl;
    EXPECT_LE(each, 1024);
  }
}

TEST_P(http_server_idle, tls_connections_say_what_they_cost) {
  const std::size_t n = possible(measures ? 1'000 : 100);
  const testing::test_ca ca;
  const auto issued = ca.issue({"localhost"});
  net::tls_server_options o;
  o.certificate = issued.certificate;
  o.key = issued.key;
  const std::string trusted = std::filesystem::temp_directory_path() /
                              ("oneloop-idle-ca-" + std::to_string(::getpid()) + ".pem");
  std::ofstream{trusted} << ca.certificate();
  double each = 0;
  measure(n, tls_handshake(net::tls_context::server(o)), trusted, each);
  std::filesystem::remove(trusted);
  if (measures) {
    std::cout << n << " idle https connections: " << each << " bytes each" << std::endl;
    EXPECT_LE(each, 64 * 1024);
  }
}

}  // namespace
}  // namespace oneloop::http

int main(int argc, char** argv) {
  if (argc == 5 && std::string_view{argv[1]} == "--hold") {
    return oneloop::http::client(static_cast<std::uint16_t>(std::stoul(argv[2])),
                                 std::stoul(argv[3]), argv[4]);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
