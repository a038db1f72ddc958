#include "check_command.hpp"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "foreground.hpp"
#include "input.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/workers.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/task/run.hpp"
#include "open_files.hpp"
#include "output.hpp"
#include "report.hpp"

namespace tool {

using namespace std::chrono_literals;

namespace {
/// Descriptors of one check under way. It may have two connection attempts at a time (IPv6 and
/// IPv4), and every connection may be one of a check; a thread's loop takes three itself, a worker
/// process three in its parent.
std::uint64_t descriptors_of_check(oneloop::check_model m) {
  switch (m) {
    case oneloop::check_model::threads:
    case oneloop::check_model::futures: return 5;
    case oneloop::check_model::processes: return 3;
    default: return 2;
  }
}

struct settings {
  oneloop::check_options options;
  report_format format = report_format::text;
  bool progress = true;
  bool verbose = false;
};

settings read_settings(const check_arguments& a) {
  settings s;
  const auto wanted = parse_count("--concurrency", a.concurrency, 1, 65535);
  const auto per_host = parse_count("--per-host", a.per_host, 1, 65535);
  s.options.retries(static_cast<int>(parse_count("--retries", a.retries, 0, 10)));
  s.options.backoff(parse_duration("--retry-delay", a.retry_delay));
  s.options.timeout(parse_duration("--timeout", a.transport.timeout));
  s.options.accept(parse_statuses("--accept", a.accept));
  s.options.method(
      static_cast<oneloop::check_method>(parse_choice("--method", a.method, method_names)));
  const auto model =
      static_cast<oneloop::check_model>(parse_choice("--model", a.model, model_names));
  s.options.model(model).worker_arguments(a.for_workers);
  s.format = static_cast<report_format>(parse_choice("--format", a.format, format_names));
  (void)parse_choice("--backend", a.transport.backend, backend_names);
  auto client = client_options_of(a.transport);
  const auto room = room_for(model == oneloop::check_model::sequential ? 1 : wanted,
                             descriptors_of_check(model), "check");
  client.per_host(per_host).max_connections(room.connections);
  s.options.client(std::move(client)).concurrency(room.checks).cookies(cookies_of(a.transport));
  // After Ctrl-C the process is to be gone within a second.
  s.options.last_words(400ms);
  s.progress = !a.no_progress && !a.transport.quiet;
  s.verbose = a.transport.verbose;
  return s;
}

/// One run of the command, on a loop.
class checking {
 public:
  checking(url_input& input, settings s)
      : input_{input},
        settings_{std::move(s)},
        at_work_{settings_.progress},
        report_{settings_.format} {
    settings_.options.progress(state_);
    if (at_work_.shows_progress()) total_ = input_.total();
  }

  oneloop::task<> run() {
    begun_ = now();
    auto checks = [this] { return check(); };
    auto line = [this](bool colours, std::size_t width) { return progress(colours, width); };
    auto running = at_work_.run(checks, line);
    co_await std::move(running);
    summary_.took(now() - begun_);
    if (summary_.total() == 0 && signal() == 0) co_return;
    // The document is closed also when it was cut short.
    at_work_.out().add(report_.end(summary_));
    auto finishing = at_work_.finish();
    co_await std::move(finishing);
    note(summary_line(summary_));
    if (input_.cut_short()) note("the rest of the lines was not read");
  }

  [[nodiscard]] const oneloop::check_summary& summary() const noexcept { return summary_; }
  /// The signal that ended it; 0 if none did.
  [[nodiscard]] int signal() const noexcept { return at_work_.signal(); }

 private:
  [[nodiscard]] static oneloop::time_point now() {
    return oneloop::context::current().home()->now();
  }

  oneloop::task<> check() {
    auto source = [this]() -> oneloop::task<std::optional<std::string>> { return input_.next(); };
    auto sink = [this](oneloop::check_result r) -> oneloop::task<> { return take(std::move(r)); };
    auto all = oneloop::check_urls(oneloop::check_source{source}, oneloop::check_sink{sink},
                                   settings_.options);
    (void)co_await std::move(all);
  }

  [[nodiscard]] std::string progress(bool colours, std::size_t width) const {
    progress_state s;
    s.done = summary_.total();
    s.total = total_;
    s.bad = summary_.bad();
    s.in_flight = state_.running;
    s.waiting = state_.waiting;
    s.time = now() - begun_;
    return progress_text(s, colours, width);
  }

  oneloop::task<> take(oneloop::check_result r) {
    summary_.add(r);
    at_work_.out().add(report_.result(r));
    if (settings_.verbose) at_work_.err().add(details(r));
    return at_work_.said();
  }

  url_input& input_;
  settings settings_;
  foreground at_work_;
  std::optional<std::uint64_t> total_;
  report report_;
  oneloop::check_summary summary_;
  oneloop::check_progress state_;
  oneloop::time_point begun_{};
};

}  // namespace

int check_command(check_arguments arguments) {
  if (arguments.transport.quiet) no_notes();
  settings s = read_settings(arguments);
  if (arguments.urls.empty() && arguments.files.empty()) {
    throw usage_error{
        "no URL given: name URLs, or a file of them with --from FILE (- is standard input)"};
  }
  url_input input{std::move(arguments.urls), std::move(arguments.files)};
  std::optional<oneloop::loop> loop;
  make_loop(loop, arguments.transport.backend);
  checking work{input, std::move(s)};
  oneloop::run(*loop, work.run());
  if (!input.failure().empty()) {
    complain(input.failure());
    return exit_usage;
  }
  if (work.signal() != 0) return 128 + work.signal();
  if (work.summary().total() == 0) throw usage_error{"no URL in what --from names"};
  return work.summary().bad() == 0 ? exit_ok : exit_bad;
}

int serve_check_command(const check_arguments& arguments, oneloop::process::message_pipe& parent) {
  no_notes();
  settings s = read_settings(arguments);
  std::optional<oneloop::loop> loop;
  make_loop(loop, arguments.transport.backend);
  oneloop::run(*loop, oneloop::serve_checks(parent, std::move(s.options)));
  return exit_ok;
}

}  // namespace tool
