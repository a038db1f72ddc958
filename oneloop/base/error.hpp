// The exceptions of oneloop, and the error codes behind them.
//
// Every failure is an `error`: it carries a std::error_code for programs and a message for people
// that names the operation, the object and the cause ("connect 127.0.0.1:81: Connection refused").
// `cancelled` is not an error and not a std::exception: a handler for errors never swallows it.
//
//     try {
//       co_await connect(...);
//     } catch (const oneloop::error& e) {
//       log(e.what(), e.code());
//     }
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// Conditions that the operating system has no code for.
enum class errc {
  would_block_loop = 1,  // a blocking wait where it would stop the loop
  loop_not_running,      // the loop that should do the work is not driven by anybody
  wrong_thread,          // a call that belongs to another thread
  loop_after_fork,       // a loop that was inherited by a forked child
  closed,                // a channel, a queue or a stream was closed
  end_of_stream,         // the peer ended the stream before the promised bytes had come
  timed_out,             // a deadline passed (fail_after)
  limit_exceeded,        // a bound that protects memory was hit
  protocol,              // the peer did not speak the protocol
  misuse,                // a rule of the API was broken; the message names it
};

ONELOOP_API const std::error_category& oneloop_category() noexcept;
ONELOOP_API std::error_code make_error_code(errc e) noexcept;

/// The base of all failures. Copying never throws (the text is shared).
class ONELOOP_API error : public std::exception {
 public:
  /// `message` is the whole text; it should already name operation, object and cause.
  error(std::error_code code, std::string_view message);
  /// "operation object: cause", the cause being the code's own text.
  error(std::string_view operation, std::string_view object, std::error_code code);
  ~error() override;
  error(const error&) noexcept = default;
  error& operator=(const error&) noexcept = default;

  [[nodiscard]] const char* what() const noexcept override { return text_->c_str(); }
  [[nodiscard]] std::error_code code() const noexcept { return code_; }

 private:
  std::error_code code_;
  std::shared_ptr<const std::string> text_;
};

/// A blocking `await` on a loop's own stack or in a coroutine body: it would have deadlocked.
class ONELOOP_API would_block_loop : public error {
 public:
  explicit would_block_loop(std::string_view operation);
};
/// An operation needs a loop, and nobody runs that loop (or ever will).
class ONELOOP_API loop_not_running : public error {
 public:
  explicit loop_not_running(std::string_view operation);
};
/// A call that only the loop's thread may make came from another one.
class ONELOOP_API wrong_thread : public error {
 public:
  explicit wrong_thread(std::string_view operation);
};
/// The channel, queue or stream was closed.
class ONELOOP_API closed_error : public error {
 public:
  explicit closed_error(std::string_view operation);
};
/// The stream ended in the middle: `got()` bytes of `wanted()` had come.
class ONELOOP_API end_of_stream : public error {
 public:
  end_of_stream(std::string_view operation, std::size_t got, std::size_t wanted);
  [[nodiscard]] std::size_t got() const noexcept { return got_; }
  [[nodiscard]] std::size_t wanted() const noexcept { return wanted_; }

 private:
  std::size_t got_, wanted_;
};
/// The deadline of `fail_after` passed.
class ONELOOP_API timeout_error : public error {
 public:
  explicit timeout_error(std::string_view operation);
};
/// What was waited for (a joined child, a deferred) was cancelled by somebody else. An ordinary
/// error, unlike `cancelled`: the scope of who waits was not cancelled. Its code is
/// std::errc::operation_canceled.
class ONELOOP_API cancelled_error : public error {
 public:
  explicit cancelled_error(std::string_view operation);
};
/// A rule of the API was broken; the message names the rule.
class ONELOOP_API misuse : public error {
 public:
  explicit misuse(std::string_view message);
};

/// Thrown by every checkpoint inside a cancelled scope until the code has left that scope. It means
/// that the operation did not happen. Let it pass: the scope that was cancelled absorbs it. Not a
/// std::exception on purpose, as CancelledError and trio.Cancelled are not Exceptions.
class cancelled final {
 public:
  [[nodiscard]] const char* what() const noexcept { return "cancelled"; }
};

/// Thrown by a `timeout` (fiber/timeout.hpp) at the next wait of the party that started it. Like
/// `cancelled` it is not a std::exception: handlers of errors let it pass. `e == t` tells whose it
/// is.
class ONELOOP_API timeout_expired final {
 public:
  timeout_expired(std::uint64_t id, std::string_view text);
  [[nodiscard]] const char* what() const noexcept { return text_->c_str(); }
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }

 private:
  std::uint64_t id_;
  std::shared_ptr<const std::string> text_;
};

/// Several children of a nursery failed. The first failure is first; nothing is dropped.
class ONELOOP_API exception_group : public std::exception {
 public:
  explicit exception_group(std::vector<std::exception_ptr> errors);
  ~exception_group() override;
  exception_group(const exception_group&) noexcept = default;
  exception_group& operator=(const exception_group&) noexcept = default;

  [[nodiscard]] const char* what() const noexcept override;
  [[nodiscard]] std::span<const std::exception_ptr> errors() const noexcept;

 private:
  struct state;
  std::shared_ptr<const state> state_;
};

/// Whether `e` holds a `cancelled`.
ONELOOP_API bool is_cancelled(const std::exception_ptr& e) noexcept;

/// One line for people about whatever `e` holds; "no error" for null.
ONELOOP_API std::string describe(const std::exception_ptr& e);

/// The error code of a system call's negative result.
inline std::error_code system_code(int err) noexcept { return {err, std::system_category()}; }

}  // namespace oneloop::inline v0

template <>
struct std::is_error_code_enum<oneloop::errc> : std::true_type {};
