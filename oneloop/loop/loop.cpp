#include "oneloop/loop/loop.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/loop/backend.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/signals.hpp"

namespace oneloop::inline v0 {
namespace {

thread_local loop* t_current = nullptr;

// Reached through functions that are never inlined: compilers cache a thread_local's address across
// a suspension (PITFALLS of fibers and of clang's coroutines).
[[gnu::noinline]] void set_current(loop* l) noexcept { t_current = l; }

std::uint64_t split_mix(std::uint64_t& state) noexcept {
  std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

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

}  // namespace

loop_extension::~loop_extension() = default;
loop_observer::~loop_observer() = default;

struct loop::keyed_extension {
  const void* key;
  std::unique_ptr<loop_extension> extension;
  std::unique_ptr<keyed_extension> older;
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

loop::loop(std::string_view name) : inbox_{inbox::create()}, fork_generation_{fork_generation()} {
  try {
    if (name.empty()) {
      const char* chosen = std::getenv("ONELOOP_BACKEND");
      name = chosen != nullptr && *chosen != '\0' ? chosen : "auto";
    }
    backend_ = make_backend(name == "auto" ? "epoll" : name, *inbox_);
    std::uint64_t entropy = 1;
    if (name != "virtual" && ::getrandom(&entropy, sizeof entropy, GRND_NONBLOCK) < 0) entropy = 1;
    seed(entropy);
  } catch (...) {
    inbox_->release();
    throw;
  }
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
  auto rest = inbox_->stack().close();
  ready_.append(rest);
  while (ready_item* item = ready_.pop()) item->run(*item);
}

const char* loop::backend_name() const noexcept { return backend_->name(); }
time_point loop::now() const noexcept { return backend_->now(); }
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
  auto item = std::make_unique<posted>(*this, std::move(f));
  inbox_pin pin{*inbox_};
  if (!pin->push(*item)) return false;
  static_cast<void>(item.release());
  return true;
}

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

void loop::turn(const bool& done) {
  take_mail();
  run_items(256, &done);
  if (done) return;
  time_point deadline = ready_.empty() ? timers_.next() : time_point::min();
  if (also_ != nullptr) deadline = std::min(deadline, also_->next());
  if (deadline != time_point::min() && !inbox_->stack().sleep()) deadline = time_point::min();
  backend_->wait(deadline, owed() != 0);
  inbox_->stack().awake();
  fire_timers();
}

void loop::run_until(const bool& done, ready_item* first, timer_queue* also) {
  driving guard{*this, "run"};
  also_ = also;
  if (first != nullptr) ready_.push(*first);
  while (!done) turn(done);
}

int loop::pollable_fd() {
  check_thread("pollable_fd");
  const bool drive = current() == nullptr;
  if (drive) driving{*this, "pollable_fd"};
  expect_driver();
  return backend_->pollable_fd();
}

time_point loop::next_deadline() noexcept {
  // From here on the host may sleep: pushes must signal the inbox's descriptor.
  if (!ready_.empty() || !backend_->flush() || !inbox_->stack().sleep()) return now();
  return timers_.next();
}

std::size_t loop::run_ready(std::size_t max_items) {
  driving guard{*this, "run_ready"};
  inbox_->stack().awake();
  backend_->wait(time_point::min(), true);
  fire_timers();
  take_mail();
  return run_items(max_items, nullptr);
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
