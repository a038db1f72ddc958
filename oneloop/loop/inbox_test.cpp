#include "oneloop/loop/inbox.hpp"

#include <poll.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

struct letter : ready_item {
  int from = 0;
  int number = 0;
};

bool readable(int fd) {
  pollfd p{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&p, 1, 0) == 1;
}

TEST(inbox, gives_back_what_was_pushed_oldest_first) {
  basic_mpsc_stack<ready_item> s;
  letter letters[3];
  for (int i = 0; i < 3; ++i) {
    letters[i].number = i;
    EXPECT_EQ(s.push(letters[i]), basic_mpsc_stack<ready_item>::pushed::quiet);
  }
  auto mail = s.take_all();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(static_cast<letter*>(mail.pop())->number, i);
  EXPECT_TRUE(mail.empty());
  EXPECT_TRUE(s.take_all().empty());
}

TEST(inbox, wakes_a_sleeper_once) {
  basic_mpsc_stack<ready_item> s;
  letter a, b;
  EXPECT_TRUE(s.sleep());
  EXPECT_EQ(s.push(a), basic_mpsc_stack<ready_item>::pushed::wake);
  EXPECT_EQ(s.push(b), basic_mpsc_stack<ready_item>::pushed::quiet);
  EXPECT_FALSE(s.sleep());
}

TEST(inbox, refuses_after_close_and_returns_the_rest) {
  basic_mpsc_stack<ready_item> s;
  letter a, b;
  s.push(a);
  auto rest = s.close();
  EXPECT_EQ(rest.pop(), &a);
  EXPECT_EQ(s.push(b), basic_mpsc_stack<ready_item>::pushed::closed);
  EXPECT_TRUE(s.close().empty());
}

TEST(inbox, its_descriptor_is_readable_after_a_wake_until_drained) {
  inbox* box = inbox::create();
  EXPECT_FALSE(readable(box->fd()));
  box->wake();
  box->wake();
  EXPECT_TRUE(readable(box->fd()));
  box->drain();
  EXPECT_FALSE(readable(box->fd()));
  box->drain();
  box->release();
}

TEST(inbox, keeps_the_order_of_each_of_many_senders) {
  constexpr int senders = 4, each = 20'000;
  inbox* box = inbox::create();
  auto letters = std::make_unique<letter[]>(senders * each);
  std::vector<int> next(senders, 0);
  {
    std::vector<std::jthread> pool;
    for (int s = 0; s < senders; ++s) {
      pool.emplace_back([&, s] {
        for (int i = 0; i < each; ++i) {
          letter& l = letters[static_cast<std::size_t>(s * each + i)];
          l.from = s;
          l.number = i;
          ASSERT_TRUE(box->push(l));
        }
      });
    }
    int received = 0;
    while (received < senders * each) {
      if (box->stack().sleep()) {
        pollfd p{.fd = box->fd(), .events = POLLIN, .revents = 0};
        ASSERT_EQ(::poll(&p, 1, 10'000), 1) << "a wake-up was lost";
        box->drain();
        box->stack().awake();
      }
      auto mail = box->stack().take_all();
      while (ready_item* item = mail.pop()) {
        auto& l = static_cast<letter&>(*item);
        EXPECT_EQ(l.number, next[static_cast<std::size_t>(l.from)]++);
        ++received;
      }
    }
  }
  box->release();
}

struct one_shot {
  static constexpr operation_info info{"one_shot", [](void*, waiter&) noexcept {}, nullptr};
  bool await_ready() { return false; }
  bool await_suspend(waiter& w) {
    w.arm(this, info);
    published.store(&w, std::memory_order_release);
    return true;
  }
  void await_resume() {}
  std::atomic<waiter*>& published;
};

// The wake-up that outlives its loop: the waker's last touch is the inbox, which it has pinned.
TEST(inbox, a_waker_may_finish_after_the_loop_has_gone) {
  for (const auto& name : test::all_backends()) {
    std::atomic<waiter*> published{nullptr};
    std::atomic<bool> stop{false};
    std::jthread waker{[&] {
      while (!stop.load(std::memory_order_relaxed)) {
        if (waiter* w = published.exchange(nullptr, std::memory_order_acquire)) {
          if (w->try_claim()) w->wake();
        }
      }
    }};
    for (int i = 0; i < 300; ++i) {
      // Loop, waiter and operation are gone as soon as the waiter has been resumed, while the waker
      // may still be inside wake().
      auto l = std::make_unique<loop>(name);
      l->owe();
      one_shot op{published};
      EXPECT_EQ(test::run(*l, op), outcome::completed);
      l->disown();
    }
    stop = true;
  }
}

TEST(inbox, many_threads_may_push_while_the_loop_ends) {
  for (int round = 0; round < 50; ++round) {
    auto l = std::make_unique<loop>("epoll");
    inbox_pin pin{l->mail()};
    std::atomic<int> ran{0}, refused{0}, started{0};
    constexpr int senders = 3, each = 200;
    struct note : ready_item {
      std::atomic<int>* counter;
    };
    auto notes = std::make_unique<note[]>(senders * each);
    std::vector<std::jthread> pool;
    for (int s = 0; s < senders; ++s) {
      pool.emplace_back([&, s] {
        started.fetch_add(1);
        for (int i = 0; i < each; ++i) {
          note& n = notes[static_cast<std::size_t>(s * each + i)];
          n.counter = &ran;
          n.run = [](ready_item& item) noexcept { static_cast<note&>(item).counter->fetch_add(1); };
          if (!pin->push(n)) refused.fetch_add(1);
        }
      });
    }
    while (started.load() < senders) std::this_thread::yield();
    test::on(*l, [] {});
    l.reset();
    pool.clear();
    // What was accepted has been run, by the loop or by its end.
    EXPECT_EQ(ran + refused, senders * each);
  }
}

}  // namespace
}  // namespace oneloop
