// Protocols for the usual framings: lines, netstrings, strings behind their length. And a sender of
// files.
//
//     struct shout : line_receiver {
//       void line_received(std::string_view line) override { send_line(upper(line)); }
//     };
//     struct rpc : int32_string_receiver {
//       void string_received(std::string_view s) override { send_string(answer(s)); }
//     };
//
// What a callback is given is valid until it returns. After lose_connection or abort_connection
// nothing more is delivered, also not what came in the same read. Time is linear in the bytes,
// however they are cut; a frame that comes whole is not copied. What is left when the peer ends its
// direction is not delivered.
#pragma once

#include <cstddef>
#include <cstdint>
#include <istream>
#include <memory>
#include <string>
#include <string_view>

#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/net/read_buffer.hpp"
#include "oneloop/protocol/protocol.hpp"

namespace oneloop::inline v0 {

/// The base of all framings: gives a derived class the input that it has not consumed yet.
class ONELOOP_API framed_protocol : public protocol {
 public:
  void data_received(bytes data) final;

  /// Nothing is delivered until resume_producing, also not what has come already.
  void pause_producing();
  void resume_producing();

 protected:
  /// Looks at input(), and if there is a frame, consumes it and delivers it, in this order. False:
  /// more is needed.
  virtual bool deliver() = 0;
  [[nodiscard]] std::string_view input() const noexcept { return in_; }
  void consume(std::size_t n) noexcept { in_.remove_prefix(n); }
  /// Takes back the end of what has been consumed last: it is input again. False if it is not that.
  bool unconsume(std::string_view rest) noexcept;
  /// Consumes everything.
  std::string consume_all();

 private:
  void run(std::string_view in, bool kept);
  net::read_buffer kept_;
  std::string_view in_;   // while busy: of kept_, or of what has just come
  std::string injected_;  // by a callback, from within
  bool busy_ = false;
  bool paused_ = false;
};

/// Lines, without their delimiter.
class ONELOOP_API line_only_receiver : public framed_protocol {
 public:
  virtual void line_received(std::string_view line) = 0;
  /// A line is longer than allowed, or will be: `begin` is what there is of it (and behind it).
  /// Ends the connection unless overridden.
  virtual void line_length_exceeded(std::string_view begin);
  void send_line(std::string_view line) { transport().write_sequence({line, delimiter_}); }

  /// What lines end with ("\r\n"). Throws misuse if it is empty.
  void set_delimiter(std::string d);
  /// Without the delimiter (16,384).
  void set_max_length(std::size_t n) noexcept { max_length_ = n; }

 protected:
  bool deliver() override;

 private:
  friend class line_receiver;
  std::string delimiter_{"\r\n"};
  std::size_t max_length_ = 16384;
  std::size_t seen_ = 0;  // of the input: no delimiter begins before
};

/// Lines, and in between raw data: HTTP, SMTP and their kin. Begins with lines.
class ONELOOP_API line_receiver : public line_only_receiver {
 public:
  /// What has come, in raw mode.
  virtual void raw_data_received(bytes) {}

  /// From the next byte on; also in the middle of a chunk.
  void set_raw_mode() noexcept {
    raw_ = true;
    seen_ = 0;
  }
  /// Lines again, beginning with `rest`: what raw_data_received was given and did not want.
  void set_line_mode(bytes rest = {});
  /// What has come and was not delivered, taken out.
  std::string clear_line_buffer() {
    seen_ = 0;
    return consume_all();
  }

 protected:
  bool deliver() override;

 private:
  bool raw_ = false;
};

/// "5:hello,". Leading zeros and anything else that is no netstring end the connection.
class ONELOOP_API netstring_receiver : public framed_protocol {
 public:
  virtual void string_received(std::string_view s) = 0;
  /// What the peer has sent is no netstring, or one that is too long: `why`. Ends the connection
  /// unless overridden; all that has come is dropped.
  virtual void broken(std::string_view why);
  void send_string(std::string_view s);
  /// (99,999.)
  void set_max_length(std::size_t n) noexcept { max_length_ = n; }

 protected:
  bool deliver() override;

 private:
  bool refuse(std::string_view why);
  std::size_t max_length_ = 99999;
  std::size_t length_ = 0;  // of the string that comes, if `in_string_`
  bool in_string_ = false;
};

/// Strings behind their length, a big-endian number of `Bytes` bytes.
template <std::size_t Bytes>
class ONELOOP_API int_string_receiver : public framed_protocol {
 public:
  virtual void string_received(std::string_view s) = 0;
  /// A longer one is announced than allowed. Ends the connection unless overridden; all that has
  /// come is dropped.
  virtual void length_limit_exceeded(std::size_t length);
  /// Throws errc::limit_exceeded if the length does not fit into the number.
  void send_string(std::string_view s);
  /// (99,999.)
  void set_max_length(std::size_t n) noexcept { max_length_ = n; }

 protected:
  bool deliver() override;

 private:
  std::size_t max_length_ = 99999;
};
using int8_string_receiver = int_string_receiver<1>;
using int16_string_receiver = int_string_receiver<2>;
using int32_string_receiver = int_string_receiver<4>;
extern template class int_string_receiver<1>;
extern template class int_string_receiver<2>;
extern template class int_string_receiver<4>;

/// Sends everything that `from` has, as fast as `to` takes it, in pieces of 16 KiB. Gives when the
/// last piece has been written (to the transport, not to the wire). Fails with connection_aborted
/// if the connection is lost before. Reading blocks the loop: for local files.
ONELOOP_API deferred<> send_file(std::unique_ptr<std::istream> from, transport& to);

}  // namespace oneloop::inline v0
