// start_and_wait_ready in every form: awaited in a fiber, a coroutine and a plain thread, for
// children that are tasks, fibers and threads.
#include "oneloop/scope/ready_signal.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>

#include "oneloop/fiber/run.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

/// In a fiber.
template <class F>
void on_virtual(F body) {
  loop l{"virtual"};
  run(l, body);
}

// What a child does: the task children and the function children both do it.
struct steps {
  event* begun = nullptr;  // sets it first
  event* begin = nullptr;  // waits for it then
  bool shielded_begin = false;
  std::optional<int> value = {};  // started with it
  event* rest = nullptr;          // waits for it afterwards
  bool fails = false;             // then
  int* ended = nullptr;           // set to 1 (normally) or 2 (by an exception), at the end
  ready_signal<int>* keep = nullptr;
};

struct note {
  int* where;
  int exceptions = std::uncaught_exceptions();
  ~note() {
    if (where != nullptr) *where = std::uncaught_exceptions() > exceptions ? 2 : 1;
  }
};

task<> wait_for_event(event* e) { co_await e->wait(); }

task<> child_task(steps s, ready_signal<int> ready) {
  const note at_end{s.ended};
  if (s.keep != nullptr) *s.keep = ready;
  if (s.begun != nullptr) s.begun->set();
  if (s.begin != nullptr) {
    if (s.shielded_begin) {
      auto region = shielded(wait_for_event, s.begin);
      co_await std::move(region);
    } else {
      co_await s.begin->wait();
    }
  }
  if (s.value) ready.started(*s.value);
  if (s.rest != nullptr) co_await s.rest->wait();
  if (s.fails) throw std::runtime_error{"broken"};
}

void child_function(steps s, ready_signal<int> ready) {
  const note at_end{s.ended};
  if (s.keep != nullptr) *s.keep = ready;
  if (s.begun != nullptr) s.begun->set();
  if (s.begin != nullptr) {
    if (s.shielded_begin) {
      shielded([&] { await(s.begin->wait()); });
    } else {
      await(s.begin->wait());
    }
  }
  if (s.value) ready.started(*s.value);
  if (s.rest != nullptr) await(s.rest->wait());
  if (s.fails) throw std::runtime_error{"broken"};
}

template <class Child>
task<int> by_co_await(nursery* n, Child child, steps s) {
  auto starting = n->start_and_wait_ready(child, s);
  const int value = co_await starting;
  co_return value;
}

struct form {
  const char* name;
  bool task_child;
  bool co_await_it;
  bool in_thread;

  int start(nursery& n, const steps& s) const {
    if (co_await_it && task_child) return await(by_co_await(&n, child_task, s));
    if (co_await_it) return await(by_co_await(&n, child_function, s));
    if (task_child) return await(n.start_and_wait_ready(child_task, s));
    return await(n.start_and_wait_ready(child_function, s));
  }
  template <class F>
  void run(F body) const {
    if (in_thread) {
      body();
    } else {
      on_virtual(body);
    }
  }
};

class ready : public testing::TestWithParam<form> {};

INSTANTIATE_TEST_SUITE_P(forms, ready,
                         testing::Values(form{"fiber_starts_task", true, false, false},
                                         form{"fiber_starts_fiber", false, false, false},
                                         form{"coroutine_starts_task", true, true, false},
                                         form{"coroutine_starts_fiber", false, true, false},
                                         form{"thread_starts_task", true, false, true},
                                         form{"thread_starts_thread", false, false, true}),
                         [](const auto& i) { return i.param.name; });

TEST_P(ready, the_caller_gets_the_value_and_the_child_goes_on_in_the_nursery) {
  GetParam().run([] {
    event rest;
    int ended = 0;
    with_nursery([&](nursery& n) {
      EXPECT_EQ(GetParam().start(n, {.value = 7, .rest = &rest, .ended = &ended}), 7);
      EXPECT_EQ(n.running(), 1u);
      EXPECT_EQ(ended, 0);
      rest.set();
    });
    EXPECT_EQ(ended, 1);
  });
}

TEST_P(ready, a_child_that_ends_at_once_after_started_is_fine) {
  GetParam().run([] {
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 20; ++i) EXPECT_EQ(GetParam().start(n, {.value = i}), i);
    });
  });
}

TEST_P(ready, a_failure_before_started_is_the_callers_alone) {
  GetParam().run([] {
    with_nursery([&](nursery& n) {
      EXPECT_THROW(GetParam().start(n, {.fails = true}), std::runtime_error);
      EXPECT_FALSE(n.scope().cancelled());
      EXPECT_EQ(n.running(), 0u);
    });
  });
}

TEST_P(ready, a_failure_after_started_is_the_nurserys) {
  GetParam().run([] {
    event rest;
    EXPECT_THROW(with_nursery([&](nursery& n) {
                   EXPECT_EQ(GetParam().start(n, {.value = 1, .rest = &rest, .fails = true}), 1);
                   rest.set();
                   await(sleep_for(1h));
                 }),
                 std::runtime_error);
  });
}

TEST_P(ready, a_child_that_ends_without_started_is_a_misuse) {
  GetParam().run([] {
    with_nursery([&](nursery& n) {
      EXPECT_THROW(GetParam().start(n, {}), misuse);
      EXPECT_EQ(n.running(), 0u);
    });
  });
}

TEST_P(ready, a_cancel_of_the_caller_ends_the_child_and_leaves_the_nursery_alone) {
  GetParam().run([] {
    event begun, never_set;
    int ended = 0;
    with_nursery([&](nursery& n) {
      const bool done = with_scope(scope_options{}, [&](cancel_scope& s) {
        n.start([&begun, h = s.handle()] {
          await(begun.wait());
          h.cancel();
        });
        GetParam().start(n, {.begun = &begun, .begin = &never_set, .value = 1, .ended = &ended});
      });
      EXPECT_FALSE(done);
      EXPECT_EQ(ended, 2);
      EXPECT_FALSE(n.scope().cancelled());
    });
  });
}

TEST_P(ready, started_in_a_cancelled_scope_of_the_caller_moves_nothing) {
  GetParam().run([] {
    event begun, begin, never_set;
    int ended = 0;
    with_nursery([&](nursery& n) {
      const bool done = with_scope(scope_options{}, [&](cancel_scope& s) {
        n.start([&begun, &begin, h = s.handle()] {
          await(begun.wait());
          h.cancel();
          await(sleep_for(1ms));  // on a loop the handle's message comes with the next turn
          begin.set();
        });
        GetParam().start(n, {.begun = &begun,
                             .begin = &begin,
                             .shielded_begin = true,
                             .value = 1,
                             .rest = &never_set,
                             .ended = &ended});
      });
      EXPECT_FALSE(done);
      EXPECT_EQ(ended, 2);  // it was not in the nursery, which was not cancelled
      EXPECT_FALSE(n.scope().cancelled());
    });
  });
}

TEST_P(ready, after_started_a_cancel_of_the_caller_does_not_reach_the_child) {
  GetParam().run([] {
    event rest;
    int ended = 0;
    with_nursery([&](nursery& n) {
      (void)with_scope(scope_options{}, [&](cancel_scope& s) {
        EXPECT_EQ(GetParam().start(n, {.value = 1, .rest = &rest, .ended = &ended}), 1);
        s.cancel();
        await(sleep_for(1h));
      });
      (void)await(move_on_after(1ms, sleep_for(1h)));
      EXPECT_EQ(ended, 0);
      rest.set();
    });
    EXPECT_EQ(ended, 1);
  });
}

TEST_P(ready, a_cancel_of_the_nursery_reaches_the_child_after_started) {
  GetParam().run([] {
    event never_set;
    int ended = 0;
    with_nursery([&](nursery& n) {
      EXPECT_EQ(GetParam().start(n, {.value = 1, .rest = &never_set, .ended = &ended}), 1);
      n.cancel();
    });
    EXPECT_EQ(ended, 2);
  });
}

TEST_P(ready, started_in_a_nursery_that_is_cancelled_is_heard_and_the_child_ends_at_its_next_wait) {
  GetParam().run([] {
    event never_set;
    int ended = 0;
    with_nursery([&](nursery& n) {
      n.cancel();
      shielded([&] {
        EXPECT_EQ(GetParam().start(n, {.value = 1, .rest = &never_set, .ended = &ended}), 1);
      });
    });
    EXPECT_EQ(ended, 2);
  });
}

TEST_P(ready, started_twice_or_after_the_end_is_a_misuse) {
  GetParam().run([] {
    ready_signal<int> kept{nullptr};
    with_nursery([&](nursery& n) {
      EXPECT_EQ(GetParam().start(n, {.value = 1, .keep = &kept}), 1);
      EXPECT_THROW(kept.started(2), misuse);
      EXPECT_THROW(GetParam().start(n, {.keep = &kept}), misuse);
      EXPECT_THROW(kept.started(2), misuse);
    });
    EXPECT_THROW(kept.started(2), misuse);
  });
}

TEST_P(ready, in_a_cancelled_scope_nothing_is_started) {
  GetParam().run([] {
    int ended = 0;
    with_nursery([&](nursery& n) {
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
        s.cancel();
        GetParam().start(n, {.value = 1, .ended = &ended});
      }));
    });
    EXPECT_EQ(ended, 0);
  });
}

TEST(ready_signal, the_nursery_stays_open_for_a_child_that_is_not_ready) {
  on_virtual([] {
    event rest;
    std::string log;
    with_nursery([&](nursery& outer) {
      nursery* inner = nullptr;
      event opened, close;
      outer.start([&] {
        with_nursery([&](nursery& n) {
          inner = &n;
          opened.set();
          await(close.wait());
        });
        log += "closed ";
      });
      await(opened.wait());
      close.set();  // its body ends while the start below is under way
      await(inner->start_and_wait_ready([&](ready_signal<> ready) {
        await(sleep_for(1s));
        log += "ready ";
        ready.started();
        await(sleep_for(1s));
        log += "ended ";
      }));
      log += "back ";
    });
    EXPECT_EQ(log, "ready back ended closed ");
  });
}

TEST(ready_signal, scopes_inside_the_child_move_with_it) {
  on_virtual([] {
    int timeouts = 0;
    with_nursery([&](nursery& n) {
      (void)move_on_after(1s, [&] {
        await(n.start_and_wait_ready([&](ready_signal<> ready) {
          // Started from within a scope and a nursery of its own.
          EXPECT_FALSE(move_on_after(5s, [&] {
            with_nursery([&](nursery& own) {
              own.start([] { await(sleep_for(1h)); });
              ready.started();
              EXPECT_EQ(context::current().scope().effective_deadline(),
                        loop::current()->now() + 5s);
              await(sleep_for(1h));
            });
          }));
          ++timeouts;
        }));
        await(sleep_for(1h));
      });
    });
    EXPECT_EQ(timeouts, 1);
  });
}

TEST(ready_signal, its_child_is_shown_where_it_belongs) {
  on_virtual([] {
    event rest;
    with_nursery([&](nursery& n) {
      with_nursery([&](nursery& other) {
        event go;
        other.start(named{"caller", [&] {
                            await(n.start_and_wait_ready(named{"server",
                                                               [&](int, int, ready_signal<> ready) {
                                                                 await(go.wait());
                                                                 ready.started();
                                                                 await(rest.wait());
                                                               }},
                                                         1, 2));
                          }});
        await(sleep_for(1ms));
        EXPECT_NE(loop::current()->dump().find("\n      server [fiber] started at ready_signal"),
                  std::string::npos)
            << loop::current()->dump();
        go.set();
      });
      EXPECT_NE(loop::current()->dump().find("\n    server [fiber] started at ready_signal"),
                std::string::npos)
          << loop::current()->dump();
      rest.set();
    });
  });
}

TEST(ready_signal, composes_with_timeouts_and_gather) {
  run(
      []() -> task<> {
        auto body = [](nursery& n) -> task<> {
          auto slow = [](ready_signal<int> ready) -> task<> {
            co_await sleep_for(10s);
            ready.started(1);
          };
          auto quick = [](int v, ready_signal<int> ready) -> task<> {
            co_await sleep_for(1s);
            ready.started(v);
            co_await sleep_for(1s);
          };
          auto limited = fail_after(2s, n.start_and_wait_ready(slow));
          EXPECT_THROW(co_await limited, timeout_error);
          auto both = gather(n.start_and_wait_ready(quick, 1), n.start_and_wait_ready(quick, 2));
          auto ports = co_await both;
          EXPECT_EQ(ports, (std::tuple{1, 2}));
          EXPECT_EQ(n.running(), 2u);
        };
        co_await with_nursery(body);
      }(),
      "virtual");
}

// ---- called from a third thread, as the child ends ----

TEST(ready_signal, a_child_on_a_loop_is_ready_on_that_loop_only) {
  on_virtual([] {
    with_nursery([](nursery& n) {
      const auto child = [](ready_signal<int> ready) {
        std::thread{[&] { EXPECT_THROW(ready.started(1), wrong_thread); }}.join();
        ready.started(2);
      };
      EXPECT_EQ(await(n.start_and_wait_ready(child)), 2);
    });
  });
}

struct gate {
  event inside, go;
};
struct slowly_made {
  int value = 7;
  // NOLINTNEXTLINE(google-explicit-constructor): given to `started`
  slowly_made(gate* g) {
    g->inside.set();
    await(g->go.wait());
  }
};

TEST(ready_signal, a_child_that_ends_while_its_value_is_being_made_was_never_ready) {
  with_nursery([](nursery& n) {
    gate g;
    bool refused = false;
    std::thread third;
    const auto child = [&](ready_signal<slowly_made> ready) {
      third = std::thread{[&, ready] {
        try {
          ready.started(&g);
        } catch (const misuse&) {
          refused = true;
        }
      }};
      await(g.inside.wait());
    };
    EXPECT_THROW((void)await(n.start_and_wait_ready(child)), misuse);
    g.go.set();
    third.join();
    EXPECT_TRUE(refused);
    EXPECT_EQ(n.running(), 0u);
  });
}

TEST(ready_signal, ready_and_ended_at_once_is_one_or_the_other_to_everybody) {
  with_nursery([](nursery& n) {
    int both = 0;
    for (int i = 0; i < 500; ++i) {
      std::atomic<bool> go{false};
      bool refused = false;
      std::thread third;
      const auto child = [&](ready_signal<std::string> ready) {
        third = std::thread{[&, ready] {
          while (!go) std_atomics::pause();
          try {
            ready.started(std::string(100, 'x'));
          } catch (const misuse&) {
            refused = true;
          }
        }};
        go = true;
      };
      bool was_ready = false;
      try {
        was_ready = await(n.start_and_wait_ready(child)) == std::string(100, 'x');
        EXPECT_TRUE(was_ready);
      } catch (const misuse&) {
      }
      third.join();
      EXPECT_NE(was_ready, refused);
      both |= was_ready ? 1 : 2;
    }
    RecordProperty("seen", both);
  });
}

TEST(ready_signal, a_value_that_fails_to_be_made_makes_nobody_ready) {
  struct fails {
    // NOLINTNEXTLINE(google-explicit-constructor): given to `started`
    fails(int n) {
      if (n == 0) throw std::runtime_error{"cannot be made"};
    }
  };
  on_virtual([] {
    with_nursery([](nursery& n) {
      const auto child = [](ready_signal<fails> ready) {
        EXPECT_THROW(ready.started(0), std::runtime_error);
      };
      EXPECT_THROW((void)await(n.start_and_wait_ready(child)), misuse);
      const auto tries_again = [](ready_signal<fails> ready) {
        EXPECT_THROW(ready.started(0), std::runtime_error);
        ready.started(1);
      };
      (void)await(n.start_and_wait_ready(tries_again));
    });
  });
}

TEST(ready_signal, a_nursery_of_another_loop_or_thread_is_refused) {
  with_nursery([&](nursery& of_the_thread) {
    auto task_of_its_loop = [](nursery* n) -> task<> {
      auto op = n->start_and_wait_ready([](ready_signal<> ready) { ready.started(); });
      EXPECT_THROW(co_await op, wrong_thread);
    };
    await(task_of_its_loop(&of_the_thread));
  });
}

}  // namespace
}  // namespace oneloop
