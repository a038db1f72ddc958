#include "oneloop/net/connect.hpp"

#include <unordered_map>

#include "oneloop/net/dns.hpp"

namespace oneloop::inline v0::net {
namespace {

/// Which kind of address won, a name.
class winners final : public loop_extension {
 public:
  explicit winners(loop& l) : loop_{l} {}

  [[nodiscard]] bool v4_won(const std::string& host) {
    const auto at = v4_until_.find(host);
    return at != v4_until_.end() && at->second > loop_.now();
  }
  void won(const std::string& host, bool v4) {
    if (!v4) {
      v4_until_.erase(host);
      return;
    }
    // IPv6 begins by default: only the exceptions are kept, and no great number of them.
    if (v4_until_.size() >= 1024) v4_until_.clear();
    v4_until_[host] = after(loop_.now(), std::chrono::minutes{10});
  }

 private:
  loop& loop_;
  std::unordered_map<std::string, time_point> v4_until_;
};

}  // namespace

task<tcp_stream> connect(std::string host, std::uint16_t port, connect_options options) {
  const auto literal = ip_address::parse(host);
  if (literal) {
    auto one = connect(endpoint{*literal, port}, options.nodelay());
    auto s = co_await one;
    co_return std::move(s);
  }
  loop& l = *loop::current();
  resolver& r = options.use() != nullptr ? *options.use() : resolver::of(l);
  auto& memory = l.extension<winners>();
  const bool adaptive = options.only() == family::any && options.first() == family::v6;
  if (adaptive && memory.v4_won(host)) options.first(family::v4);
  bool both_tried = false, v6_tried = false, v4_tried = false;
  auto look_up = [&r, &host](family kind) { return r.lookup(host, kind); };
  auto attempt = [&](endpoint to) -> task<tcp_stream> {
    (to.address().is_v6() ? v6_tried : v4_tried) = true;
    both_tried = v6_tried && v4_tried;
    auto connecting = connect(to, options.nodelay());
    auto s = co_await connecting;
    co_return std::move(s);
  };
  auto connecting =
      happy_eyeballs<tcp_stream>(host, port, options, std::move(look_up), std::move(attempt));
  auto s = co_await std::move(connecting);
  // A name with one kind of address only has nothing to remember.
  if (adaptive && both_tried) memory.won(host, s.peer_endpoint().address().is_v4());
  co_return std::move(s);
}

}  // namespace oneloop::inline v0::net
