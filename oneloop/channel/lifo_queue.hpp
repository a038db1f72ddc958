// A queue that gives first what was put last: a stack of work, as Python's LifoQueue. See queue.
//
//     oneloop::lifo_queue<url> to_visit{unbounded};     // depth first
//     co_await to_visit.put(start);
//     auto next = co_await to_visit.get();
//
// Puts that wait for room are let in one by one, in the order in which they came.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "oneloop/channel/queue.hpp"

namespace oneloop::inline v0 {
namespace detail {

/// As ring, but last in, first out.
template <class T>
class stack_store {
 public:
  explicit stack_store(std::size_t capacity) : capacity_{capacity} { values_.reserve(capacity); }
  explicit stack_store(unbounded_t) {}

  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] bool empty() const noexcept { return values_.empty(); }
  [[nodiscard]] bool full() const noexcept { return values_.size() == capacity_; }
  void push(T&& value) { values_.push_back(std::move(value)); }
  T pop() noexcept {
    T value(std::move(values_.back()));
    values_.pop_back();
    return value;
  }

 private:
  std::size_t capacity_ = unlimited;
  std::vector<T> values_;
};

}  // namespace detail

template <class T>
class lifo_queue : public basic_queue<T, detail::stack_store<T>> {
 public:
  using basic_queue<T, detail::stack_store<T>>::basic_queue;
};

}  // namespace oneloop::inline v0
