#include "oneloop/check/check.hpp"

#include <memory>
#include <utility>

#include "oneloop/check/crew_internal.hpp"
#include "oneloop/check/schedule_internal.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0 {

void check_summary::add(const check_result& r) noexcept {
  if (r.ok || !r.error) {
    ++ok_;
  } else {
    ++bad_;
    ++by_kind_[static_cast<std::size_t>(r.error->kind())];
  }
}

task<check_summary> check_urls(check_source source, check_sink sink, check_options options) {
  std::unique_ptr<detail::check_crew> crew;  // outlives its workers
  std::optional<check_summary> summary;
  co_await with_nursery([&](nursery& workers) -> task<> {
    crew = detail::make_crew(options, workers);
    auto prober = [&crew](check_result& r) -> task<detail::probe_outcome> {
      return crew->try_once(r);
    };
    detail::check_schedule schedule{std::move(source), std::move(sink),
                                    detail::check_prober{prober}, options};
    auto running = schedule.run();
    summary = co_await std::move(running);
    auto closing = crew->close();
    co_await std::move(closing);
  });
  co_return *summary;
}

task<check_summary> check_urls(std::vector<std::string> inputs, check_sink sink,
                               check_options options) {
  std::size_t next = 0;
  auto source = [&]() -> task<std::optional<std::string>> {
    std::optional<std::string> input;
    if (next < inputs.size()) input = std::move(inputs[next++]);
    co_return input;
  };
  auto running = check_urls(check_source{source}, std::move(sink), std::move(options));
  auto summary = co_await std::move(running);
  co_return summary;
}

task<check_summary> check_urls(channel<std::string>& inputs, channel<check_result>& results,
                               check_options options) {
  auto source = [&]() -> task<std::optional<std::string>> {
    auto input = inputs.try_receive();
    if (!input && !inputs.drained()) input = co_await inputs.receive();
    co_return input;
  };
  auto sink = [&](check_result r) -> task<> { co_await results.send(std::move(r)); };
  const struct closing {
    channel<check_result>& results;
    ~closing() {
      if (!results.closed()) results.close();
    }
  } at_end{results};
  auto running = check_urls(check_source{source}, check_sink{sink}, std::move(options));
  auto summary = co_await std::move(running);
  co_return summary;
}

}  // namespace oneloop::inline v0
