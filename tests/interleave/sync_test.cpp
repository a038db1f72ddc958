// Mutex, event, semaphore, channel and select, each from threads of which one may be cancelled.
#include <gtest/gtest.h>

#include <optional>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/conduit.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "tests/interleave/holds.hpp"
#include "tests/interleave/party.hpp"

namespace oneloop::interleaved_tests {
namespace {

// ---- mutex ----

struct guarded {
  mutex m;
  party parties[3];
  plain<int> n{0};
  int entered = 0, cancelled = 0;

  void enter(int i) {
    auto op = m.lock();
    if (!parties[i].await(op)) {
      ++cancelled;
      return;
    }
    const mutex_guard hold = op.await_resume();
    n.set(n + 1);
    ++entered;
  }
  void nothing_left(int parties_in_all) {
    expect(entered + cancelled == parties_in_all, "somebody did neither");
    expect(n == entered, "not excluded");
    expect(!m.locked() && m.statistics().waiting == 0, "still locked or waited for");
  }
};

TEST(interleaved_mutex, excludes_and_hands_over) {
  for (const int parties : {2, 3}) {
    holds({.preemptions = parties == 2 ? 4 : 2}, [parties](world& w) {
      auto& s = w.make<guarded>();
      for (int i = 0; i < parties; ++i) w.thread([&s, i] { s.enter(i); });
      w.finally([&s, parties] { s.nothing_left(parties); });
    });
  }
}

TEST(interleaved_mutex, a_cancelled_lock_passes_its_turn_on) {
  holds({.preemptions = 3}, [](world& w) {
    auto& s = w.make<guarded>();
    for (int i = 0; i < 2; ++i) w.thread([&s, i] { s.enter(i); });
    w.thread([&s] { s.parties[1].cancel(); });
    w.finally([&s] { s.nothing_left(2); });
  });
  holds({.random = 4000}, [](world& w) {
    auto& s = w.make<guarded>();
    for (int i = 0; i < 3; ++i) w.thread([&s, i] { s.enter(i); });
    w.thread([&s] {
      s.parties[1].cancel();
      s.parties[2].cancel();
    });
    w.finally([&s] { s.nothing_left(3); });
  });
}

TEST(interleaved_mutex, may_be_destroyed_by_its_last_holder) {
  struct state {
    std::optional<mutex> m{std::in_place};
    party parties[2];
    int left = 2;
  };
  holds({.preemptions = 3}, [](world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < 2; ++i) {
      w.thread([&s, i] {
        bool last = false;
        {
          auto op = s.m->lock();
          s.parties[i].await(op);
          const mutex_guard hold = op.await_resume();
          last = --s.left == 0;
        }
        if (last) s.m.reset();
      });
    }
  });
}

TEST(interleaved_mutex, the_checker_finds_a_turn_that_is_not_passed_on) {
  // Whoever is cancelled after the lock was handed over goes away with it.
  is_broken("the lock is held by nobody", {}, [](world& w) {
    auto& s = w.make<guarded>();
    w.thread([&s] { s.enter(0); });
    w.thread([&s] {
      auto op = s.m.lock();
      if (!s.parties[1].await(op)) return;
      mutex_guard hold = op.await_resume();
      if (s.parties[1].asked()) hold.release();
    });
    w.thread([&s] { s.parties[1].cancel(); });
    w.finally([&s] { expect(!s.m.locked(), "the lock is held by nobody"); });
  });
}

// ---- shared_mutex ----

TEST(interleaved_shared_mutex, a_writer_is_alone_and_readers_come_in_when_it_gives_up) {
  struct state {
    shared_mutex m;
    party writer, readers[2];
    plain<int> page{0};
    int written = 0, read = 0, cancelled = 0;
    void write() {
      auto op = m.lock();
      if (!writer.await(op)) {
        ++cancelled;
        return;
      }
      const auto hold = op.await_resume();
      page.set(page + 1);
      ++written;
    }
    void look(int i) {
      auto op = m.lock_shared();
      expect(readers[i].await(op), "cancelled by nobody");
      const auto hold = op.await_resume();
      expect(page <= 1, "half a page");
      ++read;
    }
  };
  const auto program = [](int readers, world& w) {
    auto& s = w.make<state>();
    w.thread([&s] { s.write(); });
    for (int i = 0; i < readers; ++i) w.thread([&s, i] { s.look(i); });
    w.thread([&s] { s.writer.cancel(); });
    w.finally([&s, readers] {
      expect(s.written + s.cancelled == 1 && s.read == readers, "somebody never came in");
      const auto left = s.m.statistics();
      expect(!left.locked && left.readers == 0 && left.waiting_writers + left.waiting_readers == 0,
             "still held or waited for");
    });
  };
  holds({.preemptions = 2}, [&](world& w) { program(1, w); });
  holds({.random = 4000}, [&](world& w) { program(2, w); });
}

// ---- event ----

TEST(interleaved_event, set_wakes_everybody_and_passes_on_what_was_written) {
  struct state {
    event e;
    party parties[2];
    plain<int> data{0};
  };
  holds({.preemptions = 2}, [](world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < 2; ++i) {
      w.thread([&s, i] {
        auto op = s.e.wait();
        expect(s.parties[i].await(op), "cancelled by nobody");
        expect(s.data == 1, "woken too early");
      });
    }
    w.thread([&s] {
      s.data.set(1);
      s.e.set();
    });
    w.finally([&s] { expect(s.e.statistics().waiting == 0, "somebody still waits"); });
  });
}

TEST(interleaved_event, a_cancelled_wait_leaves_nobody_behind_and_wait_may_destroy_it) {
  struct state {
    std::optional<event> e{std::in_place};
    party p;
  };
  holds({.preemptions = 3}, [](world& w) {
    auto& s = w.make<state>();
    w.thread([&s] {
      {
        auto op = s.e->wait();
        if (!s.p.await(op)) {
          expect(s.e->statistics().waiting == 0, "it still waits");
          return;
        }
      }
      s.e.reset();
    });
    w.thread([&s] { s.e->set(); });
    w.thread([&s] { s.p.cancel(); });
  });
}

// ---- semaphore ----

TEST(interleaved_semaphore, no_permit_is_lost_or_given_twice) {
  struct state {
    semaphore permits{1};
    party parties[3];
    std_atomics::atomic<int> inside{0};
    int acquired = 0, cancelled = 0;
    void enter(int i) {
      auto op = permits.acquire();
      if (!parties[i].await(op)) {
        ++cancelled;
        return;
      }
      op.await_resume();
      expect(inside.fetch_add(1, std::memory_order_relaxed) == 0, "two have the one permit");
      inside.fetch_sub(1, std::memory_order_relaxed);
      ++acquired;
      permits.release();
    }
  };
  const auto program = [](int parties, world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < parties; ++i) w.thread([&s, i] { s.enter(i); });
    w.thread([&s] { s.parties[1].cancel(); });
    w.finally([&s, parties] {
      expect(s.acquired + s.cancelled == parties, "somebody did neither");
      expect(s.permits.available() == 1 && s.permits.statistics().waiting == 0, "a permit is lost");
    });
  };
  holds({.preemptions = 3}, [&](world& w) { program(2, w); });
  holds({.random = 4000}, [&](world& w) { program(3, w); });
}

// ---- channel ----

struct names {
  static constexpr const char* send = "send";
  static constexpr const char* receive = "receive";
};
/// The machine of channels and queues, and how it is closed.
struct pipe : conduit<plain<int>, names> {
  using conduit::conduit;
  void close() {
    wake_list woken;
    {
      const std::scoped_lock hold{lock_};
      close_locked(woken);
    }
    woken.wake_all();
  }
  bool idle() {
    const std::scoped_lock hold{lock_};
    return ring_.empty() && senders_.empty() && receivers_.empty();
  }
};

struct transfer {
  explicit transfer(std::size_t capacity) : c{capacity} {}
  pipe c;
  party senders[2], receivers[2];
  int sent = 0, received = 0, nothing = 0, cancelled = 0;

  bool send(int i, int value) {
    auto op = c.send(plain<int>{value});
    if (!senders[i].await(op)) {
      ++cancelled;
      expect(op.value() == value, "a value that was not sent has gone");
      return false;
    }
    op.await_resume();
    sent += value;
    return true;
  }
  int receive(int i) {
    auto op = c.receive();
    if (!receivers[i].await(op)) {
      ++cancelled;
      return 0;
    }
    auto v = op.await_resume();
    const int value = v ? v->get() : 0;
    received += value;
    nothing += v ? 0 : 1;
    return value;
  }
};

TEST(interleaved_channel, values_arrive_once_and_in_order) {
  for (const std::size_t capacity : {0U, 1U}) {
    holds({.preemptions = 2}, [capacity](world& w) {
      auto& s = w.make<transfer>(capacity);
      w.thread([&s] {
        s.send(0, 1);
        s.send(0, 2);
      });
      w.thread([&s] {
        expect(s.receive(0) == 1, "not the first");
        expect(s.receive(0) == 2, "not the second");
      });
      w.finally([&s] { expect(s.c.idle(), "something is left"); });
    });
  }
}

TEST(interleaved_channel, what_is_cancelled_did_not_happen) {
  for (const std::size_t capacity : {0U, 1U}) {
    holds({.preemptions = 2}, [capacity](world& w) {
      auto& s = w.make<transfer>(capacity);
      w.thread([&s] { s.send(0, 1); });
      w.thread([&s] { s.receive(0); });
      w.thread([&s] {
        s.receivers[0].cancel();
        s.senders[0].cancel();
      });
      w.finally([&s] {
        if (auto left = s.c.try_receive()) s.received += *left;
        expect(s.sent == s.received, "a value was lost, or came from nowhere");
        expect(s.c.idle(), "somebody still waits");
      });
    });
  }
}

TEST(interleaved_channel, close_tells_everybody_and_loses_nothing) {
  for (const std::size_t capacity : {0U, 1U}) {
    holds({.preemptions = 2}, [capacity](world& w) {
      auto& s = w.make<transfer>(capacity);
      w.thread([&s] {
        auto op = s.c.send(plain<int>{1});
        expect(s.senders[0].await(op), "cancelled by nobody");
        try {
          op.await_resume();
          ++s.sent;
        } catch (const closed_error&) {
          expect(op.value() == 1, "a refused value has gone");
        }
      });
      w.thread([&s] {
        while (s.receive(0) != 0) {
        }
      });
      w.thread([&s] { s.c.close(); });
      w.finally([&s] {
        expect(s.sent == s.received && s.nothing == 1, "lost at the close");
        expect(s.c.idle(), "something is left");
      });
    });
  }
}

// ---- select ----

/// Two cases that compete for one party, as select has them.
template <class A, class B>
struct either {
  A& a;
  B& b;
  [[nodiscard]] static bool await_ready() noexcept { return false; }
  bool await_suspend(waiter& w) noexcept {
    static constexpr operation_info info{"either",
                                         [](void*, waiter& me) noexcept {
                                           if (me.try_claim()) me.wake_cancelled();
                                         },
                                         nullptr};
    w.arm_shared(this, info);
    const enlisted first = a.enlist(w);
    if (first == enlisted::completed) return false;
    const enlisted second = first == enlisted::lost ? first : b.enlist(w);
    return second != enlisted::completed;
  }
  void await_resume() noexcept {}
  /// After the wait, however it ended.
  void leave() noexcept {
    a.delist();
    b.delist();
  }
};
template <class A, class B>
either(A&, B&) -> either<A, B>;

TEST(interleaved_select, two_selects_on_two_rendezvous_pair_once) {
  // One offers on c and receives on d, the other the other way round: one pair comes about, and the
  // party that is cancelled takes no value with it.
  struct state {
    pipe c{0}, d{0};
    party parties[2];
    int sent = 0, received = 0, done = 0, cancelled = 0;
    void play(int i) {
      auto send = (i == 0 ? c : d).send(plain<int>{i + 1});
      auto receive = (i == 0 ? d : c).receive();
      either both{send, receive};
      if (parties[i].await(both)) {
        both.leave();
        ++done;
        expect(send.won() != receive.won(), "not one of the two cases");
        if (send.won()) sent += i + 1;
        if (receive.won()) received += receive.await_resume()->get();
      } else {
        both.leave();
        ++cancelled;
        expect(!send.won() && !receive.won(), "cancelled, but it happened");
      }
    }
  };
  holds({.preemptions = 2}, [](world& w) {
    auto& s = w.make<state>();
    for (int i = 0; i < 2; ++i) w.thread([&s, i] { s.play(i); });
    w.thread([&s] {
      s.parties[0].cancel();
      s.parties[1].cancel();
    });
    w.finally([&s] {
      expect(s.done == 0 || s.done == 2, "half a pair");
      expect(s.sent == s.received, "a value was lost");
      expect(s.c.idle() && s.d.idle(), "a ghost still waits");
    });
  });
}

}  // namespace
}  // namespace oneloop::interleaved_tests
