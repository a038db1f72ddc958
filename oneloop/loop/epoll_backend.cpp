// The epoll backend: edge-triggered. A descriptor is registered once, for both directions, when
// something first waits on it. Every event is remembered in its slot until a call returns EAGAIN
// (or moves less than it could), so an edge that nobody waited for is not lost.
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <limits>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/reactor_internal.hpp"

namespace oneloop::inline v0 {
namespace {

constexpr std::uint32_t edges = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr std::uint32_t means_in = EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;
constexpr std::uint32_t means_out = EPOLLOUT | EPOLLHUP | EPOLLERR;
// Seen once, a short read no longer proves that the descriptor is empty: the end of the stream (an
// error, data behind an urgent mark) may stand behind it, and brings no further edge.
constexpr std::uint32_t means_exact = EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI;

constexpr std::uint64_t mail_mark = std::numeric_limits<std::uint64_t>::max();

std::uint64_t mark_of(io_handle h) noexcept {
  return std::uint64_t{h.id} << 32 | static_cast<std::uint32_t>(h.fd);
}

class epoll_backend final : public reactor {
 public:
  explicit epoll_backend(inbox& mail) : reactor{mail}, epoll_fd_{::epoll_create1(EPOLL_CLOEXEC)} {
    if (epoll_fd_ < 0) throw error{"backend epoll", "epoll_create1", system_code(errno)};
    // Edge-triggered: every write to the eventfd is an edge, so it is never read.
    epoll_event e{.events = EPOLLIN | EPOLLET, .data = {.u64 = mail_mark}};
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, mail.fd(), &e) < 0) {
      const int cause = errno;
      ::close(epoll_fd_);
      throw error{"backend epoll", "epoll_ctl", system_code(cause)};
    }
  }
  ~epoll_backend() override { ::close(epoll_fd_); }

  [[nodiscard]] const char* name() const noexcept override { return "epoll"; }
  [[nodiscard]] int pollable_fd() noexcept override { return epoll_fd_; }

  void submit(io_request& r) noexcept override {
    r.driver_state = 0;
    slot* s = acquire(r.handle);
    if (s == nullptr) return finish(r, r.handle.fd < 0 ? -EBADF : -ENOMEM);
    const auto d = index(direction_of(r.op));
    if (r.tried) {
      s->ready[d] = false;
      if (r.op == io_op::connect) r.driver_state |= request_state::started;
    }
    const bool wait_first = r.tried || (r.drained && !s->ready[d]);
    if (wait_first && register_slot(*s) && !s->direct) {
      s->requests[d].push_back(r);
    } else {
      s->fresh.push_back(r);
      mark_dirty(*s);
    }
  }

  void cancel(io_request& r) noexcept override {
    if ((r.driver_state & request_state::finished) == 0) finish(r, -ECANCELED);
  }

  void watch(io_watch& w) noexcept override {
    slot* s = acquire(w.handle);
    if (s == nullptr) return make_ready(w);
    const auto d = index(w.way);
    const bool known = s->registered;
    if (!register_slot(*s) || s->direct) return make_ready(w);
    s->watches[d].push_back(w);
    if (w.tried && !(w.by_short && s->exact)) s->ready[d] = false;
    // A new registration reports the present state by itself; after an EAGAIN, an edge comes.
    if (known && s->ready[d]) {
      s->look[d] = true;
      mark_dirty(*s);
    }
  }

  void unwatch(io_watch& w) noexcept override { w.unlink(); }

  void forget(io_handle h) noexcept override {
    slot* s = find(h);
    if (s == nullptr) return;
    // Without this, a duplicate of the descriptor (in a child, say) would go on waking this loop.
    // In a forked child it would make the parent deaf.
    if (s->registered && born_ == fork_generation()) {
      epoll_event unused{};
      ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, h.fd, &unused);
    }
    end_all(*s);
    reset(*s);
    dispatch();
  }

  bool flush() noexcept override {
    serve_dirty();
    return !has_results();
  }

  void wait(time_point deadline, bool /*must_wait*/) noexcept override {
    serve_dirty();
    std::array<epoll_event, 256> events;
    const int n = wait_for_events(events, has_results() ? time_point::min() : deadline);
    looked();
    for (int i = 0; i < n; ++i) {
      const std::uint64_t mark = events[static_cast<std::size_t>(i)].data.u64;
      if (mark == mail_mark) continue;
      const io_handle h{static_cast<int>(static_cast<std::uint32_t>(mark)),
                        static_cast<std::uint32_t>(mark >> 32)};
      // An event of an earlier incarnation finds nobody.
      if (slot* s = find(h)) happened(*s, events[static_cast<std::size_t>(i)].events);
    }
    dispatch();
  }

 private:
  int wait_for_events(std::array<epoll_event, 256>& events, time_point deadline) noexcept {
    duration left = duration::zero();
    if (deadline > time_point::min() && deadline != never) {
      left = std::max(duration::zero(), deadline - now());
    }
    const auto max = static_cast<int>(events.size());
    if (has_pwait2_ && deadline != never && left > duration::zero()) {
      const auto s = std::chrono::duration_cast<std::chrono::seconds>(left);
      const timespec timeout{.tv_sec = s.count(), .tv_nsec = (left - s).count()};
      const int n = ::epoll_pwait2(epoll_fd_, events.data(), max, &timeout, nullptr);
      if (n >= 0 || (errno != ENOSYS && errno != EPERM)) return n;
      has_pwait2_ = false;  // an old kernel, or a filter of system calls
    }
    using std::chrono::milliseconds;
    const auto ms = std::chrono::ceil<milliseconds>(left).count();
    const int timeout =
        deadline == never ? -1 : static_cast<int>(std::min<std::int64_t>(ms, 86'400'000));
    return ::epoll_wait(epoll_fd_, events.data(), max, timeout);
  }

  /// False: this descriptor cannot be waited on (its error comes from trying the call).
  bool register_slot(slot& s) noexcept {
    if (s.registered) return true;
    epoll_event e{.events = edges, .data = {.u64 = mark_of(s.handle)}};
    if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, s.handle.fd, &e) < 0) {
      if (errno == EPERM) {
        s.direct = true;
        return true;
      }
      // EEXIST: the same open file was here under an earlier id (released and adopted again).
      if (errno != EEXIST || ::epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, s.handle.fd, &e) < 0) {
        return false;
      }
    }
    s.registered = true;
    s.exact = false;
    s.ready = {};
    return true;
  }

  /// Makes the call; false if it must wait on.
  bool attempt(slot& s, io_request& r, std::size_t d) noexcept {
    const std::int64_t n = proceed(r);
    // A Unix listener that was shut down, by a close on another thread, says no more than this.
    if (n == -EAGAIN && s.exact && r.op == io_op::accept) {
      finish(r, -EINVAL);
      return true;
    }
    if (n == -EAGAIN) {
      s.ready[d] = false;
      return false;
    }
    if (was_short(r, n) && !s.exact) s.ready[d] = false;
    finish(r, n);
    return true;
  }

  void serve_dirty() noexcept {
    while (slot* s = dirty_.pop_front()) {
      while (io_request* r = s->fresh.front()) {
        const auto d = index(direction_of(r->op));
        r->unlink();
        // First come, first served: behind those who wait already.
        const bool others_wait = !s->requests[d].empty();
        s->requests[d].push_back(*r);
        if (others_wait || attempt(*s, *r, d)) continue;
        if (!register_slot(*s)) finish(*r, -errno);
      }
      for (const direction way : {direction::in, direction::out}) {
        if (s->look[index(way)]) offer(*s, way, false);
      }
    }
  }

  void happened(slot& s, std::uint32_t events) noexcept {
    if ((events & means_exact) != 0) s.exact = true;
    if ((events & means_in) != 0) advance(s, direction::in);
    if ((events & means_out) != 0) advance(s, direction::out);
  }

  void advance(slot& s, direction way) noexcept {
    const auto d = index(way);
    s.ready[d] = true;
    bool called = false;
    while (s.ready[d]) {
      io_request* r = s.requests[d].front();
      if (r == nullptr) break;
      called = true;
      if (!attempt(s, *r, d)) break;
    }
    // The kernel looked when the event was fetched; only what was called since can have changed it.
    offer(s, way, !called);
  }

  /// Watches become ready if it is true now.
  void offer(slot& s, direction way, bool known_ready) noexcept {
    auto& watches = s.watches[index(way)];
    s.look[index(way)] = false;
    if (watches.empty() || !(known_ready || ready_now(s.handle.fd, way))) return;
    while (io_watch* w = watches.front()) make_ready(*w);
  }

  int epoll_fd_;
  bool has_pwait2_ = true;
  std::uint32_t born_ = fork_generation();
};

}  // namespace

std::unique_ptr<backend> make_epoll_backend(inbox& mail) {
  return std::make_unique<epoll_backend>(mail);
}

}  // namespace oneloop::inline v0
