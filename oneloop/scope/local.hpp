// Task-locals: values that belong to a party and are inherited by the parties it starts (Python's
// contextvars). A child sees the values of the moment it was started; what it sets stays its own.
//
//     inline oneloop::task_local<std::string> request_id{"none"};
//     request_id.set("r-17");                  // for this party, and what it starts from now on
//     log(request_id.get());
//
// *Cost*: get walks the party's bindings, newest first; set allocates one node. *Threads*: each
// call concerns the calling party only; values that are inherited across loops are shared, const.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {

/// One binding in the immutable chain that a context points to.
struct ONELOOP_API local_binding {
  local_binding(const void* k, local_binding* outer) noexcept : key{k}, older{outer} {}
  virtual ~local_binding();
  local_binding(const local_binding&) = delete;
  local_binding& operator=(const local_binding&) = delete;

  static local_binding* share(local_binding* b) noexcept {
    if (b != nullptr) b->references.fetch_add(1, std::memory_order_relaxed);
    return b;
  }
  static void drop(local_binding* b) noexcept;
  static const local_binding* find(const local_binding* b, const void* key) noexcept {
    while (b != nullptr && b->key != key) b = b->older;
    return b;
  }

  const void* key;
  local_binding* older;  // owned: one reference
  std::atomic<std::uint32_t> references{1};
};

template <class T>
class task_local {
 public:
  explicit task_local(T fallback = T{}) : fallback_{std::move(fallback)} {}
  task_local(const task_local&) = delete;
  task_local& operator=(const task_local&) = delete;

  /// The calling party's value, else an inherited one, else the fallback. The reference is good
  /// until the party sets or restores this local.
  [[nodiscard]] const T& get() const {
    const local_binding* b = local_binding::find(context::current().locals, this);
    return b != nullptr ? static_cast<const binding*>(b)->value : fallback_;
  }
  void set(T value) {
    context& c = context::current();
    c.locals = new binding{this, c.locals, std::move(value)};
  }
  /// Undoes the calling party's newest `set` of this or any other local that came after it.
  void restore() noexcept {
    context& c = context::current();
    local_binding* b = c.locals;
    while (b != nullptr && b->key != this) b = b->older;
    if (b == nullptr) return;
    local_binding* rest = local_binding::share(b->older);
    local_binding::drop(c.locals);
    c.locals = rest;
  }

 private:
  struct binding final : local_binding {
    binding(const void* k, local_binding* outer, T v)
        : local_binding{k, outer}, value{std::move(v)} {}
    T value;
  };
  T fallback_;
};

}  // namespace oneloop::inline v0
