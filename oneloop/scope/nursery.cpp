#include "oneloop/scope/nursery.hpp"

#include <pthread.h>

#include <cassert>
#include <mutex>
#include <string>
#include <thread>

#include "oneloop/base/error.hpp"
#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0 {
namespace {

constexpr operation_info join_info{"nursery.join", [](void*, waiter&) noexcept {}};

}  // namespace

nursery::nursery(context& owner, scope_options options)
    : owner_{owner},
      outer_{owner.innermost_nursery()},
      scope_{owner.home(), owner.scope().thread(), &owner.scope(), options} {
  owner_.enter(scope_);
  owner_.set_innermost_nursery(this);
}

nursery::~nursery() {
  assert(closed_ && "a nursery was destroyed before its children had ended");
  if (board_ != nullptr) board_->release();
}

std::size_t nursery::running() const noexcept {
  std::scoped_lock l{lock_};
  return running_;
}

bool nursery::join_operation::await_suspend(waiter& w) noexcept {
  std::scoped_lock l{nursery_.lock_};
  nursery_.over_ = nursery_.running_ == 0;
  if (nursery_.over_) return false;
  w.arm(this, join_info);
  nursery_.joiner_ = &w;
  return true;
}

void nursery::adopt() {
  std::scoped_lock l{lock_};
  // A loop's own nursery opens again: who drains it looks.
  if (over_ && (home() == nullptr || owner_.parent() != nullptr)) {
    throw misuse{"nursery: a child was started after the body and all children had ended"};
  }
  ++running_;
}

void nursery::keep(std::exception_ptr error) noexcept {
  // The one failed allocation that is possible here ends the program, as any lost error should.
  errors_.push_back(std::move(error));
}

void nursery::ended(std::exception_ptr error) noexcept {
  // Before the count drops, while the nursery surely exists.
  if (error) failed(std::move(error));
  waiter* joiner = nullptr;
  {
    std::scoped_lock l{lock_};
    if (--running_ == 0 && joiner_ != nullptr) {
      over_ = true;
      joiner = std::exchange(joiner_, nullptr);
      joiner->try_claim();
    }
  }
  if (joiner != nullptr) joiner->wake();
}

void nursery::failed(std::exception_ptr error) noexcept {
  {
    std::scoped_lock l{lock_};
    keep(std::move(error));
  }
  if (home() != nullptr && home() == loop::current()) {
    scope_.cancel();
  } else {
    self_.cancel();
  }
}

failure_board& nursery::failures() {
  if (board_ == nullptr) {
    be_reachable();
    board_ = new failure_board{*this};
  }
  return *board_;
}

void nursery::body_failed(std::exception_ptr error) noexcept {
  scope_.cancel();
  std::scoped_lock l{lock_};
  keep(std::move(error));
}

std::exception_ptr nursery::close_quietly() noexcept {
  if (board_ != nullptr) {
    std::scoped_lock board{board_->lock_};
    board_->owner_ = nullptr;
    while (failure_board::entry* e = board_->kept_.pop_front()) {
      std::scoped_lock l{lock_};
      keep(e->error);
    }
  }
  ties_.clear();
  owner_.set_innermost_nursery(outer_);
  owner_.leave(scope_);
  std::scoped_lock l{lock_};
  assert(running_ == 0 && "closed before the children had ended");
  closed_ = true;
  bool was_cancelled = false;
  std::erase_if(errors_, [&](const std::exception_ptr& e) {
    const bool c = is_cancelled(e);
    was_cancelled |= c;
    return c;
  });
  if (errors_.size() == 1) return std::move(errors_.front());
  if (!errors_.empty()) return std::make_exception_ptr(exception_group{std::move(errors_)});
  if (was_cancelled && !scope_.absorb()) return std::make_exception_ptr(cancelled{});
  return nullptr;
}

void nursery::close() {
  auto error = close_quietly();
  if (!error) return;
  if (is_cancelled(error)) owner_.raise_timeout();
  std::rethrow_exception(std::move(error));
}

void nursery::be_reachable() {
  if (!std::exchange(reachable_, true)) self_ = scope_.handle();
}

void nursery::tie(cancel_handle proxy) {
  be_reachable();
  if (ties_.size() >= 2 * live_ties_ + 16) {
    std::erase_if(ties_, [](const auto& t) { return t->idle(); });
    live_ties_ = ties_.size();
  }
  ties_.push_back(std::make_unique<scope_tie>(scope_, std::move(proxy)));
}

void failure_board::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
}

bool failure_board::keep(entry& e, const std_atomics::atomic<std::uint32_t>& holders) noexcept {
  std::scoped_lock l{lock_};
  if (owner_ == nullptr || holders.load(std::memory_order_acquire) == 0) return false;
  kept_.push_back(e);
  return true;
}

void failure_board::asked(entry& e) noexcept {
  std::scoped_lock l{lock_};
  e.unlink();
}

void failure_board::give_up(entry& e) noexcept {
  std::scoped_lock l{lock_};
  if (!e.linked()) return;
  e.unlink();
  owner_->failed(e.error);  // it takes this lock to close
}

child::child(party_kind kind, nursery& owner, waiter::run_fn resume, spawn_info info)
    : context{kind,           owner.home(), resume, owner.scope(), above{above::in_nursery, &owner},
              &owner.owner(), info} {}

child::child(party_kind kind, std::unique_ptr<detail::child_scope> around, waiter::run_fn resume,
             spawn_info info)
    : context{kind,
              around->home(),
              resume,
              *around,
              above{above::in_own_scope, around.get()},
              &around->here->owner(),
              info} {
  (void)around.release();  // from now on it is `above_`'s
}

child::child(party_kind kind, nursery& owner, const std::shared_ptr<detail::start_state>& starting,
             waiter::run_fn resume, spawn_info info)
    : child{kind,
            std::make_unique<detail::child_scope>(*owner.home(), owner.scope(), owner, nullptr),
            resume, info} {
  starting->is(*this);
}

child::child(party_kind kind, nursery& owner, loop& l, scope_link& link, waiter::run_fn resume,
             spawn_info info)
    : child{kind,
            std::make_unique<detail::child_scope>(l, loop_root::of(l).children().scope(),
                                                  loop_root::of(l).children(), &owner),
            resume, info} {
  own_scope()->bind(link);
}

child::~child() {
  detail::child_scope* const around = own_scope();
  if (around == nullptr) return;
  forget_scopes();
  delete around;
}

detail::child_scope* child::own_scope() const noexcept {
  return above_.what() == above::in_own_scope ? &above_.as<detail::child_scope>() : nullptr;
}

void child::begin() {
  // One elsewhere was adopted when it was sent there; its host loop must not end before it.
  (own_scope() != nullptr ? *own_scope()->here : above_.as<nursery>()).adopt();
}

void child::move_to(nursery& n) noexcept {
  own_scope()->here = &n;
  own_scope()->move_below(n.scope());
}

// Its code has ended, so the context is free to be what reaps the record.
void child::reap_by(waiter::run_fn reap) noexcept {
  loop& l = *home();
  l.note_progress();
  run = reap;
  l.make_ready(*this);
}

child::last_word::last_word(child& c, std::exception_ptr error) noexcept
    : error_{std::move(error)} {
  detail::child_scope* const around = c.own_scope();
  if (around == nullptr || around->owner == nullptr) {
    owner_ = around != nullptr ? around->here : &c.above_.as<nursery>();
    return;
  }
  owner_ = around->owner;
  host_ = around->here;
  if (error_ && !around->external() && host_->scope().cancelled() && is_cancelled(error_)) {
    // Not its nursery cancelled it, but the end of the loop that it lived on.
    error_ = std::make_exception_ptr(
        loop_not_running{std::string{"start_on: '"}.append(c.name()).append("' lost its loop")});
  }
}

child::last_word::~last_word() {
  owner_->ended(std::move(error_));
  if (host_ != nullptr) host_->ended(nullptr);
}

namespace detail {

void start_state::open(nursery& before) {
  before_ = &before;
  target_.be_reachable();
  before.be_reachable();
}

void start_state::is(cancel_handle thread) {
  thread_ = std::move(thread);
  before_->scope().listen(*this);
}

void start_state::changed(bool cancelled) noexcept {
  const std::scoped_lock hold{lock_};
  if (!moved_) thread_.set_external(cancelled);
}

std::unique_lock<short_mutex> start_state::claim() {
  std::unique_lock hold{lock_};
  if (called_) throw misuse{"ready_signal: started was called before"};
  if (over_ || before_->running() == 0) {
    throw misuse{"ready_signal: the child that it was given to has ended"};
  }
  if (target_.home() != nullptr) target_.home()->check_thread("ready_signal::started");
  return hold;
}

void start_state::move(std::unique_lock<short_mutex> claimed) noexcept {
  called_ = true;
  // Under the lock by which the child's scope hears of the caller's: it is moved and never hears of
  // that again, or it has heard and stays.
  if (before_->scope().cancelled()) return;
  moved_ = true;
  claimed.unlock();
  if (child_ != nullptr) child_->move_to(target_);
  before_->ended(nullptr);
}

nursery& start_state::owner_at_end() noexcept {
  const std::scoped_lock hold{lock_};
  over_ = true;
  return moved_ ? target_ : *before_;
}

std::exception_ptr start_state::close() {
  before_->scope().unlisten(*this);
  std::exception_ptr error = before_->close_quietly();
  const std::scoped_lock hold{lock_};
  over_ = true;
  if (!moved_) {
    target_.ended(nullptr);
  } else if (child_ == nullptr) {
    target_.tie(thread_);
  }
  if (!error && !called_) {
    error = std::make_exception_ptr(
        misuse{"start_and_wait_ready: the child ended without having called started"});
  }
  return error;
}

namespace {

// A child on its way to another loop; it counts as running from when it was sent.
struct start_message final : ready_item {
  start_message(nursery& to, loop& l, scope_link* proxy,
                std::move_only_function<void(scope_link&)> start)
      : n{to}, where{l}, link{proxy}, keep{proxy}, begin{std::move(start)} {
    run = [](ready_item& item) noexcept {
      std::unique_ptr<start_message> self{static_cast<start_message*>(&item)};
      std::exception_ptr failure;
      try {
        if (self->where.closed()) throw loop_not_running{"start_on"};
        self->begin(*self->link);
      } catch (...) {
        failure = std::current_exception();
      }
      nursery& owner = self->n;
      self.reset();  // what it holds dies before its nursery may close
      if (failure) owner.ended(std::move(failure));
    };
  }
  nursery& n;
  loop& where;
  scope_link* link;
  cancel_handle keep;
  std::move_only_function<void(scope_link&)> begin;
};

}  // namespace

void start_elsewhere(nursery& n, loop& l, std::move_only_function<void(scope_link&)> begin) {
  l.refuse_other_threads("start_on");
  scope_link* link = scope_link::create(&l, nullptr);
  cancel_handle mine{link};
  link->retain();
  auto message = std::make_unique<start_message>(n, l, link, std::move(begin));
  n.tie(std::move(mine));
  n.adopt();
  inbox_pin pin{l.mail()};
  if (!pin->push(*message)) {
    n.ended(nullptr);
    throw loop_not_running{"start_on"};
  }
  static_cast<void>(message.release());
}

void start_thread_child(nursery& n, spawn_info info, std::move_only_function<void()> body,
                        std::shared_ptr<start_state> starting) {
  loop::refuse_in_simulation("start a thread");
  scope_link* link = scope_link::create(nullptr, nullptr);
  cancel_handle mine{link};
  link->retain();
  cancel_handle theirs{link};
  if (starting == nullptr) {
    n.tie(mine);
  } else {
    starting->is(mine);
  }
  n.adopt();
  try {
    // Detached, but never on its own: the nursery does not close before `ended`, the last thing
    // that this thread does with anything of ours.
    std::thread{[&n, info, link, theirs, body = std::move(body),
                 starting = std::move(starting)]() mutable {
      // For debuggers and top, which show 15 characters.
      ::pthread_setname_np(::pthread_self(), std::string{info.name}.substr(0, 15).c_str());
      std::exception_ptr error;
      thread_root::begin(info).scope().bind(*link);
      try {
        body();
      } catch (...) {
        error = std::current_exception();
      }
      body = nullptr;
      thread_root::finish();
      nursery& owner = starting != nullptr ? starting->owner_at_end() : n;
      starting = nullptr;
      owner.ended(std::move(error));
    }}.detach();
  } catch (const std::system_error& e) {
    n.ended(nullptr);
    throw error{"start a thread", info.name, e.code()};
  } catch (...) {
    n.ended(nullptr);
    throw;
  }
}

}  // namespace detail
}  // namespace oneloop::inline v0
