#include <sqlite3.h>

#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/sqlite_internal.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::inline v0::detail {
namespace {

std::error_code code_of(int result) noexcept {
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return std::make_error_code(std::errc::device_or_resource_busy);
    case SQLITE_FULL: return std::make_error_code(std::errc::no_space_on_device);
    case SQLITE_NOMEM: return std::make_error_code(std::errc::not_enough_memory);
    case SQLITE_READONLY: return std::make_error_code(std::errc::read_only_file_system);
    case SQLITE_PERM:
    case SQLITE_AUTH: return std::make_error_code(std::errc::permission_denied);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return make_error_code(errc::protocol);
    default: return std::make_error_code(std::errc::io_error);
  }
}

}  // namespace

void database::close::operator()(sqlite3* db) const noexcept { sqlite3_close_v2(db); }

database::database(std::string_view what, const std::string& path, std::uint32_t kind, int version,
                   const char* schema, sharing s)
    : name_{std::string{what} + " " + path} {
  sqlite3* db = nullptr;
  const int opened = sqlite3_open_v2(
      path.c_str(), &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  db_.reset(db);
  if (opened != SQLITE_OK) {
    if (const int cause = db == nullptr ? 0 : sqlite3_system_errno(db); cause != 0) {
      fail(system_code(cause), system_code(cause).message());
    }
    fail();
  }
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, s == sharing::alone ? 0 : 10'000);
  // Before anything looks at the file: then no shared memory is used, and the lock stays.
  if (s == sharing::alone) execute("PRAGMA locking_mode=EXCLUSIVE");
  execute("PRAGMA journal_mode=WAL");
  // A process that is killed loses nothing that was committed, and a machine that loses its power
  // only the end.
  execute("PRAGMA synchronous=NORMAL");
  execute("PRAGMA cache_size=-16384");
  execute("BEGIN IMMEDIATE");
  const auto value = [&](const char* sql) {
    statement query{*this, sql};
    return query.step() ? query.number(0) : 0;
  };
  fresh_ = value("SELECT count(*) FROM sqlite_schema") == 0;
  if (fresh_) {
    execute(schema);
    execute(("PRAGMA application_id=" + std::to_string(kind)).c_str());
    execute(("PRAGMA user_version=" + std::to_string(version)).c_str());
  } else if (value("PRAGMA application_id") != static_cast<std::int64_t>(kind)) {
    fail(make_error_code(errc::misuse), "it is a database of something else");
  } else if (const auto theirs = value("PRAGMA user_version"); theirs != version) {
    fail(make_error_code(errc::misuse), "it was made by another version of oneloop (format " +
                                            std::to_string(theirs) + ", this one writes " +
                                            std::to_string(version) + ")");
  }
  execute("COMMIT");
}

database::~database() = default;

void database::execute(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail();
}

void database::examine() {
  statement check{*this, "PRAGMA quick_check(1)"};
  if (check.step() && check.bytes(0) != "ok") {
    fail(make_error_code(errc::protocol), "it is damaged: " + std::string{check.bytes(0)});
  }
}

void database::fail(std::error_code code, std::string_view why) const {
  std::string text{name_};
  throw error{code, text.append(": ").append(why)};
}

void database::fail() const {
  const int result = db_ ? sqlite3_extended_errcode(db_.get()) : SQLITE_NOMEM;
  switch (result & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: fail(code_of(result), "another process uses it");
    case SQLITE_NOTADB: fail(code_of(result), "it is not a database");
    case SQLITE_CORRUPT:
      fail(code_of(result), std::string{"it is damaged: "} + sqlite3_errmsg(db_.get()));
    default: fail(code_of(result), db_ ? sqlite3_errmsg(db_.get()) : sqlite3_errstr(result));
  }
}

void statement::finish::operator()(sqlite3_stmt* s) const noexcept { sqlite3_finalize(s); }

statement::statement(database& db, std::string_view sql) : db_{db} {
  sqlite3_stmt* s = nullptr;
  if (sqlite3_prepare_v3(db.db_.get(), sql.data(), static_cast<int>(sql.size()),
                         SQLITE_PREPARE_PERSISTENT, &s, nullptr) != SQLITE_OK) {
    db.fail();
  }
  statement_.reset(s);
}

bool statement::step() {
  switch (sqlite3_step(statement_.get())) {
    case SQLITE_ROW: return true;
    case SQLITE_DONE: return false;
    default: db_.fail();
  }
}

std::int64_t statement::number(int column) const noexcept {
  return sqlite3_column_int64(statement_.get(), column);
}

std::string_view statement::bytes(int column) const noexcept {
  const auto* at = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  return {at, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

void statement::reset() noexcept { sqlite3_reset(statement_.get()); }

void statement::bind(int at, std::int64_t value) {
  if (sqlite3_bind_int64(statement_.get(), at, value) != SQLITE_OK) db_.fail();
}

void statement::bind(int at, std::string_view text) {
  const char* from = text.data() == nullptr ? "" : text.data();
  if (sqlite3_bind_text64(statement_.get(), at, from, text.size(), SQLITE_STATIC, SQLITE_UTF8) !=
      SQLITE_OK) {
    db_.fail();
  }
}

void statement::bind(int at, blob b) {
  const char* from = b.bytes.data() == nullptr ? "" : b.bytes.data();
  if (sqlite3_bind_blob64(statement_.get(), at, from, b.bytes.size(), SQLITE_STATIC) != SQLITE_OK) {
    db_.fail();
  }
}

task<> group_writer::written(std::uint64_t number) {
  const auto turn = co_await turn_.lock();
  if (written_ < number && !failed_) {
    auto write = [this] { return write_queue(); };
    co_await shielded(std::ref(write));
  }
  if (written_ < number) std::rethrow_exception(failed_);
}

task<> group_writer::flush() {
  auto all = [this]() -> task<> {
    auto writing = written(added_);
    co_await std::move(writing);
  };
  co_await shielded(std::ref(all));
}

task<> group_writer::exclusively(std::function<void()> f) {
  const auto turn = co_await turn_.lock();
  auto run = [&]() -> task<> { co_await to_thread(std::ref(f)); };
  co_await shielded(std::ref(run));
}

/// Whoever has the turn writes for all that have come by then.
task<> group_writer::write_queue() {
  std::vector<change> batch = std::exchange(queue_, {});
  try {
    co_await to_thread([&] {
      db_.execute("BEGIN IMMEDIATE");
      try {
        for (auto& c : batch) c();
        db_.execute("COMMIT");
      } catch (...) {
        try {
          db_.execute("ROLLBACK");
        } catch (const error&) {  // SQLite did it already
        }
        throw;
      }
    });
    written_ += batch.size();
    ++transactions_;
  } catch (...) {
    failed_ = std::current_exception();
  }
}

}  // namespace oneloop::inline v0::detail
