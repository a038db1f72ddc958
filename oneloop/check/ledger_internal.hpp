// What a crawl knows of its URLs beside the frontier: what is wanted of each, what it came to, and
// where redirects lead. Internal to check/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "oneloop/check/check.hpp"
#include "oneloop/check/crawl.hpp"
#include "oneloop/check/frontier.hpp"

namespace oneloop::inline v0::detail {

/// 4 bytes a URL.
struct url_mark {
  std::uint16_t status = 0;
  std::uint16_t start : 1 = 0;
  std::uint16_t navigated : 1 = 0;  // a page leads people there: its links count
  std::uint16_t anchors : 1 = 0;    // fragments lead there: its anchors count
  std::uint16_t settled : 1 = 0;    // it has its verdict, or is skipped
  std::uint16_t ok : 1 = 0;
  std::uint16_t skipped : 1 = 0;
  std::uint16_t moved : 1 = 0;  // it redirects
  std::uint16_t asked : 1 = 0;  // by HEAD; its body may be a document
  std::uint16_t read : 1 = 0;   // as a document
  std::uint16_t late : 1 = 0;   // settled, and asked again for its anchors
  std::uint16_t why : 4 = 0;    // crawl_skip_reason, if it is skipped
};
static_assert(crawl_skip_reasons <= 16);

/// Where a URL redirects to.
struct url_move {
  url_id to;
  int status;         // 0: of a directory to its index
  std::string place;  // the fragment that it names itself
};

/// A redirect whose end is not known yet: what its own try was.
struct pending_move {
  std::uint32_t attempts = 0;
  duration total{};
};

/// Why a URL is bad.
struct bad_url {
  int status;
  check_error error;
};

class crawl_ledger {
 public:
  url_mark& operator[](url_id id) {
    if (id >= marks_.size()) marks_.resize(std::size_t{id} + 1);
    return marks_[id];
  }
  [[nodiscard]] std::size_t size() const noexcept { return marks_.size(); }

  /// Redirects are in no circle: see `circle`.
  void move(url_id from, url_move m) {
    (*this)[from].moved = 1;
    moves_.insert_or_assign(from, m);
    ahead_.insert_or_assign(from, m.to);
  }
  [[nodiscard]] const url_move* moved(url_id id) const noexcept {
    const auto found = moves_.find(id);
    return found == moves_.end() ? nullptr : &found->second;
  }
  /// Where redirects from here lead in the end, as far as is known. What it walks it need not walk
  /// again: however many ask for the end of a long chain, that is linear.
  [[nodiscard]] url_id end_of(url_id id) {
    url_id end = id;
    for (auto at = ahead_.find(end); at != ahead_.end(); at = ahead_.find(end)) end = at->second;
    for (auto at = ahead_.find(id); at != ahead_.end(); at = ahead_.find(id)) {
      id = std::exchange(at->second, end);
      if (id == end) break;
    }
    return end;
  }
  /// Would a redirect from `from`, which has led nowhere yet, to `to` close a circle?
  [[nodiscard]] bool circle(url_id from, url_id to) { return end_of(to) == from; }

  /// `from` has its verdict when `to` has one.
  void wait(url_id from, url_id to, pending_move p) { waiting_.emplace(to, std::pair{from, p}); }
  /// Those that wait for `to`.
  std::vector<std::pair<url_id, pending_move>> take_waiting(url_id to) {
    std::vector<std::pair<url_id, pending_move>> all;
    const auto [first, last] = waiting_.equal_range(to);
    for (auto at = first; at != last; ++at) all.push_back(at->second);
    waiting_.erase(first, last);
    return all;
  }
  /// All that are waited for, in order.
  [[nodiscard]] std::vector<url_id> waited_for() const {
    std::vector<url_id> all;
    for (const auto& w : waiting_) all.push_back(w.first);
    std::ranges::sort(all);
    const auto rest = std::ranges::unique(all);
    all.erase(rest.begin(), rest.end());
    return all;
  }

  /// How many redirects led to one that nothing else leads to; 0 for all others.
  void led_by(url_id id, std::size_t redirects) { hops_.insert_or_assign(id, redirects); }
  void found(url_id id) {
    if (!hops_.empty()) hops_.erase(id);
  }
  [[nodiscard]] std::size_t hops(url_id id) const {
    const auto known = hops_.find(id);
    return known == hops_.end() ? 0 : known->second;
  }

  void bad(url_id id, bad_url b) { bad_.insert_or_assign(id, std::move(b)); }
  [[nodiscard]] const bad_url& bad(url_id id) const { return bad_.at(id); }
  [[nodiscard]] const std::unordered_map<url_id, bad_url>& all_bad() const noexcept { return bad_; }
  [[nodiscard]] const std::unordered_map<url_id, url_move>& all_moves() const noexcept {
    return moves_;
  }

 private:
  std::vector<url_mark> marks_;
  std::unordered_map<url_id, url_move> moves_;
  std::unordered_map<url_id, url_id> ahead_;  // of redirects: nearer to the end
  std::unordered_multimap<url_id, std::pair<url_id, pending_move>> waiting_;
  std::unordered_map<url_id, std::size_t> hops_;
  std::unordered_map<url_id, bad_url> bad_;
};

}  // namespace oneloop::inline v0::detail
