// Several operations at once, in one expression: gather waits for all, gather_outcomes too and
// throws nothing, first_of waits for the first.
//
//     auto [a, b] = co_await gather(fetch(x), fetch(y));            // a tuple; void gives
//     monostate auto all = co_await gather(std::move(vector_of_tasks));       // a vector, in order
//     for (auto& c : co_await gather_outcomes(std::move(tasks))) if (!c.failed()) use(c.get());
//     auto r = co_await first_of(ch.receive(), stop.wait(), sleep_for(1s));
//     if (r.index() == 0) use(r.get<0>());
//
// Each part is a party of its own in a scope that belongs to the combinator, so tasks and
// operations of every kind may be mixed. The combinator ends when all parts have ended.
//   - gather: the first failure cancels the other parts and is rethrown unchanged if it is the only
//     one; several become an exception_group.
//   - gather_outcomes: a failure leaves the other parts alone; how each has ended is a
//   `completion`.
//     (asyncio's return_exceptions; also the form for parts that are to go on when one fails.)
//   - first_of: the first part to end, by a result or a failure, decides; the others are cancelled
//     and waited for. Nothing is lost: what a loser got all the same is in `late<I>()`. Between
//     channels and locks, select (channel/select.hpp) is cheaper: its losers do not even start.
//
// *Threads*: parts run on the loop of whoever awaits; a plain thread drives one meanwhile.
// *Cancellation*: cancels all parts and waits for them; it throws `cancelled` if one of them did
// not happen, in gather_outcomes too.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/cancel_scope.hpp"
#include "oneloop/scope/completion.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {
namespace detail {

template <class T>
using gathered_t = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

/// What the parts of a combinator share. Everything happens on one loop.
class ONELOOP_API combinator {
 public:
  enum class rule { all, outcomes, first };
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  static constexpr const char* name_of(rule r) noexcept {
    return r == rule::all ? "gather" : r == rule::outcomes ? "gather_outcomes" : "first_of";
  }

  explicit combinator(rule r) noexcept : rule_{r} {}

  /// Opens the scope for `parts` parts. Throws loop_not_running without a loop.
  void open(waiter& w, std::size_t parts);
  /// After all parts have begun: whether there is something to wait for.
  bool wait() noexcept;
  void part_ended(std::size_t index, const std::exception_ptr& error) noexcept;
  /// Closes the scope; throws what gather or first_of throws.
  void close();

  [[nodiscard]] cancel_scope& scope() noexcept { return *scope_; }
  [[nodiscard]] waiter& owner() noexcept { return *waiter_; }
  [[nodiscard]] std::size_t first() const noexcept { return first_; }

 private:
  rule rule_;
  bool waiting_ = false;
  bool incomplete_ = false;  // some part was cancelled
  std::optional<cancel_scope> scope_;
  waiter* waiter_ = nullptr;
  std::size_t running_ = 0;
  std::size_t first_ = none;  // the part that ended first
  std::vector<std::exception_ptr> errors_;
  std::exception_ptr first_error_;
};

/// One part: an operation, the party that waits for it, and how it ended.
template <class Op>
class part {
 public:
  using result = decltype(std::declval<std::remove_reference_t<Op>&>().await_resume());
  using value_type = gathered_t<
      std::conditional_t<std::is_reference_v<result>, std::remove_reference_t<result>*, result>>;

  explicit part(Op&& op) : op_(static_cast<Op&&>(op)) {}
  part(part&& o) : op_(static_cast<Op&&>(o.op_)) {}

  void begin(combinator& owner, std::size_t index, const char* name) {
    owner_ = &owner;
    outcome_ = completion<result>{index};
    self_.emplace(*this, name);
    try {
      if (owner.scope().cancelled()) throw cancelled{};
      if (!op_.await_ready() && op_.await_suspend(*self_)) return;
    } catch (...) {
      return ended(std::current_exception());
    }
    settle(self_->finish());
  }
  /// After the wait: the party leaves the combinator's scope.
  void leave() noexcept { self_.reset(); }
  [[nodiscard]] completion<result> take_outcome() { return std::move(outcome_); }
  /// Of a part that has not failed.
  [[nodiscard]] value_type take() {
    if constexpr (std::is_void_v<result>) {
      return {};
    } else if constexpr (std::is_reference_v<result>) {
      return std::addressof(outcome_.get());
    } else {
      return outcome_.get();
    }
  }
  [[nodiscard]] std::optional<value_type> take_if_any() {
    if (outcome_.failed()) return std::nullopt;
    return take();
  }

 private:
  struct party : context {
    party(part& p, const char* name)
        : context{party_kind::callback, p.owner_->owner().home(),       resumed,
                  p.owner_->scope(),    &context_of(p.owner_->owner()), spawn_info{name, {}}},
          owner{p} {}
    static void resumed(ready_item& item) noexcept {
      auto& self = static_cast<party&>(item);
      self.home()->active = &self;
      self.home()->note_progress();
      self.owner.settle(self.finish());
    }
    part& owner;
  };

  void settle(outcome how) noexcept {
    std::exception_ptr error;
    try {
      outcome_.keep([&]() -> decltype(auto) { return conclude(op_, how); });
    } catch (...) {
      error = std::current_exception();
    }
    ended(std::move(error));
  }
  void ended(std::exception_ptr error) noexcept {
    outcome_.fail(std::move(error));
    owner_->part_ended(outcome_.index(), outcome_.error());
  }

  Op op_;
  combinator* owner_ = nullptr;
  std::optional<party> self_;
  completion<result> outcome_{0};
};

}  // namespace detail

/// What first_of gives.
template <class... Ts>
class first_result {
 public:
  explicit first_result(std::size_t index, std::tuple<std::optional<Ts>...> values)
      : index_{index}, values_{std::move(values)} {}
  /// Which part was first.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  /// The result of part I, which was first.
  template <std::size_t I>
  [[nodiscard]] auto& get() {
    if (index_ != I) throw misuse{"first_of: get of a part that was not first"};
    return *std::get<I>(values_);
  }
  /// The result of part I if it has one, be it first or late.
  template <std::size_t I>
  [[nodiscard]] auto& late() noexcept {
    return std::get<I>(values_);
  }

 private:
  std::size_t index_;
  std::tuple<std::optional<Ts>...> values_;
};

template <detail::combinator::rule Rule, class... Ops>
class combined_operation {
  using rule = detail::combinator::rule;

 public:
  static constexpr bool needs_loop = true;
  explicit combined_operation(Ops&&... ops)
      : parts_{detail::part<Ops>{static_cast<Ops&&>(ops)}...} {}
  combined_operation(combined_operation&&) = default;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    shared_ = std::make_unique<detail::combinator>(Rule);
    shared_->open(w, sizeof...(Ops));
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (std::get<I>(parts_).begin(*shared_, I, detail::combinator::name_of(Rule)), ...);
    }(std::index_sequence_for<Ops...>{});
    return shared_->wait();
  }
  auto await_resume() {
    std::apply([](auto&... p) { (p.leave(), ...); }, parts_);
    shared_->close();
    return std::apply(
        [&](auto&... p) {
          if constexpr (Rule == rule::all) {
            return std::tuple<typename detail::part<Ops>::value_type...>{p.take()...};
          } else if constexpr (Rule == rule::outcomes) {
            return std::tuple<completion<typename detail::part<Ops>::result>...>{
                p.take_outcome()...};
          } else {
            return first_result<typename detail::part<Ops>::value_type...>{
                shared_->first(),
                std::tuple<std::optional<typename detail::part<Ops>::value_type>...>{
                    p.take_if_any()...}};
          }
        },
        parts_);
  }

 private:
  // After `shared_` in destruction: the parts' parties are in its scope.
  std::unique_ptr<detail::combinator> shared_;
  std::tuple<detail::part<Ops>...> parts_;
};

/// The same over a vector of operations of one type.
template <detail::combinator::rule Rule, class Op>
class combined_range_operation {
  using rule = detail::combinator::rule;
  using part = detail::part<Op>;

 public:
  static constexpr bool needs_loop = true;
  template <class A>
  explicit combined_range_operation(std::vector<A> ops) {
    parts_.reserve(ops.size());
    for (A& a : ops) parts_.emplace_back(as_operation(std::move(a)));
  }
  combined_range_operation(combined_range_operation&&) = default;

  [[nodiscard]] bool await_ready() const noexcept { return false; }
  bool await_suspend(waiter& w) {
    if (Rule == rule::first && parts_.empty()) {
      throw misuse{"first_of nothing would never end"};
    }
    shared_ = std::make_unique<detail::combinator>(Rule);
    shared_->open(w, parts_.size());
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      parts_[i].begin(*shared_, i, detail::combinator::name_of(Rule));
    }
    return shared_->wait();
  }
  auto await_resume() {
    for (auto& p : parts_) p.leave();
    shared_->close();
    if constexpr (Rule == rule::first) {
      return std::pair<std::size_t, typename part::value_type>{shared_->first(),
                                                               parts_[shared_->first()].take()};
    } else {
      std::vector<std::conditional_t<Rule == rule::all, typename part::value_type,
                                     completion<typename part::result>>>
          all;
      all.reserve(parts_.size());
      for (auto& p : parts_) {
        if constexpr (Rule == rule::all) {
          all.push_back(p.take());
        } else {
          all.push_back(p.take_outcome());
        }
      }
      return all;
    }
  }

 private:
  std::unique_ptr<detail::combinator> shared_;
  std::vector<part> parts_;
};

template <class... As>
  requires(sizeof...(As) > 0 && (awaitable<As> && ...))
auto gather(As&&... as) {
  return combined_operation<detail::combinator::rule::all, stored_operation<As>...>{
      as_operation(static_cast<As&&>(as))...};
}
template <class A>
  requires awaitable<A>
auto gather(std::vector<A> as) {
  return combined_range_operation<detail::combinator::rule::all, stored_operation<A>>{
      std::move(as)};
}

/// The same, and gives how each ended: a tuple, or a vector, of `completion`s.
template <class... As>
  requires(sizeof...(As) > 0 && (awaitable<As> && ...))
auto gather_outcomes(As&&... as) {
  return combined_operation<detail::combinator::rule::outcomes, stored_operation<As>...>{
      as_operation(static_cast<As&&>(as))...};
}
template <class A>
  requires awaitable<A>
auto gather_outcomes(std::vector<A> as) {
  return combined_range_operation<detail::combinator::rule::outcomes, stored_operation<A>>{
      std::move(as)};
}

template <class... As>
  requires(sizeof...(As) > 0 && (awaitable<As> && ...))
auto first_of(As&&... as) {
  return combined_operation<detail::combinator::rule::first, stored_operation<As>...>{
      as_operation(static_cast<As&&>(as))...};
}
/// Gives the index and the result of the first.
template <class A>
  requires awaitable<A>
auto first_of(std::vector<A> as) {
  return combined_range_operation<detail::combinator::rule::first, stored_operation<A>>{
      std::move(as)};
}

}  // namespace oneloop::inline v0
