// What starting a process takes, whatever it is.
#pragma once

#include <fcntl.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigset_t
#include <spawn.h>

#include "oneloop/loop/descriptor.hpp"

namespace oneloop::inline v0::process::detail {

/// With all signals as in a fresh process, but for `blocked`.
struct spawn_settings {
  explicit spawn_settings(int blocked = 0) {
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    sigset_t signals;
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes, &signals);
    ::sigemptyset(&signals);
    if (blocked != 0) ::sigaddset(&signals, blocked);
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  }
  ~spawn_settings() {
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
  }
  spawn_settings(const spawn_settings&) = delete;
  spawn_settings& operator=(const spawn_settings&) = delete;
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
};

/// A copy of `fd` that no number below `first` hides; closed, with errno, if there is none.
inline descriptor copied_from(int first, int fd) {
  return descriptor::adopt(::fcntl(fd, F_DUPFD_CLOEXEC, first));
}

}  // namespace oneloop::inline v0::process::detail
