// Happy Eyeballs, version 2 (RFC 8305): connects to a name that has several addresses, with a head
// start for each but no patience for a dead one. Apart from the network, so that it can be tested
// under the virtual clock: how to look up and how to connect are parameters.
//
//     auto look_up = [&](family kind) -> task<std::vector<ip_address>> { ... };   // one kind
//     auto attempt = [&](endpoint to) -> task<tcp_stream> { ... };
//     tcp_stream s = co_await happy_eyeballs<tcp_stream>("example.org", 80, options, look_up,
//                                                        attempt);
//
// The rules: both kinds of addresses are asked for at once. If the IPv4 ones come first, the IPv6
// ones get 50 ms more. Then the addresses take turns, IPv6 first, each attempt starting 250 ms
// after the one before, or as soon as that has failed. Addresses that come late join in. The first
// connection that stands wins, the other attempts are cancelled and waited for. If all fail, the
// error names every attempt. Where both kinds were tried, the kind that won begins the next time,
// on the same loop and for ten minutes.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::net {

class resolver;

/// How to connect to a name. Setters chain.
class connect_options {
 public:
  /// How long an attempt has until the next one begins beside it (RFC 8305: 100 ms to 2 s).
  connect_options& attempt_delay(duration d) noexcept {
    attempt_delay_ = d;
    return *this;
  }
  /// How long IPv4 addresses wait for the IPv6 ones.
  connect_options& resolution_delay(duration d) noexcept {
    resolution_delay_ = d;
    return *this;
  }
  /// Only addresses of this kind.
  connect_options& only(family f) noexcept {
    family_ = f;
    return *this;
  }
  /// The kind that begins: IPv6 unless set.
  connect_options& first(family f) noexcept {
    first_ = f;
    return *this;
  }
  /// Small writes go out at once (on unless switched off).
  connect_options& nodelay(bool on) noexcept {
    nodelay_ = on;
    return *this;
  }
  /// Look up names here instead of in the loop's resolver.
  connect_options& use(resolver& r) noexcept {
    resolver_ = &r;
    return *this;
  }

  [[nodiscard]] duration attempt_delay() const noexcept { return attempt_delay_; }
  [[nodiscard]] duration resolution_delay() const noexcept { return resolution_delay_; }
  [[nodiscard]] family only() const noexcept { return family_; }
  [[nodiscard]] family first() const noexcept { return first_; }
  [[nodiscard]] bool nodelay() const noexcept { return nodelay_; }
  [[nodiscard]] resolver* use() const noexcept { return resolver_; }

 private:
  duration attempt_delay_ = std::chrono::milliseconds{250};
  duration resolution_delay_ = std::chrono::milliseconds{50};
  family family_ = family::any;
  family first_ = family::v6;
  bool nodelay_ = true;
  resolver* resolver_ = nullptr;
};

/// Several attempts were made, and all failed. The text names every one; the code is that of the
/// attempt that came furthest (refused rather than unreachable).
class ONELOOP_API connect_error : public error {
 public:
  struct attempt {
    endpoint to;
    std::error_code code;
  };
  connect_error(std::string_view object, std::vector<attempt> attempts,
                const std::vector<std::exception_ptr>& failures);
  [[nodiscard]] const std::vector<attempt>& attempts() const noexcept { return *attempts_; }

 private:
  std::shared_ptr<const std::vector<attempt>> attempts_;
};

namespace detail {

/// The kind of address that begins at `host`, from what this loop remembers: IPv6 if nothing.
ONELOOP_API family remembered_winner(const std::string& host);
ONELOOP_API void remember_winner(const std::string& host, family kind);

/// The addresses that have not been tried: which comes next, and when. No I/O, no waiting.
class ONELOOP_API attempt_plan {
 public:
  explicit attempt_plan(family first) noexcept
      : turn_{first == family::v4 ? family::v4 : family::v6} {}
  void add(const std::vector<ip_address>& list);
  [[nodiscard]] bool empty() const noexcept { return v4_.empty() && v6_.empty(); }
  [[nodiscard]] ip_address next();

 private:
  family turn_;
  std::deque<ip_address> v4_, v6_;
};

/// Throws what there is to throw when nothing stands: the lookup's failure, the only attempt's, or
/// a connect_error.
[[noreturn]] ONELOOP_API void throw_attempts(
    const std::string& object, std::vector<std::pair<endpoint, std::exception_ptr>> attempts,
    std::vector<std::exception_ptr> lookups);

/// What the parties of one connect share.
template <class Connection, class LookUp, class Attempt>
struct eyeballs {
  std::uint16_t port;
  connect_options options;
  LookUp look_up;
  Attempt attempt_one;

  attempt_plan plan{options.first()};
  event changed{};
  bool preferred_known = false;  // the kind that begins has been answered
  int lookups_running = 0;
  int running = 0;
  std::optional<Connection> connection{};
  family winner = family::any;
  bool tried_v4 = false, tried_v6 = false;
  std::vector<std::pair<endpoint, std::exception_ptr>> failures{};
  std::vector<std::exception_ptr> lookup_failures{};
  time_point any_known_at = never;

  task<> look(family kind) {
    try {
      auto looking = look_up(kind);
      const std::vector<ip_address> list = co_await std::move(looking);
      plan.add(list);
      if (any_known_at == never && !list.empty()) any_known_at = loop::current()->now();
    } catch (const error&) {
      lookup_failures.push_back(std::current_exception());
    }
    if (kind == options.first() || options.only() != family::any) preferred_known = true;
    --lookups_running;
    changed.set();
  }

  task<> attempt(endpoint to) {
    try {
      auto connecting = attempt_one(to);
      auto made = co_await std::move(connecting);
      // One that comes second, in the moment of the cancel, is closed.
      if (!connection) {
        connection.emplace(std::move(made));
        winner = to.address().is_v4() ? family::v4 : family::v6;
      }
    } catch (const error&) {
      failures.emplace_back(to, std::current_exception());
    }
    --running;
    changed.set();
  }

  task<> conduct(nursery& n) {
    for (const family kind : {family::v6, family::v4}) {
      if (options.only() != family::any && options.only() != kind) continue;
      ++lookups_running;
      n.start([](eyeballs* self, family k) -> task<> { return self->look(k); }, this, kind);
    }
    loop& l = *loop::current();
    time_point next_start = l.now();
    while (!connection) {
      changed.reset();
      time_point wake = never;
      if (!plan.empty()) {
        // The kind that should begin has a little time to be answered.
        const bool settled =
            preferred_known || lookups_running == 0 || !failures.empty() || running > 0;
        const time_point may_start =
            settled ? next_start
                    : std::max(next_start, after(any_known_at, options.resolution_delay()));
        if (l.now() >= may_start) {
          ++running;
          const endpoint next{plan.next(), port};
          (next.address().is_v4() ? tried_v4 : tried_v6) = true;
          n.start([](eyeballs* self, endpoint to) -> task<> { return self->attempt(to); }, this,
                  next);
          next_start = after(l.now(), options.attempt_delay());
          continue;
        }
        wake = may_start;
      } else if (running == 0 && lookups_running == 0) {
        break;
      }
      const std::size_t failed = failures.size();
      if (wake == never) {
        co_await changed.wait();
      } else {
        const auto in = wake - l.now();
        (void)co_await move_on_after(in, changed.wait());
      }
      if (failures.size() > failed) next_start = l.now();
    }
    n.cancel();
  }
};

}  // namespace detail

/// Connects to `host` in the way described above. `look_up(family)` gives a task of addresses,
/// `attempt(endpoint)` a task of the connection; both throw oneloop::error. `look_up` and `attempt`
/// live until the task has ended.
///
/// Cancellation: all lookups and attempts are cancelled and waited for.
template <class Connection, class LookUp, class Attempt>
task<Connection> happy_eyeballs(std::string host, std::uint16_t port, connect_options options,
                                LookUp look_up, Attempt attempt) {
  const bool adaptive = options.only() == family::any && options.first() == family::v6;
  if (adaptive) options.first(detail::remembered_winner(host));
  detail::eyeballs<Connection, LookUp, Attempt> all{port, options, std::move(look_up),
                                                    std::move(attempt)};
  auto body = [&all](nursery& n) -> task<> { return all.conduct(n); };
  auto running = with_nursery(std::ref(body));
  co_await std::move(running);
  if (!all.connection) {
    detail::throw_attempts(host + ":" + std::to_string(port), std::move(all.failures),
                           std::move(all.lookup_failures));
  }
  // A name with one kind of address only has nothing to remember.
  if (adaptive && all.tried_v4 && all.tried_v6) detail::remember_winner(host, all.winner);
  co_return std::move(*all.connection);
}

}  // namespace oneloop::inline v0::net
