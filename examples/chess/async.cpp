// Judit Polgar plays 24 games, of 30 pairs of moves each. She needs 5 s for a move, the others 55
// s: 12 hours one after another, one hour as an exhibition, and no time at all on a virtual clock.
#include <cstdio>
#include <vector>

#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/task/spawn.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

constexpr int games = 24, pairs_of_moves = 30;
constexpr auto her_move = 5s, their_move = 55s;

task<> answer() { co_await sleep_for(their_move); }

task<> one_after_another(nursery&) {
  for (int pair = 0; pair < games * pairs_of_moves; ++pair) {
    co_await sleep_for(her_move);
    co_await sleep_for(their_move);
  }
}

task<> exhibition(nursery& n) {
  std::vector<joinable<>> answers(games);
  for (int pair = 0; pair < pairs_of_moves; ++pair) {
    for (auto& board : answers) {
      if (board) co_await board.join();
      co_await sleep_for(her_move);
      board = spawn(n, answer);
    }
  }
  n.cancel();  // after her last move she waits for no answer
}

void play(const char* how, task<> games_of_the_day) {
  loop l{"virtual"};
  const auto start = l.now();
  run(l, std::move(games_of_the_day));
  const std::chrono::hh_mm_ss took{std::chrono::floor<std::chrono::seconds>(l.now() - start)};
  std::printf("%s: %ld:%02ld:%02ld\n", how, static_cast<long>(took.hours().count()),
              static_cast<long>(took.minutes().count()), static_cast<long>(took.seconds().count()));
}

int main() {
  play("one after another", with_nursery(one_after_another));
  play("as an exhibition", with_nursery(exhibition));
}
