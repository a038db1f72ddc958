// The claim, the short mutex, the inbox's stack and the work-stealing deque, in all interleavings.
#include <gtest/gtest.h>

#include <deque>
#include <mutex>

#include "oneloop/base/short_mutex.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/waiter.hpp"
#include "oneloop/thread/work_deque.hpp"
#include "tests/interleave/holds.hpp"

namespace oneloop::interleaved_tests {
namespace {

TEST(interleaved_claim, one_of_three_wins_and_sees_what_the_owner_wrote) {
  struct state {
    claim word;
    plain<int> armed;
    std_atomics::atomic<bool> published{false};
    int winners = 0;
  };
  holds({.preemptions = 4, .stale = 2}, [](world& w) {
    auto& s = w.make<state>();
    w.thread([&s] {
      s.armed.set(1);
      s.word.open();
      s.published.store(true, std::memory_order_release);
      s.winners += s.word.try_claim() ? 1 : 0;
    });
    for (int i = 0; i < 2; ++i) {
      w.thread([&s] {
        if (!s.published.load(std::memory_order_acquire)) return;
        if (!s.word.try_claim()) return;
        ++s.winners;
        expect(s.armed == 1, "not armed");
      });
    }
    w.finally([&s] { expect(s.winners == 1, "not one winner"); });
  });
}

TEST(interleaved_claim, two_selects_that_meet_are_paired_once) {
  // Each tries to pair with the other, as two selects do on two channels; a third one cancels.
  struct state {
    claim mine[2];
    int paired = 0, cancelled = 0;
    int lost_by[2] = {};
  };
  holds({.preemptions = 3}, [](world& w) {
    auto& s = w.make<state>();
    for (claim& c : s.mine) c.open();
    for (int i = 0; i < 2; ++i) {
      w.thread([&s, i] {
        switch (claim::claim_both(s.mine[i], s.mine[1 - i])) {
          case claim::pairing::both: ++s.paired; break;
          case claim::pairing::mine_lost: ++s.lost_by[i]; break;
          case claim::pairing::other_lost: ++s.lost_by[1 - i]; break;
        }
      });
    }
    w.thread([&s] { s.cancelled += s.mine[0].try_claim() ? 1 : 0; });
    w.finally([&s] {
      expect(s.paired + s.cancelled == 1, "claimed twice, or not at all");
      expect(!s.mine[0].is_open(), "left open");
      expect(s.mine[1].is_open() == (s.cancelled == 1), "the other was claimed for nothing");
    });
  });
}

TEST(interleaved_claim, a_cycle_of_three_selects_resolves) {
  struct state {
    claim mine[3];
    int claimed[3] = {};
  };
  holds({.preemptions = 3}, [](world& w) {
    auto& s = w.make<state>();
    for (claim& c : s.mine) c.open();
    for (int i = 0; i < 3; ++i) {
      w.thread([&s, i] {
        const int other = (i + 1) % 3;
        if (claim::claim_both(s.mine[i], s.mine[other]) == claim::pairing::both) {
          ++s.claimed[i];
          ++s.claimed[other];
        }
      });
    }
    w.finally([&s] {
      int sum = 0;
      for (int i = 0; i < 3; ++i) {
        expect(s.claimed[i] <= 1, "claimed twice");
        expect(s.mine[i].is_open() == (s.claimed[i] == 0), "neither claimed nor open");
        sum += s.claimed[i];
      }
      expect(sum == 2, "not one pair");
    });
  });
}

TEST(interleaved_short_mutex, excludes_and_passes_on_what_was_written) {
  struct state {
    short_mutex lock;
    plain<int> n{0};
  };
  for (const int threads : {2, 3}) {
    holds({.preemptions = 4}, [threads](world& w) {
      auto& s = w.make<state>();
      for (int i = 0; i < threads; ++i) {
        w.thread([&s] {
          const std::scoped_lock hold{s.lock};
          s.n.set(s.n + 1);
        });
      }
      w.finally([&s, threads] { expect(s.n == threads, "not excluded"); });
    });
  }
}

TEST(interleaved_short_mutex, may_be_destroyed_by_the_last_who_unlocked_it) {
  // As a reference count under a lock: whoever finds that the other is through frees it.
  struct state {
    std::optional<short_mutex> lock{std::in_place};
    int left = 2;
  };
  holds({.preemptions = 4}, [](world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < 2; ++i) {
      w.thread([&s] {
        s.lock->lock();
        const bool last = --s.left == 0;
        s.lock->unlock();
        if (last) s.lock.reset();
      });
    }
  });
}

TEST(interleaved_short_mutex, the_checker_finds_an_unlock_that_does_not_release) {
  struct broken {
    std_atomics::atomic<std::uint32_t> word{0};
    plain<int> n{0};
  };
  is_broken("a race", {}, [](world& w) {
    auto& s = w.make<broken>();
    for (int i = 0; i < 2; ++i) {
      w.thread([&s] {
        std::uint32_t free = 0;
        while (!s.word.compare_exchange_strong(free, 1, std::memory_order_acquire)) {
          free = 0;
          std_atomics::pause();
        }
        s.n.set(s.n + 1);
        s.word.store(0, std::memory_order_relaxed);
      });
    }
  });
}

struct mail : list_hook<> {
  mail* next = nullptr;
  plain<int> content{0};
};

template <class Stack>
auto posts(int senders) {
  struct state {
    Stack stack;
    mail items[2];
    std_atomics::atomic<std::uint32_t> event{0};  // what stands for the eventfd
    int received = 0;
  };
  return [senders](world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < senders; ++i) {
      w.thread([&s, i] {
        s.items[i].content.set(i + 1);
        if (s.stack.push(s.items[i]) == Stack::pushed::wake) {
          s.event.store(1, std::memory_order_release);
          std_atomics::wake_one(s.event);
        }
      });
    }
    w.thread([&s, senders] {  // the loop
      while (s.received < senders) {
        auto got = s.stack.take_all();
        if (got.empty()) {
          if (!s.stack.sleep()) continue;
          std_atomics::wait(s.event, 0u);
          s.event.store(0, std::memory_order_relaxed);
          s.stack.awake();
          continue;
        }
        while (mail* m = got.pop()) {
          expect(m->content > 0, "an empty letter");
          ++s.received;
        }
      }
    });
  };
}

TEST(interleaved_inbox, no_item_is_lost_and_the_sleeper_is_woken) {
  holds({.preemptions = 4, .stale = 2}, posts<basic_mpsc_stack<mail>>(1));
  holds({.preemptions = 3}, posts<basic_mpsc_stack<mail>>(2));
}

TEST(interleaved_inbox, an_item_is_taken_or_refused_when_it_closes) {
  using stack = basic_mpsc_stack<mail>;
  struct state {
    stack box;
    mail items[2];
    int refused = 0, taken = 0;
  };
  holds({.preemptions = 4}, [](world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < 2; ++i) {
      w.thread([&s, i] {
        s.items[i].content.set(1);
        if (s.box.push(s.items[i]) == stack::pushed::closed) ++s.refused;
      });
    }
    w.thread([&s] {
      for (auto got = s.box.take_all(); mail* m = got.pop();) s.taken += m->content;
      for (auto got = s.box.close(); mail* m = got.pop();) s.taken += m->content;
    });
    w.finally([&s] { expect(s.taken + s.refused == 2, "lost, or taken twice"); });
  });
}

/// As the inbox's stack, but what orders `push` against `sleep` is weaker.
class hasty_stack : public basic_mpsc_stack<mail> {
 public:
  pushed push(mail& item) noexcept {
    mail* head = head_.load(std::memory_order_relaxed);
    do {
      item.next = head;
    } while (!head_.compare_exchange_weak(head, &item, std::memory_order_release,
                                          std::memory_order_relaxed));
    if (!sleeping_.load(std::memory_order_relaxed)) return pushed::quiet;
    return sleeping_.exchange(false, std::memory_order_acq_rel) ? pushed::wake : pushed::quiet;
  }
  intrusive_queue<mail> take_all() noexcept {
    intrusive_queue<mail> q;
    for (mail* m = head_.exchange(nullptr, std::memory_order_acquire); m != nullptr;) {
      mail* next = m->next;
      q.push(*m);
      m = next;
    }
    return q;
  }
  bool sleep() noexcept {
    sleeping_.store(true, std::memory_order_release);
    if (head_.load(std::memory_order_acquire) == nullptr) return true;
    sleeping_.store(false, std::memory_order_relaxed);
    return false;
  }
  void awake() noexcept { sleeping_.store(false, std::memory_order_relaxed); }

 private:
  std_atomics::atomic<mail*> head_{nullptr};
  std_atomics::atomic<bool> sleeping_{false};
};

TEST(interleaved_inbox, the_checker_finds_that_release_and_acquire_are_not_enough) {
  is_broken("a lost wake-up", {}, posts<hasty_stack>(1));
}

struct job {
  plain<int> done{0};
};

TEST(interleaved_work_deque, owner_and_thieves_take_each_item_once) {
  struct state {
    detail::work_deque<job> jobs;
    job items[3];
    int taken = 0;
    void take(job* j) {
      if (j == nullptr) return;
      expect(j->done == 0, "taken twice");
      j->done.set(1);
      ++taken;
    }
  };
  for (const int thieves : {1, 2}) {
    holds({.preemptions = thieves == 1 ? 4 : 2}, [thieves](world& w) {
      auto& s = w.make<state>();
      w.thread([&s] {
        s.jobs.push(s.items[0]);
        s.jobs.push(s.items[1]);
        s.take(s.jobs.pop());
        s.jobs.push(s.items[2]);
        s.take(s.jobs.pop());
        s.take(s.jobs.pop());
      });
      for (int i = 0; i < thieves; ++i) {
        w.thread([&s] { s.take(s.jobs.steal()); });
      }
      w.finally([&s] {
        while (job* j = s.jobs.pop()) s.take(j);
        expect(s.taken == 3, "an item was lost");
      });
    });
  }
}

/// A pool's thread that has nothing to do, as on_pool.cpp has it: it says so, looks once more, and
/// sleeps; whoever pushes looks whether somebody has said so.
template <std::memory_order Look>
auto finds_no_job() {
  struct state {
    detail::work_deque<job> jobs;
    job item;
    std_atomics::atomic<std::uint32_t> idle{0};
    std_atomics::atomic<std::uint32_t> token{0};  // what stands for the parker's
  };
  return [](world& w) {
    auto& s = w.make<state>();
    w.thread([&s] {
      s.jobs.push(s.item);
      if (s.idle.load(Look) == 0) return;
      s.token.store(1, std::memory_order_release);
      std_atomics::wake_one(s.token);
    });
    w.thread([&s] {
      job* found = s.jobs.steal();
      if (found == nullptr) {
        s.idle.store(1, std::memory_order_seq_cst);
        found = s.jobs.steal();
      }
      if (found == nullptr) {
        std_atomics::wait(s.token, 0u);
        found = s.jobs.steal();
      }
      expect(found == &s.item, "woken for nothing");
    });
  };
}

TEST(interleaved_pool, a_job_is_found_by_who_is_about_to_sleep_or_wakes_him) {
  holds({.preemptions = 4, .stale = 2}, finds_no_job<std::memory_order_seq_cst>());
}

TEST(interleaved_pool, the_checker_finds_a_look_that_is_too_early) {
  is_broken("a lost wake-up", {}, finds_no_job<std::memory_order_relaxed>());
}

TEST(interleaved_work_deque, growing_loses_nothing) {
  struct state {
    detail::work_deque<job> jobs;
    job items[66];
    int stolen = 0, popped = 0;
  };
  holds({.random = 300}, [](world& w) {
    auto& s = w.make<state>();
    w.thread([&s] {
      for (job& j : s.items) {
        j.done.set(0);
        s.jobs.push(j);
      }
      while (job* j = s.jobs.pop()) {
        j->done.set(j->done + 1);
        ++s.popped;
      }
    });
    w.thread([&s] {
      for (int i = 0; i < 10; ++i) {
        job* j = s.jobs.steal();
        if (j == nullptr) continue;
        j->done.set(j->done + 1);
        ++s.stolen;
      }
    });
    w.finally([&s] {
      expect(s.stolen + s.popped == 66, "an item was lost");
      for (const job& j : s.items) expect(j.done == 1, "not taken once");
    });
  });
}

}  // namespace
}  // namespace oneloop::interleaved_tests
