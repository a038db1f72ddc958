// A FIFO of fixed capacity over one allocation; what is in it is constructed in place.
//
//     oneloop::ring<std::string> r{2};
//     r.push("a");
//     std::string a = r.pop();
//
// *Threads*: none of its own; its owner's lock guards it.
#pragma once

#include <cassert>
#include <cstddef>
#include <memory>
#include <utility>

namespace oneloop::inline v0 {

template <class T>
class ring {
 public:
  /// Allocates room for `capacity` elements, nothing for 0.
  explicit ring(std::size_t capacity)
      : slots_{capacity == 0 ? nullptr : std::allocator<T>{}.allocate(capacity)},
        capacity_{capacity} {}
  ring(ring&& o) noexcept
      : slots_{std::exchange(o.slots_, nullptr)},
        capacity_{std::exchange(o.capacity_, 0)},
        first_{std::exchange(o.first_, 0)},
        size_{std::exchange(o.size_, 0)} {}
  ring& operator=(ring&&) = delete;
  ~ring() {
    while (size_ != 0) pop();
    if (slots_ != nullptr) std::allocator<T>{}.deallocate(slots_, capacity_);
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity_; }

  /// Only while it is not full.
  void push(T&& value) noexcept {
    assert(!full());
    std::construct_at(slots_ + at(size_), std::move(value));
    ++size_;
  }
  /// Only while it is not empty.
  T pop() noexcept {
    assert(!empty());
    T* slot = slots_ + first_;
    T value{std::move(*slot)};
    std::destroy_at(slot);
    first_ = at(1);
    --size_;
    return value;
  }

 private:
  [[nodiscard]] std::size_t at(std::size_t offset) const noexcept {
    const std::size_t i = first_ + offset;
    return i < capacity_ ? i : i - capacity_;
  }

  T* slots_;
  std::size_t capacity_;
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace oneloop::inline v0
