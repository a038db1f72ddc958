// Linearizability: whether what several parties saw of one object can be explained by calls that
// happened one after another, each at some moment between its begin and its end (Herlihy and Wing,
// 1990; the search is Wing and Gong's, with Lowe's memory of what has been tried).
//
//     history h;
//     int me = h.begin({.what = op::send, .argument = 1});
//     ...                                                    // the call itself
//     h.end(me, result::done);                               // or h.cancelled(me)
//     EXPECT_EQ(why_not_linearizable(h.calls(), fifo{2}), "");
//
// A model is what the object would be if only one party used it: a value that can be copied and
// compared, with `bool step(const call&)`: makes the call; false if it could not have this result
// then. `bool settled()` tells whether it may end so.
//
// A call that was cancelled did not happen: it has no place in the order. So if it did happen after
// all, what it did cannot be explained.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace oneloop::linearizable {

enum class op : std::uint8_t {
  send,
  try_send,
  receive,
  try_receive,
  close,  // channels and queues
  lock,
  try_lock,
  unlock,  // locks; of semaphores too
  wait,
  set,
  reset,
  look,  // events
};
inline const char* name_of(op o) {
  static constexpr const char* names[] = {"send",  "try_send", "receive",  "try_receive",
                                          "close", "lock",     "try_lock", "unlock",
                                          "wait",  "set",      "reset",    "look"};
  return names[static_cast<int>(o)];
}

/// What came of a call, besides a value.
inline constexpr int done = -1, refused = -2, nothing = -3, pending = -4;

struct call {
  op what;
  int argument = 0;
  int result = pending;  // a value that was received, or one of the above
  std::uint64_t begin = 0, end = 0;
  [[nodiscard]] std::string text() const {
    static constexpr const char* words[] = {"done", "refused", "nothing", "pending"};
    return std::string{name_of(what)} + "(" + std::to_string(argument) +
           ") = " + (result < 0 ? words[-1 - result] : std::to_string(result)) + " [" +
           std::to_string(begin) + ", " + std::to_string(end) + "]";
  }
};

/// What is recorded, from any thread.
class history {
 public:
  int begin(call c) {
    const std::scoped_lock hold{lock_};
    calls_.push_back(c);
    calls_.back().begin = now_.fetch_add(1);
    return static_cast<int>(calls_.size()) - 1;
  }
  void end(int which, int result) {
    const std::uint64_t t = now_.fetch_add(1);
    const std::scoped_lock hold{lock_};
    call& c = calls_[static_cast<std::size_t>(which)];
    c.result = result;
    c.end = t;
  }
  /// Those that happened; the others did not.
  [[nodiscard]] std::vector<call> calls() const {
    std::vector<call> all;
    for (const call& c : calls_) {
      if (c.result != pending) all.push_back(c);
    }
    return all;
  }

 private:
  std::mutex lock_;
  std::atomic<std::uint64_t> now_{1};
  std::deque<call> calls_;
};

namespace detail {

template <class Model>
class search {
 public:
  explicit search(const std::vector<call>& calls) : calls_{calls} {}

  bool from(std::uint64_t left, const Model& model) {
    if (left == 0) return model.settled();
    if (!tried_.emplace(left, model).second) return false;
    // Only what began before everything that is left has ended can be first.
    std::uint64_t first_end = ~std::uint64_t{0};
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if ((left >> i & 1) != 0) first_end = std::min(first_end, calls_[i].end);
    }
    for (std::size_t i = 0; i < calls_.size(); ++i) {
      if ((left >> i & 1) == 0 || calls_[i].begin > first_end) continue;
      Model next = model;
      if (next.step(calls_[i]) && from(left & ~(std::uint64_t{1} << i), next)) return true;
    }
    return false;
  }

 private:
  const std::vector<call>& calls_;
  std::set<std::pair<std::uint64_t, Model>> tried_;
};

}  // namespace detail

/// Empty if it is; else the history. 64 calls at most.
template <class Model>
std::string why_not_linearizable(const std::vector<call>& calls, const Model& start) {
  if (calls.size() > 64) return "too many calls";
  const std::uint64_t all =
      calls.size() == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << calls.size()) - 1;
  if (detail::search<Model>{calls}.from(all, start)) return {};
  std::string text = "no order explains it:\n";
  for (const call& c : calls) text += "  " + c.text() + "\n";
  return text;
}

// ---- models ----

/// Which of the values that are in it comes next.
enum class order : std::uint8_t { fifo, lifo, smallest };

/// A channel or queue. At a rendezvous (a capacity of 0) a send is at once followed by its receive.
class line {
 public:
  explicit line(std::size_t capacity, order o = order::fifo) : capacity_{capacity}, order_{o} {}
  bool step(const call& c) {
    const bool offered = capacity_ == 0 && !values_.empty();
    switch (c.what) {
      case op::send:
      case op::try_send:
        if (offered) return false;
        if (c.result == refused) return closed_;
        if (closed_) return false;
        if (c.result == nothing) return values_.size() >= capacity_;
        if (values_.size() >= std::max<std::size_t>(capacity_, 1)) return false;
        values_.push_back(c.argument);
        if (capacity_ == 0) meets_until_ = c.end;
        return true;
      case op::receive:
      case op::try_receive: {
        if (c.result == nothing) return values_.empty() && (closed_ || c.what == op::try_receive);
        if (values_.empty()) return false;
        const auto at = next();
        if (values_[at] != c.result || c.begin > meets_until_) return false;
        values_.erase(values_.begin() + static_cast<std::ptrdiff_t>(at));
        return true;
      }
      case op::close:
        if (offered) return false;
        closed_ = true;
        return true;
      default: return false;
    }
  }
  [[nodiscard]] bool settled() const { return capacity_ != 0 || values_.empty(); }
  friend auto operator<=>(const line& a, const line& b) = default;

 private:
  [[nodiscard]] std::size_t next() const {
    switch (order_) {
      case order::fifo: return 0;
      case order::lifo: return values_.size() - 1;
      case order::smallest: break;
    }
    return static_cast<std::size_t>(std::ranges::min_element(values_) - values_.begin());
  }
  std::vector<int> values_;
  std::uint64_t meets_until_ = ~std::uint64_t{0};  // at a rendezvous, when the sender has left
  bool closed_ = false;
  std::size_t capacity_;
  order order_;
};

/// A semaphore; with one permit a mutex.
class permits {
 public:
  explicit permits(int n) : free_{n} {}
  bool step(const call& c) {
    switch (c.what) {
      case op::lock:
      case op::try_lock:
        if (c.result == nothing) return c.what == op::try_lock && free_ == 0;
        return --free_ >= 0;
      case op::unlock: ++free_; return true;
      default: return false;
    }
  }
  [[nodiscard]] static bool settled() { return true; }
  friend auto operator<=>(const permits& a, const permits& b) = default;

 private:
  int free_;
};

/// A read-write lock; the argument is 1 for whoever writes.
class readers_or_writer {
 public:
  bool step(const call& c) {
    int& mine = c.argument == 1 ? writers_ : readers_;
    switch (c.what) {
      case op::lock: ++mine; return writers_ == 0 || (writers_ == 1 && readers_ == 0);
      case op::unlock: return --mine >= 0;
      default: return false;
    }
  }
  [[nodiscard]] static bool settled() { return true; }
  friend auto operator<=>(const readers_or_writer& a, const readers_or_writer& b) = default;

 private:
  int readers_ = 0, writers_ = 0;
};

class flag {
 public:
  bool step(const call& c) {
    switch (c.what) {
      case op::set: set_ = true; return true;
      case op::reset: set_ = false; return true;
      case op::wait: return set_;
      case op::look: return set_ == (c.result == 1);
      default: return false;
    }
  }
  [[nodiscard]] static bool settled() { return true; }
  friend auto operator<=>(const flag& a, const flag& b) = default;

 private:
  bool set_ = false;
};

}  // namespace oneloop::linearizable
