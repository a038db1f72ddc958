#include "crawl_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>

#include "arguments.hpp"
#include "check_command.hpp"
#include "crawl_report.hpp"
#include "destination.hpp"
#include "foreground.hpp"
#include "globs.hpp"
#include "input.hpp"
#include "oneloop/check/crawl.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/task/run.hpp"
#include "open_files.hpp"
#include "output.hpp"
#include "report_plan.hpp"
#include "small_file.hpp"

namespace tool {

using namespace std::chrono_literals;

namespace {

/// Descriptors of one request under way: two connection attempts at a time (IPv6 and IPv4).
constexpr std::uint64_t descriptors_of_request = 2;
constexpr std::size_t most_starts = 1'000'000;

struct settings {
  oneloop::crawl_options options;
  std::vector<planned_report> reports;
  std::string state_file;
  bool progress = true;
  bool verbose = false;
  bool quiet = false;
};

bool is_on(std::string_view option, const std::string& text) {
  return parse_choice(option, text, on_off_names) == 0;
}

/// Patterns, a line each; blank lines and those with "#" in front are none.
void read_ignored(const std::string& file, oneloop::frontier_options& to) {
  const std::string text = read_small_file("--ignore-file", file);
  std::string_view rest = text;
  for (std::size_t line = 1; !rest.empty(); ++line) {
    auto pattern = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(pattern.size() + 1, rest.size()));
    while (!pattern.empty() && (pattern.back() == '\r' || pattern.back() == ' ')) {
      pattern.remove_suffix(1);
    }
    pattern.remove_prefix(std::min(pattern.find_first_not_of(" \t"), pattern.size()));
    if (pattern.empty() || pattern.front() == '#') continue;
    try {
      to.exclude(parse_pattern("--ignore-file", pattern));
    } catch (const bad_option& e) {
      throw usage_error{fmt::format("{}:{}: {}: {}", file, line, pattern, e.why())};
    }
  }
}

oneloop::frontier_options frontier_of(const crawl_arguments& a) {
  constexpr auto most = std::numeric_limits<std::uint32_t>::max();
  oneloop::frontier_options f;
  if (a.level) f.level(static_cast<std::uint32_t>(parse_count("--level", *a.level, 0, most)));
  if (a.limit) f.limit(parse_count("--limit", *a.limit, 1, most));
  f.external(
      static_cast<oneloop::external_links>(parse_choice("--external", a.external, external_names)));
  for (const auto& p : a.include) f.include(parse_pattern("--include", p));
  for (const auto& p : a.exclude) f.exclude(parse_pattern("--exclude", p));
  for (const auto& file : a.ignore_files) read_ignored(file, f);
  for (const auto& p : a.internal) f.internal(parse_pattern("--internal", p));
  std::vector<std::string> schemes;
  for (const auto& text : a.schemes) {
    for (auto& name : parse_schemes("--scheme", text)) schemes.push_back(std::move(name));
  }
  if (!schemes.empty()) f.schemes(std::move(schemes));
  return f;
}

oneloop::limiter_options limiter_of(const crawl_arguments& a) {
  oneloop::limiter_options l;
  if (a.per_host) {
    const auto n = parse_count("--per-host", *a.per_host, 1, 65535);
    l.per_host(n).per_loopback_host(n);
  }
  for (const auto& text : a.rates) l.rate(parse_rate("--rate", text));
  return l;
}

oneloop::check_options checks_of(const crawl_arguments& a, oneloop::crawl_options& to) {
  oneloop::check_options o;
  const auto wanted = parse_count("--concurrency", a.concurrency, 1, 65535);
  o.retries(static_cast<int>(parse_count("--retries", a.retries, 0, 10)));
  o.backoff(parse_duration("--retry-delay", a.retry_delay));
  o.timeout(parse_duration("--timeout", a.transport.timeout));
  o.method(static_cast<oneloop::check_method>(parse_choice("--method", a.method, method_names)));
  std::optional<oneloop::status_set> everywhere;
  for (const auto& text : a.accept) {
    auto accepted = parse_accept("--accept", text);
    if (!accepted.hosts.empty()) {
      to.accept(std::move(accepted.hosts), accepted.statuses);
    } else if (everywhere) {
      throw bad_option{"--accept", text, "there is a list for all hosts already: write 200,304"};
    } else {
      everywhere = accepted.statuses;
    }
  }
  if (everywhere) o.accept(*everywhere);
  auto client = client_options_of(a.transport);
  const auto room = room_for(wanted, descriptors_of_request, "request");
  // How many of them may go to one host is the limiter's affair.
  client.per_host(room.connections).max_connections(room.connections);
  o.client(std::move(client)).concurrency(room.checks).cookies(cookies_of(a.transport));
  // After Ctrl-C the process is to be gone within a second.
  o.last_words(400ms);
  return o;
}

void say_where_files_are(const crawl_arguments& a, oneloop::crawl_options& to) {
  if (a.base) {
    auto base = oneloop::url::parse(*a.base);
    if (!base) throw bad_option{"--base", *a.base, base.error().message()};
    if (base->has_opaque_path()) {
      throw bad_option{"--base", *a.base, "nothing can be relative to it"};
    }
    to.base(*std::move(base));
  }
  if (a.root_dir) {
    std::error_code error;
    if (!std::filesystem::is_directory(*a.root_dir, error)) {
      throw bad_option{"--root-dir", *a.root_dir,
                       error ? error.message() : std::string{"not a directory"}};
    }
    to.root_dir(*a.root_dir);
  }
  for (const auto& text : a.remap) {
    auto r = parse_remap("--remap", text);
    to.remap(std::move(r.pattern), std::move(r.to));
  }
}

settings read_settings(const crawl_arguments& a) {
  settings s;
  s.reports = plan_reports(a.formats, a.outputs);
  (void)parse_choice("--backend", a.transport.backend, backend_names);
  oneloop::crawl_options& o = s.options;
  o.frontier(frontier_of(a)).limiter(limiter_of(a)).check(checks_of(a, o));
  o.robots(is_on("--robots", a.robots));
  if (!a.transport.agent.empty()) o.agent(a.transport.agent);
  o.fragments(a.fragments).code_blocks(a.code_blocks).dump(a.dump).offline(a.offline);
  for (const auto& p : a.fragment_exclude) {
    o.fragment_exclude(parse_pattern("--fragment-exclude", p));
  }
  o.mail(parse_choice("--mailto", a.mailto, check_skip_names) == 0);
  o.telephone(parse_choice("--tel", a.telephone, check_skip_names) == 0);
  say_where_files_are(a, o);
  if (!a.state.empty()) o.state_file(a.state);
  const auto age = parse_duration("--max-age", a.max_age.value_or("24h"), std::chrono::days{365});
  if (!a.cache.empty()) {
    o.cache_file(a.cache, age);
  } else if (a.max_age) {
    throw bad_option{"--max-age", *a.max_age, "of which cache? Name it with --cache"};
  }
  o.max_page(parse_size("--max-page", a.max_page));
  s.state_file = a.state;
  s.progress = !a.no_progress && !a.transport.quiet;
  s.verbose = a.transport.verbose;
  s.quiet = a.transport.quiet;
  return s;
}

/// The starts that stand on the command line, and the files that have more of them.
url_input starts_of(const crawl_arguments& a) {
  std::vector<std::string> starts, files = a.files;
  for (const auto& text : a.starts) {
    if (text == "-") {
      files.push_back(text);
    } else if (text.empty()) {
      throw usage_error{"an argument is empty: name a URL, a file or a directory"};
    } else if (is_glob(text)) {
      auto found = expand_glob(text);
      // "example.org/?q=a" looks like one too; no host has a star.
      if (found.empty() && text.find('*') != text.npos) {
        throw usage_error{fmt::format("{}: there is no such file", text)};
      }
      if (found.empty()) found.push_back(text);
      std::ranges::move(found, std::back_inserter(starts));
    } else {
      starts.push_back(text);
    }
  }
  if (starts.empty() && files.empty()) {
    throw usage_error{
        "nothing to crawl: name URLs, files or directories (- is a list on standard input)"};
  }
  return {std::move(starts), std::move(files)};
}

/// One report on its way.
struct writing {
  writing(const planned_report& plan, bool verbose)
      : writer{crawl_writer::make(plan.format, verbose)} {
    if (!plan.file.empty()) file.emplace(plan.file);
  }
  std::unique_ptr<crawl_writer> writer;
  std::optional<destination> file;  // nothing: standard output
};

/// One run of the command, on a loop.
class crawling {
 public:
  crawling(url_input& input, settings s)
      : input_{input}, settings_{std::move(s)}, at_work_{settings_.progress} {
    try {
      for (const auto& plan : settings_.reports) {
        auto& w = *reports_.emplace_back(std::make_unique<writing>(plan, settings_.verbose));
        if (w.file) at_work_.also(w.file->out());
      }
    } catch (const usage_error&) {
      give_up();
      throw;
    }
    settings_.options.progress(state_);
  }

  oneloop::task<> run() {
    begun_ = now();
    for (const auto& w : reports_) out_of(*w).add(w->writer->begin());
    auto work = [this] { return crawl(); };
    auto line = [this](bool colours, std::size_t width) {
      return crawl_progress_text(state_, now() - begun_, colours, width);
    };
    auto running = at_work_.run(work, line);
    co_await std::move(running);
    if (nothing_given_) co_return;
    // Documents are closed also when the crawl was cut short.
    for (const auto& w : reports_) out_of(*w).add(w->writer->end(report_));
    if (settings_.verbose) {
      for (const auto& h : report_.hosts) at_work_.err().add(line_about(h));
    }
    auto finishing = at_work_.finish();
    co_await std::move(finishing);
    for (const auto& w : reports_) {
      if (!w->file) continue;
      w->file->out().pending() == 0 ? w->file->keep() : w->file->give_up();
    }
    note(crawl_summary_line(report_));
    if (signal() != 0 && !settings_.state_file.empty()) {
      note(printable(
          fmt::format("interrupted: the same command goes on from here, its state is in {}",
                      settings_.state_file)));
    }
  }

  /// Something went wrong: says where what there is of the reports can be found.
  void give_up() {
    for (const auto& w : reports_) {
      if (w->file) w->file->give_up();
    }
  }

  /// There was no start in what was to be read.
  [[nodiscard]] bool nothing_given() const noexcept { return nothing_given_; }
  [[nodiscard]] int signal() const noexcept { return at_work_.signal(); }
  [[nodiscard]] const oneloop::crawl_report& report() const noexcept { return report_; }

 private:
  [[nodiscard]] static oneloop::time_point now() {
    return oneloop::context::current().home()->now();
  }

  [[nodiscard]] output& out_of(writing& w) { return w.file ? w.file->out() : at_work_.out(); }

  static std::string line_about(const oneloop::crawl_host& h) {
    const auto ms = [](oneloop::duration d) {
      return std::chrono::duration<double, std::milli>(d).count();
    };
    return printable(fmt::format(
               "oneloop: {}: {} request{}, {} bad, {} pause{}, {:.1f} ms each, {:.1f} ms at most",
               h.name, h.requests, h.requests == 1 ? "" : "s", h.bad, h.pauses,
               h.pauses == 1 ? "" : "s", ms(h.mean), ms(h.slowest))) +
           "\n";
  }

  oneloop::task<> crawl() {
    std::vector<std::string> starts;
    while (true) {
      auto reading = input_.next();
      auto start = co_await std::move(reading);
      if (!start) break;
      if (starts.size() == most_starts) {
        throw usage_error{fmt::format("more than {} starts", most_starts)};
      }
      starts.push_back(*std::move(start));
    }
    if (!input_.failure().empty()) throw usage_error{input_.failure()};
    oneloop::context::current().checkpoint();
    nothing_given_ = starts.empty();
    if (nothing_given_) co_return;
    auto sink = [this](oneloop::crawl_event e) { return take(std::move(e)); };
    auto all = oneloop::crawl(std::move(starts), oneloop::crawl_sink{sink},
                              std::move(settings_.options), &report_);
    auto report = co_await std::move(all);
    report_ = std::move(report);
  }

  oneloop::task<> take(oneloop::crawl_event e) {
    if (const auto* n = std::get_if<oneloop::crawl_note>(&e); n != nullptr && !settings_.quiet) {
      at_work_.err().add("oneloop: " + printable(n->text) + "\n");
    }
    for (const auto& w : reports_) out_of(*w).add(w->writer->event(e));
    return at_work_.said();
  }

  url_input& input_;
  settings settings_;
  foreground at_work_;
  std::vector<std::unique_ptr<writing>> reports_;
  oneloop::crawl_progress state_;
  oneloop::crawl_report report_;
  oneloop::time_point begun_{};
  bool nothing_given_ = false;
};

}  // namespace

int crawl_command(crawl_arguments arguments) {
  if (arguments.transport.quiet) no_notes();
  settings s = read_settings(arguments);
  auto input = starts_of(arguments);
  std::optional<oneloop::loop> loop;
  make_loop(loop, arguments.transport.backend);
  crawling work{input, std::move(s)};
  try {
    oneloop::run(*loop, work.run());
  } catch (const usage_error&) {
    work.give_up();
    throw;
  } catch (const oneloop::error& e) {
    work.give_up();
    complain(printable(e.what()));
    return exit_usage;
  }
  if (work.signal() != 0) return 128 + work.signal();
  if (work.nothing_given()) {
    work.give_up();
    throw usage_error{"nothing to crawl in what was read"};
  }
  if (!work.report().broken.empty()) return exit_bad;
  return work.report().fragments.empty() ? exit_ok : exit_fragments;
}

}  // namespace tool
