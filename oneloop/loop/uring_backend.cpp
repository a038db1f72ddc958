// The io_uring backend: requests become submission entries, one submit-and-wait a turn.
//
// One ring per loop and driving thread (SINGLE_ISSUER, DEFER_TASKRUN): the kernel does its work
// only while this thread waits. An entry's user_data is a pointer with a tag in its low bits.
// Watches wait on a poll that the slot owns, so a watch can be taken back at once while the kernel
// still polls.
#include <liburing.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/reactor_internal.hpp"

namespace oneloop::inline v0 {
namespace {

constexpr unsigned submission_entries = 256;
constexpr unsigned completion_entries = 8192;

// ThreadSanitizer puts a signal's handler off until the next call that it knows of, and knows
// nothing of io_uring_enter: there we look up now and then, else a sleeping loop would never hear a
// signal.
#if defined(__SANITIZE_THREAD__)
constexpr bool under_tsan = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool under_tsan = true;
#else
constexpr bool under_tsan = false;
#endif
#else
constexpr bool under_tsan = false;
#endif

// The low bits of user_data.
enum tag : std::uint64_t {
  call = 0,        // an io_request
  poll_in = 1,     // a slot
  poll_out = 2,    // a slot
  call_poll = 3,   // an io_request that waits to be tried again
  mail_poll = 4,   // no pointer
  unanswered = 5,  // no pointer: the answer to a cancellation
};
constexpr std::uint64_t tag_bits = 7;

std::uint64_t tagged(const void* p, tag t) noexcept {
  return reinterpret_cast<std::uintptr_t>(p) | t;
}

// The ids of threads are reused; a ring whose thread has ended must not be taken for ours.
[[gnu::noinline]] std::uint64_t this_thread() noexcept {
  static constinit std::atomic<std::uint64_t> last{0};
  static thread_local const std::uint64_t mine = last.fetch_add(1, std::memory_order_relaxed) + 1;
  return mine;
}

/// 0 or -errno.
int make_ring(io_uring& ring, unsigned entries) noexcept {
  io_uring_params p{};
  p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
            IORING_SETUP_CQSIZE;
  p.cq_entries = std::min(completion_entries, entries * 32);
  const int rc = ::io_uring_queue_init_params(entries, &ring, &p);
  if (rc < 0) return rc;
  constexpr unsigned needed = IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE;
  if ((p.features & needed) != needed) {
    ::io_uring_queue_exit(&ring);
    return -EOPNOTSUPP;
  }
  return 0;
}

int nop_round_trip(io_uring& ring) noexcept {
  io_uring_sqe* sqe = ::io_uring_get_sqe(&ring);
  if (sqe == nullptr) return -EBUSY;
  ::io_uring_prep_nop(sqe);
  sqe->user_data = 42;
  const int submitted = ::io_uring_submit(&ring);
  if (submitted < 0) return submitted;
  io_uring_cqe* cqe = nullptr;
  __kernel_timespec limit{.tv_sec = 1, .tv_nsec = 0};
  const int rc = ::io_uring_wait_cqe_timeout(&ring, &cqe, &limit);
  if (rc < 0) return rc;
  const bool right = cqe->user_data == 42 && cqe->res == 0;
  ::io_uring_cqe_seen(&ring, cqe);
  return right ? 0 : -EIO;
}

int needed_operations(io_uring& ring) noexcept {
  io_uring_probe* probe = ::io_uring_get_probe_ring(&ring);
  if (probe == nullptr) return -EOPNOTSUPP;
  bool all = true;
  for (const int op : {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_RECV, IORING_OP_SEND,
                       IORING_OP_RECVMSG, IORING_OP_SENDMSG, IORING_OP_ACCEPT, IORING_OP_CONNECT,
                       IORING_OP_POLL_ADD, IORING_OP_ASYNC_CANCEL}) {
    all = all && ::io_uring_opcode_supported(probe, op) != 0;
  }
  ::io_uring_free_probe(probe);
  return all ? 0 : -EOPNOTSUPP;
}

struct availability {
  const char* step;
  int cause;  // 0 or -errno
};

availability probe() noexcept {
  io_uring ring{};
  if (const int rc = make_ring(ring, 8); rc < 0) return {"io_uring_setup", rc};
  availability result{"", 0};
  if (const int rc = needed_operations(ring); rc < 0) {
    result = {"operations missing in this kernel", rc};
  } else if (const int nop = nop_round_trip(ring); nop < 0) {
    result = {"test round trip", nop};
  }
  ::io_uring_queue_exit(&ring);
  return result;
}

const availability& probed() noexcept {
  static const availability result = probe();
  return result;
}

using namespace request_state;

class uring_backend final : public reactor {
 public:
  explicit uring_backend(inbox& mail) : reactor{mail} {}

  ~uring_backend() override {
    if (has_ring_) {
      if (mine() && in_kernel_ != 0) cancel_everything();
      ::io_uring_queue_exit(&ring_);
    }
    if (event_fd_ >= 0) ::close(event_fd_);
  }

  [[nodiscard]] const char* name() const noexcept override { return "io_uring"; }

  void enter() override {
    if (has_ring_ && thread_ == this_thread()) return;
    if (calls_in_kernel_ != 0) {
      throw misuse{
          "backend io_uring: another thread cannot go on driving a loop while calls that the first "
          "one submitted are in flight"};
    }
    io_uring fresh_ring{};
    if (const int rc = make_ring(fresh_ring, submission_entries); rc < 0) {
      throw error{"backend io_uring", "io_uring_setup", system_code(-rc)};
    }
    if (has_ring_) ::io_uring_queue_exit(&ring_);
    ring_ = fresh_ring;
    has_ring_ = true;
    thread_ = this_thread();
    mail_armed_ = false;
    in_kernel_ = 0;
    each_slot([this](slot& s) {
      if (s.polls == std::array<slot::poll_state, 2>{}) return;
      s.polls = {};
      mark_dirty(s);
    });
    if (event_fd_ >= 0) register_event_fd();
  }

  [[nodiscard]] int pollable_fd() noexcept override {
    if (event_fd_ < 0) {
      event_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
      if (event_fd_ >= 0 && mine()) register_event_fd();
    }
    return event_fd_;
  }

  void submit(io_request& r) noexcept override {
    r.driver_state = r.tried && r.op == io_op::connect ? started | polling : 0;
    slot* s = slot_for(r.handle);
    if (s == nullptr) return finish(r, r.handle.fd < 0 ? -EBADF : -ENOMEM);
    s->fresh.push_back(r);
    mark_dirty(*s);
  }

  void cancel(io_request& r) noexcept override {
    if ((r.driver_state & (finished | cancelling)) != 0) return;
    if ((r.driver_state & request_state::in_kernel) == 0) return finish(r, -ECANCELED);
    r.driver_state |= cancelling;
    slot* s = find(r.handle);
    s->cancels = true;
    mark_dirty(*s);
  }

  void watch(io_watch& w) noexcept override {
    slot* s = slot_for(w.handle);
    if (s == nullptr) return make_ready(w);
    s->watches[index(w.way)].push_back(w);
    mark_dirty(*s);
  }

  void unwatch(io_watch& w) noexcept override {
    w.unlink();
    // The poll would keep the open file alive after a close elsewhere: it is taken back.
    slot* s = find(w.handle);
    if (s != nullptr && s->polls[index(w.way)] == slot::poll_state::armed) mark_dirty(*s);
  }

  void forget(io_handle h) noexcept override {
    if (slot* s = find(h)) {
      vacate(*s);
      dispatch();
    }
  }

  bool flush() noexcept override {
    if (!mine()) return false;
    prepare();
    if (::io_uring_sq_ready(&ring_) != 0 && ::io_uring_submit(&ring_) < 0) return false;
    return !has_results() && ::io_uring_sq_ready(&ring_) == 0 && ::io_uring_cq_ready(&ring_) == 0;
  }

  void wait(time_point deadline, bool /*must_wait*/) noexcept override {
    prepare();
    if (event_fd_ >= 0) drain_event_fd();
    duration left = duration::zero();
    if (deadline == never) {
      left = duration::max();
    } else if (deadline > time_point::min()) {
      left = deadline - now();
    }
    if (has_results()) left = duration::zero();
    if constexpr (under_tsan) left = std::min(left, duration{std::chrono::milliseconds{20}});
    if (left <= duration::zero()) {
      ::io_uring_submit_and_get_events(&ring_);
    } else {
      const auto s = std::chrono::duration_cast<std::chrono::seconds>(left);
      __kernel_timespec timeout{.tv_sec = s.count(), .tv_nsec = (left - s).count()};
      io_uring_cqe* unused = nullptr;
      ::io_uring_submit_and_wait_timeout(&ring_, &unused, 1,
                                         left == duration::max() ? nullptr : &timeout, nullptr);
    }
    if constexpr (under_tsan) ready_now(mail_.fd(), direction::in);
    reap();
    dispatch();
  }

 private:
  [[nodiscard]] bool mine() const noexcept {
    return has_ring_ && thread_ == this_thread() && born_ == fork_generation();
  }

  // ---- the guest's descriptor ----

  void register_event_fd() noexcept {
    ::io_uring_register_eventfd(&ring_, event_fd_);
    // What came before the registration is looked for once.
    const std::uint64_t one = 1;
    [[maybe_unused]] auto n = ::write(event_fd_, &one, sizeof one);
  }
  void drain_event_fd() noexcept {
    std::uint64_t count = 0;
    while (::read(event_fd_, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }

  // ---- submitting ----

  /// Never null: a full queue is submitted first.
  io_uring_sqe* entry() noexcept {
    for (;;) {
      if (io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_)) return sqe;
      if (::io_uring_submit(&ring_) < 0) {
        // The kernel takes no more before completions have been fetched.
        ::io_uring_get_events(&ring_);
        reap();
      }
    }
  }

  void prepare() noexcept {
    if (!mail_armed_) {
      io_uring_sqe* sqe = entry();
      // Multishot and edge-triggered: the eventfd is never read.
      ::io_uring_prep_poll_multishot(sqe, mail_.fd(), POLLIN);
      sqe->user_data = mail_poll;
      mail_armed_ = true;
      ++in_kernel_;
    }
    while (slot* s = dirty_.pop_front()) {
      for (io_request* r = s->fresh.front(); r != nullptr;) {
        io_request* const next = s->fresh.next(*r);
        if (!queues(*s, *r)) {
          r->unlink();
          start(*s, *r);
        }
        r = next;
      }
      for (const direction way : {direction::in, direction::out}) serve_watches(*s, way);
      if (s->cancels) ask_to_cancel(*s);
    }
  }

  /// Behind a call of its kind that the kernel has: of two it would serve either first.
  static bool queues(slot& s, const io_request& r) noexcept {
    const io_request* const first = s.requests[index(direction_of(r.op))].front();
    return first != nullptr && first->op == r.op && first->flags == r.flags;
  }

  void start(slot& s, io_request& r) noexcept {
    io_uring_sqe* sqe = entry();
    const int fd = r.handle.fd;
    const auto size = static_cast<unsigned>(std::min<std::size_t>(r.size, 0x7fff'f000));
    tag t = call;
    if ((r.driver_state & polling) != 0) {
      ::io_uring_prep_poll_add(sqe, fd, events_of(direction_of(r.op)));
      t = call_poll;
    } else {
      switch (r.op) {
        case io_op::read: ::io_uring_prep_read(sqe, fd, r.data, size, ~0ull); break;
        case io_op::write: ::io_uring_prep_write(sqe, fd, r.data, size, ~0ull); break;
        case io_op::recv: ::io_uring_prep_recv(sqe, fd, r.data, size, r.flags); break;
        case io_op::send:
          ::io_uring_prep_send(sqe, fd, r.data, size, r.flags | MSG_NOSIGNAL);
          break;
        case io_op::recvmsg:
          ::io_uring_prep_recvmsg(sqe, fd, r.message(), static_cast<unsigned>(r.flags));
          break;
        case io_op::sendmsg:
          ::io_uring_prep_sendmsg(sqe, fd, r.message(),
                                  static_cast<unsigned>(r.flags) | MSG_NOSIGNAL);
          break;
        case io_op::accept:
          ::io_uring_prep_accept(sqe, fd, r.address, r.address_size, SOCK_NONBLOCK | SOCK_CLOEXEC);
          break;
        case io_op::connect: ::io_uring_prep_connect(sqe, fd, r.address, *r.address_size); break;
      }
    }
    sqe->user_data = tagged(&r, t);
    r.driver_state |= request_state::in_kernel;
    s.requests[index(direction_of(r.op))].push_back(r);
    ++in_kernel_;
    ++calls_in_kernel_;
  }

  static unsigned events_of(direction way) noexcept {
    return way == direction::in ? POLLIN | POLLRDHUP : POLLOUT;
  }
  static tag poll_tag(direction way) noexcept { return way == direction::in ? poll_in : poll_out; }

  void serve_watches(slot& s, direction way) noexcept {
    auto& state = s.polls[index(way)];
    const bool wanted = !s.watches[index(way)].empty();
    if (wanted && state == slot::poll_state::idle) {
      io_uring_sqe* sqe = entry();
      ::io_uring_prep_poll_add(sqe, s.handle.fd, events_of(way));
      sqe->user_data = tagged(&s, poll_tag(way));
      state = slot::poll_state::armed;
      ++in_kernel_;
    } else if (!wanted && state == slot::poll_state::armed) {
      state = slot::poll_state::cancelling;
      cancel_entry(tagged(&s, poll_tag(way)));
    }
  }

  void cancel_entry(std::uint64_t user_data) noexcept {
    // Entries are taken in order, so this can never hit a later entry of the same address.
    io_uring_sqe* sqe = entry();
    ::io_uring_prep_cancel64(sqe, user_data, 0);
    sqe->user_data = unanswered;
  }

  void ask_to_cancel(slot& s) noexcept {
    s.cancels = false;
    for (auto& list : s.requests) {
      for (;;) {
        // From the front each time: entry() may have fetched completions.
        io_request* r = list.front();
        while (r != nullptr && (r->driver_state & (cancelling | asked)) != cancelling) {
          r = list.next(*r);
        }
        if (r == nullptr) break;
        r->driver_state |= asked;
        cancel_entry(tagged(r, (r->driver_state & polling) != 0 ? call_poll : call));
      }
    }
  }

  // ---- completions ----

  void reap() noexcept {
    for (;;) {
      unsigned head = 0, n = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++n;
        completed(*cqe);
      }
      ::io_uring_cq_advance(&ring_, n);
      if (!::io_uring_cq_has_overflow(&ring_)) return;
      ::io_uring_get_events(&ring_);
    }
  }

  void completed(const io_uring_cqe& cqe) noexcept {
    const auto t = static_cast<tag>(cqe.user_data & tag_bits);
    void* const p = reinterpret_cast<void*>(static_cast<std::uintptr_t>(cqe.user_data & ~tag_bits));
    if (t == unanswered) return;
    if (t == mail_poll) {
      if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
        mail_armed_ = false;
        --in_kernel_;
      }
      return;
    }
    --in_kernel_;
    switch (t) {
      case call:
      case call_poll: {
        auto& r = *static_cast<io_request*>(p);
        --calls_in_kernel_;
        r.driver_state &= ~(request_state::in_kernel | asked);
        slot* const s = find(r.handle);
        t == call ? call_ended(r, cqe.res) : may_try_again(r, cqe.res);
        if (s != nullptr && !s->fresh.empty()) mark_dirty(*s);  // whatever has waited behind it
        break;
      }
      case poll_in: poll_ended(*static_cast<slot*>(p), direction::in, cqe.res); break;
      case poll_out: poll_ended(*static_cast<slot*>(p), direction::out, cqe.res); break;
      default: break;
    }
  }

  void call_ended(io_request& r, int result) noexcept {
    const bool connecting = r.op == io_op::connect;
    switch (result) {
      case -EAGAIN:
        // The kernel did not wait by itself. (A Unix listener whose queue is full: see proceed.)
        if (connecting) return finish(r, -ECONNREFUSED);
        return again(r, polling);
      case -EINPROGRESS:
        if (connecting) return again(r, started | polling);
        break;
      case -ECONNABORTED:
        if (r.op == io_op::accept) return again(r, 0);
        break;
      case -EINTR: return again(r, 0);
      default: break;
    }
    finish(r, result);
  }

  void may_try_again(io_request& r, int result) noexcept {
    r.driver_state &= ~polling;
    if (result == -ECANCELED || (r.driver_state & cancelling) != 0) return finish(r, -ECANCELED);
    std::int64_t n = proceed(r);
    // As with epoll: a Unix listener that was shut down.
    if (n == -EAGAIN && r.op == io_op::accept && (result & POLLHUP) != 0) n = -EINVAL;
    n == -EAGAIN ? again(r, polling) : finish(r, n);
  }

  /// Back to the beginning, with these bits; unless it is to be cancelled.
  void again(io_request& r, std::uint32_t bits) noexcept {
    slot* s = find(r.handle);
    if (s == nullptr || (r.driver_state & cancelling) != 0) return finish(r, -ECANCELED);
    r.driver_state |= bits;
    r.unlink();
    s->fresh.push_front(r);  // those of its kind wait behind it
    mark_dirty(*s);
  }

  void poll_ended(slot& s, direction way, int result) noexcept {
    s.polls[index(way)] = slot::poll_state::idle;
    auto& watches = s.watches[index(way)];
    if (watches.empty()) return;
    // A watch may have come after the poll had fired: what is true now counts.
    if (result != -ECANCELED && ready_now(s.handle.fd, way)) {
      while (io_watch* w = watches.front()) make_ready(*w);
    } else {
      mark_dirty(s);
    }
  }

  // ---- leaving ----

  /// As acquire, but first rids the number of what an earlier incarnation has left in the kernel.
  slot* slot_for(io_handle h) noexcept {
    slot* s = at(h.fd < 0 ? 0 : h.fd);
    if (s != nullptr && s->handle.fd == h.fd && s->handle.id != h.id) vacate(*s);
    return acquire(h);
  }

  static bool is_quiet(slot& s) noexcept {
    return s.requests[0].empty() && s.requests[1].empty() &&
           s.polls == std::array<slot::poll_state, 2>{};
  }

  /// Ends everything on `s` and waits until the kernel has let go of it.
  void vacate(slot& s) noexcept {
    for (auto& list : s.watches) {
      while (io_watch* w = list.front()) make_ready(*w);
    }
    while (io_request* r = s.fresh.front()) finish(*r, -ECANCELED);
    if (mine() && !is_quiet(s)) {
      for (auto& list : s.requests) {
        for (io_request* r = list.front(); r != nullptr; r = list.next(*r)) {
          r->driver_state |= cancelling;
        }
      }
      ask_to_cancel(s);
      for (const direction way : {direction::in, direction::out}) serve_watches(s, way);
      while (!is_quiet(s)) {
        ::io_uring_submit_and_wait(&ring_, 1);
        reap();
      }
    }
    end_all(s);
    reset(s);
  }

  /// Before the ring goes: buffers of abandoned calls must not be written to afterwards. The calls'
  /// memory is not touched; it may be gone.
  void cancel_everything() noexcept {
    io_uring_sqe* sqe = ::io_uring_get_sqe(&ring_);
    if (sqe == nullptr) {
      ::io_uring_submit(&ring_);
      sqe = ::io_uring_get_sqe(&ring_);
    }
    if (sqe == nullptr) return;
    ::io_uring_prep_cancel64(sqe, 0, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = unanswered;
    const time_point limit = now() + std::chrono::seconds{1};
    while (in_kernel_ != 0 && now() < limit) {
      io_uring_cqe* cqe = nullptr;
      __kernel_timespec timeout{.tv_sec = 0, .tv_nsec = 100'000'000};
      ::io_uring_submit_and_wait_timeout(&ring_, &cqe, 1, &timeout, nullptr);
      unsigned head = 0, n = 0;
      io_uring_for_each_cqe(&ring_, head, cqe) {
        ++n;
        const bool last = (cqe->flags & IORING_CQE_F_MORE) == 0;
        if (last && (cqe->user_data & tag_bits) != unanswered) --in_kernel_;
      }
      ::io_uring_cq_advance(&ring_, n);
    }
  }

  io_uring ring_{};
  bool has_ring_ = false;
  bool mail_armed_ = false;
  std::uint64_t thread_ = 0;
  std::size_t in_kernel_ = 0;        // entries that will complete, the mail's poll included
  std::size_t calls_in_kernel_ = 0;  // of them, requests
  int event_fd_ = -1;
  std::uint32_t born_ = fork_generation();
};

}  // namespace

std::unique_ptr<backend> make_uring_backend(inbox& mail) {
  if (const availability& a = probed(); a.cause < 0) {
    throw error{"backend io_uring", a.step, system_code(-a.cause)};
  }
  return std::make_unique<uring_backend>(mail);
}

bool uring_available() noexcept { return probed().cause == 0; }

}  // namespace oneloop::inline v0
