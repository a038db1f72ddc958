// The same in fibers.
#include <cstdio>
#include <vector>

#include "oneloop/fiber/run.hpp"
#include "oneloop/fiber/spawn.hpp"
using namespace oneloop;
using namespace std::chrono_literals;

constexpr int games = 24, pairs_of_moves = 30;
constexpr auto her_move = 5s, their_move = 55s;

void answer() { await(sleep_for(their_move)); }

void one_after_another(nursery&) {
  for (int pair = 0; pair < games * pairs_of_moves; ++pair) {
    await(sleep_for(her_move));
    await(sleep_for(their_move));
  }
}

void exhibition(nursery& n) {
  std::vector<joinable<>> answers(games);
  for (int pair = 0; pair < pairs_of_moves; ++pair) {
    for (auto& board : answers) {
      if (board) await(board.join());
      await(sleep_for(her_move));
      board = spawn(n, answer);
    }
  }
  n.cancel();  // after her last move she waits for no answer
}

void play(const char* how, void (*games_of_the_day)(nursery&)) {
  loop l{"virtual"};
  const auto start = l.now();
  run(l, [=] { with_nursery(games_of_the_day); });
  const std::chrono::hh_mm_ss took{std::chrono::floor<std::chrono::seconds>(l.now() - start)};
  std::printf("%s: %ld:%02ld:%02ld\n", how, static_cast<long>(took.hours().count()),
              static_cast<long>(took.minutes().count()), static_cast<long>(took.seconds().count()));
}

int main() {
  play("one after another", one_after_another);
  play("as an exhibition", exhibition);
}
