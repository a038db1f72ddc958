#include "oneloop/deferred/cooperate.hpp"

#include <string>
#include <vector>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

task_stopped::task_stopped() : error{errc::misuse, "cooperate: the work was stopped"} {}

struct cooperative_task::state {
  explicit state(std::move_only_function<deferred<bool>()> f) : step{std::move(f)} {}
  /// Tells all who wait; whether there was anybody.
  bool finish(std::exception_ptr error) {
    if (std::exchange(done, true)) return true;
    failed = std::move(error);
    const auto told = std::exchange(waiting, {});
    for (const auto& d : told) tell(d);
    go.set();
    return !told.empty();
  }
  void tell(const deferred<>& d) const {
    if (d.called()) return;
    if (failed) {
      d.errback(failed);
    } else {
      d.callback();
    }
  }
  std::move_only_function<deferred<bool>()> step;
  std::size_t paused = 0;
  event go{true};  // not paused, or done
  bool done = false;
  std::exception_ptr failed;
  std::vector<deferred<>> waiting;
};

task<> cooperative_task::steps(std::shared_ptr<state> s) {
  try {
    for (;;) {
      co_await yield_now();
      co_await s->go.wait();
      if (s->done) co_return;
      auto d = s->step();
      const bool more = co_await std::move(d);
      if (!more) break;
    }
  } catch (const cancelled&) {
    s->finish(std::current_exception());
    throw;
  } catch (...) {
    if (!s->finish(std::current_exception())) throw;
    co_return;
  }
  s->finish(nullptr);
}

cooperative_task::cooperative_task(std::move_only_function<deferred<bool>()> step,
                                   std::source_location at)
    : state_{std::make_shared<state>(std::move(step))} {
  detail::defer_as(spawn_info{"cooperate", at}, steps(state_));
}

deferred<> cooperative_task::when_done() const {
  deferred<> d;
  if (state_->done) {
    state_->tell(d);
  } else {
    state_->waiting.push_back(d);
  }
  return d;
}

void cooperative_task::check(const char* what) const {
  if (state_->done) throw misuse{std::string{what} + ": the work is done"};
}

void cooperative_task::pause() const {
  check("cooperative_task::pause");
  if (state_->paused++ == 0) state_->go.reset();
}

void cooperative_task::resume() const {
  check("cooperative_task::resume");
  if (state_->paused == 0) throw misuse{"cooperative_task::resume: it is not paused"};
  if (--state_->paused == 0) state_->go.set();
}

void cooperative_task::stop() const {
  check("cooperative_task::stop");
  state_->finish(std::make_exception_ptr(task_stopped{}));
}

}  // namespace oneloop::inline v0
