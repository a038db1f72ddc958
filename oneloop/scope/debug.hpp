// Checks that are on when the environment says ONELOOP_DEBUG=1. Internal.
#pragma once

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

class context;
class loop;

/// Read once, at the first call.
ONELOOP_API bool debug_checks() noexcept;

/// A scope in which `cancelled` was thrown ended normally without absorbing it.
ONELOOP_API void report_swallowed(const context& c) noexcept;

/// A region or nursery was left while one inside it had not been. Nothing happens unless the checks
/// are on.
ONELOOP_API void report_misnested(const context& c) noexcept;

/// Reports a call of `what` that was made on another thread than the loop's; for members that
/// cannot throw. Nothing happens unless the checks are on.
ONELOOP_API void check_own_thread(const loop* home, const char* what) noexcept;

}  // namespace oneloop::inline v0
