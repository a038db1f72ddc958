// A model checker for lock-free code: runs a small program of a few threads again and again, each
// time in another interleaving, over atomics of its own (instead/oneloop/base/atomics.hpp).
//
//     report r = explore({.preemptions = 2}, [](world& w) {
//       auto& s = w.make<state>();
//       w.thread([&] { s.push(1); });
//       w.thread([&] { s.pop(); });
//       w.finally([&] { expect(s.empty(), "something is left"); });
//     });
//     EXPECT_TRUE(r) << r.text;      // on failure: the steps of the interleaving
//
// Threads are fibers; every operation on an atomic is a point at which another thread may go on. By
// default all schedules are tried in which a thread is preempted at most `preemptions` times (it
// may always be left where it waits or ends), and in which at most `stale` loads give an older
// value than the newest one. With `random` so many schedules are drawn instead.
//
// The memory: each atomic keeps the history of its values, and each thread knows how far it has to
// have seen it. A load may give any value from there on. A release store passes on what its thread
// has seen, an acquire load takes that over (also through read-modify-writes between them); seq_cst
// operations go beyond that by one order that all of them agree on, the order in which they ran.
// Nothing that C++ forbids is reported; what it allows beyond that (a store that gets in before
// another one that ran earlier) is not explored. `plain<T>` is data that is not atomic: two
// accesses to it that are not ordered are a failure.
//
// Reported are also: use of an atomic that was destroyed, threads that all wait for each other, and
// programs that do not end.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace interleave {

inline constexpr std::size_t most_threads = 6;

struct options {
  int preemptions = 2;
  int stale = 1;
  std::uint64_t random = 0;  // so many schedules, at random, without those two bounds
  std::uint64_t seed = 1;
  std::uint64_t most = 2'000'000;  // executions
};

struct report {
  std::string text;  // of the failure; empty: none
  std::uint64_t executions = 0;
  bool complete = false;  // all schedules within the bounds have been tried
  explicit operator bool() const noexcept { return text.empty(); }
};

/// One execution, while it is set up.
class world {
 public:
  void thread(std::function<void()> body);
  /// When all threads have ended.
  void finally(std::function<void()> body);
  /// Lives until the execution has ended, at the same address in each.
  template <class State, class... Args>
  State& make(Args&&... args) {
    auto* made = new (place(sizeof(State), alignof(State))) State(std::forward<Args>(args)...);
    when_ended(made, [](void* s) { static_cast<State*>(s)->~State(); });
    return *made;
  }

 private:
  void* place(std::size_t size, std::size_t alignment);
  void when_ended(void* object, void (*destroy)(void*));
};

report explore(const options& o, const std::function<void(world&)>& program);

/// In a program: if it does not hold the execution has failed, and goes no further.
void expect(bool holds, const char* what);

// ---- what the atomics are made of ----

using word = std::uint64_t;

struct cell {
  word initial = 0;
  std::uint32_t id = 0;  // in the execution `run`
  std::uint64_t run = 0;
};

word load(cell& c, std::memory_order order);
void store(cell& c, word value, std::memory_order order);
word modify(cell& c, word (*change)(word, word), word argument, std::memory_order order);
bool compare_exchange(cell& c, word& expected, word desired, bool weak, std::memory_order success,
                      std::memory_order failure);
/// Until woken, unless its newest value is another; it may be woken by `wake_one` only.
void wait(cell& c, word value);
void wake_one(cell& c);
/// Others first: until somebody has stored something.
void pause();
void destroyed(cell& c) noexcept;

template <class T>
word pack(T value) noexcept {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= sizeof(word));
  word w = 0;
  std::memcpy(&w, &value, sizeof value);
  return w;
}
template <class T>
T unpack(word w) noexcept {
  T value;
  std::memcpy(static_cast<void*>(&value), &w, sizeof value);
  return value;
}

/// Stands for std::atomic.
template <class T>
class atomic {
 public:
  atomic() noexcept : atomic{T{}} {}
  // NOLINTNEXTLINE(google-explicit-constructor): as std::atomic's
  atomic(T value) noexcept { cell_.initial = pack(value); }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  ~atomic() { destroyed(cell_); }

  T load(std::memory_order o = std::memory_order_seq_cst) const noexcept {
    return unpack<T>(interleave::load(cell_, o));
  }
  void store(T value, std::memory_order o = std::memory_order_seq_cst) noexcept {
    interleave::store(cell_, pack(value), o);
  }
  T exchange(T value, std::memory_order o = std::memory_order_seq_cst) noexcept {
    return unpack<T>(modify(cell_, [](word, word v) { return v; }, pack(value), o));
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) noexcept {
    return change(expected, desired, false, success, failure);
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return change(expected, desired, true, success, failure);
  }
  bool compare_exchange_strong(T& expected, T desired,
                               std::memory_order o = std::memory_order_seq_cst) noexcept {
    return change(expected, desired, false, o, of_failure(o));
  }
  bool compare_exchange_weak(T& expected, T desired,
                             std::memory_order o = std::memory_order_seq_cst) noexcept {
    return change(expected, desired, true, o, of_failure(o));
  }
  T fetch_add(T d, std::memory_order o = std::memory_order_seq_cst) noexcept {
    const auto sum = [](word a, word b) {
      return pack(static_cast<T>(unpack<T>(a) + unpack<T>(b)));
    };
    return unpack<T>(modify(cell_, sum, pack(d), o));
  }
  T fetch_sub(T d, std::memory_order o = std::memory_order_seq_cst) noexcept {
    return fetch_add(static_cast<T>(T{} - d), o);
  }

  T fetch_or(T bits, std::memory_order o = std::memory_order_seq_cst) noexcept {
    return unpack<T>(modify(cell_, [](word a, word b) { return a | b; }, pack(bits), o));
  }
  T fetch_and(T bits, std::memory_order o = std::memory_order_seq_cst) noexcept {
    return unpack<T>(modify(cell_, [](word a, word b) { return a & b; }, pack(bits), o));
  }

  [[nodiscard]] interleave::cell& cell() const noexcept { return cell_; }

 private:
  static std::memory_order of_failure(std::memory_order o) noexcept {
    if (o == std::memory_order_acq_rel) return std::memory_order_acquire;
    return o == std::memory_order_release ? std::memory_order_relaxed : o;
  }
  bool change(T& expected, T desired, bool weak, std::memory_order success,
              std::memory_order failure) noexcept {
    word e = pack(expected);
    const bool done = compare_exchange(cell_, e, pack(desired), weak, success, failure);
    if (!done) expected = unpack<T>(e);
    return done;
  }
  mutable interleave::cell cell_;
};

/// Who has accessed a piece of plain data, and when.
class access {
 public:
  access() noexcept { written(); }
  void read() noexcept;
  void written() noexcept;

 private:
  std::uint64_t run_ = 0;
  std::size_t writer_ = 0;
  std::uint32_t write_ = 0;
  std::array<std::uint32_t, most_threads + 1> reads_{};
};

/// Data that is not atomic.
template <class T>
class plain {
 public:
  plain() noexcept = default;
  // NOLINTNEXTLINE(google-explicit-constructor): stands for a T
  plain(T value) noexcept : value_{value} {}
  plain(const plain& o) noexcept : value_{o.get()} {}
  plain& operator=(const plain& o) noexcept {
    set(o.get());
    return *this;
  }
  ~plain() { access_.written(); }
  [[nodiscard]] T get() const noexcept {
    access_.read();
    return value_;
  }
  void set(T value) noexcept {
    access_.written();
    value_ = value;
  }
  // NOLINTNEXTLINE(google-explicit-constructor): stands for a T
  operator T() const noexcept { return get(); }

 private:
  mutable access access_;
  T value_{};
};

}  // namespace interleave
