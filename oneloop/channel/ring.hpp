// A FIFO over a circle of blocks; what is in it is constructed in place. With a capacity it is one
// block, allocated at once. Without, blocks of about 1 KiB are added as they are needed, and given
// back, but for one, as they run empty.
//
//     oneloop::ring<std::string> r{2};          // or r{unbounded}
//     r.push("a");
//     std::string a = r.pop();
//
// *Threads*: none of its own; its owner's lock guards it.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <memory>
#include <utility>

namespace oneloop::inline v0 {

/// A capacity without end: `channel<T> c{unbounded}`. Sends never wait, and the memory is as large
/// as what nobody has received yet: somebody else must bound that.
struct unbounded_t {
  explicit unbounded_t() = default;
};
inline constexpr unbounded_t unbounded{};

/// What `capacity()` and statistics say of something unbounded.
inline constexpr std::size_t unlimited = ~std::size_t{0};

template <class T>
class ring {
 public:
  /// Allocates room for `capacity` elements, nothing for 0.
  explicit ring(std::size_t capacity) : capacity_{capacity}, block_size_{capacity} {
    if (capacity != 0) close_circle(make_block());
  }
  explicit ring(unbounded_t)
      : capacity_{unlimited}, block_size_{std::max<std::size_t>(1024 / sizeof(T), 4)} {
    close_circle(make_block());
  }
  ring(ring&& o) noexcept
      : front_{std::exchange(o.front_, {})},
        back_{std::exchange(o.back_, {})},
        size_{std::exchange(o.size_, 0)},
        capacity_{std::exchange(o.capacity_, 0)},
        block_size_{o.block_size_} {}
  ring& operator=(ring&&) = delete;
  ~ring() {
    while (size_ != 0) pop();
    if (back_.where == nullptr) return;
    for (block* b = std::exchange(back_.where->next, nullptr); b != nullptr;) {
      free_block(std::exchange(b, b->next));
    }
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity_; }

  /// Only while it is not full. Throws std::bad_alloc, `value` untouched, if it needs a block and
  /// there is no memory; never with a capacity.
  void push(T&& value) {
    assert(!full());
    if (back_.index == block_size_) {
      if (capacity_ == unlimited && back_.where->next == front_.where) add_block();
      back_ = {back_.where->next, 0};
    }
    std::construct_at(back_.where->slots + back_.index, std::move(value));
    ++back_.index;
    ++size_;
  }
  /// Only while it is not empty.
  T pop() noexcept {
    assert(!empty());
    if (front_.index == block_size_) leave_block();
    T* slot = front_.where->slots + front_.index;
    T value(std::move(*slot));  // no braces: a T may have a constructor from a list of what it is
    std::destroy_at(slot);
    ++front_.index;
    --size_;
    return value;
  }

 private:
  struct block {
    block* next;
    T* slots;
  };
  struct position {
    block* where = nullptr;
    std::size_t index = 0;
  };

  block* make_block() {
    auto made = std::make_unique<block>();
    made->slots = std::allocator<T>{}.allocate(block_size_);
    return made.release();
  }
  void free_block(block* b) noexcept {
    std::allocator<T>{}.deallocate(b->slots, block_size_);
    delete b;
  }
  void close_circle(block* only) noexcept {
    only->next = only;
    front_ = back_ = {only, 0};
  }
  void add_block() {
    block* made = make_block();
    made->next = std::exchange(back_.where->next, made);
  }
  // Between the last block and the first at most one is kept.
  void leave_block() noexcept {
    block* left = front_.where;
    front_ = {left->next, 0};
    if (block* spare = back_.where->next; spare != left && left != back_.where) {
      back_.where->next = spare->next;
      free_block(spare);
    }
  }

  position front_, back_;  // an index of block_size_: in the next block, if there is one
  std::size_t size_ = 0;
  std::size_t capacity_;
  std::size_t block_size_;
};

}  // namespace oneloop::inline v0
