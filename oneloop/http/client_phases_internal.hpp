// The clock of an exchange: which phase it is in, and until when it may be. Internal to http/.
//
// One cancel scope is around each stretch of waiting; entering a phase moves that scope's deadline.
// When the scope has absorbed its cancellation, `expired` tells what took too long.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/scope/cancel_scope.hpp"

namespace oneloop::inline v0::http::detail {

enum class phase : std::uint8_t { queue, dns, connect, proxy, tls, write, first_byte, stall };

/// A literal; see http_error.
[[nodiscard]] std::string_view name_of(phase p) noexcept;

/// "2 s", "250 ms", "1.5 s".
[[nodiscard]] std::string text_of(duration d);

class phase_clock {
 public:
  phase_clock(const phase_timeouts& limits, duration total, time_point now) noexcept
      : limits_{limits}, total_{total}, started_{now}, total_deadline_{after(now, total)} {}

  /// The waits to come are in this scope.
  void bind(cancel_scope& s) noexcept { scope_ = &s; }
  /// `object`: whom or what the phase is about, for messages. `spent`: how much of its time has
  /// gone in an earlier stretch.
  void enter(phase p, std::string_view object, duration spent = {});
  /// No limit but the total, until the next `enter`.
  void enter_unlimited();
  /// In the scope: how long the current phase has lasted.
  [[nodiscard]] duration elapsed() const;
  /// After phase `queue`: the total begins to run (again). How long it has lasted.
  duration leave_queue();

  [[nodiscard]] phase current() const noexcept { return phase_; }
  [[nodiscard]] time_point started() const noexcept { return started_; }
  /// After the scope has absorbed: which limit it was.
  [[nodiscard]] http_error expired() const;

 private:
  [[nodiscard]] duration limit() const noexcept;
  void arm(duration most, duration spent = {});
  phase_timeouts limits_;
  duration total_;
  time_point started_;
  time_point total_deadline_;
  time_point entered_{};
  time_point deadline_ = never;  // of the phase alone
  cancel_scope* scope_ = nullptr;
  phase phase_ = phase::queue;
  std::string object_;
};

}  // namespace oneloop::inline v0::http::detail
