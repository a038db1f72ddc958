#include "oneloop/scope/cancel_scope.hpp"

#include <mutex>
#include <utility>

#include "oneloop/loop/parker.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/scope/debug.hpp"

namespace oneloop::inline v0 {

// Holds the lock of a plain thread's scopes, and rouses the thread afterwards; nothing on a loop.
class cancel_scope::guard {
 public:
  explicit guard(cancel_scope& s) noexcept : thread_{s.thread_} {
    if (thread_ != nullptr) thread_->lock.lock();
  }
  ~guard() {
    if (thread_ == nullptr) return;
    if (rouse) thread_->rouse(*thread_);
    thread_->lock.unlock();
  }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  bool rouse = false;

 private:
  thread_domain* thread_;
};

cancel_scope::deadline_timer::deadline_timer(cancel_scope& s) noexcept
    : timer_node{[](timer_node& t) noexcept { static_cast<deadline_timer&>(t).scope.cancel(); }},
      scope{s} {}

cancel_scope::cancel_scope(loop* home, thread_domain* thread, cancel_scope* parent,
                           scope_options options)
    : home_{home},
      thread_{thread},
      parent_{parent},
      deadline_{options.deadline_},
      timer_{*this},
      shield_{options.shield_},
      inside_interruptible_{parent != nullptr && parent->interruptible()} {
  if (options.within_) {
    const time_point now = home_ != nullptr ? home_->now() : clock::now();
    deadline_ = std::min(deadline_, after(now, *options.within_));
  }
  {
    guard g{*this};
    if (parent_ != nullptr) parent_->children_.push_back(*this);
    effective_.store(cancelled_from_above(), std::memory_order_relaxed);
  }
  arm_deadline();
}

cancel_scope::~cancel_scope() {
  if (timer_.pending()) {
    (home_ != nullptr ? home_->timers() : parker::current().timers()).remove(timer_);
  }
  if (link_ != nullptr) {
    {
      std::scoped_lock l{link_->lock};
      link_->scope = nullptr;
      link_->over.store(true, std::memory_order_relaxed);
    }
    link_->release();
  }
  guard g{*this};
  unlink();
}

void cancel_scope::arm_deadline() noexcept {
  timer_queue& timers = home_ != nullptr ? home_->timers() : parker::current().timers();
  timers.remove(timer_);
  if (deadline_ == never || cancel_called()) return;
  const time_point now = home_ != nullptr ? home_->now() : clock::now();
  if (deadline_ <= now) {
    cancel();
  } else {
    timers.add(timer_, deadline_);
  }
}

void cancel_scope::cancel() noexcept {
  check_own_thread(home_, "cancel_scope::cancel");
  guard g{*this};
  if (cancel_called()) return;
  cancel_called_.store(true, std::memory_order_relaxed);
  g.rouse = true;
  refresh();
}

void cancel_scope::set_deadline(time_point t) noexcept {
  check_own_thread(home_, "cancel_scope::set_deadline");
  deadline_ = t;
  arm_deadline();
}

void cancel_scope::set_shield(bool on) noexcept {
  check_own_thread(home_, "cancel_scope::set_shield");
  guard g{*this};
  shield_ = on;
  g.rouse = true;
  refresh();
}

void cancel_scope::set_external(bool cancelled) noexcept {
  guard g{*this};
  external_ = cancelled;
  g.rouse = true;
  refresh();
}

time_point cancel_scope::effective_deadline() const noexcept {
  time_point earliest = never;
  for (const cancel_scope* s = this; s != nullptr; s = s->parent_) {
    earliest = std::min(earliest, s->cancel_called() ? time_point::min() : s->deadline_);
    if (s->shield_) break;
  }
  return earliest;
}

// Recomputes the effective state of this scope and of all below it that it changes for.
void cancel_scope::refresh() noexcept {
  for (cancel_scope* s = this; s != nullptr;) {
    const bool now = s->cancel_called() || s->cancelled_from_above();
    const bool changed = now != s->cancelled();
    if (changed) {
      s->effective_.store(now, std::memory_order_relaxed);
      // A thread asks its own operation once it has been roused; see thread_context.
      if (now && thread_ == nullptr) s->ask_those_in_it();
      for (scope_listener* l = s->listeners_.front(); l != nullptr; l = s->listeners_.next(*l)) {
        l->changed(now);
      }
    }
    s = next_inside(*s, changed);
  }
}

// Whose code is in a scope inside is asked because of that one.
void cancel_scope::ask_those_in_it() noexcept {
  const auto ask = [this](context& c) {
    if (&c.scope() == this) c.request_cancel();
  };
  if (entered_by_ != nullptr) ask(*entered_by_);
  for (context* c = members_.front(); c != nullptr; c = members_.next(*c)) ask(*c);
}

cancel_scope* cancel_scope::next_inside(cancel_scope& at, bool below) noexcept {
  cancel_scope* s = &at;
  if (below) {
    if (cancel_scope* child = s->children_.front()) return child;
  }
  for (; s != this; s = s->parent_) {
    if (cancel_scope* sibling = s->parent_->children_.next(*s)) return sibling;
  }
  return nullptr;
}

bool cancel_scope::cancel_shielded() noexcept {
  bool any = false;
  for (cancel_scope* s = next_inside(*this, true); s != nullptr; s = next_inside(*s, true)) {
    if (!s->shield_ || s->cancel_called()) continue;
    any = true;
    s->cancel();
  }
  return any;
}

bool cancel_scope::absorb() noexcept {
  guard g{*this};
  absorbed_ = cancel_called() && !cancelled_from_above();
  return absorbed_;
}

void cancel_scope::note_thrown() noexcept {
  for (cancel_scope* s = this; s != nullptr && s->cancelled(); s = s->parent_) s->thrown_ = true;
}

cancel_scope* cancel_scope::cause() noexcept {
  // Others may cancel a plain thread's scopes meanwhile.
  const guard g{*this};
  cancel_scope* found = nullptr;
  for (cancel_scope* s = this; s != nullptr && s->cancelled(); s = s->parent_) {
    if (s->cancel_called() || s->external_) found = s;
    if (s->shield_) break;
  }
  return found;
}

void cancel_scope::dissolve() noexcept {
  guard g{*this};
  const auto hand_over = [this](context& c) {
    if (&c.scope() == this) c.set_scope(*parent_);
  };
  if (entered_by_ != nullptr) hand_over(*std::exchange(entered_by_, nullptr));
  while (context* c = members_.pop_front()) {
    parent_->members_.push_back(*c);
    hand_over(*c);
  }
  while (cancel_scope* child = children_.pop_front()) {
    child->parent_ = parent_;
    parent_->children_.push_back(*child);
    child->refresh();
  }
  unlink();
}

void cancel_scope::move_below(cancel_scope& parent) noexcept {
  guard g{*this};
  unlink();
  parent_ = &parent;
  parent.children_.push_back(*this);
  for (cancel_scope* s = this; s != nullptr;) {
    const bool changed = !s->interruptible() && s->parent_->interruptible();
    if (changed) s->inside_interruptible_ = true;
    s = next_inside(*s, changed);
  }
  refresh();
}

void cancel_scope::add(context& c) noexcept { members_.push_back(c); }

void cancel_scope::listen(scope_listener& l) noexcept {
  guard g{*this};
  listeners_.push_back(l);
  if (cancelled()) l.changed(true);
}

void cancel_scope::unlisten(scope_listener& l) noexcept {
  guard g{*this};
  l.unlink();
}

void cancel_scope::bind(scope_link& link) noexcept {
  link.retain();
  link_ = &link;
  {
    std::scoped_lock l{link.lock};
    link.scope = this;
  }
  link.apply();
}

cancel_handle cancel_scope::handle() {
  if (link_ == nullptr) {
    link_ = scope_link::create(home_, thread_);
    link_->scope = this;
  }
  link_->retain();
  return cancel_handle{link_};
}

scope_link* scope_link::create(loop* home, thread_domain*) {
  auto* link = new scope_link;
  link->run = [](ready_item& item) noexcept {
    auto& self = static_cast<scope_link&>(item);
    self.queued.store(false, std::memory_order_seq_cst);
    self.apply();
    self.release();
  };
  if (home != nullptr) {
    link->mail = &home->mail();
    link->mail->retain();
  }
  return link;
}

void scope_link::release() noexcept {
  if (references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (mail != nullptr) mail->release();
  delete this;
}

void scope_link::apply() noexcept {
  // On a loop the lock is never contended: only its own thread comes here. Held across the call, it
  // keeps a plain thread's scope from ending meanwhile.
  std::scoped_lock l{lock};
  if (scope == nullptr) return;
  if (want_cancel.load(std::memory_order_seq_cst)) scope->cancel();
  scope->set_external(want_external.load(std::memory_order_seq_cst));
}

void scope_link::notify() noexcept {
  if (mail == nullptr) {
    apply();
    return;
  }
  if (queued.exchange(true, std::memory_order_seq_cst)) return;
  retain();
  if (!mail->push(*this)) release();
}

cancel_handle::cancel_handle(scope_link* link) noexcept : link_{link} {}
cancel_handle::cancel_handle(const cancel_handle& o) noexcept : link_{o.link_} {
  if (link_ != nullptr) link_->retain();
}
cancel_handle::~cancel_handle() {
  if (link_ != nullptr) link_->release();
}

void cancel_handle::cancel() const noexcept {
  if (link_ == nullptr) return;
  link_->want_cancel.store(true, std::memory_order_seq_cst);
  link_->notify();
}

void cancel_handle::set_external(bool cancelled) const noexcept {
  if (link_ == nullptr) return;
  link_->want_external.store(cancelled, std::memory_order_seq_cst);
  link_->notify();
}

bool cancel_handle::over() const noexcept {
  return link_ != nullptr && link_->over.load(std::memory_order_relaxed);
}

scope_tie::scope_tie(cancel_scope& scope, cancel_handle proxy) noexcept
    : scope_{scope}, proxy_{std::move(proxy)} {
  scope_.listen(*this);
}
scope_tie::~scope_tie() { scope_.unlisten(*this); }
void scope_tie::changed(bool cancelled) noexcept { proxy_.set_external(cancelled); }

}  // namespace oneloop::inline v0
