// Fiber-locals: a value for each fiber, made when the fiber first looks at it and freed at its end.
//
//     inline oneloop::fiber_local<parser> scratch;           // or {value}, or {[] { return ...; }}
//     scratch->reset();
//     use(*scratch);
//
// In a plain thread there is one for the thread, in a task or callback on a loop one for that
// party. Nothing is inherited: for values that children should see there is task_local
// (scope/local.hpp).
//
// *Lifetime*: a fiber's values are destroyed on its own stack when its function has returned,
// newest first, before anybody hears of its end: their destructors may wait. The fiber_local itself
// must outlive every party that has used it (namespace scope, or static). *Threads*: each call
// concerns the calling party only. *Cost*: the first look allocates; a look walks the values that
// the party has.
#pragma once

#include <concepts>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {

template <class T>
class fiber_local {
 public:
  /// Values begin as T{}.
  fiber_local()
    requires std::default_initializable<T>
  = default;
  /// Values begin as a copy of `first`.
  explicit fiber_local(T first)
    requires std::copy_constructible<T>
      : make_{[first = std::move(first)] { return first; }} {}
  /// Values begin as what make() gives, called in the party that looks.
  template <class F>
    requires(std::is_invocable_r_v<T, F&> && !std::convertible_to<F, T>)
  explicit fiber_local(F make) : make_{std::move(make)} {}
  fiber_local(const fiber_local&) = delete;
  fiber_local& operator=(const fiber_local&) = delete;

  /// The calling party's value.
  [[nodiscard]] T& get() {
    context& c = context::current();
    if (T* found = find(c)) return *found;
    std::unique_ptr<node> made;
    if (make_) {
      made = std::make_unique<node>(this, make_);
    } else if constexpr (std::default_initializable<T>) {
      made = std::make_unique<node>(this);
    }
    made->older = std::exchange(c.values, made.get());
    return made.release()->value;
  }
  T& operator*() { return get(); }
  T* operator->() { return &get(); }
  fiber_local& operator=(T value) {
    get() = std::move(value);
    return *this;
  }
  /// Whether the calling party has a value already.
  [[nodiscard]] bool has_value() const { return find(context::current()) != nullptr; }

 private:
  struct node final : party_value {
    explicit node(const void* k)
      requires std::default_initializable<T>
        : party_value{k}, value{} {}
    node(const void* k, std::function<T()>& make) : party_value{k}, value(make()) {}
    T value;
  };
  T* find(const context& c) const noexcept {
    for (party_value* v = c.values; v != nullptr; v = v->older) {
      if (v->key == this) return &static_cast<node*>(v)->value;
    }
    return nullptr;
  }
  std::function<T()> make_;
};

}  // namespace oneloop::inline v0
