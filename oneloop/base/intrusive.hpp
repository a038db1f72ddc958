// Intrusive containers: the links live in the element, so linking never allocates and never fails.
//
// `list` is doubly linked (unlink from the middle in O(1)), `queue` is a FIFO of singly linked
// nodes. Neither owns its elements. An element must be unlinked before it dies; `list_hook` asserts
// it.
//
//     struct node : oneloop::list_hook<> {};
//     oneloop::intrusive_list<node> l;
//     l.push_back(n);
#pragma once

#include <cassert>
#include <cstddef>

namespace oneloop::inline v0 {

/// The links of one membership in one list; `Tag` tells several memberships of a class apart.
template <class Tag = void>
class list_hook {
 public:
  list_hook() = default;
  list_hook(const list_hook&) = delete;
  list_hook& operator=(const list_hook&) = delete;
  ~list_hook() { assert(!linked() && "destroyed while linked in a list"); }

  [[nodiscard]] bool linked() const noexcept { return next_ != nullptr; }

  /// Leaves whatever list this is in; nothing happens if it is in none.
  void unlink() noexcept {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    next_ = prev_ = nullptr;
  }

 private:
  template <class, class>
  friend class intrusive_list;
  list_hook* next_ = nullptr;
  list_hook* prev_ = nullptr;
};

/// A doubly linked list of `T : list_hook<Tag>`, FIFO when used with push_back and pop_front.
template <class T, class Tag = void>
class intrusive_list {
  using hook = list_hook<Tag>;

 public:
  intrusive_list() noexcept { head_.next_ = head_.prev_ = &head_; }
  ~intrusive_list() {
    assert(empty() && "list destroyed with elements in it");
    head_.next_ = head_.prev_ = nullptr;
  }
  intrusive_list(const intrusive_list&) = delete;
  intrusive_list& operator=(const intrusive_list&) = delete;

  [[nodiscard]] bool empty() const noexcept { return head_.next_ == &head_; }
  [[nodiscard]] T* front() noexcept { return empty() ? nullptr : cast(head_.next_); }

  void push_back(T& item) noexcept { insert_before(head_, item); }
  void push_front(T& item) noexcept { insert_before(*head_.next_, item); }

  T* pop_front() noexcept {
    T* item = front();
    if (item != nullptr) static_cast<hook*>(item)->unlink();
    return item;
  }

  /// The element after `item`, null at the end.
  [[nodiscard]] T* next(T& item) noexcept {
    hook* n = static_cast<hook&>(item).next_;
    return n == &head_ ? nullptr : cast(n);
  }

  /// Moves all elements of `other` to this list's end.
  void splice_back(intrusive_list& other) noexcept {
    if (other.empty()) return;
    hook *first = other.head_.next_, *last = other.head_.prev_;
    other.head_.next_ = other.head_.prev_ = &other.head_;
    first->prev_ = head_.prev_;
    head_.prev_->next_ = first;
    last->next_ = &head_;
    head_.prev_ = last;
  }

  /// Elements, by walking: for statistics and dumps.
  [[nodiscard]] std::size_t size() const noexcept {
    std::size_t n = 0;
    for (const hook* p = head_.next_; p != &head_; p = p->next_) ++n;
    return n;
  }

 private:
  static T* cast(hook* h) noexcept { return static_cast<T*>(h); }
  static void insert_before(hook& pos, T& item) noexcept {
    hook& h = item;
    assert(!h.linked() && "already in a list");
    h.prev_ = pos.prev_;
    h.next_ = &pos;
    pos.prev_->next_ = &h;
    pos.prev_ = &h;
  }
  hook head_;
};

/// A FIFO of nodes that have a member `T* next`. The node's `next` is the queue's while it is in
/// it.
template <class T>
class intrusive_queue {
 public:
  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }

  void push(T& item) noexcept {
    item.next = nullptr;
    if (head_ == nullptr) {
      head_ = &item;
    } else {
      tail_->next = &item;
    }
    tail_ = &item;
  }

  T* pop() noexcept {
    T* item = head_;
    if (item != nullptr) head_ = item->next;
    return item;
  }

  /// Moves all nodes of `other` to this queue's end.
  void append(intrusive_queue& other) noexcept {
    if (other.empty()) return;
    if (head_ == nullptr) {
      head_ = other.head_;
    } else {
      tail_->next = other.head_;
    }
    tail_ = other.tail_;
    other.head_ = nullptr;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace oneloop::inline v0
