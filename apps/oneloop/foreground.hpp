// A command at work: what it has to say is written beside the work, a line on the terminal shows
// how it goes, and Ctrl-C ends it in order.
//
//     foreground f{true};
//     const bool finished = co_await f.run(work, [&](bool, std::size_t) { return "so far"; });
//     f.out().add("that was all\n");
//     co_await f.finish();
//     return f.signal() != 0 ? 128 + f.signal() : 0;
#pragma once

#include <unistd.h>

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/task.hpp"
#include "output.hpp"

namespace tool {

class foreground {
 public:
  using work = std::move_only_function<oneloop::task<>()>;
  /// The line that is drawn, in `width` columns at most.
  using progress = std::function<std::string(bool colours, std::size_t width)>;

  explicit foreground(bool progress_wanted) : progress_line_{progress_wanted} {}

  [[nodiscard]] output& out() noexcept { return out_; }
  [[nodiscard]] output& err() noexcept { return err_; }
  /// One more output, which is written before these two. It must live as long as this.
  void also(output& o) { outputs_.insert(outputs_.begin(), &o); }
  [[nodiscard]] bool shows_progress() const noexcept { return progress_line_.shown(); }

  /// Runs `w` until it has ended, or until SIGINT or SIGTERM cancels it (and another one ends the
  /// process). Whether it ended by itself. Throws what `w` throws and what an output cannot take.
  oneloop::task<bool> run(work w, progress p);
  /// Something was added to an output: it will be written once a turn of the loop. Waits while too
  /// much is unwritten. Also in a scope that is cancelled but shielded, when `run` is ending.
  oneloop::task<> said();
  /// After `run`: writes what is left; after a signal only what is taken soon, with a complaint.
  oneloop::task<> finish();

  /// The signal that ended it; 0 if none did.
  [[nodiscard]] int signal() const noexcept { return signal_; }

 private:
  oneloop::task<> supervise(oneloop::cancel_scope& scope);
  static oneloop::task<> wait_for_signal(foreground* self,
                                         std::reference_wrapper<oneloop::cancel_scope> scope);
  static oneloop::task<> show_progress(foreground* self);
  static oneloop::task<> write_out(foreground* self);
  oneloop::task<> flush();

  output out_{STDOUT_FILENO, "standard output"};
  output err_{STDERR_FILENO, "standard error"};
  std::vector<output*> outputs_{&out_, &err_};
  progress_line progress_line_;
  work work_;
  progress progress_;
  oneloop::event something_;  // to be written
  oneloop::event written_;
  bool writer_gone_ = false;
  int signal_ = 0;
};

}  // namespace tool
