#include "oneloop/loop/signals.hpp"

#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <mutex>
#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
namespace {

constexpr int max_signal = 64;

// What the handler reads: fixed memory and atomics only.
struct registration {
  std::atomic<inbox*> mail{nullptr};
  std::atomic<std::uint64_t> mask{0};
  std::atomic<std::uint32_t> handlers{0};  // handlers that may hold `mail` right now
};

struct signal_use {
  std::size_t users = 0;
  struct sigaction previous{};
};

constinit std::array<registration, 256> g_registrations;
constinit std::array<signal_use, max_signal + 1> g_uses;
constinit std::atomic<pid_t> g_owner{0};  // the process that installed the handlers
constinit std::mutex g_mutex;             // all but what the handler reads

std::uint64_t bit_of(int signo) noexcept { return std::uint64_t{1} << (signo - 1); }

// Async-signal-safe.
void on_signal(int signo) {
  const int saved = errno;
  if (g_owner.load(std::memory_order_relaxed) != ::getpid()) {
    // A forked child: these signals are not meant for the parent's loops. Do what was done before.
    struct sigaction unused;
    ::sigaction(signo, &g_uses[static_cast<std::size_t>(signo)].previous, &unused);
    ::raise(signo);
    errno = saved;
    return;
  }
  for (registration& r : g_registrations) {
    if ((r.mask.load(std::memory_order_relaxed) & bit_of(signo)) == 0) continue;
    r.handlers.fetch_add(1, std::memory_order_seq_cst);
    // seq_cst against unregistering: either we see null, or it sees us.
    if (inbox* mail = r.mail.load(std::memory_order_seq_cst)) {
      mail->signals.fetch_or(bit_of(signo), std::memory_order_release);
      mail->wake();
    }
    r.handlers.fetch_sub(1, std::memory_order_seq_cst);
  }
  errno = saved;
}

bool is_ours(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) == 0 && a.sa_handler == on_signal;
}

// Under g_mutex.
void use(int signo) {
  signal_use& u = g_uses[static_cast<std::size_t>(signo)];
  if (u.users == 0) {
    struct sigaction current{};
    if (::sigaction(signo, nullptr, &current) < 0) {
      throw error{"signal_set", "signal " + std::to_string(signo), system_code(errno)};
    }
    // Before the handler can run in a child: it reads `previous`.
    if (!is_ours(current)) u.previous = current;
    g_owner.store(::getpid(), std::memory_order_relaxed);
    struct sigaction action{};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    if (::sigaction(signo, &action, nullptr) < 0) {
      throw error{"signal_set", "signal " + std::to_string(signo), system_code(errno)};
    }
  }
  ++u.users;
}

// Under g_mutex.
void unuse(int signo) noexcept {
  signal_use& u = g_uses[static_cast<std::size_t>(signo)];
  if (--u.users != 0) return;
  // Somebody may have put a handler of their own over ours meanwhile: theirs stays.
  struct sigaction current{};
  if (::sigaction(signo, nullptr, &current) == 0 && is_ours(current)) {
    ::sigaction(signo, &u.previous, nullptr);
  }
}

template <class F>
void each_signal(std::uint64_t mask, F f) {
  for (; mask != 0; mask &= mask - 1) f(std::countr_zero(mask) + 1);
}

// Under g_mutex.
registration* registration_of(const inbox& mail) noexcept {
  for (registration& r : g_registrations) {
    if (r.mail.load(std::memory_order_relaxed) == &mail) return &r;
  }
  return nullptr;
}

// Under g_mutex.
void set_mask(inbox& mail, std::uint64_t mask) {
  registration* r = registration_of(mail);
  if (r == nullptr) {
    if (mask == 0) return;
    for (registration& free : g_registrations) {
      if (free.mail.load(std::memory_order_relaxed) == nullptr) {
        r = &free;
        break;
      }
    }
    if (r == nullptr) {
      throw error{errc::limit_exceeded, "signal_set: more than 256 loops wait for signals"};
    }
    r->mail.store(&mail, std::memory_order_seq_cst);
  }
  r->mask.store(mask, std::memory_order_relaxed);
  if (mask != 0) return;
  r->mail.store(nullptr, std::memory_order_seq_cst);
  while (r->handlers.load(std::memory_order_seq_cst) != 0) ::sched_yield();
}

}  // namespace

/// The signal sets of one loop.
class signal_hub final : public loop_extension {
 public:
  explicit signal_hub(loop& l) noexcept : loop_{l} {}
  ~signal_hub() override {
    // Sets that outlive their loop hear nothing any more, but give their signals back.
    while (signal_set* s = sets_.pop_front()) s->loop_ = nullptr;
  }

  void add(signal_set& s) {
    sets_.push_back(s);
    update();
  }
  void remove(signal_set& s) noexcept {
    s.unlink();
    update();
  }
  void deliver(std::uint64_t bits) noexcept {
    for (signal_set* s = sets_.front(); s != nullptr; s = sets_.next(*s)) s->deliver(bits);
  }
  [[nodiscard]] bool awaited() noexcept {
    for (signal_set* s = sets_.front(); s != nullptr; s = sets_.next(*s)) {
      if (!s->waiting_.empty()) return true;
    }
    return false;
  }

 private:
  void update() {
    std::uint64_t mask = 0;
    for (signal_set* s = sets_.front(); s != nullptr; s = sets_.next(*s)) mask |= s->mask_;
    set_mask(loop_.mail(), mask);
  }
  loop& loop_;
  intrusive_list<signal_set> sets_;
};

signal_set::signal_set(std::initializer_list<int> signals) : loop_{loop::current()} {
  if (loop_ == nullptr) throw loop_not_running{"signal_set"};
  signal_hub& hub = loop_->extension<signal_hub>();
  const std::scoped_lock guard{g_mutex};
  std::uint64_t used = 0;
  try {
    for (const int signo : signals) {
      if (signo < 1 || signo > max_signal) {
        throw error{"signal_set", "signal " + std::to_string(signo), system_code(EINVAL)};
      }
      if ((mask_ & bit_of(signo)) != 0) continue;
      mask_ |= bit_of(signo);
      use(signo);
      used |= bit_of(signo);
    }
    hub.add(*this);
  } catch (...) {
    unlink();
    each_signal(used, unuse);
    throw;
  }
}

signal_set::~signal_set() {
  const std::scoped_lock guard{g_mutex};
  if (loop_ != nullptr) loop_->extension<signal_hub>().remove(*this);
  each_signal(mask_, unuse);
}

int signal_set::take() noexcept {
  if (pending_ == 0) return 0;
  const int signo = std::countr_zero(pending_) + 1;
  pending_ &= pending_ - 1;
  return signo;
}

void signal_set::deliver(std::uint64_t bits) noexcept {
  pending_ |= bits & mask_;
  while (pending_ != 0) {
    next_signal* n = waiting_.pop_front();
    if (n == nullptr) break;
    // A select that another case has won meanwhile is passed over.
    if (!n->waiter_->try_claim()) continue;
    n->signo_ = take();
    n->waiter_->wake();
  }
}

const operation_info next_signal::info{
    .name = "signal.next",
    .cancel = next_signal::cancel,
    .describe =
        [](const void* op) {
          std::string text = "signals";
          each_signal(static_cast<const next_signal*>(op)->set_->mask_,
                      [&](int signo) { text.append(" ").append(std::to_string(signo)); });
          return text;
        },
};

bool next_signal::await_ready() noexcept {
  signo_ = set_->take();
  return signo_ != 0;
}

enlisted next_signal::enlist(waiter& w) {
  if (w.home() == nullptr) throw loop_not_running{"signal_set::next"};
  if (w.home() != set_->loop_) {
    throw misuse{"signal_set::next: a signal set is waited on where it was made, on its own loop"};
  }
  waiter_ = &w;
  signo_ = 0;
  if (set_->pending_ != 0) {
    if (!w.try_claim()) return enlisted::lost;
    signo_ = set_->take();
    return enlisted::completed;
  }
  set_->waiting_.push_back(*this);
  return enlisted::waiting;
}

bool next_signal::await_suspend(waiter& w) {
  w.arm(this, info);
  try {
    if (enlist(w) == enlisted::waiting) return true;
  } catch (...) {
    w.disarm();
    throw;
  }
  w.disarm();
  return false;
}

void next_signal::cancel(void* op, waiter& w) noexcept {
  auto& self = *static_cast<next_signal*>(op);
  if (!w.try_claim()) return;
  self.unlink();
  w.wake_cancelled();
}

void forget_signals(inbox& mail) noexcept {
  const std::scoped_lock guard{g_mutex};
  set_mask(mail, 0);
}

void dispatch_signals(loop& l) noexcept {
  const std::uint64_t bits = l.mail().signals.exchange(0, std::memory_order_acquire);
  if (bits != 0) l.extension<signal_hub>().deliver(bits);
}

bool awaits_signals(loop& l) { return l.extension<signal_hub>().awaited(); }

}  // namespace oneloop::inline v0
