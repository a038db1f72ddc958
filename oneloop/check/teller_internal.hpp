// The way of events to whoever wants them: one at a time, whatever is cancelled. Internal to
// check/.
#pragma once

#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/crawl.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::detail {

class crawl_teller {
 public:
  crawl_teller(crawl_sink sink, duration last_words)
      : sink_{std::move(sink)}, last_words_{last_words} {}

  /// Gives these to the sink, in order. What it throws is thrown on, and then it gets nothing more.
  task<> tell(std::vector<crawl_event> events);
  /// Waits for a cancel: from then on the sink has `last_words` and no more.
  task<> watch();

 private:
  task<> give(std::vector<crawl_event>& events);

  crawl_sink sink_;
  duration last_words_;
  mutex turn_;
  bool failed_ = false;
  time_point give_up_at_ = never;
  cancel_scope* telling_ = nullptr;
};

}  // namespace oneloop::inline v0::detail
