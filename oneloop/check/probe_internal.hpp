// How one input is tried: requests, and what their answers mean. Internal to check/.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/http/client.hpp"
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

/// One client, for tries on any loops and threads.
class check_probe {
 public:
  /// What becomes of a connection after an exchange.
  enum class connections : std::uint8_t { kept, closed };
  explicit check_probe(const check_options& options, connections after = connections::kept);

  /// Tries one input: fills the result anew, but for its url, attempts and time.
  task<probe_outcome> try_once(check_result& r);
  task<> close() { return client_.close(); }

 private:
  struct answer {
    probe_outcome outcome;
    std::string_view failed;  // the phase
    bool no_descriptor = false;
  };

  task<answer> ask(check_result& r, http::request what);
  task<answer> ask_once(check_result& r, http::request what);
  void take_head(check_result& r, const http::response& response, answer& a) const;
  task<> read_body(http::response& from) const;

  const check_options& options_;
  http::client client_;
};

/// What the last try left in it is nothing any more.
void forget(check_result& r);

}  // namespace oneloop::inline v0::detail
