// The library's few words to people: reports that have no caller to be thrown at (a lost coroutine
// body, a loop on which all parties sleep). They go through a hook that the program can replace.
//
//     oneloop::set_log_hook([](oneloop::severity s, std::string_view text) { my_log(s, text); });
//     oneloop::log(oneloop::severity::warning, "the disk is nearly full");
//
// Threads: `log` may be called from any thread, so the hook must be safe to call from any thread.
// The hook must not throw and must not wait; it may call `log` no further. `set_log_hook` may be
// called at any time; a call of the earlier hook may still be running on another thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "oneloop/base/config.hpp"

namespace oneloop::inline v0 {

enum class severity : std::uint8_t { debug, info, warning, error };

/// "debug", "info", "warning" or "error".
ONELOOP_API std::string_view to_string(severity s) noexcept;

using log_hook = void (*)(severity, std::string_view) noexcept;

/// Hands one line without its end to the hook; the default writes "oneloop: warning: text" to
/// standard error with one system call.
ONELOOP_API void log(severity s, std::string_view text) noexcept;

/// Replaces the hook and returns the earlier one; null restores the default.
ONELOOP_API log_hook set_log_hook(log_hook hook) noexcept;

}  // namespace oneloop::inline v0
