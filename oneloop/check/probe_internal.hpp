// How one input is tried: requests, and what their answers mean. Internal to check/.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/cookies.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::detail {

/// What a try came to, besides its result.
struct probe_outcome {
  bool may_pass = false;         // it failed for a reason that may pass
  std::optional<duration> wait;  // the server asked for a pause before it is asked again
};

/// May the same request do better in a moment?
bool may_pass(const http::http_error& e);
bool may_pass(int status);

/// "404 Not Found"
std::string status_line(int status, std::string_view reason);

/// One try, in other ways than check_options have it: for crawls.
struct inquiry {
  explicit inquiry(url u) : target{std::move(u)} {}
  url target;  // in place of the result's url
  check_method method = check_method::automatic;
  bool follow = true;                  // else a redirect is found in `moved`
  bool stranger = false;               // who is told nothing secret
  bool patient = false;                // where HEAD is told to wait, GET is not asked at once
  const status_set* accept = nullptr;  // that are OK
  std::shared_ptr<http::cookie_jar> cookies;  // a new one, if it is null
  /// Takes the body of an answer to GET that is OK.
  std::function<task<>(http::response&)> body;

  std::optional<url> moved;  // it redirects there: then the result is neither OK nor has an error
  std::string content_type;  // as the server said
  bool got = false;          // by GET
};

/// One client, for tries on any loops and threads.
class check_probe {
 public:
  /// What becomes of a connection after an exchange.
  enum class connections : std::uint8_t { kept, closed };
  explicit check_probe(const check_options& options, connections after = connections::kept);

  /// Tries one input: fills the result anew, but for its url, attempts and time.
  task<probe_outcome> try_once(check_result& r);
  task<probe_outcome> try_once(check_result& r, inquiry& i);
  [[nodiscard]] http::client& client() noexcept { return client_; }
  task<> close() { return client_.close(); }

 private:
  struct answer {
    probe_outcome outcome;
    std::string_view failed;  // the phase
    bool no_descriptor = false;
  };

  task<answer> ask(check_result& r, inquiry& i, const char* method);
  task<answer> ask_once(check_result& r, inquiry& i, const char* method);
  void take_head(check_result& r, inquiry& i, const http::response& response, answer& a) const;
  static task<> read_body(http::response& from, const inquiry& i);

  const check_options& options_;
  http::client client_;
};

/// Reads so much of a body that nobody wants that its connection can be used again, or little.
task<> leave_body(http::response& from);

/// What the last try left in it is nothing any more.
void forget(check_result& r);

}  // namespace oneloop::inline v0::detail
