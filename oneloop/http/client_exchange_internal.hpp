// One request and its response, on one connection: the state behind a response. Internal to http/.
//
// The connection goes back to the pool at the moment in which the response has ended cleanly, and
// is closed in every other case: when anything fails, and when the exchange dies half-read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/client_phases_internal.hpp"
#include "oneloop/http/client_upload_internal.hpp"
#include "oneloop/http/content_coding.hpp"
#include "oneloop/http/pool_internal.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/frame_pool.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http::detail {

class exchange : public pooled {
 public:
  /// `decode`: what comes may be decoded.
  exchange(lease l, const request& r, bool decode);
  ~exchange();
  exchange(const exchange&) = delete;
  exchange& operator=(const exchange&) = delete;

  /// Sends the request and waits for the head of the response, in the scope of `c`. While a body
  /// goes out the response is watched. Throws http_error, and what the body's source throws.
  task<> begin(outgoing out, phase_clock& c);
  /// After `begin` has failed: the connection died before any byte of a response, as one does that
  /// the server had closed while it was idle.
  [[nodiscard]] bool died_unanswered() const noexcept { return died_unanswered_; }
  /// The request said Expect: 100-continue.
  [[nodiscard]] bool asked_first() const noexcept { return asked_first_; }
  /// Gives the place back to whoever made this, for another try.
  [[nodiscard]] lease take_lease() noexcept { return std::move(lease_); }

  // ---- the body; see response ----
  task<std::size_t> read_some(std::span<std::byte> to);
  task<std::string> text(std::uint64_t limit);
  task<std::uint64_t> discard(std::uint64_t limit);
  /// From now on the body is not decoded: nobody looks at it.
  void leave_coded() noexcept;
  [[nodiscard]] timing times() const noexcept;
  [[nodiscard]] const std::string& method() const noexcept { return method_; }

  response_head head;
  url target;
  std::vector<redirect> redirects;
  timing measured;
  std::uint64_t bytes = 0;                         // of the body, so far
  std::uint64_t wire_bytes = 0;                    // of the body, so far, before decoding
  std::optional<phase_clock> clock;                // once the head is there
  std::shared_ptr<pool> owner;                     // whose loop this belongs to
  std::optional<std::string> certificate_problem;  // of the connection

 private:
  static constexpr std::size_t read_size = 16 * 1024;   // of the connection's buffer
  static constexpr std::size_t max_read = 1024 * 1024;  // at a time, for text()
  static constexpr std::size_t max_decode = 64 * 1024;  // at a time
  static constexpr std::size_t max_ahead = 1024 * 1024;
  static constexpr duration continue_wait = std::chrono::seconds{1};
  /// A request with a body: sends it, and reads at the same time.
  task<> ask_with_body(const outgoing& out, phase_clock& c);
  task<> send(const outgoing& out, phase_clock& c, nursery& n);
  task<> read_head(phase_clock& c);
  /// While the request is still being sent: reads on into the connection's buffer, so that a server
  /// that sends and receives in turns is not stuck.
  task<> read_ahead();
  /// What read_some has without waiting; 0 if that is nothing.
  std::size_t read_now(std::span<std::byte> to);
  /// Waits for more of the body: in the connection's buffer (gives 0), or past it, in `to`.
  task<std::size_t> refill(std::span<std::byte> to);
  /// Moves what is buffered of the body into `to`.
  std::size_t take(std::span<std::byte> to);
  /// Bytes of the body that can be read past the buffer, because no framing is between them.
  [[nodiscard]] std::size_t unframed(std::size_t most) const noexcept;
  /// One step of the parser; what is body goes into `to`, or waits for the decoder.
  parse_step parse(std::span<std::byte> to);
  /// Decodes what is known to be body: how many bytes it put into `to`.
  std::size_t decode(std::span<std::byte> to);
  /// Is there anything to be had from the decoder without reading on?
  [[nodiscard]] bool decoder_has_more() const noexcept { return undecoded_ != 0 || full_; }
  /// Has the response ended? Then the connection's time with us is over.
  void end_if_over();
  /// The body has come; throws if its coding was cut off.
  void complete();
  void end();
  [[noreturn]] void fail_too_large(std::uint64_t limit);
  /// In a handler: closes the connection, and throws what users of a client should see.
  [[noreturn]] void fail(std::string_view phase);
  /// The same before there is a head.
  [[noreturn]] void fail_head();

  lease lease_;
  std::string method_;
  std::string peer_;  // what errors call the other side
  bool close_asked_;  // the request says that it is the connection's last one

  // Until there is a head:
  bool started_ = false;  // a byte of the response has come
  bool died_unanswered_ = false;
  std::exception_ptr broken_;         // why the request could not be sent
  std::exception_ptr source_failed_;  // the body could not be had
  event go_ahead_;                    // 100 Continue

  bool asked_first_ = false;
  bool reads_ahead_ = false;
  bool body_begun_ = false;  // sending it
  bool sent_ = true;         // all of the request
  bool coded_;               // the body is to be decoded
  std::optional<content_decoder> decoder_;
  std::size_t undecoded_ = 0;  // bytes in front of the connection's buffer
  bool full_ = false;          // the decoder filled its output: there may be more inside
  bool over_ = false;          // the parser has seen the end
  bool ended_ = false;
  std::exception_ptr failure_;
};

/// In a handler of a failure of a stream, the codec or the net: throws what it is for users of a
/// client; the same again if it is none of the exchange's doing.
[[noreturn]] void rethrow_for_user(std::string_view phase, const std::string& peer);

}  // namespace oneloop::inline v0::http::detail
