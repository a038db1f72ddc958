#include "oneloop/fiber/switch.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using oneloop::stack;
using oneloop::stack_pool;
using oneloop::switch_context;

bool under_tsan() {
#if defined(__SANITIZE_THREAD__)
  return true;
#elif defined(__has_feature)
  return __has_feature(thread_sanitizer) != 0;
#else
  return false;
#endif
}

/// A context with a stack of its own that runs a callable.
template <class F>
class runner {
 public:
  runner(stack_pool& pool, F f) : pool_{pool}, stack_{pool.acquire()}, f_{std::move(f)} {
    ctx.create(
        stack_, [](void* p) { static_cast<runner*>(p)->f_(static_cast<runner*>(p)->ctx); }, this);
  }
  ~runner() { pool_.release(stack_); }
  runner(const runner&) = delete;
  runner& operator=(const runner&) = delete;
  switch_context ctx;

 private:
  stack_pool& pool_;
  stack stack_;
  F f_;
};
template <class F>
runner(stack_pool&, F) -> runner<F>;

TEST(switch_test, runs_between_suspensions_and_ends) {
  stack_pool pool;
  std::string log;
  runner r{pool, [&](switch_context& self) {
             log += 'a';
             self.suspend();
             log += 'b';
             self.suspend();
             log += 'c';
           }};
  EXPECT_TRUE(r.ctx.alive());
  while (r.ctx.alive()) {
    EXPECT_EQ(&r.ctx.resume(), &r.ctx);
    log += '.';
  }
  EXPECT_EQ(log, "a.b.c.");
  EXPECT_TRUE(r.ctx.finished());
}

TEST(switch_test, a_context_that_never_ran_can_be_dropped) {
  stack_pool pool;
  runner r{pool, [](switch_context&) { FAIL(); }};
}

TEST(switch_test, a_finished_context_can_be_created_again) {
  stack_pool pool;
  const stack s = pool.acquire();
  switch_context ctx;
  int runs = 0;
  for (int i = 0; i < 1000; ++i) {
    ctx.create(s, [](void* p) { ++*static_cast<int*>(p); }, &runs);
    EXPECT_TRUE(ctx.resume().finished());
  }
  EXPECT_EQ(runs, 1000);
  pool.release(s);
}

TEST(switch_test, errno_belongs_to_each_side) {
  stack_pool pool;
  runner r{pool, [](switch_context& self) {
             errno = ENOENT;
             self.suspend();
             EXPECT_EQ(errno, ENOENT);
             errno = EPIPE;
           }};
  errno = EINTR;
  r.ctx.resume();
  EXPECT_EQ(errno, EINTR);
  errno = EBADF;
  r.ctx.resume();
  EXPECT_EQ(errno, EBADF);
}

TEST(switch_test, exceptions_are_thrown_and_caught_inside) {
  stack_pool pool;
  std::string caught;
  runner r{pool, [&](switch_context& self) {
             try {
               self.suspend();
               throw std::runtime_error{"inside"};
             } catch (const std::exception& e) {
               caught = e.what();
             }
           }};
  while (r.ctx.alive()) r.ctx.resume();
  EXPECT_EQ(caught, "inside");
}

TEST(switch_test, two_contexts_interleave_inside_catch_handlers) {
  stack_pool pool;
  auto handler = [](std::string name, std::string& log) {
    return [name, &log](switch_context& self) {
      for (int i = 0; i < 10; ++i) {
        try {
          throw std::runtime_error{name + std::to_string(i)};
        } catch (const std::runtime_error& outer) {
          self.suspend();
          try {
            throw std::logic_error{"inner " + name};
          } catch (const std::logic_error& inner) {
            self.suspend();
            EXPECT_EQ(inner.what(), "inner " + name);
          }
          self.suspend();
          try {
            throw;  // the one that this handler caught, not the other context's
          } catch (const std::runtime_error& again) {
            EXPECT_EQ(again.what(), name + std::to_string(i));
            log += name;
          }
          EXPECT_EQ(outer.what(), name + std::to_string(i));
        }
        EXPECT_EQ(std::current_exception(), nullptr);
      }
    };
  };
  std::string log;
  runner a{pool, handler("a", log)};
  runner b{pool, handler("b", log)};
  while (a.ctx.alive() || b.ctx.alive()) {
    if (a.ctx.alive()) a.ctx.resume();
    EXPECT_EQ(std::current_exception(), nullptr);
    if (b.ctx.alive()) b.ctx.resume();
  }
  EXPECT_EQ(log, "abababababababababab");
}

TEST(switch_test, a_switch_during_unwinding_keeps_the_exception_count) {
  stack_pool pool;
  struct switcher {
    switch_context& self;
    ~switcher() {
      EXPECT_EQ(std::uncaught_exceptions(), 1);
      self.suspend();
      EXPECT_EQ(std::uncaught_exceptions(), 1);
    }
  };
  int caught = 0;
  auto body = [&](switch_context& self) {
    EXPECT_EQ(std::uncaught_exceptions(), 0);
    try {
      switcher s{self};
      throw 42;
    } catch (int v) {
      caught += v;
    }
    EXPECT_EQ(std::uncaught_exceptions(), 0);
  };
  runner a{pool, body};
  runner b{pool, body};
  a.ctx.resume();
  EXPECT_EQ(std::uncaught_exceptions(), 0);
  b.ctx.resume();
  a.ctx.resume();
  b.ctx.resume();
  EXPECT_EQ(caught, 84);
}

TEST(switch_test, resumed_from_inside_a_handler_starts_with_no_exception) {
  stack_pool pool;
  runner r{pool, [](switch_context&) { EXPECT_EQ(std::current_exception(), nullptr); }};
  try {
    throw 1;
  } catch (int) {
    r.ctx.resume();
    EXPECT_NE(std::current_exception(), nullptr);
  }
}

struct nest {
  stack_pool& pool;
  int depth;
  int reached = 0;
  void run() {
    if (depth == 0) return;
    nest inner{pool, depth - 1};
    runner r{pool, [&](switch_context& self) {
               self.suspend();
               inner.run();
               self.suspend();
             }};
    while (r.ctx.alive()) r.ctx.resume();
    reached = inner.reached + 1;
  }
};

TEST(switch_test, contexts_nest_a_thousand_deep) {
  stack_pool pool;
  nest n{pool, 1000};
  n.run();
  EXPECT_EQ(n.reached, 1000);
  EXPECT_EQ(pool.stats().peak, 1000U);
}

TEST(switch_test, transfer_goes_straight_to_another_context) {
  stack_pool pool;
  std::string log;
  switch_context* pa = nullptr;
  switch_context* pb = nullptr;
  runner a{pool, [&](switch_context& self) {
             log += 'a';
             self.transfer(*pb);
             log += 'A';
           }};
  runner b{pool, [&](switch_context& self) {
             log += 'b';
             self.suspend();
             log += 'B';
             self.transfer(*pa);
           }};
  pa = &a.ctx;
  pb = &b.ctx;
  EXPECT_EQ(&a.ctx.resume(), &b.ctx) << "b suspended, to whoever had resumed a";
  EXPECT_TRUE(a.ctx.alive());
  EXPECT_EQ(&b.ctx.resume(), &a.ctx);
  EXPECT_TRUE(a.ctx.finished());
  EXPECT_TRUE(b.ctx.alive());
  EXPECT_EQ(log, "abBA");
  // b was left inside transfer(); it may go on.
  EXPECT_TRUE(b.ctx.resume().finished());
}

TEST(switch_test, floating_point_survives) {
  stack_pool pool;
  double inside = 0;
  runner r{pool, [&](switch_context& self) {
             double x = 1;
             for (int i = 0; i < 100; ++i) {
               x = std::sqrt(x + i);
               self.suspend();
             }
             inside = x;
           }};
  double outside = 1;
  for (int i = 0; r.ctx.alive(); ++i) {
    r.ctx.resume();
    if (i < 100) outside = std::sqrt(outside + i);
  }
  EXPECT_EQ(inside, outside);
}

TEST(switch_test, a_hundred_thousand_contexts_alive_at_once) {
  stack_pool pool;
  if (pool.guard() != oneloop::guard_method::marker) GTEST_SKIP() << "Linux before 6.13";
  const int count = under_tsan() ? 4'000 : 100'000;  // it counts each as a thread, of 8,000 at most
  long sum = 0;
  struct one {
    switch_context ctx;
    stack s;
    long* sum;
  };
  std::vector<one> all(static_cast<std::size_t>(count));
  for (one& o : all) {
    o.s = pool.acquire();
    o.sum = &sum;
    o.ctx.create(
        o.s,
        [](void* p) {
          auto& me = *static_cast<one*>(p);
          me.ctx.suspend();
          ++*me.sum;
        },
        &o);
    o.ctx.resume();
  }
  for (one& o : all) {
    EXPECT_TRUE(o.ctx.resume().finished());
    pool.release(o.s);
  }
  EXPECT_EQ(sum, count);
}

TEST(switch_test, each_thread_has_its_own) {
  long sums[2] = {};
  auto work = [](long& sum) {
    stack_pool pool;
    runner r{pool, [&](switch_context& self) {
               for (int i = 0; i < 10'000; ++i) {
                 ++sum;
                 self.suspend();
               }
             }};
    while (r.ctx.alive()) r.ctx.resume();
  };
  std::thread a{work, std::ref(sums[0])};
  std::thread b{work, std::ref(sums[1])};
  a.join();
  b.join();
  EXPECT_EQ(sums[0] + sums[1], 20'000);
}

TEST(switch_test, created_here_and_run_on_another_thread) {
  stack_pool pool;
  int value = 0;
  runner r{pool, [&](switch_context& self) {
             ++value;
             self.suspend();
             ++value;
           }};
  std::thread t{[&] {
    while (r.ctx.alive()) r.ctx.resume();
  }};
  t.join();
  EXPECT_EQ(value, 2);
}

TEST(switch_test, an_exception_that_leaves_the_entry_terminates) {
  auto escape = [] {
    stack_pool pool;
    runner r{pool, [](switch_context&) { throw std::runtime_error{"escaped"}; }};
    r.ctx.resume();
  };
  EXPECT_DEATH(escape(), "escaped|terminate");
}

}  // namespace
