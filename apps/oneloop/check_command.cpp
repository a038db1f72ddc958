#include "check_command.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <optional>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "input.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/workers.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "output.hpp"
#include "report.hpp"

namespace tool {

using namespace std::chrono_literals;

namespace {
/// What stays open besides connections: standard streams, files, the loop's own.
constexpr std::uint64_t other_descriptors = 64;
constexpr std::uint64_t most_connections = 2 * 65535;
/// Verdicts that are found in the same moment are written together, up to this size.
constexpr std::size_t most_unwritten = std::size_t{64} * 1024;

std::size_t open_descriptors() {
  std::size_t n = 0;
  if (DIR* d = ::opendir("/proc/self/fd")) {
    while (::readdir(d) != nullptr) ++n;
    ::closedir(d);
  }
  return n;
}

/// Checks and connections at a time that the limit of open files has room for.
struct room {
  std::uint64_t checks;
  std::uint64_t connections;
};

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

room room_for(std::uint64_t wanted, oneloop::check_model model) {
  const std::uint64_t limit = raise_open_files();
  const std::uint64_t taken = open_descriptors() + other_descriptors;
  const auto each = descriptors_of_check(model);
  const auto free = limit > taken + each ? std::min(limit - taken, most_connections) : each;
  const auto checks = std::min(wanted, free / each);
  if (checks < wanted) {
    note(
        fmt::format("note: only {} check{} at a time and not {}: the limit of open files is {} "
                    "(ulimit -n)",
                    checks, checks == 1 ? "" : "s", wanted, limit));
  }
  return {checks, free - checks * (each - 1)};
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
  const auto room = room_for(model == oneloop::check_model::sequential ? 1 : wanted, model);
  client.per_host(per_host).max_connections(room.connections);
  s.options.client(std::move(client)).concurrency(room.checks);
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
        progress_{settings_.progress},
        report_{settings_.format} {
    settings_.options.progress(state_);
    if (progress_.shown()) total_ = input_.total();
  }

  oneloop::task<> run() {
    begun_ = now();
    const bool finished = co_await oneloop::with_scope(
        oneloop::scope_options{}, [this](oneloop::cancel_scope& scope) -> oneloop::task<> {
          auto supervised = supervise(scope);
          co_await std::move(supervised);
        });
    progress_.erase();
    summary_.took(now() - begun_);
    if (summary_.total() == 0 && signal_ == 0) co_return;
    // The document is closed also when it was cut short; but not for ever if nobody reads it.
    out_.add(report_.end(summary_));
    if (finished) {
      auto writing = flush();
      co_await std::move(writing);
    } else {
      auto writing = flush();
      auto soon = oneloop::move_on_after(250ms, std::move(writing));
      const bool written = co_await std::move(soon);
      if (!written) complain("standard output took no more: the report is cut short");
    }
    note(summary_line(summary_));
    if (input_.cut_short()) note("the rest of the lines was not read");
  }

  [[nodiscard]] const oneloop::check_summary& summary() const noexcept { return summary_; }
  /// The signal that ended it; 0 if none did.
  [[nodiscard]] int signal() const noexcept { return signal_; }

 private:
  [[nodiscard]] static oneloop::time_point now() {
    return oneloop::context::current().home()->now();
  }

  oneloop::task<> supervise(oneloop::cancel_scope& scope) {
    co_await oneloop::with_nursery([this, &scope](oneloop::nursery& n) -> oneloop::task<> {
      n.start(oneloop::named{"signals", wait_for_signal}, this, std::ref(scope));
      n.start(oneloop::named{"output", write_out}, this);
      if (progress_.shown()) n.start(oneloop::named{"progress", show_progress}, this);
      auto source = [this]() -> oneloop::task<std::optional<std::string>> { return input_.next(); };
      auto sink = [this](oneloop::check_result r) -> oneloop::task<> { return take(std::move(r)); };
      auto all = oneloop::check_urls(oneloop::check_source{source}, oneloop::check_sink{sink},
                                     settings_.options);
      (void)co_await std::move(all);
      n.cancel();
    });
  }

  static oneloop::task<> wait_for_signal(checking* self,
                                         std::reference_wrapper<oneloop::cancel_scope> scope) {
    {
      oneloop::signal_set stop{SIGINT, SIGTERM};
      self->signal_ = co_await stop.next();
    }
    // From here on the signals are as they were: another one ends the process at once.
    scope.get().cancel();
  }

  static oneloop::task<> show_progress(checking* self) {
    while (true) {
      co_await oneloop::sleep_for(100ms);
      progress_state s;
      s.done = self->summary_.total();
      s.total = self->total_;
      s.bad = self->summary_.bad();
      s.in_flight = self->state_.running;
      s.waiting = self->state_.waiting;
      s.time = now() - self->begun_;
      self->progress_.draw(s);
    }
  }

  /// Writes what there is, once a turn of the loop at most.
  static oneloop::task<> write_out(checking* self) {
    const struct leaving {
      checking& self;
      ~leaving() {
        self.writer_gone_ = true;
        self.written_.set();
      }
    } at_end{*self};
    while (true) {
      co_await self->something_.wait();
      self->something_.reset();
      auto flushing = self->flush();
      co_await std::move(flushing);
      self->written_.set();
    }
  }

  oneloop::task<> flush() {
    if (out_.is_terminal() || settings_.verbose) progress_.erase();
    auto writing = out_.flush();
    co_await std::move(writing);
    auto telling = err_.flush();
    co_await std::move(telling);
  }

  oneloop::task<> take(oneloop::check_result r) {
    summary_.add(r);
    out_.add(report_.result(r));
    if (settings_.verbose) err_.add(details(r));
    something_.set();
    if (out_.pending() < most_unwritten && err_.pending() < most_unwritten) co_return;
    if (writer_gone_) {
      auto flushing = flush();
      co_await std::move(flushing);
    } else {
      written_.reset();
      co_await written_.wait();
    }
  }

  url_input& input_;
  settings settings_;
  output out_{STDOUT_FILENO, "standard output"};
  output err_{STDERR_FILENO, "standard error"};
  progress_line progress_;
  std::optional<std::uint64_t> total_;
  report report_;
  oneloop::event something_;  // to be written
  oneloop::event written_;
  bool writer_gone_ = false;
  oneloop::check_summary summary_;
  oneloop::check_progress state_;
  oneloop::time_point begun_{};
  int signal_ = 0;
};

}  // namespace

std::uint64_t raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return most_connections;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

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
