// Idioms that g++ 12 does not even compile; CASE selects one. See docs/compilers.md.
// coroutine-lint: off (wrong on purpose)
#include <coroutine>
#include <vector>

struct ready {
  int value;
  static bool await_ready() noexcept { return true; }
  static void await_suspend(std::coroutine_handle<>) noexcept {}
  [[nodiscard]] int await_resume() const noexcept { return value; }
};
struct job {
  struct promise_type {
    job get_return_object() { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() {}
  };
};
inline ready count(const std::vector<int>& v) { return ready{static_cast<int>(v.size())}; }

#if CASE == 5
job list() {
  int n = co_await count(std::vector<int>{1, 2, 3});
  (void)n;
}
#elif CASE == 6
job statement_expression() {
  int n = ({
    auto v = co_await ready{3};
    if (v < 0) co_return;
    v;
  });
  (void)n;
}
#endif
