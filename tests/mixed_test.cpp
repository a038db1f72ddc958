// The programs of examples/mixed/, in this process: also where only the tests are built (tsan).

#include <gtest/gtest.h>

#include <string>

#define main relay_main
#include "examples/mixed/relay.cpp"
#undef main

namespace {

int relay(std::string rounds, std::string every) {
  std::string name = "relay";
  char* arguments[] = {name.data(), rounds.data(), every.data(), nullptr};
  return relay_main(3, arguments);
}

TEST(relay, of_thread_fiber_coroutine_and_deferred_is_in_order_and_loses_nothing) {
  EXPECT_EQ(relay("100000", "10"), 0);
}

TEST(relay, fetches_in_every_round_if_it_is_not_told_otherwise) { EXPECT_EQ(relay("500", "1"), 0); }

TEST(relay, of_no_round_ends) { EXPECT_EQ(relay("0", "1"), 0); }

TEST(relay, notices_what_is_out_of_order_or_was_answered_wrongly) {
  race r{.rounds = 3};
  r.note(by_fiber, 0, "0");
  EXPECT_EQ(r.wrong, 0);
  r.note(by_thread, 2, "2");
  EXPECT_EQ(r.wrong, 1);
  r.note(by_deferred, 2, "3");
  EXPECT_EQ(r.wrong, 2);
}

}  // namespace
