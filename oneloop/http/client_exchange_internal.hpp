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
#include "oneloop/http/pool_internal.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http::detail {

class exchange {
 public:
  exchange(lease l, const request& r);
  ~exchange();
  exchange(const exchange&) = delete;
  exchange& operator=(const exchange&) = delete;

  /// Sends the request and waits for the head of the response, in the scope of `c`. Throws
  /// http_error.
  task<> begin(std::string request_text, phase_clock& c);
  /// After `begin` has failed: the connection died before any byte of a response, as one does that
  /// the server had closed while it was idle.
  [[nodiscard]] bool died_unanswered() const noexcept { return died_unanswered_; }
  /// Gives the place back to whoever made this, for another try.
  [[nodiscard]] lease take_lease() noexcept { return std::move(lease_); }

  // ---- the body; see response ----
  task<std::size_t> read_some(std::span<std::byte> to);
  task<std::string> text(std::uint64_t limit);
  task<std::uint64_t> discard(std::uint64_t limit);
  [[nodiscard]] timing times() const noexcept;
  [[nodiscard]] const std::string& method() const noexcept { return method_; }

  response_head head;
  url target;
  std::vector<redirect> redirects;
  timing measured;
  std::uint64_t bytes = 0;           // of the body, so far
  std::optional<phase_clock> clock;  // once the head is there
  std::shared_ptr<pool> owner;       // whose loop this belongs to

 private:
  static constexpr std::size_t read_size = 16 * 1024;   // of the connection's buffer
  static constexpr std::size_t max_read = 1024 * 1024;  // at a time, for text()
  /// Waits for more of the body: in the connection's buffer (gives 0), or past it, in `to`.
  task<std::size_t> refill(std::span<std::byte> to);
  /// Moves what is buffered of the body into `to`.
  std::size_t take(std::span<std::byte> to);
  /// Bytes of the body that can be read past the buffer, because no framing is between them.
  [[nodiscard]] std::size_t unframed(std::size_t most) const noexcept;
  /// Has the response ended? Then the connection's time with us is over.
  void end_if_over();
  void end();
  [[noreturn]] void fail_too_large(std::uint64_t limit);
  /// In a handler: closes the connection, and throws what users of a client should see.
  [[noreturn]] void fail(std::string_view phase);
  /// The same before there is a head; `broken`: why the request could not be sent.
  [[noreturn]] void fail_head(const std::exception_ptr& broken, bool started);

  lease lease_;
  std::string method_;
  std::string peer_;  // what errors call the other side
  bool close_asked_;  // the request says that it is the connection's last one
  bool ended_ = false;
  bool died_unanswered_ = false;
  std::exception_ptr failure_;
};

/// In a handler of a failure of a stream, the codec or the net: throws what it is for users of a
/// client; the same again if it is none of the exchange's doing.
[[noreturn]] void rethrow_for_user(std::string_view phase, const std::string& peer);

}  // namespace oneloop::inline v0::http::detail
