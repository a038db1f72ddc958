// What is checked when: places, fresh inputs, retries, pauses of hosts, and the verdicts' way out.
// How an input is checked is the probe's affair. Internal to check/.
//
// Two feeders share the places. `feed` takes from the source; `again` takes what is due of the
// retry queue, but only while `feed` has nothing to take: the source is waiting for its next input,
// or has ended, or the queue is full (then `feed` stops until there is room).
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/probe_internal.hpp"
#include "oneloop/check/retry_internal.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::detail {

/// Tries one input: fills the result anew, but for its url, attempts and time.
using check_prober = std::move_only_function<task<probe_outcome>(check_result&)>;

/// The host whose limits an input is under; empty if it is none.
std::string host_under_limits(const std::string& url);

class check_schedule {
 public:
  check_schedule(check_source source, check_sink sink, check_prober probe,
                 const check_options& options);
  /// See check_urls.
  task<check_summary> run();

 private:
  static task<> watch(check_schedule* self);
  task<> feed(nursery& n);
  task<> again(nursery& n);
  static task<> check(check_schedule* self, check_result r, semaphore_permit place);
  /// Puts it aside while its host is paused.
  [[nodiscard]] bool held_back(check_result& r);
  /// Puts it aside for another try, or not: it has its verdict.
  [[nodiscard]] bool to_be_tried_again(check_result& r, const probe_outcome& o);
  void put_aside(check_result r, time_point due);
  task<> deliver(check_result r);
  /// After a cancel.
  task<> report_rest();
  void note_progress();

  check_source source_;
  check_sink sink_;
  check_prober probe_;
  const check_options& options_;
  loop& loop_;
  semaphore places_;
  retry_queue later_;
  host_pauses pauses_;
  event changed_;                        // for `again`: something that it looks at
  event room_{true};                     // in later_
  bool asking_ = false;                  // the source
  bool ended_ = false;                   // the source
  std::optional<check_result> in_hand_;  // taken from the source and not begun
  std::size_t running_ = 0;
  mutex turn_;  // one delivery at a time
  bool sink_failed_ = false;
  time_point give_up_at_ = never;
  cancel_scope* delivering_ = nullptr;
  check_summary summary_;
};

}  // namespace oneloop::inline v0::detail
