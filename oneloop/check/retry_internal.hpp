// What is tried again and when, what waits for that, and which hosts are left alone meanwhile.
// Internal to check/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/probe_internal.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::detail {

/// Any time up to `most`.
duration random_up_to(loop& l, duration most);
/// The delay before the retry after so many tries: full jitter, any delay up to a limit that
/// doubles from `first` to `most` (Marc Brooker, "Exponential Backoff And Jitter", 2015).
duration backoff(loop& l, int attempts, duration first, duration most);
/// Those who wait for a host's pause to end do not all come in the same moment.
time_point soon_after(loop& l, time_point pause);

/// Whether a failed try is made again, and how long its host is left alone.
struct retry_rules {
  int retries;
  duration first, most;  // of the backoff

  struct decision {
    std::optional<time_point> pause;  // nothing is asked of the host (of final_url) until then
    std::optional<time_point> again;  // nothing: that was its verdict
  };
  /// After a try of `r`; where its server asks for a longer wait than is taken, `r` tells.
  [[nodiscard]] decision after_try(loop& l, check_result& r, const probe_outcome& o) const;
};

/// What waits for another try, by the time at which that is due; equal times in the order in which
/// they came. Full at max_pending of them or max_bytes; it takes what is under way even then.
/// `Item` is a check_result, or something with one as its `result`.
template <class Item>
class basic_retry_queue {
 public:
  static constexpr std::size_t max_bytes = std::size_t{16} * 1024 * 1024;

  void push(time_point due, Item r) {
    bytes_ += size_of(r);
    heap_.push_back({due, next_++, std::move(r)});
    std::ranges::push_heap(heap_, later);
  }
  /// The first one due. There must be one.
  Item pop() {
    std::ranges::pop_heap(heap_, later);
    Item r = std::move(heap_.back().item);
    heap_.pop_back();
    bytes_ -= size_of(r);
    return r;
  }
  [[nodiscard]] time_point due() const noexcept { return heap_.front().due; }
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  [[nodiscard]] bool full() const noexcept {
    return heap_.size() >= check_limits::max_pending || bytes_ >= max_bytes;
  }

 private:
  struct entry {
    time_point due;
    std::uint64_t order;
    Item item;
  };
  static bool later(const entry& a, const entry& b) noexcept {
    return a.due != b.due ? a.due > b.due : a.order > b.order;
  }
  static std::size_t size_of(const Item& i) noexcept {
    if constexpr (requires { i.result; }) {
      return size_of_result(i.result);
    } else {
      return size_of_result(i);
    }
  }
  static std::size_t size_of_result(const check_result& r) noexcept {
    std::size_t n = r.url.size() + r.final_url.size() + (r.error ? r.error->message().size() : 0);
    for (const auto& step : r.redirects) n += step.from.size() + step.to.size();
    return n;
  }

  std::vector<entry> heap_;
  std::size_t bytes_ = 0;
  std::uint64_t next_ = 0;
};
using retry_queue = basic_retry_queue<check_result>;

/// Hosts that asked for a pause: at most max_hosts of them; more are not remembered.
class host_pauses {
 public:
  static constexpr std::size_t max_hosts = 4096;

  void pause(std::string host, time_point until, time_point now) {
    if (hosts_.size() >= max_hosts) {
      std::erase_if(hosts_, [&](const auto& h) { return h.second <= now; });
      if (hosts_.size() >= max_hosts) return;
    }
    auto& end = hosts_[std::move(host)];
    end = std::max(end, until);
  }
  /// When the host may be asked again: not after `now` if it may be now.
  [[nodiscard]] time_point until(const std::string& host, time_point now) {
    const auto found = hosts_.find(host);
    if (found == hosts_.end()) return now;
    if (found->second > now) return found->second;
    hosts_.erase(found);
    return now;
  }
  [[nodiscard]] bool empty() const noexcept { return hosts_.empty(); }

 private:
  std::unordered_map<std::string, time_point> hosts_;
};

}  // namespace oneloop::inline v0::detail
