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
// merged. An input is OK if what it leads to, after redirects, answers with a status that is
// accepted (2xx). Each try has cookies of its own, from the first redirect to the last.
//
// *Retries*: what may be better in a moment (5xx, 408, 429, timeouts, connections that break) is
// tried again: after the fresh inputs, or while the source has nothing to give. The delay before
// the n-th retry is any up to `first` * 2^(n-1), at most `most` (see `backoff`). A server that says
// when to come back (Retry-After, RateLimit-Reset with nothing remaining) is taken at its word, and
// until then nothing else is asked of its host; a wait of more than max_wait is not taken: the
// verdict then says so.
//
// Everything runs on the loop of whoever awaits. Memory does not grow with the number of inputs: at
// most max_pending of them (or 16 MiB) wait for a retry; when there are that many, the next one due
// goes before fresh inputs.
#pragma once

#include <array>
#include <bitset>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/check/model.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

namespace detail {
class check_probe;
class check_schedule;
class crawl_settings;
struct crew_settings;
}  // namespace detail

/// How to ask.
enum class check_method : std::uint8_t {
  automatic,  // HEAD, and then GET where HEAD fails in a way that GET may not
  head,
  get,
};

/// A set of HTTP statuses. `status_set{}.add(200, 299).add(304)`
class status_set {
 public:
  /// Those from `low` to `high`, both included; what is not from 100 to 999 is left out.
  status_set& add(int low, int high) noexcept {
    for (int s = low < lowest ? lowest : low; s <= high && s <= highest; ++s) in_.set(index(s));
    return *this;
  }
  status_set& add(int status) noexcept { return add(status, status); }
  [[nodiscard]] bool contains(int status) const noexcept {
    return status >= lowest && status <= highest && in_.test(index(status));
  }

 private:
  static constexpr int lowest = 100, highest = 999;
  static constexpr std::size_t index(int s) noexcept {
    return static_cast<std::size_t>(s - lowest);
  }
  std::bitset<highest - lowest + 1> in_;
};

/// What goes on while check_urls runs.
struct check_progress {
  std::size_t running = 0;  // checks under way
  std::size_t waiting = 0;  // inputs that wait for a retry, or for a host to be asked again
};

/// How to check. Setters chain.
class check_options {
 public:
  /// Checks at a time (64).
  check_options& concurrency(std::size_t n) noexcept {
    concurrency_ = n == 0 ? 1 : n;
    return *this;
  }
  /// Who waits for the answers (async): model.hpp.
  check_options& model(check_model m) noexcept {
    model_ = m;
    return *this;
  }
  /// With check_model::processes: what a worker of this program finds in its argv, from argv[2] on.
  /// It has to call serve_checks (workers.hpp), with options like these.
  check_options& worker_arguments(std::vector<std::string> arguments) {
    worker_arguments_ = std::move(arguments);
    return *this;
  }
  check_options& method(check_method m) noexcept {
    method_ = m;
    return *this;
  }
  /// How long a request may take with its redirects, from the lookup of the name to the end of the
  /// body (30 s). Each phase of it has a limit of its own in the client's options.
  check_options& timeout(duration d) noexcept {
    timeout_ = d;
    return *this;
  }
  /// How often a check is tried again that failed for a passing reason (2).
  check_options& retries(int n) noexcept {
    retries_ = n < 0 ? 0 : n;
    return *this;
  }
  /// The longest delay before a first retry (1 s), and before any (30 s).
  check_options& backoff(duration first, duration most = std::chrono::seconds{30}) noexcept {
    backoff_first_ = first;
    backoff_most_ = most;
    return *this;
  }
  /// Statuses that are OK (200 to 299).
  check_options& accept(const status_set& statuses) noexcept {
    accept_ = statuses;
    return *this;
  }
  /// How requests are sent: connections, TLS, proxies, header fields, redirects and so on. Its
  /// total_timeout is replaced by `timeout`, its cookies by `cookies`, and its max_head by 256 KiB.
  check_options& client(http::client_options options) {
    client_ = std::move(options);
    return *this;
  }
  /// Cookies from and to this jar, in all checks (each try has cookies of its own, unless said
  /// otherwise). With check_model::processes it is that of each worker's options.
  check_options& cookies(std::shared_ptr<http::cookie_jar> jar) noexcept {
    cookies_ = std::move(jar);
    return *this;
  }
  /// How long, after a cancel, the sink may still take for what is left (10 s).
  check_options& last_words(duration d) noexcept {
    last_words_ = d;
    return *this;
  }
  /// Keeps `p` up to date, on the loop's thread. It must live as long as the task.
  check_options& progress(check_progress& p) noexcept {
    progress_ = &p;
    return *this;
  }

 private:
  friend class detail::check_probe;
  friend class detail::check_schedule;
  friend class detail::crawl_settings;
  friend struct detail::crew_settings;
  std::size_t concurrency_ = 64;
  check_model model_ = check_model::async;
  std::vector<std::string> worker_arguments_;
  check_method method_ = check_method::automatic;
  duration timeout_ = std::chrono::seconds{30};
  int retries_ = 2;
  duration backoff_first_ = std::chrono::seconds{1};
  duration backoff_most_ = std::chrono::seconds{30};
  duration last_words_ = std::chrono::seconds{10};
  status_set accept_ = status_set{}.add(200, 299);
  http::client_options client_;
  std::shared_ptr<http::cookie_jar> cookies_;
  check_progress* progress_ = nullptr;
};

/// Bounds of the retries.
struct check_limits {
  /// Inputs that wait for a retry.
  static constexpr std::size_t max_pending = 4096;
  /// The longest time that a server may ask to wait.
  static constexpr std::chrono::seconds max_wait{60};
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

/// One redirect that was followed; its URLs are without user and password.
struct check_redirect {
  int status;
  std::string from;
  std::string to;
};

/// The verdict on one input: that of its last try.
struct ONELOOP_API check_result {
  explicit check_result(std::string input) : url{std::move(input)} {}

  std::string url;                        // as it was given
  bool ok = false;                        // then there is no error, else there is one
  int status = 0;                         // of the last response; 0 if there was none
  std::string final_url;                  // where that came from, without user and password
  std::vector<check_redirect> redirects;  // that led there
  std::optional<check_error> error;       // the last one
  std::string warning;                    // of client_options::insecure: the certificate's fault
  int attempts = 0;                       // tries; HEAD and then GET are one, 0: nothing was asked
  std::uint64_t bytes = 0;                // of the body, as far as it was read
  http::timing times;  // of the last exchange; `total` of all of them, without the waits in between
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

  static constexpr std::size_t kinds = static_cast<std::size_t>(http::error_kind::missing) + 1;

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
/// Cancellation: no new checks and no retries. Inputs that have failed before are delivered with
/// that failure; others under way are given up and delivered as http::error_kind::cancelled, and so
/// is what the source has at hand. Then it throws `cancelled` (count in the sink what you need to
/// know then).
/// Errors: what `source` and `sink` throw ends everything and is thrown on. What is wrong with an
/// input is in its verdict, and so is a certificate or key file that cannot be used
/// (http::error_kind::tls).
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
