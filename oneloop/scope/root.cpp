#include "oneloop/scope/root.hpp"

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <ranges>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/loop/fork_generation_internal.hpp"
#include "oneloop/loop/parker.hpp"
#include "oneloop/scope/deadlock.hpp"
#include "oneloop/scope/debug.hpp"
#include "oneloop/scope/local.hpp"

namespace oneloop::inline v0 {
namespace {

void nobody_resumes(ready_item&) noexcept {}

std::string place(const context& c) {
  return std::string{"'"}
      .append(c.name())
      .append("' (started at ")
      .append(c.spawned_at().file_name())
      .append(":")
      .append(std::to_string(c.spawned_at().line()))
      .append(")");
}

// ONELOOP_DEBUG=1: what goes wrong silently otherwise.
class debug_observer final : public loop_observer {
 public:
  void ran(loop& l, duration took, bool progress) override {
    const context* c = l.active;
    if (c == nullptr || c->parent() == nullptr) return;
    if (took > std::chrono::milliseconds{100}) {
      log(severity::warning,
          "party " + place(*c) + " held the loop for " +
              std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()) +
              " ms");
    }
    if (!progress && c->kind() == party_kind::coroutine) {
      log(severity::error,
          "coroutine body lost in party " + place(*c) +
              ": it was resumed and neither finished nor suspended; see docs/compilers.md");
    }
  }
};

bool debugging() noexcept {
  const char* value = std::getenv("ONELOOP_DEBUG");
  return value != nullptr && *value != '\0' && std::string_view{value} != "0";
}

// Each below its parent, the oldest first; `all` begins with the root.
void write_tree(std::string& out, const std::vector<context*>& all) {
  std::unordered_map<const context*, std::vector<const context*>> children;
  for (const context* c : all) children[c->parent()].push_back(c);
  struct place {
    const context* party;
    std::size_t depth;
  };
  std::vector<place> next{{all.front(), 0}};
  while (!next.empty()) {
    const auto [party, depth] = next.back();
    next.pop_back();
    out.append(depth * 2, ' ');
    party->write_line(out);
    out += '\n';
    const auto below = children.find(party);
    if (below == children.end()) continue;
    for (const context* c : below->second | std::views::reverse) next.push_back({c, depth + 1});
  }
}

}  // namespace

bool debug_checks() noexcept {
  static const bool on = debugging();
  return on;
}

void check_own_thread(const loop* home, const char* what) noexcept {
  if (home == nullptr || !debug_checks() || home->on_own_thread()) return;
  log(severity::error,
      std::string{what}.append(" was called on a thread that does not run its loop"));
}

void report_swallowed(const context& c) noexcept {
  log(severity::warning,
      "`cancelled` was thrown in a scope of party " + place(c) +
          " and swallowed there: the scope ended as if nothing had happened; let it pass");
}

void report_misnested(const context& c) noexcept {
  if (!debug_checks()) return;
  log(severity::error, "misnested scopes in party " + place(c) +
                           ": one was left before a scope inside it; what was inside belongs to "
                           "the next scope around it now");
}

loop_root::loop_root(loop& l)
    : loop_{l},
      scope_{&l, nullptr, nullptr},
      self_{party_kind::callback, &l, nobody_resumes, scope_, nullptr, {"loop", {}}} {
  open();
  if (!debug_checks()) return;
  l.set_observer(std::make_unique<debug_observer>());
  watch_for_deadlocks();
}

// The loop has drained before.
loop_root::~loop_root() {
  watcher_.unlink();
  (void)nursery_->close_quietly();
}

void loop_root::watcher::changed(bool cancelled) noexcept {
  const auto& hook = home.when_root_cancelled;
  if (cancelled && hook.call != nullptr) hook.call(hook.argument);
}

void loop_root::open() {
  told_asleep_ = false;
  nursery_.emplace(self_);
  nursery_->scope().listen(watcher_);
}

std::vector<context*> loop_root::parties() {
  std::vector<context*> all;
  scope_.each_member([&](context& c) { all.push_back(&c); });
  std::ranges::stable_sort(all, {}, &context::ordinal);
  return all;
}

std::exception_ptr loop_root::drain() {
  nursery_->cancel();
  bool done = false;
  struct joiner final : waiter {
    joiner(loop& l, bool& d)
        : waiter{&l, [](ready_item& i) noexcept { static_cast<joiner&>(i).done = true; }},
          done{d} {}
    bool& done;
  } all_ended{loop_, done};
  // Again, if something was started between the end of the last child and here.
  do {
    done = false;
    auto join = nursery_->join();
    if (join.await_suspend(all_ended)) loop_.run_until(done);
  } while (nursery_->running() != 0);
  // Every party has ended, so whoever still owes something has delivered it and is about to say so.
  while (loop_.owed() != 0) std::this_thread::yield();
  watcher_.unlink();
  std::exception_ptr failure = nursery_->close_quietly();
  open();
  return failure;
}

bool loop_root::asleep_for_good(const std::exception_ptr& why) {
  if (parties().size() == 1 && nursery_->running() == 0) return false;
  // What has been cancelled before, and is asleep now, shields have kept from it.
  if (nursery_->scope().cancel_called() && !scope_.cancel_shielded()) {
    // To go on is as impossible as to leave them: they are in the middle of something.
    log(severity::error, "these parties have been cancelled and do not end: " + describe(why));
    std::terminate();
  }
  if (!std::exchange(told_asleep_, true)) nursery_->body_failed(why);
  return true;
}

void loop_root::rethrow(std::exception_ptr main, std::exception_ptr other) {
  if (main && other) {
    try {
      std::rethrow_exception(main);
    } catch (const cancelled&) {  // because of the other failure
    } catch (...) {
      throw exception_group{{std::move(main), std::move(other)}};
    }
  }
  if (other) std::rethrow_exception(std::move(other));
  if (main) std::rethrow_exception(std::move(main));
}

std::string loop::dump() {
  std::string out = std::string{"loop on "} + backend_name();
  // A party that asks for this is not asleep.
  if (active == nullptr && asleep()) {
    out += ", asleep unless something outside wakes it";
  }
  out += '\n';
  const std::vector<context*> all = loop_root::of(*this).parties();
  write_tree(out, all);
  return out + describe_locks(all);
}

namespace {
// Ends the root with its thread. If that comes in the middle of a wait or a job (`exit` was called
// in a task that the thread waits for, or on a pool), code that stands on it is still there, and
// others know its scopes: it is left as it is.
struct root_holder {
  ~root_holder() { reset(); }
  void reset() noexcept {
    if (root != nullptr && !root->in_use()) delete root;
    root = nullptr;
  }
  thread_root* root = nullptr;
};
// Reached only through functions that are not inlined: fibers run on this thread too.
thread_local root_holder t_root;
}  // namespace

[[gnu::noinline]] thread_root& thread_root::current() {
  thread_root*& root = t_root.root;
  if (root == nullptr) {
    root = new thread_root{spawn_info{"thread", {}}};
  } else if (root->born_ != fork_generation()) {
    root->came_through_fork();
  }
  return *root;
}
[[gnu::noinline]] thread_root& thread_root::begin(spawn_info info) {
  t_root.reset();
  t_root.root = new thread_root{info};
  return *t_root.root;
}
[[gnu::noinline]] void thread_root::finish() noexcept { t_root.reset(); }

thread_root::thread_root(spawn_info info)
    : scope_{nullptr, &domain_, nullptr},
      self_{party_kind::thread, nullptr, parker::resume, scope_, nullptr, info},
      born_{fork_generation()} {
  take_block();
  if (debug_checks()) watch_for_deadlocks();
  domain_.rouse = [](thread_domain& d) noexcept { static_cast<domain&>(d).block->unpark(); };
  self_.parks = &parks;
}

void thread_root::take_block() {
  domain_.block = &parker::current().token_block();
  domain_.block->retain();
  current_->target = domain_.block;
}

// What the parent's threads know of us, and its loop, are the parent's; to end the loop here leaves
// that alone.
void thread_root::came_through_fork() {
  take_block();
  if (!driving()) loop_.reset();
  born_ = fork_generation();
}

thread_root::~thread_root() = default;

thread_party::thread_party(spawn_info info, local_binding* locals)
    : root_{thread_root::current()},
      scope_{nullptr, &root_.domain_, &root_.scope_},
      self_{party_kind::thread, nullptr, parker::resume, scope_, nullptr, info},
      outer_{std::exchange(root_.current_, &self_)} {
  self_.target = root_.domain_.block;
  self_.locals = local_binding::share(locals);
  if (loop* l = loop::current()) {
    // A simulation runs the job where it was asked for: it cannot wait.
    outer_active_ = std::exchange(l->active, &self_);
  } else {
    self_.parks = &thread_root::parks;
  }
}

thread_party::~thread_party() {
  root_.current_ = outer_;
  if (loop* l = loop::current()) l->active = outer_active_;
}

void job_scope::enter(cancel_scope& scope) noexcept {
  const std::scoped_lock hold{lock_};
  scope_ = &scope;
  if (cancelled()) scope.cancel();
}

void job_scope::leave() noexcept {
  const std::scoped_lock hold{lock_};
  scope_ = nullptr;
}

void job_scope::cancel() noexcept {
  const std::scoped_lock hold{lock_};
  cancelled_.store(true, std::memory_order_relaxed);
  if (scope_ != nullptr) scope_->cancel();
}

loop& thread_root::own_loop() {
  if (loop_ == nullptr) loop_ = std::make_unique<loop>();
  return *loop_;
}

constinit const parking thread_root::parks{thread_root::park};

void thread_root::park(context& c) {
  parker& p = parker::current();
  if (!parker::resumed(c)) {
    const held_up waiting{thread_root::current()};
    bool asked = false;
    do {
      // Another thread that cancels a scope of ours only unparks us: the operation is asked here.
      if (!asked && c.scope().cancelled()) {
        asked = true;
        c.request_cancel();
      } else {
        p.park(never);
      }
    } while (!parker::resumed(c));
  }
  c.target = &p.token_block();
}

}  // namespace oneloop::inline v0
