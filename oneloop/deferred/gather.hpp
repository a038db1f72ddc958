// Several deferreds as one: gather_results, deferred_list and race.
//
//     gather_results(std::move(replies))                  // a vector of deferred<page>
//         .add_callback([](std::vector<page> pages) { show(pages); })
//         .add_errback([](failure f) { complain(f.what()); });
//     gather_results(find_user(name), find_rights(name))  // a tuple of different ones
//     race(std::move(mirrors))                            // the first value; cancels the others
//
//   - gather_results: when all have a value, all of them in order; at the first failure a
//     first_error, at once.
//   - deferred_list: when all have ended, how each did, as a std::expected. With
//     `fire_on_one_errback` at the first failure a first_error; with `fire_on_one_callback` (of
//     vectors) at the first value a `winner`, or, when all have failed, their exception_group.
//   - race: at the first value a `winner`; when all have failed, their exception_group.
//
// Of nothing they fire at once, except those that wait for one value: race throws misuse, and a
// deferred_list with fire_on_one_callback never fires.
//
// The parts keep their results, for callbacks that are added to them later (a value that cannot be
// copied goes to the whole). So a failure of a part still has to be handled there, or it is
// reported; with `consume_errors` it counts as handled. race consumes all.
// `cancelled` is no failure that would be wrapped or grouped: a whole that ends because of it ends
// with `cancelled`.
//
// *Cancellation*: cancel of the whole, as long as it has not fired, cancels all parts; it fires
// when they have ended.
//
// *Threads*: all parts belong to the calling loop.
#pragma once

#include <cstddef>
#include <exception>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {

/// The first failure of several deferreds.
class ONELOOP_API first_error : public std::exception {
 public:
  first_error(std::size_t index, failure sub);
  /// Which part it was.
  [[nodiscard]] std::size_t index() const noexcept { return index_; }
  [[nodiscard]] const failure& sub_failure() const noexcept { return sub_; }
  [[nodiscard]] const char* what() const noexcept override { return text_->c_str(); }

 private:
  std::size_t index_;
  failure sub_;
  std::shared_ptr<const std::string> text_;
};

/// The first value of several deferreds, and which part it came from.
template <class T>
struct winner {
  std::size_t index;
  T value;
};
template <>
struct winner<void> {
  std::size_t index;
};

namespace detail {
enum class list_rule : unsigned {
  none = 0,
  one_callback = 1,
  one_errback = 2,
  consume = 4,
  values = 8,          // gives values, not std::expected
  cancel_losers = 16,  // after the first value
};
constexpr list_rule operator|(list_rule a, list_rule b) noexcept {
  return static_cast<list_rule>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
constexpr bool has(list_rule all, list_rule one) noexcept {
  return (static_cast<unsigned>(all) & static_cast<unsigned>(one)) != 0;
}
template <list_rule Rule>
struct list_option {};
}  // namespace detail

/// Options of deferred_list, to be given after the deferreds; see above.
inline constexpr detail::list_option<detail::list_rule::one_callback> fire_on_one_callback;
inline constexpr detail::list_option<detail::list_rule::one_errback> fire_on_one_errback;
inline constexpr detail::list_option<detail::list_rule::consume> consume_errors;

namespace detail {

/// What the whole knows of its parts, whatever their types. Owned by the last links of the parts.
class ONELOOP_API parts_of_whole {
 public:
  explicit parts_of_whole(std::size_t n) : parts_(n), left_{n} {}
  void set(std::size_t i, const chain_ref& c) noexcept { parts_[i] = c.get(); }
  /// Makes `whole` cancel its parts, and keep them alive as long as anybody could cancel it.
  void let_cancel(chain& whole, const std::shared_ptr<parts_of_whole>& self) const;
  /// Part i has fired or has died.
  void forget(std::size_t i) noexcept { parts_[i] = nullptr; }
  /// True for the last one.
  bool arrived() noexcept { return --left_ == 0; }
  void cancel() const;

 private:
  std::vector<chain*> parts_;  // owned by nobody here: they own this
  std::size_t left_;
};

/// All failures as one; `cancelled` if there is nothing else.
ONELOOP_API std::exception_ptr group(std::vector<std::exception_ptr> errors);
/// The failure of part i, for the whole.
ONELOOP_API std::exception_ptr first(std::size_t i, const failure& f);

template <class T>
using slot = std::optional<std::expected<T, failure>>;

/// `Slots`: a vector or a tuple of slot<T>.
template <class Out, class Slots, list_rule Rule>
class collector : public parts_of_whole {
 public:
  collector(std::size_t n, Slots slots) : parts_of_whole{n}, slots_{std::move(slots)} {}

  static std::shared_ptr<collector> make(std::size_t n, Slots slots) {
    auto self = std::make_shared<collector>(n, std::move(slots));
    if (n == 0 && !has(Rule, list_rule::one_callback)) self->finish();
    return self;
  }
  [[nodiscard]] const deferred<Out>& out() const noexcept { return out_; }
  Slots& slots() noexcept { return slots_; }

  template <class T>
  void arrived(std::size_t i, slot<T>& s, std::expected<T, failure> r) {
    forget(i);
    const bool last = parts_of_whole::arrived();
    s.emplace(std::move(r));
    if (out_.called()) return;
    if (*s) {
      if constexpr (has(Rule, list_rule::one_callback)) {
        if constexpr (std::is_void_v<T>) {
          out_.callback(Out{i});
        } else {
          out_.callback(Out{i, **std::move(s)});
        }
        if constexpr (has(Rule, list_rule::cancel_losers)) cancel();
        return;
      }
    } else if constexpr (has(Rule, list_rule::one_errback)) {
      return out_.errback(first(i, s->error()));
    }
    if (last) finish();
  }

 private:
  void finish() {
    if constexpr (has(Rule, list_rule::one_callback)) {
      std::vector<std::exception_ptr> errors;
      for (auto& s : slots_) errors.push_back(s->error().exception());
      out_.errback(group(std::move(errors)));
    } else if constexpr (std::is_void_v<Out>) {
      out_.callback();
    } else {
      out_.callback(all(slots_));
    }
  }
  template <class T>
  static auto one(slot<T>& s) {
    if constexpr (!has(Rule, list_rule::values)) {
      return *std::move(s);
    } else if constexpr (std::is_void_v<T>) {
      return std::monostate{};
    } else {
      return **std::move(s);
    }
  }
  template <class T>
  static auto all(std::vector<slot<T>>& slots) {
    Out values;
    values.reserve(slots.size());
    for (auto& s : slots) values.push_back(one(s));
    return values;
  }
  template <class... T>
  static auto all(std::tuple<slot<T>...>& slots) {
    return std::apply([](auto&... s) { return Out{one(s)...}; }, slots);
  }
  deferred<Out> out_;
  Slots slots_;
};

/// The last link of a part.
template <class T, class Collector, bool Consume>
class part_link final : public chain_link {
 public:
  part_link(std::shared_ptr<Collector> whole, std::size_t i, slot<T>& s) noexcept
      : whole_{std::move(whole)}, index_{i}, slot_{&s} {}
  ~part_link() override { whole_->forget(index_); }
  chain* run(chain& c) noexcept override {
    if constexpr (Consume) c.seen();
    std::optional<std::expected<T, failure>> r;
    try {
      r.emplace(look_at<T>(c));
    } catch (...) {
      r.emplace(std::unexpected{failure{std::current_exception()}});
    }
    whole_->arrived(index_, *slot_, *std::move(r));
    return nullptr;
  }

 private:
  std::shared_ptr<Collector> whole_;
  std::size_t index_;
  slot<T>* slot_;
};

template <list_rule Rule, class T, class Collector>
void add_part(const std::shared_ptr<Collector>& whole, std::size_t i, slot<T>& s,
              const deferred<T>& part) {
  part.shared()->add(
      std::make_unique<part_link<T, Collector, has(Rule, list_rule::consume)>>(whole, i, s),
      typeid(T));
}

template <class Out, list_rule Rule, class T>
deferred<Out> collect(const std::vector<deferred<T>>& parts, const char* what) {
  using slots = std::vector<slot<T>>;
  for (const auto& p : parts) p.shared()->check_add(typeid(T), what);
  auto whole = collector<Out, slots, Rule>::make(parts.size(), slots(parts.size()));
  auto out = whole->out();
  for (std::size_t i = 0; i < parts.size(); ++i) whole->set(i, parts[i].shared());
  whole->let_cancel(*out.shared(), whole);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    add_part<Rule>(whole, i, whole->slots()[i], parts[i]);
  }
  return out;
}

template <class Out, list_rule Rule, class... T>
deferred<Out> collect_tuple(const char* what, const deferred<T>&... parts) {
  using slots = std::tuple<slot<T>...>;
  (parts.shared()->check_add(typeid(T), what), ...);
  auto whole = collector<Out, slots, Rule>::make(sizeof...(T), slots{});
  auto out = whole->out();
  std::size_t i = 0;
  (whole->set(i++, parts.shared()), ...);
  whole->let_cancel(*out.shared(), whole);
  i = 0;
  std::apply([&](auto&... s) { (add_part<Rule>(whole, i++, s, parts), ...); }, whole->slots());
  return out;
}

}  // namespace detail

/// All values, or the first failure: gives a std::vector<T>, or nothing if T is void.
template <class T, detail::list_rule... Rules>
auto gather_results(const std::vector<deferred<T>>& parts, detail::list_option<Rules>...) {
  using detail::list_rule;
  static_assert(((Rules == list_rule::consume) && ...),
                "gather_results takes no option but consume_errors");
  using out = std::conditional_t<std::is_void_v<T>, void, std::vector<detail::boxed_t<T>>>;
  return detail::collect<out, ((list_rule::values | list_rule::one_errback) | ... | Rules)>(
      parts, "gather_results");
}
/// The same for deferreds of different types: gives a std::tuple, with std::monostate for nothing.
template <class... T>
  requires(sizeof...(T) > 0)
auto gather_results(const deferred<T>&... parts) {
  using detail::list_rule;
  return detail::collect_tuple < std::tuple<detail::boxed_t<T>...>,
         list_rule::values | list_rule::one_errback > ("gather_results", parts...);
}

/// How each ended: gives a std::vector<std::expected<T, failure>>; a winner<T> with
/// fire_on_one_callback.
template <class T, detail::list_rule... Rules>
auto deferred_list(const std::vector<deferred<T>>& parts, detail::list_option<Rules>...) {
  using detail::list_rule;
  constexpr list_rule rule = (list_rule::none | ... | Rules);
  using out = std::conditional_t<has(rule, list_rule::one_callback), winner<T>,
                                 std::vector<std::expected<T, failure>>>;
  return detail::collect<out, rule>(parts, "deferred_list");
}
/// The same for deferreds of different types: gives a std::tuple of std::expected.
template <class... T>
  requires(sizeof...(T) > 0)
auto deferred_list(const deferred<T>&... parts) {
  return detail::collect_tuple<std::tuple<std::expected<T, failure>...>, detail::list_rule::none>(
      "deferred_list", parts...);
}

/// The first value; the others are cancelled. Throws misuse if there are none.
template <class T>
deferred<winner<T>> race(const std::vector<deferred<T>>& parts) {
  using detail::list_rule;
  if (parts.empty()) throw misuse{"a race of nothing would never end"};
  return detail::collect < winner<T>,
         list_rule::one_callback | list_rule::cancel_losers | list_rule::consume > (parts, "race");
}

}  // namespace oneloop::inline v0
