#include "oneloop/loop/descriptor.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/loop/socket_kernel.hpp"

namespace oneloop::inline v0 {
namespace {

// Ids are not reused within four billion descriptors; 0 stays for handles that nobody made.
std::uint32_t next_id() noexcept {
  static constinit std::atomic<std::uint32_t> last{0};
  std::uint32_t id = 0;
  while (id == 0) id = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return id;
}

}  // namespace

descriptor_state::descriptor_state(int fd) noexcept
    : handle_{.fd = fd, .id = next_id()}, born_{fork_generation()} {}

bool descriptor_state::hold() noexcept {
  std::uint32_t word = word_.load(std::memory_order_relaxed);
  do {
    if ((word & closed_bit) != 0) return false;
  } while (!word_.compare_exchange_weak(word, word + 1, std::memory_order_acquire,
                                        std::memory_order_relaxed));
  return true;
}

void descriptor_state::drop() noexcept {
  const std::uint32_t word = word_.fetch_sub(1, std::memory_order_acq_rel) - 1;
  if ((word & ~(closed_bit | kept_bit)) != 0) return;
  if ((word & kept_bit) == 0) sys::close(handle_.fd);
  release_block();
}

void descriptor_state::release_block() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool descriptor_state::stream() noexcept {
  kind k = kind_.load(std::memory_order_relaxed);
  if (k == kind::unknown) {
    int protocol = 0;
    socklen_t size = sizeof protocol;
    const int saved = errno;
    // Not so for Unix sockets: there a read also stops where descriptors were passed along.
    const bool tcp = sys::getsockopt(handle_.fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &size) == 0 &&
                     (protocol == IPPROTO_TCP || protocol == IPPROTO_MPTCP);
    errno = saved;
    k = tcp ? kind::stream : kind::other;
    kind_.store(k, std::memory_order_relaxed);
  }
  return k == kind::stream;
}

descriptor& descriptor::operator=(descriptor&& o) noexcept {
  if (this != &o) {
    reset();
    state_ = std::exchange(o.state_, nullptr);
  }
  return *this;
}

void descriptor::reset() noexcept {
  if (state_ == nullptr) return;
  let_go(false);
  std::exchange(state_, nullptr)->release_block();
}

descriptor descriptor::adopt(int fd) {
  if (fd < 0) return {};
  auto* s = new (std::nothrow) descriptor_state{fd};
  if (s == nullptr) {
    sys::close(fd);
    throw std::bad_alloc{};
  }
  return descriptor{s};
}

// False: it was closed already.
bool descriptor::let_go(bool keep) noexcept {
  using state = descriptor_state;
  state& s = *state_;
  std::uint32_t word = s.word_.load(std::memory_order_relaxed);
  do {
    if ((word & state::closed_bit) != 0) return false;
  } while (!s.word_.compare_exchange_weak(word,
                                          word | state::closed_bit | (keep ? state::kept_bit : 0),
                                          std::memory_order_acq_rel, std::memory_order_relaxed));
  const io_handle h = s.handle();
  if (s.born_ != fork_generation()) {
    // A forked child: what holds it are copies of the parent's operations. Nothing may reach the
    // socket, which is shared, and the block stays, as the copies point to it.
    if (!keep) sys::close(h.fd);
    return true;
  }
  // No new operation starts now. Those that wait here end within forget().
  if (loop* l = loop::current()) {
    l->io().forget(h);
  } else if (parker* p = parker::existing()) {
    p->forget(h);
  }
  const std::uint32_t holds =
      s.word_.load(std::memory_order_acquire) & ~(state::closed_bit | state::kept_bit);
  // The rest waits elsewhere, and a shut-down socket wakes them.
  if (holds > 1 && !keep) sys::shutdown(h.fd, SHUT_RDWR);
  s.drop();
  return true;
}

void descriptor::close() noexcept {
  if (state_ != nullptr) let_go(false);
}

int descriptor::release() noexcept {
  if (state_ == nullptr) return -1;
  const int fd = state_->handle().fd;
  return let_go(true) ? fd : -1;
}

int make_nonblocking(int fd) noexcept {
  if (sys::simulated(fd)) return 0;  // they never block
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return -errno;
  if ((flags & O_NONBLOCK) != 0) return 0;
  return ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

}  // namespace oneloop::inline v0
