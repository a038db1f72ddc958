#include "oneloop/loop/loop.hpp"

#include <sys/random.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/split_mix_internal.hpp"

namespace oneloop::inline v0 {
namespace {

thread_local loop* t_current = nullptr;

// Reached through functions that are never inlined: compilers cache a thread_local's address across
// a suspension (PITFALLS of fibers and of clang's coroutines).
[[gnu::noinline]] void set_current(loop* l) noexcept { t_current = l; }

struct posted final : ready_item {
  posted(loop& l, std::move_only_function<void()> body) : home{l}, f{std::move(body)} {
    run = [](ready_item& item) noexcept {
      std::unique_ptr<posted> self{static_cast<posted*>(&item)};
      if (!self->home.closed()) self->f();
    };
  }
  loop& home;
  std::move_only_function<void()> f;
};

std::uint32_t next_loop_id() noexcept {
  static std::atomic<std::uint32_t> loops{0};
  return loops.fetch_add(1, std::memory_order_relaxed) + 1;
}

// Whether this thread is the only one of the process.
bool only_thread() noexcept {
  struct stat tasks{};
  return ::stat("/proc/self/task", &tasks) == 0 && tasks.st_nlink == 3;
}

}  // namespace

all_asleep::all_asleep(std::string_view dump)
    : error{
          std::make_error_code(std::errc::resource_deadlock_would_occur),
          std::string{"all are asleep for good: nothing can run, and nothing will wake the loop\n"}
              .append(dump)} {}

loop_extension::~loop_extension() = default;
loop_observer::~loop_observer() = default;

struct loop::keyed_extension {
  const void* key;
  std::unique_ptr<loop_extension> extension;
  std::unique_ptr<keyed_extension> older;
};

// What a simulated loop has in addition.
struct loop::simulation {
  std::uint64_t order = 0;         // the state of the random numbers that decide it
  std::vector<ready_item*> batch;  // empty between turns
  intrusive_queue<ready_item> posted;
  void (*ran)(void*, loop&) noexcept = nullptr;
  void* argument = nullptr;
};

// A stretch of driving: makes the loop this thread's current one, and takes that back.
struct loop::driving {
  explicit driving(loop& l, const char* what) : l_{l} {
    if (l.fork_generation_ != fork_generation()) {
      throw error{errc::loop_after_fork,
                  std::string{what} +
                      ": this loop belongs to the parent process; a forked child "
                      "must make its own, or better be re-executed"};
    }
    if (l.closed_) throw loop_not_running{what};
    if (current() != nullptr) {
      if (current() == &l) throw misuse{std::string{what} + ": the loop is running already"};
      throw would_block_loop{what};
    }
    std::thread::id nobody{};
    if (!l.driver_.compare_exchange_strong(nobody, std::this_thread::get_id())) {
      throw misuse{std::string{what} + ": another thread is running the loop"};
    }
    try {
      l.backend_->enter();
    } catch (...) {
      l.driver_.store({}, std::memory_order_release);
      throw;
    }
    set_current(&l);
  }
  ~driving() {
    l_.active = nullptr;
    l_.also_ = nullptr;
    set_current(nullptr);
    l_.driver_.store({}, std::memory_order_release);
  }
  driving(const driving&) = delete;
  driving& operator=(const driving&) = delete;

 private:
  loop& l_;
};

[[gnu::noinline]] loop* loop::current() noexcept { return t_current; }

loop::loop(std::string_view name)
    : inbox_{inbox::create()}, id_{next_loop_id()}, fork_generation_{fork_generation()} {
  try {
    if (name.empty()) {
      const char* chosen = std::getenv("ONELOOP_BACKEND");
      name = chosen != nullptr && *chosen != '\0' ? chosen : "auto";
    }
    backend_ = make_backend(name == "auto" ? "epoll" : name, *inbox_);
    clock_ = backend_->virtual_time();
    std::uint64_t entropy = 1;
    if (name != "virtual" && ::getrandom(&entropy, sizeof entropy, GRND_NONBLOCK) < 0) entropy = 1;
    seed(entropy);
  } catch (...) {
    inbox_->release();
    throw;
  }
}

loop::loop(simulation_seed s) : loop{"virtual"} {
  std::uint64_t state = s.value;
  simulation_ = std::make_unique<simulation>();
  simulation_->order = split_mix(state);
  timers_.shuffle(split_mix(state) | 1);
  seed(split_mix(state));
  alone_ = true;
}

loop::~loop() {
  if (fork_generation_ != fork_generation()) {
    // A forked child: what lives on the loop is the parent's, and is left as it is.
    while (extensions_) {
      static_cast<void>(extensions_->extension.release());
      extensions_ = std::move(extensions_->older);
    }
  } else {
    // The driver must be nobody; inside another loop of this thread only an empty loop can end.
    if (!closed_ && current() == nullptr) {
      if (auto failure = drain()) {
        log(severity::error, "a party of a loop that was destroyed failed: " + describe(failure));
      }
    }
    close();
    while (extensions_) extensions_ = std::move(extensions_->older);
  }
  forget_signals(*inbox_);
  backend_.reset();
  inbox_->release();
}

std::exception_ptr loop::drain() {
  std::exception_ptr first;
  // An extension may be made meanwhile: it comes in front, and has nothing to drain.
  for (auto* e = extensions_.get(); e != nullptr; e = e->older.get()) {
    auto failure = e->extension->drain();
    if (!first) first = std::move(failure);
  }
  return first;
}

void loop::close() noexcept {
  if (closed_) return;
  closed_ = true;
  // Items that other threads had pushed run once more, seeing `closed`: they may own something.
  if (simulation_ != nullptr) ready_.append(simulation_->posted);
  auto rest = inbox_->stack().close();
  ready_.append(rest);
  while (ready_item* item = ready_.pop()) item->run(*item);
}

const char* loop::backend_name() const noexcept { return backend_->name(); }
time_point loop::now() const noexcept { return backend_->now(); }

time_point loop::now_here() noexcept {
  const loop* l = current();
  return l != nullptr ? l->now() : clock::now();
}

wall_time_point loop::wall_time_here() noexcept {
  const loop* l = current();
  if (l != nullptr && l->simulated()) return l->clock_->wall();
  return std::chrono::time_point_cast<duration>(std::chrono::system_clock::now());
}

void loop::refuse_in_simulation(const char* what) {
  const loop* l = current();
  if (l == nullptr || !l->simulated()) return;
  throw misuse{std::string{what} +
               ": a simulation has no threads, processes or loops beside its own, because no seed "
               "decides when they run; start tasks or fibers (blocking calls by to_thread and "
               "on_pool run at once)"};
}

void loop::refuse_other_threads(const char* what) const {
  if (simulated() && !on_own_thread()) {
    throw misuse{std::string{what} +
                 ": another thread cannot reach a simulated loop, because no seed decides when it "
                 "does"};
  }
}

void loop::when_ran(void (*call)(void*, loop&) noexcept, void* argument) noexcept {
  simulation_->ran = call;
  simulation_->argument = argument;
}

io_driver& loop::io() noexcept { return *backend_; }

void loop::seed(std::uint64_t value) noexcept {
  random_[0] = split_mix(value);
  random_[1] = split_mix(value);
}

std::uint64_t loop::random() noexcept {  // xoroshiro128+ (Blackman, Vigna)
  const std::uint64_t a = random_[0];
  std::uint64_t b = random_[1];
  const std::uint64_t result = a + b;
  auto rotl = [](std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  b ^= a;
  random_[0] = rotl(a, 24) ^ b ^ (b << 16);
  random_[1] = rotl(b, 37);
  return result;
}

bool loop::on_own_thread() const noexcept {
  const auto driver = driver_.load(std::memory_order_relaxed);
  return driver == std::thread::id{} || driver == std::this_thread::get_id();
}

void loop::check_thread(const char* what) const {
  if (fork_generation_ != fork_generation()) {
    throw error{errc::loop_after_fork,
                std::string{what} + ": this loop belongs to the parent process"};
  }
  if (!on_own_thread()) throw wrong_thread{what};
}

bool loop::post(std::move_only_function<void()> f) {
  refuse_other_threads("post");
  auto item = std::make_unique<posted>(*this, std::move(f));
  inbox_pin pin{*inbox_};
  if (!pin->push(*item)) return false;
  static_cast<void>(item.release());
  return true;
}

const operation_info waiter::giving_way{"its turn", [](void*, waiter&) noexcept {}};

void waiter::wake() noexcept {
  loop* home = home_;
  if (home == nullptr) {
    run(*this);
  } else if (home == loop::current()) {
    home->ready_.push(*this);
  } else {
    // The pin comes first: after the push, this waiter and its loop may be gone.
    inbox_pin pin{home->mail()};
    pin->push(*this);
  }
}

void loop::run_observed(ready_item& item) noexcept {
  const auto progress = progress_;
  const auto start = clock::now();
  item.run(item);
  observer_->ran(*this, clock::now() - start, progress_ != progress);
}

std::size_t loop::run_items(std::size_t max, const bool* done) noexcept {
  std::size_t n = 0;
  while (n < max && (done == nullptr || !*done)) {
    ready_item* item = ready_.pop();
    if (item == nullptr) break;
    ++n;
    active = nullptr;
    if (observer_) {
      run_observed(*item);
    } else {
      item->run(*item);
    }
  }
  active = nullptr;
  return n;
}

void loop::take_mail() noexcept {
  auto mail = inbox_->stack().take_all();
  ready_.append(mail);
  if (inbox_->signals.load(std::memory_order_relaxed) != 0) dispatch_signals(*this);
}

void loop::fire_timers() noexcept {
  fire_due(timers_);
  if (also_ != nullptr) fire_due(*also_);
}

void loop::fire_due(timer_queue& timers) noexcept {
  if (timers.size() == 0) return;
  const time_point t = now();
  while (timer_node* due = timers.pop_due(t)) due->fire(*due);
}

// Everything that is ready, in an order that the seed decides; what becomes ready meanwhile waits
// for the next batch. Then what was posted, whose order is promised.
void loop::run_batch(const bool& done) noexcept {
  simulation& s = *simulation_;
  auto mail = inbox_->stack().take_all();
  s.posted.append(mail);
  if (inbox_->signals.load(std::memory_order_relaxed) != 0) dispatch_signals(*this);
  while (ready_item* item = ready_.pop()) s.batch.push_back(item);
  for (std::size_t left = s.batch.size(); left > 1; --left) {
    std::swap(s.batch[split_mix(s.order) % left], s.batch[left - 1]);
  }
  const auto run_one = [&](ready_item& item) {
    active = nullptr;
    if (observer_) {
      run_observed(item);
    } else {
      item.run(item);
    }
    if (s.ran != nullptr) s.ran(s.argument, *this);
  };
  std::size_t n = 0;
  while (n < s.batch.size() && !done) run_one(*s.batch[n++]);
  intrusive_queue<ready_item> later;
  while (n < s.batch.size()) later.push(*s.batch[n++]);
  s.batch.clear();
  later.append(ready_);
  ready_ = later;
  while (!done) {
    ready_item* item = s.posted.pop();
    if (item == nullptr) break;
    run_one(*item);
  }
  active = nullptr;
}

duration loop::shortest_idle() noexcept {
  duration shortest = duration::max();
  for (idle_node* n = idle_.front(); n != nullptr; n = idle_.next(*n)) {
    shortest = std::min(shortest, n->cushion);
  }
  return shortest;
}

// There is nothing ready. The time when those who wait for that may go on.
time_point loop::begin_idle() noexcept {
  const time_point t = now();
  idle_until_ = after(t, shortest_idle());
  // A clock that is moved by hand does not get there.
  if (clock_ != nullptr && clock_->stands_still_before(idle_until_)) idle_until_ = t;
  return idle_until_;
}

void loop::end_idle() noexcept {
  const time_point until = std::exchange(idle_until_, never);
  if (!ready_.empty() || !inbox_->stack().empty() || now() < until) return;
  const duration shortest = shortest_idle();
  for (idle_node* n = idle_.front(); n != nullptr;) {
    idle_node& one = *std::exchange(n, idle_.next(*n));
    if (one.cushion > shortest) continue;
    one.unlink();
    one.fire(one);
  }
}

bool loop::asleep() noexcept {
  return ready_.empty() && timers_.size() == 0 && idle_.empty() && owed() == 0 &&
         inbox_->stack().empty() && !backend_->awaits_io();
}

// It is about to sleep without an end.
bool loop::nobody_will_wake_it() {
  return owed() == 0 && (alone_ || (clock_ != nullptr && only_thread())) &&
         !backend_->awaits_io() && !awaits_signals(*this) &&
         inbox_->stack().empty();  // last: whoever is gone may have left something
}

void loop::end_what_is_asleep() {
  inbox_->stack().awake();
  const auto why = std::make_exception_ptr(all_asleep{dump()});
  bool ends = false;
  for (auto* e = extensions_.get(); e != nullptr; e = e->older.get()) {
    if (e->extension->asleep_for_good(why)) ends = true;
  }
  if (!ends) std::rethrow_exception(why);
}

void loop::run_while_mail_comes(const bool& done) noexcept {
  const auto mail = [this] { return !inbox_->stack().empty(); };
  std::size_t left = 256;
  for (int spins = 0; spins < 16; ++spins) {
    take_mail();
    left -= run_items(left, &done);
    if (done || left == 0 || !ready_.empty() || clock_ != nullptr) return;
    if (!spin_.saw(mail)) return;
  }
}

void loop::turn(const bool& done) {
  if (simulation_ != nullptr) [[unlikely]] {
    run_batch(done);
  } else {
    run_while_mail_comes(done);
  }
  if (done) return;
  time_point deadline = time_point::min();
  if (ready_.empty()) {
    deadline = timers_.next();
    if (!idle_.empty()) [[unlikely]]
      deadline = std::min(deadline, begin_idle());
  }
  if (also_ != nullptr) deadline = std::min(deadline, also_->next());
  if (deadline != time_point::min()) {
    const bool for_good =
        deadline == never || (clock_ != nullptr && clock_->stands_still_before(deadline));
    if (!inbox_->stack().sleep()) {
      deadline = time_point::min();
    } else if (for_good && nobody_will_wake_it()) {
      return end_what_is_asleep();
    }
  }
  backend_->wait(deadline, owed() != 0);
  inbox_->stack().awake();
  if (deadline != time_point::min() && !inbox_->stack().empty()) spin_.woken();
  fire_timers();
  if (idle_until_ != never) [[unlikely]]
    end_idle();
}

void loop::run_until(const bool& done, ready_item* first, timer_queue* also) {
  driving guard{*this, "run"};
  also_ = also;
  if (first != nullptr) ready_.push(*first);
  while (!done) turn(done);
}

void loop::refuse_as_guest(const char* what) const {
  if (simulated()) {
    throw misuse{std::string{what} + ": a simulated loop is no guest: it alone decides what runs"};
  }
}

int loop::pollable_fd() {
  check_thread("pollable_fd");
  refuse_as_guest("pollable_fd");
  const bool drive = current() == nullptr;
  if (drive) driving{*this, "pollable_fd"};
  expect_driver();
  return backend_->pollable_fd();
}

time_point loop::next_deadline() noexcept {
  // From here on the host may sleep: pushes must signal the inbox's descriptor.
  if (!ready_.empty() || !backend_->flush() || !inbox_->stack().sleep()) return now();
  return idle_.empty() ? timers_.next() : std::min(timers_.next(), begin_idle());
}

std::size_t loop::run_ready(std::size_t max_items) {
  refuse_as_guest("run_ready");
  driving guard{*this, "run_ready"};
  inbox_->stack().awake();
  backend_->wait(time_point::min(), true);
  fire_timers();
  take_mail();
  const std::size_t n = run_items(max_items, nullptr);
  if (n != 0) idle_until_ = never;
  if (idle_until_ != never) end_idle();
  return n;
}

loop_extension* loop::find_extension(const void* key) noexcept {
  for (auto* e = extensions_.get(); e != nullptr; e = e->older.get()) {
    if (e->key == key) return e->extension.get();
  }
  return nullptr;
}

void loop::add_extension(const void* key, std::unique_ptr<loop_extension> e) {
  extensions_ = std::make_unique<keyed_extension>(key, std::move(e), std::move(extensions_));
}

void loop::set_observer(std::unique_ptr<loop_observer> o) noexcept { observer_ = std::move(o); }

std::string available_backends() {
  return uring_available() ? "epoll io_uring virtual" : "epoll virtual";
}

}  // namespace oneloop::inline v0
