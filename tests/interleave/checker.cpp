// The switch is the library's own: here its namespace has its own name.
#undef v0

#include "tests/interleave/checker.hpp"

#include <algorithm>
#include <cassert>
#include <random>
#include <thread>
#include <vector>

#include "oneloop/fiber/stack.hpp"
#include "oneloop/fiber/switch.hpp"

namespace interleave {
namespace {

using oneloop::switch_context;

// The thread that sets up and looks at the end: it runs while no other does.
constexpr std::size_t outside = most_threads;
constexpr std::size_t most_steps = 20'000;

bool acquires(std::memory_order o) {
  return o == std::memory_order_acquire || o == std::memory_order_acq_rel ||
         o == std::memory_order_seq_cst;
}
bool releases(std::memory_order o) {
  return o == std::memory_order_release || o == std::memory_order_acq_rel ||
         o == std::memory_order_seq_cst;
}
const char* name_of(std::memory_order o) {
  switch (o) {
    case std::memory_order_relaxed: return "relaxed";
    case std::memory_order_acquire: return "acquire";
    case std::memory_order_release: return "release";
    case std::memory_order_acq_rel: return "acq_rel";
    default: return "seq_cst";
  }
}

/// What somebody has seen: of each atomic which value at least, of each thread how many steps.
struct view {
  std::vector<std::uint32_t> seen;
  std::array<std::uint32_t, most_threads + 1> steps{};

  [[nodiscard]] std::uint32_t of(std::uint32_t id) const { return id < seen.size() ? seen[id] : 0; }
  void see(std::uint32_t id, std::uint32_t index) {
    if (id >= seen.size()) seen.resize(id + 1);
    seen[id] = std::max(seen[id], index);
  }
  void join(const view& o) {
    if (o.seen.size() > seen.size()) seen.resize(o.seen.size());
    for (std::size_t i = 0; i < o.seen.size(); ++i) seen[i] = std::max(seen[i], o.seen[i]);
    for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = std::max(steps[i], o.steps[i]);
  }
};

struct stored {
  word value;
  view message;  // what an acquire load of it takes over
};
using location = std::vector<stored>;              // its values, oldest first
constexpr std::uint64_t dead = ~std::uint64_t{0};  // the run of a cell that was destroyed

enum class progress { ready, pausing, waiting, ended };
struct fiber {
  std::function<void()> body;
  switch_context context;
  progress now = progress::ready;
  std::uint32_t waits_for = 0;
};

enum class step { load, store, modify, exchanged, not_exchanged, waits, wakes, pauses };
struct traced {
  std::size_t thread;
  step what;
  std::uint32_t id;
  word value;
  std::memory_order order;
  std::uint32_t age;  // of the value that was read: how many newer ones there are
};

struct choice {
  std::uint32_t taken;
  std::uint32_t of;
};

class engine {
 public:
  explicit engine(const options& o) : options_{o}, random_{o.seed} {
    for (auto& s : stacks_) s = pool_.acquire();
  }

  ~engine() {
    fibers_.clear();
    for (auto s : stacks_) pool_.release(s);
  }
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;

  report run(const std::function<void(world&)>& program) {
    report r;
    do {
      execute(program);
      ++r.executions;
      if (!failure_.empty()) {
        r.text = failure_ + explanation();
        break;
      }
    } while (r.executions < options_.most && next(r));
    return r;
  }

  // ---- the execution ----
  void execute(const std::function<void(world&)>& program);
  void* place(std::size_t size, std::size_t alignment) {
    used_ = (used_ + alignment - 1) / alignment * alignment;
    void* at = arena_.get() + used_;
    used_ += size;
    assert(used_ <= arena_size && "the state of the program is too large");
    return at;
  }
  void fail(const char* why) {
    if (failure_.empty()) failure_ = why;
    if (current_ != outside) leave();
  }

  // ---- steps ----
  void point() {
    if (current_ == outside) return;
    if (++steps_ > most_steps) return fail("the program does not end");
    go_on();
  }
  /// Lets whoever is chosen run; comes back when this thread is.
  void go_on() {
    const std::size_t me = current_;
    const std::size_t next = choose_thread();
    if (next == me) return;
    next_ = next;
    leave();
  }
  void leave() { fibers_[current_]->context.suspend(); }

  location& at(cell& c) {
    if (c.run == dead) fail("use of an atomic that was destroyed");
    if (c.run != run_) {
      c.run = run_;
      c.id = static_cast<std::uint32_t>(locations_.size());
      locations_.emplace_back().push_back({c.initial, {}});
    }
    return locations_[c.id];
  }
  view& mine() { return views_[current_]; }
  void count() { ++mine().steps[current_]; }

  /// The index of the value that a load gives.
  std::uint32_t read(cell& c, location& l, std::memory_order order, bool newest) {
    const auto last = static_cast<std::uint32_t>(l.size() - 1);
    std::uint32_t index = last;
    if (!newest && current_ != outside) {
      std::uint32_t first = mine().of(c.id);
      if (order == std::memory_order_seq_cst) first = std::max(first, agreed_.of(c.id));
      if (first < last && (options_.random != 0 || stale_ < options_.stale)) {
        index = last - choose(last - first + 1);
        if (index != last) ++stale_;
      }
    }
    return index;
  }
  void saw(cell& c, location& l, std::uint32_t index, std::memory_order order) {
    mine().see(c.id, index);
    if (order == std::memory_order_seq_cst) agreed_.see(c.id, index);
    if (acquires(order)) mine().join(l[index].message);
  }
  void append(cell& c, location& l, word value, std::memory_order order, const view* inherited) {
    const auto index = static_cast<std::uint32_t>(l.size());
    mine().see(c.id, index);
    if (order == std::memory_order_seq_cst) agreed_.see(c.id, index);
    stored s{value, {}};
    if (releases(order)) s.message = mine();
    if (inherited != nullptr) s.message.join(*inherited);
    l.push_back(std::move(s));
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
      if (i != current_ && fibers_[i]->now == progress::pausing) fibers_[i]->now = progress::ready;
    }
    nobody_went_on_ = 0;
  }
  void trace(step what, cell& c, word value, std::memory_order o, std::uint32_t age = 0) {
    trace_.push_back({current_, what, c.id, value, o, age});
  }

  word load(cell& c, std::memory_order order) {
    point();
    location& l = at(c);
    count();
    const std::uint32_t index = read(c, l, order, false);
    saw(c, l, index, order);
    const word value = l[index].value;
    trace(step::load, c, value, order, static_cast<std::uint32_t>(l.size() - 1 - index));
    return value;
  }
  void store(cell& c, word value, std::memory_order order) {
    point();
    location& l = at(c);
    count();
    append(c, l, value, order, nullptr);
    trace(step::store, c, value, order);
  }
  word modify(cell& c, word (*change)(word, word), word argument, std::memory_order order) {
    point();
    location& l = at(c);
    count();
    return modify_now(c, l, change(l.back().value, argument), order, step::modify);
  }
  word modify_now(cell& c, location& l, word value, std::memory_order order, step what) {
    const auto last = static_cast<std::uint32_t>(l.size() - 1);
    saw(c, l, last, order);
    const word old = l[last].value;
    const view inherited = l[last].message;
    append(c, l, value, order, &inherited);
    trace(what, c, value, order);
    return old;
  }
  bool compare_exchange(cell& c, word& expected, word desired, bool weak, std::memory_order success,
                        std::memory_order failure) {
    point();
    location& l = at(c);
    count();
    const auto last = static_cast<std::uint32_t>(l.size() - 1);
    std::uint32_t index = read(c, l, failure, false);
    // What it expects can only be found where it can be exchanged.
    while (index != last && l[index].value == expected) ++index;
    const bool spurious =
        weak && index == last && l[last].value == expected && current_ != outside &&
        (options_.random != 0 ? choose(16) == 1 : stale_ < options_.stale && choose(2) == 1);
    if (index == last && l[last].value == expected && !spurious) {
      modify_now(c, l, desired, success, step::exchanged);
      return true;
    }
    if (spurious) ++stale_;
    saw(c, l, index, failure);
    expected = l[index].value;
    trace(step::not_exchanged, c, expected, failure, last - index);
    return false;
  }
  void wait(cell& c, word value) {
    point();
    location& l = at(c);
    if (l.back().value != value) return;
    if (current_ == outside) return fail("the thread outside would wait");
    trace(step::waits, c, value, std::memory_order_relaxed);
    fibers_[current_]->now = progress::waiting;
    fibers_[current_]->waits_for = c.id;
    go_on();
  }
  void wake_one(cell& c) {
    point();
    // By its address: whoever wakes need not know whether it still lives.
    std::array<fiber*, most_threads> those{};
    std::uint32_t n = 0;
    for (auto& f : fibers_) {
      if (c.run == run_ && f->now == progress::waiting && f->waits_for == c.id)
        those[n++] = f.get();
    }
    trace(step::wakes, c, n, std::memory_order_relaxed);
    if (n != 0) those[choose(n)]->now = progress::ready;
  }
  void pause() {
    if (current_ == outside) return;
    fibers_[current_]->now = progress::pausing;
    if (++steps_ > most_steps) return fail("the program does not end");
    go_on();
  }
  // ---- plain data ----
  [[nodiscard]] std::uint64_t current_run() const noexcept { return run_; }
  [[nodiscard]] std::size_t current() const noexcept { return current_; }
  /// When plain data is accessed: known to others with the next step of this thread.
  [[nodiscard]] std::uint32_t clock() { return mine().steps[current_] + 1; }
  [[nodiscard]] bool knows(std::size_t thread, std::uint32_t step) {
    return thread == current_ || step <= mine().steps[thread];
  }

  std::vector<std::unique_ptr<fiber>> fibers_;
  std::function<void()> finally_;
  std::vector<std::pair<void*, void (*)(void*)>> states_;

 private:
  std::size_t choose_thread() {
    std::array<std::size_t, most_threads> those{};
    std::uint32_t n = 0;
    const bool stay = fibers_[current_]->now == progress::ready;
    if (stay) those[n++] = current_;
    const bool may_leave = !stay || options_.random != 0 || preempted_ < options_.preemptions;
    if (!may_leave) return current_;
    for (int round = 0; round < 2 && n == 0; ++round) {
      if (round == 1) {
        // Only those that spin are left: what they look for may have been stored already.
        if (++nobody_went_on_ > 8) break;
        for (auto& f : fibers_) {
          if (f->now == progress::pausing) f->now = progress::ready;
        }
      }
      for (std::size_t i = 0; i < fibers_.size(); ++i) {
        if (!(stay && i == current_) && fibers_[i]->now == progress::ready) those[n++] = i;
      }
    }
    if (stay) {
      for (std::size_t i = 0; i < fibers_.size(); ++i) {
        if (i != current_ && fibers_[i]->now == progress::ready) those[n++] = i;
      }
    }
    if (n == 0) {
      const bool over =
          std::ranges::all_of(fibers_, [](const auto& f) { return f->now == progress::ended; });
      if (over) return outside;
      fail(nobody_went_on_ > 8 ? "threads spin for ever" : "all threads wait: a lost wake-up");
      return outside;
    }
    if (n == 1) return those[0];
    // At random a thread mostly goes on, or nothing would ever get far.
    if (options_.random != 0 && stay && random_() % 4 != 0) return current_;
    const std::size_t taken = those[choose(n)];
    if (stay && taken != current_) ++preempted_;
    return taken;
  }

  std::uint32_t choose(std::uint32_t n) {
    if (n <= 1) return 0;
    if (options_.random != 0) return static_cast<std::uint32_t>(random_() % n);
    if (depth_ == choices_.size()) choices_.push_back({0, n});
    assert(choices_[depth_].of == n && "the program is not deterministic");
    return choices_[depth_++].taken;
  }
  /// On to the next schedule; false if there is none.
  bool next(report& r) {
    if (options_.random != 0) return r.executions < options_.random;
    while (!choices_.empty() && choices_.back().taken + 1 == choices_.back().of)
      choices_.pop_back();
    r.complete = choices_.empty();
    if (r.complete) return false;
    ++choices_.back().taken;
    return true;
  }

  [[nodiscard]] std::string explanation() const {
    static constexpr const char* names[] = {"load",          "store", "modify", "exchanged",
                                            "not exchanged", "waits", "wakes",  "pauses"};
    std::string text{"\n"};
    const std::size_t most = 120;
    if (trace_.size() > most) text += "  ...\n";
    for (std::size_t i = trace_.size() > most ? trace_.size() - most : 0; i < trace_.size(); ++i) {
      const traced& t = trace_[i];
      text +=
          "  " +
          (t.thread == outside ? std::string{"outside"} : "thread " + std::to_string(t.thread)) +
          ": atomic " + std::to_string(t.id) + " " + names[static_cast<int>(t.what)] + " " +
          std::to_string(t.value) + " " + name_of(t.order);
      if (t.age != 0) text += " (" + std::to_string(t.age) + " newer)";
      text += "\n";
    }
    return text;
  }

  static constexpr std::size_t arena_size = 1 << 16;
  options options_;
  std::mt19937_64 random_;
  oneloop::stack_pool pool_;
  std::array<oneloop::stack, most_threads> stacks_;
  std::unique_ptr<std::byte[]> arena_{new std::byte[arena_size]};
  std::vector<choice> choices_;

  // Of this execution:
  std::uint64_t run_ = 0;
  std::size_t used_ = 0;
  std::size_t depth_ = 0;
  std::size_t steps_ = 0;
  std::size_t current_ = outside;
  std::size_t next_ = outside;
  int preempted_ = 0;
  int stale_ = 0;
  int nobody_went_on_ = 0;
  std::vector<location> locations_;
  std::array<view, most_threads + 1> views_;
  view agreed_;
  std::vector<traced> trace_;
  std::string failure_;
};

engine* the_engine = nullptr;
std::uint64_t runs = 0;

void engine::execute(const std::function<void(world&)>& program) {
  run_ = ++runs;
  used_ = depth_ = steps_ = 0;
  preempted_ = stale_ = nobody_went_on_ = 0;
  current_ = outside;
  locations_.clear();
  views_ = {};
  agreed_ = {};
  trace_.clear();
  failure_.clear();
  finally_ = nullptr;
  states_.clear();
  fibers_.clear();

  world w;
  program(w);
  count();
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    views_[i] = views_[outside];
    fibers_[i]->context.create(
        stacks_[i],
        [](void* f) {
          auto& self = *static_cast<fiber*>(f);
          self.body();
          self.now = progress::ended;
          the_engine->next_ = the_engine->choose_thread();
        },
        fibers_[i].get());
  }
  if (!fibers_.empty()) {
    std::uint32_t first = choose(static_cast<std::uint32_t>(fibers_.size()));
    for (next_ = first; next_ != outside && failure_.empty();) {
      current_ = next_;
      fibers_[current_]->context.resume();
    }
  }
  // What has failed is left as it is: its parties are in the middle of something.
  current_ = outside;
  if (!failure_.empty()) return;
  for (std::size_t i = 0; i < fibers_.size(); ++i) {
    ++views_[i].steps[i];
    views_[outside].join(views_[i]);
  }
  if (finally_) finally_();
  if (!failure_.empty()) return;
  while (!states_.empty()) {
    states_.back().second(states_.back().first);
    states_.pop_back();
  }
}

}  // namespace

report explore(const options& o, const std::function<void(world&)>& program) {
  // short_mutex takes a shorter way in a program that never had a second thread.
  static const bool threaded = (std::thread{[] {}}.join(), true);
  static_cast<void>(threaded);
  engine e{o};
  the_engine = &e;
  report r = e.run(program);
  the_engine = nullptr;
  return r;
}

void world::thread(std::function<void()> body) {
  assert(the_engine->fibers_.size() < most_threads);
  the_engine->fibers_.push_back(std::make_unique<fiber>());
  the_engine->fibers_.back()->body = std::move(body);
}
void world::finally(std::function<void()> body) { the_engine->finally_ = std::move(body); }
void* world::place(std::size_t size, std::size_t alignment) {
  return the_engine->place(size, alignment);
}
void world::when_ended(void* object, void (*destroy)(void*)) {
  the_engine->states_.emplace_back(object, destroy);
}

void expect(bool holds, const char* what) {
  if (!holds) the_engine->fail(what);
}

word load(cell& c, std::memory_order order) { return the_engine->load(c, order); }
void store(cell& c, word value, std::memory_order order) { the_engine->store(c, value, order); }
word modify(cell& c, word (*change)(word, word), word argument, std::memory_order order) {
  return the_engine->modify(c, change, argument, order);
}
bool compare_exchange(cell& c, word& expected, word desired, bool weak, std::memory_order success,
                      std::memory_order failure) {
  return the_engine->compare_exchange(c, expected, desired, weak, success, failure);
}
void wait(cell& c, word value) { the_engine->wait(c, value); }
void wake_one(cell& c) { the_engine->wake_one(c); }
void pause() { the_engine->pause(); }
void destroyed(cell& c) noexcept { c.run = dead; }

void access::read() noexcept {
  if (the_engine == nullptr || run_ != the_engine->current_run()) return;
  if (!the_engine->knows(writer_, write_)) {
    the_engine->fail("a race: plain data is read while it is written");
  }
  reads_[the_engine->current()] = the_engine->clock();
}
void access::written() noexcept {
  if (the_engine == nullptr) return;
  if (run_ == the_engine->current_run()) {
    if (!the_engine->knows(writer_, write_))
      the_engine->fail("a race: plain data is written twice");
    for (std::size_t i = 0; i < reads_.size(); ++i) {
      if (i != the_engine->current() && !the_engine->knows(i, reads_[i])) {
        the_engine->fail("a race: plain data is written while it is read");
      }
    }
  }
  run_ = the_engine->current_run();
  reads_ = {};
  writer_ = the_engine->current();
  write_ = the_engine->clock();
}

}  // namespace interleave
