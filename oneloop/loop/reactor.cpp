#include <poll.h>

#include <cerrno>
#include <new>

#include "oneloop/loop/reactor_internal.hpp"

namespace oneloop::inline v0 {

std::int64_t proceed(io_request& r) noexcept {
  const std::int64_t n = try_call(r);
  if (r.op != io_op::connect) return n;
  // Asking again is how a connect under way is told from one that ended: SO_ERROR alone says 0 for
  // both, and a stale event may have brought us here.
  const bool again = (r.driver_state & request_state::started) != 0;
  switch (n) {
    case -EINPROGRESS: r.driver_state |= request_state::started; return -EAGAIN;
    case -EALREADY: return again ? -EAGAIN : n;
    case -EISCONN: return again ? 0 : n;
    case -EAGAIN: return -ECONNREFUSED;  // a Unix listener whose queue is full: nothing to wait for
    default: return n;
  }
}

bool ready_now(int fd, direction way) noexcept {
  pollfd p{.fd = fd,
           .events = way == direction::in ? short{POLLIN | POLLRDHUP} : short{POLLOUT},
           .revents = 0};
  int n = 0;
  while ((n = ::poll(&p, 1, 0)) < 0 && errno == EINTR) {
  }
  return n != 0;
}

reactor::~reactor() {
  // What is still pending was abandoned with its loop: it stays where it is and hears no more.
  auto abandon = [](auto& list) {
    while (list.pop_front() != nullptr) {
    }
  };
  each_slot([&](slot& s) {
    abandon(s.fresh);
    for (auto& list : s.requests) abandon(list);
    for (auto& list : s.watches) abandon(list);
  });
  abandon(dirty_);
  abandon(finished_);
  abandon(ready_watches_);
}

reactor::slot* reactor::acquire(io_handle h) noexcept {
  if (h.fd < 0) return nullptr;
  slot* s = at(h.fd);
  if (s == nullptr) {
    const auto n = static_cast<std::size_t>(h.fd) / page_size;
    try {
      if (n >= pages_.size()) pages_.resize(n + 1);
      pages_[n] = std::make_unique<page>();
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    s = at(h.fd);
  }
  if (s->handle.fd != h.fd || s->handle.id != h.id) {
    // An earlier incarnation that was closed elsewhere, when nothing of it was pending here.
    end_all(*s);
    reset(*s);
    s->handle = h;
  }
  return s;
}

void reactor::finish(io_request& r, std::int64_t result) noexcept {
  r.unlink();
  r.result = result;
  r.driver_state |= request_state::finished;
  finished_.push_back(r);
}

void reactor::end_all(slot& s) noexcept {
  while (io_request* r = s.fresh.front()) finish(*r, -ECANCELED);
  for (auto& list : s.requests) {
    while (io_request* r = list.front()) finish(*r, -ECANCELED);
  }
  for (auto& list : s.watches) {
    while (io_watch* w = list.front()) make_ready(*w);
  }
}

void reactor::reset(slot& s) noexcept {
  static_cast<list_hook<dirty_tag>&>(s).unlink();
  s.handle = {};
  s.registered = s.exact = s.direct = s.cancels = false;
  s.ready = s.look = {};
  s.polls = {};
}

bool reactor::awaits_io() noexcept {
  bool any = has_results();
  each_slot([&](slot& s) {
    any = any || !s.fresh.empty();
    for (auto& list : s.requests) any = any || !list.empty();
    for (auto& list : s.watches) any = any || !list.empty();
  });
  return any;
}

void reactor::dispatch() noexcept {
  while (io_request* r = finished_.pop_front()) r->done(*r);
  while (io_watch* w = ready_watches_.pop_front()) w->ready(*w);
}

}  // namespace oneloop::inline v0
