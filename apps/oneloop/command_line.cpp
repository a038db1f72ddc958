#include "command_line.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "demo.hpp"
#include "report.hpp"

namespace tool {
namespace {

/// CLI11's, without the second blank line between groups.
class help_format : public CLI::Formatter {
 public:
  help_format() {
    column_width(32);
    label("SUBCOMMAND", "COMMAND");
    label("OPTIONS", "OPTION...");
  }
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override {
    std::string text = Formatter::make_help(app, std::move(name), mode);
    for (auto at = text.find("\n\n\n"); at != text.npos; at = text.find("\n\n\n"))
      text.erase(at, 1);
    return text;
  }
};

/// An option that may be given several times, with one value each.
CLI::Option* add_repeated(CLI::App& to, const char* names, std::vector<std::string>& values,
                          const char* text) {
  return to.add_option(names, values, text)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

const std::vector<section> tool_sections{
    {"Examples", R"(  oneloop check https://example.org/ http://127.0.0.1:8080/
  oneloop check --from urls.txt -c 200 --timeout 5s
  oneloop get -i https://example.org/
  oneloop demo

oneloop COMMAND --help tells more.
)"},
    {"Environment",
     R"(http_proxy, https_proxy, all_proxy, no_proxy (and all but the first in capitals): the proxies
to use, unless --proxy says otherwise. An entry of no_proxy is a host (with all below it), an
address, a range of addresses, each with an optional port, or * for everything.

NO_COLOR: if it is not empty, no colours.

ONELOOP_BACKEND: epoll or io_uring, where --backend is auto.
)"}};

const std::vector<section> check_sections{
    {"Verdicts", R"(Standard output has one line for each URL, in the order in which they finish:

  http://a/ OK
  http://b/ Bad: 404 Not Found
  http://c/ Bad: connect 127.0.0.1:1: Connection refused

The summary, notes and the progress line go to standard error. Every line of the input gets its
verdict, equal lines too. A URL is OK if it leads, after redirects, to a status that --accept
names.

--format json writes one document, valid also after Ctrl-C; --format ndjson one result a line,
as soon as it is there, and no summary:

  {"results": [{"url", "ok", "status", "final_url",
                "error": {"kind", "message"} or null,
                "redirects": [{"status", "from", "to"}, ...], "attempts", "bytes",
                "time_ms": {"dns", "connect", "tls", "first_byte", "total"}}, ...],
   "summary": {"total", "ok", "bad", "by_kind": {...}, "seconds"}}

kind is one of bad_url dns refused unreachable reset tls timeout protocol redirect too_large
status proxy forbidden cancelled.
)"},
    {"Files",
     R"(FILE has one URL on a line; blank lines and lines that begin with # are skipped. Files of any
length take the same memory.
)"},
    {"How it asks",
     R"(D is 500ms, 5s, 1m or a number of seconds. --timeout is for one request with its redirects;
"auto" may need two, as it asks by HEAD, and by GET where HEAD fails (400, 403, 404, 405, 406,
429, 5xx, no answer, or a broken one). Cookies are kept from one redirect to the next.

What may be better in a moment (5xx, 408, 429, timeouts, broken connections) is tried again at
the end, or while the input has nothing new: the n-th time after a random delay of up to 2^(n-1)
times --retry-delay, at most 30s. A server that says when to come back (Retry-After,
RateLimit-Reset) is left alone until then; if that is more than a minute, its answer is the
verdict.

-H 'Name: value' is sent with every request, but after a redirect to another site only if it is
nothing secret (Accept, Accept-Language and the like); -H 'example.org: Name: value' is for that
host alone. A host is told by a dot in it, by brackets, or by being localhost.
)"},
    {"Models",
     R"(What stands for one check under way; -c says how many there may be. Verdicts, limits, retries
and output are the same in all of them; race compares what they cost.

  sequential  nothing: one check at a time, whatever -c says
  threads     a thread, with a loop in place
  processes   a worker process, which is this program started again
  callbacks   a chain of callbacks on one loop
  green       a green thread on one loop
  async       a coroutine on one loop
  channels    a coroutine that takes URLs from one channel and answers into another
  futures     a future, and a thread of a pool

In threads, processes and futures a connection serves one request, and --per-host counts the
checks of URLs of that host: where redirects lead is not counted.
)"},
    {"Exit status", R"(  0    everything is OK
  1    something is Bad
  2    wrong usage, or input that cannot be read
  130  after Ctrl-C: what was unfinished is reported, as cancelled or with its last verdict;
       a second Ctrl-C ends at once
  143  after SIGTERM, in the same way
)"},
    {"Examples", R"help(  oneloop check https://example.org/ http://127.0.0.1:8080/
  oneloop check --from urls.txt -c 200 --timeout 5s --retries 0
  grep -oh 'https\?://[^ )"]*' *.md | oneloop check --from - | grep ' Bad: '
  oneloop check --from urls.txt --format json > report.json
  oneloop check --from urls.txt --format ndjson | jq -r 'select(.ok | not) | .url'
  oneloop check -H 'api.example.org: Authorization: Bearer 123' https://api.example.org/
  oneloop check --resolve example.org:443:127.0.0.1 --cacert test-ca.pem https://example.org/
)help"}};

const std::vector<section> get_sections{
    {"What it prints",
     R"(The body goes to standard output as it comes, without its content coding (gzip and the like).
Whatever goes wrong is told on standard error; what had come by then stays written.

With -o, FILE is replaced when all of the body has come, from a status below 400. Otherwise FILE
stays as it was, and what has come is in FILE.part.

Redirects are followed, with the cookies that they set. D is 500ms, 5s, 1m or a number of
seconds.
)"},
    {"Exit status", R"(  0    a whole response with a status below 400
  1    anything else: no answer, a broken one, a status of 400 and above
  2    wrong usage
)"},
    {"Examples", R"(  oneloop get https://example.org/ > page.html
  oneloop get -I --no-follow http://example.org/
  oneloop get -i --user 'example.org=me:secret' https://example.org/private
  oneloop get -o data.json --timeout 1m https://example.org/data.json || echo failed
)"}};

const std::vector<section> race_sections{
    {"What it measures",
     R"(The job: a site inside this process has N pages, each of which takes D to come; every tenth
does not exist. Each model checks them in a fresh process, "oneloop check --model MODEL"; see
there for the models. Then the table: wall time from its start to its end; CPU time, user and
system; peak memory; threads at a time, at most; context switches; and what one more check under
way takes in memory, its connection and all. All its processes count: for processes, the worker
processes too (of their memory what is theirs alone, and at least one thread each).

--format json:

  {"models": [{"model", "wall_ms", "cpu_ms", "peak_kb", "threads", "switches", "ok", "bad",
               "bytes_per_task"}, ...]}
)"},
    {"With --cpu",
     R"(Two jobs that compute and never wait (fib), about --job long each, one after another and in
parallel; the median of five rounds. To the models comes "pool": coroutines that hand such jobs to
all cores (on_pool).

  {"models": [{"model", "one_after_another_ms", "parallel_ms", "speedup"}, ...], "cores"}
)"},
    {"Exit status", R"(  0    every model found what there is to be found
  1    a model failed, or gave a wrong verdict
  2    wrong usage
)"},
    {"Examples", R"(  oneloop race
  oneloop race --urls 1000 --delay 200ms --models async,green,threads
  oneloop race --cpu --format json
)"}};

/// An empty name comes from a variable that is not set, and means no wish to do without a file.
CLI::Validator names_a_file() {
  return {[](const std::string& name) -> std::string {
            return name.empty() ? "the name of the file is empty" : "";
          },
          ""};
}

}  // namespace

command_line::command_line(std::string version)
    : version_{std::move(version)},
      app_{"One loop, every concurrency model: the command-line tool of oneloop.", "oneloop"} {
  app_.set_version_flag("--version", "oneloop " + version_, "Print the version and exit");
  app_.set_help_flag("-h,--help", "Print this help and exit");
  app_.formatter(std::make_shared<help_format>());
  app_.require_subcommand(1);
  app_.fallthrough(false);
  add_check();
  add_get();
  add_race();
  CLI::App* demo = app_.add_subcommand(
      "demo",
      "Check 200 URLs of a site inside this process, one at a time, all at once, in each model");
  CLI::App* shells =
      app_.add_subcommand("completions", "Print what a shell needs to complete these commands");
  shells->add_option("SHELL", shell_, "bash, zsh or fish")->required()->type_name("bash|zsh|fish");
  CLI::App* manual = app_.add_subcommand("man", "Print the manual page, for man -l -");
  for (CLI::App* command : app_.get_subcommands({})) command->group("Commands");
  document(app_, tool_sections);
  document(*demo, {});
  document(*shells, {{"Examples",
                      "  source <(oneloop completions bash)\n"
                      "  oneloop completions zsh > ~/.zfunc/_oneloop\n"
                      "  oneloop completions fish | source\n"}});
  document(*manual, {{"Examples", "  oneloop man | man -l -\n"}});
}

void command_line::document(CLI::App& of, std::vector<section> sections) {
  std::string footer;
  for (const auto& s : sections) {
    if (!footer.empty()) footer += "\n";
    footer += s.title + ":\n" + s.text;
  }
  if (!footer.empty()) footer.pop_back();
  of.footer(footer);
  sections_[&of] = std::move(sections);
}

void command_line::add_transport(CLI::App& to, transport_arguments& a, const char* timeout) {
  const char* const requests = "Requests";
  to.add_option("--timeout", a.timeout, timeout)
      ->type_name("D")
      ->capture_default_str()
      ->group(requests);
  to.add_option("--connect-timeout", a.connect_timeout,
                "Of that for the name, the connection and TLS, each")
      ->type_name("D")
      ->capture_default_str()
      ->group(requests);
  to.add_option("--redirects", a.redirects, "Redirects that are followed, 0 to 100")
      ->type_name("N")
      ->capture_default_str()
      ->group(requests);
  add_repeated(to, "-H,--header", a.fields,
               "A header field, 'Name: value', or for one host,\n'example.org: Name: value'")
      ->type_name("FIELD")
      ->group(requests);
  to.add_option("-A,--user-agent", a.agent, "The User-Agent")->type_name("AGENT")->group(requests);
  add_repeated(to, "--user", a.users, "For a host, 'host=name:password' (Basic)")
      ->type_name("USER")
      ->group(requests);

  const char* const connections = "Connections";
  to.add_option("--cacert", a.ca_file, "Trust the authorities in FILE (PEM), not the system's")
      ->type_name("FILE")
      ->check(names_a_file())
      ->group(connections);
  to.add_option("--cert", a.certificate, "Our own certificate (PEM), for servers that ask")
      ->type_name("FILE")
      ->check(names_a_file())
      ->group(connections);
  to.add_option("--key", a.key, "Its key (PEM), unless it is in the same file")
      ->type_name("FILE")
      ->check(names_a_file())
      ->group(connections);
  to.add_flag("--insecure", a.insecure, "Do not verify certificates")->group(connections);
  add_repeated(to, "--resolve", a.resolve, "HOST:PORT:ADDRESS, go to ADDRESS without a lookup")
      ->type_name("HOST")
      ->group(connections);
  to.add_option_function<std::string>(
        "--proxy", [&a](const std::string& url) { a.proxy = url; },
        "http, https, socks5 or socks5h proxy; none: no proxy,\nwhatever the environment says")
      ->type_name("URL")
      ->group(connections);
  to.add_flag("--exclude-private", a.exclude_private,
              "Connect to addresses of the public Internet only")
      ->group(connections);
  to.add_option("--backend", a.backend, "How the loop waits")
      ->type_name(backend_names)
      ->capture_default_str()
      ->group(connections);
}

void command_line::add_check() {
  check_arguments& a = check_;
  CLI::App& c = *app_.add_subcommand("check", "Check URLs, many at a time");
  c.add_option("URL", a.urls, "What to check: http and https")->type_name("");
  add_repeated(c, "--from", a.files,
               "Also check the URLs in FILE, one a line;\n- is standard input")
      ->type_name("FILE")
      ->group("Input");
  add_transport(c, a.transport, "How long a request may take");
  const char* const checks = "Checks";
  c.add_option("--model", a.model, "Who waits for the answers; see below")
      ->type_name(model_names)
      ->capture_default_str()
      ->group(checks);
  c.add_option("-c,--concurrency", a.concurrency, "Checks at a time, 1 to 65535")
      ->type_name("N")
      ->capture_default_str()
      ->group(checks);
  c.add_option("--per-host", a.per_host, "Connections at a time to one host, 1 to 65535")
      ->type_name("N")
      ->capture_default_str()
      ->group(checks);
  c.add_option("--method", a.method, "How to ask; auto: HEAD, GET where it fails")
      ->type_name(method_names)
      ->capture_default_str()
      ->group(checks);
  c.add_option("--retries", a.retries, "Further tries after a passing failure, 0 to 10")
      ->type_name("N")
      ->capture_default_str()
      ->group(checks);
  c.add_option("--retry-delay", a.retry_delay, "The longest delay before the first of them")
      ->type_name("D")
      ->capture_default_str()
      ->group(checks);
  c.add_option("--accept", a.accept, "Statuses that are OK: 200..299,304")
      ->type_name("LIST")
      ->capture_default_str()
      ->group(checks);
  const char* const output = "Output";
  c.add_option("--format", a.format, "How verdicts are written")
      ->type_name(format_names)
      ->capture_default_str()
      ->group(output);
  c.add_flag("--no-progress", a.no_progress, "No progress line")->group(output);
  c.add_flag("-q,--quiet", a.transport.quiet, "Nothing but verdicts and errors")->group(output);
  c.add_flag("-v,--verbose", a.transport.verbose, "Tell more about each URL on standard error")
      ->group(output);
  document(c, check_sections);
}

void command_line::add_get() {
  get_arguments& a = get_;
  CLI::App& c = *app_.add_subcommand("get", "Print what a URL gives");
  c.add_option("URL", a.url, "What to get: http or https")->required()->type_name("");
  const char* const output = "Output";
  c.add_flag("-i,--include", a.include, "Print the head of the response too")->group(output);
  c.add_flag("-I,--head", a.head, "Ask by HEAD, and print the head of the response")->group(output);
  c.add_option("-o,--output", a.file, "Write to FILE, not to standard output (-)")
      ->type_name("FILE")
      ->check(names_a_file())
      ->group(output);
  c.add_flag("-q,--quiet", a.transport.quiet, "Nothing but the response and errors")->group(output);
  c.add_flag("-v,--verbose", a.transport.verbose, "Tell on standard error how it went")
      ->group(output);
  add_transport(c, a.transport,
                "How long it may take; if not given, the server\nmay be silent for 30s");
  c.get_option("--timeout")->default_str("");
  c.add_flag("--no-follow", a.no_follow, "Do not follow redirects")->group("Requests");
  document(c, get_sections);
}

namespace {
/// The command with the options that were given, without URLs and where to read them.
std::vector<std::string> again(const CLI::App& command) {
  std::vector<std::string> words{command.get_name()};
  for (const CLI::Option* o : command.get_options([](const CLI::Option* p) {
         return p->nonpositional() && p->count() > 0 && !p->check_lname("from");
       })) {
    for (const auto& value : o->results()) {
      words.push_back("--" + o->get_lnames().front() + "=" + value);
    }
  }
  return words;
}
}  // namespace

int command_line::run_worker(int argc, const char* const* argv,
                             oneloop::process::message_pipe& parent) {
  if (argc == 3 && argv[2] == race_worker) return serve_race_worker(parent);
  app_.parse(argc - 1, argv + 1);
  return serve_check_command(check_, parent);
}

void command_line::add_race() {
  race_arguments& a = race_;
  CLI::App& c = *app_.add_subcommand("race", "Check the same URLs under each model: what it costs");
  c.add_option("--models", a.models, "Which, in which order: async,green; if not given, all")
      ->type_name("LIST");
  c.add_option("--format", a.format, "How it is written")
      ->type_name(race_format_names)
      ->capture_default_str();
  c.add_option("--urls", a.urls, "Pages of the site, 1 to 10000")
      ->type_name("N")
      ->capture_default_str();
  c.add_option("--delay", a.delay, "What each of them takes, at most 10s")
      ->type_name("D")
      ->capture_default_str();
  c.add_option("-c,--concurrency", a.concurrency, "Checks at a time, 1 to 10000; if not given, all")
      ->type_name("N");
  c.add_flag("--cpu", a.cpu, "Two jobs that compute instead");
  c.add_option("--job", a.job, "With --cpu: what one job takes at least, up to 10s")
      ->type_name("D")
      ->capture_default_str();
  document(c, race_sections);
}

std::string command_line::given() const {
  const auto chosen = app_.get_subcommands();
  return chosen.empty() ? "oneloop" : "oneloop " + chosen.front()->get_name();
}

int command_line::run(int argc, const char* const* argv) {
  try {
    app_.parse(argc, argv);
  } catch (const CLI::Success& e) {
    return app_.exit(e);  // --help, --version
  } catch (const CLI::ParseError& e) {
    if (argc < 2) {
      std::fputs(app_.help().c_str(), stderr);
      return exit_usage;
    }
    const std::string_view first = argv[1];
    if (!first.starts_with('-') && app_.get_subcommands().empty()) {
      std::string names;
      for (const auto* c : commands()) names += (names.empty() ? "" : ", ") + c->get_name();
      throw usage_error{fmt::format("there is no command \"{}\": {}", first, names)};
    }
    throw usage_error{e.what()};
  }
  const std::string name = app_.get_subcommands().front()->get_name();
  for (const auto* t : {&check_.transport, &get_.transport}) {
    if (t->quiet && t->verbose) throw usage_error{"-q and -v: choose one"};
  }
  if (name == "check") {
    check_.for_workers = again(*app_.get_subcommand("check"));
    return check_command(std::move(check_));
  }
  if (name == "get") {
    get_.timeout_given = app_.get_subcommand("get")->get_option("--timeout")->count() > 0;
    return get_command(std::move(get_));
  }
  if (name == "race") {
    const auto& race = *app_.get_subcommand("race");
    for (const char* option : {"--urls", "--delay", "--concurrency", "--job"}) {
      const bool of_cpu = std::string_view{option} == "--job";
      if (race.get_option(option)->count() == 0 || race_.cpu == of_cpu) continue;
      throw usage_error{fmt::format("{}: {} with --cpu", option, of_cpu ? "only" : "not")};
    }
    return race_command(race_);
  }
  if (name == "demo") return demo_command();
  if (name == "completions") (void)parse_choice("completions", shell_, "bash|zsh|fish");
  const std::string text = name == "man" ? manual_page(*this) : completions(*this, shell_);
  const bool written = std::fputs(text.c_str(), stdout) >= 0 && std::fflush(stdout) == 0;
  return written ? exit_ok : exit_bad;
}

}  // namespace tool
