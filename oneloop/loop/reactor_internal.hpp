// What the epoll and the io_uring backend have in common: a table of descriptors, and the two lists
// of what has finished. Internal to the library.
//
// A slot belongs to a number of a descriptor, and is valid for one incarnation of it
// (io_handle.id). What happens to a request: `fresh` (submitted, nothing done yet) -> `requests`
// (the kernel will tell) -> `finished_` -> its `done` is called, from wait() or forget(), never
// from submit().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "oneloop/loop/backend.hpp"

namespace oneloop::inline v0 {

/// Bits of io_request::driver_state.
namespace request_state {
inline constexpr std::uint32_t started = 1;   // a connect is under way
inline constexpr std::uint32_t finished = 2;  // in finished_
inline constexpr std::uint32_t polling =
    4;  // io_uring: waits for readiness, will then be tried again
inline constexpr std::uint32_t in_kernel = 8;    // io_uring: an entry was made for it
inline constexpr std::uint32_t cancelling = 16;  // io_uring: wanted; the kernel is asked in wait()
inline constexpr std::uint32_t asked = 32;       // io_uring: the kernel has been asked
}  // namespace request_state

/// Goes on with `r` without blocking: as try_call, but -EAGAIN also for a connect under way.
std::int64_t proceed(io_request& r) noexcept;

/// Whether the result `n` of `r` tells that a stream is now empty (full).
inline bool was_short(const io_request& r, std::int64_t n) noexcept {
  return r.stream && n > 0 && static_cast<std::size_t>(n) < r.size && r.flags == 0;
}

/// One poll() without waiting: can `fd` go on in this direction? Errors count.
bool ready_now(int fd, direction way) noexcept;

class reactor : public backend {
 public:
  [[nodiscard]] bool awaits_io() noexcept final;

 protected:
  struct dirty_tag;
  struct slot : list_hook<dirty_tag> {
    enum class poll_state : std::uint8_t { idle, armed, cancelling };

    io_handle handle;
    bool registered = false;  // epoll: in the set, for this incarnation
    bool exact = false;       // epoll: hang-up, error or urgent data: a short read proves nothing
    bool direct = false;      // the kernel cannot poll it (a regular file): calls never wait
    std::array<bool, 2> ready{};        // epoll: an edge has come since the last EAGAIN
    std::array<bool, 2> look{};         // epoll: a watch wants the present state
    std::array<poll_state, 2> polls{};  // io_uring: the slot's own polls, for watches
    bool cancels = false;               // io_uring: a request here is `cancelling`
    intrusive_list<io_request> fresh;
    std::array<intrusive_list<io_request>, 2> requests;
    std::array<intrusive_list<io_watch>, 2> watches;
  };

  explicit reactor(inbox& mail) noexcept : backend{true}, mail_{mail} {}
  ~reactor() override;

  static std::size_t index(direction way) noexcept { return static_cast<std::size_t>(way); }

  /// The slot of this incarnation; null if there is none.
  slot* find(io_handle h) noexcept {
    slot* s = at(h.fd);
    return s != nullptr && s->handle.fd == h.fd && s->handle.id == h.id ? s : nullptr;
  }
  slot* at(int fd) noexcept {
    const auto n = static_cast<std::size_t>(fd);
    return n / page_size < pages_.size() && pages_[n / page_size] != nullptr
               ? &(*pages_[n / page_size])[n % page_size]
               : nullptr;
  }
  /// The slot of this incarnation, made if need be; null without memory or for a negative number.
  slot* acquire(io_handle h) noexcept;
  void mark_dirty(slot& s) noexcept {
    if (!static_cast<list_hook<dirty_tag>&>(s).linked()) dirty_.push_back(s);
  }

  /// To finished_, out of whatever list it is in.
  void finish(io_request& r, std::int64_t result) noexcept;
  void make_ready(io_watch& w) noexcept {
    w.unlink();
    ready_watches_.push_back(w);
  }
  /// Everything that waits on `s` ends: requests with -ECANCELED, watches ready.
  void end_all(slot& s) noexcept;
  [[nodiscard]] bool has_results() noexcept {
    return !finished_.empty() || !ready_watches_.empty();
  }
  /// Calls `done` and `ready` of what has finished.
  void dispatch() noexcept;
  /// The slot is nobody's from now on; it has been emptied.
  static void reset(slot& s) noexcept;
  template <class F>
  void each_slot(F f) {
    for (auto& p : pages_) {
      if (p == nullptr) continue;
      for (slot& s : *p) f(s);
    }
  }

  inbox& mail_;
  intrusive_list<slot, dirty_tag> dirty_;  // something must be done for these before sleeping

 private:
  static constexpr std::size_t page_size = 64;
  using page = std::array<slot, page_size>;
  std::vector<std::unique_ptr<page>> pages_;
  intrusive_list<io_request> finished_;
  intrusive_list<io_watch> ready_watches_;
};

}  // namespace oneloop::inline v0
