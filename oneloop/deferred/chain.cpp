#include "oneloop/deferred/chain.hpp"

#include <string>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {

already_called::already_called()
    : error{errc::misuse, "callback: this deferred has been fired already"} {}

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
    outer_->inner_ = nullptr;  // the inner one dies without having fired
    outer_->release();
  }
  void run(chain&) noexcept override {}
  chain* outer() noexcept override { return outer_; }
  chain* outer_;
};

// What another thread wants of a chain.
struct chain::message final : ready_item {
  enum class kind { fire, cancel, add };
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
            log(severity::error, "callback from another thread: this deferred was fired already");
          } else {
            c.start(std::move(self->value), std::move(self->error));
          }
          break;
        case kind::cancel: c.cancel(); break;
        case kind::add: self->add(true); break;
      }
    };
  }
  ~message() { to->release(); }
  message(const message&) = delete;
  message& operator=(const message&) = delete;
  chain* to;
  kind what;
  std::unique_ptr<box> value;
  std::exception_ptr error;
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
    log(severity::error, "Unhandled error in deferred: " + describe(error));
  }
  while (chain_link* l = pop()) delete l;
  if (mail_ != nullptr) mail_->release();
}

void chain::release() noexcept {
  if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) reap(this);
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

chain_link* chain::pop() noexcept {
  chain_link* l = first_;
  if (l != nullptr) first_ = l->next;
  return l;
}

void chain::post(std::unique_ptr<message> m) {
  const inbox_pin pin{*mail_};
  if (pin->push(*m)) {
    static_cast<void>(m.release());
  } else if (m->add) {
    m->add(false);
  }
}

void chain::fire(std::unique_ptr<box> v, std::exception_ptr e) {
  if (here()) return start(std::move(v), std::move(e));
  auto m = std::make_unique<message>(*this, message::kind::fire);
  m->value = std::move(v);
  m->error = std::move(e);
  post(std::move(m));
}

void chain::start(std::unique_ptr<box> v, std::exception_ptr e) {
  if (fired_) {
    if (std::exchange(suppress_, false)) return;
    throw already_called{};
  }
  fired_ = true;
  canceller_ = nullptr;
  value = std::move(v);
  error = std::move(e);
  run();
}

void chain::cancel() {
  if (!here()) return post(std::make_unique<message>(*this, message::kind::cancel));
  // To the innermost chain that this one waits for, through them all.
  chain* c = this;
  while (c->fired_ && c->inner_ != nullptr) c = c->inner_;
  if (c->fired_) return;
  const chain_ref keep{(c->retain(), c)};
  if (c->canceller_) {
    const bool prompt = c->prompt_;
    auto f = std::exchange(c->canceller_, nullptr);
    f();
    if (!prompt) return;
  } else if (c->prompt_) {
    c->suppress_ = true;
  } else {
    return;  // asked already
  }
  if (!c->fired_) c->start(nullptr, std::make_exception_ptr(cancelled{}));
}

void chain::later(std::move_only_function<void(bool)> add) {
  if (here()) return add(true);
  auto m = std::make_unique<message>(*this, message::kind::add);
  m->add = std::move(add);
  post(std::move(m));
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
  push(link.release());
  run();
}

void chain::wait_for(chain_ref inner) noexcept { pending_ = inner.take(); }

// The link that just ran gave a deferred: takes its result if it has one, else waits for it.
void chain::settle_pending() noexcept {
  const chain_ref inner{std::exchange(pending_, nullptr)};
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
  if (i.fired_ && i.inner_ == nullptr && !i.running_ && i.first_ == nullptr) {
    value = std::move(i.value);
    error = std::exchange(i.error, nullptr);
    return;
  }
  inner_ = &i;
  i.push(new continuation{*this});
}

// Runs this chain as far as it goes, and the chains that go on because of it. Iterative: nested
// chains are on a stack of their own, linked by below_.
void chain::run() noexcept {
  if (running_ || !fired_ || inner_ != nullptr) return;
  retain();
  running_ = true;
  below_ = nullptr;
  chain* top = this;
  while (top != nullptr) {
    chain& c = *top;
    chain* next = nullptr;
    while (next == nullptr && c.inner_ == nullptr) {
      const std::unique_ptr<chain_link> l{c.pop()};
      if (l == nullptr) break;
      if (l->outer() != nullptr) {
        next = std::exchange(static_cast<continuation&>(*l).outer_, nullptr);
        next->inner_ = nullptr;
        next->value = std::move(c.value);
        next->error = std::exchange(c.error, nullptr);
        next->seen_ = false;
      } else {
        c.seen_ = false;
        l->run(c);
        if (c.pending_ != nullptr) c.settle_pending();
      }
    }
    if (next != nullptr) {
      // It had stopped, so it is in no stack; the reference came with the continuation.
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
