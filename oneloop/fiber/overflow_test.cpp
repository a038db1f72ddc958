// Stacks that overflow, many fibers, and what a fiber costs.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/fiber/greenlet.hpp"
#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/region.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;
using test::sanitized;

[[gnu::noinline]] int deeper(int n, volatile char* above) {
  volatile char frame[1024];
  frame[0] = above != nullptr ? above[0] : '\0';
  if (n == 0) return frame[0];
  return deeper(n - 1, frame) + frame[0];
}
/// Needs about `kib` KiB of stack.
int use_stack(int kib) { return deeper(kib, nullptr); }

// What oneloop prints, and the way a program dies, in one: the default action is kept.
const auto killed_by_fault = testing::KilledBySignal(SIGSEGV);

TEST(overflow, names_the_fiber_its_start_its_stack_and_the_cure) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has a message of its own";
  EXPECT_EXIT(
      run([] { with_nursery([](nursery& n) { n.start(named{"digger", use_stack}, 1 << 20); }); }),
      killed_by_fault,
      "oneloop: stack overflow in fiber 'digger' \\(started at .*overflow_test.cpp:[0-9]+\\)"
      ": its stack has 65536 bytes.*ONELOOP_FIBER_STACK=262144.*set_fiber_stacks");
  EXPECT_EXIT(run([] { use_stack(1 << 20); }), killed_by_fault, "in fiber 'main'");
  EXPECT_EXIT(
      {
        greenlet g{[] { use_stack(1 << 20); }};
        g.switch_to();
      },
      killed_by_fault, "stack overflow in a greenlet: its stack has 65536 bytes");
}

TEST(overflow, guards_by_mprotect_have_the_message_too) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has a message of its own";
  auto body = [] {
    loop l;
    set_fiber_stacks(l, {.stack_size = 32 * 1024, .guard = guard_method::protect});
    run(l, [] { use_stack(1 << 20); });
  };
  EXPECT_EXIT(body(), killed_by_fault, "its stack has 32768 bytes");
}

TEST(overflow, on_another_thread) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has a message of its own";
  auto body = [] { std::thread{[] { run([] { use_stack(1 << 20); }); }}.join(); };
  EXPECT_EXIT(body(), killed_by_fault, "oneloop: stack overflow in fiber 'main'");
}

TEST(overflow, other_faults_are_left_to_others) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has a handler of its own";
  auto wild = [] { run([] { *reinterpret_cast<volatile int*>(std::uintptr_t{64}) = 1; }); };
  // Nothing is printed, and the program dies as it would have.
  EXPECT_EXIT(wild(), killed_by_fault, "^$");
  EXPECT_EXIT(run([] { ::raise(SIGSEGV); }), killed_by_fault, "^$");
}

TEST(overflow, an_earlier_handler_is_called_and_put_back) {
  if (sanitized) GTEST_SKIP() << "a sanitizer has a handler of its own";
  auto handler = [](int) {
    constexpr char text[] = "the program's own handler\n";
    (void)!::write(STDERR_FILENO, text, sizeof text - 1);
    ::_exit(3);
  };
  // In a process that has not used fibers before.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto called = [&] {
    struct sigaction own{};
    own.sa_handler = handler;
    own.sa_flags = SA_ONSTACK;
    ::sigaction(SIGSEGV, &own, nullptr);
    run([] { use_stack(1 << 20); });
  };
  EXPECT_EXIT(called(), testing::ExitedWithCode(3), "stack overflow.*the program's own handler");
  auto put_back = [&] {
    struct sigaction own{}, inside{}, now{};
    own.sa_handler = handler;
    ::sigaction(SIGSEGV, &own, nullptr);
    run([&] {
      ::sigaction(SIGSEGV, nullptr, &inside);
      std::thread{[] { run([] {}); }}.join();  // one pool of several
      ::sigaction(SIGSEGV, nullptr, &now);
    });
    const bool stayed = inside.sa_sigaction == now.sa_sigaction && now.sa_handler != own.sa_handler;
    ::sigaction(SIGSEGV, nullptr, &now);
    ::_exit(stayed && now.sa_handler == own.sa_handler ? 0 : 1);
  };
  EXPECT_EXIT(put_back(), testing::ExitedWithCode(0), "");
}

TEST(fiber_stacks, of_a_size_that_the_program_chooses) {
  loop l;
  set_fiber_stacks(l, {.stack_size = 1024 * 1024});
  run(l, [&] {
    use_stack(900);
    EXPECT_THROW(set_fiber_stacks(l, {}), misuse) << "too late";
  });
  set_fiber_stacks(l, {});
  run(l, [] { use_stack(40); });
}

TEST(fiber_stacks, of_a_size_that_the_environment_says) {
  ::setenv("ONELOOP_FIBER_STACK", "524288", 1);
  run([] { use_stack(400); });
  ::setenv("ONELOOP_FIBER_STACK", "64k", 1);
  EXPECT_THROW(run([] {}), misuse);
  ::unsetenv("ONELOOP_FIBER_STACK");
}

TEST(fiber_stacks, are_taken_when_a_fiber_begins_and_reused_at_once) {
  run([] {
    loop& l = *loop::current();
    with_nursery([&](nursery& n) {
      for (int i = 0; i < 1000; ++i) n.start([] {});
      EXPECT_EQ(fiber_statistics(l).in_use, 1U) << "main's";
    });
    EXPECT_EQ(fiber_statistics(l).peak, 2U) << "they never waited: one stack served them all";
  });
}

long resident_kib() {
  std::ifstream f{"/proc/self/statm"};
  long all = 0, resident = 0;
  f >> all >> resident;
  return resident * (::sysconf(_SC_PAGESIZE) / 1024);
}

/// `count` fibers that wait at once; what each has cost, in bytes.
double bytes_each(int count) {
  double cost = 0;
  run([&] {
    event all_wait, go;
    int waiting = 0, woken = 0;
    const long before = resident_kib();
    with_nursery([&](nursery& n) {
      for (int i = 0; i < count; ++i) {
        n.start([&] {
          if (++waiting == count) all_wait.set();
          await(go.wait());
          ++woken;
        });
      }
      await(all_wait.wait());
      cost = static_cast<double>(resident_kib() - before) * 1024 / count;
      go.set();
    });
    EXPECT_EQ(woken, count);
  });
  return cost;
}

TEST(fiber_cost, two_pages_or_less) {
  if (sanitized) GTEST_SKIP() << "a sanitizer's frames are larger";
  EXPECT_LE(bytes_each(20'000), 8192);
}

TEST(fiber_cost, two_hundred_thousand_alive) {
  if (sanitized) GTEST_SKIP() << "a sanitizer keeps a record of each";
  if (stack_pool{}.guard() != guard_method::marker) {
    GTEST_SKIP() << "guards without mappings need Linux 6.13 (MADV_GUARD_INSTALL)";
  }
  std::ifstream info{"/proc/meminfo"};
  std::string key;
  long kib = 0;
  while (info >> key && key != "MemAvailable:") info.ignore(256, '\n');
  info >> kib;
  if (kib < 3L * 1024 * 1024) GTEST_SKIP() << "less than 3 GiB of memory are free";
  EXPECT_LE(bytes_each(200'000), 8192);
}

TEST(fiber_cost, where_stacks_end_the_error_is_the_childs_and_names_the_limit) {
  if (sanitized) GTEST_SKIP() << "a sanitizer needs address space of its own";
  // In a process of its own, with little address space.
  auto body = [] {
    loop l;
    run(l, [] {});  // what the loop itself needs
    const rlimit little{256UL << 20, 256UL << 20};
    ::setrlimit(RLIMIT_AS, &little);
    try {
      run(l, [] {
        with_nursery([](nursery& n) {
          for (int i = 0; i < 20'000; ++i) n.start([] { await(sleep_forever()); });
        });
      });
    } catch (const error& e) {
      (void)!::write(STDERR_FILENO, e.what(), std::string_view{e.what()}.size());
      ::_exit(7);
    }
    ::_exit(0);
  };
  EXPECT_EXIT(body(), testing::ExitedWithCode(7), "fiber stack: .*address space");
}

}  // namespace
}  // namespace oneloop
