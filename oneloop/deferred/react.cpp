#include "oneloop/deferred/react.hpp"

#include <csignal>
#include <exception>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/run.hpp"

namespace oneloop::inline v0 {
namespace {

struct reactor final : loop_extension {
  explicit reactor(loop&) {}
  std::vector<std::move_only_function<deferred<>()>> before;
  std::vector<std::move_only_function<void()>> after;
  event stop;
};

reactor& current_reactor(const char* what) {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{what};
  return l->extension<reactor>();
}

int exit_code(const failure& f, bool stopped) {
  if (const auto* e = f.as<system_exit>()) return e->code();
  if (stopped && f.check<cancelled>()) return 0;
  log(severity::error, "react: main failed: " + f.what());
  return 1;
}

task<int> react_until_end(std::move_only_function<deferred<int>()> main) {
  reactor& r = current_reactor("react");
  const auto stopped = std::make_shared<bool>(false);
  const auto code = main().add_both([stopped](const std::expected<int, failure>& end) {
    return end ? *end : exit_code(end.error(), *stopped);
  });
  {
    signal_set signals{SIGINT, SIGTERM};
    auto first = co_await first_of(code, signals.next(), r.stop.wait());
    *stopped = first.index() != 0;
  }
  for (std::size_t i = 0; i < r.before.size(); ++i) {
    try {
      auto d = r.before[i]();
      co_await std::move(d);
    } catch (const std::exception& e) {
      log(severity::error, std::string{"react: before_shutdown: "} + e.what());
    }
  }
  if (*stopped) code.cancel();
  co_return co_await code;
}

}  // namespace

void stop_reactor() { current_reactor("stop_reactor").stop.set(); }

void after_shutdown(std::move_only_function<void()> f) {
  current_reactor("after_shutdown").after.push_back(std::move(f));
}

namespace detail {

void add_before_shutdown(std::move_only_function<deferred<>()> f) {
  current_reactor("before_shutdown").before.push_back(std::move(f));
}

int run_reactor(loop& l, std::move_only_function<deferred<int>()> main) {
  int code = 0;
  try {
    code = run(l, react_until_end(std::move(main)));
  } catch (...) {
    code = exit_code(failure{std::current_exception()}, false);
  }
  reactor& r = l.extension<reactor>();
  r.before.clear();  // the loop may be given to another react
  r.stop.reset();
  for (auto& f : std::exchange(r.after, {})) f();
  return code;
}

}  // namespace detail
}  // namespace oneloop::inline v0
