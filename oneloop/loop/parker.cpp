#include "oneloop/loop/parker.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <memory>
#include <span>
#include <vector>

#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/reactor_internal.hpp"

namespace oneloop::inline v0 {
namespace {

thread_local std::unique_ptr<parker> t_mine;

timespec to_timespec(duration d) noexcept {
  const auto s = std::chrono::duration_cast<std::chrono::seconds>(d);
  return {.tv_sec = s.count(), .tv_nsec = (d - s).count()};
}

short events_of(direction way) noexcept {
  return way == direction::in ? short{POLLIN | POLLRDHUP} : short{POLLOUT};
}

}  // namespace

// ---- the block ----

parker::block::~block() {
  if (event_fd_ >= 0) ::close(event_fd_);
}

void parker::block::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

void parker::block::unpark() noexcept {
  switch (state_.exchange(token, std::memory_order_acq_rel)) {
    case asleep_in_futex:
      ::syscall(SYS_futex, &state_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
      break;
    case asleep_in_poll: {
      const int saved = errno;
      const std::uint64_t one = 1;
      while (::write(event_fd_, &one, sizeof one) < 0 && errno == EINTR) {
      }
      errno = saved;
      break;
    }
    default: break;
  }
}

bool parker::block::take_token() noexcept {
  if (!has_token()) return false;
  return state_.exchange(awake, std::memory_order_acquire) == token;
}

void parker::block::sleep(time_point deadline) noexcept {
  std::uint32_t expected = awake;
  if (!state_.compare_exchange_strong(expected, asleep_in_futex, std::memory_order_acq_rel)) return;
  const timespec until = to_timespec(deadline.time_since_epoch());
  while (state_.load(std::memory_order_acquire) == asleep_in_futex) {
    const auto r = ::syscall(SYS_futex, &state_, FUTEX_WAIT_BITSET_PRIVATE, asleep_in_futex,
                             deadline == never ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
    if (r < 0 && errno == ETIMEDOUT) break;
  }
  expected = asleep_in_futex;
  state_.compare_exchange_strong(expected, awake, std::memory_order_acq_rel);
}

int parker::block::event_fd() noexcept {
  if (event_fd_ < 0) event_fd_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  return event_fd_;
}

// ---- the parker ----

parker::parker() : block_{new block}, born_{fork_generation()} {}

parker::~parker() { block_->release(); }

[[gnu::noinline]] parker& parker::current() {
  if (t_mine == nullptr) {
    t_mine = std::make_unique<parker>();
  } else if (t_mine->born_ != fork_generation()) {
    // A forked child: the parent's threads know the old block, and share its eventfd with us.
    t_mine->block_ = new block;
    t_mine->born_ = fork_generation();
  }
  return *t_mine;
}

[[gnu::noinline]] parker* parker::existing() noexcept { return t_mine.get(); }

time_point parker::now() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return time_point{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

void parker::resume(ready_item& item) noexcept {
  auto& w = static_cast<waiter&>(item);
  auto* b = static_cast<block*>(w.target);
  // The pin comes first: once the waiter shows that it was resumed, its thread may go on and end.
  b->retain();
  std::atomic_ref{w.target}.store(nullptr, std::memory_order_release);
  b->unpark();
  b->release();
}

void parker::submit(io_request& r) noexcept {
  r.driver_state = r.tried && r.op == io_op::connect ? request_state::started : 0;
  (r.tried || r.drained ? requests_ : fresh_).push_back(r);
}

void parker::finish(io_request& r, std::int64_t result) noexcept {
  r.unlink();
  r.result = result;
  r.driver_state |= request_state::finished;
  finished_.push_back(r);
}

void parker::cancel(io_request& r) noexcept {
  if ((r.driver_state & request_state::finished) == 0) finish(r, -ECANCELED);
}

void parker::watch(io_watch& w) noexcept { watches_.push_back(w); }
void parker::unwatch(io_watch& w) noexcept { w.unlink(); }

void parker::forget(io_handle h) noexcept {
  const auto same = [h](io_handle o) { return o.fd == h.fd && o.id == h.id; };
  for (auto* list : {&fresh_, &requests_}) {
    for (io_request* r = list->front(); r != nullptr;) {
      io_request* next = list->next(*r);
      if (same(r->handle)) finish(*r, -ECANCELED);
      r = next;
    }
  }
  intrusive_list<io_watch> ready;
  for (io_watch* w = watches_.front(); w != nullptr;) {
    io_watch* next = watches_.next(*w);
    if (same(w->handle)) {
      w->unlink();
      ready.push_back(*w);
    }
    w = next;
  }
  dispatch();
  while (io_watch* w = ready.pop_front()) w->ready(*w);
}

void parker::attempt_fresh() noexcept {
  while (io_request* r = fresh_.pop_front()) {
    const std::int64_t n = proceed(*r);
    if (n == -EAGAIN) {
      requests_.push_back(*r);
    } else {
      finish(*r, n);
    }
  }
}

void parker::dispatch() noexcept {
  while (io_request* r = finished_.pop_front()) r->done(*r);
}

void parker::fire_timers() noexcept {
  if (timers_.size() == 0) return;
  const time_point t = now();
  while (timer_node* due = timers_.pop_due(t)) due->fire(*due);
}

bool parker::park(time_point deadline) {
  bool looked = false;
  for (;;) {
    attempt_fresh();
    dispatch();
    fire_timers();
    if (block_->take_token()) return true;
    if (looked && deadline <= now()) return false;
    const time_point until = std::min(deadline, timers_.next());
    if (!requests_.empty() || !watches_.empty()) {
      poll_until(until);
    } else if (fresh_.empty() && !spin_.saw([this] { return block_->has_token(); })) {
      block_->sleep(until);
      if (block_->has_token()) spin_.woken();
    }
    looked = true;
  }
}

void parker::poll_until(time_point deadline) {
  std::array<pollfd, 32> few;
  std::vector<pollfd> many;
  const std::size_t wanted = 1 + requests_.size() + watches_.size();
  if (wanted > few.size()) many.resize(wanted);
  const std::span<pollfd> fds =
      wanted > few.size() ? std::span{many} : std::span{few}.first(wanted);

  std::size_t n = 0;
  const int event_fd = block_->event_fd();
  fds[n++] = {.fd = event_fd, .events = POLLIN, .revents = 0};
  for (io_request* r = requests_.front(); r != nullptr; r = requests_.next(*r)) {
    fds[n++] = {.fd = r->handle.fd, .events = events_of(direction_of(r->op)), .revents = 0};
  }
  for (io_watch* w = watches_.front(); w != nullptr; w = watches_.next(*w)) {
    fds[n++] = {.fd = w->handle.fd, .events = events_of(w->way), .revents = 0};
  }

  std::uint32_t expected = block::awake;
  const auto asleep = event_fd >= 0 ? block::asleep_in_poll : block::awake;
  if (!block_->state_.compare_exchange_strong(expected, asleep, std::memory_order_acq_rel)) return;
  const time_point start = now();
  duration left =
      deadline == never ? duration::max() : std::max(duration::zero(), deadline - start);
  if (event_fd < 0) left = std::min(left, duration{std::chrono::milliseconds{10}});
  const timespec timeout = to_timespec(left);
  const int found =
      ::ppoll(fds.data(), fds.size(), left == duration::max() ? nullptr : &timeout, nullptr);
  expected = asleep;
  block_->state_.compare_exchange_strong(expected, block::awake, std::memory_order_acq_rel);
  if (found <= 0) return;

  if (fds[0].revents != 0) {
    std::uint64_t count = 0;
    while (::read(event_fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
  }
  n = 1;
  for (io_request* r = requests_.front(); r != nullptr;) {
    io_request* next = requests_.next(*r);
    if (fds[n++].revents != 0) {
      const std::int64_t result = proceed(*r);
      if (result != -EAGAIN) finish(*r, result);
    }
    r = next;
  }
  intrusive_list<io_watch> ready;
  for (io_watch* w = watches_.front(); w != nullptr;) {
    io_watch* next = watches_.next(*w);
    if (fds[n++].revents != 0) {
      w->unlink();
      ready.push_back(*w);
    }
    w = next;
  }
  while (io_watch* w = ready.pop_front()) w->ready(*w);
}

// ---- whoever waits ----

io_driver& io_of(waiter& w) { return w.home() != nullptr ? w.home()->io() : parker::current(); }

timer_queue& timers_of(waiter& w) {
  return w.home() != nullptr ? w.home()->timers() : parker::current().timers();
}

time_point now_of(waiter& w) { return w.home() != nullptr ? w.home()->now() : parker::now(); }

}  // namespace oneloop::inline v0
