#include "oneloop/loop/timer_queue.hpp"

#include "oneloop/loop/split_mix_internal.hpp"

namespace oneloop::inline v0 {

// Both roots without siblings; the later one becomes the leftmost child of the earlier.
timer_node* timer_queue::meld(timer_node* a, timer_node* b) noexcept {
  if (a == nullptr) return b;
  if (b == nullptr) return a;
  if (earlier(*b, *a)) {
    timer_node* t = a;
    a = b;
    b = t;
  }
  b->sibling_ = a->child_;
  if (a->child_ != nullptr) a->child_->before_ = b;
  b->before_ = a;
  a->child_ = b;
  return a;
}

// The two passes of a pairing heap, iterative: a million siblings must not use the stack.
timer_node* timer_queue::merge_pairs(timer_node* first) noexcept {
  timer_node* pairs = nullptr;  // melded pairs, last first, linked by sibling_
  while (first != nullptr) {
    timer_node* a = first;
    timer_node* b = a->sibling_;
    first = b != nullptr ? b->sibling_ : nullptr;
    a->sibling_ = a->before_ = nullptr;
    if (b != nullptr) b->sibling_ = b->before_ = nullptr;
    timer_node* m = meld(a, b);
    m->sibling_ = pairs;
    pairs = m;
  }
  timer_node* root = nullptr;
  while (pairs != nullptr) {
    timer_node* m = pairs;
    pairs = m->sibling_;
    m->sibling_ = nullptr;
    root = meld(root, m);
  }
  return root;
}

void timer_queue::add(timer_node& t, time_point deadline) noexcept {
  t.deadline = deadline;
  t.sequence_ = next_sequence_++;
  if (seed_ != 0) [[unlikely]]
    t.sequence_ = static_cast<std::uint32_t>(split_mix(seed_) >> 33);  // distances have a sign
  t.child_ = t.sibling_ = t.before_ = nullptr;
  t.pending_ = true;
  root_ = meld(root_, &t);
  ++size_;
}

bool timer_queue::remove(timer_node& t) noexcept {
  if (!t.pending_) return false;
  timer_node* rest = merge_pairs(t.child_);
  if (&t == root_) {
    root_ = rest;
  } else {
    if (t.before_->child_ == &t) {
      t.before_->child_ = t.sibling_;
    } else {
      t.before_->sibling_ = t.sibling_;
    }
    if (t.sibling_ != nullptr) t.sibling_->before_ = t.before_;
    root_ = meld(root_, rest);
  }
  t.child_ = t.sibling_ = t.before_ = nullptr;
  t.pending_ = false;
  --size_;
  return true;
}

timer_node* timer_queue::pop_due(time_point now) noexcept {
  timer_node* t = root_;
  if (t == nullptr || t->deadline > now) return nullptr;
  remove(*t);
  return t;
}

}  // namespace oneloop::inline v0
