#include "command_line.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "config_file.hpp"
#include "crawl_report.hpp"
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
  oneloop crawl https://example.org/
  oneloop crawl docs README.md
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

const std::vector<section> crawl_sections{
    {"What it does",
     R"(Each START is a URL, a file, a directory, a pattern ('docs/**/*.md'), or - for a list on
standard input. Pages of the site (the hosts of the starts, and what --internal names) are read and
their links followed; other links are asked for once and not followed. Files and directories are
read as a site without a server. Every URL is asked for once.

Standard output has a line for each link that leads nowhere, with the place where it stands:

  Broken link http://a/page:12:8 -> http://a/gone (404 Not Found)

The summary, notes and the progress line go to standard error.
)"},
    {"Reports",
     R"(--format json is one document, ndjson one event a line as it comes; junit, sarif and github
are for CI, csv for tables, html is a page to read. -o writes a report into a file, whole or not at
all; several may be given, each with a --format at the same place, else by the end of its name. One
--format more than there are files, and it goes to standard output too.
)"},
    {"How it asks",
     R"(robots.txt is heeded, with its crawl delay. A host gets at most 8 requests at a time (this
machine as many as -c allows), and what --rate says. One that asks for a pause (429, Retry-After)
gets it, and only that host. What may be better in a moment is tried again at the end. Statuses of
--accept are OK: for all hosts ("200..299,304"), or for some ("*.example.org=200..299,429").

D is 500ms, 5s, 1m, 2h, 7d or a number of seconds; SIZE is a number of bytes, 500K, 16M or 1G.
REGEX is an RE2 pattern that matches anywhere in the URL. See check for -H and --user.
)"},
    {"Going on",
     R"(With --state FILE the crawl is kept in FILE as it goes: after Ctrl-C, a crash or kill -9, the
same command goes on from there, and its report covers all of it. --cache FILE takes the verdicts
of other crawls that are not older than --max-age.
)"},
    {"Configuration", R"(--config FILE reads options from a file (TOML), by their long names:

  [crawl]
  external = "skip"
  per-host = 4
  fragments = true
  exclude = ["/private/", '\.pdf$']

What the command line says goes before. --ignore-file FILE has a pattern a line for --exclude, and
comments that begin with #. No file is read that is not named.
)"},
    {"Exit status", R"(  0    every link leads somewhere
  1    there are broken links
  2    wrong usage, or a file that cannot be read or written
  3    all pages are there, but places in them (fragments) are not
  130  after Ctrl-C: the reports tell what was found until then; a second Ctrl-C ends at once
  143  after SIGTERM, in the same way
)"},
    {"Examples", R"help(  oneloop crawl https://example.org/
  oneloop crawl --level 2 --external skip --fragments https://example.org/docs/
  oneloop crawl --offline --fragments README.md docs
  oneloop crawl --format github --format sarif -o links.sarif public
  oneloop crawl --state crawl.db --rate '*=2/s' -o report.html https://example.org/
  oneloop crawl --exclude '/calendar/' --accept 'example.com=200..299,403' https://example.org/
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
  add_crawl();
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
  to.add_option("--cookies", a.cookies,
                "Send the cookies in FILE (cookies.txt, as browsers and curl\nsave them)")
      ->type_name("FILE")
      ->check(names_a_file())
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

void command_line::add_crawl() {
  crawl_arguments& a = crawl_;
  CLI::App& c =
      *app_.add_subcommand("crawl", "Follow the links of a site or of files, and check them all");
  c.add_option("START", a.starts, "Where to begin: URLs, files, directories, patterns, -")
      ->type_name("");
  const auto option = [&c](const char* group, const char* names, auto& value, const char* type,
                           const char* text) {
    return c.add_option(names, value, text)->type_name(type)->group(group);
  };
  const auto defaulted = [&option](const char* group, const char* names, std::string& value,
                                   const char* type, const char* text) {
    option(group, names, value, type, text)->capture_default_str();
  };
  const auto file = [&option](const char* group, const char* names, std::string& value,
                              const char* text) {
    option(group, names, value, "FILE", text)->check(names_a_file());
  };
  // Not an optional: an empty value of those counts as none.
  const auto maybe = [&c](const char* group, const char* names, std::optional<std::string>& value,
                          const char* type, const char* text) {
    c.add_option_function<std::string>(
         names, [&value](const std::string& v) { value = v; }, text)
        ->type_name(type)
        ->group(group);
  };
  const auto repeated = [&c](const char* group, const char* names, std::vector<std::string>& values,
                             const char* type, const char* text) {
    return add_repeated(c, names, values, text)->type_name(type)->group(group);
  };

  const char* const input = "Input";
  repeated(input, "--from", a.files, "FILE", "Also begin at the URLs in FILE, one a line");
  file(input, "--config", a.config, "Take options from FILE (TOML), see below");
  maybe(input, "--base", a.base, "URL", "Resolve relative links of files against URL");
  maybe(input, "--root-dir", a.root_dir, "DIR",
        "Where links of files that begin with / are looked up");
  repeated(input, "--remap", a.remap, "MAP",
           "'REGEX TO', ask for TO in place of what matches;\n\\1 in it is a group");

  const char* const links = "Which links";
  maybe(links, "--level", a.level, "N",
        "How deep links are followed from the starts;\nif not given, to the end of the site");
  maybe(links, "--limit", a.limit, "N", "How many pages of the site are asked for at most");
  defaulted(links, "--external", a.external, external_names,
            "What becomes of links to other sites");
  repeated(links, "--include", a.include, "REGEX", "Check only what one of these matches");
  repeated(links, "--exclude", a.exclude, "REGEX", "Do not check what matches");
  repeated(links, "--ignore-file", a.ignore_files, "FILE", "Patterns for --exclude, one a line")
      ->check(names_a_file());
  repeated(links, "--internal", a.internal, "REGEX", "What matches is of the site too");
  repeated(links, "--scheme", a.schemes, "LIST", "Schemes to check (http,https)");
  c.add_flag("--fragments", a.fragments, "Check that pages have the places (#id) that links name")
      ->group(links);
  repeated(links, "--fragment-exclude", a.fragment_exclude, "REGEX", "But not of URLs that match");
  c.add_flag("--code-blocks", a.code_blocks, "Check links in code, too")->group(links);
  defaulted(links, "--mailto", a.mailto, check_skip_names, "Whether addresses look like some");
  defaulted(links, "--tel", a.telephone, check_skip_names,
            "Whether telephone numbers look like some");
  c.add_flag("--dump", a.dump, "Print the links of the starts, check none")->group(links);
  c.add_flag("--offline", a.offline, "Check links to files only, ask no server")->group(links);

  const char* const checks = "Checks";
  defaulted(checks, "--robots", a.robots, on_off_names, "Whether robots.txt is heeded");
  repeated(checks, "--rate", a.rates, "RATE",
           "How often a host is asked: 'example.org=5/s', '*=30/m'");
  maybe(checks, "--per-host", a.per_host, "N",
        "Requests at a time to one host (8; to this machine: -c)");
  defaulted(checks, "-c,--concurrency", a.concurrency, "N", "Requests at a time, 1 to 65535");
  defaulted(checks, "--method", a.method, method_names,
            "How to ask; auto: GET for pages, for others HEAD, and GET\nwhere it fails");
  defaulted(checks, "--retries", a.retries, "N", "Further tries after a passing failure, 0 to 10");
  defaulted(checks, "--retry-delay", a.retry_delay, "D",
            "The longest delay before the first of them");
  repeated(checks, "--accept", a.accept, "LIST",
           "Statuses that are OK (200..299), or of a host,\n'example.org=200..299,429'");
  defaulted(checks, "--max-page", a.max_page, "SIZE", "What is longer is a broken link");

  const char* const again = "Going on";
  file(again, "--state", a.state, "Keep the crawl in FILE, and go on from it");
  file(again, "--cache", a.cache, "Take verdicts of other crawls from FILE, and keep them there");
  maybe(again, "--max-age", a.max_age, "D", "If they are not older (24h)");

  const char* const output = "Output";
  repeated(output, "--format", a.formats, crawl_format_names, "How the report is written (text)");
  repeated(output, "-o,--output", a.outputs, "FILE", "Write it to FILE; - is standard output")
      ->check(names_a_file());
  c.add_flag("--no-progress", a.no_progress, "No progress line")->group(output);
  c.add_flag("-q,--quiet", a.transport.quiet, "Nothing but reports and errors")->group(output);
  c.add_flag("-v,--verbose", a.transport.verbose,
             "Tell what is OK and what is not checked; at the end,\nabout each host")
      ->group(output);
  add_transport(c, a.transport, "How long a request may take");
  document(c, crawl_sections);
}

void command_line::configure(CLI::App& command, const std::string& file) {
  for (auto& setting : read_config(file, command.get_name())) {
    const auto refuse = [&](std::uint32_t line, std::string_view why) {
      throw usage_error{fmt::format("{}:{}: {}: {}", file, line, setting.key, why)};
    };
    CLI::Option* o = nullptr;
    for (CLI::Option* known : command.get_options([](const CLI::Option*) { return true; })) {
      const auto& names = known->get_lnames();
      const bool its = std::find(names.begin(), names.end(), setting.key) != names.end();
      if (its && setting.key != "help" && setting.key != "config") o = known;
    }
    if (o == nullptr) refuse(setting.line, "crawl has no such option");
    const bool flag = o->get_expected_max() == 0;
    const bool many = o->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
    if (setting.list && !many) refuse(setting.line, "must be one value, and not a list");
    for (auto& v : setting.values) {
      const bool on_off = o->get_type_name() == on_off_names;
      if (flag && !v.boolean) refuse(v.line, "must be true or false");
      if (v.boolean && !flag && !on_off) refuse(v.line, "must be a value, and not true or false");
      if (v.boolean && on_off) v.text = v.text == "true" ? "on" : "off";
    }
    if (o->count() != 0) continue;  // the command line goes before
    for (auto& v : setting.values) {
      o->add_result(v.text);
      configured_.push_back({o, v.text, fmt::format("{}:{}: {}", file, v.line, setting.key)});
    }
    if (setting.values.empty()) continue;
    try {
      o->run_callback();
    } catch (const CLI::Error& e) {
      refuse(setting.line, e.what());
    }
  }
}

std::string command_line::origin_of(const bad_option& e) const {
  std::string place;
  for (const auto& c : configured_) {
    if (!c.option->check_name(e.option())) continue;
    // Of several values it is the one that is complained about; a secret one is not told.
    if (c.value == e.value()) return c.where;
    if (place.empty()) place = c.where;
  }
  return place;
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
    for (const auto* c : app_.get_subcommands()) {
      for (const auto* o : c->get_options([](const CLI::Option* p) {
             return p->get_multi_option_policy() == CLI::MultiOptionPolicy::Throw &&
                    p->get_expected_max() == 1 && p->count() > 1;
           })) {
        throw usage_error{
            fmt::format("{}: given {} times, and it takes one value", o->get_name(), o->count())};
      }
    }
    throw usage_error{e.what()};
  }
  const std::string name = app_.get_subcommands().front()->get_name();
  if (name == "crawl" && !crawl_.config.empty()) {
    configure(*app_.get_subcommand("crawl"), crawl_.config);
  }
  for (const auto* t : {&check_.transport, &crawl_.transport, &get_.transport}) {
    if (t->quiet && t->verbose) throw usage_error{"-q and -v: choose one"};
  }
  if (name == "check") {
    check_.for_workers = again(*app_.get_subcommand("check"));
    return check_command(std::move(check_));
  }
  if (name == "crawl") {
    try {
      return crawl_command(std::move(crawl_));
    } catch (const bad_option& e) {
      const std::string where = origin_of(e);
      if (where.empty()) throw;
      throw usage_error{e.value().empty() ? fmt::format("{}: {}", where, e.why())
                                          : fmt::format("{} {}: {}", where, e.value(), e.why())};
    }
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
