// Messages between two processes: strings go in at one end and come out whole at the other.
//
//     co_await pipe.send("http://example.org/");
//     std::optional<std::string> answer = co_await pipe.receive();   // nothing: the other side
//     ended
//
// The kernel keeps the messages apart (a Unix socket pair of type SOCK_SEQPACKET): none is ever cut
// or mixed, whoever sends, cancels or dies.
//
// *Threads*: both operations are leaves, for every model and for plain threads without a loop;
// any number of them at a time. On one loop each direction is first come, first served; between
// loops and threads the kernel decides. *Back-pressure*: about 200 KB of messages that nobody has
// received, then `send` waits. *Cost*: one system call a message.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io.hpp"
#include "oneloop/loop/waiter.hpp"

namespace oneloop::inline v0::process {

class message_pipe;

/// What message_pipe::send returns. It may be moved until it is started.
class ONELOOP_API send_message_operation {
 public:
  send_message_operation(message_pipe& to, std::string message) noexcept
      : pipe_{&to}, message_{std::move(message)} {}
  bool await_ready();
  bool await_suspend(waiter& w) { return sending_->await_suspend(w); }
  void await_resume() const;

 private:
  message_pipe* pipe_;
  std::string message_;
  std::optional<io_operation> sending_;
};

/// What message_pipe::receive returns. It may be moved until it is started.
class ONELOOP_API receive_message_operation {
 public:
  explicit receive_message_operation(message_pipe& from) noexcept : pipe_{&from} {}
  bool await_ready();
  bool await_suspend(waiter& w) { return receiving_->await_suspend(w); }
  std::optional<std::string> await_resume() const;

 private:
  message_pipe* pipe_;
  std::unique_ptr<std::byte[]> buffer_;
  std::optional<io_operation> receiving_;
};

/// One end. Moves, but not while there are operations on it; closes at the end of its life, and the
/// other side hears of it.
class ONELOOP_API message_pipe {
 public:
  /// Bytes of a message.
  static constexpr std::size_t max_message = std::size_t{64} * 1024;

  message_pipe() noexcept = default;
  /// `object` is what errors call the other side: "worker 4711".
  message_pipe(descriptor d, std::string object) noexcept
      : descriptor_{std::move(d)}, object_{std::move(object)} {}

  /// Until the message is on its way. Throws error: limit_exceeded if it is larger than
  /// max_message, EPIPE if the other side has ended.
  /// Cancellation: the message was not sent.
  [[nodiscard]] send_message_operation send(std::string message) noexcept {
    return {*this, std::move(message)};
  }
  /// The next message; nothing if the other side has ended and all it sent has been received.
  /// Cancellation: the message stays.
  [[nodiscard]] receive_message_operation receive() noexcept {
    return receive_message_operation{*this};
  }
  /// Ends our direction: the other side receives what is on its way, then nothing.
  void end_sending() noexcept;
  /// Ends both, and what waits on it, with errc::closed. Idempotent.
  void close() noexcept { descriptor_.close(); }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_.is_open(); }

 private:
  friend class send_message_operation;
  friend class receive_message_operation;
  [[noreturn]] void fail(const char* what, std::int64_t n) const;
  descriptor descriptor_;
  std::string object_;
};

}  // namespace oneloop::inline v0::process
