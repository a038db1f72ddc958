#include "tests/rules.hpp"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <string_view>

#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::rules {
namespace {

using namespace std::chrono_literals;

enum class kind { coroutine, fiber, thread, callback };
constexpr const char* name_of(kind k) {
  constexpr const char* names[] = {"coroutine", "fiber", "thread", "callback"};
  return names[static_cast<int>(k)];
}

// ---- a party, and what it says of itself ----

struct trial {
  explicit trial(subject& s) noexcept : what{s} {}

  subject& what;
  // Before it starts.
  scope_options outer_options, inner_options;
  bool cancelled_before = false;  // the inner scope
  bool cancelled_at_end = false;  // the same, by the last statement of its body
  // While it waits; for a thread the cancels only.
  cancel_scope* outer = nullptr;
  cancel_scope* inner = nullptr;
  std::function<void()> cancel_outer, cancel_inner;
  // Afterwards.
  bool happened = false;
  bool was_cancelled = false;
  int threw_again = 0;                           // of the two waits in the clean-up
  bool calm = false;                             // a shielded wait in the clean-up
  bool threw_after = false;                      // the checkpoint after the wait that happened
  std::optional<bool> inner_ended, outer_ended;  // normally; or not: by absorbing
  int place = 0;                                 // in the order of those that happened
  std::string failure;

  static inline std::atomic<int> places{0};
  std::atomic<bool> entered{false};
  std::atomic<bool> ended{false};
  pid_t thread = 0;

  void enter(cancel_scope& o, cancel_scope& i) {
    outer = &o;
    inner = &i;
    if (o.home() != nullptr) {
      cancel_outer = [&o] { o.cancel(); };
      cancel_inner = [&i] { i.cancel(); };
    } else {
      cancel_outer = [h = o.handle()] { h.cancel(); };
      cancel_inner = [h = i.handle()] { h.cancel(); };
      thread = ::gettid();
    }
    if (cancelled_before) i.cancel();
    entered = true;
  }
  void took() {
    happened = true;
    place = ++places;
  }
};

void wait_blocking(trial& t) {
  if (t.what.is.call) {
    t.what.call();
  } else if (t.what.is.needs_loop) {
    await(wait_on_loop{t.what.wait()});
  } else {
    await(t.what.wait());
  }
}

void be_blocking(trial* t) {
  try {
    t->outer_ended = with_scope(t->outer_options, [t](cancel_scope& outer) {
      t->inner_ended = with_scope(t->inner_options, [&](cancel_scope& inner) {
        t->enter(outer, inner);
        try {
          wait_blocking(*t);
          t->took();
        } catch (const cancelled&) {
          t->was_cancelled = true;
          for (int i = 0; i < 2; ++i) {
            try {
              wait_blocking(*t);
            } catch (const cancelled&) {
              ++t->threw_again;
            }
          }
          shielded([&] { await(yield_now()); });
          t->calm = true;
          throw;
        }
        if (t->cancelled_at_end) return inner.cancel();
        try {
          await(yield_now());
        } catch (const cancelled&) {
          t->threw_after = true;
          throw;
        }
      });
      await(yield_now());
    });
  } catch (...) {
    t->failure = describe(std::current_exception());
  }
  t->ended = true;
}

task<> yield_once() { co_await yield_now(); }
task<bool> wait_throws(trial* t) {
  try {
    auto w = t->what.wait();
    co_await w;
  } catch (const cancelled&) {
    co_return true;
  }
  co_return false;
}

task<> in_inner(cancel_scope& inner, trial* t, cancel_scope* outer) {
  t->enter(*outer, inner);
  auto waited = wait_throws(t);
  t->was_cancelled = co_await std::move(waited);
  if (t->was_cancelled) {
    for (int i = 0; i < 2; ++i) {
      auto again = wait_throws(t);
      const bool threw = co_await std::move(again);
      if (threw) ++t->threw_again;
    }
    auto calm = shielded(yield_once);
    co_await std::move(calm);
    t->calm = true;
    throw cancelled{};
  }
  t->took();
  if (t->cancelled_at_end) {
    inner.cancel();
    co_return;
  }
  try {
    co_await yield_now();
  } catch (const cancelled&) {
    t->threw_after = true;
    throw;
  }
}

task<> in_outer(cancel_scope& outer, trial* t) {
  auto region = with_scope(t->inner_options, in_inner, t, &outer);
  t->inner_ended = co_await std::move(region);
  co_await yield_now();
}

task<> be_coroutine(trial* t) {
  try {
    auto region = with_scope(t->outer_options, in_outer, t);
    t->outer_ended = co_await std::move(region);
  } catch (...) {
    t->failure = describe(std::current_exception());
  }
  t->ended = true;
}

// A chain has no scope but its nursery's, here its own, and its cancel.
void be_callback(trial* t) {
  try {
    with_nursery([t](nursery& own) {
      if (t->cancelled_before) own.cancel();
      auto d = defer(t->what.wait());
      t->cancel_inner = [d] { d.cancel(); };
      d.add_callback([t] { t->took(); }).add_errback([t](const failure& f) {
        t->was_cancelled = is_cancelled(f.exception());
        if (!t->was_cancelled) t->failure = f.what();
      });
      t->entered = true;
    });
  } catch (...) {
    t->failure = describe(std::current_exception());
  }
  t->ended = true;
}

// ---- the director ----

class director {
 public:
  director(nursery& n, kind k, std::string_view backend, subject& s)
      : n_{n}, kind_{k}, backend_{backend}, s_{s} {
    s_.begin(n_);
    s_.again();
  }
  director(const director&) = delete;
  director& operator=(const director&) = delete;
  ~director() { s_.end(); }

  [[nodiscard]] bool threads() const noexcept { return kind_ == kind::thread; }
  [[nodiscard]] bool has_scopes() const noexcept { return kind_ != kind::callback; }
  /// Scopes of others may be changed: they are on our loop.
  [[nodiscard]] bool same_loop() const noexcept { return has_scopes() && !threads(); }
  [[nodiscard]] bool virtual_time() const noexcept { return backend_ == "virtual"; }
  [[nodiscard]] subject& what() const noexcept { return s_; }
  /// `complete` decides on the spot who has won.
  [[nodiscard]] bool decides() const noexcept { return !threads() && s_.is.at_once; }

  trial& prepare() {
    bool idle = true;
    std::size_t happened = 0;
    for (const trial& t : trials_) {
      idle = idle && t.ended;
      if (t.ended && t.happened) ++happened;
    }
    if (idle && happened != happened_) {
      happened_ = happened;
      s_.again();
    }
    return trials_.emplace_back(s_);
  }
  void begin(trial& t) {
    switch (kind_) {
      case kind::coroutine: n_.start(named{"trial", be_coroutine}, &t); break;
      case kind::callback: n_.start(named{"trial", be_callback}, &t); break;
      case kind::fiber:
      case kind::thread: n_.start(named{"trial", be_blocking}, &t); break;
    }
    eventually("the begin of a party", [&] { return t.entered.load(); });
  }
  trial& start() {
    trial& t = prepare();
    begin_waiting(t);
    return t;
  }
  /// Until it waits.
  void begin_waiting(trial& t) {
    const std::size_t before = s_.waiting_now();
    begin(t);
    if (threads()) {
      eventually("a thread to sleep",
                 [&] { return sleeps(t) && (before == 0 || s_.waiting_now() != before); });
    } else {
      give_way();
    }
  }
  /// Everything that can go on does.
  static void give_way() {
    for (int i = 0; i < 8; ++i) await(yield_now());
  }
  static void until_ended(trial& t) {
    eventually("the end of a party", [&] { return t.ended.load(); });
    EXPECT_EQ(t.failure, "");
  }

 private:
  template <class Predicate>
  static void eventually(const char* what, Predicate holds) {
    const auto limit = std::chrono::steady_clock::now() + 30s;
    for (int i = 0; !holds(); ++i) {
      if (i < 50) {
        await(yield_now());
      } else {
        await(sleep_for(100us));
      }
      if (std::chrono::steady_clock::now() < limit) continue;
      std::fprintf(stderr, "gave up waiting for %s\n%s", what,
                   loop::current() != nullptr ? loop::current()->dump().c_str() : "");
      std::abort();
    }
  }
  static bool sleeps(const trial& t) {
    std::ifstream in{"/proc/self/task/" + std::to_string(t.thread) + "/stat"};
    std::string text;
    std::getline(in, text);
    const auto end = text.rfind(')');
    return end != text.npos && text.size() > end + 2 && text[end + 2] == 'S';
  }

  nursery& n_;
  kind kind_;
  std::string_view backend_;
  subject& s_;
  std::list<trial> trials_;
  std::size_t happened_ = 0;  // when the subject was made ready again
};

// ---- the rules ----

void nobody_waits(director& d) { EXPECT_EQ(d.what().waiting_now(), 0u); }
void nothing_was_taken(director& d) {
  const bool still_there = d.what().untaken();
  if (d.what().is.leaves_trace) {
    EXPECT_TRUE(still_there);
  }
}

void c1(director& d) {
  for (const bool ready : {false, true}) {
    if (ready && !d.what().is.ahead) continue;
    if (ready) d.what().complete();
    trial& t = d.prepare();
    t.cancelled_before = true;
    d.begin(t);
    d.until_ended(t);
    EXPECT_FALSE(t.happened);
    EXPECT_TRUE(t.was_cancelled);
    if (d.has_scopes()) {
      EXPECT_EQ(t.inner_ended, false);
      EXPECT_EQ(t.outer_ended, true);
    }
    nobody_waits(d);
    if (ready) nothing_was_taken(d);
  }
}

void c2(director& d) {
  trial& t = d.start();
  t.cancel_inner();
  const bool completes = d.what().is.ahead && d.what().is.taken_back && !d.threads();
  if (completes) d.what().complete();
  d.until_ended(t);
  EXPECT_EQ(t.threw_again, 2);
  if (completes && d.what().is.at_once) nothing_was_taken(d);
}

void c3(director& d) {
  trial& t = d.prepare();
  t.inner_options.shielded();
  d.begin_waiting(t);
  t.cancel_outer();
  d.give_way();
  EXPECT_FALSE(t.ended);
  d.what().complete();
  d.until_ended(t);
  EXPECT_TRUE(t.happened);
  EXPECT_FALSE(t.threw_after);
  EXPECT_EQ(t.inner_ended, true);
  EXPECT_EQ(t.outer_ended, false);
  // A cancelled wait may wait in its clean-up, too.
  trial& u = d.start();
  u.cancel_inner();
  d.until_ended(u);
  EXPECT_TRUE(u.calm);
}

void a1(director& d) {
  trial& t = d.start();
  t.cancel_inner();
  d.until_ended(t);
  EXPECT_TRUE(t.was_cancelled);
  EXPECT_FALSE(t.happened);
  nobody_waits(d);
  if (!d.what().is.ahead) return;
  d.what().complete();
  nothing_was_taken(d);
}

// Both come before the party runs again.
void a2(director& d) {
  for (const bool completes_first : {true, false}) {
    trial& t = d.start();
    if (completes_first) d.what().complete();
    t.cancel_inner();
    if (!completes_first && d.what().is.ahead) d.what().complete();
    d.until_ended(t);
    EXPECT_NE(t.happened, t.was_cancelled);
    if (d.decides()) {
      EXPECT_EQ(t.happened, completes_first);
    }
    if (t.happened && d.same_loop()) {
      EXPECT_TRUE(t.threw_after);
      EXPECT_EQ(t.inner_ended, false);
    }
    if (!t.happened && (completes_first || d.what().is.ahead)) {
      nothing_was_taken(d);
    }
    nobody_waits(d);
  }
}

void a3(director& d) {
  for (int i = 0; i < 3; ++i) {
    trial& t = d.start();
    t.cancel_inner();
    d.until_ended(t);
    nobody_waits(d);
  }
  trial& t = d.start();
  d.what().complete();
  d.until_ended(t);
  EXPECT_TRUE(t.happened);
  EXPECT_FALSE(t.was_cancelled);
  if (d.has_scopes()) {
    EXPECT_FALSE(t.threw_after);
    EXPECT_EQ(t.inner_ended, true);
    EXPECT_EQ(t.outer_ended, true);
  }
}

void a4(director& d) {
  // The first is cancelled before it is its turn: the second gets it.
  trial& first = d.start();
  trial& second = d.start();
  first.cancel_inner();
  if (d.threads() || !d.what().is.taken_back) d.until_ended(first);
  d.what().complete();
  d.until_ended(second);
  d.until_ended(first);
  EXPECT_TRUE(first.was_cancelled);
  EXPECT_TRUE(second.happened);
  // Cancelled afterwards, the first has it; nobody else does.
  trial& third = d.start();
  trial& fourth = d.start();
  d.what().complete();
  third.cancel_inner();
  d.until_ended(third);
  if (d.decides()) {
    EXPECT_TRUE(third.happened);
  }
  if (third.happened) d.what().complete();
  d.until_ended(fourth);
  EXPECT_TRUE(fourth.happened);
  nobody_waits(d);
}

void s1(director& d) {
  trial& t = d.start();
  t.cancel_inner();
  d.until_ended(t);
  EXPECT_EQ(t.inner_ended, false);
  EXPECT_EQ(t.outer_ended, true);
  trial& u = d.start();
  u.cancel_outer();
  d.until_ended(u);
  EXPECT_EQ(u.inner_ended, std::nullopt);
  EXPECT_EQ(u.outer_ended, false);
}

void s2(director& d) {
  for (const bool inner_first : {true, false}) {
    if (inner_first && d.threads()) continue;  // it may be gone before the second one comes
    trial& t = d.start();
    inner_first ? t.cancel_inner() : t.cancel_outer();
    inner_first ? t.cancel_outer() : t.cancel_inner();
    d.until_ended(t);
    EXPECT_EQ(t.inner_ended, std::nullopt);
    EXPECT_EQ(t.outer_ended, false);
  }
  if (!d.virtual_time() || !d.what().is.lasts) return;
  trial& t = d.prepare();
  const time_point at = loop::current()->now() + 1s;
  t.outer_options.at(at);
  t.inner_options.at(at);
  d.begin_waiting(t);
  d.until_ended(t);
  EXPECT_EQ(t.inner_ended, std::nullopt);
  EXPECT_EQ(t.outer_ended, false);
}

void s3(director& d) {
  trial& t = d.prepare();
  t.cancelled_at_end = true;
  d.begin_waiting(t);
  d.what().complete();
  d.until_ended(t);
  EXPECT_TRUE(t.happened);
  EXPECT_EQ(t.inner_ended, true);
  EXPECT_EQ(t.outer_ended, true);
}

void s4(director& d) {
  loop& l = *loop::current();
  {
    trial& t = d.prepare();
    t.inner_options.within(1h);
    d.begin_waiting(t);
    t.inner->set_deadline(l.now() + 1ms);
    d.until_ended(t);
    EXPECT_EQ(t.inner_ended, false);
  }
  {
    trial& t = d.start();
    t.inner->set_deadline(l.now() - 1s);
    d.until_ended(t);
    EXPECT_EQ(t.inner_ended, false);
  }
  if (!d.virtual_time()) return;
  trial& t = d.prepare();
  t.inner_options.within(1s);
  d.begin_waiting(t);
  const time_point begun = l.now();
  t.inner->set_deadline(begun + 5s);
  await(sleep_for(3s));
  EXPECT_FALSE(t.ended);
  t.inner->set_deadline(never);
  await(sleep_for(1h));
  EXPECT_FALSE(t.ended);
  t.cancel_inner();
  d.until_ended(t);
  EXPECT_EQ(t.inner_ended, false);
}

void s5(director& d) {
  {
    trial& t = d.prepare();
    t.inner_options.shielded();
    d.begin_waiting(t);
    t.cancel_outer();
    d.give_way();
    EXPECT_FALSE(t.ended);
    t.inner->set_shield(false);
    d.until_ended(t);
    EXPECT_TRUE(t.was_cancelled);
    EXPECT_EQ(t.inner_ended, std::nullopt);
    EXPECT_EQ(t.outer_ended, false);
  }
  {
    trial& t = d.start();
    t.inner->set_shield(true);
    t.cancel_outer();
    d.give_way();
    EXPECT_FALSE(t.ended);
    t.cancel_inner();
    d.until_ended(t);
    EXPECT_EQ(t.inner_ended, false);
    EXPECT_EQ(t.outer_ended, false);
  }
}

void o2(director& d) {
  const subject::traits& is = d.what().is;
  // Threads that sleep in the kernel are its to order.
  const bool one_by_one = is.one_each && !(d.threads() && is.needs_kernel);
  trial* all[4];
  for (trial*& t : all) t = &d.start();
  for (trial* t : all) {
    if (is.one_each || t == all[0]) d.what().complete();
    if (one_by_one) d.until_ended(*t);
  }
  for (trial* t : all) d.until_ended(*t);
  // What wakes threads orders them; how fast each of them runs then is the kernel's business.
  if (d.threads() && !one_by_one) return;
  for (int i = 1; i < 4; ++i) EXPECT_LT(all[i - 1]->place, all[i]->place);
}

struct rule {
  const char* name;
  void (*check)(director&);
  bool (*applies)(const subject::traits&);
  bool (*to)(kind);
};
bool always(const subject::traits&) { return true; }
bool waits(const subject::traits& is) { return is.waits; }
bool lasts(const subject::traits& is) { return is.waits && is.lasts; }
bool completes(const subject::traits& is) { return is.waits && is.completes; }
bool queues(const subject::traits& is) { return completes(is) && is.many; }
bool hands_over(const subject::traits& is) { return queues(is) && is.one_each && is.ahead; }
bool everybody(kind) { return true; }
bool scoped(kind k) { return k != kind::callback; }
bool on_our_loop(kind k) { return k == kind::coroutine || k == kind::fiber; }

constexpr rule all_rules[] = {
    {"C1_a_wait_in_a_cancelled_scope_does_not_begin", c1, always, everybody},
    {"C2_waits_in_the_clean_up_throw_again", c2, waits, scoped},
    {"C3_a_shield_keeps_it_out", c3, completes, scoped},
    {"A1_cancelled_means_that_it_did_not_happen", a1, waits, everybody},
    {"A2_what_happened_is_delivered_in_both_orders", a2, completes, everybody},
    {"A3_a_cancelled_wait_leaves_nothing_behind", a3, completes, everybody},
    {"A4_no_wake_up_is_lost", a4, hands_over, everybody},
    {"S1_the_outermost_cancelled_scope_absorbs", s1, waits, scoped},
    {"S2_an_outer_cancel_is_no_timeout", s2, waits, scoped},
    {"S3_cancelled_when_its_body_is_done", s3, completes, scoped},
    {"S4_deadlines_may_be_moved", s4, lasts, on_our_loop},
    {"S5_shields_may_be_flipped", s5, waits, on_our_loop},
    {"O2_first_come_first_served", o2, queues, everybody},
};

class rule_test : public testing::Test {
 public:
  rule_test(const rule& r, make_subject make) noexcept : rule_{r}, make_{make} {}
  void TestBody() override {
    const subject::traits is = make_()->is;
    for (const kind k : {kind::coroutine, kind::fiber, kind::callback, kind::thread}) {
      if (!rule_.to(k)) continue;
      if (is.call && (k == kind::coroutine || k == kind::callback)) continue;
      if (k == kind::thread) {
        if (!is.threads) continue;
        SCOPED_TRACE("thread");
        check(k, "");
        continue;
      }
      for (const char* backend : {"virtual", "epoll", "io_uring"}) {
        if (is.needs_kernel && std::string_view{backend} == "virtual") continue;
        if (available_backends().find(backend) == std::string::npos) continue;
        SCOPED_TRACE(std::string{name_of(k)} + " on " + backend);
        loop l{backend};
        run(l, [&] { check(k, backend); });
        if (HasFatalFailure()) return;
      }
    }
  }

 private:
  void check(kind k, std::string_view backend) const {
    const auto s = make_();
    with_nursery([&](nursery& n) {
      director d{n, k, backend, *s};
      rule_.check(d);
    });
  }
  const rule& rule_;
  make_subject make_;
};

}  // namespace

bool enrol(const char* name, make_subject make) {
  const subject::traits is = make()->is;
  for (const rule& r : all_rules) {
    if (!r.applies(is)) continue;
    testing::RegisterTest(r.name, name, nullptr, nullptr, __FILE__, __LINE__,
                          [&r, make] { return new rule_test{r, make}; });
  }
  return true;
}

}  // namespace oneloop::rules
