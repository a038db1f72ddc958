// A small DNS server for tests, on 127.0.0.1, over UDP and TCP. What it answers depends on the name
// (see `answer`). Not installed.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/buffered.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/net/udp.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::test {

class dns_server {
 public:
  dns_server() {
    // UDP and TCP on one number: the second may be taken, then another one.
    for (int i = 0; i < 100 && !tcp_.is_open(); ++i) {
      udp_ = net::udp_socket{net::endpoint{net::ip_address::loopback_v4(), 0}};
      try {
        tcp_ = net::tcp_listener{udp_.local_endpoint()};
      } catch (const error&) {
      }
    }
  }

  [[nodiscard]] const net::endpoint& at() const noexcept { return udp_.local_endpoint(); }
  [[nodiscard]] int questions() const noexcept { return all_; }
  [[nodiscard]] int questions(const std::string& name) const {
    const auto n = counts_.find(name);
    return n != counts_.end() ? n->second : 0;
  }
  int tcp_questions = 0;

  /// Until cancelled.
  task<> serve() {
    co_await with_nursery([this](nursery& n) -> task<> {
      n.start(&dns_server::serve_tcp, this);
      std::array<std::byte, 2048> b;
      while (true) {
        const auto d = co_await udp_.receive_from(b);
        std::string query{reinterpret_cast<const char*>(b.data()), d.size};
        n.start(&dns_server::reply_udp, this, std::move(query), d.from);
      }
    });
  }

 private:
  static constexpr std::uint16_t a = 1, cname = 5, aaaa = 28;

  task<> reply_udp(std::string query, net::endpoint to) {
    auto answering = answer(std::move(query), false);
    const auto reply = co_await std::move(answering);
    if (reply) (void)co_await udp_.send_to(net::bytes_of(*reply), to);
  }

  task<> serve_tcp() {
    while (true) {
      auto s = co_await tcp_.accept();
      net::buffered_reader in{s};
      const auto size = co_await in.read_exactly(2);
      auto reading = in.read_exactly(number(size));
      auto query = co_await std::move(reading);
      auto answering = answer(std::move(query), true);
      const auto reply = co_await std::move(answering);
      const std::string framed = two(static_cast<std::uint16_t>(reply->size())) + *reply;
      (void)co_await s.write_all(net::bytes_of(framed));
    }
  }

  task<std::optional<std::string>> answer(std::string query, bool over_tcp) {
    std::optional<std::string> reply;
    std::string name;
    std::size_t at = 12;
    while (at < query.size() && query[at] != 0) {
      const auto n = static_cast<std::size_t>(query[at]);
      if (!name.empty()) name += '.';
      name += query.substr(at + 1, n);
      at += n + 1;
    }
    for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    const auto type = number(query.substr(at + 1, 2));
    const std::string question = query.substr(12, at + 5 - 12);
    ++all_;
    ++counts_[name];
    if (over_tcp) ++tcp_questions;

    std::uint16_t flags = 0x8180;
    std::vector<std::string> records;
    const bool v4 = type == a;
    auto add = [&](const char* address, std::uint32_t ttl) {
      const auto ip = *net::ip_address::parse(address);
      const auto bytes = ip.bytes();
      records.push_back(record(two(0xc00c), type, ttl, {bytes.begin(), bytes.end()}));
    };
    if (name == "silent.test") co_return reply;
    if (name == "slow.test") co_await sleep_for(std::chrono::milliseconds{30});
    if (name == "slower.test") co_await sleep_for(std::chrono::milliseconds{60});
    if (name == "nx.test") {
      flags |= 3;
    } else if (name == "servfail.test" || (name == "half.test" && v4)) {
      flags |= 2;
    } else if (name == "refused.test") {
      flags |= 5;
    } else if (name == "a.test") {
      add(v4 ? "192.0.2.1" : "2001:db8::1", 60);
      if (v4) add("192.0.2.2", 60);
    } else if (name == "v4only.test") {
      if (v4) add("192.0.2.4", 60);
    } else if (name == "local4.test") {
      if (v4) add("127.0.0.1", 60);
    } else if (name == "local.test") {
      add(v4 ? "127.0.0.1" : "::1", 60);
    } else if (name == "mixed.test") {
      add(v4 ? "10.0.0.1" : "::1", 60);
      if (v4) add("9.8.7.6", 60);
    } else if (name == "rebind.test") {
      // Public at first, then this machine.
      if (v4) add(questions(name) <= 2 ? "9.8.7.6" : "127.0.0.1", 0);
    } else if (name == "ttl1.test" || name == "ttl0.test") {
      if (v4) add("192.0.2.1", name == "ttl1.test" ? 1 : 0);
    } else if (name == "slow.test" || name == "slower.test") {
      if (v4) add("192.0.2.1", 60);
    } else if (name.ends_with(".any.test")) {
      if (v4) add("192.0.2.9", 60);
    } else if (name == "alias.test") {
      const std::string target{"\1a\4test\0", 8};
      records.push_back(record(two(0xc00c), cname, 60, target));
      if (v4) {
        records.push_back(record(target, a, 60, {"\xc0\x00\x02\x01", 4}));
        records.push_back(record(target, a, 60, {"\xc0\x00\x02\x02", 4}));
      }
    } else if (name == "big.test" && v4) {
      if (!over_tcp) flags |= 0x0200;
      for (int i = 0; over_tcp && i < 100; ++i) {
        add(("198.51.100." + std::to_string(i)).c_str(), 60);
      }
    }
    reply.emplace(query.substr(0, 2) + two(flags) + two(1) +
                  two(static_cast<std::uint16_t>(records.size())) + two(0) + two(0) + question);
    for (const auto& r : records) *reply += r;
    co_return reply;
  }

  static std::uint16_t number(std::string_view two_bytes) {
    return static_cast<std::uint16_t>(static_cast<unsigned char>(two_bytes[0]) << 8 |
                                      static_cast<unsigned char>(two_bytes[1]));
  }
  static std::string two(std::uint16_t n) {
    std::string s(2, '\0');
    s[0] = static_cast<char>(n >> 8);
    s[1] = static_cast<char>(n);
    return s;
  }
  static std::string record(const std::string& name, std::uint16_t type, std::uint32_t ttl,
                            const std::string& data) {
    return name + two(type) + two(1) + two(static_cast<std::uint16_t>(ttl >> 16)) +
           two(static_cast<std::uint16_t>(ttl)) + two(static_cast<std::uint16_t>(data.size())) +
           data;
  }

  net::udp_socket udp_;
  net::tcp_listener tcp_;
  int all_ = 0;
  std::map<std::string, int> counts_;
};

}  // namespace oneloop::inline v0::test
