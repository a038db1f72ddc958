// Random programs: a seed decides what parties there are, in which model each is written, what they
// do with what they share, and when who is cancelled. Whatever comes of it, these must hold:
//   - every program ends: who waits is not cancelled for ever, and needs nothing that nobody gives
//   - nothing is lost, nothing is duplicated: each token that was sent is received once or left
//   over;
//     each job is done once
//   - cancelled means that it did not happen: a value that was not sent is still in its operation
//   - whenever everybody is blocked, those who wait in a primitive are those who wait for it, and
//     none of them waits for what is there
//   - two never hold what is for one; in the end nothing is held, and nobody waits
//   - a cancelled scope absorbs, unless one above it is cancelled; after an operation that happened
//     in a cancelled scope the next checkpoint throws; a shield keeps a cancel out
//   - nurseries and joins tell of every failure, and of none that there was not
//   - no token, party, or frame is left over
//
// A program terminates because it is a pipeline: producers send tokens to the first stage, relays
// carry them from stage to stage, consumers take them out of the last, and at least one party of
// each kind is never cancelled. Bystanders use the rest. Who holds something waits for nothing but
// time.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/lifo_queue.hpp"
#include "oneloop/channel/priority_queue.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/channel/ticker.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/fiber.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/fiber/timeout.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/ready_signal.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/barrier.hpp"
#include "oneloop/sync/capacity_limiter.hpp"
#include "oneloop/sync/condition.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/latch.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/once.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "oneloop/task/as_completed.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/task/task_group.hpp"
#include "oneloop/testing/clock.hpp"
#include "oneloop/testing/memory_stream.hpp"
#include "oneloop/thread/future.hpp"
#include "oneloop/thread/to_thread.hpp"

namespace oneloop::random_programs {

using namespace std::chrono_literals;

/// What goes through channels: may be moved only, and is counted.
class token {
 public:
  explicit token(int id) noexcept : id_{id} { ++alive; }
  token(token&& o) noexcept : id_{std::exchange(o.id_, 0)} { ++alive; }
  token& operator=(token&& o) noexcept {
    id_ = std::exchange(o.id_, 0);
    return *this;
  }
  ~token() { --alive; }
  [[nodiscard]] int id() const noexcept { return id_; }
  static inline std::atomic<int> alive{0};

 private:
  int id_;
};

/// The failure of a child that was planned.
struct planned : std::runtime_error {
  planned() : std::runtime_error{"planned"} {}
};

/// Calls a function when the block is left.
template <class F>
struct leaving {
  F f;
  ~leaving() { f(); }
};
template <class F>
leaving(F) -> leaving<F>;

/// Counts a party among those who wait for some things.
class at {
 public:
  explicit at(std::vector<std::atomic<int>*> what) : what_{std::move(what)} {
    for (auto* n : what_) ++*n;
  }
  explicit at(std::atomic<int>* what) : at{std::vector<std::atomic<int>*>{what}} {}
  at(const at&) = delete;
  at& operator=(const at&) = delete;
  ~at() {
    for (auto* n : what_) --*n;
  }

 private:
  std::vector<std::atomic<int>*> what_;
};

/// For `at`; not a braced list, which g++ 12 does not take in an awaited call.
std::vector<std::atomic<int>*> waits_for(std::same_as<std::atomic<int>*> auto... what) {
  return {what...};
}

struct stage {
  explicit stage(std::size_t n) : line{n} {}
  explicit stage(unbounded_t u) : line{u} {}
  channel<token> line;
  std::atomic<int> sending{0}, receiving{0};  // parties that wait
  std::atomic<int> suppliers{0};              // that have not ended; the last one closes it
  struct fate {
    int sent = 0, received = 0;
  };
  std::map<int, fate> tokens;
};

template <class Lock>
struct guarded {
  Lock lock;
  std::atomic<int> waiting{0};
  std::atomic<int> inside{0};
};

class program {
 public:
  explicit program(std::uint64_t seed) : dice_{seed} {
    const int n = draw(1, 3);
    for (int i = 0; i < n; ++i) {
      switch (draw(0, 3)) {
        case 0: stages.emplace_back(0); break;
        case 1: stages.emplace_back(1); break;
        case 2: stages.emplace_back(static_cast<std::size_t>(draw(2, 5))); break;
        default: stages.emplace_back(unbounded); break;
      }
    }
  }

  // ---- dice ----
  int draw(int least, int most) {
    const std::scoped_lock hold{lock_};
    return least + static_cast<int>(dice_() % static_cast<std::uint64_t>(most - least + 1));
  }
  bool chance(int percent) { return draw(1, 100) <= percent; }
  duration a_while() { return std::chrono::microseconds{draw(0, 3000)}; }

  // ---- findings ----
  void broken(const std::string& rule) {
    const std::scoped_lock hold{lock_};
    if (findings.size() < 5) findings.push_back(rule);
  }
  void expect(bool holds, const char* rule) {
    if (!holds) broken(rule);
  }

  // ---- tokens ----
  token make_token() { return token{++last_token_}; }
  void sent(stage& s, int id) {
    const std::scoped_lock hold{lock_};
    ++s.tokens[id].sent;
  }
  void received(stage& s, const token& t) {
    const std::scoped_lock hold{lock_};
    ++s.tokens[t.id()].received;
  }

  // ---- cancelling ----
  /// From now on somebody may cancel the scope.
  void expose(cancel_scope& s) {
    cancel_handle handle = s.handle();
    const std::scoped_lock hold{lock_};
    if (targets_.size() == 16) targets_.erase(targets_.begin());
    targets_.push_back(std::move(handle));
  }
  void cancel_somebody() {
    cancel_handle one;
    {
      const std::scoped_lock hold{lock_};
      if (targets_.empty()) return;
      one = targets_[dice_() % targets_.size()];
    }
    one.cancel();
  }
  /// How an attempt may be cut short; after a few not at all.
  scope_options limits(int attempt) {
    scope_options o;
    return attempt < 3 && chance(30) ? o.within(a_while()) : o;
  }
  void threaten(cancel_scope& s, int attempt) {
    if (attempt >= 3) return;
    if (chance(10)) s.cancel();
    if (chance(40)) expose(s);
  }

  /// While everybody is blocked.
  void look() {
    for (stage& s : stages) {
      const channel_statistics now = s.line.statistics();
      expect(now.waiting_senders == static_cast<std::size_t>(s.sending),
             "channel: its waiting senders are not those who wait");
      expect(now.waiting_receivers == static_cast<std::size_t>(s.receiving),
             "channel: its waiting receivers are not those who wait");
      expect(now.waiting_receivers == 0 ||
                 (now.buffered == 0 && now.waiting_senders == 0 && !now.closed),
             "channel: somebody waits for what is there");
      expect(now.waiting_senders == 0 || (now.buffered == now.capacity && !now.closed),
             "channel: somebody waits for room that is there");
    }
    for (auto& m : mutexes) {
      const mutex_statistics now = m.lock.statistics();
      expect(now.waiting == static_cast<std::size_t>(m.waiting),
             "mutex: those who wait are not in its queue");
      expect(now.waiting == 0 || now.locked, "mutex: somebody waits for a free one");
      expect(now.locked == (m.inside != 0), "mutex: its holder does not know");
    }
    {
      const semaphore_statistics now = permits.lock.statistics();
      expect(now.waiting == static_cast<std::size_t>(permits.waiting),
             "semaphore: those who wait are not in its queue");
      expect(now.waiting == 0 || now.available == 0, "semaphore: somebody waits for what is there");
      expect(now.available + static_cast<std::size_t>(permits.inside) == permits_in_all,
             "semaphore: a permit is lost");
    }
    {
      const limiter_statistics now = desks.lock.statistics();
      expect(now.waiting == static_cast<std::size_t>(desks.waiting),
             "capacity_limiter: those who wait are not in its queue");
      expect(now.waiting == 0 || now.borrowed == now.total,
             "capacity_limiter: somebody waits for what is there");
    }
    expect(brought.statistics().waiting == static_cast<std::size_t>(buyers),
           "condition: those who wait are not in its queue");
    {
      const event_statistics now = signal.lock.statistics();
      expect(now.waiting == static_cast<std::size_t>(signal.waiting),
             "event: those who wait are not in its queue");
      expect(now.waiting == 0 || !now.is_set, "event: somebody waits though it is set");
    }
    {
      const shared_mutex_statistics now = book.lock.statistics();
      expect(now.waiting_writers + now.waiting_readers == static_cast<std::size_t>(book.waiting),
             "shared_mutex: those who wait are not in its queue");
      expect(now.waiting_writers + now.waiting_readers == 0 || now.locked || now.readers != 0,
             "shared_mutex: somebody waits for a free one");
      expect(now.waiting_readers == 0 || now.locked || now.waiting_writers != 0,
             "shared_mutex: readers wait for a writer that has gone");
    }
    {
      const recursive_mutex_statistics now = tree.lock.statistics();
      expect(now.waiting == static_cast<std::size_t>(tree.waiting),
             "recursive_mutex: those who wait are not in its queue");
      expect(now.waiting == 0 || now.locked, "recursive_mutex: somebody waits for a free one");
      expect(now.locked == (tree.inside != 0), "recursive_mutex: its holder does not know");
    }
    {
      const semaphore_statistics now = gate.lock.statistics();
      expect(now.waiting == static_cast<std::size_t>(gate.waiting),
             "bounded_semaphore: those who wait are not in its queue");
      expect(now.waiting == 0 || now.available == 0,
             "bounded_semaphore: somebody waits for what is there");
    }
    {
      const once_statistics now = opened.statistics();
      expect(now.waiting == static_cast<std::size_t>(openers),
             "once: those who wait are not in its queue");
      expect(now.waiting == 0 || now.running, "once: somebody waits though nobody initialises");
      expect(now.done == (openings == 1), "once: not initialised once");
    }
    {
      const queue_statistics now = jobs.statistics();
      expect(now.waiting_gets == static_cast<std::size_t>(getting),
             "queue: its waiting gets are not those who wait");
      expect(now.waiting_puts == static_cast<std::size_t>(putting),
             "queue: its waiting puts are not those who wait");
    }
  }

  /// When all have ended.
  void balance() {
    look();
    for (stage& s : stages) {
      while (auto left = s.line.try_receive()) received(s, *left);
      for (const auto& [id, fate] : s.tokens) {
        expect(fate.sent <= 1 && fate.received <= 1, "channel: a token was duplicated");
        expect(fate.sent == fate.received, fate.sent > fate.received
                                               ? "channel: a token was lost"
                                               : "channel: a token that was not sent was received");
      }
      expect(s.sending == 0 && s.receiving == 0, "channel: a wait was left over");
    }
    expect(!shop.lock.locked() && desks.lock.borrowed() == 0, "a lock was not given back");
    expect(jobs_put == jobs_done, "queue: a job was lost, or done twice");
    expect(children == 0, "a nursery ended before its children");
  }

  static constexpr std::size_t permits_in_all = 2;
  std::deque<stage> stages;
  guarded<mutex> mutexes[2];
  struct {
    semaphore lock{permits_in_all};
    std::atomic<int> waiting{0}, inside{0};
  } permits;
  struct {
    capacity_limiter lock{permits_in_all};
    std::atomic<int> waiting{0}, inside{0};
  } desks;
  guarded<mutex> shop;
  condition brought;
  int stock = 0;
  std::atomic<int> buyers{0};
  guarded<event> signal;
  struct {
    shared_mutex lock;
    std::atomic<int> waiting{0}, readers{0}, writers{0};
  } book;
  guarded<recursive_mutex> tree;
  struct {
    bounded_semaphore lock{1};
    std::atomic<int> waiting{0}, inside{0};
  } gate;
  once opened;
  std::atomic<int> openers{0}, openings{0};
  queue<int> jobs{3};
  std::atomic<int> getting{0}, putting{0}, jobs_put{0}, jobs_done{0};
  std::atomic<int> children{0};  // in nurseries that have not ended
  std::atomic<int> bystanders{0};
  std::vector<std::string> findings;

 private:
  std::mutex lock_;  // for programs that have more than one thread
  std::mt19937_64 dice_;
  std::atomic<int> last_token_{0};
  std::vector<cancel_handle> targets_;
};

/// Whoever supplies a stage; the last one closes it.
class supplier {
 public:
  explicit supplier(stage& s) noexcept : stage_{s} {}
  supplier(const supplier&) = delete;
  supplier& operator=(const supplier&) = delete;
  ~supplier() {
    if (--stage_.suppliers == 0) stage_.line.close();
  }

 private:
  stage& stage_;
};

/// What an actor is to do.
struct role {
  enum kind { produce, relay, consume, bystand, work, boss } what = bystand;
  int where = 0;  // the stage that it takes from or gives to
  int how_many = 0;
  bool victim = false;  // may be cancelled as a whole
};

struct in_coroutines;
struct in_fibers;
/// Starts an actor in one of the models.
inline void start_actor(nursery& n, program& p, role r);

// The steps, in the words of each model.
#define MODEL in_coroutines
#define CODE(type) task<type>
#define WAIT(op) co_await op
#define CALL(result, call)   \
  auto result##_call = call; \
  auto result = co_await std::move(result##_call)
#define DO(name, call) \
  auto name = call;    \
  co_await std::move(name)
#define GIVE co_return
#include "tests/random_programs_steps.hpp"
#undef MODEL
#undef CODE
#undef WAIT
#undef CALL
#undef DO
#undef GIVE

#define MODEL in_fibers
#define CODE(type) type
#define WAIT(op) await(op)
#define CALL(result, call) auto result = call
#define DO(name, call) call
#define GIVE return
#include "tests/random_programs_steps.hpp"
#undef MODEL
#undef CODE
#undef WAIT
#undef CALL
#undef DO
#undef GIVE

void start_actor(nursery& n, program& p, role r) {
  if (p.chance(50)) {
    n.start(named{"actor", &in_coroutines::actor}, &p, r);
  } else {
    n.start(named{"actor", &in_fibers::actor}, &p, r);
  }
}

/// Looks from time to time, while everybody is blocked.
inline void watch(program& p) {
  for (int i = 0; i < 80; ++i) {
    await(testing::wait_all_tasks_blocked());
    p.look();
    await(sleep_for(p.a_while() / 4));
  }
}
inline void assassinate(program& p) {
  const int times = p.draw(0, 25);
  for (int i = 0; i < times; ++i) {
    await(sleep_for(p.a_while() / 2));
    p.cancel_somebody();
  }
}

/// Begins a whole program: `start` starts an actor.
template <class Start>
void begin_program(program& p, Start start) {
  const auto last = static_cast<int>(p.stages.size()) - 1;
  for (int i = 0; i <= last + 1; ++i) {
    const int several = p.draw(1, 3);
    if (i <= last) p.stages[static_cast<std::size_t>(i)].suppliers = several;
    for (int k = 0; k < several; ++k) {
      start({.what = i == 0      ? role::produce
                     : i <= last ? role::relay
                                 : role::consume,
             .where = i,
             .how_many = p.draw(1, 10),
             .victim = k != 0 && p.chance(50)});
    }
  }
  p.bystanders = p.draw(1, 8);
  for (int i = p.bystanders; i != 0; --i) {
    start({.what = role::bystand, .how_many = p.draw(1, 10), .victim = p.chance(40)});
  }
  start({.what = role::boss, .how_many = p.draw(0, 10)});
  for (int i = p.draw(1, 2); i != 0; --i) {
    start({.what = role::work, .victim = i != 1});
  }
}

/// A whole program, in a fiber.
inline void run_program(program& p) {
  with_nursery([&p](nursery& n) {
    begin_program(p, [&](role r) { start_actor(n, p, r); });
    n.start(named{"assassin", assassinate}, std::ref(p));
    n.start(named{"watcher", watch}, std::ref(p));
  });
  p.balance();
}

}  // namespace oneloop::random_programs
