#include "oneloop/check/state.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <unordered_set>

#include "oneloop/base/error.hpp"
#include "oneloop/check/spelling_internal.hpp"
#include "oneloop/check/sqlite_internal.hpp"
#include "oneloop/check/wire_internal.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0 {

using detail::blob;
using detail::database;
using detail::group_writer;
using detail::statement;
using detail::wire_reader;
using detail::wire_writer;

namespace {

constexpr std::uint32_t state_kind = 0x6f6c4373;  // "olCs"
constexpr int state_version = 1;
constexpr const char* state_schema = R"(
CREATE TABLE run(name TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE site(host TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE url(id INTEGER PRIMARY KEY, url TEXT NOT NULL, depth INTEGER NOT NULL,
                 internal INTEGER NOT NULL);
CREATE TABLE page(links BLOB NOT NULL);
CREATE TABLE source(url INTEGER NOT NULL, page INTEGER NOT NULL, line INTEGER NOT NULL,
                    "column" INTEGER NOT NULL, text TEXT NOT NULL, element TEXT NOT NULL,
                    fragment TEXT NOT NULL);
CREATE TABLE verdict(url INTEGER PRIMARY KEY, ok INTEGER NOT NULL, status INTEGER NOT NULL,
                     result BLOB NOT NULL, more BLOB NOT NULL);
)";

constexpr std::uint32_t cache_kind = 0x6f6c5663;  // "olVc"
constexpr int cache_version = 1;
constexpr const char* cache_schema = R"(
CREATE TABLE verdict(url TEXT PRIMARY KEY, at INTEGER NOT NULL, result BLOB NOT NULL)
  WITHOUT ROWID;
)";

/// Of `rows` at a time.
constexpr std::size_t rows = 1024;

template <class T>
T narrow(const database& db, std::int64_t n) {
  if (!std::in_range<T>(n)) {
    db.fail(make_error_code(errc::protocol), "it is damaged: a number out of range");
  }
  return static_cast<T>(n);
}

/// Runs f() on a thread, whatever is cancelled meanwhile.
template <class F>
task<> on_thread(F& f) {
  auto run = [&]() -> task<> { co_await to_thread(std::ref(f)); };
  co_await shielded(std::ref(run));
}

check_result restored(const database& db, std::string_view bytes, std::string url) {
  check_result r{std::move(url)};
  try {
    wire_reader{bytes}.get(r);
  } catch (const error& e) {
    db.fail(e.code(), std::string{"it is damaged: "} + e.what());
  }
  return r;
}

}  // namespace

struct crawl_state::state {
  state(const std::string& path, const crawl_identity& run)
      : db{"state file", path, state_kind, state_version, state_schema, database::sharing::alone} {
    if (db.fresh()) {
      begin(run);
    } else {
      compare(run);
      db.examine();
      // It is made again when somebody asks; while rows come it only costs.
      db.execute("DROP INDEX IF EXISTS source_by_url");
    }
    insert = std::make_unique<statements>(db);
  }

  struct statements {
    explicit statements(database& db)
        : site{db, "INSERT OR IGNORE INTO site VALUES(?)"},
          url{db, "INSERT INTO url VALUES(?,?,?,?)"},
          update{db, "UPDATE url SET depth=?, internal=? WHERE id=?"},
          page{db, "INSERT INTO page VALUES(?)"},
          source{db, "INSERT INTO source VALUES(?,?,?,?,?,?,?)"},
          verdict{db, "INSERT OR REPLACE INTO verdict VALUES(?,?,?,?,?)"} {}
    statement site, url, update, page, source, verdict;
  };

  database db;
  std::unique_ptr<statements> insert;
  group_writer writer{db};
  std::uint64_t saved = 0;

  void begin(const crawl_identity& run) {
    db.execute("BEGIN IMMEDIATE");
    statement add{db, "INSERT INTO run VALUES(?,?)"};
    add.with("", "").run();  // so that a run without names has begun, too
    for (const auto& [name, value] : run) add.with(name, value).run();
    db.execute("COMMIT");
  }
  void compare(const crawl_identity& run) {
    statement all{db, "SELECT name, value FROM run ORDER BY rowid"};
    crawl_identity theirs;
    while (all.step()) theirs.emplace_back(all.bytes(0), all.bytes(1));
    if (theirs.empty()) {  // whoever made the file was killed before it began
      all.reset();
      begin(run);
      return;
    }
    theirs.erase(theirs.begin());
    if (theirs == run) return;
    const auto [mine, other] = std::ranges::mismatch(run, theirs);
    std::string why{"it belongs to another run: there, "};
    const auto said = [&](const auto& at, const auto& end) {
      return at == end ? std::string{"nothing"} : at->first + " is \"" + at->second + "\"";
    };
    why += said(other, theirs.end()) + ", here, " + said(mine, run.end());
    db.fail(make_error_code(errc::misuse), why);
  }

  std::uint64_t queue(std::optional<saved_verdict> v, frontier_changes found) {
    ++saved;
    return writer.add([this, v = std::move(v), found = std::move(found)] { write(v, found); });
  }
  /// The column `internal`: 1 of the site, 2 led to.
  template <class Claim>
  static int how(const Claim& c) {
    return (c.followed ? 1 : 0) | (c.led ? 2 : 0);
  }
  void write(const std::optional<saved_verdict>& v, const frontier_changes& found) const {
    statements& s = *insert;
    for (const auto& host : found.hosts) s.site.with(host).run();
    for (const auto& c : found.claims) s.url.with(c.id, c.url, c.depth, how(c)).run();
    for (const auto& u : found.updates) s.update.with(u.depth, how(u), u.id).run();
    if (!found.links.empty()) {
      wire_writer links;
      url_id from = 0;
      for (const auto& e : found.links) {
        links.put(std::int64_t{e.from} - std::exchange(from, e.from));
        links.put((std::uint64_t{e.to} << 1U) | (e.redirect ? 1U : 0U));
      }
      s.page.with(blob{links.take()}).run();
    }
    for (const auto& [to, from] : found.sources) {
      const auto& p = from.place;
      s.source.with(to, from.page, p.line, p.column, p.text, p.element, p.fragment).run();
    }
    if (v) {
      wire_writer result;
      result.put(v->result);
      s.verdict.with(v->id, v->result.ok, v->result.status, blob{result.take()}, blob{v->more})
          .run();
    }
  }

  /// Gives the frontier all that is no verdict, piece by piece.
  void tell(frontier& f) {
    frontier_changes piece;
    const auto give = [&](std::size_t size, std::size_t most) {
      if (size < most) return;
      f.restore(piece);
      piece = {};
    };
    statement hosts{db, "SELECT host FROM site"};
    while (hosts.step()) piece.hosts.emplace_back(hosts.bytes(0));
    statement urls{db, "SELECT id, url, depth, internal FROM url ORDER BY id"};
    url_id known = 0;  // how many there are
    while (urls.step()) {
      if (urls.number(0) != known++) damaged("a URL is missing");
      const auto claimed = static_cast<std::uint64_t>(urls.number(3));
      piece.claims.push_back({narrow<url_id>(db, urls.number(0)), std::string{urls.bytes(1)},
                              narrow<std::uint32_t>(db, urls.number(2)), (claimed & 1U) != 0,
                              (claimed & 2U) != 0});
      give(piece.claims.size(), rows);
    }
    give(1, 1);
    statement pages{db, "SELECT links FROM page ORDER BY rowid"};
    while (pages.step()) {
      read_links(pages.bytes(0), known, piece);
      give(piece.links.size(), rows);
    }
    statement sources{db, "SELECT url, page FROM source"};
    while (sources.step()) {
      const auto to = narrow<url_id>(db, sources.number(0));
      const auto from = narrow<url_id>(db, sources.number(1));
      if (to >= known || from >= known) damaged("a link between unknown URLs");
      piece.sources.push_back({to, {from, {}}});
      give(piece.sources.size(), rows);
    }
    give(1, 1);
  }
  void read_links(std::string_view bytes, url_id known, frontier_changes& to) const {
    url_id last = 0;
    try {
      for (wire_reader from{bytes}; !from.empty();) {
        const auto page = narrow<url_id>(db, last + from.get<std::int64_t>());
        const auto what = from.get<std::uint64_t>();
        const auto target = narrow<url_id>(db, static_cast<std::int64_t>(what >> 1U));
        if (page >= known || target >= known) damaged("a link between unknown URLs");
        to.links.push_back({page, target, (what & 1U) != 0});
        last = page;
      }
    } catch (const error& e) {
      if (std::string_view{e.what()}.starts_with(db.name())) throw;
      damaged(e.what());
    }
  }
  [[noreturn]] void damaged(std::string_view why) const {
    db.fail(make_error_code(errc::protocol), std::string{"it is damaged: "}.append(why));
  }

  /// Some more of the verdicts, from an id on.
  std::vector<saved_verdict> read_verdicts(std::int64_t from) {
    statement some{db,
                   "SELECT verdict.url, url.url, result, more FROM verdict "
                   "JOIN url ON url.id = verdict.url WHERE verdict.url >= ? "
                   "ORDER BY verdict.url LIMIT ?"};
    some.with(from, static_cast<std::int64_t>(rows));
    std::vector<saved_verdict> all;
    while (some.step()) {
      all.emplace_back(narrow<url_id>(db, some.number(0)),
                       restored(db, some.bytes(2), std::string{some.bytes(1)}),
                       std::string{some.bytes(3)});
    }
    return all;
  }
  task<> give_verdicts(std::function<void(saved_verdict)> seen) {
    for (std::int64_t from = 0;;) {
      std::vector<saved_verdict> some;
      auto reading = writer.exclusively([&] { some = read_verdicts(from); });
      co_await std::move(reading);
      if (some.empty()) break;
      from = std::int64_t{some.back().id} + 1;
      for (auto& v : some) seen(std::move(v));
    }
  }
};

crawl_state::crawl_state(std::unique_ptr<state> s) noexcept : state_{std::move(s)} {}
crawl_state::crawl_state(crawl_state&&) noexcept = default;
crawl_state& crawl_state::operator=(crawl_state&&) noexcept = default;
crawl_state::~crawl_state() = default;

task<crawl_state> crawl_state::open(std::string path, crawl_identity run) {
  std::unique_ptr<state> s;
  auto opening = [&] { s = std::make_unique<state>(path, run); };
  auto opened = on_thread(opening);
  co_await std::move(opened);
  co_return crawl_state{std::move(s)};
}

bool crawl_state::resumed() const noexcept { return !state_->db.fresh(); }

task<> crawl_state::restore(frontier& f, visitor seen) {
  state& s = *state_;
  auto reading = s.writer.exclusively([&] { s.tell(f); });
  co_await std::move(reading);
  auto giving = s.give_verdicts([&](saved_verdict v) {
    f.restore_done(v.id);
    seen(std::move(v));
  });
  co_await std::move(giving);
}

task<> crawl_state::save(saved_verdict v, frontier_changes found) {
  return state_->writer.written(state_->queue(std::move(v), std::move(found)));
}

task<> crawl_state::save(frontier_changes found) {
  return state_->writer.written(state_->queue({}, std::move(found)));
}

task<> crawl_state::verdicts(visitor seen) {
  auto flushing = state_->writer.flush();
  co_await std::move(flushing);
  auto giving = state_->give_verdicts(std::move(seen));
  co_await std::move(giving);
}

task<std::vector<link_source>> crawl_state::sources(url_id id) {
  state& s = *state_;
  auto flushing = s.writer.flush();
  co_await std::move(flushing);
  std::vector<link_source> all;
  auto reading = s.writer.exclusively([&] {
    s.db.execute("CREATE INDEX IF NOT EXISTS source_by_url ON source(url)");
    statement some{s.db,
                   "SELECT page, line, \"column\", text, element, fragment FROM source "
                   "WHERE url = ? ORDER BY rowid"};
    some.with(id);
    while (some.step()) {
      all.push_back({narrow<url_id>(s.db, some.number(0)),
                     {narrow<std::uint32_t>(s.db, some.number(1)),
                      narrow<std::uint32_t>(s.db, some.number(2)), std::string{some.bytes(3)},
                      std::string{some.bytes(4)}, std::string{some.bytes(5)}}});
    }
  });
  co_await std::move(reading);
  co_return all;
}

state_statistics crawl_state::statistics() const noexcept {
  return {state_->saved, state_->writer.transactions()};
}

task<> crawl_state::close() {
  if (!state_) co_return;
  auto flushing = state_->writer.flush();
  co_await std::move(flushing);
  auto closing = [this] { state_.reset(); };
  auto closed = on_thread(closing);
  co_await std::move(closed);
}

// ---- the cache
// -----------------------------------------------------------------------------------

struct verdict_cache::state {
  state(const std::string& path, duration max_age)
      : db{"cache file", path, cache_kind, cache_version, cache_schema, database::sharing::shared},
        oldest{now() - std::chrono::ceil<std::chrono::seconds>(max_age).count()} {
    statement{db, "DELETE FROM verdict WHERE at < ?"}.with(oldest).run();
    statement urls{db, "SELECT url FROM verdict"};
    while (urls.step()) known.insert(hash(urls.bytes(0)));
  }
  static std::int64_t now() {
    return std::chrono::duration_cast<std::chrono::seconds>(
               loop::wall_time_here().time_since_epoch())
        .count();
  }
  static std::size_t hash(std::string_view key) noexcept {
    return std::hash<std::string_view>{}(key);
  }
  static std::string key_of(const url& u) {
    return detail::spelled(u.without_fragment().href(), detail::spelling::of_urls);
  }
  void write(const std::string& key, const check_result& r) {
    wire_writer w;
    w.put(r);
    insert.with(key, now(), blob{w.take()}).run();
  }

  database db;
  std::int64_t oldest;
  statement insert{db, "INSERT OR REPLACE INTO verdict VALUES(?,?,?)"};
  statement look{db, "SELECT result FROM verdict WHERE url = ? AND at >= ?"};
  group_writer writer{db};
  std::unordered_set<std::size_t> known;  // hashes
};

verdict_cache::verdict_cache(std::unique_ptr<state> s) noexcept : state_{std::move(s)} {}
verdict_cache::verdict_cache(verdict_cache&&) noexcept = default;
verdict_cache& verdict_cache::operator=(verdict_cache&&) noexcept = default;
verdict_cache::~verdict_cache() = default;

task<verdict_cache> verdict_cache::open(std::string path, duration max_age) {
  std::unique_ptr<state> s;
  auto opening = [&] { s = std::make_unique<state>(path, max_age); };
  auto opened = on_thread(opening);
  co_await std::move(opened);
  co_return verdict_cache{std::move(s)};
}

task<std::optional<check_result>> verdict_cache::find(url u) {
  state& s = *state_;
  const std::string key = state::key_of(u);
  std::optional<check_result> found;
  if (s.known.contains(state::hash(key))) {
    auto flushing = s.writer.flush();
    co_await std::move(flushing);
    auto reading = s.writer.exclusively([&] {
      s.look.with(key, s.oldest);
      if (s.look.step()) found = restored(s.db, s.look.bytes(0), u.href());
      s.look.reset();
    });
    co_await std::move(reading);
  }
  co_return found;
}

task<> verdict_cache::put(const url& u, check_result r) {
  state& s = *state_;
  std::string key = state::key_of(u);
  s.known.insert(state::hash(key));
  return s.writer.written(
      s.writer.add([&s, key = std::move(key), r = std::move(r)] { s.write(key, r); }));
}

std::size_t verdict_cache::size() const noexcept { return state_->known.size(); }

task<> verdict_cache::close() {
  if (!state_) co_return;
  auto flushing = state_->writer.flush();
  co_await std::move(flushing);
  auto closing = [this] { state_.reset(); };
  auto closed = on_thread(closing);
  co_await std::move(closed);
}

}  // namespace oneloop::inline v0
