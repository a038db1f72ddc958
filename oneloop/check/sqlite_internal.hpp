// SQLite, as far as check/ needs it: one file, prepared statements, and transactions that many
// callers share. Internal to check/.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/sync/mutex.hpp"
#include "oneloop/task/task.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace oneloop::inline v0::detail {

/// An open file. One thread at a time. Errors: `error`, "state file /x: it is not a database".
class database {
 public:
  enum class sharing : std::uint8_t { alone, shared };
  /// Opens or makes the file. `what` it is ("state file"), for messages; `kind` and `version` are
  /// written into a new one, by `schema`, and compared with those of an old one. `alone`: keeps
  /// every other process out until it is closed.
  database(std::string_view what, const std::string& path, std::uint32_t kind, int version,
           const char* schema, sharing s);
  ~database();
  database(const database&) = delete;
  database& operator=(const database&) = delete;

  [[nodiscard]] bool fresh() const noexcept { return fresh_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  void execute(const char* sql);
  /// Throws if its pages do not fit together.
  void examine();
  /// "state file /x: <why>"
  [[noreturn]] void fail(std::error_code code, std::string_view why) const;
  [[noreturn]] void fail() const;  // for the last call's reason

 private:
  friend class statement;
  struct close {
    void operator()(sqlite3* db) const noexcept;
  };
  std::string name_;
  std::unique_ptr<sqlite3, close> db_;
  bool fresh_ = false;
};

/// Bytes that are no text.
struct blob {
  std::string_view bytes;
};

/// A prepared statement: bind with `with`, then `run` or `step`. Ends before its database does.
class statement {
 public:
  statement(database& db, std::string_view sql);
  /// Values for its parameters from the first on. Texts must live until it was run.
  template <class... Values>
  statement& with(const Values&... values) {
    reset();
    int at = 0;
    (bind(++at, values), ...);
    return *this;
  }
  /// To its end.
  void run() {
    while (step()) {
    }
    reset();
  }
  /// One more row; false: there is none.
  bool step();
  [[nodiscard]] std::int64_t number(int column) const noexcept;
  /// Until the next step.
  [[nodiscard]] std::string_view bytes(int column) const noexcept;
  void reset() noexcept;

 private:
  struct finish {
    void operator()(sqlite3_stmt* s) const noexcept;
  };
  void bind(int at, std::int64_t value);
  void bind(int at, std::string_view text);
  void bind(int at, blob b);
  database& db_;
  std::unique_ptr<sqlite3_stmt, finish> statement_;
};

/// Changes by many parties, put into one transaction while the one before is written, on a thread
/// of the blocking pool. On one loop.
class group_writer {
 public:
  using change = std::move_only_function<void()>;

  explicit group_writer(database& db) noexcept : db_{db} {}
  /// Queues a change; those that are queued are written in their order, whoever waits for them.
  std::uint64_t add(change c) {
    queue_.push_back(std::move(c));
    return ++added_;
  }
  /// Until the change of that number is committed. Throws what went wrong with it, or with one
  /// before: nothing is written after that.
  /// Cancellation: the change stays in the queue, for whoever writes next.
  task<> written(std::uint64_t number);
  /// Until all are, whatever is cancelled.
  task<> flush();
  /// Runs `f` on a thread when nothing else uses the database.
  task<> exclusively(std::function<void()> f);
  [[nodiscard]] std::uint64_t transactions() const noexcept { return transactions_; }

 private:
  task<> write_queue();
  database& db_;
  mutex turn_;
  std::vector<change> queue_;
  std::uint64_t added_ = 0, written_ = 0, transactions_ = 0;
  std::exception_ptr failed_;
};

}  // namespace oneloop::inline v0::detail
