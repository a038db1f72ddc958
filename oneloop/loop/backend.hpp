// A backend: how a loop talks to the kernel, or to a simulation of it. Internal to the library; a
// program chooses one by name (see loop_options in loop.hpp).
//
//   epoll     edge-triggered readiness; requests are tried when their descriptor becomes ready
//   io_uring  completions; one submit-and-wait a turn
//   virtual   no kernel: time jumps to the next timer when nothing can run
#pragma once

#include <memory>
#include <string_view>

#include "oneloop/base/clock.hpp"
#include "oneloop/loop/io_request.hpp"

namespace oneloop::inline v0 {

class inbox;
class virtual_clock;

class ONELOOP_API backend : public io_driver {
 public:
  [[nodiscard]] virtual const char* name() const noexcept = 0;
  [[nodiscard]] virtual time_point now() const noexcept;

  /// The loop's thread is about to drive: io_uring (re)makes its ring here if the thread changed.
  /// Throws error if the kernel refuses.
  virtual void enter() {}

  /// Waits until something happens, `deadline` passes, or the inbox's descriptor becomes readable;
  /// calls `done` and `ready` of what finished. With `deadline` <= now() it only looks. `must_wait`
  /// (virtual only): other threads owe this loop something, so time must not jump.
  virtual void wait(time_point deadline, bool must_wait) noexcept = 0;

  /// The clock, if it is a virtual one.
  [[nodiscard]] virtual virtual_clock* virtual_time() noexcept { return nullptr; }

  /// Whether a request or a watch is pending, so that `wait` may end because of it.
  [[nodiscard]] virtual bool awaits_io() noexcept { return false; }

  /// For a loop that is a guest of another, before the host sleeps: hands what was submitted to the
  /// kernel. False if `wait` has something to do at once.
  virtual bool flush() noexcept = 0;

  /// For a loop that is a guest of another: a descriptor that becomes readable when `wait` would
  /// find something; -1 if there is none.
  [[nodiscard]] virtual int pollable_fd() noexcept = 0;

 protected:
  explicit backend(bool direct) noexcept : io_driver{direct} {}
};

/// `name` is "epoll", "io_uring" or "virtual". Throws error naming the backend and the reason.
/// `mail` outlives the backend; its descriptor must end waits.
ONELOOP_API std::unique_ptr<backend> make_backend(std::string_view name, inbox& mail);

std::unique_ptr<backend> make_epoll_backend(inbox& mail);
std::unique_ptr<backend> make_uring_backend(inbox& mail);
std::unique_ptr<backend> make_virtual_backend(inbox& mail);

/// Whether this kernel lets this process use io_uring with all that the backend needs; probed once.
ONELOOP_API bool uring_available() noexcept;

}  // namespace oneloop::inline v0
