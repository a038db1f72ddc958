// Deferreds: a result that callbacks are chained on, as Twisted's Deferred. And defer(), which
// starts an operation or a task now and gives its result as one.
//
//     defer(s.read(buffer))
//         .add_callback([&](std::size_t n) { return defer(ask(s, n)); })   // the chain waits for
//         it .add_callback([](std::string reply) { use(reply); }) .add_errback([](failure f) {
//         complain(f.what()); });
//
// A chain has links, run one after the other over one result. A callback gets a value, an errback a
// failure; what either returns goes on as a value, what it throws as a failure, so every link
// chooses the track of the next. Links that are not for the present track pass the result on: the
// errback of add_callbacks(f, g) does not see the failures of its own f.
//   - A callback may return a deferred or a task: the chain waits, and goes on with its result.
//   - Adding to a chain that has fired runs the callback at once; adding from within a callback of
//     the same chain runs it after that callback. Neither ever nests, and no length or nesting of
//     chains uses the stack.
//   - All handles of one chain see the same chain. The type of what the chain gives moves with the
//     links: add to what the last add returned (the old handle still fires and cancels).
//   - A failure that is left when the last handle goes is logged: "Unhandled error in deferred".
//
// *Ownership*: dropping a handle neither cancels nor frees what is under way; `defer` starts a
// child of the nursery that the code is in the body of, or else of the loop's root nursery.
// *Awaiting*: co_await d, await(d), select: any waiter on any loop or thread, any number of times
// if the value can be copied (otherwise the first takes it). A failure that is awaited is handled.
// A cancelled await takes nothing and leaves the deferred alone. *Cancellation*: see
// deferred::cancel. An await of a deferred that was cancelled throws cancelled_error. *Threads*: a
// deferred belongs to the loop on which it was made; callbacks run there. callback, errback and
// cancel from elsewhere are posted to it; adding elsewhere throws wrong_thread. Made outside every
// loop it belongs to none, and to one thread at a time. *Cost*: an allocation for the chain, each
// link, and each value.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <expected>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/deferred/chain.hpp"
#include "oneloop/deferred/failure.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

template <class T = void>
class deferred;

template <class T>
inline constexpr bool is_deferred_v = false;
template <class T>
inline constexpr bool is_deferred_v<deferred<T>> = true;

/// callback or errback of a deferred that has been fired.
class ONELOOP_API already_called : public error {
 public:
  already_called();
};

template <class A>
  requires awaitable<A>
auto defer(A&& a, std::source_location at = std::source_location::current())
    -> deferred<std::remove_cvref_t<await_result<A>>>;

namespace detail {

template <class T>
using boxed_t = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T, class... A>
std::unique_ptr<box> make_box(A&&... a) {
  return std::make_unique<box_of<boxed_t<T>>>(std::in_place, std::forward<A>(a)...);
}

/// What the chain gives after a callback that returned R.
template <class R>
struct chained {
  using type = std::remove_cvref_t<R>;
};
template <class U>
struct chained<deferred<U>> {
  using type = U;
};
template <class U>
struct chained<task<U>> {
  using type = U;
};
template <class R>
using chained_t = typename chained<std::remove_cvref_t<R>>::type;

struct pass {};  // in place of a callback or an errback

// How a callback takes a T: with it, or (always, if T is void) without.
template <class F, class T>
struct called {
  using type = std::invoke_result_t<F&, T&&>;
  static constexpr bool with_value = true;
};
template <class F, class T>
  requires(std::is_void_v<T> || !std::invocable<F&, T &&>)
struct called<F, T> {
  using type = std::invoke_result_t<F&>;
  static constexpr bool with_value = false;
};
template <class T>
struct called<pass, T> {
  using type = T;
  static constexpr bool with_value = false;
};

// What an errback leaves: one that returns nothing ends in void, one that returns a failure passes
// it on.
template <class G>
struct handled {
  using type = std::invoke_result_t<G&, failure>;
};
template <class G, class Out>
inline constexpr bool fits =
    std::is_same_v<typename handled<G>::type, failure> ||
    std::is_same_v<chained_t<typename handled<G>::type>, Out> || std::is_void_v<Out> ||
    std::convertible_to<typename handled<G>::type, boxed_t<Out>>;
template <class Out, class G>
struct after {  // what the chain gives after (f, g), f giving Out
  using type = std::conditional_t<std::is_void_v<typename handled<G>::type>, void, Out>;
};
template <class Out>
struct after<Out, pass> {
  using type = Out;
};

/// Puts what `call` returns into the chain, as an Out.
template <class Out, class Call>
void put(chain& c, Call&& call) {
  using r = std::remove_cvref_t<std::invoke_result_t<Call>>;
  if constexpr (std::is_same_v<r, failure>) {
    c.error = call().exception();
  } else if constexpr (std::is_void_v<r>) {
    call();
    c.value = make_box<void>();
  } else if constexpr (is_task_v<r>) {
    c.wait_for(defer(call()).shared());
  } else if constexpr (is_deferred_v<r>) {
    c.wait_for(call().shared());
  } else if constexpr (std::is_void_v<Out>) {
    static_cast<void>(call());
    c.value = make_box<void>();
  } else {
    c.value = make_box<Out>(call());
  }
}

template <class In>
std::unique_ptr<box> take_value(chain& c) {
  if (c.value == nullptr) throw misuse{"the value of this deferred was taken by an await"};
  return std::move(c.value);
}

template <class In, class Out, class F, class G>
class link_of final : public chain_link {
 public:
  link_of(F&& f, G&& g) : f_(std::move(f)), g_(std::move(g)) {}
  void run(chain& c) noexcept override {
    try {
      if (c.error) {
        if constexpr (!std::is_same_v<G, pass>) {
          failure e{std::exchange(c.error, nullptr)};
          put<Out>(c, [&]() -> decltype(auto) { return std::invoke(g_, std::move(e)); });
        }
      } else if constexpr (!std::is_same_v<F, pass>) {
        auto in = take_value<In>(c);
        put<Out>(c, [&]() -> decltype(auto) {
          if constexpr (called<F, In>::with_value) {
            return std::invoke(f_, std::move(static_cast<box_of<In>&>(*in).value));
          } else {
            return std::invoke(f_);
          }
        });
      } else if constexpr (std::is_void_v<Out> && !std::is_void_v<In>) {
        c.value = make_box<void>();
      }
    } catch (...) {
      c.value = nullptr;
      c.error = std::current_exception();
    }
  }

 private:
  F f_;
  G g_;
};

/// Gives the result to an await, if that still wants it.
template <class T>
class delivery final : public chain_link {
 public:
  explicit delivery(join_ref<join_state_of<T>, false> to) noexcept : to_{std::move(to)} {}
  // Also if the deferred dies without having fired.
  ~delivery() override {
    if (!to_->finished()) {
      to_->finish(std::make_exception_ptr(misuse{"await: the deferred will never fire: nobody "
                                                 "holds it any more"}),
                  false);
    }
  }
  void run(chain& c) noexcept override {
    if (!to_->held()) return;
    std::exception_ptr failed = c.error;
    if (failed) {
      c.seen();
    } else {
      try {
        if constexpr (std::is_void_v<T>) {
          static_cast<void>(to_->value.emplace());
        } else if constexpr (std::copy_constructible<T>) {
          if (c.value == nullptr) throw misuse{"the value of this deferred was taken by an await"};
          to_->value.emplace(static_cast<box_of<T>&>(*c.value).value);
        } else {
          auto taken = take_value<T>(c);
          c.given();
          to_->value.emplace(std::move(static_cast<box_of<T>&>(*taken).value));
        }
      } catch (...) {
        failed = std::current_exception();
      }
    }
    to_->finish(std::move(failed), true);
  }

 private:
  join_ref<join_state_of<T>, false> to_;
};

}  // namespace detail

/// A handle; copies are handles of the same chain.
template <class T>
class deferred {
  template <class Out, class F, class G>
  deferred<Out> link(F&& f, G&& g, const char* what) const {
    chain_->check_add(typeid(T), what);
    deferred<Out> result{chain_};
    chain_->add(std::make_unique<detail::link_of<T, Out, std::decay_t<F>, std::decay_t<G>>>(
                    std::decay_t<F>(std::forward<F>(f)), std::decay_t<G>(std::forward<G>(g))),
                typeid(Out));
    return result;
  }

 public:
  using value_type = T;

  /// A new one, to be fired by callback or errback.
  deferred() : chain_{new detail::chain{typeid(T)}} {}
  /// `canceller(d)` is called by the first `cancel` before it has fired. It may fire it itself.
  explicit deferred(std::move_only_function<void(deferred&)> canceller) : deferred{} {
    chain_->set_canceller(
        [c = chain_.get(), f = std::move(canceller)]() mutable {
          c->retain();  // who cancels holds it
          deferred self{detail::chain_ref{c}};
          f(self);
        },
        true);
  }

  /// Fires it with a value. Throws already_called if it has been fired (but not for the first call
  /// after a `cancel`), misuse if the chain starts with another type. Any thread.
  template <class... V>
    requires(sizeof...(V) == (std::is_void_v<T> ? 0 : 1) &&
             std::constructible_from<detail::boxed_t<T>, V...>)
  void callback(V&&... v) const {
    check_source("callback");
    chain_->fire(detail::make_box<T>(std::forward<V>(v)...), nullptr);
  }
  /// Fires it with a failure: an exception_ptr, a failure, or any exception object. Any thread.
  template <class E>
  void errback(E e) const {
    chain_->fire(nullptr, to_exception(std::move(e)));
  }
  /// Whether it has been fired.
  [[nodiscard]] bool called() const noexcept { return chain_->fired(); }

  /// Asks for an early end. One that has not fired calls its canceller, or else fires with
  /// `cancelled` (after which one late callback is ignored). One that waits for a deferred that a
  /// callback returned cancels that. One that has its result is left alone. The operation of a
  /// `defer` is cancelled, and the deferred fires when that has ended: with `cancelled`, or with
  /// the result if there was one after all. Any thread.
  void cancel() const { chain_->cancel(); }

  /// `f(value)`, or `f()`; what it returns is what the chain gives from there on.
  template <class F>
  auto add_callback(F&& f) const {
    using out = detail::chained_t<typename detail::called<std::decay_t<F>, T>::type>;
    return link<out>(std::forward<F>(f), detail::pass{}, "add_callback");
  }
  /// `g(failure)`; it returns what the chain carries, or nothing: then the chain gives nothing from
  /// there on, in both cases.
  template <class G>
  auto add_errback(G&& g) const {
    using out = typename detail::after<T, std::decay_t<G>>::type;
    static_assert(detail::fits<std::decay_t<G>, out>,
                  "an errback must return what the chain carries, a failure, or nothing");
    return link<out>(detail::pass{}, std::forward<G>(g), "add_errback");
  }
  /// One link: `g` sees the failures from before, not those of `f`.
  template <class F, class G>
  auto add_callbacks(F&& f, G&& g) const {
    using value = detail::chained_t<typename detail::called<std::decay_t<F>, T>::type>;
    using out = typename detail::after<value, std::decay_t<G>>::type;
    static_assert(detail::fits<std::decay_t<G>, out>,
                  "the errback must return what the callback returns, a failure, or nothing");
    return link<out>(std::forward<F>(f), std::forward<G>(g), "add_callbacks");
  }
  /// `f(std::expected<T, failure>)`, on both tracks.
  template <class F>
  auto add_both(F&& f) const {
    using either = std::expected<T, failure>;
    using out = detail::chained_t<std::invoke_result_t<std::decay_t<F>&, either>>;
    auto shared = std::make_shared<std::decay_t<F>>(std::forward<F>(f));
    auto on_failure = [shared](failure e) -> decltype(auto) {
      return std::invoke(*shared, either{std::unexpected{std::move(e)}});
    };
    if constexpr (std::is_void_v<T>) {
      return link<out>([shared]() -> decltype(auto) { return std::invoke(*shared, either{}); },
                       std::move(on_failure), "add_both");
    } else {
      return link<out>(
          [shared](T&& v) -> decltype(auto) { return std::invoke(*shared, either{std::move(v)}); },
          std::move(on_failure), "add_both");
    }
  }

  // ---- for models ----
  explicit deferred(detail::chain_ref c) noexcept : chain_{std::move(c)} {}
  [[nodiscard]] const detail::chain_ref& shared() const noexcept { return chain_; }

 private:
  void check_source(const char* what) const {
    if (chain_->source() == typeid(T)) return;
    throw misuse{std::string{what} + ": the chain starts with another type; fire the first handle"};
  }
  template <class E>
  static std::exception_ptr to_exception(E e) {
    if constexpr (std::is_same_v<E, std::exception_ptr>) {
      return e;
    } else if constexpr (std::is_same_v<E, failure>) {
      return e.exception();
    } else {
      return std::make_exception_ptr(std::move(e));
    }
  }
  detail::chain_ref chain_;
};

/// One that has its value already.
template <class V>
[[nodiscard]] deferred<std::decay_t<V>> succeed(V&& v) {
  deferred<std::decay_t<V>> d;
  d.callback(std::forward<V>(v));
  return d;
}
[[nodiscard]] inline deferred<> succeed() {
  deferred<> d;
  d.callback();
  return d;
}
/// One that has failed already: `fail<int>(std::runtime_error{"no"})`.
template <class T = void, class E>
[[nodiscard]] deferred<T> fail(E e) {
  deferred<T> d;
  d.errback(std::move(e));
  return d;
}

/// What awaiting a deferred is. Retractable: select takes it.
template <class T>
class deferred_operation : public detail::join_wait {
  using state_type = detail::join_state_of<T>;

 public:
  explicit deferred_operation(deferred<T> d)
      : deferred_operation{std::move(d), detail::join_ref<state_type, false>{fresh()}} {}
  bool await_suspend(waiter& w) {
    attach();
    return join_wait::await_suspend(w);
  }
  enlisted enlist(waiter& w) {
    attach();
    return join_wait::enlist(w);
  }
  T await_resume() { return result_->take(); }

 private:
  deferred_operation(deferred<T> d, detail::join_ref<state_type, false> s)
      : join_wait{*s.get()}, deferred_{std::move(d)}, result_{std::move(s)} {
    result_->release();  // the reference that it was made with
  }
  static state_type* fresh() { return new state_type{"deferred", nullptr}; }
  void attach() {
    if (std::exchange(attached_, true)) return;
    deferred_.shared()->later([d = deferred_, to = result_](bool possible) mutable {
      try {
        if (!possible) throw loop_not_running{"await a deferred"};
        d.shared()->check_add(typeid(T), "await");
        d.shared()->add(std::make_unique<detail::delivery<T>>(to), typeid(T));
      } catch (...) {
        to->finish(std::current_exception(), false);
      }
    });
  }
  deferred<T> deferred_;
  detail::join_ref<state_type, false> result_;
  bool attached_ = false;
};

template <class T>
deferred_operation<T> as_operation(const deferred<T>& d) {
  return deferred_operation<T>{d};
}

namespace detail {

/// The party behind a defer: waits for one operation.
template <class Op, class T>
class deferred_child final : public child, public pooled {
 public:
  using pooled::operator new;
  using pooled::operator delete;

  deferred_child(Op&& op, const deferred<T>& d, nursery& n, spawn_info info)
      : child{party_kind::callback, n, resumed, info},
        region_{self(), {}},
        op_(static_cast<Op&&>(op)),
        chain_{d.shared()} {
    self().target = this;
    self().set_innermost_nursery(&n);  // what its callbacks start belongs there too
    chain_->set_canceller([this] { region_.scope().cancel(); }, false);
    begin();
    try {
      enter_wait<Op>(self());
      if (!op_.await_ready() && op_.await_suspend(self())) return;
    } catch (...) {
      refused_ = std::current_exception();
    }
    // It has ended already. The chain fires from the queue all the same: a callback that defers the
    // next operation, and so on, must neither use the stack nor keep the loop to itself.
    self().home()->make_ready(self());
  }

 private:
  static void resumed(ready_item& item) noexcept {
    auto& c = static_cast<context&>(item);
    c.home()->active = &c;
    static_cast<deferred_child*>(c.target)->settle();
  }
  void settle() noexcept {
    std::unique_ptr<box> value;
    std::exception_ptr error;
    try {
      const outcome how = self().finish();
      if (refused_) std::rethrow_exception(std::move(refused_));
      if constexpr (std::is_void_v<T>) {
        conclude(op_, how);
        value = make_box<void>();
      } else {
        value = make_box<T>(conclude(op_, how));
      }
    } catch (...) {
      error = std::current_exception();
    }
    fire(std::move(value), std::move(error));
  }
  void fire(std::unique_ptr<box> value, std::exception_ptr error) noexcept {
    // It may have been fired by hand meanwhile.
    if (!chain_->fired()) chain_->fire(std::move(value), std::move(error));
    end(nullptr);
  }
  scope_region region_;
  Op op_;
  std::exception_ptr refused_;  // it could not even start
  chain_ref chain_;
};

}  // namespace detail

/// Starts an operation or a task now (what it gives comes from the loop's queue, never from within
/// this call), as a child of the nursery that the code is in the body of, or
/// else of the loop's root nursery. Throws loop_not_running outside every loop. Failures go down
/// the chain, not to the nursery. An operation given as an lvalue must outlive its end.
template <class A>
  requires awaitable<A>
auto defer(A&& a, std::source_location at) -> deferred<std::remove_cvref_t<await_result<A>>> {
  using value_type = std::remove_cvref_t<await_result<A>>;
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{"defer"};
  nursery* n = context::current().innermost_nursery();
  if (n == nullptr) n = &loop_root::of(*l).children();
  deferred<value_type> d;
  new detail::deferred_child<stored_operation<A>, value_type>(as_operation(static_cast<A&&>(a)), d,
                                                              *n, spawn_info{"deferred", at});
  return d;
}

}  // namespace oneloop::inline v0
