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
#include <system_error>
#include <utility>

#include "arguments.hpp"
#include "input.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/signals.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/scope/timeout.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/run.hpp"
#include "output.hpp"
#include "report.hpp"

namespace tool {

using namespace std::chrono_literals;

const char* const check_examples =
    R"help(Standard output has one line for each URL, in the order in which they finish:
  http://a/ OK
  http://b/ Bad: 404 Not Found
  http://c/ Bad: connect 127.0.0.1:1: Connection refused
The summary, notes and the progress line go to standard error.

FILE has one URL on a line; blank lines and lines that begin with # are skipped.
A URL is OK if it leads, after redirects, to a status of 2xx. D is 500ms, 5s, 1m
or a number of seconds; it is for one request with its redirects, and "auto" may
need two: it asks by HEAD, and by GET where HEAD fails.

Exit status: 0 everything OK, 1 something Bad, 2 wrong usage, 130 after Ctrl-C
(what was unfinished is reported as cancelled; a second Ctrl-C ends at once), 143
after SIGTERM.

--format json writes one document, valid also after Ctrl-C:
  {"results": [{"url", "ok", "status", "final_url",
                "error": {"kind", "message"} or null, "bytes",
                "time_ms": {"dns", "connect", "tls", "first_byte", "total"}}, ...],
   "summary": {"total", "ok", "bad", "by_kind": {...}, "seconds"}}
kind is one of bad_url dns refused unreachable reset tls timeout protocol redirect
too_large status cancelled.

Examples:
  oneloop check https://example.org/ http://127.0.0.1:8080/
  oneloop check --from urls.txt -c 200 --timeout 5s
  grep -oh 'https\?://[^ )"]*' *.md | oneloop check --from - | grep ' Bad: '
  oneloop check --from urls.txt --format json > report.json
)help";

namespace {
/// What stays open besides connections: standard streams, files, the loop's own.
constexpr std::uint64_t other_descriptors = 64;

std::size_t open_descriptors() {
  std::size_t n = 0;
  if (DIR* d = ::opendir("/proc/self/fd")) {
    while (::readdir(d) != nullptr) ++n;
    ::closedir(d);
  }
  return n;
}

/// Raises the limit of open files as far as it goes; how many checks may run at a time under it.
std::uint64_t checks_under_limit(std::uint64_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = raised.rlim_max;
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  // A check may have two connection attempts under way at a time (IPv6 and IPv4).
  const std::uint64_t taken = open_descriptors() + other_descriptors;
  const std::uint64_t room = limit.rlim_cur > taken + 2 ? (limit.rlim_cur - taken) / 2 : 1;
  if (wanted <= room) return wanted;
  complain(
      fmt::format("note: only {} checks at a time and not {}: the limit of open files is {} "
                  "(ulimit -n)",
                  room, wanted, limit.rlim_cur));
  return room;
}

struct settings {
  oneloop::check_options options;
  report_format format = report_format::text;
};

settings read_settings(const check_arguments& a) {
  settings s;
  const auto n = parse_count("--concurrency", a.concurrency, 1, 65535);
  s.options.timeout(parse_duration("--timeout", a.timeout));
  if (a.method == "auto") {
    s.options.method(oneloop::check_method::automatic);
  } else if (a.method == "head") {
    s.options.method(oneloop::check_method::head);
  } else if (a.method == "get") {
    s.options.method(oneloop::check_method::get);
  } else {
    throw usage_error{fmt::format("--method {}: must be auto, head or get", a.method)};
  }
  if (a.format == "json") {
    s.format = report_format::json;
  } else if (a.format != "text") {
    throw usage_error{fmt::format("--format {}: must be text or json", a.format)};
  }
  if (a.backend != "auto" && a.backend != "epoll" && a.backend != "io_uring") {
    throw usage_error{fmt::format("--backend {}: must be auto, epoll or io_uring", a.backend)};
  }
  if (!a.ca_file.empty()) {
    if (::access(a.ca_file.c_str(), R_OK) != 0) {
      throw usage_error{
          fmt::format("--cacert {}: {}", a.ca_file, std::generic_category().message(errno))};
    }
    try {
      oneloop::net::tls_client_options trial;
      trial.ca_file = a.ca_file;
      (void)oneloop::net::tls_context::client(trial);
    } catch (const oneloop::error& e) {
      throw usage_error{fmt::format("--cacert {}: {}", a.ca_file, e.what())};
    }
    s.options.ca_file(a.ca_file);
  }
  if (a.urls.empty() && a.files.empty()) {
    throw usage_error{
        "no URL given: name URLs, or a file of them with --from FILE (- is standard "
        "input)"};
  }
  s.options.insecure(a.insecure);
  s.options.concurrency(checks_under_limit(n));
  // After Ctrl-C the process is to be gone within a second.
  s.options.last_words(600ms);
  return s;
}

/// One run of the command, on a loop.
class checking {
 public:
  checking(url_input& input, settings s)
      : input_{input}, settings_{std::move(s)}, report_{settings_.format} {}

  oneloop::task<> run() {
    const auto begun = now();
    begun_ = begun;
    bool finished = false;
    finished = co_await oneloop::with_scope(
        oneloop::scope_options{}, [this](oneloop::cancel_scope& scope) -> oneloop::task<> {
          auto supervised = supervise(scope);
          co_await std::move(supervised);
        });
    progress_.erase();
    summary_.took(now() - begun);
    if (summary_.total() == 0 && signal_ == 0) co_return;
    // The document is closed also when it was cut short; but not for ever if nobody reads it.
    const std::string end = std::move(text_) + report_.end(summary_);
    bool written = true;
    if (finished) {
      auto writing = out_.write(end);
      co_await std::move(writing);
    } else {
      written = co_await oneloop::move_on_after(300ms, out_.write(end));
    }
    if (!written) complain("standard output took no more: the report is cut short");
    complain(summary_line(summary_));
    if (input_.cut_short()) complain("the rest of the lines was not read");
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
      s.given = self->input_.given();
      s.done = self->summary_.total();
      s.bad = self->summary_.bad();
      s.time = now() - self->begun_;
      self->progress_.draw(s);
    }
  }

  oneloop::task<> take(oneloop::check_result r) {
    summary_.add(r);
    text_ += report_.result(r);
    // A line at once; but when much is left to be said in little time, a page at once.
    if (signal_ != 0 && text_.size() < 4096) co_return;
    if (out_.is_terminal()) progress_.erase();
    const std::string text = std::exchange(text_, {});
    auto writing = out_.write(text);
    co_await std::move(writing);
  }

  url_input& input_;
  settings settings_;
  output out_;
  progress_line progress_;
  report report_;
  std::string text_;  // not written yet
  oneloop::check_summary summary_;
  oneloop::time_point begun_{};
  int signal_ = 0;
};

}  // namespace

int check_command(check_arguments arguments) {
  settings s = read_settings(arguments);
  url_input input{std::move(arguments.urls), std::move(arguments.files)};
  if (arguments.insecure) {
    complain(
        "warning: --insecure: certificates are not verified, anybody could answer in place of "
        "the servers");
  }
  std::optional<oneloop::loop> loop;
  try {
    // "auto" leaves the choice to the environment (ONELOOP_BACKEND), else to the library.
    loop.emplace(arguments.backend == "auto" ? std::string{} : arguments.backend);
  } catch (const oneloop::error& e) {
    throw usage_error{fmt::format("--backend {}: {}", arguments.backend, e.what())};
  }
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

}  // namespace tool
