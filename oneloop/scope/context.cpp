#include "oneloop/scope/context.hpp"

#include <atomic>
#include <string_view>

#include "oneloop/base/error.hpp"
#include "oneloop/scope/debug.hpp"
#include "oneloop/scope/local.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/root.hpp"

namespace oneloop::inline v0 {
namespace {

std::uint32_t next_without_a_loop() noexcept {
  static std::atomic<std::uint32_t> parties{0};
  return parties.fetch_add(1, std::memory_order_relaxed) + 1;
}

}  // namespace

context::context(party_kind kind, loop* home, run_fn resume, cancel_scope& scope, context* parent,
                 spawn_info info)
    : context{kind, home, resume, scope, above{above::party, parent}, parent, info} {}

context::context(party_kind kind, loop* home, run_fn resume, cancel_scope& scope, above a,
                 const context* parent, spawn_info info)
    : waiter{home, resume}, scope_{&scope}, above_{a}, info_{info} {
  model_.store(static_cast<std::uint8_t>(kind), std::memory_order_relaxed);
  ordinal_ = home != nullptr ? home->next_ordinal() : next_without_a_loop();
  scope.add(*this);
  if (parent != nullptr) locals = local_binding::share(parent->locals);
}

party_value::~party_value() = default;

context::~context() {
  free_values();
  local_binding::drop(locals);
  forget_scopes();
}

void context::forget_scopes() noexcept {
  unlink();
  // A party that ends in the middle leaves scopes that it is in.
  for (cancel_scope* s = scope_; s != nullptr && s->entered_by() == this; s = s->parent()) {
    s->entered_by(nullptr);
  }
  scope_ = nullptr;
}

context* context::parent() const noexcept {
  switch (above_.what()) {
    case above::in_nursery: return &above_.as<nursery>().owner();
    case above::in_own_scope: return &above_.as<detail::child_scope>().here->owner();
    default: return above_.word != 0 ? &above_.as<context>() : nullptr;
  }
}

context& context::current() {
  if (loop* l = loop::current()) {
    return l->active != nullptr ? *l->active : loop_root::of(*l).self();
  }
  return thread_root::current().self();
}

context& context::blocking(const char* what) {
  context& c = current();
  if (c.parks == nullptr) throw would_block_loop{what};
  return c;
}

void context::free_values() noexcept {
  // One by one: a destructor may use, and so make, others.
  while (values != nullptr) {
    party_value* v = values;
    values = v->older;
    delete v;
  }
}

void context::raise_timeout() {
  if (!scope_->interruptible()) return;
  cancel_scope* cause = scope_->cause();
  if (cause != nullptr && cause->interrupt != nullptr) cause->interrupt(*cause, *this);
}

void context::throw_cancelled() {
  raise_timeout();
  scope_->note_thrown();
  throw cancelled{};
}

void context::enter(cancel_scope& inner) noexcept {
  scope_ = &inner;
  inner.entered_by(this);
}

void context::leave(cancel_scope& inner) noexcept {
  if (scope_ != &inner) {
    // Timeouts may be left in any order; regions and nurseries nest.
    const cancel_scope* s = scope_;
    while (s != nullptr && s != &inner && s->interrupt != nullptr) s = s->parent();
    if (s != &inner) report_misnested(*this);
    return inner.dissolve();
  }
  inner.entered_by(nullptr);
  scope_ = inner.parent();
}

void context::write_line(std::string& out) const {
  static constexpr const char* kinds[] = {"coroutine", "fiber", "thread", "callback"};
  out += info_.name;
  out.append(" [").append(kinds[model()]).append("]");
  if (info_.where.line() != 0) {
    std::string_view file = info_.where.file_name();
    if (auto slash = file.rfind('/'); slash != file.npos) file.remove_prefix(slash + 1);
    out.append(" started at ").append(file).append(":").append(std::to_string(info_.where.line()));
  }
  if (const operation_info* op = waiting_for()) {
    out.append(", waits for ").append(op->name);
    const std::string object = op->describe != nullptr ? op->describe(operation()) : std::string{};
    if (!object.empty()) out.append(" (").append(object).append(")");
  }
  if (scope_->cancelled()) out += ", cancelled";
}

}  // namespace oneloop::inline v0
