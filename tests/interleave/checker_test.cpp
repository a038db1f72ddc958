// The checker itself: it finds what is wrong, and reports nothing that C++ forbids.
#include "tests/interleave/checker.hpp"

#include <gtest/gtest.h>

#include "oneloop/base/short_mutex.hpp"
#include "oneloop/loop/inbox.hpp"
#include "tests/interleave/party.hpp"

namespace interleave {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto seq_cst = std::memory_order_seq_cst;

bool finds(const report& r, const char* what) { return r.text.find(what) != std::string::npos; }

struct two {
  atomic<int> x{0}, y{0};
  int a = -1, b = -1;
};

/// A message by a flag: written, then the flag set; the flag seen, then read.
report message(std::memory_order set, std::memory_order see) {
  struct state {
    plain<int> data;
    atomic<bool> flag{false};
  };
  return explore({}, [=](world& w) {
    auto& s = w.make<state>();
    w.thread([&s, set] {
      s.data.set(42);
      s.flag.store(true, set);
    });
    w.thread([&s, see] {
      if (s.flag.load(see)) expect(s.data == 42, "an old message");
    });
  });
}

TEST(checker, a_message_needs_both_release_and_acquire) {
  const report r = message(release, acquire);
  EXPECT_TRUE(r) << r.text;
  EXPECT_TRUE(r.complete);
  EXPECT_TRUE(finds(message(relaxed, acquire), "a race"));
  EXPECT_TRUE(finds(message(release, relaxed), "a race"));
}

/// Each stores to its own and looks at the other's: whether both may miss it.
report both_miss(std::memory_order st, std::memory_order ld) {
  return explore({}, [=](world& w) {
    auto& s = w.make<two>();
    w.thread([&s, st, ld] {
      s.x.store(1, st);
      s.a = s.y.load(ld);
    });
    w.thread([&s, st, ld] {
      s.y.store(1, st);
      s.b = s.x.load(ld);
    });
    w.finally([&s] { expect(s.a + s.b > 0, "both missed it"); });
  });
}

TEST(checker, only_seq_cst_orders_a_store_before_a_load) {
  EXPECT_TRUE(both_miss(seq_cst, seq_cst));
  EXPECT_TRUE(finds(both_miss(release, acquire), "both missed it"));
}

TEST(checker, what_was_seen_once_does_not_become_older) {
  const report r = explore({.preemptions = 3, .stale = 3}, [](world& w) {
    auto& s = w.make<two>();
    w.thread([&s] {
      s.x.store(1, relaxed);
      s.x.store(2, relaxed);
    });
    w.thread([&s] {
      s.a = s.x.load(relaxed);
      s.b = s.x.load(relaxed);
      expect(s.b >= s.a, "time went back");
    });
  });
  EXPECT_TRUE(r) << r.text;
  EXPECT_TRUE(r.complete);
}

TEST(checker, a_release_reaches_through_another_threads_read_modify_write) {
  const auto chain = [](bool rmw) {
    struct state {
      plain<int> data;
      atomic<int> n{0};
    };
    return explore({.preemptions = 3}, [=](world& w) {
      auto& s = w.make<state>();
      w.thread([&s] {
        s.data.set(1);
        s.n.store(1, release);
      });
      w.thread([&s, rmw] {
        if (rmw) {
          s.n.fetch_add(1, relaxed);
        } else if (s.n.load(relaxed) == 1) {
          s.n.store(2, relaxed);
        }
      });
      w.thread([&s] {
        if (s.n.load(acquire) == 2) expect(s.data == 1, "an old message");
      });
    });
  };
  const report r = chain(true);
  // With 2 the increment came second; if it came first the store made it 1.
  EXPECT_TRUE(r) << r.text;
  EXPECT_TRUE(finds(chain(false), "a race"));
}

TEST(checker, two_observers_agree_on_an_order_only_with_seq_cst) {
  const auto observed = [](std::memory_order st, std::memory_order ld) {
    struct state : two {
      int c = -1, d = -1;
    };
    return explore({.preemptions = 1, .stale = 2}, [=](world& w) {
      auto& s = w.make<state>();
      w.thread([&s, st] { s.x.store(1, st); });
      w.thread([&s, st] { s.y.store(1, st); });
      w.thread([&s, ld] {
        s.a = s.x.load(ld);
        s.b = s.y.load(ld);
      });
      w.thread([&s, ld] {
        s.c = s.y.load(ld);
        s.d = s.x.load(ld);
      });
      w.finally([&s] { expect(!(s.a == 1 && s.b == 0 && s.c == 1 && s.d == 0), "they disagree"); });
    });
  };
  EXPECT_TRUE(observed(seq_cst, seq_cst));
  EXPECT_TRUE(finds(observed(release, acquire), "they disagree"));
}

TEST(checker, a_lost_update_needs_one_preemption) {
  const auto updates = [](options o) {
    return explore(o, [](world& w) {
      auto& s = w.make<two>();
      for (int i = 0; i < 2; ++i) {
        w.thread([&s] { s.x.store(s.x.load() + 1); });
      }
      w.finally([&s] { expect(s.x.load() == 2, "an update was lost"); });
    });
  };
  EXPECT_TRUE(updates({.preemptions = 0}));
  EXPECT_TRUE(finds(updates({.preemptions = 1}), "an update was lost"));
  const report r = updates({.random = 1000});
  EXPECT_TRUE(finds(r, "an update was lost"));
  EXPECT_TRUE(finds(r, "thread 1: atomic 0 load 0 seq_cst")) << r.text;
}

TEST(checker, finds_a_lost_wake_up) {
  // Looks, then sleeps; the other stores, then wakes only whom it saw asleep.
  const auto sleeper = [](bool announced_first) {
    struct state {
      atomic<int> work{0}, asleep{0};
    };
    return explore({}, [=](world& w) {
      auto& s = w.make<state>();
      w.thread([&s, announced_first] {
        if (announced_first) {
          s.asleep.store(1);
          if (s.work.load() == 0) wait(s.asleep.cell(), 1);
        } else if (s.work.load() == 0) {
          s.asleep.store(1);
          wait(s.asleep.cell(), 1);
        }
      });
      w.thread([&s] {
        s.work.store(1);
        if (s.asleep.exchange(0) == 1) wake_one(s.asleep.cell());
      });
    });
  };
  EXPECT_TRUE(sleeper(true));
  EXPECT_TRUE(finds(sleeper(false), "a lost wake-up"));
}

TEST(checker, finds_the_use_of_what_was_destroyed_and_a_spin_without_end) {
  EXPECT_TRUE(finds(explore({},
                            [](world& w) {
                              struct state {
                                std::optional<atomic<int>> x{std::in_place, 0};
                              };
                              auto& s = w.make<state>();
                              w.thread([&s] { s.x->store(1); });
                              w.thread([&s] {
                                if (s.x->load() == 1) return;
                                s.x.reset();
                              });
                            }),
                    "destroyed"));
  EXPECT_TRUE(finds(explore({},
                            [](world& w) {
                              auto& s = w.make<two>();
                              w.thread([&s] {
                                while (s.x.load() == 0) pause();
                              });
                            }),
                    "spin for ever"));
}

}  // namespace
}  // namespace interleave
