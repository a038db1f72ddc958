// Groups and pools of fibers, as gevent's: fiber_group keeps track of the fibers that it started,
// fiber_pool also bounds how many run at once.
//
//     fiber_pool pool{10};
//     for (const auto& url : urls) pool.spawn(fetch, url);         // waits while ten are running
//     pool.join();
//     for (const page& p : pool.imap(fetch, urls)) use(p);          // in the order of urls
//     std::vector<page> all = pool.map(fetch, urls);
//
// A fiber leaves the group, and frees its place in the pool, when it has ended. A pool of size 0
// never has a place. The fibers belong to the nursery that spawn finds (green.hpp), not to the
// group: a group that dies leaves them running.
//
// *Errors*: as with every handle (green.hpp); the group asks for none. map, imap and apply throw
// the failure of the call that they come to, and end the calls that are left; failures of those are
// logged.
// *Cancellation*: of a wait for a place: nothing was started. Of apply, map and imap: the calls are
// killed and waited for.
// *Threads*: a group is used on the loop on which it was made, by fibers; a coroutine may use what
// does not wait. *Cost*: two records and a few map entries a fiber.
#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <ranges>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/green.hpp"
#include "oneloop/fiber/local.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/semaphore.hpp"

namespace oneloop::inline v0 {

namespace detail {

/// Fibers, in the order in which they came.
class fiber_set {
 public:
  void insert(const any_fiber& f) {
    const auto [at, added] = places_.try_emplace(&f.checked());
    if (added) at->second = fibers_.insert(fibers_.end(), f);
  }
  bool erase(join_state& s) noexcept {
    const auto at = places_.find(&s);
    if (at == places_.end()) return false;
    const auto gone = at->second;
    places_.erase(at);
    fibers_.erase(gone);
    return true;
  }
  [[nodiscard]] bool contains(join_state& s) const noexcept { return places_.contains(&s); }
  [[nodiscard]] bool empty() const noexcept { return fibers_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return fibers_.size(); }
  [[nodiscard]] std::vector<any_fiber> all() const { return {fibers_.begin(), fibers_.end()}; }

 private:
  std::list<any_fiber> fibers_;
  std::unordered_map<join_state*, std::list<any_fiber>::iterator> places_;
};

/// What a group shares with its fibers, which may outlive it.
class ONELOOP_API group_core : public std::enable_shared_from_this<group_core> {
 public:
  explicit group_core(std::optional<std::size_t> size);

  /// A place for one more; nothing in a group without a bound. Until it is given to a fiber by
  /// `track`, the permit keeps it.
  semaphore_permit enter();
  /// From now on `f` is in the group, and has the place.
  void track(const any_fiber& f, semaphore_permit place);
  void discard(const any_fiber& f) noexcept;
  [[nodiscard]] std::vector<any_fiber> members() const { return fibers.all(); }
  bool join(std::optional<duration> limit);
  /// Whether the calling fiber is one that this group has started.
  [[nodiscard]] bool calls() const;
  /// At the begin of a fiber's code.
  void mark() const;

  fiber_set fibers;
  std::optional<semaphore> places;
  event empty{true};
};

/// Waits for `f` and owns its fate: whatever ends the wait ends it too.
ONELOOP_API void join_owned(const any_fiber& f);
/// Kills what an abandoned map has started, waits for its end if the caller can, and logs failures.
ONELOOP_API void abandon(const std::vector<any_fiber>& fibers) noexcept;

template <class R>
using mapped_t = std::conditional_t<std::is_void_v<R>, std::monostate, std::decay_t<R>>;

/// A call of a map.
template <class F, class Item>
auto call_mapped(F& fn, Item& item) -> mapped_t<std::invoke_result_t<F&, Item>> {
  if constexpr (std::is_void_v<std::invoke_result_t<F&, Item>>) {
    std::invoke(fn, std::move(item));
    return {};
  } else {
    return std::invoke(fn, std::move(item));
  }
}

/// What the caller, the feeder and the calls of one imap share.
template <class T>
struct imap_core {
  channel<fiber<T>> results{unbounded};
  std::optional<semaphore> ahead;  // results that nobody has taken yet
  fiber_set out;
  std::size_t running = 0;
  bool fed = false;
  bool abandoned = false;      // nothing more may begin
  std::exception_ptr feeding;  // what the range threw, or the spawn
  void close_if_over() {
    if (fed && running == 0) results.try_close();
  }
};

template <class F>
struct at_end {
  F f;
  ~at_end() { f(); }
};
template <class F>
at_end(F) -> at_end<F>;

}  // namespace detail

/// The results of an imap: in a range-for, or by `next`. Leaving it early kills the calls that are
/// left and, in a fiber, waits until they have ended.
template <class T>
class imap_results {
 public:
  using value_type = T;

  imap_results(std::shared_ptr<detail::imap_core<T>> core, any_fiber feeder) noexcept
      : core_{std::move(core)}, feeder_{std::move(feeder)} {}
  imap_results(imap_results&&) noexcept = default;
  imap_results& operator=(imap_results&&) = delete;
  ~imap_results() {
    if (core_ == nullptr) return;
    core_->abandoned = true;
    std::vector<any_fiber> left{feeder_};
    feeder_.kill(false);
    std::ranges::copy(core_->out.all(), std::back_inserter(left));
    detail::abandon(left);
  }

  /// The next result; nothing after the last. Throws the failure of that call (cancelled_error if
  /// it was killed); the one after it is still there.
  std::optional<T> next() {
    if (!taken_) taken_ = await(core_->results.receive());
    if (!taken_) {
      if (auto e = feeder_.exception()) std::rethrow_exception(std::move(e));
      if (core_->feeding) std::rethrow_exception(std::exchange(core_->feeding, nullptr));
      return std::nullopt;
    }
    taken_->join();
    const fiber<T> f = *std::exchange(taken_, std::nullopt);
    core_->out.erase(f.checked());
    if (core_->ahead) core_->ahead->release();
    return f.get();
  }

  using iterator = detail::next_iterator<imap_results, T>;
  iterator begin() { return iterator{*this}; }
  static std::default_sentinel_t end() noexcept { return {}; }

 private:
  std::shared_ptr<detail::imap_core<T>> core_;
  any_fiber feeder_;
  std::optional<fiber<T>> taken_;
};

class ONELOOP_API fiber_group {
 public:
  fiber_group() : fiber_group{std::optional<std::size_t>{}} {}
  fiber_group(const fiber_group&) = delete;
  fiber_group& operator=(const fiber_group&) = delete;

  /// Starts fn(args...) in the group; a pool waits for a place first. Not for coroutines.
  template <class F, class... Args>
    requires blocking_body<std::decay_t<F>, std::decay_t<Args>...>
  auto spawn(F&& fn, Args&&... args) {
    auto place = core_->enter();
    return spawn_in(detail::current_nursery("spawn"), std::move(place), std::forward<F>(fn),
                    std::forward<Args>(args)...);
  }
  /// The same without a handle: its failure is the nursery's at once.
  template <class F, class... Args>
  void start(F&& fn, Args&&... args) {
    (void)spawn(std::forward<F>(fn), std::forward<Args>(args)...);
  }
  /// Takes in a fiber that was started elsewhere; a pool waits for a place first.
  void add(const any_fiber& f);
  /// The group forgets the fiber; its place stays taken until it ends.
  void discard(const any_fiber& f) noexcept { core_->discard(f); }

  [[nodiscard]] std::size_t size() const noexcept { return core_->fibers.size(); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] bool contains(const any_fiber& f) const;

  /// Waits until the group is empty, at most for `limit`; whether it is. With `raise_error` the
  /// first failure of those that are in it now is thrown.
  bool join(std::optional<duration> limit = {}, bool raise_error = false);
  /// Kills all that are in it, and waits for their end if `block`. Whether all have ended.
  bool kill(bool block = true, std::optional<duration> limit = {});
  /// The same for one of them; nothing happens (and it is false) if it is not in the group.
  bool killone(const any_fiber& f, bool block = true, std::optional<duration> limit = {});

  /// The result of fn(args...), called in the group. In a fiber of the group it is called on the
  /// spot: waiting for a place could never end.
  template <class F, class... Args>
  auto apply(F&& fn, Args&&... args)
      -> std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...> {
    if (core_->calls()) return std::invoke(std::forward<F>(fn), std::forward<Args>(args)...);
    auto f = spawn(std::forward<F>(fn), std::forward<Args>(args)...);
    detail::join_owned(f);
    return f.get();
  }
  /// Like spawn, and never waits: while there is no place, the fiber waits for one. Its result to
  /// be called back with: link_value.
  template <class F, class... Args>
    requires blocking_body<std::decay_t<F>, std::decay_t<Args>...>
  auto apply_async(F&& fn, Args&&... args) {
    using result = std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>;
    auto f = oneloop::spawn([core = core_, fn = std::decay_t<F>{std::forward<F>(fn)},
                             args = std::tuple<std::decay_t<Args>...>{
                                 std::forward<Args>(args)...}]() mutable -> result {
      auto place = core->enter();
      core->mark();
      return std::apply(std::move(fn), std::move(args));
    });
    core_->track(f, {});
    return f;
  }

  /// fn(item) for each item of a range: the results in the order of the items (nothing, if fn gives
  /// nothing). The first failure in that order ends the others and is thrown.
  template <class F, std::ranges::input_range R>
  auto map(F fn, R&& items) {
    return map_in(core_, std::move(fn), std::forward<R>(items));
  }
  /// The same in a fiber, which holds the items.
  template <class F, std::ranges::input_range R>
  auto map_async(F fn, R&& items) {
    using item_type = std::ranges::range_value_t<R>;
    std::vector<item_type> all;
    for (auto it = items.begin(); it != items.end(); ++it) {
      all.push_back(item_of<item_type, is_ours<R>>(it));
    }
    return oneloop::spawn([core = core_, fn = std::move(fn), all = std::move(all)]() mutable {
      return map_in(core, std::move(fn),
                    std::ranges::subrange(std::make_move_iterator(all.begin()),
                                          std::make_move_iterator(all.end())));
    });
  }
  /// The results one by one, in the order of the items. The range is read by a fiber, as places
  /// come free; if it is an lvalue it must outlive the results. With `maxsize` there are never more
  /// than so many items begun whose results have not been taken.
  template <class F, std::ranges::input_range R>
  [[nodiscard]] auto imap(F fn, R&& items, std::optional<std::size_t> maxsize = {}) {
    return imap_in(core_, true, std::move(fn), std::forward<R>(items), maxsize);
  }
  /// The same in the order in which the calls end.
  template <class F, std::ranges::input_range R>
  [[nodiscard]] auto imap_unordered(F fn, R&& items, std::optional<std::size_t> maxsize = {}) {
    return imap_in(core_, false, std::move(fn), std::forward<R>(items), maxsize);
  }

 protected:
  explicit fiber_group(std::optional<std::size_t> size);
  [[nodiscard]] detail::group_core& core() const noexcept { return *core_; }

 private:
  using core_ptr = std::shared_ptr<detail::group_core>;

  template <class F, class... Args>
  auto spawn_in(nursery& n, semaphore_permit place, F&& fn, Args&&... args) {
    return spawn_in(core_, n, std::move(place), std::forward<F>(fn), std::forward<Args>(args)...);
  }
  template <class F, class... Args>
  static auto spawn_in(const core_ptr& core, nursery& n, semaphore_permit place, F&& fn,
                       Args&&... args) {
    auto marked =
        [core, fn = std::decay_t<F>{std::forward<F>(fn)}](
            auto&&... a) mutable -> std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...> {
      core->mark();
      return std::invoke(std::move(fn), std::forward<decltype(a)>(a)...);
    };
    fiber<std::invoke_result_t<std::decay_t<F>, std::decay_t<Args>...>> f = oneloop::spawn(
        nursery_at{n, std::source_location{}}, std::move(marked), std::forward<Args>(args)...);
    core->track(f, std::move(place));
    return f;
  }

  /// Items may be moved out of it.
  template <class R>
  static constexpr bool is_ours =
      !std::is_lvalue_reference_v<R> && !std::ranges::view<std::remove_cvref_t<R>>;
  template <class Item, bool Move>
  static Item item_of(auto& it) {
    if constexpr (Move) {
      return Item(std::ranges::iter_move(it));
    } else {
      return Item(*it);
    }
  }

  template <class F, class R>
  static auto map_in(const core_ptr& core, F fn, R&& items) {
    using result = std::invoke_result_t<F&, std::ranges::range_value_t<R>>;
    auto results = imap_in(core, true, std::move(fn), std::forward<R>(items), {});
    if constexpr (std::is_void_v<result>) {
      while (results.next()) {
      }
    } else {
      std::vector<std::decay_t<result>> all;
      while (auto r = results.next()) all.push_back(*std::move(r));
      return all;
    }
  }

  template <class F, class R>
  static auto imap_in(const core_ptr& group, bool ordered, F fn, R&& items,
                      std::optional<std::size_t> maxsize) {
    using item_type = std::ranges::range_value_t<R>;
    using value = detail::mapped_t<std::invoke_result_t<F&, item_type>>;
    auto core = std::make_shared<detail::imap_core<value>>();
    if (maxsize == 0) throw misuse{"imap: a maxsize of 0 would never let anything begin"};
    if (maxsize) core->ahead.emplace(*maxsize);
    nursery& n = detail::current_nursery("imap");
    fiber<> feeder = oneloop::spawn(n, [group, core, ordered, &n,
                                        fn = std::make_shared<F>(std::move(fn)),
                                        all = std::views::all(std::forward<R>(items))]() mutable {
      const detail::at_end over{[&] {
        core->fed = true;
        core->close_if_over();
      }};
      try {
        for (auto it = all.begin(); it != all.end(); ++it) {
          if (core->ahead) await(core->ahead->acquire());
          auto place = group->enter();
          if (core->abandoned) return;
          auto f = spawn_in(
              group, n, std::move(place), [fn](item_type i) { return detail::call_mapped(*fn, i); },
              item_of<item_type, is_ours<R>>(it));
          core->out.insert(f);
          if (ordered) {
            (void)core->results.try_send(f);
            continue;
          }
          ++core->running;
          detail::watch_end(
              f.checked(), detail::link_when::ended, true,
              [core, f] {
                --core->running;
                (void)core->results.try_send(f);
                core->close_if_over();
              },
              std::source_location::current());
        }
      } catch (const cancelled&) {
        core->feeding = std::make_exception_ptr(cancelled_error{"imap"});
        throw;
      } catch (...) {
        core->feeding = std::current_exception();
      }
    });
    // One that never began (there was no stack for it) has closed nothing.
    detail::watch_end(
        feeder.checked(), detail::link_when::ended, true,
        [core] {
          if (core->fed) return;
          core->fed = true;
          core->feeding = std::make_exception_ptr(cancelled_error{"imap"});
          core->close_if_over();
        },
        std::source_location::current());
    return imap_results<value>{std::move(core), std::move(feeder)};
  }

  core_ptr core_;
};

/// A group of at most `size` fibers at a time.
class ONELOOP_API fiber_pool : public fiber_group {
 public:
  explicit fiber_pool(std::size_t size) : fiber_group{std::optional{size}} {}

  [[nodiscard]] std::size_t free_count() const noexcept { return core().places->available(); }
  [[nodiscard]] bool full() const noexcept { return free_count() == 0; }
  /// Waits until there is a place, at most for `limit`; the number of places then (0: none came).
  std::size_t wait_available(std::optional<duration> limit = {});
};

}  // namespace oneloop::inline v0
