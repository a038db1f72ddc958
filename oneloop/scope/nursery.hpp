// Nurseries: the scope that owns concurrently running children. It does not close before all of
// them have ended, so nothing outlives the block that started it (trio's nurseries; Nathaniel J.
// Smith, "Notes on structured concurrency", 2018).
//
//     with_nursery([](nursery& n) {          // in a fiber or a plain thread
//       n.start(serve, listener);            // a coroutine: a task; else a fiber, or a thread
//       n.start(named{"ticker", tick}, 1s);
//     });                                    // waits for both
//
// The first failure of a child (or of the body) cancels the others; after all have ended it is
// rethrown unchanged if it is the only one, several as an exception_group with the first one first.
//
// Threads: a nursery is used where its body runs; `start_on` starts a child on another loop, to
// which cancellation is sent by a proxy scope.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/base/short_mutex.hpp"
#include "oneloop/loop/loop_at.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {

class child;
class nursery;
namespace detail {
class start_state;
}

/// Failures of children that somebody may still ask for (by a join handle) in place of the nursery.
/// What nobody has asked for when the nursery closes, or will ever ask for, the nursery gets after
/// all. May outlive its nursery. Any thread.
class ONELOOP_API failure_board {
 public:
  /// Embedded in what handles share.
  struct entry : list_hook<> {
    std::exception_ptr error;  // set before `keep`
  };
  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  void release() noexcept;
  /// Keeps a failure while there are `holders`; false if there are none: it is the nursery's.
  bool keep(entry& e, const std_atomics::atomic<std::uint32_t>& holders) noexcept;
  /// Somebody asks for it: the nursery will not hear of it.
  void asked(entry& e) noexcept;
  /// The last holder has gone: the nursery gets it now, unless it was asked for.
  void give_up(entry& e) noexcept;

 private:
  friend class nursery;
  explicit failure_board(nursery& n) noexcept : owner_{&n} {}
  ~failure_board() = default;
  std_atomics::atomic<std::uint32_t> references_{1};
  short_mutex lock_;
  nursery* owner_;  // null when it has closed
  intrusive_list<entry> kept_;
};

class ONELOOP_API nursery {
 public:
  /// For models and regions: `owner` is the party whose code is the body.
  explicit nursery(context& owner, scope_options options = {});
  ~nursery();
  nursery(const nursery&) = delete;
  nursery& operator=(const nursery&) = delete;

  /// Starts `fn(args...)` as a child; it runs after the caller has given way. If `fn` is a
  /// coroutine the child is a task, otherwise a fiber; in a nursery of a plain thread it is a
  /// thread, which awaits the task. `fn` and `args` are moved into the child and live until it has
  /// ended; it is called with them as rvalues, as std::thread does (use std::ref to pass a
  /// reference). In a cancelled nursery the child starts and is cancelled at its first checkpoint.
  /// Throws what making the child throws (no memory, no stack), wrong_thread, and misuse when the
  /// body and all children have ended.
  // One overload an arity: a default argument, which carries the line of the call, cannot follow a
  // pack. With more arguments `named` brings the line.
  template <class F>
  void start(F&& fn, std::source_location at = std::source_location::current()) {
    start_at(at, std::forward<F>(fn));
  }
  template <class F, class A>
  void start(F&& fn, A&& a, std::source_location at = std::source_location::current()) {
    start_at(at, std::forward<F>(fn), std::forward<A>(a));
  }
  template <class F, class A, class B>
  void start(F&& fn, A&& a, B&& b, std::source_location at = std::source_location::current()) {
    start_at(at, std::forward<F>(fn), std::forward<A>(a), std::forward<B>(b));
  }
  template <class F, class A, class B, class C>
  void start(F&& fn, A&& a, B&& b, C&& c,
             std::source_location at = std::source_location::current()) {
    start_at(at, std::forward<F>(fn), std::forward<A>(a), std::forward<B>(b), std::forward<C>(c));
  }
  template <class F, class A, class B, class C, class D, class... More>
  void start(F&& fn, A&& a, B&& b, C&& c, D&& d, More&&... more) {
    start_at(std::source_location{}, std::forward<F>(fn), std::forward<A>(a), std::forward<B>(b),
             std::forward<C>(c), std::forward<D>(d), std::forward<More>(more)...);
  }

  /// Starts `fn(args...)` on another loop; may be called before anybody runs that loop. Its failure
  /// and its end come back here, cancellation goes there. Throws loop_not_running if `l` has
  /// closed; if it closes later, before the child has run or while it does, the child fails with
  /// that error.
  template <class F, class... Args>
  void start_on(loop_at l, F&& fn, Args&&... args);

  /// Starts `fn(args..., ready)` as a child, and waits until it says that it is ready: an
  /// operation, see ready_signal.hpp.
  template <class F>
  [[nodiscard]] auto start_and_wait_ready(
      F&& fn, std::source_location at = std::source_location::current()) {
    return start_ready_at(at, std::forward<F>(fn));
  }
  template <class F, class A>
  [[nodiscard]] auto start_and_wait_ready(
      F&& fn, A&& a, std::source_location at = std::source_location::current()) {
    return start_ready_at(at, std::forward<F>(fn), std::forward<A>(a));
  }
  template <class F, class A, class B, class... More>
  [[nodiscard]] auto start_and_wait_ready(F&& fn, A&& a, B&& b, More&&... more) {
    return start_ready_at(std::source_location{}, std::forward<F>(fn), std::forward<A>(a),
                          std::forward<B>(b), std::forward<More>(more)...);
  }

  /// The scope around the body and the children: cancel it to end them all.
  [[nodiscard]] cancel_scope& scope() noexcept { return scope_; }
  void cancel() noexcept { scope_.cancel(); }
  /// Children that have not ended. Any thread.
  [[nodiscard]] std::size_t running() const noexcept;
  [[nodiscard]] context& owner() const noexcept { return owner_; }
  /// The loop of the body; null in a plain thread.
  [[nodiscard]] loop* home() const noexcept { return owner_.home(); }

  // ---- for models and regions ----

  /// Waits for the children; neither fails nor ends early (cancel the scope for that).
  class ONELOOP_API join_operation {
   public:
    using unchecked = void;
    explicit join_operation(nursery& n) noexcept : nursery_{n} {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    bool await_suspend(waiter& w) noexcept;
    void await_resume() const noexcept {}

   private:
    nursery& nursery_;
  };
  [[nodiscard]] join_operation join() noexcept { return join_operation{*this}; }

  /// A child begins: from now on the nursery waits for it. Home only.
  /// Throws misuse if it is over: the body and all children have ended.
  void adopt();
  /// A child has ended; with `error` it failed. Any thread; the nursery may be gone afterwards.
  void ended(std::exception_ptr error) noexcept;
  /// Something failed here that has ended before: cancels the children. Any thread that knows the
  /// nursery to be open, after `failures` or `tie`.
  void failed(std::exception_ptr error) noexcept;
  /// Where failures wait that may be asked for. Home only.
  [[nodiscard]] failure_board& failures();
  /// The body failed: cancels the children and keeps the error. Home only.
  void body_failed(std::exception_ptr error) noexcept;
  /// After join: closes and throws what there is to throw. Home only.
  void close();
  /// The same without throwing.
  [[nodiscard]] std::exception_ptr close_quietly() noexcept;

  /// Ties the scope of a child that lives elsewhere to this nursery's.
  void tie(cancel_handle proxy);

  /// How many children elsewhere, at the most, it can still reach. Home only.
  [[nodiscard]] std::size_t ties() const noexcept { return ties_.size(); }
  /// Before another thread may report a failure. Home only.
  void be_reachable();

  template <class F, class... Args>
  void start_at(std::source_location at, F&& fn, Args&&... args);
  template <class F, class... Args>
  auto start_ready_at(std::source_location at, F&& fn, Args&&... args);

 private:
  friend class join_operation;
  void keep(std::exception_ptr error) noexcept;

  context& owner_;
  nursery* outer_;
  cancel_scope scope_;
  cancel_handle self_;  // for failures that come from other threads
  bool reachable_ = false;
  failure_board* board_ = nullptr;
  std::vector<std::unique_ptr<scope_tie>> ties_;
  std::size_t live_ties_ = 0;  // at the last look
  mutable short_mutex lock_;   // guards what follows
  std::size_t running_ = 0;
  waiter* joiner_ = nullptr;
  bool over_ = false;  // nothing more may be started
  bool closed_ = false;
  std::vector<std::exception_ptr> errors_;
};

namespace detail {
/// Around the code of a child that is not simply in its nursery's scope: one that will be moved, or
/// that runs on another loop than its nursery.
struct child_scope : cancel_scope {
  child_scope(loop& l, cancel_scope& parent, nursery& on_its_loop, nursery* elsewhere)
      : cancel_scope{&l, nullptr, &parent}, here{&on_its_loop}, owner{elsewhere} {}
  nursery* here;   // its nursery; the root nursery of its loop if that is elsewhere
  nursery* owner;  // elsewhere; or null
};
}  // namespace detail

/// A child's record: its context, and the way back to its nursery. Models derive from it; it lives
/// on the child's loop, from start to reaping.
class ONELOOP_API child : protected context {
 public:
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  [[nodiscard]] context& self() noexcept { return *this; }
  [[nodiscard]] const context& self() const noexcept { return *this; }
  /// From now on it is a child of `n`, on the same loop. Only what was made to be moved.
  void move_to(nursery& n) noexcept;

 protected:
  /// On the nursery's own loop.
  child(party_kind kind, nursery& owner, waiter::run_fn resume, spawn_info info);
  /// The same, to be moved to another nursery of that loop when it is ready.
  child(party_kind kind, nursery& owner, const std::shared_ptr<detail::start_state>& starting,
        waiter::run_fn resume, spawn_info info);
  /// Elsewhere (`l` is that loop, this its thread): in a proxy scope tied to the nursery by `link`.
  child(party_kind kind, nursery& owner, loop& l, scope_link& link, waiter::run_fn resume,
        spawn_info info);
  ~child();

  /// The record behind what a model's resume function is given.
  static child& of(ready_item& item) noexcept {
    return static_cast<child&>(static_cast<context&>(item));
  }

  /// The record is complete: from now on the nursery waits for this child. Last in a constructor.
  void begin();

  /// The code of `record` has ended. It is reaped on the next turn of the ready queue: then it is
  /// asked for its failure by `take_error()`, deleted, and the nursery hears of that.
  template <class Record>
  static void end(Record& record) noexcept {
    child& c = record;
    c.reap_by([](ready_item& item) noexcept {
      auto* const ended = static_cast<Record*>(&of(item));
      const last_word word{of(item), ended->take_error()};
      delete ended;
    });
  }

 private:
  /// Tells the nursery that it has ended, when the record is gone.
  class ONELOOP_API last_word {
   public:
    last_word(child& c, std::exception_ptr error) noexcept;
    ~last_word();
    last_word(const last_word&) = delete;
    last_word& operator=(const last_word&) = delete;

   private:
    nursery* owner_;
    nursery* host_ = nullptr;  // the root nursery of the other loop that it ran on
    std::exception_ptr error_;
  };
  child(party_kind kind, std::unique_ptr<detail::child_scope> around, waiter::run_fn resume,
        spawn_info info);
  [[nodiscard]] detail::child_scope* own_scope() const noexcept;
  void reap_by(waiter::run_fn reap) noexcept;
};

/// How a callable is started, chosen by what it returns. The models specialise it: task/ for
/// callables that give a task, fiber/ for everything else.
///   static void start(nursery&, spawn_info, F fn, std::tuple<Args...> args)       // same loop
///   static void start(nursery&, spawn_info, F, tuple, const std::shared_ptr<start_state>&)
///   static void start_elsewhere(nursery&, loop&, scope_link&, spawn_info, F, tuple) // on l's
///   thread
template <class Result>
struct starter;

namespace detail {
/// Splits an optional `named{...}` into name and function.
template <class F>
struct unnamed {
  using type = F;
  static const char* name(const F&) noexcept { return "task"; }
  static std::source_location at(const F&, std::source_location call) noexcept { return call; }
  static F&& fn(F& f) noexcept { return static_cast<F&&>(f); }
};
template <class F>
struct unnamed<named<F>> {
  using type = F;
  static const char* name(const named<F>& n) noexcept { return n.name; }
  /// The line of the call, if that is known.
  static std::source_location at(const named<F>& n, std::source_location call) noexcept {
    return call.line() != 0 ? call : n.at;
  }
  static F&& fn(named<F>& n) noexcept { return static_cast<F&&>(n.fn); }
};

/// Starts a thread as a child of a plain thread's nursery.
ONELOOP_API void start_thread_child(nursery& n, spawn_info info,
                                    std::move_only_function<void()> body,
                                    std::shared_ptr<start_state> starting = nullptr);
/// Runs `begin` on `l` with the link of a proxy scope that is tied to `n`.
ONELOOP_API void start_elsewhere(nursery& n, loop& l,
                                 std::move_only_function<void(scope_link&)> begin);
}  // namespace detail

template <class F, class... Args>
void nursery::start_at(std::source_location at, F&& fn, Args&&... args) {
  using unnamed = detail::unnamed<std::decay_t<F>>;
  using fn_type = typename unnamed::type;
  if (home() != nullptr) home()->check_thread("nursery::start");
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{unnamed::name(f), unnamed::at(f, at)};
  using result = std::invoke_result_t<fn_type, std::decay_t<Args>...>;
  starter<result>::start(*this, info, unnamed::fn(f),
                         std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...});
}

template <class F, class... Args>
void nursery::start_on(loop_at where, F&& fn, Args&&... args) {
  using unnamed = detail::unnamed<std::decay_t<F>>;
  using fn_type = typename unnamed::type;
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{unnamed::name(f), where.at};
  loop& l = where.where;
  using result = std::invoke_result_t<fn_type, std::decay_t<Args>...>;
  detail::start_elsewhere(*this, l,
                          [this, info, &l, f = fn_type{unnamed::fn(f)},
                           args = std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}](
                              scope_link& link) mutable {
                            starter<result>::start_elsewhere(*this, l, link, info, std::move(f),
                                                             std::move(args));
                          });
}

}  // namespace oneloop::inline v0

// After the nursery, which it completes.
#include "oneloop/scope/ready_signal.hpp"  // IWYU pragma: export
