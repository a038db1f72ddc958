// A buffer in front of a stream: exact counts, delimiters, lines.
//
//     net::buffered_reader in{stream};                       // or {std::move(stream)}: owns it
//     std::optional<std::string> line = co_await in.read_line();
//     std::string head = co_await in.read_until("\r\n\r\n", 64 * 1024);
//     std::string body = co_await in.read_exactly(1024);
//
// Nothing is taken out of the buffer before a read is complete. So a read that was cancelled, that
// timed out or that failed has lost nothing: the next one finds all bytes.
//
// Cancellation: at each read of the stream; what is in the buffer is given without one. Threads:
// one reader at a time, tasks (a loop). Errors: those of the stream; end_of_stream and
// errc::limit_exceeded as said below, naming the stream. Cost: one growing buffer, given back when
// it is empty and was larger than 64 KiB.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/net/read_buffer.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::net {

/// `Stream`: a byte_stream, held by value; or a reference to one.
template <class Stream>
  requires byte_stream<std::remove_reference_t<Stream>>
class buffered_reader {
 public:
  static constexpr std::size_t default_limit = 64 * 1024;

  explicit buffered_reader(Stream&& s) : stream_{static_cast<Stream&&>(s)} {}

  /// The stream behind, for writing.
  [[nodiscard]] std::remove_reference_t<Stream>& stream() noexcept { return stream_; }

  /// What is in the buffer now.
  [[nodiscard]] std::span<const std::byte> buffered() const noexcept { return buffer_.data(); }
  /// Takes the first `n` buffered bytes out (at most all).
  void consume(std::size_t n) noexcept { buffer_.consume(n); }
  /// Reads once from the stream into the buffer: how many bytes came, 0 at the end of the stream.
  [[nodiscard]] task<std::size_t> fill() {
    const auto n = co_await stream_.read_some(buffer_.space(read_size));
    buffer_.add(n);
    co_return n;
  }

  /// What is buffered, else what the stream has: at least one byte, 0 at the end of the stream.
  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to) {
    if (buffer_.empty() && to.size() >= read_size) {
      const auto n = co_await stream_.read_some(to);
      co_return n;
    }
    if (buffer_.empty() && !to.empty()) (void)co_await fill();
    co_return buffer_.take(to);
  }

  /// Exactly `to.size()` bytes. Throws end_of_stream if the stream ends before; what came stays.
  [[nodiscard]] task<> read_exactly(std::span<std::byte> to) {
    auto filling = need(to.size());
    co_await std::move(filling);
    (void)buffer_.take(to);
  }
  /// The same into a string.
  [[nodiscard]] task<std::string> read_exactly(std::size_t n) {
    auto filling = need(n);
    co_await std::move(filling);
    co_return buffer_.take_text(n);
  }

  /// Everything up to and including `delimiter`, at most `limit` bytes. Throws end_of_stream (got:
  /// what is left; wanted: one more) if the stream ends before it, errc::limit_exceeded if it is
  /// not among the first `limit` bytes. The data stays in the buffer either way.
  [[nodiscard]] task<std::string> read_until(std::string delimiter,
                                             std::size_t limit = default_limit) {
    auto finding = find(std::move(delimiter), limit, "read_until");
    const std::size_t end = co_await std::move(finding);
    if (end == 0) {
      const std::size_t got = buffer_.size();
      throw end_of_stream{"read_until " + name_of(stream()), got, got + 1};
    }
    co_return buffer_.take_text(end);
  }

  /// The next line without its "\n" or "\r\n"; the last one may lack it; nothing at the end of the
  /// stream. `limit` counts the line with its end; errc::limit_exceeded as in read_until.
  [[nodiscard]] task<std::optional<std::string>> read_line(std::size_t limit = default_limit) {
    std::string delimiter{"\n"};
    auto finding = find(std::move(delimiter), limit, "read_line");
    const std::size_t end = co_await std::move(finding);
    std::optional<std::string> line;
    if (end == 0 && buffer_.empty()) co_return line;
    line.emplace(buffer_.take_text(end != 0 ? end : buffer_.size()));
    if (line->ends_with('\n')) {
      line->pop_back();
      if (line->ends_with('\r')) line->pop_back();
    }
    co_return line;
  }

 private:
  static constexpr std::size_t read_size = 4096;

  /// Until `n` bytes are buffered.
  task<> need(std::size_t n) {
    while (buffer_.size() < n) {
      // Grow with what arrives, not with what was announced: a peer may announce anything.
      const std::size_t missing = std::min(n - buffer_.size(), buffer_.size() + read_size);
      const auto got = co_await stream_.read_some(buffer_.space(missing));
      if (got == 0) throw end_of_stream{"read_exactly " + name_of(stream()), buffer_.size(), n};
      buffer_.add(got);
    }
  }

  /// Until `delimiter` is buffered: the index behind it; 0 at the end of the stream.
  task<std::size_t> find(std::string delimiter, std::size_t limit, const char* operation) {
    if (delimiter.empty()) throw misuse{"read_until needs a delimiter"};
    std::size_t seen = 0;
    while (true) {
      const std::string_view all = buffer_.text();
      const auto at = all.substr(0, limit).find(delimiter, seen);
      if (at != all.npos) co_return at + delimiter.size();
      if (all.size() >= limit) {
        throw error{operation, name_of(stream()), make_error_code(errc::limit_exceeded)};
      }
      seen = all.size() < delimiter.size() ? 0 : all.size() - delimiter.size() + 1;
      const auto got = co_await fill();
      if (got == 0) co_return std::size_t{0};
    }
  }

  Stream stream_;
  read_buffer buffer_;
};

template <class S>
buffered_reader(S&&) -> buffered_reader<S>;

}  // namespace oneloop::inline v0::net
