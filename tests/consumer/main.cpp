// What a program needs from an installed oneloop: it links, a task runs, an exception crosses the
// library's border with its type, and awaits that finish at once do not grow the stack.
#include <cstdio>

#include "oneloop/base/error.hpp"
#include "oneloop/task/run.hpp"
#include "oneloop/task/task.hpp"

namespace {

oneloop::task<int> one() { co_return 1; }

oneloop::task<int> many(int n) {
  int total = 0;
  for (int i = 0; i < n; ++i) total += co_await one();
  co_return total;
}

oneloop::task<int> fails() {
  co_await one();
  throw oneloop::error{std::make_error_code(std::errc::connection_refused), "consumer"};
}

}  // namespace

int main() {
  if (oneloop::run(many(1'000'000)) != 1'000'000) {
    std::puts("a million awaits: wrong sum");
    return 1;
  }
  try {
    oneloop::run(fails());
    std::puts("the exception was lost");
    return 1;
  } catch (const oneloop::error&) {
  }
  std::puts("consumer ok");
  return 0;
}
