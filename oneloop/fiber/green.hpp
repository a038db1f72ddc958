// Green threads by handle, as gevent's: spawn() without a nursery, and a handle that can be joined,
// killed, linked and asked.
//
//     fiber<page> a = spawn(fetch, "http://a.example"), b = spawn(fetch, "http://b.example");
//     spawn_later(5s, [a] { a.kill(); });
//     joinall({a, b}, 10s);                        // at most ten seconds
//     if (a.successful()) use(a.get());
//
// The owner is the nursery that the calling code is in the body of, else the loop's root nursery,
// which run() cancels and waits for at its end. Dropping the handle neither ends nor frees the
// fiber. A coroutine given to spawn becomes a task with the same handle.
//
// *Result*: get() gives a copy; one that cannot be copied it gives once.
// *Errors*: a failure belongs to who asks for it: get, exception, await or joinall(raise_error). It
// is never lost: if nobody has asked when the last handle goes, it is the nursery's, which cancels
// the siblings and throws it at its end. (gevent prints it, and goes on.)
// *Cancellation*: kill cancels the fiber: its next wait throws `cancelled`, and so does each later
// one. One that has not begun never does. A fiber that was killed has ended successfully, without a
// value. A wait for a fiber that is cancelled itself leaves the fiber alone.
// *Threads*: what looks or asks, from any thread. link and unlink on a loop's thread; wait, iwait,
// and joinall with a count or raise_error too. What waits, in a fiber or a plain thread.
// *Cost*: a spawn is two small allocations; see fiber.hpp. A link is one record.
#pragma once

#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <source_location>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/spawn.hpp"

namespace oneloop::inline v0 {

namespace detail {

class end_watch;

/// Goes through what `source.next()` gives, a std::optional<T>, until it gives nothing.
template <class Source, class T>
class next_iterator {
 public:
  using value_type = T;
  using difference_type = std::ptrdiff_t;
  explicit next_iterator(Source& source) : source_{&source}, now_{source.next()} {}
  T& operator*() const { return *now_; }
  next_iterator& operator++() {
    now_ = source_->next();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const next_iterator& i, std::default_sentinel_t) { return !i.now_; }

 private:
  Source* source_;
  mutable std::optional<T> now_;
};

/// When a link fires.
enum class link_when { ended, succeeded, failed };

/// Where spawn without a nursery puts its children; throws loop_not_running in a plain thread that
/// is in no nursery.
ONELOOP_API nursery& current_nursery(const char* what);

/// What a fiber_link and its watch share.
struct watch_slot {
  end_watch* watch = nullptr;
};

/// Runs `code` on the loop when the child has ended: in a fiber of the root nursery, or (`at_once`)
/// as a callback, which must not throw.
ONELOOP_API std::shared_ptr<watch_slot> watch_end(join_state& s, link_when when, bool at_once,
                                                  std::move_only_function<void()> code,
                                                  std::source_location at);

}  // namespace detail

/// What `link` gives: a way to take it back.
class ONELOOP_API fiber_link {
 public:
  fiber_link() noexcept = default;
  /// It will not fire any more; nothing happens if it has.
  void unlink() noexcept;

  explicit fiber_link(std::shared_ptr<detail::watch_slot> slot) noexcept : slot_{std::move(slot)} {}

 private:
  std::shared_ptr<detail::watch_slot> slot_;
};

/// A handle on a fiber, whatever its result.
class ONELOOP_API any_fiber {
 public:
  /// No fiber; only assignment and destruction make sense.
  any_fiber() noexcept = default;
  [[nodiscard]] explicit operator bool() const noexcept { return state_.get() != nullptr; }

  /// Its code has begun to run.
  [[nodiscard]] bool started() const { return checked().begun(); }
  /// It has ended: gevent's `ready` and `dead` are the same.
  [[nodiscard]] bool ready() const { return checked().finished(); }
  [[nodiscard]] bool dead() const { return ready(); }
  /// It has ended, and not by an exception; being killed is no failure.
  [[nodiscard]] bool successful() const { return ready() && !checked().failed(); }
  /// What it threw; null while it runs and if it did not fail. This asks for the failure.
  [[nodiscard]] std::exception_ptr exception() const {
    return ready() ? checked().failure() : nullptr;
  }
  [[nodiscard]] const char* name() const { return checked().name(); }

  /// Waits for the end, at most for `limit`; whether it has ended. Throws nothing of the fiber's.
  bool join(std::optional<duration> limit = {}) const;

  /// Ends the fiber, and waits until it has ended if `block`, at most for `limit`. Whether it has.
  /// In the fiber itself it throws `cancelled` at once, unless `block` is false.
  bool kill(bool block = true, std::optional<duration> limit = {}) const;
  bool kill(duration limit) const { return kill(true, limit); }

  /// Runs `fn(handle)`, or `fn()`, in a fiber of its own when this one has ended, also if it has
  /// already. What `fn` throws goes to the loop's root nursery.
  template <class F>
  fiber_link link(F fn, std::source_location at = std::source_location::current()) const {
    return watch(*this, detail::link_when::ended, std::move(fn), at);
  }
  static void unlink(fiber_link l) noexcept { l.unlink(); }

  friend bool operator==(const any_fiber& a, const any_fiber& b) noexcept {
    return a.state_.get() == b.state_.get();
  }

  // ---- for models ----
  explicit any_fiber(detail::join_state* s) noexcept : state_{s} {}
  [[nodiscard]] detail::join_state& checked() const {
    if (state_.get() == nullptr) throw misuse{"fiber: an empty handle"};
    return *state_.get();
  }

 protected:
  template <class Handle, class F>
  static fiber_link watch(const Handle& self, detail::link_when when, F fn,
                          std::source_location at) {
    auto code = [self = Handle{self}, fn = std::move(fn)]() mutable {
      if constexpr (std::invocable<F&, Handle&>) {
        std::invoke(fn, self);
      } else {
        std::invoke(fn);
      }
    };
    return fiber_link{detail::watch_end(self.checked(), when, false, std::move(code), at)};
  }

 private:
  detail::join_ref<detail::join_state, true> state_;
};

/// A handle on a fiber that gives a T.
template <class T = void>
class fiber : public any_fiber {
 public:
  using value_type = T;

  fiber() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): every child of a nursery may be used as a fiber
  fiber(const joinable<T>& h) : any_fiber{&h.checked()} {}

  /// Waits for the end, at most for `limit` (timeout_error): the result, or rethrows the failure.
  /// If the fiber was killed there is none: cancelled_error, except for fiber<>, where get just
  /// returns.
  T get(std::optional<duration> limit = {}) const {
    if (!join(limit)) throw timeout_error{"fiber.get"};
    if constexpr (std::is_void_v<T>) {
      if (checked().ended_by_cancel()) return;
    }
    return state().result();
  }
  /// The result where it is kept; null while the fiber runs, and if it failed or was killed.
  [[nodiscard]] auto value() const
    requires(!std::is_void_v<T>)
  {
    using pointer = std::add_pointer_t<std::remove_reference_t<T>>;
    if (!ready() || !state().value) return pointer{nullptr};
    if constexpr (std::is_reference_v<T>) {
      return pointer{*state().value};
    } else {
      return pointer{&*state().value};
    }
  }

  /// As any_fiber::link, with this type of handle; and only if it has ended well, or badly.
  template <class F>
  fiber_link link(F fn, std::source_location at = std::source_location::current()) const {
    return watch(*this, detail::link_when::ended, std::move(fn), at);
  }
  template <class F>
  fiber_link link_value(F fn, std::source_location at = std::source_location::current()) const {
    return watch(*this, detail::link_when::succeeded, std::move(fn), at);
  }
  template <class F>
  fiber_link link_exception(F fn, std::source_location at = std::source_location::current()) const {
    return watch(*this, detail::link_when::failed, std::move(fn), at);
  }

  /// The same child as a joinable: handle().join() is an operation, for select.
  [[nodiscard]] joinable<T> handle() const { return joinable<T>{&state()}; }

 private:
  detail::join_state_of<T>& state() const {
    return static_cast<detail::join_state_of<T>&>(checked());
  }
};

/// A fiber in place of its join: co_await f, await(f), gather(f, g), fail_after(1s, f).
template <class T>
join_operation<T> as_operation(const fiber<T>& f) {
  return f.handle().join();
}

namespace detail {

template <class F, class... Args>
concept spawnable = std::invocable<typename unnamed<std::decay_t<F>>::type, std::decay_t<Args>...>;

template <class F, class... Args>
using fiber_of_call = fiber<typename spawned<F, Args...>::value_type>;

template <class F, class... Args>
auto spawn_here(std::source_location at, F&& fn, Args&&... args) -> fiber_of_call<F, Args...> {
  return oneloop::spawn(nursery_at{current_nursery("spawn"), at}, std::forward<F>(fn),
                        std::forward<Args>(args)...);
}

template <class F, class... Args>
auto spawn_delayed(nursery_at to, duration delay, F&& fn, Args&&... args)
    -> fiber_of_call<F, Args...> {
  using spawned = detail::spawned<F, Args...>;
  std::decay_t<F> f{std::forward<F>(fn)};
  const spawn_info info{spawned::unnamed::name(f), to.at};
  auto handle = make_joinable<typename spawned::value_type>(info.name, to.where.home());
  handle.checked().belong_to(to.where);
  spawned::starter::start(handle.checked(), to.where, info, spawned::unnamed::fn(f),
                          std::tuple<std::decay_t<Args>...>{std::forward<Args>(args)...}, delay);
  return handle;
}

}  // namespace detail

/// Starts fn(args...) as a fiber (a task, if it is a coroutine), which runs after the caller has
/// given way. `fn` and `args` are moved into it. Throws loop_not_running in a plain thread that is
/// in no nursery; in a nursery of a plain thread it starts a thread.
template <class F>
  requires detail::spawnable<F>
auto spawn(F&& fn, std::source_location at = std::source_location::current()) {
  return detail::spawn_here(at, std::forward<F>(fn));
}
template <class F, class A>
  requires detail::spawnable<F, A>
auto spawn(F&& fn, A&& a, std::source_location at = std::source_location::current()) {
  return detail::spawn_here(at, std::forward<F>(fn), std::forward<A>(a));
}
template <class F, class A, class B>
  requires detail::spawnable<F, A, B>
auto spawn(F&& fn, A&& a, B&& b, std::source_location at = std::source_location::current()) {
  return detail::spawn_here(at, std::forward<F>(fn), std::forward<A>(a), std::forward<B>(b));
}
template <class F, class A, class B, class C, class... More>
  requires detail::spawnable<F, A, B, C, More...>
auto spawn(F&& fn, A&& a, B&& b, C&& c, More&&... more) {
  return detail::spawn_here(std::source_location{}, std::forward<F>(fn), std::forward<A>(a),
                            std::forward<B>(b), std::forward<C>(c), std::forward<More>(more)...);
}

/// The same, in `d`: until then it is a record and a timer, without a stack. Not for coroutines.
template <class F, class... Args>
  requires detail::spawnable<F, Args...> &&
           blocking_body<typename detail::unnamed<std::decay_t<F>>::type, std::decay_t<Args>...>
auto spawn_later(delay_at d, F&& fn, Args&&... args) {
  return detail::spawn_delayed(nursery_at{detail::current_nursery("spawn_later"), d.at}, d.delay,
                               std::forward<F>(fn), std::forward<Args>(args)...);
}

/// No bound on the number of fibers to wait for.
inline constexpr std::size_t all_of_them = std::numeric_limits<std::size_t>::max();

template <class R>
concept fiber_range =
    std::ranges::input_range<R> && std::derived_from<std::ranges::range_value_t<R>, any_fiber>;

/// What iwait gives: fibers in the order in which they end, in a range-for or by `next`.
template <class Fiber>
class ended_fibers {
 public:
  template <class R>
  ended_fibers(const R& fibers, std::optional<duration> limit, std::size_t count)
      : fibers_(std::ranges::begin(fibers), std::ranges::end(fibers)),
        left_{std::min(count, fibers_.size())} {
    const loop* l = loop::current();
    if (l == nullptr) throw loop_not_running{"iwait in a plain thread"};
    if (limit) deadline_ = after(l->now(), *limit);
    for (std::size_t i = 0; i < fibers_.size(); ++i) {
      auto tell = [ended = ended_, i] { (void)ended->try_send(i); };
      if (fibers_[i].ready()) {
        tell();
        continue;
      }
      links_.emplace_back(detail::watch_end(fibers_[i].checked(), detail::link_when::ended, true,
                                            std::move(tell), std::source_location::current()));
    }
  }
  ended_fibers(const ended_fibers&) = delete;
  ended_fibers& operator=(const ended_fibers&) = delete;
  ~ended_fibers() {
    for (fiber_link& l : links_) l.unlink();
  }

  /// The next one that ends; nothing after the last, the count, or when the time is over.
  std::optional<Fiber> next() {
    if (left_ == 0) return std::nullopt;
    auto i = receive();
    if (!i) {
      left_ = 0;
      return std::nullopt;
    }
    --left_;
    return fibers_[*i];
  }

  using iterator = detail::next_iterator<ended_fibers, Fiber>;
  iterator begin() { return iterator{*this}; }
  static std::default_sentinel_t end() noexcept { return {}; }

 private:
  std::optional<std::size_t> receive() {
    // What has ended by then is given also after the limit.
    if (deadline_ == never || ended_->statistics().buffered != 0) return await(ended_->receive());
    auto i = await(move_on_after(deadline_ - loop::current()->now(), ended_->receive()));
    return i ? *i : std::nullopt;
  }
  std::vector<Fiber> fibers_;
  std::size_t left_;
  time_point deadline_ = never;
  std::vector<fiber_link> links_;
  std::shared_ptr<channel<std::size_t>> ended_ = std::make_shared<channel<std::size_t>>(unbounded);
};

/// The fibers as they end: at most `count` of them, within `limit` of this call. Only on a loop.
template <fiber_range R>
auto iwait(const R& fibers, std::optional<duration> limit = {}, std::size_t count = all_of_them) {
  return ended_fibers<std::ranges::range_value_t<R>>{fibers, limit, count};
}
inline auto iwait(std::initializer_list<any_fiber> fibers, std::optional<duration> limit = {},
                  std::size_t count = all_of_them) {
  return ended_fibers<any_fiber>{fibers, limit, count};
}

/// Those that have ended within `limit`, in that order; returns as soon as there are `count`.
template <fiber_range R>
auto wait(const R& fibers, std::optional<duration> limit = {}, std::size_t count = all_of_them) {
  context::current().checkpoint();  // also if there is none to wait for
  std::vector<std::ranges::range_value_t<R>> ended;
  auto all = iwait(fibers, limit, count);
  while (auto f = all.next()) ended.push_back(*std::move(f));
  return ended;
}
inline auto wait(std::initializer_list<any_fiber> fibers, std::optional<duration> limit = {},
                 std::size_t count = all_of_them) {
  return wait(std::vector<any_fiber>{fibers}, limit, count);
}

/// Waits for all (or for the first `count`) of the fibers, at most for `limit`; gives those that
/// have ended. With `raise_error` the first failure is thrown as soon as it is there; the other
/// fibers go on.
template <fiber_range R>
auto joinall(const R& fibers, std::optional<duration> limit = {}, bool raise_error = false,
             std::size_t count = all_of_them) {
  context::current().checkpoint();  // also if there is none to wait for
  std::vector<std::ranges::range_value_t<R>> ended;
  if (!raise_error && count == all_of_them) {
    auto join_each = [&] {
      for (const auto& f : fibers) f.join();
    };
    if (limit) {
      move_on_after(*limit, join_each);
    } else {
      join_each();
    }
    for (const auto& f : fibers) {
      if (f.ready()) ended.push_back(f);
    }
    return ended;
  }
  auto all = iwait(fibers, limit, count);
  while (auto f = all.next()) {
    if (raise_error && !f->successful()) std::rethrow_exception(f->exception());
    ended.push_back(*std::move(f));
  }
  return ended;
}
inline auto joinall(std::initializer_list<any_fiber> fibers, std::optional<duration> limit = {},
                    bool raise_error = false, std::size_t count = all_of_them) {
  return joinall(std::vector<any_fiber>{fibers}, limit, raise_error, count);
}

/// Kills all of them, then waits for their end if `block`, at most for `limit` together. Whether
/// all have ended.
template <fiber_range R>
bool killall(const R& fibers, bool block = true, std::optional<duration> limit = {}) {
  for (const auto& f : fibers) f.kill(false);
  if (block) (void)joinall(fibers, limit);
  return std::ranges::all_of(fibers, [](const any_fiber& f) { return f.ready(); });
}
inline bool killall(std::initializer_list<any_fiber> fibers, bool block = true,
                    std::optional<duration> limit = {}) {
  return killall(std::vector<any_fiber>{fibers}, block, limit);
}

}  // namespace oneloop::inline v0
