// The link checker: a stream of URLs in, a verdict for each of them out, many at a time.
//
//     oneloop::task<> report(oneloop::check_result r) {
//       fmt::print("{} {}\n", r.url, r.ok ? "OK" : r.error->message());
//       co_return;
//     }
//     std::vector<std::string> urls{"http://example.org/", "http://127.0.0.1:1/"};
//     auto summary = co_await oneloop::check_urls(urls, report, oneloop::check_options{});
//
// Every input gets exactly one verdict, in the order in which they are found; equal inputs are not
// merged. An input is OK if what it leads to, after redirects, answers with a status of 2xx.
// Everything runs on the loop of whoever awaits. Memory does not grow with the number of inputs.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// How to ask.
enum class check_method : std::uint8_t {
  automatic,  // HEAD, and then GET where HEAD fails in a way that GET may not
  head,
  get,
};

/// How to check. Setters chain.
class check_options {
 public:
  /// Checks at a time (64).
  check_options& concurrency(std::size_t n) noexcept {
    concurrency_ = n == 0 ? 1 : n;
    return *this;
  }
  check_options& method(check_method m) noexcept {
    method_ = m;
    return *this;
  }
  /// How long a request may take with its redirects, from the lookup of the name to the end of the
  /// body (30 s); of that at most 10 s each for the lookup, the connection and the TLS handshake.
  check_options& timeout(duration d) noexcept {
    timeout_ = d;
    return *this;
  }
  /// Redirects that are followed (10).
  check_options& max_redirects(int n) noexcept {
    max_redirects_ = n;
    return *this;
  }
  /// Connections at a time to one host and port; as many as checks unless said otherwise.
  check_options& per_host(std::size_t n) noexcept {
    per_host_ = n;
    return *this;
  }
  /// A PEM file with the authorities to trust in place of the system's.
  check_options& ca_file(std::string path) {
    ca_file_ = std::move(path);
    return *this;
  }
  /// Does not verify certificates.
  check_options& insecure(bool on = true) noexcept {
    insecure_ = on;
    return *this;
  }
  check_options& user_agent(std::string text) {
    user_agent_ = std::move(text);
    return *this;
  }
  /// How long, after a cancel, the sink may still take for what is left (10 s).
  check_options& last_words(duration d) noexcept {
    last_words_ = d;
    return *this;
  }

 private:
  friend class link_checker;
  std::size_t concurrency_ = 64;
  std::size_t per_host_ = 0;
  check_method method_ = check_method::automatic;
  duration timeout_ = std::chrono::seconds{30};
  duration last_words_ = std::chrono::seconds{10};
  int max_redirects_ = 10;
  bool insecure_ = false;
  std::string ca_file_;
  std::string user_agent_;
};

/// Why an input is bad.
class check_error {
 public:
  check_error(http::error_kind kind, std::string message)
      : kind_{kind}, message_{std::move(message)} {}
  [[nodiscard]] http::error_kind kind() const noexcept { return kind_; }
  /// For people: "404 Not Found", "connect 127.0.0.1:1: Connection refused".
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

 private:
  http::error_kind kind_;
  std::string message_;
};

/// The verdict on one input.
struct ONELOOP_API check_result {
  explicit check_result(std::string input) : url{std::move(input)} {}

  std::string url;                   // as it was given
  bool ok = false;                   // then there is no error, else there is one
  int status = 0;                    // of the last response; 0 if there was none
  std::string final_url;             // where that came from; empty if there was none
  std::optional<check_error> error;  // the last one
  std::uint64_t bytes = 0;           // of the body, as far as it was read
  http::timing times;                // of the last exchange; `total` of all of them
};

/// Counts verdicts.
class ONELOOP_API check_summary {
 public:
  void add(const check_result& r) noexcept;
  void took(duration d) noexcept { time_ = d; }

  [[nodiscard]] std::uint64_t total() const noexcept { return ok_ + bad_; }
  [[nodiscard]] std::uint64_t ok() const noexcept { return ok_; }
  [[nodiscard]] std::uint64_t bad() const noexcept { return bad_; }
  [[nodiscard]] std::uint64_t bad(http::error_kind k) const noexcept {
    return by_kind_[static_cast<std::size_t>(k)];
  }
  [[nodiscard]] duration time() const noexcept { return time_; }

  static constexpr std::size_t kinds = static_cast<std::size_t>(http::error_kind::cancelled) + 1;

 private:
  std::uint64_t ok_ = 0;
  std::uint64_t bad_ = 0;
  std::array<std::uint64_t, kinds> by_kind_{};
  duration time_{};
};

/// Gives the next input, or nothing at the end. Asked for one at a time, and only when there is
/// room for a further check. It is asked on after a cancel (for inputs to be reported as cancelled)
/// until it gives nothing or throws `cancelled`, as its first wait will: what is at hand is
/// reported, and nothing is waited for.
using check_source = std::move_only_function<task<std::optional<std::string>>()>;

/// Takes a verdict. Called for one at a time; while it waits, further verdicts wait too, and then
/// checks. Cancellation does not reach it, but for `last_words`. Not called again after it threw.
using check_sink = std::move_only_function<task<>(check_result)>;

/// Checks what `source` gives. Everything given by value lives as long as the task.
///
/// Cancellation: no new checks; those under way are given up and delivered as
/// http::error_kind::cancelled, and so is what the source has at hand; then it throws `cancelled`
/// (count in the sink what you need to know then).
/// Errors: what `source` and `sink` throw ends everything and is thrown on. What is wrong with an
/// input is in its verdict, and so is a `ca_file` that cannot be used (http::error_kind::tls).
[[nodiscard]] ONELOOP_API task<check_summary> check_urls(check_source source, check_sink sink,
                                                         check_options options = {});
/// Checks a list.
[[nodiscard]] ONELOOP_API task<check_summary> check_urls(std::vector<std::string> inputs,
                                                         check_sink sink,
                                                         check_options options = {});
/// Checks what comes out of a channel, until that is closed; the verdicts go into another one,
/// which is closed at the end. After a cancel, what is buffered in `inputs` is reported as
/// cancelled.
[[nodiscard]] ONELOOP_API task<check_summary> check_urls(channel<std::string>& inputs,
                                                         channel<check_result>& results,
                                                         check_options options = {});

}  // namespace oneloop::inline v0
