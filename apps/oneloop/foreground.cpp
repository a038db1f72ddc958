#include "foreground.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <utility>

#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"

namespace tool {

using namespace std::chrono_literals;

namespace {
/// What is said in the same moment is written together, up to this size.
constexpr std::size_t most_unwritten = std::size_t{64} * 1024;
}  // namespace

oneloop::task<bool> foreground::run(work w, progress p) {
  work_ = std::move(w);
  progress_ = std::move(p);
  const bool finished = co_await oneloop::with_scope(
      oneloop::scope_options{}, [this](oneloop::cancel_scope& scope) -> oneloop::task<> {
        auto supervised = supervise(scope);
        co_await std::move(supervised);
      });
  progress_line_.erase();
  co_return finished;
}

oneloop::task<> foreground::supervise(oneloop::cancel_scope& scope) {
  co_await oneloop::with_nursery([this, &scope](oneloop::nursery& n) -> oneloop::task<> {
    n.start(oneloop::named{"signals", wait_for_signal}, this, std::ref(scope));
    n.start(oneloop::named{"output", write_out}, this);
    if (progress_line_.shown()) n.start(oneloop::named{"progress", show_progress}, this);
    auto working = work_();
    co_await std::move(working);
    n.cancel();
  });
}

oneloop::task<> foreground::wait_for_signal(foreground* self,
                                            std::reference_wrapper<oneloop::cancel_scope> scope) {
  {
    oneloop::signal_set stop{SIGINT, SIGTERM};
    self->signal_ = co_await stop.next();
  }
  // From here on the signals are as they were: another one ends the process at once.
  scope.get().cancel();
}

oneloop::task<> foreground::show_progress(foreground* self) {
  while (true) {
    co_await oneloop::sleep_for(100ms);
    progress_line& line = self->progress_line_;
    line.draw(self->progress_(line.colours(), line.width()));
  }
}

/// Writes what there is, once a turn of the loop at most.
oneloop::task<> foreground::write_out(foreground* self) {
  const struct leaving {
    foreground& self;
    ~leaving() {
      self.writer_gone_ = true;
      self.written_.set();
    }
  } at_end{*self};
  while (true) {
    co_await self->something_.wait();
    self->something_.reset();
    auto flushing = self->flush();
    co_await std::move(flushing);
    self->written_.set();
  }
}

oneloop::task<> foreground::flush() {
  if ((out_.is_terminal() && out_.pending() != 0) || err_.pending() != 0) progress_line_.erase();
  for (output* o : outputs_) {
    auto writing = o->flush();
    co_await std::move(writing);
  }
}

oneloop::task<> foreground::said() {
  something_.set();
  const bool room =
      std::ranges::all_of(outputs_, [](const output* o) { return o->pending() < most_unwritten; });
  if (room) co_return;
  if (writer_gone_) {
    auto flushing = flush();
    co_await std::move(flushing);
  } else {
    written_.reset();
    co_await written_.wait();
  }
}

oneloop::task<> foreground::finish() {
  auto writing = flush();
  if (signal_ == 0) {
    co_await std::move(writing);
    co_return;
  }
  // What was begun is to be whole, but not for ever if nobody reads it.
  auto soon = oneloop::move_on_after(250ms, std::move(writing));
  const bool written = co_await std::move(soon);
  if (!written) complain("standard output took no more: the report is cut short");
}

}  // namespace tool
