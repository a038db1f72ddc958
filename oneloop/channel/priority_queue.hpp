// A queue that gives the smallest first, as Python's PriorityQueue. See queue.
//
//     oneloop::priority_queue<job, by_deadline> jobs{100};      // std::less<job> without a second
//     co_await jobs.put(next);
//     auto most_urgent = co_await jobs.get();
//
// Among equals first come, first served. `Order` is called under the queue's lock: it must be quick
// and must not throw. Puts that wait for room are let in one by one, in the order in which they
// came: what waits outside is not compared.
//
// *Cost*: as queue, and log2(size) comparisons a put or get.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "oneloop/channel/queue.hpp"

namespace oneloop::inline v0 {
namespace detail {

/// As ring, but the smallest first.
template <class T, class Order>
class heap_store {
 public:
  explicit heap_store(std::size_t capacity, Order order = Order{})
      : capacity_{capacity}, later_{std::move(order)} {
    values_.reserve(capacity);
  }
  explicit heap_store(unbounded_t, Order order = Order{}) : later_{std::move(order)} {}

  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
  [[nodiscard]] bool empty() const noexcept { return values_.empty(); }
  [[nodiscard]] bool full() const noexcept { return values_.size() == capacity_; }
  void push(T&& value) {
    values_.emplace_back(std::move(value), puts_++);
    std::push_heap(values_.begin(), values_.end(), later_);
  }
  T pop() noexcept {
    std::pop_heap(values_.begin(), values_.end(), later_);
    T value(std::move(values_.back().value));
    values_.pop_back();
    return value;
  }

 private:
  struct entry {
    entry(T&& v, std::uint64_t n) noexcept : value(std::move(v)), number{n} {}
    T value;
    std::uint64_t number;
  };
  struct later {  // the heap's top is the greatest
    [[no_unique_address]] Order less;
    bool operator()(const entry& a, const entry& b) const {
      if (less(b.value, a.value)) return true;
      return !less(a.value, b.value) && b.number < a.number;
    }
  };
  std::size_t capacity_ = unlimited;
  later later_;
  std::uint64_t puts_ = 0;
  std::vector<entry> values_;
};

}  // namespace detail

template <class T, class Order = std::less<T>>
class priority_queue : public basic_queue<T, detail::heap_store<T, Order>> {
 public:
  using basic_queue<T, detail::heap_store<T, Order>>::basic_queue;
};

}  // namespace oneloop::inline v0
