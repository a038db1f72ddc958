// The clock of a virtual loop: time that moves when the program says so.
//
//     loop l{"virtual"};
//     virtual_clock& clock = *l.virtual_time();
//     clock.advance(1h);        // an hour passes at once: what was due in it fires on the next
//     turn
//
// Three ways for time to pass, of which the first is the default:
//   - by itself (autojump): when nothing can run, it jumps to the next timer;
//   - by hand: `set_autojump(false)`, then `advance`;
//   - at a rate: so many virtual seconds for each second on the wall, as `set_rate` says. Together
//     with autojump, idle time is jumped over and only computing takes time. Now what a program
//     sees depends on how fast the machine is, so no two runs are the same.
// While anything can run, and no rate is set, it stands still.
//
// It also keeps a time of day, which a simulated loop shows to the library in place of the
// machine's (loop::wall_time_here).
//
// Threads: as the loop's. Errors: misuse for a time or a rate that does not exist. Cost: none.
#pragma once

#include <chrono>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

/// A time of day, as the machine's clock on the wall has it.
using wall_time_point = std::chrono::sys_time<duration>;

class ONELOOP_API virtual_clock {
 public:
  virtual_clock() = default;
  virtual_clock(const virtual_clock&) = delete;
  virtual_clock& operator=(const virtual_clock&) = delete;

  [[nodiscard]] time_point now() const noexcept { return rate_ == 0 ? now_ : flowing(); }
  /// How much time has passed since the loop was made.
  [[nodiscard]] duration elapsed() const noexcept { return now() - start; }

  /// `d` passes at once, whatever runs: a step by hand, or a fault (the machine was asleep that
  /// long). What has become due fires on the loop's next turn, the earliest first, and all of it
  /// sees the later time. Code that should see each moment is stepped through it:
  ///     for (int i = 0; i < 10; ++i) {
  ///       clock.advance(1s);
  ///       co_await testing::wait_all_tasks_blocked();
  ///     }
  /// Throws misuse if `d` is negative: this clock never goes back (set_wall does).
  void advance(duration d);

  /// Whether time jumps to the next timer when nothing can run.
  void set_autojump(bool on) noexcept { autojump_ = on; }
  [[nodiscard]] bool autojump() const noexcept { return autojump_; }

  /// How many virtual seconds pass in a real one, from now on; 0: time stands still between jumps.
  /// Throws misuse if it is negative or no number.
  void set_rate(double virtual_per_real);
  [[nodiscard]] double rate() const noexcept { return rate_; }

  /// The time of day here: in the beginning midnight (UTC) of 1 January 2025.
  [[nodiscard]] wall_time_point wall() const noexcept { return wall_at_start_ + elapsed(); }
  /// Sets it, forward or back: what a time server may do to a machine. `now` does not change.
  void set_wall(wall_time_point t) noexcept { wall_at_start_ = t - elapsed(); }

  // ---- for the backend ----

  /// The same start in every run; far from zero, so that "an hour ago" is a time point too.
  static constexpr time_point start{std::chrono::hours{24}};
  /// Time never comes to `t` by itself.
  [[nodiscard]] bool stands_still_before(time_point t) const noexcept {
    return t == never || (!autojump_ && rate_ == 0 && t > now_);
  }
  void jump_to(time_point t) noexcept;
  /// How long, on the wall, until it is `t`; there is a rate.
  [[nodiscard]] duration real_time_to(time_point t) const noexcept;

 private:
  [[nodiscard]] time_point flowing() const noexcept;

  time_point now_ = start;
  bool autojump_ = true;
  double rate_ = 0;
  time_point real_{};  // of now_, if there is a rate
  wall_time_point wall_at_start_ = std::chrono::sys_days{std::chrono::year{2025} / 1 / 1};
};

}  // namespace oneloop::inline v0
