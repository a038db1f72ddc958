#include "oneloop/fiber/greenlet.hpp"

#include <cxxabi.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/fiber/local.hpp"
#include "oneloop/fiber/overflow_internal.hpp"
#include "oneloop/fiber/stack.hpp"
#include "oneloop/fiber/switch.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {
namespace detail {
namespace {

// What the greenlets of one thread share, and keep.
struct greenlet_thread {
  stack_pool stacks{stack_pool_options::from_environment()};
  std::thread::id id = std::this_thread::get_id();
  std::mutex lock;  // guards what follows
  bool over = false;
  std::vector<greenlet_core*> orphans;  // whose last handle went on another thread
};

struct this_greenlet_thread {
  std::shared_ptr<greenlet_thread> shared = std::make_shared<greenlet_thread>();
  this_greenlet_thread() = default;
  this_greenlet_thread(const this_greenlet_thread&) = delete;
  this_greenlet_thread& operator=(const this_greenlet_thread&) = delete;
  ~this_greenlet_thread();
};

// In a function that is not inlined: fibers run on this thread too.
[[gnu::noinline]] const std::shared_ptr<greenlet_thread>& greenlets_here() {
  thread_local this_greenlet_thread here;
  return here.shared;
}

std::string readable(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text{
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free};
  return text ? text.get() : name;
}

}  // namespace

void throw_greenlet_type(const std::type_info& wanted, const std::any& came) {
  throw misuse{"greenlet: a value of type " + readable(wanted.name()) + " was expected, and " +
               (came.has_value() ? readable(came.type().name()) : std::string{"nothing"}) +
               " was passed"};
}

// The greenlets of one party, and what is on its way between them. Kept by each of them.
struct greenlet_family {
  greenlet_core* root = nullptr;
  greenlet_core* now = nullptr;     // runs
  greenlet_core* target = nullptr;  // should run next
  std::any value;
  std::exception_ptr error;
};

class greenlet_core {
 public:
  using run_type = std::move_only_function<std::any(std::any)>;

  /// The root: the party itself.
  explicit greenlet_core(std::shared_ptr<greenlet_family> f) noexcept
      : family_{std::move(f)}, stage_{stage::running} {}
  greenlet_core(greenlet_core& parent, run_type run)
      : family_{parent.family_}, parent_{&parent}, run_{std::move(run)} {
    parent.retain();
  }
  ~greenlet_core() {
    if (parent_ != nullptr) parent_->release();
  }
  greenlet_core(const greenlet_core&) = delete;
  greenlet_core& operator=(const greenlet_core&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    if (thread_ == nullptr || !begun()) {
      delete this;
    } else if (thread_->id == std::this_thread::get_id()) {
      end_suspended();
    } else {
      leave_to_its_thread();
    }
  }
  /// Nobody has a handle: throws greenlet_exit inside, from whatever runs on its thread.
  void end_suspended() noexcept;

  [[nodiscard]] bool begun() const noexcept { return stage_ == stage::running; }
  [[nodiscard]] bool dead() const noexcept { return stage_ == stage::dead; }
  [[nodiscard]] bool ending() const noexcept { return ending_; }
  [[nodiscard]] greenlet_core* parent() const noexcept { return parent_; }
  [[nodiscard]] greenlet_family& family() const noexcept { return *family_; }
  void set_parent(greenlet_core& p) {
    if (p.family_ != family_) throw misuse{"greenlet: the parent belongs to another fiber"};
    for (greenlet_core* up = &p; up != nullptr; up = up->parent_) {
      if (up == this) throw misuse{"greenlet: a greenlet cannot be its own parent"};
    }
    p.retain();
    std::exchange(parent_, &p)->release();
  }

  /// From the greenlet that runs to this one. Returns when somebody comes back, with what they
  /// brought.
  std::any enter(std::any value, std::exception_ptr error) {
    greenlet_family& f = *family_;
    f.value = std::move(value);
    f.error = std::move(error);
    greenlet_core& me = *f.now;
    f.target = f.root;
    aim(*this);
    go(me);
    return arrive(me);
  }

 private:
  enum class stage : std::uint8_t { fresh, running, dead };
  void leave_to_its_thread() noexcept;

  /// Finds who runs next: `to`, or whoever stands in for it.
  static void aim(greenlet_core& to) {
    greenlet_family& f = to.family();
    greenlet_core* t = &to;
    while (t->dead() || (t->stage_ == stage::fresh && f.error)) {
      // One that has not begun dies of what is thrown at it.
      if (!t->dead()) t->finish();
      absorb_exit(f);
      t = t->parent_;
    }
    f.target = t;
  }

  /// greenlet_exit that leaves a greenlet is a value for its parent.
  static void absorb_exit(greenlet_family& f) {
    if (!f.error) return;
    try {
      std::rethrow_exception(f.error);
    } catch (const greenlet_exit& e) {
      f.error = nullptr;
      f.value = e;
    } catch (...) {  // goes on to the parent
    }
  }

  /// Leaves `me` for the target.
  static void go(greenlet_core& me) {
    greenlet_family& f = me.family();
    if (f.target == &me) return;
    if (&me != f.root) {
      me.switch_.suspend();  // the root enters the target
      return;
    }
    while (f.target != f.root) {
      greenlet_core& t = *f.target;
      t.retain();  // while it runs
      f.now = &t;
      if (t.begin()) t.switch_.resume();
      t.give_stack_back();
      f.now = f.root;
      t.release();
    }
  }

  static std::any arrive(greenlet_core& me) {
    greenlet_family& f = me.family();
    f.now = &me;
    if (me.ending_) throw greenlet_exit{};
    if (f.error) std::rethrow_exception(std::exchange(f.error, nullptr));
    return std::exchange(f.value, {});
  }

  /// One for which there is no stack dies of that.
  bool begin() {
    if (stage_ != stage::fresh) return true;
    greenlet_family& f = *family_;
    try {
      prepare_for_overflow();
      auto here = greenlets_here();
      stack_ = here->stacks.acquire();
      thread_ = std::move(here);
    } catch (...) {
      f.value = {};
      f.error = std::current_exception();
      finish();
      aim(*parent_);
      return false;
    }
    stage_ = stage::running;
    switch_.create(stack_, [](void* p) { static_cast<greenlet_core*>(p)->run(); }, this);
    return true;
  }
  void give_stack_back() noexcept {
    if (stack_ && dead()) thread_->stacks.release(std::exchange(stack_, {}));
  }

  void run() noexcept {
    greenlet_family& f = *family_;
    try {
      std::any first = std::exchange(f.value, {});
      auto code = std::move(run_);
      std::any result = code(std::move(first));
      code = nullptr;
      f.value = std::move(result);
      f.error = nullptr;
    } catch (...) {
      f.error = std::current_exception();
      f.value = {};
    }
    absorb_exit(f);
    stage_ = stage::dead;
    aim(*parent_);
  }

  void finish() noexcept {
    stage_ = stage::dead;
    run_ = nullptr;
  }

  std::shared_ptr<greenlet_family> family_;
  greenlet_core* parent_ = nullptr;
  run_type run_;
  stack stack_;
  switch_context switch_;
  std::shared_ptr<greenlet_thread> thread_;  // where it has begun
  std::atomic<std::uint32_t> references_{0};
  stage stage_ = stage::fresh;
  bool ending_ = false;
};

void greenlet_core::end_suspended() noexcept {
  retain();
  ending_ = true;
  greenlet_family& f = *family_;
  // A detour of whoever runs now: what is on its way stays.
  greenlet_core* const now = std::exchange(f.now, this);
  greenlet_core* const target = std::exchange(f.target, nullptr);
  std::any value = std::exchange(f.value, {});
  std::exception_ptr error = std::exchange(f.error, nullptr);
  switch_.resume();
  give_stack_back();
  if (f.error) {
    log(severity::error, "greenlet: failed while it was being destroyed: " + describe(f.error));
  }
  f.now = now;
  f.target = target;
  f.value = std::move(value);
  f.error = std::move(error);
  release();
}

void greenlet_core::leave_to_its_thread() noexcept {
  {
    const std::scoped_lock hold{thread_->lock};
    if (!thread_->over) {
      thread_->orphans.push_back(this);
      return;
    }
    thread_->stacks.release(std::exchange(stack_, {}));
  }
  log(severity::error, "greenlet: suspended when its thread ended; what its stack held is lost");
  delete this;
}

namespace {

void end_orphans(greenlet_thread& t, bool over) noexcept {
  std::vector<greenlet_core*> orphans;
  {
    const std::scoped_lock hold{t.lock};
    t.over = over;
    orphans.swap(t.orphans);
  }
  for (greenlet_core* g : orphans) g->end_suspended();
}

this_greenlet_thread::~this_greenlet_thread() { end_orphans(*shared, true); }

// The calling party's family; its root is kept by the party.
struct party_greenlets {
  std::shared_ptr<greenlet_family> family = std::make_shared<greenlet_family>();
  greenlet_core* root = new greenlet_core{family};
  party_greenlets() {
    root->retain();
    family->root = family->now = root;
  }
  ~party_greenlets() { root->release(); }
  party_greenlets(const party_greenlets&) = delete;
  party_greenlets& operator=(const party_greenlets&) = delete;
};

greenlet_family& family_here() {
  end_orphans(*greenlets_here(), false);
  static auto& local = *new fiber_local<std::unique_ptr<party_greenlets>>{
      [] { return std::make_unique<party_greenlets>(); }};  // outlives every fiber
  return *local.get()->family;
}

}  // namespace
}  // namespace detail

greenlet::greenlet(run_type run)
    : core_{new detail::greenlet_core{*detail::family_here().now, std::move(run)}} {
  core_->retain();
}
greenlet::greenlet(detail::greenlet_core* c) noexcept : core_{c} { core_->retain(); }
greenlet::greenlet(const greenlet& o) noexcept : core_{o.core_} {
  if (core_ != nullptr) core_->retain();
}
greenlet::~greenlet() {
  if (core_ != nullptr) core_->release();
}

greenlet greenlet::current() { return greenlet{detail::family_here().now}; }

greenlet::operator bool() const noexcept { return core_->begun(); }
bool greenlet::dead() const noexcept { return core_->dead(); }

greenlet greenlet::parent() const& {
  if (core_->parent() == nullptr) throw misuse{"greenlet: the outermost one has no parent"};
  return greenlet{core_->parent()};
}

greenlet greenlet::parent() && {
  greenlet p = std::as_const(*this).parent();
  *this = p;
  return p;
}

void greenlet::parent(const greenlet& p) const {
  if (core_->parent() == nullptr) throw misuse{"greenlet: the outermost one has no parent"};
  core_->set_parent(*p.core_);
}

std::any greenlet::enter(std::any value, std::exception_ptr error) const {
  detail::greenlet_family& here = detail::family_here();
  if (&core_->family() != &here) {
    throw misuse{
        "greenlet: it belongs to another fiber or thread; only who made it can switch to it"};
  }
  if (here.now->ending()) throw greenlet_exit{};
  return core_->enter(std::move(value), std::move(error));
}

}  // namespace oneloop::inline v0
