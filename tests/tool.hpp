// What the tests of the real program share: running it, and a site to run it against.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "oneloop/http/server.hpp"
#include "oneloop/http/server_tls.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/raw_address.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/testing/test_ca.hpp"

extern char** environ;

namespace tool_test {

using namespace std::chrono_literals;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using testing::UnorderedElementsAre;
using clock_type = std::chrono::steady_clock;

// ---- the program ----

/// The program is built beside its tests.
inline std::string tool_path() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "oneloop").string();
}

class descriptor {
 public:
  explicit descriptor(int fd = -1) : fd_{fd} {}
  descriptor(descriptor&& o) noexcept : fd_{std::exchange(o.fd_, -1)} {}
  descriptor& operator=(descriptor&& o) noexcept {
    std::swap(fd_, o.fd_);
    return *this;
  }
  ~descriptor() { reset(); }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

inline std::pair<descriptor, descriptor> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) std::abort();
  return {descriptor{ends[0]}, descriptor{ends[1]}};
}

/// A process of ours with pipes on its standard streams. Never outlives the test.
class process {
 public:
  /// `terminal`: becomes its standard error (and output, if `out_too`).
  explicit process(std::vector<std::string> command, int terminal = -1, bool out_too = false) {
    auto input = make_pipe();
    auto output = make_pipe();
    auto errors = make_pipe();
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input.first.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, out_too ? terminal : output.second.get(), 1);
    posix_spawn_file_actions_adddup2(&actions, terminal >= 0 ? terminal : errors.second.get(), 2);
    std::vector<char*> argv;
    for (auto& word : command) argv.push_back(word.data());
    argv.push_back(nullptr);
    begun_ = clock_type::now();
    if (::posix_spawn(&pid_, command[0].c_str(), &actions, nullptr, argv.data(), environ) != 0) {
      pid_ = -1;
      ADD_FAILURE() << "cannot start " << command[0];
    }
    posix_spawn_file_actions_destroy(&actions);
    in_ = std::move(input.second);
    out_ = std::move(output.first);
    err_ = std::move(errors.first);
  }
  ~process() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  process(const process&) = delete;
  process& operator=(const process&) = delete;

  void write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(in_.get(), text.data(), text.size());
      if (n <= 0) break;
      text.remove_prefix(static_cast<std::size_t>(n));
    }
  }
  void end_input() { in_.reset(); }
  void close_output() { out_.reset(); }
  void signal(int s) { ::kill(pid_, s); }
  /// Waits until it has a handler for this signal, for 10 seconds at most.
  bool wait_for_handler(int s) {
    const auto until = clock_type::now() + 10s;
    while (clock_type::now() < until) {
      std::ifstream status{"/proc/" + std::to_string(pid_) + "/status"};
      for (std::string line; std::getline(status, line);) {
        if (!line.starts_with("SigCgt:")) continue;
        if ((std::stoull(line.substr(7), nullptr, 16) >> (s - 1) & 1) != 0) return true;
      }
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }
  /// Reads its standard output until it holds `text`, or for 10 seconds.
  bool wait_for_output(std::string_view text) {
    const auto until = clock_type::now() + 10s;
    while (out.find(text) == out.npos && clock_type::now() < until) {
      if (!gather(100ms, true)) break;
    }
    return out.find(text) != out.npos;
  }
  /// Takes what it says for so long, or until it has said all.
  void listen(std::chrono::milliseconds time) {
    const auto until = clock_type::now() + time;
    while (clock_type::now() < until && gather(1ms, true)) {
    }
  }
  /// Until it has ended, at most so long: its exit status, or minus the signal that ended it.
  int wait(bool read_output = true, std::chrono::seconds limit = 40s) {
    in_.reset();
    const auto until = clock_type::now() + limit;
    int status = 0;
    while (clock_type::now() < until) {
      (void)gather(20ms, read_output);
      if (::waitpid(pid_, &status, WNOHANG) == pid_) {
        pid_ = -1;
        while (gather(0ms, read_output)) {
        }
        return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
      }
    }
    ADD_FAILURE() << "the program did not end";
    return -1;
  }
  [[nodiscard]] clock_type::time_point begun() const { return begun_; }

  std::string out, err;

 private:
  /// Reads what comes within `patience`; false if both streams have ended (or nothing came at
  /// once).
  bool gather(std::chrono::milliseconds patience, bool with_output) {
    pollfd fds[2] = {{with_output ? out_.get() : -1, POLLIN, 0}, {err_.get(), POLLIN, 0}};
    if (fds[0].fd < 0 && fds[1].fd < 0) {
      std::this_thread::sleep_for(patience);
      return false;
    }
    if (::poll(fds, 2, static_cast<int>(patience.count())) <= 0) return patience > 0ms;
    take(fds[0], out_, out);
    take(fds[1], err_, err);
    return out_.get() >= 0 || err_.get() >= 0;
  }
  static void take(const pollfd& p, descriptor& from, std::string& to) {
    if (p.fd < 0 || p.revents == 0) return;
    char buffer[65536];
    const ssize_t n = ::read(from.get(), buffer, sizeof buffer);
    if (n <= 0) {
      from.reset();
    } else {
      to.append(buffer, static_cast<std::size_t>(n));
    }
  }

  pid_t pid_ = -1;
  descriptor in_, out_, err_;
  clock_type::time_point begun_;
};

inline std::vector<std::string> command_of(std::string_view name,
                                           std::vector<std::string> arguments) {
  std::vector<std::string> all{tool_path(), std::string{name}};
  all.insert(all.end(), arguments.begin(), arguments.end());
  return all;
}

inline std::vector<std::string> check_command(std::vector<std::string> arguments) {
  return command_of("check", std::move(arguments));
}

struct outcome {
  int status = 0;
  std::string out, err;
};

inline outcome outcome_of(std::vector<std::string> command, std::string_view input = {}) {
  process p{std::move(command)};
  p.write(input);
  p.end_input();
  outcome o;
  o.status = p.wait();
  o.out = p.out;
  o.err = p.err;
  return o;
}

inline outcome check(std::vector<std::string> arguments, std::string_view input = {}) {
  return outcome_of(check_command(std::move(arguments)), input);
}

inline outcome get(std::vector<std::string> arguments) {
  return outcome_of(command_of("get", std::move(arguments)));
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

// ---- a site in this process, on a thread of its own ----

class site {
 public:
  /// `more`: additional origins.
  explicit site(int more = 0) {
    for (int i = 0; i < more; ++i) more_.emplace_back(at_);
    std::promise<oneloop::cancel_handle> ready;
    auto handle = ready.get_future();
    thread_ = std::thread{[this, &ready] { oneloop::run(serve(ready)); }};
    stop_ = handle.get();
  }
  ~site() {
    stop_.cancel();
    thread_.join();
  }
  [[nodiscard]] std::string url(std::string_view path) const {
    return "http://" + plain_.local_endpoint().to_string() + std::string{path};
  }
  [[nodiscard]] std::string https(std::string_view path) const {
    return "https://" + secure_.local_endpoint().to_string() + std::string{path};
  }
  /// Wants a certificate of its clients.
  [[nodiscard]] std::string mutual(std::string_view path) const {
    return "https://" + mutual_.local_endpoint().to_string() + std::string{path};
  }
  [[nodiscard]] std::uint16_t port() const { return plain_.local_endpoint().port(); }
  [[nodiscard]] std::uint16_t secure_port() const { return secure_.local_endpoint().port(); }
  [[nodiscard]] std::vector<std::string> urls_of_more(std::string_view path) const {
    std::vector<std::string> urls;
    for (const auto& l : more_) {
      urls.push_back("http://" + l.local_endpoint().to_string() + std::string{path});
    }
    return urls;
  }
  /// A port that nobody listens on.
  [[nodiscard]] std::string refused() const {
    return "http://" + oneloop::net::raw_address::local_of(taken_.get()).to_endpoint().to_string();
  }
  [[nodiscard]] std::string ca() const { return ca_.certificate(); }
  /// A certificate with its key, from that authority, for a client.
  [[nodiscard]] oneloop::testing::test_certificate identity() const {
    return ca_.issue({"client"});
  }
  /// "HEAD /ok": how often that was asked.
  [[nodiscard]] int count(const std::string& request) const {
    const std::scoped_lock hold{lock_};
    const auto found = seen_.find(request);
    return found == seen_.end() ? 0 : found->second;
  }

 private:
  /// The fields of a request, for a look at what was sent.
  static std::string fields_of(const oneloop::http::server_request& r) {
    std::string text;
    for (const auto f : r.fields()) {
      text.append(f.name).append(": ").append(f.value).append("\n");
    }
    return text;
  }
  int note(const std::string& request) {
    const std::scoped_lock hold{lock_};
    return ++seen_[request];
  }
  oneloop::task<oneloop::http::server_response> answer(oneloop::http::server_request& r) {
    using response = oneloop::http::server_response;
    const std::string path{r.path()};
    const int times = note(r.method() + " " + path);
    if (path == "/echo") co_return response{}.body(fields_of(r));
    if (path == "/elsewhere") {
      co_return response{302}.field(
          "Location",
          "http://localhost:" + std::to_string(plain_.local_endpoint().port()) + "/echo");
    }
    if (path == "/needs-key") co_return response{r.fields().get("X-Key") == "1" ? 200 : 404};
    if (path == "/needs-password") {
      // "me:secret"
      const bool good = r.fields().get("Authorization") == "Basic bWU6c2VjcmV0";
      co_return response{good ? 200 : 401};
    }
    if (path == "/needs-cookie") {
      if (r.fields().contains("Cookie")) co_return response{}.body("welcome back\n");
      co_return response{302}.field("Location", path).field("Set-Cookie", "seen=yes");
    }
    if (path == "/flaky") co_return response{times < 2 ? 503 : 200};
    if (path == "/busy") co_return response{429}.field("Retry-After", "7200");
    if (path == "/304") co_return response{304};
    if (path == "/get-only") co_return response{r.method() == "GET" ? 200 : 405};
    if (path == "/big") co_return response{}.body(std::string(3'000'000, 'x'));
    if (path.starts_with("/ok")) co_return response{}.body("fine\n");
    if (path == "/slow") {
      co_await oneloop::sleep_for(30ms);
      co_return response{}.body("late\n");
    }
    if (path == "/hang") co_await oneloop::sleep_forever();
    if (path == "/moved") co_return response{301}.field("Location", "/ok#here");
    if (path == "/loop") co_return response{302}.field("Location", "/loop");
    if (path == "/500") co_return response{500};
    co_return response{404};
  }
  oneloop::task<> serve(std::promise<oneloop::cancel_handle>& ready) {
    const auto identity = ca_.issue({"localhost", "127.0.0.1"});
    oneloop::net::tls_server_options o;
    o.certificate = identity.certificate;
    o.key = identity.key;
    const auto context = oneloop::net::tls_context::server(o);
    o.client_ca = ca_.certificate();
    const auto mutual_context = oneloop::net::tls_context::server(o);
    oneloop::http::server server{[this](oneloop::http::server_request& r) { return answer(r); },
                                 oneloop::http::server_options{}.stop_timeout(50ms)};
    (void)co_await oneloop::with_scope(
        oneloop::scope_options{}, [&](oneloop::cancel_scope& scope) -> oneloop::task<> {
          ready.set_value(scope.handle());
          co_await oneloop::with_nursery([&](oneloop::nursery& n) -> oneloop::task<> {
            n.start([&]() -> oneloop::task<> { return server.serve(plain_); });
            for (auto& l : more_) {
              n.start([&server, &l]() -> oneloop::task<> { return server.serve(l); });
            }
            n.start([&]() -> oneloop::task<> {
              return server.serve(secure_, oneloop::http::tls_handshake(context));
            });
            n.start([&]() -> oneloop::task<> {
              return server.serve(mutual_, oneloop::http::tls_handshake(mutual_context));
            });
            co_await oneloop::sleep_forever();
          });
        });
  }
  static int take_port() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const oneloop::net::raw_address any{at_};
    EXPECT_EQ(::bind(fd, any.data(), any.size()), 0);
    return fd;
  }

  static constexpr oneloop::net::endpoint at_{oneloop::net::ip_address::loopback_v4(), 0};
  oneloop::net::tcp_listener plain_{at_}, secure_{at_}, mutual_{at_};
  std::vector<oneloop::net::tcp_listener> more_;
  descriptor taken_{take_port()};
  oneloop::testing::test_ca ca_;
  mutable std::mutex lock_;
  std::map<std::string, int> seen_;
  oneloop::cancel_handle stop_;
  std::thread thread_;
};

/// A server that says what a test wants, byte for byte: `answer` gets each request's head (over and
/// over on a connection, until it gives nothing) and gives what to send: what stands behind a
/// `drip` goes byte by byte. A thread a connection.
class raw_server {
 public:
  using answer_fn = std::function<std::string(const std::string& request)>;
  static constexpr char drip = '\x07';
  /// `close`: after each answer.
  explicit raw_server(answer_fn answer, bool close = false)
      : answer_{std::move(answer)}, close_{close} {
    thread_ = std::thread{[this] { serve(); }};
  }
  ~raw_server() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
    for (auto& t : threads_) t.join();
    for (const int fd : connections_) ::close(fd);
  }
  [[nodiscard]] std::string url(std::string_view path = "/") const {
    return "http://" +
           oneloop::net::raw_address::local_of(listener_.get()).to_endpoint().to_string() +
           std::string{path};
  }

 private:
  static int listen() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const oneloop::net::raw_address any{
        oneloop::net::endpoint{oneloop::net::ip_address::loopback_v4(), 0}};
    EXPECT_EQ(::bind(fd, any.data(), any.size()), 0);
    EXPECT_EQ(::listen(fd, 1024), 0);
    return fd;
  }
  void serve() {
    while (true) {
      const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      connections_.push_back(fd);
      threads_.emplace_back([this, fd] { converse(fd); });
    }
  }
  static bool send(int fd, std::string_view text) {
    const auto slowly = std::min(text.find(drip), text.size());
    if (::send(fd, text.data(), slowly, MSG_NOSIGNAL) < 0) return false;
    for (std::size_t i = slowly + 1; i < text.size(); ++i) {
      std::this_thread::sleep_for(2ms);
      if (::send(fd, text.data() + i, 1, MSG_NOSIGNAL) < 0) return false;
    }
    return true;
  }
  void converse(int fd) {
    std::string input;
    char buffer[8192];
    while (true) {
      const auto end = input.find("\r\n\r\n");
      if (end == input.npos) {
        const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
        if (n <= 0) break;
        input.append(buffer, static_cast<std::size_t>(n));
        continue;
      }
      const std::string answer = answer_(input.substr(0, end + 4));
      input.erase(0, end + 4);
      if (answer.empty()) break;
      if (!send(fd, answer) || close_) break;
    }
    ::shutdown(fd, SHUT_RDWR);
  }

  answer_fn answer_;
  bool close_;
  descriptor listener_{listen()};
  std::vector<int> connections_;
  std::vector<std::thread> threads_;
  std::thread thread_;
};

/// A file that is gone after the test.
class temporary_file {
 public:
  explicit temporary_file(std::string_view text) {
    path_ = ::testing::TempDir() + "oneloop-tool-test-XXXXXX";
    const int fd = ::mkstemp(path_.data());
    EXPECT_EQ(::write(fd, text.data(), text.size()), std::ssize(text));
    ::close(fd);
  }
  ~temporary_file() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class tool : public testing::Test {
 protected:
  void SetUp() override {
    if (::access(tool_path().c_str(), X_OK) != 0) GTEST_SKIP() << tool_path() << " is not built";
    // The machine's proxies have no part in this, nor has what a debug run says on standard error
    // about turns of the loop that take long on a busy machine.
    for (const char* name :
         {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "ONELOOP_DEBUG"}) {
      ::unsetenv(name);
    }
    ::signal(SIGPIPE, SIG_IGN);
  }
  site s;
};

}  // namespace tool_test
