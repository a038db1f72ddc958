#include "oneloop/sync/capacity_limiter.hpp"

#include <functional>
#include <new>
#include <unordered_set>

#include "oneloop/base/error.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/sync/owned_lock.hpp"

namespace oneloop::inline v0 {
namespace {

limiter_borrower borrower_of(waiter* w) {
  const context* c = detail::acting_party(w);
  return c != nullptr ? limiter_borrower{c, c->identity()} : limiter_borrower{};
}

std::string text_of(const char* operation, const char* name) {
  return name != nullptr ? std::string{operation}.append(" ").append(name) : std::string{operation};
}

struct hash {
  std::size_t operator()(const limiter_borrower& b) const noexcept {
    return std::hash<const void*>{}(b.who) ^ b.which;
  }
};

}  // namespace

struct capacity_limiter::borrowers {
  std::unordered_set<limiter_borrower, hash> known;
};

capacity_limiter::capacity_limiter(std::size_t total, const char* name)
    : total_{total}, borrowers_{std::make_unique<borrowers>()}, name_{name} {}
capacity_limiter::~capacity_limiter() = default;

capacity_limiter::acquire_operation::~acquire_operation() {
  if (won() && verdict_ == verdict::granted) owner().give_back(borrower_);
}

void capacity_limiter::acquire_operation::await_resume() {
  set_idle();
  switch (verdict_) {
    case verdict::twice:
      throw misuse{text_of(name, owner().name_) + ": this borrower has a permit already"};
    case verdict::no_memory: throw std::bad_alloc{};
    case verdict::granted: break;
  }
}

std::string capacity_limiter::acquire_operation::describe() const {
  const char* its = owner().name_;
  return its != nullptr ? its : "";
}

enlisted capacity_limiter::acquire_operation::attempt(waiter* w) noexcept {
  if (borrower_.who == nullptr) borrower_ = borrower_of(w);
  capacity_limiter& l = owner();
  std::scoped_lock hold{l.lock_};
  const bool twice = borrower_.who != nullptr && l.borrowers_->known.contains(borrower_);
  if (!twice && l.borrowed_ >= l.total_) {
    if (w != nullptr) l.waiting_.park(*this, *w);
    return enlisted::waiting;
  }
  if (!commit(w)) return enlisted::lost;
  verdict_ = l.lend(borrower_);
  set_done();
  return enlisted::completed;
}

capacity_limiter::acquire_operation::verdict capacity_limiter::lend(limiter_borrower b) noexcept {
  using verdict = acquire_operation::verdict;
  try {
    if (b.who != nullptr && !borrowers_->known.insert(b).second) return verdict::twice;
  } catch (const std::bad_alloc&) {
    return verdict::no_memory;
  }
  ++borrowed_;
  return verdict::granted;
}

void capacity_limiter::pass(wake_list& woken) noexcept {
  while (borrowed_ < total_) {
    acquire_operation* next = waiting_.take();
    if (next == nullptr) return;
    next->verdict_ = lend(next->borrower_);
    woken.add(*next);
  }
}

bool capacity_limiter::give_back(limiter_borrower b) noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    if (b.who != nullptr && borrowers_->known.erase(b) == 0) return false;
    --borrowed_;
    pass(woken);
  }
  woken.wake_all();
  return true;
}

void capacity_limiter::release() {
  const limiter_borrower b = borrower_of(nullptr);
  if (b.who == nullptr || !give_back(b)) {
    throw misuse{text_of("capacity_limiter.release", name_) + ": this party has no permit"};
  }
}
void capacity_limiter::release_on_behalf_of(const void* borrower) {
  if (borrower == nullptr || !give_back({borrower, 0})) {
    throw misuse{text_of("capacity_limiter.release_on_behalf_of", name_) +
                 ": this borrower has no permit"};
  }
}

limiter_permit capacity_limiter::try_permit() {
  auto op = permit();
  return op.try_now() ? op.await_resume() : limiter_permit{};
}
limiter_permit capacity_limiter::try_permit_on_behalf_of(const void* borrower) {
  auto op = permit_on_behalf_of(borrower);
  return op.try_now() ? op.await_resume() : limiter_permit{};
}

void capacity_limiter::set_total(std::size_t total) noexcept {
  wake_list woken;
  {
    std::scoped_lock hold{lock_};
    total_ = total;
    pass(woken);
  }
  woken.wake_all();
}

std::size_t capacity_limiter::total() const noexcept {
  std::scoped_lock hold{lock_};
  return total_;
}
std::size_t capacity_limiter::borrowed() const noexcept {
  std::scoped_lock hold{lock_};
  return borrowed_;
}
std::size_t capacity_limiter::available() const noexcept {
  std::scoped_lock hold{lock_};
  return total_ > borrowed_ ? total_ - borrowed_ : 0;
}
limiter_statistics capacity_limiter::statistics() const {
  limiter_statistics s{};
  std::scoped_lock hold{lock_};
  for (const limiter_borrower& b : borrowers_->known) s.borrowers.push_back(b.who);
  s.total = total_;
  s.borrowed = borrowed_;
  s.waiting = waiting_.size();
  return s;
}

}  // namespace oneloop::inline v0
