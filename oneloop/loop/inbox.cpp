#include "oneloop/loop/inbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0 {

inbox* inbox::create() {
  int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw error{"eventfd", "for a loop's inbox", system_code(errno)};
  return new inbox{fd};
}

inbox::~inbox() { ::close(event_fd_); }

void inbox::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool inbox::push(ready_item& item) noexcept {
  switch (stack_.push(item)) {
    case basic_mpsc_stack<ready_item>::pushed::closed: return false;
    case basic_mpsc_stack<ready_item>::pushed::wake: wake(); break;
    case basic_mpsc_stack<ready_item>::pushed::quiet: break;
  }
  return true;
}

void inbox::wake() noexcept {
  int saved = errno;
  std::uint64_t one = 1;
  // EAGAIN means that the counter is full: the loop will wake all the same.
  while (::write(event_fd_, &one, sizeof one) < 0 && errno == EINTR) {
  }
  errno = saved;
}

void inbox::drain() noexcept {
  std::uint64_t count = 0;
  while (::read(event_fd_, &count, sizeof count) < 0 && errno == EINTR) {
  }
}

}  // namespace oneloop::inline v0
