#include "oneloop/deferred/chain.hpp"

#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {

namespace {
std::string at_line(const std::source_location& at) {
  std::string_view file = at.file_name();
  if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
  return std::string{file} + ":" + std::to_string(at.line());
}
}  // namespace

already_called::already_called(const std::source_location& first)
    : error{errc::misuse, "callback: this deferred has been fired already, at " + at_line(first)} {}

namespace detail {
namespace {

// The chains that are dying on this thread, while one of them is being destroyed.
struct graveyard {
  chain* first = nullptr;
  bool digging = false;
};
thread_local graveyard t_graveyard;
[[gnu::noinline]] graveyard& dying() noexcept { return t_graveyard; }

}  // namespace

box::~box() = default;
chain_link::~chain_link() = default;

// Among the links of the inner chain: the outer one goes on from here.
struct chain::continuation final : chain_link {
  explicit continuation(chain& waits) noexcept : outer_{&waits} { waits.retain(); }
  ~continuation() override {
    if (outer_ == nullptr) return;
    outer_->stop_waiting();  // the inner one dies without having fired
    outer_->release();
  }
  chain* run(chain& inner) noexcept override {
    outer_->take_result_of(inner);
    outer_->stop_waiting();
    return std::exchange(outer_, nullptr);
  }
  chain* outer_;
};

// A link that fires another chain.
struct chain::forwarding final : chain_link {
  explicit forwarding(chain_ref to) noexcept : to_{std::move(to)} {}
  chain* run(chain& c) noexcept override {
    try {
      if (to_->here() && !to_->fired_) {
        to_->fired_ = true;
        to_->fired_at_ = c.fired_at_;
        to_->canceller_ = nullptr;
        to_->kept_.store(false, std::memory_order_relaxed);
        to_->take_result_of(c);
        c.value = make_box<void>();
        return to_.take();
      }
      to_->fire(std::move(c.value), std::exchange(c.error, nullptr), c.fired_at_);
      c.value = make_box<void>();
    } catch (...) {
      c.error = std::current_exception();
    }
    return nullptr;
  }
  chain_ref to_;
};

// What another thread wants of a chain.
struct chain::message final : ready_item {
  enum class kind { fire, cancel, add, nothing };
  message(chain& target, kind k) : to{&target}, what{k} {
    to->retain();
    run = [](ready_item& item) noexcept {
      const std::unique_ptr<message> self{static_cast<message*>(&item)};
      chain& c = *self->to;
      if (loop::current() == nullptr) {  // the loop is closing
        if (self->add) self->add(false);
        return;
      }
      switch (self->what) {
        case kind::fire:
          if (c.fired_ && !c.suppress_) {
            log(severity::error, std::string{already_called{c.fired_at_}.what()} +
                                     ", and now from another thread at " + at_line(self->at));
          } else {
            c.start(std::move(self->value), std::move(self->error), self->at);
          }
          break;
        case kind::cancel: c.cancel(self->at); break;
        case kind::add: self->add(true); break;
        case kind::nothing: break;
      }
    };
  }
  ~message() { to->drop(to->here()); }
  message(const message&) = delete;
  message& operator=(const message&) = delete;
  chain* to;
  kind what;
  std::unique_ptr<box> value;
  std::exception_ptr error;
  std::source_location at;
  std::move_only_function<void(bool)> add;
};

chain::chain(const std::type_info& type) : source_{&type}, end_{&type} {
  if (loop* l = loop::current()) {
    mail_ = &l->mail();
    mail_->retain();
    thread_ = std::this_thread::get_id();
  }
}

chain::~chain() {
  if (error && !seen_ && !is_cancelled(error)) {
    log(severity::error, "Unhandled error in deferred: " + describe(error) + " (fired at " +
                             at_line(fired_at_) + ")");
  }
  while (chain_link* l = pop()) delete l;
  if (mail_ != nullptr) mail_->release();
}

void chain::release() noexcept {
  bool at_home = !kept_.load(std::memory_order_relaxed) || here();
  // Only its loop may look at what it keeps: gets a reference to drop there. If it has closed,
  // whoever is the last one may.
  if (!at_home) at_home = !post(std::make_unique<message>(*this, message::kind::nothing));
  drop(at_home);
}

void chain::drop(bool at_home) noexcept {
  const bool kept = at_home && kept_.load(std::memory_order_relaxed);
  const std::uint32_t left = references_.fetch_sub(1, std::memory_order_acq_rel) - 1;
  if (left == 0) {
    reap(this);
  } else if (kept && left == 1) {
    let_go();
  }
}

// Down through the chains that this one waits for, as far as nobody else holds them.
void chain::let_go() noexcept {
  chain* c = this;
  while (c->holds_inner_) {
    chain* inner = c->inner_;
    c->holds_inner_ = false;
    const bool kept = inner->kept_.load(std::memory_order_relaxed);
    const std::uint32_t left = inner->references_.fetch_sub(1, std::memory_order_acq_rel) - 1;
    if (left == 0) return reap(inner);  // and with it c
    if (!kept || left != 1) return;
    c = inner;
  }
  const auto unreachable = std::exchange(c->canceller_, nullptr);
}

void chain::stop_waiting() noexcept {
  chain* inner = std::exchange(inner_, nullptr);
  kept_.store(false, std::memory_order_relaxed);
  if (std::exchange(holds_inner_, false)) inner->release();
}

// What a dying chain owns may own the last reference to another, and so on, a hundred thousand
// deep: the later ones wait in a list until the first has gone.
void chain::reap(chain* dead) noexcept {
  graveyard& g = dying();
  dead->below_ = g.first;
  g.first = dead;
  if (g.digging) return;
  g.digging = true;
  while (chain* c = g.first) {
    g.first = c->below_;
    delete c;
  }
  g.digging = false;
}

bool chain::here() const noexcept {
  if (mail_ == nullptr) return true;
  if (loop* l = loop::current()) return &l->mail() == mail_;
  return thread_ == std::this_thread::get_id();
}

void chain::push(chain_link* l) noexcept {
  l->next = nullptr;
  (first_ == nullptr ? first_ : last_->next) = l;
  last_ = l;
}

// Awaits that were given up: one that is awaited again and again, in vain, must not grow.
void chain::sweep() noexcept {
  added_ = 0;
  for (chain_link* l = std::exchange(first_, nullptr); l != nullptr;) {
    std::unique_ptr<chain_link> link{std::exchange(l, l->next)};
    if (!link->wanted()) continue;
    push(link.release());
    ++added_;
  }
  sweep_at_ = 2 * added_ + 16;
}

chain_link* chain::pop() noexcept {
  chain_link* l = first_;
  if (l != nullptr) first_ = l->next;
  return l;
}

bool chain::post(std::unique_ptr<message> m) {
  const inbox_pin pin{*mail_};
  if (pin->push(*m)) {
    static_cast<void>(m.release());
    return true;
  }
  if (m->add) m->add(false);
  return false;
}

void chain::fire(std::unique_ptr<box> v, std::exception_ptr e, std::source_location at) {
  if (here()) return start(std::move(v), std::move(e), at);
  auto m = std::make_unique<message>(*this, message::kind::fire);
  m->value = std::move(v);
  m->error = std::move(e);
  m->at = at;
  static_cast<void>(post(std::move(m)));
}

void chain::start(std::unique_ptr<box> v, std::exception_ptr e, std::source_location at) {
  if (fired_) {
    if (std::exchange(suppress_, false)) return;
    throw already_called{fired_at_};
  }
  fired_ = true;
  fired_at_ = at;
  canceller_ = nullptr;
  kept_.store(false, std::memory_order_relaxed);
  value = std::move(v);
  error = std::move(e);
  run();
}

bool chain::cancel(std::source_location at) {
  if (!here()) {
    auto m = std::make_unique<message>(*this, message::kind::cancel);
    m->at = at;
    return post(std::move(m));
  }
  // To the innermost chain that this one waits for, through them all.
  chain* c = this;
  while (c->fired_ && c->inner_ != nullptr) c = c->inner_;
  if (c->fired_) return true;
  const chain_ref keep{(c->retain(), c)};
  if (c->canceller_) {
    const bool prompt = c->prompt_;
    auto f = std::exchange(c->canceller_, nullptr);
    std::exception_ptr failed;
    try {
      f();
    } catch (...) {
      failed = std::current_exception();
    }
    if (failed) {
      if (!c->fired_) {
        c->start(nullptr, std::move(failed), at);
      } else {
        log(severity::error, "the canceller of a deferred failed: " + describe(failed));
      }
      return true;
    }
    if (!prompt) {
      if (!c->fired_) c->canceller_ = std::move(f);
      return true;
    }
  } else if (c->prompt_) {
    c->suppress_ = true;
  } else {
    return true;  // from within its canceller
  }
  if (!c->fired_) c->start(nullptr, std::make_exception_ptr(cancelled{}), at);
  return true;
}

void chain::pause() {
  if (!here()) throw wrong_thread{"deferred::pause"};
  ++paused_;
}

void chain::unpause() {
  if (!here()) throw wrong_thread{"deferred::unpause"};
  if (paused_ == 0) throw misuse{"unpause of a deferred that is not paused"};
  if (--paused_ == 0) run();
}

void chain::later(std::move_only_function<void(bool)> add) {
  if (here()) return add(true);
  auto m = std::make_unique<message>(*this, message::kind::add);
  m->add = std::move(add);
  static_cast<void>(post(std::move(m)));
}

void chain::check_add(const std::type_info& from, const char* what) const {
  if (!here()) throw wrong_thread{what};
  if (given_) {
    throw misuse{std::string{what} +
                 ": the result of this deferred belongs to the chain (or the await) that took it"};
  }
  if (*end_ != from) {
    throw misuse{std::string{what} +
                 ": the chain gives another type now; add to what the last add returned"};
  }
}

void chain::add(std::unique_ptr<chain_link> link, const std::type_info& to) {
  end_ = &to;
  if (++added_ >= sweep_at_) sweep();
  push(link.release());
  run();
}

std::size_t chain::links() const noexcept {
  std::size_t n = 0;
  for (const chain_link* l = first_; l != nullptr; l = l->next) ++n;
  return n;
}

void chain::chain_to(chain_ref to, const std::type_info& nothing) {
  add(std::make_unique<forwarding>(std::move(to)), nothing);
}

void chain::wait_for(chain_ref inner) noexcept { pending_ = inner.take(); }

// The link that just ran gave a deferred: takes its result if it has one, else waits for it.
void chain::settle_pending() noexcept {
  chain_ref inner{std::exchange(pending_, nullptr)};
  chain& i = *inner;
  const char* wrong = nullptr;
  if (!i.here()) {
    wrong = "a callback returned a deferred of another loop; await it there, or use spawn_on";
  } else if (i.given_) {
    wrong = "a callback returned a deferred whose result belongs to another chain";
  }
  for (const chain* c = &i; c != nullptr && wrong == nullptr; c = c->inner_) {
    if (c == this) wrong = "a callback returned the deferred that it is a callback of";
  }
  if (wrong != nullptr) {
    error = std::make_exception_ptr(misuse{wrong});
    return;
  }
  i.given_ = true;
  if (i.fired_ && i.inner_ == nullptr && !i.running_ && i.paused_ == 0 && i.first_ == nullptr) {
    value = std::move(i.value);
    error = std::exchange(i.error, nullptr);
    return;
  }
  i.push(new continuation{*this});
  inner_ = inner.take();
  holds_inner_ = true;
  kept_by_source();
}

void chain::take_result_of(chain& from) noexcept {
  value = std::move(from.value);
  error = std::exchange(from.error, nullptr);
  seen_ = false;
}

// Runs this chain as far as it goes, and the chains that go on because of it. Iterative: nested
// chains are on a stack of their own, linked by below_.
void chain::run() noexcept {
  if (running_ || !fired_ || inner_ != nullptr || paused_ != 0) return;
  retain();
  running_ = true;
  below_ = nullptr;
  chain* top = this;
  while (top != nullptr) {
    chain& c = *top;
    chain* next = nullptr;
    while (next == nullptr && c.inner_ == nullptr && c.paused_ == 0) {
      std::unique_ptr<chain_link> l{c.pop()};
      if (l == nullptr) break;
      const std::exception_ptr before = c.error;
      next = l->run(c);
      l = nullptr;  // what dies with it may fire the chain that this one is going to wait for
      if (c.pending_ != nullptr) c.settle_pending();
      if (c.error != before) c.seen_ = false;
    }
    if (next != nullptr) {
      // It had stopped, so it is in no stack; the reference came with it.
      next->running_ = true;
      next->below_ = top;
      top = next;
    } else {
      top = c.below_;
      c.running_ = false;
      c.release();
    }
  }
}

}  // namespace detail
}  // namespace oneloop::inline v0
