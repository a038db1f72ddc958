#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "oneloop/fiber/overflow_internal.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/context.hpp"

// Weak: null unless the program carries the sanitizer, whatever this library was built with.
extern "C" {
[[gnu::weak, gnu::visibility("default")]] void __asan_init();
[[gnu::weak, gnu::visibility("default")]] void __tsan_init();
}

namespace oneloop::inline v0 {
namespace {

bool sanitized() noexcept { return __asan_init != nullptr || __tsan_init != nullptr; }

// The slabs, readable in a signal handler: entries are added and emptied, never freed. A slab is
// unmapped only after its entry was emptied, and while a fiber overflows its own slab is there.
struct entry {
  std::atomic<std::byte*> base{nullptr};
  std::size_t bytes = 0;
  std::size_t guard = 0;
  std::size_t stack = 0;
  entry* next = nullptr;
};
constinit std::atomic<entry*> g_entries{nullptr};
constinit std::mutex g_lock;
constinit std::size_t g_slabs = 0;
constinit bool g_chained = false;
constinit struct sigaction g_previous{};

/// A line put together without anything that a signal handler must not call.
class line {
 public:
  line& operator<<(const char* s) noexcept {
    while (*s != '\0' && used_ < sizeof text_) text_[used_++] = *s++;
    return *this;
  }
  line& operator<<(std::size_t n) noexcept {
    char digits[20];
    std::size_t count = 0;
    do digits[count++] = static_cast<char>('0' + n % 10);
    while ((n /= 10) != 0);
    while (count != 0 && used_ < sizeof text_) text_[used_++] = digits[--count];
    return *this;
  }
  void print() const noexcept {
    for (std::size_t at = 0; at < used_;) {
      const auto n = ::write(STDERR_FILENO, text_ + at, used_ - at);
      if (n <= 0) return;
      at += static_cast<std::size_t>(n);
    }
  }

 private:
  char text_[512];
  std::size_t used_ = 0;
};

const entry* find_guard(const void* address) noexcept {
  const auto a = reinterpret_cast<std::uintptr_t>(address);
  for (const entry* e = g_entries.load(std::memory_order_acquire); e != nullptr; e = e->next) {
    const auto base = reinterpret_cast<std::uintptr_t>(e->base.load(std::memory_order_acquire));
    if (base == 0 || a < base || a - base >= e->bytes) continue;
    return (a - base) % (e->guard + e->stack) < e->guard ? e : nullptr;
  }
  return nullptr;
}

void report(const entry& e) noexcept {
  line text;
  text << "oneloop: stack overflow";
  const loop* l = loop::current();
  const context* c = l != nullptr ? l->active : nullptr;
  if (c != nullptr && c->kind() == party_kind::fiber) {
    text << " in fiber '" << c->name() << "'";
    if (c->spawned_at().line() != 0) {
      text << " (started at " << c->spawned_at().file_name() << ":" << c->spawned_at().line()
           << ")";
    }
  } else {
    text << " in a greenlet";
  }
  text << ": its stack has " << e.stack
       << " bytes. Recurse less deeply, or use larger stacks: ONELOOP_FIBER_STACK=" << e.stack * 4
       << " in the environment, or oneloop::set_fiber_stacks(loop, {.stack_size = " << e.stack * 4
       << "})\n";
  text.print();
}

void on_fault(int signal, siginfo_t* info, void* machine) {
  const int saved = errno;
  if (info->si_code > 0) {
    if (const entry* e = find_guard(info->si_addr)) report(*e);
  }
  errno = saved;
  if ((g_previous.sa_flags & SA_SIGINFO) != 0) {
    g_previous.sa_sigaction(signal, info, machine);
  } else if (g_previous.sa_handler != SIG_DFL && g_previous.sa_handler != SIG_IGN) {
    g_previous.sa_handler(signal);
  } else {
    // The instruction faults again as soon as this returns, and then ends the program.
    struct sigaction standard{};
    standard.sa_handler = SIG_DFL;
    ::sigaction(signal, &standard, nullptr);
    if (info->si_code <= 0) ::raise(signal);  // somebody sent it
  }
}

bool is_ours(const struct sigaction& a) noexcept {
  return (a.sa_flags & SA_SIGINFO) != 0 && a.sa_sigaction == on_fault;
}

void install() noexcept {
  struct sigaction ours{};
  ours.sa_sigaction = on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  struct sigaction now{};
  ::sigaction(SIGSEGV, nullptr, &now);
  if (is_ours(now) || (g_chained && now.sa_handler != SIG_DFL)) return;
  g_previous = now;  // known before ours can be called
  ::sigaction(SIGSEGV, &ours, nullptr);
}

void restore() noexcept {
  struct sigaction now{};
  ::sigaction(SIGSEGV, nullptr, &now);
  // Else somebody has put theirs over ours, and may call it: then it stays where it is for good.
  g_chained = !is_ours(now);
  if (!g_chained) ::sigaction(SIGSEGV, &g_previous, nullptr);
}

// The stack of the handler, one a thread. The guard of a fiber that overflows cannot serve.
struct handler_stack {
  static constexpr std::size_t size = 32 * 1024;
  void* memory = nullptr;
  bool looked = false;

  void prepare() noexcept {
    looked = true;
    ::stack_t present{};
    if (::sigaltstack(nullptr, &present) != 0 || (present.ss_flags & SS_DISABLE) == 0) return;
    memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (memory == MAP_FAILED) {
      memory = nullptr;
      return;
    }
    ::stack_t mine{};
    mine.ss_sp = memory;
    mine.ss_size = size;
    ::sigaltstack(&mine, nullptr);
  }
  ~handler_stack() {
    if (memory == nullptr) return;
    ::stack_t present{};
    ::sigaltstack(nullptr, &present);
    if (present.ss_sp == memory) {
      ::stack_t none{};
      none.ss_flags = SS_DISABLE;
      ::sigaltstack(&none, nullptr);
    }
    ::munmap(memory, size);
  }
};
thread_local handler_stack t_handler_stack;

}  // namespace

void watch_guards(const guarded_slab& s) {
  if (sanitized()) return;
  const std::scoped_lock hold{g_lock};
  entry* e = g_entries.load(std::memory_order_relaxed);
  while (e != nullptr && e->base.load(std::memory_order_relaxed) != nullptr) e = e->next;
  const bool fresh = e == nullptr;
  if (fresh) e = new entry;
  e->bytes = s.bytes;
  e->guard = s.guard;
  e->stack = s.stack;
  e->base.store(s.base, std::memory_order_release);
  if (fresh) {
    e->next = g_entries.load(std::memory_order_relaxed);
    g_entries.store(e, std::memory_order_release);
  }
  if (g_slabs++ == 0) install();
}

void forget_guards(const std::byte* base) noexcept {
  if (sanitized()) return;
  const std::scoped_lock hold{g_lock};
  for (entry* e = g_entries.load(std::memory_order_relaxed); e != nullptr; e = e->next) {
    if (e->base.load(std::memory_order_relaxed) != base) continue;
    e->base.store(nullptr, std::memory_order_release);
    if (--g_slabs == 0) restore();
    return;
  }
}

// Fibers stay on their thread, so its address of the thread_local may be cached.
[[gnu::noinline]] void prepare_for_overflow() noexcept {
  if (t_handler_stack.looked || sanitized()) return;
  t_handler_stack.prepare();
}

}  // namespace oneloop::inline v0
