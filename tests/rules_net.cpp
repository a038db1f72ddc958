// The rules, of TLS and DNS.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "oneloop/net/dns.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/net/tls_contexts_test.hpp"
#include "oneloop/net/udp.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/testing/memory_stream.hpp"
#include "oneloop/testing/test_ca.hpp"
#include "tests/rules.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;
using tls_over_memory = net::tls_stream<testing::memory_stream>;

struct tls_sides {
  testing::test_ca ca;
  net::tls_context client = test::trust(ca), server = test::identity(ca);
};
const tls_sides& sides() {
  static const tls_sides made;
  return made;
}

class tls_read_subject final : public subject {
 public:
  tls_read_subject() : subject{{.needs_loop = true, .at_once = false, .many = false}} {}
  void begin(nursery&) override {
    auto below = testing::memory_stream_pair();
    auto both = await(
        gather(net::connect_tls(std::move(below.first), sides().client, std::string{"localhost"}),
               net::accept_tls(std::move(below.second), sides().server)));
    mine_.emplace(std::move(std::get<0>(both)));
    other_.emplace(std::move(std::get<1>(both)));
  }
  wait_for wait() override {
    return waiting(mine_->read_some(buffer_), [](std::size_t n) { EXPECT_EQ(n, 1u); });
  }
  void complete() override { EXPECT_EQ(await(other_->write_all(byte_)), 1u); }
  bool untaken() override { return mine_->try_read_some(buffer_) == 1u; }

 private:
  std::optional<tls_over_memory> mine_, other_;
  std::array<std::byte, 16> buffer_{};
  std::array<std::byte, 1> byte_{};
};

/// With a peer that says nothing until it is told to. Each is with another one: what has begun and
/// was cancelled is of no use.
class tls_handshake_subject final : public subject {
 public:
  tls_handshake_subject()
      : subject{{.needs_loop = true,
                 .ahead = false,
                 .at_once = false,
                 .one_each = false,
                 .leaves_trace = false,
                 .many = false}} {}
  void begin(nursery& n) override { n_ = &n; }
  void end() override { peer_ = nullptr; }
  wait_for wait() override {
    auto below = testing::memory_stream_pair();
    {
      const std::scoped_lock hold{lock_};
      peer_ = std::make_shared<testing::memory_stream>(std::move(below.second));
    }
    return waiting(
        net::connect_tls(std::move(below.first), sides().client, std::string{"localhost"}));
  }
  void complete() override {
    const std::scoped_lock hold{lock_};
    n_->start(answer, std::move(peer_));
  }

 private:
  static task<> answer(std::shared_ptr<testing::memory_stream> peer) {
    auto handshake = net::accept_tls(std::move(*peer), sides().server);
    auto ended = try_await(std::move(handshake));
    (void)co_await std::move(ended);  // the other side may have gone
  }
  nursery* n_ = nullptr;
  std::mutex lock_;
  std::shared_ptr<testing::memory_stream> peer_;
};

/// Each wait asks for another name, of a server that answers when it is told to.
class lookup_subject final : public subject {
 public:
  lookup_subject()
      : subject{{.needs_kernel = true,
                 .needs_loop = true,
                 .ahead = false,
                 .at_once = false,
                 .one_each = false,
                 .leaves_trace = false,
                 .many = false}} {}
  void begin(nursery& n) override {
    if (n.home() != nullptr) shared_.emplace(options());
  }
  void end() override { shared_.reset(); }
  wait_for wait() override {
    const std::string name = "n" + std::to_string(++asked_) + ".test";
    const auto look = [](const auto& all) { EXPECT_EQ(all.size(), 1u); };
    if (shared_) return waiting(shared_->lookup(name, net::family::v4), look);
    return waiting(look_up_alone(options(), name), look);
  }
  void complete() override {
    const std::string last = "n" + std::to_string(asked_);
    while (answer_one() != last) {
    }
  }

 private:
  /// A resolver is its loop's: a thread makes one on the loop that it drives.
  static task<std::vector<net::ip_address>> look_up_alone(net::resolver_options o,
                                                          std::string name) {
    net::resolver r{std::move(o)};
    auto all = co_await r.lookup(std::move(name), net::family::v4);
    co_return all;
  }
  [[nodiscard]] net::resolver_options options() const {
    return net::resolver_options{}
        .servers({server_.local_endpoint()})
        .search({})
        .hosts_file({})
        .timeout(1h)
        .tries(1);
  }
  /// The first label of what it was asked for.
  std::string answer_one() {
    pollfd asked{server_.fd(), POLLIN, 0};
    EXPECT_EQ(::poll(&asked, 1, 10'000), 1) << "nobody has asked";
    std::string m(512, '\0');
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const auto n =
        ::recvfrom(server_.fd(), m.data(), m.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n < 12) return "n" + std::to_string(asked_);
    const auto end = m.find('\0', 12) + 5;  // of the question
    m.resize(end);
    m[2] = '\x81', m[3] = '\x80';                                  // an answer
    m[6] = '\0', m[7] = '\1', m[8] = m[9] = m[10] = m[11] = '\0';  // of one record
    m += std::string{"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0\1", 16};
    EXPECT_GT(
        ::sendto(server_.fd(), m.data(), m.size(), 0, reinterpret_cast<sockaddr*>(&from), size), 0);
    return m.substr(13, static_cast<std::size_t>(m[12]));
  }

  net::udp_socket server_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  std::optional<net::resolver> shared_;
  std::atomic<int> asked_ = 0;
};

const bool net_enrolled = enrol<tls_read_subject>("tls_read") &&
                          enrol<tls_handshake_subject>("tls_handshake") &&
                          enrol<lookup_subject>("dns_lookup");

}  // namespace
}  // namespace oneloop::rules
