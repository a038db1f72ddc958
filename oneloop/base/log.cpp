#include "oneloop/base/log.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace oneloop::inline v0 {
namespace {

iovec piece(std::string_view text) noexcept {
  return {const_cast<char*>(text.data()), text.size()};
}

void to_standard_error(severity s, std::string_view text) noexcept {
  const int saved = errno;
  // One writev, so that lines of several threads do not mix.
  const iovec parts[] = {piece("oneloop: "), piece(to_string(s)), piece(": "), piece(text),
                         piece("\n")};
  [[maybe_unused]] auto written = ::writev(STDERR_FILENO, parts, std::size(parts));
  errno = saved;
}

constinit std::atomic<log_hook> g_hook{to_standard_error};

}  // namespace

std::string_view to_string(severity s) noexcept {
  switch (s) {
    case severity::debug: return "debug";
    case severity::info: return "info";
    case severity::warning: return "warning";
    case severity::error: return "error";
  }
  return "unknown";
}

void log(severity s, std::string_view text) noexcept {
  g_hook.load(std::memory_order_acquire)(s, text);
}

log_hook set_log_hook(log_hook hook) noexcept {
  return g_hook.exchange(hook != nullptr ? hook : to_standard_error, std::memory_order_acq_rel);
}

}  // namespace oneloop::inline v0
