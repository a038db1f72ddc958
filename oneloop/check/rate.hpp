// Whose turn it is: a queue for each host, and how often and how many at a time a host is asked.
//
//     oneloop::host_limiter limiter{oneloop::limiter_options{}.per_host(4).rate(
//         *oneloop::rate_rule::parse("*.example.org=2/s"))};
//     limiter.push("a.example.org", 7);
//     auto turn = co_await limiter.next();           // waits until some host may be asked
//     limiter.pause("a.example.org", 30s);           // it said 429: only that host waits
//
// It holds numbers, without a limit: what they stand for is kept elsewhere (the frontier). Nobody
// waits to put one in, so whoever takes turns may give new ones.
//
// *Fairness*: the host that could have been asked for the longest time is next, and of those that
// became free in the same moment each in turn; within a host, first come, first served.
// *Threads*: the loop that it was made on. It must outlive its turns.
// *Cost*: O(log hosts) a turn; 8 bytes for what waits. A host with nothing to do, and no pause that
// is still to be kept, is forgotten.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// How often hosts of some name may be asked.
class ONELOOP_API rate_rule {
 public:
  /// "example.org=5/s": hosts of that name, whatever the port; "example.org:8080=0.5/s", "*=30/m",
  /// "*.example.org=100/h". A "*" stands for anything; case does not matter. Errors: a sentence for
  /// people.
  [[nodiscard]] static std::expected<rate_rule, std::string> parse(std::string_view text);
  /// At least `interval` between two requests.
  rate_rule(std::string_view hosts, duration interval);

  /// `host` as in a Host field: "example.org", "example.org:8080", "[::1]:80".
  [[nodiscard]] bool matches(std::string_view host) const noexcept;
  [[nodiscard]] duration interval() const noexcept { return interval_; }

 private:
  std::string hosts_;
  duration interval_;
};

/// What a host_limiter is made with. Setters chain.
class limiter_options {
 public:
  /// Turns at a time for one host (8).
  limiter_options& per_host(std::size_t n) noexcept {
    per_host_ = n == 0 ? 1 : n;
    return *this;
  }
  /// The same for hosts of this machine (localhost, 127.0.0.1, [::1]): no limit unless said
  /// otherwise.
  limiter_options& per_loopback_host(std::size_t n) noexcept {
    per_loopback_host_ = n == 0 ? 1 : n;
    return *this;
  }
  /// One more rule; the first one that matches a host is for it.
  limiter_options& rate(rate_rule r) {
    rates_.push_back(std::move(r));
    return *this;
  }

 private:
  friend class host_limiter;
  std::size_t per_host_ = 8;
  std::size_t per_loopback_host_ = std::numeric_limits<std::size_t>::max();
  std::vector<rate_rule> rates_;
};

/// What host_limiter::statistics reports.
struct host_limiter_statistics {
  std::size_t queued;   // numbers that wait
  std::size_t running;  // turns that are out
  std::size_t hosts;    // that are remembered
  std::size_t held;     // hosts with something queued that must not be asked yet
};

class ONELOOP_API host_limiter {
  struct host;

 public:
  using item = std::uint32_t;

  /// One turn: until it dies, it counts for its host. Move-only.
  class ONELOOP_API turn {
   public:
    turn(turn&& o) noexcept
        : limiter_{o.limiter_}, host_{std::exchange(o.host_, nullptr)}, item_{o.item_} {}
    turn& operator=(turn&& o) noexcept {
      turn old{std::move(*this)};
      limiter_ = o.limiter_;
      host_ = std::exchange(o.host_, nullptr);
      item_ = o.item_;
      return *this;
    }
    ~turn() { end(); }

    [[nodiscard]] item value() const noexcept { return item_; }
    /// Gives it back now.
    void end() noexcept;

   private:
    friend class host_limiter;
    turn(host_limiter& l, host& h, item i) noexcept : limiter_{&l}, host_{&h}, item_{i} {}
    host_limiter* limiter_;
    host* host_;
    item item_;
  };

  explicit host_limiter(limiter_options options = {});
  ~host_limiter();
  host_limiter(const host_limiter&) = delete;
  host_limiter& operator=(const host_limiter&) = delete;

  /// Puts `i` at the end of the host's queue; `name` as in a Host field, in lower case (as
  /// url::host_header gives it); "" is for what no host is asked for, and has no limit. With a
  /// `crawl_delay` (of its robots.txt) there is at least so much time between two turns of that
  /// host, even where a rate allows more.
  void push(std::string_view name, item i, duration crawl_delay = {});

  /// Waits for a turn: for ever, if nothing is pushed. Several may wait: first come, first served.
  /// Cancellation: nothing is taken.
  [[nodiscard]] task<turn> next();
  /// The same without waiting.
  [[nodiscard]] std::optional<turn> try_next();
  /// When the next turn may be taken; `never` while there is none, whatever time it is.
  [[nodiscard]] time_point next_at() const noexcept;

  /// The host is not asked for `d` from now on, whatever is said otherwise; a longer pause that it
  /// has stays.
  void pause(std::string_view name, duration d);

  [[nodiscard]] host_limiter_statistics statistics() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace oneloop::inline v0
