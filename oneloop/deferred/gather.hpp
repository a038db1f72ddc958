// Several deferreds as one: gather_results and deferred_list.
//
//     gather_results(std::move(replies))                  // a vector of deferred<page>
//         .add_callback([](std::vector<page> pages) { show(pages); })
//         .add_errback([](failure first) { complain(first.what()); });
//
// gather_results fires when all have a value, with the values in order, or with the first failure
// at once; later failures are dropped. deferred_list fires when all have ended, with a
// std::expected for each. None fires at once. Both take the results of their parts.
//
// *Cancellation*: cancel of the whole cancels the parts that have not fired. *Threads*: all parts
// belong to the calling loop.
#pragma once

#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/deferred/deferred.hpp"

namespace oneloop::inline v0 {
namespace detail {

/// Owned by the last links of its parts.
template <class T, class Out, bool FailFast>
class collector : public std::enable_shared_from_this<collector<T, Out, FailFast>> {
 public:
  using outcome_type = std::expected<T, failure>;
  // A part's last link holds one: when it goes, the part has fired or has died.
  struct place {
    place(std::shared_ptr<collector> c, std::size_t i) noexcept : owner{std::move(c)}, index{i} {}
    place(place&&) noexcept = default;
    ~place() {
      if (owner) owner->parts_[index] = nullptr;
    }
    void operator()(outcome_type r) { owner->arrived(index, std::move(r)); }
    std::shared_ptr<collector> owner;
    std::size_t index;
  };

  static deferred<Out> start(std::vector<deferred<T>> parts) {
    auto self = std::make_shared<collector>(parts.size());
    deferred<Out> out{[weak = self->weak_from_this()](deferred<Out>&) {
      if (auto s = weak.lock()) s->cancel();
    }};
    self->out_.emplace(out);
    for (std::size_t i = 0; i < parts.size(); ++i) self->parts_[i] = parts[i].shared().get();
    if (parts.empty()) self->finish();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      static_cast<void>(parts[i].add_both(place{self, i}));
    }
    return out;
  }

  explicit collector(std::size_t n) : parts_(n), results_(n), left_{n} {}

 private:
  void arrived(std::size_t i, outcome_type r) {
    parts_[i] = nullptr;
    if (FailFast && !r) {
      if (!out_->called()) out_->errback(r.error());
      return;
    }
    results_[i].emplace(std::move(r));
    if (--left_ == 0 && !out_->called()) finish();
  }
  void finish() {
    if constexpr (std::is_void_v<Out>) {
      out_->callback();
    } else {
      Out all;
      all.reserve(results_.size());
      for (auto& r : results_) {
        if constexpr (FailFast) {
          all.push_back(std::move(**r));
        } else {
          all.push_back(std::move(*r));
        }
      }
      out_->callback(std::move(all));
    }
  }
  void cancel() {
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      if (parts_[i] == nullptr) continue;
      parts_[i]->retain();
      const chain_ref keep{parts_[i]};
      keep->cancel();
    }
  }
  std::optional<deferred<Out>> out_;
  std::vector<chain*> parts_;
  std::vector<std::optional<outcome_type>> results_;
  std::size_t left_;
};

}  // namespace detail

template <class T>
auto gather_results(std::vector<deferred<T>> parts) {
  using out = std::conditional_t<std::is_void_v<T>, void, std::vector<detail::boxed_t<T>>>;
  return detail::collector<T, out, true>::start(std::move(parts));
}

template <class T>
auto deferred_list(std::vector<deferred<T>> parts) {
  using out = std::vector<std::expected<T, failure>>;
  return detail::collector<T, out, false>::start(std::move(parts));
}

}  // namespace oneloop::inline v0
