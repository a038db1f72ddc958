// Handles on children, the board of failures that may still be asked for, and futures.
#include <gtest/gtest.h>

#include <stdexcept>

#include "oneloop/task/spawn.hpp"
#include "oneloop/thread/future.hpp"
#include "tests/interleave/holds.hpp"
#include "tests/interleave/party.hpp"

namespace oneloop::interleaved_tests {
namespace {

using detail::join_state_of;

/// A result that knows how many there are.
struct result {
  explicit result(int v) noexcept : value{v} { ++alive; }
  result(const result& o) noexcept : value{o.value} { ++alive; }
  ~result() { --alive; }
  result& operator=(const result&) = delete;
  plain<int> value;
  static inline int alive = 0;
};

TEST(interleaved_join, every_joiner_gets_the_result_and_the_last_one_frees_it) {
  struct state {
    joinable<result> handle;
    party parties[2];
    int joined = 0, cancelled = 0;
    void join(int i) {
      {
        auto op = handle.join();
        if (parties[i].await(op)) {
          const result r = op.await_resume();
          expect(r.value == 42, "not the result");
          ++joined;
        } else {
          ++cancelled;
        }
      }
      if (joined + cancelled == 2) handle = {};
    }
  };
  const auto program = [](world& w) {
    result::alive = 0;
    auto& s = w.make<state>();
    auto* made = new join_state_of<result>{"child", nullptr};
    s.handle = joinable<result>{made};
    w.thread([made] {
      made->keep([] { return result{42}; });
      expect(made->finish(nullptr, false) == nullptr, "a failure out of nothing");
      made->release();
    });
    for (int i = 0; i < 2; ++i) w.thread([&s, i] { s.join(i); });
    w.thread([&s] { s.parties[1].cancel(); });
    w.finally([&s] {
      expect(s.joined + s.cancelled == 2, "a joiner was forgotten");
      expect(result::alive == 0, "a result leaks");
    });
  };
  holds({.preemptions = 1}, program);
  holds({.random = 4000}, program);
}

TEST(interleaved_join, a_child_begins_or_is_killed) {
  holds({.preemptions = 4}, [](world& w) {
    struct state {
      join_state_of<void>* child = new join_state_of<void>{"child", nullptr};
      bool began = false, refused = false;
      ~state() { child->release(); }
    };
    auto& s = w.make<state>();
    w.thread([&s] { (s.child->begin() ? s.began : s.refused) = true; });
    w.thread([&s] { s.child->kill(); });
    w.finally([&s] {
      expect(s.began != s.refused, "both, or neither");
      expect(s.child->begun() == s.began, "it does not know what became of it");
    });
  });
}

/// A nursery of a plain thread, without the thread.
struct family {
  family() {
    domain.rouse = [](thread_domain&) noexcept {};
  }
  thread_domain domain;
  cancel_scope root{nullptr, &domain, nullptr};
  context owner{party_kind::thread,     nullptr, [](ready_item&) noexcept {}, root, nullptr,
                spawn_info{"owner", {}}};
  nursery children{owner};
};

/// A child fails; its handle is joined, or dropped, or outlives the nursery.
void a_failure_is_heard_of(bool join, bool drop) {
  const auto program = [=](world& w) {
    struct state {
      family f;
      joinable<void> handle;
      party owner, joiner;
      bool asked = false, heard = false;
    };
    auto& s = w.make<state>();
    auto* made = new join_state_of<void>{"child", nullptr};
    s.handle = joinable<void>{made};
    made->belong_to(s.f.children);
    s.f.children.adopt();
    w.thread([&s, made] {
      auto left = made->finish(std::make_exception_ptr(std::runtime_error{"oops"}), false);
      made->release();
      s.f.children.ended(std::move(left));
    });
    w.thread([&s] {
      auto op = s.f.children.join();
      s.owner.await(op);
      s.heard = s.f.children.close_quietly() != nullptr;
    });
    w.thread([&s, join, drop] {
      if (join) {
        auto op = s.handle.join();
        expect(s.joiner.await(op), "cancelled by nobody");
        try {
          op.await_resume();
        } catch (const std::runtime_error&) {
          s.asked = true;
        }
      }
      if (drop) s.handle = {};
    });
    w.finally([&s, join] {
      expect(s.asked == join, "the joiner did not hear of it");
      expect(s.asked || s.heard, "nobody heard of it");
      s.handle = {};
    });
  };
  holds({.preemptions = 1}, program);
  holds({.random = 1500}, program);
}

TEST(interleaved_join, a_failure_is_heard_of_by_who_asks_or_by_the_nursery) {
  a_failure_is_heard_of(false, true);
  a_failure_is_heard_of(true, true);
  a_failure_is_heard_of(false, false);
}

TEST(interleaved_future, a_result_or_a_cancel_and_every_callback_once) {
  struct state {
    promise<result> p{"f"};
    future<result> f = p.get_future();
    party waiter;
    int called = 0;
    bool given = false, cancelled = false;
  };
  holds({.preemptions = 1}, [](world& w) {
    result::alive = 0;
    auto& s = w.make<state>();
    s.f.add_done_callback([&s](const future<result>&) { ++s.called; });
    w.thread([&s] {
      try {
        s.p.set_value(result{7});
        s.given = true;
      } catch (const invalid_state&) {
      }
    });
    w.thread([&s] { s.cancelled = s.f.cancel(); });
    w.thread([&s] {
      s.f.add_done_callback([&s](const future<result>&) { ++s.called; });
      auto op = s.f.get();
      expect(s.waiter.await(op), "the wait was cancelled, not the future");
      try {
        expect(op.await_resume().value == 7 && s.f.done(), "not the result");
      } catch (const cancelled_error&) {
        expect(s.f.cancelled(), "cancelled, but it does not know");
      }
    });
    w.finally([&s] {
      expect(s.given != s.cancelled, "both, or neither");
      expect(s.called == 2, "a callback was not called once");
    });
  });
}

}  // namespace
}  // namespace oneloop::interleaved_tests
