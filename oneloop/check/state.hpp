// A crawl in a file: what was found and what it came to, so that it goes on after a Ctrl-C, a crash
// or kill -9 as if nothing had been.
//
//     crawl_identity same{{"start", "http://a/"}, {"level", "2"}};
//     auto state = co_await oneloop::crawl_state::open("crawl.db", same);
//     oneloop::frontier f{oneloop::frontier_options{}.recorded()};
//     co_await state.restore(f, [&](oneloop::saved_verdict v) { count(v); });   // of earlier runs
//     ...
//     co_await state.save({id, result}, f.changes());    // committed: now it may be printed
//
// The file is an SQLite database (tables `url`, `verdict`, `source`, `page`, `site`, `run`). A run
// has it for itself: another process that opens it is refused, and so is a run that is not the
// same.
//
// *What is kept*: a save is one change: the verdict on a URL with all that was found there. Saves
// are committed in the order of the calls, many at a time, on a thread of the blocking pool. What
// was being asked when the process ended has no verdict, and is handed out again.
// *Loss*: after a kill, nothing that a finished `save` had. After a power failure the end may be
// missing; the file is whole all the same.
// *Threads*: one loop. It waits; the loop does not.
// *Errors*: error, which names the file: in use (device_or_resource_busy), not the same run
// (errc::misuse), damaged or no database (errc::protocol), no space left and so on. After a save
// has failed, all fail.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/frontier.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// What makes two runs the same: names and values, as people know them.
using crawl_identity = std::vector<std::pair<std::string, std::string>>;

/// The verdict on a URL, as it is kept.
struct saved_verdict {
  saved_verdict(url_id i, check_result r, std::string m = {})
      : id{i}, result{std::move(r)}, more{std::move(m)} {}
  url_id id;
  check_result result;
  std::string more;  // bytes of the caller's: a page's anchors, for one
};

/// What crawl_state::statistics reports.
struct state_statistics {
  std::uint64_t saved;         // saves, of this run
  std::uint64_t transactions;  // that they took
};

class ONELOOP_API crawl_state {
 public:
  using visitor = std::function<void(saved_verdict)>;

  /// Opens the file, or makes it.
  [[nodiscard]] static task<crawl_state> open(std::string path, crawl_identity run);
  crawl_state(crawl_state&&) noexcept;
  crawl_state& operator=(crawl_state&&) noexcept;
  /// Saves that nobody has waited for may be lost: see close().
  ~crawl_state();

  /// Whether an earlier run had begun.
  [[nodiscard]] bool resumed() const noexcept;
  /// Puts what earlier runs did into a new frontier, and gives each of their verdicts to `seen`, in
  /// the order of the ids. The loop goes on meanwhile: `seen` is called on it. Once, before the
  /// first save.
  [[nodiscard]] task<> restore(frontier& f, visitor seen);

  /// Keeps what happened at a URL, and what the frontier has to say of it, or the latter only (the
  /// start pages). Queued by the call itself; the task waits until it is committed. A second
  /// verdict on a URL replaces the first one. Cancellation: it is committed nevertheless, by the
  /// next save or by close().
  [[nodiscard]] task<> save(saved_verdict v, frontier_changes found);
  [[nodiscard]] task<> save(frontier_changes found);

  /// The verdicts of all runs, in the order of the ids. As restore does.
  [[nodiscard]] task<> verdicts(visitor seen);
  /// Where a URL is linked, in the order of the claims.
  [[nodiscard]] task<std::vector<link_source>> sources(url_id id);

  [[nodiscard]] state_statistics statistics() const noexcept;
  /// Commits what is queued and closes the file; a cancel does not stop it.
  [[nodiscard]] task<> close();

 private:
  struct state;
  explicit crawl_state(std::unique_ptr<state> s) noexcept;
  std::unique_ptr<state> state_;
};

/// Verdicts of earlier runs, by URL, for as long as they are fresh. Several processes may share a
/// file.
///
///     auto cache = co_await oneloop::verdict_cache::open("cache.db", 24h);
///     if (auto known = co_await cache.find(page)) use(*known);
///     cache.put(page, result);
class ONELOOP_API verdict_cache {
 public:
  /// Forgets what is older than `max_age`.
  [[nodiscard]] static task<verdict_cache> open(std::string path, duration max_age);
  verdict_cache(verdict_cache&&) noexcept;
  verdict_cache& operator=(verdict_cache&&) noexcept;
  ~verdict_cache();

  /// The verdict on a URL, whatever its fragment. Waits only if there is one.
  [[nodiscard]] task<std::optional<check_result>> find(url u);
  /// Keeps one; it is written with others, at the latest by close().
  [[nodiscard]] task<> put(const url& u, check_result r);
  /// Verdicts in the file when it was opened, and since then.
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] task<> close();

 private:
  struct state;
  explicit verdict_cache(std::unique_ptr<state> s) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace oneloop::inline v0
