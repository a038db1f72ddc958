// Who tries the inputs: one crew a model. The schedule asks it for at most `concurrency` tries at a
// time. Internal to check/.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>

#include "oneloop/check/check.hpp"
#include "oneloop/check/probe_internal.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::detail {

class check_crew {
 public:
  check_crew() = default;
  check_crew(const check_crew&) = delete;
  check_crew& operator=(const check_crew&) = delete;
  virtual ~check_crew() = default;
  /// See check_prober. When it has returned or thrown, nothing touches `r` any more.
  virtual task<probe_outcome> try_once(check_result& r) = 0;
  /// After the last try.
  virtual task<> close() = 0;
};

/// What check_options say to crews.
struct crew_settings {
  crew_settings(const check_options& o, nursery& n);
  const check_options& options;
  nursery& workers;  // for those that outlive a try
  check_model model;
  std::size_t concurrency;
  std::size_t per_host;
  const std::vector<std::string>& worker_arguments;
};

std::unique_ptr<check_crew> make_crew(const check_options& options, nursery& workers);
std::unique_ptr<check_crew> make_worker_crew(const crew_settings& s);

/// For crews whose members have loops of their own, and so the connections: here is the limit on
/// those to one host, which a client keeps by itself on one loop. A member has one connection at a
/// time, and none between tries; so the limit is one on tries for URLs of that host.
class host_gate {
 public:
  explicit host_gate(const crew_settings& s) noexcept
      : most_{s.per_host}, needed_{s.per_host < s.concurrency} {}

  class pass {
   public:
    pass() noexcept = default;
    pass(std::shared_ptr<semaphore> host, semaphore_permit permit) noexcept
        : host_{std::move(host)}, permit_{std::move(permit)} {}

   private:
    std::shared_ptr<semaphore> host_;
    semaphore_permit permit_;
  };
  /// Waits until there is room for one more try for this URL's host.
  task<pass> enter(const std::string& url);

 private:
  std::size_t most_;
  bool needed_;
  std::unordered_map<std::string, std::weak_ptr<semaphore>> hosts_;  // those with tries
};

}  // namespace oneloop::inline v0::detail
