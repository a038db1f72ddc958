// The coroutine idioms of docs/compilers.md, each as people write it and as it should be written.
//
// Every case runs in a child process of its own, because some of them crash on some compilers. A
// case named "instead" must work on every compiler that oneloop supports, else this program fails;
// what happens to the others is only printed. It uses no oneloop code: a small task, a pause that
// the main program resumes, and a class that counts its objects.
//
// coroutine-lint: off (the wrong forms are here on purpose)
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

// ---- a class that knows how many of it live
// ------------------------------------------------------
struct counted {
  static inline int live = 0;
  std::unique_ptr<int> value;  // destroying one twice is noticed by the allocator, too
  explicit counted(int v) : value{std::make_unique<int>(v)} { ++live; }
  counted(const counted& o) : value{std::make_unique<int>(*o.value)} { ++live; }
  counted(counted&& o) noexcept : value{std::exchange(o.value, nullptr)} { ++live; }
  counted& operator=(const counted&) = delete;
  ~counted() { --live; }
};

// ---- suspend until the main program says go on
// ---------------------------------------------------
std::coroutine_handle<> paused;
struct pause_here {
  static bool await_ready() noexcept { return false; }
  static void await_suspend(std::coroutine_handle<> h) noexcept { paused = h; }
  static void await_resume() noexcept {}
};
struct ready_value {
  int value;
  static bool await_ready() noexcept { return true; }
  static void await_suspend(std::coroutine_handle<>) noexcept {}
  [[nodiscard]] int await_resume() const noexcept { return value; }
};

// ---- a lazy task; transfers by handle, or (Inline) by a bool that says "finished meanwhile"
// -------
template <class T, bool Inline = false>
class job {
 public:
  struct promise_type {
    std::optional<T> value;
    std::exception_ptr error;
    std::coroutine_handle<> awaiter = std::noop_coroutine();
    bool starting = false;  // Inline: await_suspend is still on the stack

    job get_return_object() {
      return job{std::coroutine_handle<promise_type>::from_promise(*this)};
    }
    std::suspend_always initial_suspend() noexcept { return {}; }
    auto final_suspend() noexcept {
      if constexpr (Inline) {
        struct last {
          bool await_ready() noexcept { return false; }
          void await_suspend(std::coroutine_handle<promise_type> h) noexcept {
            if (!h.promise().starting) h.promise().awaiter.resume();
          }
          void await_resume() noexcept {}
        };
        return last{};
      } else {
        struct last {
          bool await_ready() noexcept { return false; }
          std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept {
            return h.promise().awaiter;
          }
          void await_resume() noexcept {}
        };
        return last{};
      }
    }
    template <class U>
    void return_value(U&& v) {
      value.emplace(std::forward<U>(v));
    }
    void unhandled_exception() { error = std::current_exception(); }
  };

  explicit job(std::coroutine_handle<promise_type> h) : handle_{h} {}
  job(job&& o) noexcept : handle_{std::exchange(o.handle_, {})} {}
  job& operator=(job&&) = delete;
  ~job() {
    if (handle_) handle_.destroy();
  }

  bool await_ready() noexcept { return false; }
  auto await_suspend(std::coroutine_handle<> awaiter) noexcept {
    auto& promise = handle_.promise();
    promise.awaiter = awaiter;
    if constexpr (Inline) {
      promise.starting = true;
      handle_.resume();
      promise.starting = false;
      return !handle_.done();
    } else {
      return std::coroutine_handle<>{handle_};
    }
  }
  T await_resume() {
    if (handle_.promise().error) std::rethrow_exception(handle_.promise().error);
    return std::move(*handle_.promise().value);
  }

  /// Runs it to its end; nothing if it stopped without having finished.
  std::optional<T> drive() {
    handle_.resume();
    while (paused) std::exchange(paused, {}).resume();
    if (!handle_.done() || handle_.promise().error) return std::nullopt;
    return std::move(handle_.promise().value);
  }

 private:
  std::coroutine_handle<promise_type> handle_;
};

// ---- what the cases call
// -------------------------------------------------------------------------
job<bool> yes() {
  co_await pause_here{};
  co_return true;
}
job<int> value_of(counted c) {
  co_await pause_here{};
  co_return *c.value;
}
template <class F, class... Args>
job<int> call(F f, Args... args) {
  co_await pause_here{};
  co_return f(args...);
}
job<int> length(std::string s) {
  co_await pause_here{};
  co_return static_cast<int>(s.size());
}
struct options {
  counted first;
  int second = 0;
};
struct options_with_constructor {
  options_with_constructor(counted f, int s) : first{std::move(f)}, second{s} {}
  counted first;
  int second;
};
job<int> use(options o) {
  co_await pause_here{};
  co_return *o.first.value + o.second;
}
job<int> use(options_with_constructor o) {
  co_await pause_here{};
  co_return *o.first.value + o.second;
}
job<int> sum(std::vector<int> v) {
  co_await pause_here{};
  int total = 0;
  for (int i : v) total += i;
  co_return total;
}
template <bool Inline>
job<int, Inline> one() {
  co_return 1;
}
template <bool Inline>
job<int, Inline> many(int n) {
  int total = 0;
  for (int i = 0; i < n; ++i) total += co_await one<Inline>();
  co_return total;
}

// ---- the cases
// -----------------------------------------------------------------------------------
struct test_case {
  const char* name;
  bool must_work;
  int expected;
  std::optional<int> (*run)();
};
constexpr int deep = 1'000'000;

job<int> g1() {
  if (co_await yes()) co_return 1;
  co_return 2;
}
job<int> g1_loop() {
  while (!co_await yes()) {
  }
  co_return 3;
}
job<int> g1_instead() {
  auto ok = co_await yes();
  if (ok) co_return 1;
  co_return 2;
}

job<int> g2() {
  counted c{7};
  int r = co_await call([c] { return *c.value; });
  co_return r;
}
job<int> g2_called() {
  counted c{7};
  int r = co_await [c]() -> job<int> {
    int v = *c.value;
    co_return v;
  }();
  co_return r;
}
job<int> g2_instead_lambda_named() {
  counted c{7};
  auto f = [c] { return *c.value; };
  int r = co_await call(std::move(f));
  co_return r;
}
job<int> g2_instead_task_named() {
  counted c{7};
  auto t = call([c] { return *c.value; });
  int r = co_await std::move(t);
  co_return r;
}
job<int> g2_instead_reference() {
  counted c{7};
  int r = co_await call([&c] { return *c.value; });
  co_return r;
}
job<int> g2_instead_arguments() {
  counted c{7};
  int r = co_await call([](const counted& x) { return *x.value; }, c);
  co_return r;
}

job<int> g3() {
  int zero = 0;
  int r = co_await use(options{.first = counted{3}, .second = 4});
  co_return r + zero;
}
job<int> g3_instead_named() {
  options o{.first = counted{3}, .second = 4};
  int r = co_await use(std::move(o));
  co_return r;
}
job<int> g3_instead_constructor() {
  int zero = 0;
  int r = co_await use(options_with_constructor{counted{3}, 4});
  co_return r + zero;
}

job<int> g4(bool b) {
  int zero = 0;
  int r = co_await value_of(b ? counted{5} : counted{6});
  co_return r + zero;
}
job<int> g4_task(bool b) {
  int zero = 0;
  int r = co_await (b ? value_of(counted{5}) : length("six"));
  co_return r + zero;
}
job<int> g4_instead_if(bool b) {
  int r = 0;
  if (b) {
    r = co_await value_of(counted{5});
  } else {
    r = co_await value_of(counted{6});
  }
  co_return r;
}
job<int> g4_instead_named(bool b) {
  auto t = b ? value_of(counted{5}) : length("six");
  int r = co_await std::move(t);
  co_return r;
}

job<int> g5_instead_named() {
  std::vector<int> list{1, 2, 3};
  int r = co_await sum(std::move(list));
  co_return r;
}

job<int> g6_instead_statements() {
  int r = co_await value_of(counted{3});
  if (r < 0) co_return -1;
  co_return r;
}

struct alignas(64) wide {
  unsigned char bytes[64];
};
template <class T>
int misaligned(const T& object) {
  return static_cast<int>(reinterpret_cast<std::uintptr_t>(&object) % alignof(T));
}
job<int> g9() {
  wide w{};
  co_await pause_here{};
  co_return misaligned(w);
}
job<int> g9_instead_apart() {
  auto w = std::make_unique<wide>();
  co_await pause_here{};
  co_return misaligned(*w);
}
/// Several frames at once: one of them may be aligned by luck.
template <job<int> (*F)()>
std::optional<int> several() {
  std::vector<job<int>> all;
  int worst = 0;
  for (int i = 0; i < 8; ++i) {
    all.push_back(F());
    auto r = all.back().drive();
    if (!r) return r;
    worst |= *r;
  }
  return worst;
}

const test_case cases[] = {
    {"G1 co_await in an if", false, 1, [] { return g1().drive(); }},
    {"G1 co_await in a while", false, 3, [] { return g1_loop().drive(); }},
    {"G1 instead: name the result", true, 1, [] { return g1_instead().drive(); }},
    {"G2 lambda with captures as argument", false, 7, [] { return g2().drive(); }},
    {"G2 lambda with captures called", false, 7, [] { return g2_called().drive(); }},
    {"G2 instead: name the lambda", true, 7, [] { return g2_instead_lambda_named().drive(); }},
    {"G2 instead: name the task", true, 7, [] { return g2_instead_task_named().drive(); }},
    {"G2 instead: capture by reference", true, 7, [] { return g2_instead_reference().drive(); }},
    {"G2 instead: pass arguments", true, 7, [] { return g2_instead_arguments().drive(); }},
    {"G3 aggregate as argument", false, 7, [] { return g3().drive(); }},
    {"G3 instead: name it", true, 7, [] { return g3_instead_named().drive(); }},
    {"G3 instead: a constructor", true, 7, [] { return g3_instead_constructor().drive(); }},
    {"G4 ?: as argument", false, 5, [] { return g4(true).drive(); }},
    {"G4 ?: between tasks", false, 5, [] { return g4_task(true).drive(); }},
    {"G4 instead: if and else", true, 5, [] { return g4_instead_if(true).drive(); }},
    {"G4 instead: name it", true, 5, [] { return g4_instead_named(true).drive(); }},
    {"G5 instead: name the vector", true, 6, [] { return g5_instead_named().drive(); }},
    {"G6 instead: plain statements", true, 3, [] { return g6_instead_statements().drive(); }},
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    {"G8 transfer by handle, sanitizer", false, deep, [] { return many<false>(deep).drive(); }},
    {"G8 instead: transfer by bool", true, deep, [] { return many<true>(deep).drive(); }},
#elif defined(SIBLING_CALLS)
    {"G7 instead: -foptimize-sibling-calls", true, deep, [] { return many<false>(deep).drive(); }},
    {"G7 instead: transfer by bool", true, deep, [] { return many<true>(deep).drive(); }},
#else
    {"G7 transfer by handle", false, deep, [] { return many<false>(deep).drive(); }},
    {"G7 instead: transfer by bool", true, deep, [] { return many<true>(deep).drive(); }},
#endif
    {"G9 alignas(64) in a frame", false, 0, [] { return several<g9>(); }},
    {"G9 instead: allocate it apart", true, 0, [] { return several<g9_instead_apart>(); }},
};

/// In the child: 0 worked, 1 wrong result, 2 never finished, 3 objects lost or destroyed twice.
int judge(const test_case& c) {
  std::optional<int> result = c.run();
  if (!result) return 2;
  if (*result != c.expected) return 1;
  return counted::live == 0 ? 0 : 3;
}

}  // namespace

int main() {
  int broken = 0;
  for (const test_case& c : cases) {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      alarm(60);
      if (!c.must_work) (void)!freopen("/dev/null", "w", stderr);
      _exit(judge(c));
    }
    int status = 0;
    waitpid(child, &status, 0);
    const char* verdict = "crashes";
    if (WIFEXITED(status)) {
      static const char* const verdicts[] = {"works", "wrong result", "never finishes",
                                             "destroys objects twice or never"};
      const int code = WEXITSTATUS(status);
      verdict = code < 4 ? verdicts[code] : "stopped by the sanitizer";
    }
    const bool works = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    std::printf("  %-40s %s%s\n", c.name, verdict, !works && c.must_work ? "  <-- must work" : "");
    if (!works && c.must_work) ++broken;
  }
  return broken ? 1 : 0;
}
