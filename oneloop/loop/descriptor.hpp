// A descriptor: the owner of a file descriptor that operations wait on. Moves, does not copy.
//
//     descriptor d = descriptor::adopt(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
//     std::int64_t n = co_await io::receive(d, buffer);
//     d.close();
//
// Closing while operations are suspended on it is safe: each ends with -EBADF ("closed"), and the
// number is given back to the kernel only when none of them can touch it any more. So a number that
// was reused is never mistaken for the old descriptor.
//
// Threads: operations of several loops and threads may wait on one descriptor at the same time, and
// any thread may close it. Moving, adopting and destroying must not race with other calls.
// Operations of another thread on something that is not a socket (a pipe, a terminal) end only when
// their own call ends: close it where it is used.
// Fork: a forked child that closes or destroys its copy closes its copy only; the parent's
// operations go on. Errors: adopt throws std::bad_alloc; nothing else throws. Cost: one allocation
// of 40 bytes a descriptor.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/io_request.hpp"

namespace oneloop::inline v0 {

/// The block behind a descriptor. It lives as long as the descriptor object, and longer while
/// operations are suspended on it. Internal; for operations.
class ONELOOP_API descriptor_state {
 public:
  explicit descriptor_state(int fd) noexcept;
  descriptor_state(const descriptor_state&) = delete;
  descriptor_state& operator=(const descriptor_state&) = delete;

  /// While held, the number stays open. False: it is closed.
  bool hold() noexcept;
  void drop() noexcept;
  [[nodiscard]] bool closed() const noexcept {
    return (word_.load(std::memory_order_acquire) & closed_bit) != 0;
  }
  [[nodiscard]] io_handle handle() const noexcept { return handle_; }

  /// A hint: the last call this way found it empty (full).
  [[nodiscard]] bool drained(direction d) const noexcept {
    return drained_[static_cast<std::size_t>(d)].load(std::memory_order_relaxed);
  }
  void set_drained(direction d, bool yes) noexcept {
    auto& hint = drained_[static_cast<std::size_t>(d)];
    if (hint.load(std::memory_order_relaxed) != yes) hint.store(yes, std::memory_order_relaxed);
  }
  /// A read has found or left it empty at that `moment` of a driver.
  void note_empty(std::uint64_t moment) noexcept {
    empty_at_.store(moment, std::memory_order_relaxed);
  }
  /// Whether that was at this moment; no 0 is one.
  [[nodiscard]] bool empty_at(std::uint64_t moment) const noexcept {
    return empty_at_.load(std::memory_order_relaxed) == moment;
  }
  /// The outcome of a call that was tried before waiting; after eight misses in a row `tired`
  /// advises against trying, but for one time in 64.
  void note_try(direction d, bool hit) noexcept {
    auto& n = misses_[static_cast<std::size_t>(d)];
    const std::uint8_t was = n.load(std::memory_order_relaxed);
    const std::uint8_t now = hit ? 0 : was < 8 ? static_cast<std::uint8_t>(was + 1) : 8;
    if (now != was) n.store(now, std::memory_order_relaxed);
  }
  bool tired(direction d) noexcept {
    auto& n = misses_[static_cast<std::size_t>(d)];
    const std::uint8_t was = n.load(std::memory_order_relaxed);
    if (was < 8) return false;
    n.store(was < 72 ? static_cast<std::uint8_t>(was + 1) : 8, std::memory_order_relaxed);
    return was < 72;
  }
  /// A TCP stream, on which a short read proves that nothing is left. Asks the kernel once.
  bool stream() noexcept;

 private:
  friend class descriptor;
  ~descriptor_state() = default;
  void release_block() noexcept;
  static constexpr std::uint32_t closed_bit = 1u << 31, kept_bit = 1u << 30;  // kept: do not close
  enum class kind : std::uint8_t { unknown, stream, other };

  io_handle handle_;
  std::atomic<std::uint32_t> word_{1};  // holds, the owner's included; and the two bits
  std::atomic<std::uint32_t> references_{
      2};  // to the block: the descriptor's, and of all the holds
  std::atomic<bool> drained_[2]{};
  std::atomic<std::uint8_t> misses_[2]{};
  std::atomic<kind> kind_{kind::unknown};
  std::uint32_t born_;  // fork_generation()
  std::atomic<std::uint64_t> empty_at_{0};
};

class ONELOOP_API descriptor {
 public:
  descriptor() noexcept = default;
  descriptor(descriptor&& o) noexcept : state_{std::exchange(o.state_, nullptr)} {}
  descriptor& operator=(descriptor&& o) noexcept;
  ~descriptor() { reset(); }

  /// Takes over `fd`, which should be non-blocking (see make_nonblocking) and close-on-exec. A
  /// negative `fd` gives an empty descriptor. If it throws, `fd` has been closed.
  [[nodiscard]] static descriptor adopt(int fd);

  [[nodiscard]] bool is_open() const noexcept { return state_ != nullptr && !state_->closed(); }
  explicit operator bool() const noexcept { return is_open(); }
  /// -1 when empty or closed.
  [[nodiscard]] int fd() const noexcept { return handle().fd; }
  /// The number with its process-unique incarnation.
  [[nodiscard]] io_handle handle() const noexcept {
    return is_open() ? state_->handle() : io_handle{};
  }

  /// Ends what waits on it and gives the number back. Idempotent. Operations on the calling
  /// thread's loop have ended when this returns; a socket that others still use is shut down, and
  /// the last of them closes it.
  void close() noexcept;
  /// Gives the number away, open; -1 if empty. What waits on it here ends with -EBADF.
  [[nodiscard]] int release() noexcept;

  /// For operations; null when empty.
  [[nodiscard]] descriptor_state* state() const noexcept { return state_; }

 private:
  explicit descriptor(descriptor_state* s) noexcept : state_{s} {}
  bool let_go(bool keep) noexcept;
  void reset() noexcept;
  descriptor_state* state_ = nullptr;  // stays after close(): other threads may be reading it
};

/// Sets O_NONBLOCK. 0, or -errno.
ONELOOP_API int make_nonblocking(int fd) noexcept;

}  // namespace oneloop::inline v0
