// The matrix: every kind of waiter against every kind of waiter, over every primitive.
//
// Two parties, the subject and its partner, act on one primitive, round after round. Each is a
// coroutine, a fiber, a plain thread or a chain of callbacks; they share a loop, have one each, or
// none. The controller, which is the main thread and so foreign to both, gives them orders and
// hears reports. In each round the subject attempts an operation that is to be completed or
// cancelled according to a plan. Whatever comes of it, these must hold:
//   - it happened, or it was cancelled and did not happen: both parties agree
//   - nothing is lost and nothing is duplicated: values are numbered by the round
//   - a cancelled attempt leaves nobody waiting behind; repeated, it completes
//   - after it happened in a cancelled scope, the next checkpoint throws
//   - in the end the process has as many open descriptors as before
//
// A primitive is a class derived from `primitive`, with two sides:
//     struct side {
//       auto operation(int round);              // what is awaited
//       bool finished(int round, R& result);    // looks at it; false: the round needs more of them
//       void call(int round);                   // something to do there without waiting
//     };
// Nothing here sleeps to get the timing right: the controller looks at statistics until the state
// that it wants has been reached, and gives up after a bound.
#pragma once

#include <dirent.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::matrix {

using namespace std::chrono_literals;
using test::sanitized;

// ---- where we are, for failures ----

/// The cell that is being run. Written by the controller while no party runs.
inline std::string& where() {
  static std::string text;
  return text;
}

/// Of all random choices: fixed by ONELOOP_MATRIX_SEED, else new in every process.
inline std::uint32_t seed() {
  static const std::uint32_t value = [] {
    const char* given = std::getenv("ONELOOP_MATRIX_SEED");
    return given != nullptr ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10))
                            : std::random_device{}();
  }();
  return value;
}

/// Waits for something that other threads bring about. If it does not come the program ends: the
/// parties cannot be got out of their waits any more.
template <class Predicate>
void eventually(const char* what, Predicate holds) {
  const auto limit = std::chrono::steady_clock::now() + 60s;
  for (int i = 0; !holds(); ++i) {
    if (i < 500) {
      std::this_thread::yield();
      continue;
    }
    std::this_thread::sleep_for(20us);
    if (std::chrono::steady_clock::now() < limit) continue;
    std::fprintf(stderr, "gave up after a minute: %s\n  in %s (ONELOOP_MATRIX_SEED=%u)\n", what,
                 where().c_str(), seed());
    std::abort();
  }
}

inline std::size_t open_descriptors() {
  std::size_t n = 0;
  DIR* d = ::opendir("/proc/self/fd");
  while (::readdir(d) != nullptr) ++n;
  ::closedir(d);
  return n;
}

// ---- parties ----

enum class model { coroutine, fiber, thread, callback };
inline constexpr model models[] = {model::coroutine, model::fiber, model::thread, model::callback};
inline const char* name_of(model m) {
  static constexpr const char* names[] = {"coroutine", "fiber", "thread", "callback"};
  return names[static_cast<int>(m)];
}

/// How an attempt is to end.
enum class plan {
  completes,
  already_cancelled,
  cancelled_while_waiting,
  cancelled_as_it_completes,
  deadline,
};
inline constexpr plan plans[] = {plan::completes, plan::already_cancelled,
                                 plan::cancelled_while_waiting, plan::cancelled_as_it_completes,
                                 plan::deadline};
inline const char* name_of(plan p) {
  static constexpr const char* names[] = {"completes", "already_cancelled",
                                          "cancelled_while_waiting", "cancelled_as_it_completes",
                                          "deadline"};
  return names[static_cast<int>(p)];
}

struct order {
  enum class kind {
    act,      // await the operation until the work of the round is complete
    attempt,  // await it once, in a scope of its own
    call,     // without waiting
  };
  kind what = kind::act;
  int round = 0;
  bool cancelled_before = false;  // the scope of the attempt
  duration within = duration::max();

  [[nodiscard]] scope_options options() const {
    scope_options o;
    return within == duration::max() ? o : o.within(within);
  }
};

struct report {
  bool happened = false;  // the operation
  bool complete = false;  // the work of the round
  bool ended = false;     // the scope of the attempt: normally, not by absorbing `cancelled`
};

template <class Op>
inline constexpr bool gives_nothing = std::is_void_v<await_result<Op>>;

/// What the controller knows of a party.
class party {
 public:
  explicit party(model m) noexcept : model_{m} {}
  party(const party&) = delete;
  party& operator=(const party&) = delete;
  virtual ~party() = default;

  [[nodiscard]] model kind() const noexcept { return model_; }

  // ---- the controller ----

  void tell(order o) {
    ++told_;
    entered_ = false;
    forget_canceller();
    if (!orders_.try_send(o)) ADD_FAILURE() << "a party does not take its orders" << where();
  }
  void tell(order::kind what, int round) { tell(order{.what = what, .round = round}); }
  [[nodiscard]] bool reported() const { return reported_.load(std::memory_order_acquire) == told_; }
  report hear() {
    eventually("a report", [this] { return reported(); });
    return last_;
  }
  /// Until the attempt has begun: from then on `cancel` reaches it.
  void until_entered() {
    eventually("the begin of an attempt", [this] { return entered_.load(); });
  }
  void cancel() {
    std::scoped_lock l{lock_};
    canceller_();
  }
  /// Until the party waits for the operation that dumps call `name`; a plain thread: until it
  /// sleeps.
  void until_it_waits_for(const char* name) {
    until_entered();
    eventually(name, [this, name] { return home_ != nullptr ? waits_for(name) : sleeps(); });
  }
  void dismiss() {
    forget_canceller();
    orders_.close();
  }

  // ---- the stage ----

  /// On the loop of `n`.
  virtual void start(nursery& n) = 0;
  /// In a plain thread.
  virtual void run_here() = 0;

  // ---- the party's own code ----

  /// `canceller` cancels the attempt, from any thread and at any time.
  void entered(std::function<void()> canceller) {
    {
      std::scoped_lock l{lock_};
      canceller_ = std::move(canceller);
    }
    entered_ = true;
  }
  void tell_back(const report& r) {
    last_ = r;
    reported_.fetch_add(1, std::memory_order_release);
  }
  void failed(const std::exception_ptr& e) {
    ADD_FAILURE() << name_of(model_) << ": " << describe(e) << "\n  in " << where();
  }

  channel<order> orders_{4};

 protected:
  void lives_on(loop* l) {
    home_ = l;
    if (l == nullptr) thread_ = ::gettid();
  }

 private:
  void forget_canceller() {
    std::scoped_lock l{lock_};
    canceller_ = nullptr;
  }
  bool waits_for(const char* name) {
    std::atomic<int> seen{-1};
    home_->post([&, this] {
      const bool yes = home_->dump().find(name) != std::string::npos;
      seen.store(yes ? 1 : 0);
    });
    eventually("a look at the loop", [&] { return seen.load() >= 0; });
    return seen == 1;
  }
  [[nodiscard]] bool sleeps() const {
    std::ifstream in{"/proc/self/task/" + std::to_string(thread_) + "/stat"};
    std::string text;
    std::getline(in, text);
    const auto end = text.rfind(')');
    return end != text.npos && text.size() > end + 2 && text[end + 2] == 'S';
  }

  model model_;
  int told_ = 0;
  std::atomic<int> reported_{0};
  std::atomic<bool> entered_{false};
  report last_;
  std::mutex lock_;
  std::function<void()> canceller_;
  loop* home_ = nullptr;  // these two before the first report
  pid_t thread_ = 0;
};

/// What all models do once an operation has happened.
template <class Side>
class acting : public party {
 public:
  acting(model m, Side& s) : party{m}, side_{s} {}

 protected:
  static void expect_checkpoint_threw(bool cancelled_by_then) {
    EXPECT_FALSE(cancelled_by_then)
        << "a checkpoint after an operation that had happened did not throw in " << where();
  }
  Side& side_;
};

/// A party in fibers and plain threads: `await`.
template <class Side>
class blocking_party final : public acting<Side> {
 public:
  using acting<Side>::acting;
  void start(nursery& n) override {
    this->lives_on(n.home());
    n.start(named{"party", [this] { run(); }});
  }
  void run_here() override {
    this->lives_on(nullptr);
    run();
  }

 private:
  void run() {
    while (auto o = await(this->orders_.receive())) {
      report r;
      try {
        switch (o->what) {
          case order::kind::act: act(o->round, r); break;
          case order::kind::attempt: attempt(*o, r); break;
          case order::kind::call: this->side_.call(o->round); break;
        }
      } catch (...) {
        this->failed(std::current_exception());
      }
      this->tell_back(r);
    }
  }
  void act(int round, report& r) {
    this->entered({});
    while (!r.complete) once(round, r);
  }
  void once(int round, report& r) {
    auto op = this->side_.operation(round);
    if constexpr (gives_nothing<decltype(op)&>) {
      await(op);
      r.complete = this->side_.finished(round);
    } else {
      auto result = await(op);
      r.complete = this->side_.finished(round, result);
    }
    r.happened = true;
  }
  void attempt(const order& o, report& r) {
    r.ended = with_scope(o.options(), [&](cancel_scope& s) {
      if (o.cancelled_before) s.cancel();
      this->entered([h = s.handle()] { h.cancel(); });
      once(o.round, r);
      const bool cancelled_by_then = s.cancelled();
      await(yield_now());
      this->expect_checkpoint_threw(cancelled_by_then);
    });
  }
};

/// A party that is a coroutine: `co_await`.
template <class Side>
class coroutine_party final : public acting<Side> {
 public:
  using acting<Side>::acting;
  void start(nursery& n) override {
    this->lives_on(n.home());
    n.start(named{"party", &coroutine_party::run}, this);
  }
  void run_here() override { ADD_FAILURE() << "a coroutine needs a loop"; }

 private:
  static task<> run(coroutine_party* self) {
    for (;;) {
      auto o = co_await self->orders_.receive();
      if (!o) break;
      report r;
      try {
        if (o->what == order::kind::act) {
          self->entered({});
          while (!r.complete) {
            auto again = once(self, o->round, &r);
            co_await std::move(again);
          }
        } else if (o->what == order::kind::attempt) {
          auto region = with_scope(o->options(), attempt, self, *o, &r);
          r.ended = co_await std::move(region);
        } else {
          self->side_.call(o->round);
        }
      } catch (...) {
        self->failed(std::current_exception());
      }
      self->tell_back(r);
    }
  }
  static task<> once(coroutine_party* self, int round, report* r) {
    auto op = self->side_.operation(round);
    if constexpr (gives_nothing<decltype(op)&>) {
      co_await op;
      r->complete = self->side_.finished(round);
    } else {
      auto result = co_await op;
      r->complete = self->side_.finished(round, result);
    }
    r->happened = true;
  }
  static task<> attempt(cancel_scope& s, coroutine_party* self, order o, report* r) {
    if (o.cancelled_before) s.cancel();
    auto canceller = [h = s.handle()] { h.cancel(); };
    self->entered(std::move(canceller));
    auto first = once(self, o.round, r);
    co_await std::move(first);
    const bool cancelled_by_then = s.cancelled();
    co_await yield_now();
    self->expect_checkpoint_threw(cancelled_by_then);
  }
};

/// A party that is a chain of callbacks: `defer`. An attempt that is to be cancelled from the start
/// belongs to a nursery that is; all else belongs to the stage's.
template <class Side>
class callback_party final : public acting<Side> {
 public:
  using acting<Side>::acting;
  void start(nursery& n) override {
    this->lives_on(n.home());
    living_ = &n;
    n.start(named{"cancelled nursery", &callback_party::keep_cancelled}, this);
  }
  void run_here() override { ADD_FAILURE() << "callbacks need a loop"; }

 private:
  static task<> keep_cancelled(callback_party* self) {
    auto region = with_nursery(begin, self);
    co_await std::move(region);
  }
  static task<> begin(nursery& n, callback_party* self) {
    n.cancel();
    self->cancelled_ = &n;
    self->next();
    auto rest = shielded(until_dismissed, self);
    co_await std::move(rest);
  }
  static task<> until_dismissed(callback_party* self) { co_await self->dismissed_.wait(); }

  template <class Op>
  static auto defer_in(nursery& n, Op&& op) {
    context& c = context::current();
    nursery* const before = c.innermost_nursery();
    c.set_innermost_nursery(&n);
    auto d = defer(std::forward<Op>(op));
    c.set_innermost_nursery(before);
    return d;
  }

  void next() {
    defer_in(*living_, this->orders_.receive())
        .add_callback([this](std::optional<order> o) {
          if (o) {
            obey(*o);
          } else {
            dismissed_.set();
          }
        })
        .add_errback([this](const failure& f) { this->failed(f.exception()); });
  }
  void obey(const order& o) {
    now_ = {};
    switch (o.what) {
      case order::kind::act: return act(o.round);
      case order::kind::attempt: return attempt(o);
      case order::kind::call: this->side_.call(o.round); return done();
    }
  }
  void done() {
    this->tell_back(now_);
    next();
  }
  void act(int round) {
    this->entered({});
    when_happened(defer_in(*living_, this->side_.operation(round)), round, [this, round] {
      if (now_.complete) return done();
      act(round);
    }).add_errback([this](const failure& f) {
      this->failed(f.exception());
      done();
    });
  }
  void attempt(const order& o) {
    if (o.within != duration::max()) {
      attempted(defer_in(*living_, fail_after(o.within, this->side_.operation(o.round))), o.round);
    } else {
      attempted(
          defer_in(o.cancelled_before ? *cancelled_ : *living_, this->side_.operation(o.round)),
          o.round);
    }
  }
  template <class T>
  void attempted(deferred<T> d, int round) {
    this->entered([d] { d.cancel(); });
    when_happened(d, round, [this] {
      now_.ended = true;
      done();
    }).add_errback([this](const failure& f) {
      if (!is_cancelled(f.exception()) && !f.check<timeout_error>()) this->failed(f.exception());
      done();
    });
  }
  template <class T, class Then>
  auto when_happened(deferred<T> d, int round, Then then) {
    if constexpr (std::is_void_v<T>) {
      return d.add_callback([this, round, then] {
        now_.happened = true;
        now_.complete = this->side_.finished(round);
        then();
      });
    } else {
      return d.add_callback([this, round, then](T&& result) {
        now_.happened = true;
        now_.complete = this->side_.finished(round, result);
        then();
      });
    }
  }

  report now_;
  nursery* living_ = nullptr;
  nursery* cancelled_ = nullptr;
  event dismissed_;
};

template <class Side>
std::unique_ptr<party> make_party(model m, Side& side) {
  switch (m) {
    case model::coroutine: return std::make_unique<coroutine_party<Side>>(m, side);
    case model::fiber:
    case model::thread: return std::make_unique<blocking_party<Side>>(m, side);
    case model::callback: return std::make_unique<callback_party<Side>>(m, side);
  }
  return nullptr;
}

// ---- the stage: loops and threads ----

/// Where the parties live. "none": two plain threads and no loop.
struct place {
  std::string backend;
  int loops = 1;
};

class stage {
 public:
  stage(const place& p, party& a, party& b) : parties_{&a, &b} {
    std::vector<party*> on_loops;
    for (party* x : parties_) {
      if (x->kind() == model::thread) {
        begin([x] { x->run_here(); });
      } else if (p.loops == 2) {
        begin_loop(p.backend, {x});
      } else {
        on_loops.push_back(x);
      }
    }
    if (!on_loops.empty()) begin_loop(p.backend, std::move(on_loops));
    eventually("the begin of the threads", [this] { return begun_ == threads_.size(); });
  }
  ~stage() {
    for (party* x : parties_) x->dismiss();
    eventually("the end of the parties", [this] { return ended_ == threads_.size(); });
    for (auto& t : threads_) t.join();
  }
  stage(const stage&) = delete;
  stage& operator=(const stage&) = delete;

 private:
  template <class F>
  void begin(F body) {
    threads_.emplace_back([this, body = std::move(body)]() mutable {
      try {
        ++begun_;
        body();
      } catch (...) {
        ADD_FAILURE() << describe(std::current_exception()) << "\n  in " << where();
      }
      ++ended_;
    });
  }
  void begin_loop(std::string backend, std::vector<party*> who) {
    begin([backend = std::move(backend), who = std::move(who)] {
      oneloop::run(host(&who), backend);
    });
  }
  static task<> host(const std::vector<party*>* who) {
    auto all = with_nursery(start_all, who);
    co_await std::move(all);
  }
  static task<> start_all(nursery& n, const std::vector<party*>* who) {
    for (party* x : *who) x->start(n);
    co_return;
  }

  party* parties_[2];
  std::atomic<std::size_t> begun_{0}, ended_{0};
  std::vector<std::thread> threads_;
};

// ---- primitives ----

class primitive {
 public:
  /// What the partner does so that the subject's operation can complete.
  enum class completion {
    by_acting,   // its own operation
    by_calling,  // side.call
  };
  struct traits {
    completion by = completion::by_acting;
    bool partner_holds = false;  // the partner acts before the attempt, and calls to complete it
    bool rendezvous = false;     // the partner's operation completes only with the subject's
    bool partial = false;        // a cancelled attempt may have happened in part
    // For primitives without statistics: see until_it_waits_for.
    const char* waits_for = nullptr;
    const char* partner_waits_for = nullptr;  // if it can do nothing without the subject
  };

  explicit primitive(traits t) : traits_{t} {}
  virtual ~primitive() = default;
  primitive(const primitive&) = delete;
  primitive& operator=(const primitive&) = delete;

  [[nodiscard]] const traits& is() const noexcept { return traits_; }
  virtual std::unique_ptr<party> subject(model m) = 0;
  virtual std::unique_ptr<party> partner(model m) = 0;
  /// How many subjects and partners the primitive knows to be waiting.
  virtual std::size_t subjects_waiting() { return 0; }
  virtual std::size_t partners_waiting() { return 0; }
  virtual void begin_round(int /*round*/) {}
  /// Both parties are idle: looks that nothing is left behind.
  virtual void end_round(int round) = 0;

 private:
  traits traits_;
};

/// What sides need not have.
struct basic_side {
  void call(int /*round*/) noexcept {}
};

// ---- the controller ----

class controller {
 public:
  controller(primitive& p, party& subject, party& partner, const place& where, std::uint32_t seed)
      : p_{p}, subject_{subject}, partner_{partner}, place_{where}, random_{seed} {}

  void play(plan how) {
    const int rounds = how == plan::deadline                    ? 4
                       : how == plan::cancelled_as_it_completes ? (sanitized ? 40 : 100)
                                                                : 10;
    for (round_ = 0; round_ < rounds && !testing::Test::HasFailure(); ++round_) {
      SCOPED_TRACE("round " + std::to_string(round_));
      p_.begin_round(round_);
      switch (how) {
        case plan::completes: completes(); break;
        case plan::already_cancelled: already_cancelled(); break;
        case plan::cancelled_while_waiting: cancelled_while_waiting(); break;
        case plan::cancelled_as_it_completes: cancelled_as_it_completes(); break;
        case plan::deadline: deadline(); break;
      }
      for (party* x : {&subject_, &partner_}) {
        x->tell(order::kind::call, round_);
        x->hear();
      }
      EXPECT_EQ(p_.subjects_waiting(), 0u);
      EXPECT_EQ(p_.partners_waiting(), 0u);
      p_.end_round(round_);
    }
  }
  /// How often a race ended each way.
  int happened = 0, cancelled = 0;

 private:
  void completes() {
    const bool ready_before = round_ % 2 == 1;
    if (ready_before) {
      make_ready();
      attempt();
    } else {
      hold();
      attempt();
      until_parked();
      complete();
    }
    const report r = subject_.hear();
    EXPECT_TRUE(r.happened);
    EXPECT_TRUE(r.ended);
    finish(r);
  }

  void already_cancelled() {
    const bool ready_before = round_ % 2 == 1;
    if (ready_before) {
      make_ready();
    } else {
      hold();
    }
    order o{.what = order::kind::attempt, .round = round_};
    o.cancelled_before = true;
    subject_.tell(o);
    did_not_happen(false);
    if (!ready_before) complete();
    finish({});
  }

  void cancelled_while_waiting() {
    hold();
    attempt();
    until_parked();
    subject_.until_entered();
    subject_.cancel();
    const report r = did_not_happen(p_.is().partial);
    if (round_ % 2 == 0) complete();
    if (round_ % 2 == 1 && !r.complete) {
      subject_.tell(order::kind::act, round_);
      until_parked();
      complete();
      subject_.hear();
      finish({.happened = true, .complete = true});
      return;
    }
    finish(r);
  }

  void cancelled_as_it_completes() {
    hold();
    const auto dice = random_();
    // From nothing to about the time that a wake-up takes.
    const auto a_moment = [&] {
      for (auto n = random_() % (dice % 8 < 4 ? 100 : 20'000); n != 0; --n) std_atomics::pause();
    };
    if (dice % 4 == 0) {
      complete();
      attempt();
      subject_.until_entered();
      a_moment();
      subject_.cancel();
    } else {
      attempt();
      if (dice % 4 != 1) until_parked();
      subject_.until_entered();
      if (dice % 4 == 3) {
        complete();
        a_moment();
        subject_.cancel();
      } else {
        subject_.cancel();
        a_moment();
        complete();
      }
    }
    const report r = subject_.hear();
    ++(r.happened ? happened : cancelled);
    if (!r.happened) {
      EXPECT_FALSE(r.ended);
      if (p_.is().rendezvous) {
        EXPECT_FALSE(partner_.reported()) << "the partner met somebody who says that he was not "
                                             "there";
      }
    } else if (!p_.is().partial) {
      EXPECT_TRUE(r.complete);
    }
    finish(r);
  }

  void deadline() {
    const bool passed_before = round_ % 2 == 1;
    if (passed_before) {
      make_ready();
    } else {
      hold();
    }
    order o{.what = order::kind::attempt, .round = round_};
    o.within = passed_before ? duration::zero() : place_.backend == "virtual" ? 1h : duration{1ms};
    subject_.tell(o);
    const report r = did_not_happen(p_.is().partial && !passed_before);
    if (!passed_before) complete();
    finish(r);
  }

  /// Before an attempt that must wait.
  void hold() {
    if (!p_.is().partner_holds) return;
    partner_.tell(order::kind::act, round_);
    partner_.hear();
  }
  void attempt() { subject_.tell(order::kind::attempt, round_); }
  void complete() {
    partner_.tell(
        p_.is().by == primitive::completion::by_calling ? order::kind::call : order::kind::act,
        round_);
  }
  /// Before an attempt that need not wait: the partner has done all it can.
  void make_ready() {
    if (p_.is().partner_holds) return;
    complete();
    if (p_.is().partner_waits_for != nullptr) {
      partner_.until_it_waits_for(p_.is().partner_waits_for);
    } else if (p_.is().rendezvous) {
      eventually("the partner to wait", [this] { return p_.partners_waiting() != 0; });
    } else {
      partner_.hear();
    }
  }
  void until_parked() {
    if (p_.is().waits_for != nullptr) return subject_.until_it_waits_for(p_.is().waits_for);
    eventually("the subject to wait", [this] { return p_.subjects_waiting() != 0; });
  }
  report did_not_happen(bool partly_allowed) {
    const report r = subject_.hear();
    // A callback has no scope that goes on: what happened in part is all it hears of.
    const bool heard_of_a_part = partly_allowed && r.happened && subject_.kind() == model::callback;
    EXPECT_EQ(r.ended, heard_of_a_part) << "the scope did not absorb `cancelled`";
    EXPECT_FALSE(r.complete);
    if (!partly_allowed) {
      EXPECT_FALSE(r.happened);
    }
    EXPECT_EQ(p_.subjects_waiting(), 0u) << "a ghost waiter";
    return r;
  }
  /// What `r` has left undone is done; the partner ends, too.
  void finish(const report& r) {
    if (!r.complete) {
      subject_.tell(order::kind::act, round_);
      subject_.hear();
    }
    partner_.hear();
  }

  primitive& p_;
  party& subject_;
  party& partner_;
  const place& place_;
  std::mt19937 random_;
  int round_ = 0;
};

// ---- the tests ----

struct cell {
  model subject;
  model partner;
  place at;
  plan how;
};

template <class Primitive>
void play(const cell& cell) {
  where() = std::string{Primitive::name} + "." +
            testing::UnitTest::GetInstance()->current_test_info()->name() + ", " +
            name_of(cell.how);
  SCOPED_TRACE("ONELOOP_MATRIX_SEED=" + std::to_string(seed()));
  const auto before = open_descriptors();
  {
    Primitive p;
    const auto a = p.subject(cell.subject);
    const auto b = p.partner(cell.partner);
    stage s{cell.at, *a, *b};
    controller c{p, *a, *b, cell.at, seed()};
    c.play(cell.how);
  }
  EXPECT_EQ(open_descriptors(), before);
}

/// Every pair of models in every place that there is for it.
template <class Primitive>
std::vector<cell> cells() {
  std::vector<cell> all;
  for (const model a : models) {
    for (const model b : models) {
      std::vector<place> places;
      const int on_loops = (a != model::thread) + (b != model::thread);
      if (on_loops == 0) places.push_back({"none", 0});
      for (int loops = 1; loops <= on_loops; ++loops) {
        places.push_back({"epoll", loops});
        if (uring_available()) places.push_back({"io_uring", loops});
      }
      if (on_loops == 2 && !Primitive::needs_kernel) places.push_back({"virtual", 1});
      for (const place& p : places) {
        for (const plan how : plans) all.push_back({a, b, p, how});
      }
    }
  }
  return all;
}

// One test for each pair and place; its plans run one after the other (each has its own trace).
template <class Primitive>
class matrix_tests : public testing::Test {
 public:
  explicit matrix_tests(std::vector<cell> all) : plans_{std::move(all)} {}
  void TestBody() override {
    for (const cell& c : plans_) {
      SCOPED_TRACE(name_of(c.how));
      play<Primitive>(c);
      if (HasFatalFailure()) return;
    }
  }

 private:
  std::vector<cell> plans_;
};

template <class Primitive>
bool enrol() {
  static constexpr const char* places[] = {"_without_a_loop", "_on_one_loop", "_on_two_loops"};
  std::vector<std::pair<std::string, std::vector<cell>>> tests;  // in the order of the cells
  for (const cell& c : cells<Primitive>()) {
    std::string name = std::string{name_of(c.subject)} + "_to_" + name_of(c.partner) +
                       places[c.at.loops] + "/" + c.at.backend;
    auto same = std::ranges::find(tests, name, &decltype(tests)::value_type::first);
    if (same == tests.end()) same = tests.insert(same, {std::move(name), {}});
    same->second.push_back(c);
  }
  for (auto& [name, its_plans] : tests) {
    testing::RegisterTest(
        Primitive::name, name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
        [all = std::move(its_plans)] { return new matrix_tests<Primitive>(all); });
  }
  return true;
}

}  // namespace oneloop::matrix
