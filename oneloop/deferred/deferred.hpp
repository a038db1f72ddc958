// Deferreds: a result that callbacks are chained on, as Twisted's Deferred. And defer(), which
// starts an operation or a task now and gives its result as one.
//
//     defer(s.read(buffer))
//         .add_callback([&](std::size_t n) { return defer(ask(s, n)); })   // waits for that
//         .add_callback([](std::string reply) { use(reply); })
//         .add_errback([](failure f) { complain(f.what()); });
//
// A chain has links, run one after the other over one result. A callback gets a value, an errback a
// failure; what either returns goes on as a value, what it throws as a failure, so every link
// chooses the track of the next. Links that are not for the present track pass the result on: the
// errback of add_callbacks(f, g) does not see the failures of its own f.
//   - A callback may return a deferred or a task: the chain waits, and goes on with its result. It
//     may return a failure, or a std::expected of a value or a failure.
//   - Adding to a chain that has fired runs the callback at once; adding from within a callback of
//     the same chain runs it after that callback. Neither ever nests, and no length or nesting of
//     chains uses the stack.
//   - All handles of one chain see the same chain. The type of what the chain gives moves with the
//     links: add to what the last add returned (the old handle still fires and cancels). A link
//     that does not fit does not compile.
//   - A failure that is left when the last handle goes is logged: "Unhandled error in deferred".
//
// *Ownership*: dropping a handle neither cancels nor frees what is under way; `defer` starts a
// child of the nursery that the code is in the body of, or else of the loop's root nursery.
//
// *Awaiting*: co_await d, await(d), select: any waiter on any loop or thread, any number of times
// if the value can be copied (otherwise the first takes it). A failure that is awaited is handled;
// an await of a deferred that was cancelled throws cancelled_error. A cancelled `co_await d` takes
// nothing and leaves the deferred alone. `co_await f()` and `co_await std::move(d)`, of a handle
// that nobody else names, pass the cancel on: the deferred is cancelled and waited for, and if it
// gives a value all the same, that is the result. (A select leaves both kinds alone.) If the scope
// was cancelled before, such a deferred is cancelled, too, and what it has got by then goes with
// it.
//
// *Cancellation*: see deferred::cancel.
//
// *Threads*: a deferred belongs to the loop on which it was made; callbacks run there. callback,
// errback and cancel from elsewhere are posted to it; everything else throws wrong_thread there.
// Made outside every loop it belongs to none, and to one thread at a time.
//
// *Cost*: an allocation for the chain, each link, and each value.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <expected>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <type_traits>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/deferred/chain.hpp"
#include "oneloop/deferred/failure.hpp"
#include "oneloop/deferred/link.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/scope/root.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// callback or errback of a deferred that has been fired.
class ONELOOP_API already_called : public error {
 public:
  explicit already_called(const std::source_location& first);
};

namespace detail {

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
  chain* run(chain& c) noexcept override {
    if (!to_->held()) return nullptr;
    c.seen();
    std::exception_ptr failed;
    try {
      std::expected<T, failure> r = look_at<T>(c);
      if (!r) {
        failed = r.error().exception();
      } else if constexpr (std::is_void_v<T>) {
        static_cast<void>(to_->value.emplace());
      } else {
        to_->value.emplace(*std::move(r));
      }
    } catch (...) {
      failed = std::current_exception();
    }
    to_->finish(std::move(failed), true);
    return nullptr;
  }
  [[nodiscard]] bool wanted() const noexcept override { return to_->held(); }

 private:
  join_ref<join_state_of<T>, false> to_;
};

}  // namespace detail

/// A handle; copies are handles of the same chain.
template <class T>
class deferred {
 public:
  using value_type = T;

  /// A new one, to be fired by callback or errback.
  deferred() : chain_{new detail::chain{typeid(T)}} {}
  /// `canceller(d)` is called by the first `cancel` before it has fired. It may fire it itself;
  /// what it throws is what the deferred fails with.
  explicit deferred(std::move_only_function<void(deferred&)> canceller) : deferred{} {
    chain_->set_canceller(
        [c = chain_.get(), f = std::move(canceller)]() mutable {
          c->retain();  // who cancels holds it
          deferred self{detail::chain_ref{c}};
          f(self);
        },
        true);
  }

  // ---- firing: any thread ----

  /// Fires it with a value. Throws already_called, which names the line that fired it first, if it
  /// has been fired (but not for the first call after a `cancel`), misuse if the chain starts with
  /// another type.
  template <class V = detail::boxed_t<T>>
    requires(!std::is_void_v<T> && std::constructible_from<detail::boxed_t<T>, V>)
  void callback(V&& v, std::source_location at = std::source_location::current()) const {
    check_source("callback");
    chain_->fire(detail::make_box<T>(std::forward<V>(v)), nullptr, at);
  }
  void callback(std::source_location at = std::source_location::current()) const
    requires std::is_void_v<T>
  {
    check_source("callback");
    chain_->fire(detail::make_box<T>(), nullptr, at);
  }
  /// Fires it with a failure: an exception_ptr, a failure, or any exception object.
  template <class E>
  void errback(E e, std::source_location at = std::source_location::current()) const {
    chain_->fire(nullptr, to_exception(std::move(e)), at);
  }
  /// Asks for an early end. One that has not fired calls its canceller, or else fires with
  /// `cancelled` (after which one late callback is ignored). One that waits for a deferred that a
  /// callback returned cancels that. One that has its result is left alone. The operation of a
  /// `defer` is cancelled, and the deferred fires when that has ended: with `cancelled`, or with
  /// the result if there was one after all.
  void cancel(std::source_location at = std::source_location::current()) const {
    chain_->cancel(at);
  }

  // ---- building the chain: on its loop ----

  /// Whether it has been fired.
  [[nodiscard]] bool called() const noexcept { return chain_->fired(); }
  /// `f(value)`, or `f()`; what it returns is what the chain gives from there on.
  template <class F>
  auto add_callback(F&& f) const {
    using fn = std::decay_t<F>;
    if constexpr (!detail::takes<fn, T>) {
      detail::add_callback_does_not_fit_the_chain<detail::a_callable_that_takes<T>, fn>();
      return *this;
    } else {
      using out = detail::chained_t<detail::called_t<fn, T>>;
      return link<out>(std::forward<F>(f), detail::pass{}, "add_callback");
    }
  }
  /// `g(failure)`, or `g()`; it returns what the chain carries, a failure, or nothing: then the
  /// chain gives nothing from there on, in both cases.
  template <class G>
  auto add_errback(G&& g) const {
    return pair<T>(detail::pass{}, std::forward<G>(g), "add_errback");
  }
  /// One link: `g` sees the failures from before, not those of `f`. `g` returns what `f` does, a
  /// failure, or nothing.
  template <class F, class G>
  auto add_callbacks(F&& f, G&& g) const {
    using fn = std::decay_t<F>;
    if constexpr (!detail::takes<fn, T>) {
      detail::add_callback_does_not_fit_the_chain<detail::a_callable_that_takes<T>, fn>();
      return *this;
    } else {
      using value = detail::chained_t<detail::called_t<fn, T>>;
      return pair<value>(std::forward<F>(f), std::forward<G>(g), "add_callbacks");
    }
  }
  /// `f(std::expected<T, failure>)`, or `f()`, on both tracks. One that returns its argument passes
  /// the result on.
  template <class F>
  auto add_both(F&& f) const {
    using fn = std::decay_t<F>;
    using either = std::expected<T, failure>;
    if constexpr (!detail::takes<fn, either>) {
      detail::add_both_does_not_fit_the_chain<detail::a_callable_that_takes<either>, fn>();
      return *this;
    } else {
      using out = detail::chained_t<detail::called_t<fn, either>>;
      return both<out>(std::forward<F>(f), "add_both");
    }
  }
  /// Fires `to` with what this gives. This gives nothing from there on; a cancel of `to` does not
  /// come back here. A `to` that has fired already makes this one fail.
  deferred<> chain_deferred(const deferred& to) const {
    chain_->check_add(typeid(T), "chain_deferred");
    to.check_source("chain_deferred");
    deferred<> result{chain_};
    chain_->chain_to(to.chain_, typeid(void));
    return result;
  }
  /// Cancels the deferred if it has no result here after `d`. If it ends with `cancelled` because
  /// of that, the chain gives a timeout_error from there on; whatever else it ends with, stays.
  /// Throws loop_not_running outside every loop.
  deferred add_timeout(duration d,
                       std::source_location at = std::source_location::current()) const {
    auto late = [](std::expected<T, failure> r, duration) {
      if (!r && r.error().template check<cancelled>()) throw timeout_error{"deferred"};
      return r;
    };
    return add_timeout(d, late, at);
  }
  /// The same with `on_timeout(std::expected<T, failure>, duration)` for what the deferred ended
  /// with after it was cancelled for being late; what it returns (a T, a std::expected, a failure,
  /// a deferred) or throws is the result.
  template <class F>
  deferred add_timeout(duration d, F&& on_timeout,
                       std::source_location at = std::source_location::current()) const;

  /// Keeps the chain from running further until as many calls of `unpause` have come.
  void pause() const { chain_->pause(); }
  /// Throws misuse if it is not paused.
  void unpause() const { chain_->unpause(); }

  // ---- for models ----
  explicit deferred(detail::chain_ref c) noexcept : chain_{std::move(c)} {}
  [[nodiscard]] const detail::chain_ref& shared() const noexcept { return chain_; }

 private:
  template <class>
  friend class deferred;

  template <class Out, class F, class G>
  deferred<Out> link(F&& f, G&& g, const char* what) const {
    using type = detail::link_of<T, Out, std::decay_t<F>, std::decay_t<G>>;
    chain_->check_add(typeid(T), what);
    deferred<Out> result{chain_};
    chain_->add(std::make_unique<type>(std::decay_t<F>(std::forward<F>(f)),
                                       std::decay_t<G>(std::forward<G>(g))),
                typeid(Out));
    return result;
  }
  template <class Out, class F>
  deferred<Out> both(F&& f, const char* what) const {
    using type = detail::both_link<T, Out, std::decay_t<F>>;
    chain_->check_add(typeid(T), what);
    deferred<Out> result{chain_};
    chain_->add(std::make_unique<type>(std::decay_t<F>(std::forward<F>(f))), typeid(Out));
    return result;
  }
  /// A link whose callback gives a Value.
  template <class Value, class F, class G>
  auto pair(F&& f, G&& g, const char* what) const {
    using fn = std::decay_t<G>;
    if constexpr (!detail::takes<fn, failure>) {
      detail::add_errback_does_not_fit_the_chain<detail::a_callable_that_takes<failure>, fn>();
      return *this;
    } else {
      using given = detail::called_t<fn, failure>;
      using out = detail::after_t<Value, given>;
      if constexpr (!detail::fits<given, out>) {
        detail::add_errback_does_not_fit_the_chain<detail::a_result_like<Value>, given>();
        return *this;
      } else {
        return link<out>(std::forward<F>(f), std::forward<G>(g), what);
      }
    }
  }
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
[[nodiscard]] deferred<std::decay_t<V>> succeed(
    V&& v, std::source_location at = std::source_location::current()) {
  deferred<std::decay_t<V>> d;
  d.callback(std::forward<V>(v), at);
  return d;
}
[[nodiscard]] inline deferred<> succeed(std::source_location at = std::source_location::current()) {
  deferred<> d;
  d.callback(at);
  return d;
}
/// One that has failed already: `fail<int>(std::runtime_error{"no"})`.
template <class T = void, class E>
[[nodiscard]] deferred<T> fail(E e, std::source_location at = std::source_location::current()) {
  deferred<T> d;
  d.errback(std::move(e), at);
  return d;
}
/// Calls f(args...) now, and gives what comes of it as a deferred, whatever that is: a value, an
/// exception, a deferred (that one itself), a task (which is started). `f` and `args` are kept
/// until a task has ended, if they are rvalues; lvalues must outlive it.
template <class F, class... Args>
  requires std::invocable<F, Args...>
auto maybe_deferred(F&& f, Args&&... args)
    -> deferred<detail::chained_t<std::invoke_result_t<F, Args...>>> {
  using result = std::remove_cvref_t<std::invoke_result_t<F, Args...>>;
  using value = detail::chained_t<result>;
  try {
    if constexpr (is_deferred_v<result>) {
      return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
    } else if constexpr (is_task_v<result>) {
      return detail::defer_call(std::forward<F>(f), std::forward<Args>(args)...);
    } else {
      return succeed().add_callback([&]() -> decltype(auto) {
        return std::invoke(std::forward<F>(f), std::forward<Args>(args)...);
      });
    }
  } catch (...) {
    return fail<value>(std::current_exception());
  }
}
/// The same for a plain function: one that gives a value or throws.
template <class F, class... Args>
  requires std::invocable<F, Args...>
[[nodiscard]] auto execute(F&& f, Args&&... args) {
  using result = std::remove_cvref_t<std::invoke_result_t<F, Args...>>;
  static_assert(!is_deferred_v<result> && !is_task_v<result>,
                "execute calls plain functions; maybe_deferred takes those that give a deferred or "
                "a task");
  return maybe_deferred(std::forward<F>(f), std::forward<Args>(args)...);
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
  bool try_now() {
    attach();
    return join_wait::try_now();
  }
  T await_resume() { return result_->take(); }

 protected:
  [[nodiscard]] const deferred<T>& awaited() const noexcept { return deferred_; }
  /// It was made, and never started (nor moved from).
  [[nodiscard]] bool unused() const noexcept {
    return !attached_ && deferred_.shared().get() != nullptr;
  }

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

/// Awaiting a deferred that is handed over: cancel goes through to it.
template <class T>
class owning_deferred_operation : public deferred_operation<T> {
 public:
  using deferred_operation<T>::deferred_operation;
  owning_deferred_operation(owning_deferred_operation&&) noexcept = default;
  // A wait that a cancelled scope kept from beginning was cancelled: so is what it was for, and
  // now, for it may use what the caller leaves behind. (A case of a select may have lost before it
  // began.)
  ~owning_deferred_operation() {
    if (!this->unused() || !context::current().scope().cancelled()) return;
    try {
      this->awaited().cancel();
    } catch (...) {
      log(severity::error, "cannot cancel a deferred: " + describe(std::current_exception()));
    }
  }
  bool await_suspend(waiter& w) {
    static constexpr operation_info info{"deferred", &owning_deferred_operation::cancel};
    w.arm(this, info);
    if (this->enlist(w) == enlisted::waiting) return true;
    w.disarm();
    return false;
  }
  T await_resume() {
    try {
      return deferred_operation<T>::await_resume();
    } catch (const cancelled_error&) {
      if (asked_) throw cancelled{};
      throw;
    }
  }

 private:
  static void cancel(void* op, waiter& w) noexcept {
    auto& self = *static_cast<owning_deferred_operation*>(op);
    if (!w.claim_word().is_open()) return;
    self.asked_ = true;
    // From the queue: cancellers and callbacks are users' code, and the tree of scopes is being
    // walked now.
    if (loop* l = w.home()) {
      l->post([d = self.awaited()] { d.cancel(); });
    } else if (!self.awaited().shared()->cancel() && w.try_claim()) {
      self.delist();
      w.wake_cancelled();
    }
  }
  bool asked_ = false;
};

template <class T>
owning_deferred_operation<T> as_operation(deferred<T>&& d) {
  return owning_deferred_operation<T>{std::move(d)};
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
    static_cast<deferred_child&>(of(item)).settle();
  }
  friend class child;
  static std::exception_ptr take_error() noexcept { return nullptr; }
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
    if (!chain_->fired()) chain_->fire(std::move(value), std::move(error), self().spawned_at());
    end(*this);
  }
  scope_region region_;
  Op op_;
  std::exception_ptr refused_;  // it could not even start
  chain_ref chain_;
};

}  // namespace detail

namespace detail {

/// As defer, by this name in dumps.
template <class A>
auto defer_as(spawn_info info, A&& a) -> deferred<std::remove_cvref_t<await_result<A>>> {
  using value_type = std::remove_cvref_t<await_result<A>>;
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{info.name};
  nursery* n = context::current().innermost_nursery();
  if (n == nullptr) n = &loop_root::of(*l).children();
  deferred<value_type> d;
  new deferred_child<stored_operation<A>, value_type>(as_operation(static_cast<A&&>(a)), d, *n,
                                                      info);
  return d;
}

}  // namespace detail

/// Starts an operation or a task now (what it gives comes from the loop's queue, never from within
/// this call), as a child of the nursery that the code is in the body of, or else of the loop's
/// root nursery. Throws loop_not_running outside every loop. Failures go down the chain, not to the
/// nursery. An operation given as an lvalue must outlive its end.
template <class A>
  requires awaitable<A>
auto defer(A&& a, std::source_location at) -> deferred<std::remove_cvref_t<await_result<A>>> {
  return detail::defer_as(spawn_info{"deferred", at}, static_cast<A&&>(a));
}

namespace detail {

/// The link of add_timeout: passes on what comes in time.
enum class timeout_state : std::uint8_t { waiting, late, over };
template <class T, class F>
class timeout_link final : public chain_link {
 public:
  timeout_link(F&& late, deferred<> alarm, std::shared_ptr<timeout_state> state)
      : late_{std::move(late)}, alarm_{std::move(alarm)}, state_{std::move(state)} {}
  chain* run(chain& c) noexcept override {
    if (std::exchange(*state_, timeout_state::over) == timeout_state::late) return late_.run(c);
    alarm_.cancel();
    return nullptr;
  }

 private:
  both_link<T, T, F> late_;
  deferred<> alarm_;
  std::shared_ptr<timeout_state> state_;
};

}  // namespace detail

template <class T>
template <class F>
deferred<T> deferred<T>::add_timeout(duration d, F&& on_timeout, std::source_location at) const {
  using either = std::expected<T, failure>;
  using fn = std::decay_t<F>;
  if constexpr (!std::invocable<fn&, either, duration>) {
    detail::on_timeout_does_not_fit_the_chain<detail::a_callable_that_takes<void(either, duration)>,
                                              fn>();
    return *this;
  } else if constexpr (using given = std::invoke_result_t<fn&, either, duration>;
                       !detail::fits<given, T>) {
    detail::on_timeout_does_not_fit_the_chain<detail::a_result_like<T>, given>();
    return *this;
  } else {
    using detail::timeout_state;
    chain_->check_add(typeid(T), "add_timeout");
    auto state = std::make_shared<timeout_state>(timeout_state::waiting);
    auto alarm = defer(sleep_for(d), at).add_callback([state, c = chain_, at] {
      if (*state != timeout_state::waiting) return;
      *state = timeout_state::late;
      c->cancel(at);
    });
    auto late = [f = fn(std::forward<F>(on_timeout)), d](either r) mutable -> decltype(auto) {
      return std::invoke(f, std::move(r), d);
    };
    chain_->add(
        std::make_unique<detail::timeout_link<T, decltype(late)>>(std::move(late), alarm, state),
        typeid(T));
    return *this;
  }
}

}  // namespace oneloop::inline v0
