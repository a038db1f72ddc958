#include "oneloop/sync/owned_lock.hpp"

#include <new>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/loop/lock_watch.hpp"

namespace oneloop::inline v0 {
namespace detail {
namespace {

// Holds that are free, for the next ones on this thread. Trivial, because a thread's own party may
// end after its thread_locals.
struct spare_hold {
  spare_hold* next;
};
struct spares {
  spare_hold* first;
  std::size_t count;
  bool closed;
};
constinit thread_local spares t_spares{};
[[gnu::noinline]] spares& own_spares() noexcept { return t_spares; }
struct closer {
  ~closer() {
    spares& s = own_spares();
    s.closed = true;
    while (s.first != nullptr) ::operator delete(std::exchange(s.first, s.first->next));
  }
};
[[gnu::noinline]] void close_with_thread() {
  static thread_local closer at_the_end;
  static_cast<void>(at_the_end);
}

std::string named_lock(const char* name) {
  return name != nullptr ? std::string{" "}.append(name) : std::string{};
}

}  // namespace

void* hold::operator new(std::size_t size) {
  spares& s = own_spares();
  if (s.first == nullptr) return ::operator new(size);
  --s.count;
  return std::exchange(s.first, s.first->next);
}

void hold::operator delete(void* p, std::size_t /*size*/) noexcept {
  spares& s = own_spares();
  if (s.closed || s.count >= 64) return ::operator delete(p);
  if (s.first == nullptr) close_with_thread();
  ++s.count;
  s.first = ::new (p) spare_hold{s.first};
}

hold::hold(context& c, const void* lock, const char* lock_name,
           void (*abandon)(const void*, const hold&) noexcept) noexcept
    : held_lock{lock, lock_name}, party{c.name()}, abandon_{abandon}, who_{c.identity()} {}

hold& hold::begin(context& c, const void* lock, const char* name,
                  void (*abandon)(const void*, const hold&) noexcept) {
  auto* made = new hold{c, lock, name, abandon};
  made->older = std::exchange(c.values, made);
  const lock_watch* watch = lock_watcher.load(std::memory_order_acquire);
  if (watch != nullptr) [[unlikely]]
    watch->holds(lock, made->who_);
  return *made;
}

void hold::end(context& c, hold& h) noexcept {
  party_value** link = &c.values;
  while (*link != &h) link = &(*link)->older;
  *link = h.older;
  h.exclusive = h.shared = 0;
  delete &h;
}

hold::~hold() {
  const lock_watch* watch = lock_watcher.load(std::memory_order_acquire);
  if (watch != nullptr) [[unlikely]]
    watch->holds_no_more(key, who_);
  if (exclusive != 0 || shared != 0) abandon_(key, *this);
}

context* acting_party(waiter* w) {
  if (w != nullptr && !w->is_party()) return nullptr;
  context& c = w != nullptr ? context_of(*w) : context::current();
  return c.kind() == party_kind::callback ? nullptr : &c;
}

void throw_not_held(const char* operation, const char* name) {
  throw misuse{operation + named_lock(name) + ": this party does not hold it"};
}
void throw_upgrade(const char* operation, const char* name) {
  throw misuse{operation + named_lock(name) +
               ": this party shares it already, and would wait for itself; unlock_shared first"};
}
void throw_abandoned(const char* operation, const char* name, const char* party) {
  throw misuse{operation + named_lock(name) + ": '" + party +
               "' ended while it held it; what it guards may be half done"};
}
void report_abandoned(const char* type, const char* name, const char* party) noexcept {
  log(severity::error, type + named_lock(name) + ": '" + party +
                           "' ended while it held it; from now on every lock of it fails");
}
void report_foreign_guard(const char* type, const char* name) noexcept {
  log(severity::error, type + named_lock(name) +
                           ": a guard was unlocked by a party that does not hold it; the lock "
                           "stays as it is");
}

}  // namespace detail

template <class Names>
owned_lock<Names>::~owned_lock() {
  // Held by whoever destroys it: an error, but not one to find out from freed memory.
  if (word() == 0) [[likely]]
    return;
  context& c = context::current();
  if (detail::hold* h = detail::hold::find(c, this)) detail::hold::end(c, *h);
}

template <class Names>
void owned_lock<Names>::pass(wake_list& woken) noexcept {
  if (abandoned_by_ != nullptr) return;
  const std::uint32_t held = word() & ~queued;
  if ((held & writer) == 0) {
    auto* next = held == 0 ? writers_.take() : nullptr;
    if (next != nullptr) {
      word_.fetch_add(writer, std::memory_order_relaxed);
      woken.add(*next);
    } else if (writers_.empty()) {
      while (auto* r = readers_.take()) {
        word_.fetch_add(reader, std::memory_order_relaxed);
        woken.add(*r);
      }
    }
  }
  settle();
}

template <class Names>
void owned_lock<Names>::settle() noexcept {
  if (writers_.empty() && readers_.empty()) word_.fetch_and(~queued, std::memory_order_release);
}

template <class Names>
void owned_lock<Names>::reconsider() noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    word_.fetch_or(queued, std::memory_order_acquire);
    pass(woken);
  }
  woken.wake_all();
}

template <class Names>
void owned_lock<Names>::downgrade() noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    word_.fetch_or(queued, std::memory_order_relaxed);
    word_.fetch_add(reader - writer, std::memory_order_acq_rel);
    pass(woken);
  }
  woken.wake_all();
}

template <class Names>
void owned_lock<Names>::abandon(const char* party) noexcept {
  detail::report_abandoned(Names::type, name_, party);
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    word_.fetch_or(queued, std::memory_order_relaxed);
    abandoned_by_ = party;
    const auto fail = [&](auto* op) {
      op->verdict_ = std::remove_pointer_t<decltype(op)>::verdict::abandoned;
      woken.add(*op);
    };
    while (auto* w = writers_.take()) fail(w);
    while (auto* r = readers_.take()) fail(r);
  }
  woken.wake_all();
}

template class owned_lock<detail::shared_mutex_names>;
template class owned_lock<detail::recursive_mutex_names>;

}  // namespace oneloop::inline v0
