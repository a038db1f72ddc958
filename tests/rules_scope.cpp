// The rules of scopes and nurseries that are about more than one wait, in fibers and threads;
// rules_scope_coroutine.cpp has them in coroutines.
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/channel/channel.hpp"
#include "oneloop/channel/queue.hpp"
#include "oneloop/channel/select.hpp"
#include "oneloop/deferred/deferred.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/fiber/timeout.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/barrier.hpp"
#include "oneloop/sync/capacity_limiter.hpp"
#include "oneloop/sync/condition.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/latch.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/sync/recursive_mutex.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/sync/shared_mutex.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/spawn.hpp"
#include "oneloop/task/wait.hpp"
#include "oneloop/thread/future.hpp"
#include "tests/rules_bodies.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using rules::everywhere, rules::fail, rules::heard, rules::on_every_loop;

// ---- C4, C5 ----

TEST(C4_what_does_not_wait, is_no_checkpoint) {
  everywhere([] {
    EXPECT_FALSE(with_scope(scope_options{}, [](cancel_scope& s) {
      s.cancel();
      event e;
      channel<int> ch{1};
      e.set();
      EXPECT_TRUE(ch.try_send(1));
      EXPECT_TRUE(ch.try_receive());
      ch.close();
      e.reset();
      mutex m;
      EXPECT_TRUE(m.try_lock());
      m.try_lock().release();
      m.unlock();
      recursive_mutex again;
      EXPECT_TRUE(again.try_lock());
      shared_mutex book;
      EXPECT_TRUE(book.try_lock());
      EXPECT_TRUE(book.try_lock_shared());
      semaphore permits{0};
      permits.release();
      EXPECT_TRUE(permits.try_acquire());
      capacity_limiter limiter{1};
      EXPECT_TRUE(limiter.try_permit());
      EXPECT_EQ(condition{}.notify_all(), 0u);
      latch(1).count_down();
      barrier round{1};
      round.abort();
      round.reset();
      queue<int> jobs{1};
      EXPECT_TRUE(jobs.try_put(1));
      EXPECT_TRUE(jobs.try_get());
      jobs.task_done();
      jobs.shutdown();
      channel<int> full{1};
      EXPECT_TRUE(try_select(full.send(1)));
      promise<int> later;
      later.set_value(1);
      EXPECT_TRUE(later.get_future().done());
      deferred<int> fired;
      fired.callback(1);
      EXPECT_TRUE(fired.called());
      bool ran = false;
      // The end of a nursery waits for its children, cancelled as they are.
      with_nursery([&](nursery& n) {
        n.start([&] {
          shielded([] { await(sleep_for(1ms)); });
          ran = true;
        });
      });
      EXPECT_TRUE(ran);
      await(yield_now());
      ADD_FAILURE() << "a wait must throw here";
    }));
  });
}

TEST(C5_waits_that_need_not_wait, let_others_run_after_128) {
  on_every_loop([] {
    with_nursery([](nursery& n) {
      int others = 0;
      n.start([&] { others = 1; });
      event set{true};
      int in_a_row = 0;
      while (others == 0) {
        await(set.wait());
        ++in_a_row;
      }
      EXPECT_LE(in_a_row, 128);
      EXPECT_GT(in_a_row, 1);
    });
  });
}

// ---- scopes ----

TEST(S1_absorbing, only_of_a_scope_that_was_cancelled) {
  everywhere([] {
    // A `cancelled` that belongs to nobody here goes through.
    EXPECT_THROW((void)with_scope(scope_options{}, [](cancel_scope&) { throw cancelled{}; }),
                 cancelled);
  });
}

TEST(S2_outer_and_inner_limits, that_come_together_are_the_outer_ones) {
  on_every_loop([] {
    for (const bool operation : {false, true}) {
      bool inner_timed_out = false;
      EXPECT_FALSE(move_on_after(2ms, [&] {
        try {
          if (operation) {
            await(fail_after(2ms, sleep_for(1h)));
          } else {
            fail_after(2ms, [] { await(sleep_for(1h)); });
          }
        } catch (const timeout_error&) {
          inner_timed_out = true;
        }
      }));
      EXPECT_FALSE(inner_timed_out);
    }
  });
}

TEST(S3_a_nursery_that_is_cancelled_when_all_is_done, absorbs_nothing) {
  everywhere([] {
    EXPECT_TRUE(with_scope(scope_options{}, [](cancel_scope&) {
      nursery n{context::current()};
      n.cancel();
      await(n.join());
      n.close();
      EXPECT_TRUE(n.scope().cancel_called());
      EXPECT_FALSE(n.scope().absorbed());
    }));
  });
}

// A shield that goes up while `cancelled` is on its way: the outer scope still gets what is its.
TEST(S5_a_shield_flipped_during_unwinding, swallows_nobody_elses_cancel) {
  everywhere([] {
    bool after_inner = false;
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& outer) {
      (void)with_scope(scope_options{}, [&](cancel_scope& inner) {
        outer.cancel();
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
          inner.set_shield(true);
          await(sleep_for(1ms));
          throw;
        }
      });
      after_inner = true;
    }));
    EXPECT_FALSE(after_inner);
    // The same with an inner scope that is cancelled as well: then it is its own.
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& outer) {
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& inner) {
        outer.cancel();
        inner.cancel();
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
          inner.set_shield(true);
          throw;
        }
      }));
      await(yield_now());
      ADD_FAILURE() << "the outer scope is cancelled still";
    }));
  });
}

TEST(S5_a_shield_flipped_above_a_child_elsewhere, is_no_lost_loop) {
  runtime r{1};
  loop l;
  run(l, [&] {
    event entered, unwinding, flipped;
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& outer) {
      with_nursery([&](nursery& n) {
        n.start_on(r.loop(0), [&] {
          entered.set();
          try {
            await(sleep_for(1h));
          } catch (const cancelled&) {
            shielded([&] {
              unwinding.set();
              await(flipped.wait());
              await(sleep_for(5ms));  // the shield is news here, too
            });
            throw;
          }
        });
        await(entered.wait());
        outer.cancel();
        shielded([&] { await(unwinding.wait()); });
        n.scope().set_shield(true);
        flipped.set();
      });
      await(yield_now());
    }));
  });
}

TEST(S6_misnested_scopes, are_reported_and_corrupt_nothing) {
  const heard h;
  on_every_loop([] {
    context& c = context::current();
    auto first = std::make_unique<scope_region>(c, scope_options{});
    auto second = std::make_unique<scope_region>(c, scope_options{}.within(2ms));
    auto third = std::make_unique<scope_region>(c, scope_options{});
    first = nullptr;  // before the others
    EXPECT_NE(heard::text.find("misnested"), std::string::npos) << heard::text;
    EXPECT_EQ(&c.scope(), &third->scope());
    // What was inside works on: the deadline of the second still ends what is in the third.
    EXPECT_THROW(await(sleep_for(1h)), cancelled);
    second = nullptr;
    await(sleep_for(2ms));
    third = nullptr;
    await(yield_now());
  });
}

TEST(S6_a_nursery_left_before_a_scope_in_it, corrupts_nothing) {
  const heard h;
  on_every_loop([] {
    EXPECT_FALSE(with_scope(scope_options{}, [](cancel_scope& outer) {
      std::unique_ptr<scope_region> left;
      with_nursery([&](nursery& n) {
        left = std::make_unique<scope_region>(context::current(), scope_options{});
        n.start([] { await(sleep_for(1ms)); });
      });
      EXPECT_NE(heard::text.find("misnested"), std::string::npos);
      outer.cancel();
      EXPECT_TRUE(left->scope().cancelled());  // it is in `outer` now
      EXPECT_THROW(await(yield_now()), cancelled);
      left = nullptr;
      await(yield_now());
    }));
  });
}

TEST(S6_timeouts, may_be_left_in_any_order_without_a_report) {
  const heard h;
  on_every_loop([] {
    auto a = std::make_unique<timeout>(1h);
    auto b = std::make_unique<timeout>(2h);
    a = nullptr;
    await(yield_now());
    b = nullptr;
  });
  EXPECT_EQ(heard::text, "");
}

task<> nested(int depth) {
  if (depth == 0) {
    co_await sleep_for(1h);
    co_return;
  }
  auto region = with_scope(
      scope_options{}, [](cancel_scope&, int d) -> task<> { return nested(d); }, depth - 1);
  const bool done = co_await std::move(region);
  EXPECT_FALSE(done) << "only the outermost was cancelled";
}

TEST(S7_thousands_of_nested_scopes, are_cancelled_and_left_one_by_one) {
  on_every_loop([] {
    EXPECT_FALSE(await(move_on_after(10ms, nested(2000))));
    EXPECT_TRUE(move_on_after(1h, [] { await(yield_now()); }));
  });
}

TEST(S7_deep_nurseries, end_with_all_their_children) {
  struct level {
    static task<> open(int depth, int* ended) {
      auto body = [](nursery& n, int d, int* e) -> task<> {
        if (d != 0) n.start(open, d - 1, e);
        co_await sleep_for(1h);
      };
      auto region = with_nursery(body, depth, ended);
      const ending at_end{ended};
      co_await std::move(region);
    }
    struct ending {
      int* count;
      ~ending() { ++*count; }
    };
  };
  on_every_loop([] {
    int ended = 0;
    EXPECT_FALSE(await(move_on_after(10ms, level::open(2000, &ended))));
    EXPECT_EQ(ended, 2001);
  });
}

TEST(S8_swallowing, ends_normally_and_is_reported) {
  const heard h;
  everywhere([] {
    EXPECT_TRUE(with_scope(scope_options{}, [](cancel_scope& s) {
      s.cancel();
      try {
        await(yield_now());
      } catch (const cancelled&) {
      }
    }));
  });
  EXPECT_NE(heard::text.find("swallowed"), std::string::npos) << heard::text;
}

// ---- nurseries ----

TEST(N1_late_children, are_waited_for) {
  on_every_loop([] {
    int ended = 0;
    std::function<void(nursery*, int)> one = [&](nursery* n, int left) {
      await(sleep_for(1ms));
      if (left != 0) n->start(std::ref(one), n, left - 1);  // the body has long been over
      ++ended;
    };
    with_nursery([&](nursery& n) { n.start(std::ref(one), &n, 20); });
    EXPECT_EQ(ended, 21);
  });
}

TEST(N1_a_start_after_the_end, is_a_misuse) {
  on_every_loop([] {
    nursery* inner = nullptr;
    std::string said;
    with_nursery([&](nursery& outer) {
      event opened;
      outer.start([&] {
        with_nursery([&](nursery& n) {
          inner = &n;
          opened.set();
          n.start([] {
            for (int i = 0; i < 5; ++i) await(yield_now());
          });
        });
        inner = nullptr;
      });
      await(opened.wait());
      // Each turn, until the nursery has gone: also between the end of its child and its own.
      while (inner != nullptr) {
        if (inner->running() == 0) {
          try {
            inner->start([] {});
          } catch (const misuse& e) {
            said = e.what();
          }
        }
        await(yield_now());
      }
    });
    EXPECT_NE(said.find("after the body and all children had ended"), std::string::npos);
  });
}

TEST(N2_failures, one_unchanged_several_as_a_group_the_first_first) {
  everywhere([] {
    EXPECT_THROW(with_nursery([](nursery& n) {
                   n.start([] { fail("one"); });
                   await(sleep_for(1h));
                 }),
                 std::runtime_error);
    try {
      with_nursery([](nursery& n) {
        n.start([] {
          await(sleep_for(1ms));
          fail("first");
        });
        n.start([] {
          try {
            await(sleep_for(1h));
          } catch (const cancelled&) {
            fail("in the clean-up");
          }
        });
        n.start([] { await(sleep_for(1h)); });
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
          fail("body");
        }
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const exception_group& g) {
      ASSERT_EQ(g.errors().size(), 3u);  // and not the one that was only cancelled
      EXPECT_EQ(describe(g.errors()[0]), "first");
    }
  });
}

TEST(N3_cancelled_only, collapses) {
  everywhere([] {
    // Its own cancel is absorbed, however many were ended by it.
    with_nursery([](nursery& n) {
      for (int i = 0; i < 5; ++i) n.start([] { await(sleep_for(1h)); });
      await(sleep_for(1ms));
      n.cancel();
      await(sleep_for(1h));
    });
    // One from outside goes on as one `cancelled`.
    EXPECT_FALSE(move_on_after(1ms, [] {
      with_nursery([](nursery& n) {
        for (int i = 0; i < 5; ++i) n.start([] { await(sleep_for(1h)); });
      });
      ADD_FAILURE() << "the children were cancelled from outside";
    }));
  });
}

TEST(N3_an_error_beside_an_outer_cancel, is_not_lost) {
  everywhere([] {
    EXPECT_THROW((void)move_on_after(1ms,
                                     [] {
                                       with_nursery([](nursery& n) {
                                         n.start([] {
                                           try {
                                             await(sleep_for(1h));
                                           } catch (const cancelled&) {
                                             fail("clean-up");
                                           }
                                         });
                                       });
                                     }),
                 std::runtime_error);
  });
}

TEST(N4_a_child_of_a_cancelled_nursery, starts_and_ends_at_its_first_wait) {
  std::atomic<int> begun = 0, went_on = 0;
  const auto function = [&] {
    ++begun;
    await(yield_now());
    ++went_on;
  };
  const auto coroutine = [&]() -> task<> {
    ++begun;
    co_await yield_now();
    ++went_on;
  };
  everywhere([&] {
    begun = 0;
    with_nursery([&](nursery& n) {
      n.cancel();
      n.start(function);
      // In a thread's nursery the first wait is the thread's, for the coroutine.
      if (n.home() != nullptr) n.start(coroutine);
    });
    EXPECT_EQ(begun, loop::current() != nullptr ? 2 : 1);
    EXPECT_EQ(went_on, 0);
  });
}

TEST(N5_a_child_that_says_when_it_is_ready, is_the_callers_until_then) {
  everywhere([] {
    with_nursery([](nursery& n) {
      const auto fails_before = [](ready_signal<>) -> task<> {
        co_await yield_now();
        fail("before");
      };
      EXPECT_THROW(await(n.start_and_wait_ready(fails_before)), std::runtime_error);
      const auto never_ready = [](ready_signal<>) -> task<> { co_await yield_now(); };
      EXPECT_THROW(await(n.start_and_wait_ready(never_ready)), misuse);
      EXPECT_FALSE(n.scope().cancelled());
    });
    event never_set;
    EXPECT_THROW(with_nursery([&](nursery& n) {
                   const auto fails_after = [](ready_signal<int> ready) -> task<> {
                     ready.started(7);
                     co_await yield_now();
                     fail("after");
                   };
                   EXPECT_EQ(await(n.start_and_wait_ready(fails_after)), 7);
                   await(never_set.wait());
                 }),
                 std::runtime_error);
  });
}

TEST(N6_a_handle, decides_who_hears_of_a_failure) {
  everywhere([] {
    const auto fails = []() -> task<int> {
      co_await yield_now();
      fail("child");
    };
    // Who joins hears of it, and nobody else.
    with_nursery([&](nursery& n) {
      const joinable<int> child = spawn(n, fails);
      EXPECT_THROW((void)await(child.join()), std::runtime_error);
      EXPECT_FALSE(n.scope().cancelled());
    });
    // The nursery, if nobody can any more.
    EXPECT_THROW(with_nursery([&](nursery& n) {
                   (void)spawn(n, fails);
                   await(sleep_for(1h));
                 }),
                 std::runtime_error);
    // A cancelled join leaves the child alone, and one of a cancelled child says so.
    with_nursery([](nursery& n) {
      event go;
      const joinable<int> child = spawn(
          n,
          [](event* e) -> task<int> {
            co_await e->wait();
            co_return 7;
          },
          &go);
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
        s.cancel();
        (void)await(child.join());
      }));
      go.set();
      EXPECT_EQ(await(child.join()), 7);
      const joinable<void> endless = spawn(n, []() -> task<> { co_await sleep_for(1h); });
      endless.cancel();
      EXPECT_THROW(await(endless.join()), cancelled_error);
    });
  });
}

// Many short threads in one nursery that lives long: what it remembers of them is bounded.
TEST(N1_children_that_have_ended, are_forgotten) {
  with_nursery([](nursery& n) {
    std::atomic<int> ended = 0;
    for (int i = 0; i < 500; ++i) {
      n.start([&ended] { ++ended; });
      while (ended <= i) std::this_thread::yield();
    }
    await(sleep_for(1ms));
    n.start([] {});
    EXPECT_LT(n.ties(), 100u);
  });
}

// ---- several at once ----

TEST(G1_gather, cancel_and_failure_in_the_same_moment) {
  on_every_loop([] {
    // Both are seen: the failure is thrown, and the scope is cancelled all the same.
    EXPECT_THROW((void)with_scope(scope_options{},
                                  [](cancel_scope& s) {
                                    auto failing = [](cancel_scope* scope) -> task<> {
                                      co_await sleep_for(1ms);
                                      scope->cancel();
                                      fail("part");
                                    };
                                    await(gather(failing(&s), sleep_for(1h)));
                                  }),
                 std::runtime_error);
  });
}

TEST(G2_gather_outcomes, throws_nothing_but_a_cancel_from_outside) {
  everywhere([] {
    const auto fails = []() -> task<int> {
      co_await yield_now();
      fail("part");
    };
    const auto gives = []() -> task<int> {
      co_await sleep_for(1ms);
      co_return 7;
    };
    auto [failed, given] = await(gather_outcomes(fails(), gives()));
    EXPECT_TRUE(failed.failed());
    EXPECT_EQ(given.get(), 7) << "a failure leaves the others alone";
    EXPECT_FALSE(move_on_after(1ms, [&] {
      (void)await(gather_outcomes(fails(), sleep_for(1h)));
      ADD_FAILURE() << "a part did not happen";
    }));
  });
}

TEST(G3_first_of, a_late_result_of_a_loser_is_kept) {
  on_every_loop([] {
    channel<int> a{1}, b{1};
    EXPECT_TRUE(a.try_send(1));
    EXPECT_TRUE(b.try_send(2));
    auto r = await(first_of(a.receive(), b.receive()));
    EXPECT_EQ(r.index(), 0u);
    // The other did not even start: nothing is lost either way.
    EXPECT_EQ(r.late<1>().has_value(), !b.try_receive().has_value());
  });
}

TEST(G4_wait, throws_nothing_of_the_children_and_cancels_none) {
  everywhere([] {
    with_nursery([](nursery& n) {
      event go;
      const auto fails = [](event*) -> task<int> {
        co_await yield_now();
        fail("child");
      };
      const auto gives = [](event* e) -> task<int> {
        co_await e->wait();
        co_return 7;
      };
      const std::vector<joinable<int>> both{spawn(n, fails, &go), spawn(n, gives, &go)};
      EXPECT_EQ(await(oneloop::wait(both, first_completed)).done.size(), 1u);
      EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& s) {
        s.cancel();
        (void)await(oneloop::wait(both));
      }));
      go.set();
      EXPECT_EQ(await(oneloop::wait(both)).done.size(), 2u);
      EXPECT_THROW((void)await(both[0].join()), std::runtime_error);
      EXPECT_EQ(await(both[1].join()), 7);
    });
  });
}

TEST(G5_a_limit_that_has_passed, starts_nothing) {
  everywhere([] {
    channel<int> ch{1};
    EXPECT_TRUE(ch.try_send(1));
    EXPECT_THROW((void)await(fail_after(0s, ch.receive())), timeout_error);
    EXPECT_TRUE(ch.try_receive().has_value());
  });
}

TEST(G5_wait_for, cancels_the_child_and_fail_after_only_ends_the_wait) {
  everywhere([] {
    with_nursery([](nursery& n) {
      event go;
      const auto gives = [](event* e) -> task<int> {
        co_await e->wait();
        co_return 7;
      };
      const joinable<int> left_alone = spawn(n, gives, &go), ended = spawn(n, gives, &go);
      EXPECT_THROW((void)await(fail_after(1ms, left_alone.join())), timeout_error);
      EXPECT_THROW((void)await(wait_for(ended, 1ms)), timeout_error);
      EXPECT_TRUE(ended.finished()) << "it was waited for";
      EXPECT_FALSE(left_alone.finished());
      go.set();
      EXPECT_EQ(await(left_alone.join()), 7);
    });
  });
}

TEST(G6_shield, lets_a_cancelled_caller_go_and_the_work_go_on) {
  everywhere([] {
    event go;
    std::atomic<bool> ended = false;
    with_nursery([&](nursery& n) {
      const auto work = [&]() -> task<> {
        co_await go.wait();
        ended = true;
      };
      EXPECT_FALSE(move_on_after(1ms, [&] { await(shield(n, work)); }));
      EXPECT_FALSE(ended);
      EXPECT_EQ(n.running(), 1u);
      go.set();
    });
    EXPECT_TRUE(ended);
  });
}

// ---- order ----

TEST(O1_what_becomes_ready, runs_in_that_order_and_never_inside) {
  on_every_loop([] {
    std::string log;
    event e;
    with_nursery([&](nursery& n) {
      for (char c = 'a'; c < 'f'; ++c) {
        n.start([&log, &e, c] {
          await(e.wait());
          log += c;
        });
      }
      await(yield_now());
      e.set();
      log += '.';
    });
    EXPECT_EQ(log, ".abcde");
  });
}

TEST(O3_children, begin_in_the_order_of_their_starts_after_the_starter_has_given_way) {
  on_every_loop([] {
    std::string log;
    with_nursery([&](nursery& n) {
      n.start([&]() -> task<> {
        log += 'a';
        co_return;
      });
      n.start([&] { log += 'b'; });
      n.start([&]() -> task<> {
        log += 'c';
        co_return;
      });
      log += '.';
    });
    EXPECT_EQ(log, ".abc");
  });
}

}  // namespace
}  // namespace oneloop
