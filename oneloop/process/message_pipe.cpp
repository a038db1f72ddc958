#include "oneloop/process/message_pipe.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <span>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::process {
namespace {

/// On the wire every message ends with this byte: an empty one would look like the end.
constexpr char mark = '\n';
constexpr std::size_t most = message_pipe::max_message + 1;

}  // namespace

void message_pipe::fail(const char* what, std::int64_t n) const {
  const int code = static_cast<int>(-n);
  throw error{what, object_, code == EBADF ? make_error_code(errc::closed) : system_code(code)};
}

void message_pipe::end_sending() noexcept {
  if (descriptor_.is_open()) ::shutdown(descriptor_.fd(), SHUT_WR);
}

bool send_message_operation::await_ready() {
  if (message_.size() > message_pipe::max_message) {
    throw error{make_error_code(errc::limit_exceeded),
                "send to " + pipe_->object_ + ": a message of " + std::to_string(message_.size()) +
                    " bytes, and at most " + std::to_string(message_pipe::max_message) +
                    " are taken"};
  }
  message_.push_back(mark);
  sending_.emplace(io::send(pipe_->descriptor_, std::as_bytes(std::span{message_})));
  return sending_->await_ready();
}

void send_message_operation::await_resume() const {
  const std::int64_t n = sending_->await_resume();
  if (n < 0) pipe_->fail("send to", n);
}

bool receive_message_operation::await_ready() {
  buffer_ = std::make_unique_for_overwrite<std::byte[]>(most);
  receiving_.emplace(io::receive(pipe_->descriptor_, std::span{buffer_.get(), most}));
  return receiving_->await_ready();
}

std::optional<std::string> receive_message_operation::await_resume() const {
  std::int64_t n = receiving_->await_resume();
  // A peer that ended without receiving all is told once, and before what it had sent.
  if (n == -ECONNRESET) {
    n = ::recv(pipe_->descriptor_.fd(), buffer_.get(), most, MSG_DONTWAIT);
    if (n < 0) n = -errno;
  }
  if (n < 0) pipe_->fail("receive from", n);
  if (n == 0) return {};
  return std::string{reinterpret_cast<const char*>(buffer_.get()), static_cast<std::size_t>(n) - 1};
}

}  // namespace oneloop::inline v0::process
