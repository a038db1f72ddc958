// The rules of scopes and nurseries that are about more than one wait.
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/fiber/timeout.hpp"
#include "oneloop/loop/runtime.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "tests/rules.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

template <class F>
void on_virtual(F body) {
  loop l{"virtual"};
  run(l, body);
}
[[noreturn]] void fail(const char* text) { throw std::runtime_error{text}; }
std::string what_of(const std::exception_ptr& e) { return describe(e); }

/// What the log says (the tests run with ONELOOP_DEBUG=1).
struct heard {
  static inline std::string text;
  heard() {
    text.clear();
    set_log_hook([](severity, std::string_view line) noexcept { text.append(line).append("\n"); });
  }
  ~heard() { set_log_hook({}); }
};

// ---- C4, C5 ----

TEST(C4_what_does_not_wait, is_no_checkpoint) {
  on_virtual([] {
    EXPECT_FALSE(with_scope(scope_options{}, [](cancel_scope& s) {
      s.cancel();
      event e;
      channel<int> ch{1};
      e.set();
      EXPECT_TRUE(ch.try_send(1));
      EXPECT_TRUE(ch.try_receive());
      ch.close();
      bool ran = false;
      // The end of a nursery waits for its children, cancelled as they are.
      with_nursery([&](nursery& n) {
        n.start([&] {
          shielded([] { await(sleep_for(1s)); });
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
  on_virtual([] {
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
  on_virtual([] {
    // A `cancelled` that belongs to nobody here goes through.
    EXPECT_THROW((void)with_scope(scope_options{}, [](cancel_scope&) { throw cancelled{}; }),
                 cancelled);
  });
}

TEST(S2_outer_and_inner_limits, that_come_together_are_the_outer_ones) {
  on_virtual([] {
    for (const bool operation : {false, true}) {
      bool inner_timed_out = false;
      EXPECT_FALSE(move_on_after(1s, [&] {
        try {
          if (operation) {
            await(fail_after(1s, sleep_for(1h)));
          } else {
            fail_after(1s, [] { await(sleep_for(1h)); });
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
  on_virtual([] {
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
  on_virtual([] {
    bool after_inner = false;
    EXPECT_FALSE(with_scope(scope_options{}, [&](cancel_scope& outer) {
      (void)with_scope(scope_options{}, [&](cancel_scope& inner) {
        outer.cancel();
        try {
          await(sleep_for(1h));
        } catch (const cancelled&) {
          inner.set_shield(true);
          await(sleep_for(1s));
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
  on_virtual([] {
    context& c = context::current();
    auto first = std::make_unique<scope_region>(c, scope_options{});
    auto second = std::make_unique<scope_region>(c, scope_options{}.within(1s));
    auto third = std::make_unique<scope_region>(c, scope_options{});
    first = nullptr;  // before the others
    EXPECT_NE(heard::text.find("misnested"), std::string::npos) << heard::text;
    EXPECT_EQ(&c.scope(), &third->scope());
    // What was inside works on: the deadline of the second still ends what is in the third.
    EXPECT_THROW(await(sleep_for(1h)), cancelled);
    second = nullptr;
    await(sleep_for(1s));
    third = nullptr;
    await(yield_now());
  });
}

TEST(S6_a_nursery_left_before_a_scope_in_it, corrupts_nothing) {
  const heard h;
  on_virtual([] {
    EXPECT_FALSE(with_scope(scope_options{}, [](cancel_scope& outer) {
      std::unique_ptr<scope_region> left;
      with_nursery([&](nursery& n) {
        left = std::make_unique<scope_region>(context::current(), scope_options{});
        n.start([] { await(sleep_for(1s)); });
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
  on_virtual([] {
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
  on_virtual([] {
    EXPECT_FALSE(await(move_on_after(1s, nested(2000))));
    EXPECT_TRUE(move_on_after(1s, [] { await(yield_now()); }));
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
  on_virtual([] {
    int ended = 0;
    EXPECT_FALSE(await(move_on_after(1s, level::open(2000, &ended))));
    EXPECT_EQ(ended, 2001);
  });
}

TEST(S8_swallowing, ends_normally_and_is_reported) {
  const heard h;
  on_virtual([] {
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
  on_virtual([] {
    int ended = 0;
    std::function<void(nursery*, int)> one = [&](nursery* n, int left) {
      await(sleep_for(1ms));
      if (left != 0) n->start(std::ref(one), n, left - 1);  // the body has long been over
      ++ended;
    };
    with_nursery([&](nursery& n) { n.start(std::ref(one), &n, 100); });
    EXPECT_EQ(ended, 101);
  });
}

TEST(N1_a_start_after_the_end, is_a_misuse) {
  on_virtual([] {
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
  on_virtual([] {
    EXPECT_THROW(with_nursery([](nursery& n) {
                   n.start([] { fail("one"); });
                   await(sleep_for(1h));
                 }),
                 std::runtime_error);
    try {
      with_nursery([](nursery& n) {
        n.start([] {
          await(sleep_for(1s));
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
      EXPECT_EQ(what_of(g.errors()[0]), "first");
    }
  });
}

TEST(N3_cancelled_only, collapses) {
  on_virtual([] {
    // Its own cancel is absorbed, however many were ended by it.
    with_nursery([](nursery& n) {
      for (int i = 0; i < 5; ++i) n.start([] { await(sleep_for(1h)); });
      await(sleep_for(1s));
      n.cancel();
      await(sleep_for(1h));
    });
    // One from outside goes on as one `cancelled`.
    EXPECT_FALSE(move_on_after(1s, [] {
      with_nursery([](nursery& n) {
        for (int i = 0; i < 5; ++i) n.start([] { await(sleep_for(1h)); });
      });
      ADD_FAILURE() << "the children were cancelled from outside";
    }));
  });
}

TEST(N3_an_error_beside_an_outer_cancel, is_not_lost) {
  on_virtual([] {
    EXPECT_THROW((void)move_on_after(1s,
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
  on_virtual([] {
    int begun = 0, went_on = 0;
    with_nursery([&](nursery& n) {
      n.cancel();
      n.start([&]() -> task<> {
        ++begun;
        co_await yield_now();
        ++went_on;
      });
    });
    EXPECT_EQ(begun, 1);
    EXPECT_EQ(went_on, 0);
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
  on_virtual([] {
    // Both are seen: the failure is thrown, and the scope is cancelled all the same.
    EXPECT_THROW((void)with_scope(scope_options{},
                                  [](cancel_scope& s) {
                                    auto failing = [](cancel_scope* scope) -> task<> {
                                      co_await sleep_for(1s);
                                      scope->cancel();
                                      fail("part");
                                    };
                                    await(gather(failing(&s), sleep_for(1h)));
                                  }),
                 std::runtime_error);
  });
}

TEST(G3_first_of, a_late_result_of_a_loser_is_kept) {
  on_virtual([] {
    channel<int> a{1}, b{1};
    EXPECT_TRUE(a.try_send(1));
    EXPECT_TRUE(b.try_send(2));
    auto r = await(first_of(a.receive(), b.receive()));
    EXPECT_EQ(r.index(), 0u);
    // The other did not even start: nothing is lost either way.
    EXPECT_EQ(r.late<1>().has_value(), !b.try_receive().has_value());
  });
}

TEST(G5_a_limit_that_has_passed, starts_nothing) {
  on_virtual([] {
    channel<int> ch{1};
    EXPECT_TRUE(ch.try_send(1));
    EXPECT_THROW((void)await(fail_after(0s, ch.receive())), timeout_error);
    EXPECT_TRUE(ch.try_receive().has_value());
  });
}

// ---- order ----

TEST(O1_what_becomes_ready, runs_in_that_order_and_never_inside) {
  on_virtual([] {
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
  on_virtual([] {
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
