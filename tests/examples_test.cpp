// The examples as programs: what they print, against servers in this process.
#include <sys/resource.h>

#include <random>
#include <set>

#include "oneloop/base/sanitized_test.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/scope/gather.hpp"
#include "pages.hpp"
#include "tool.hpp"

namespace tool_test {
namespace {

namespace fs = std::filesystem;
namespace http = oneloop::http;
namespace net = oneloop::net;
using oneloop::event;
using oneloop::nursery;
using oneloop::run;
using oneloop::task;

fs::path examples() {
  return fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "examples";
}

class example : public testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("ONELOOP_DEBUG");  // turns of the loop take long on a busy machine
    ::signal(SIGPIPE, SIG_IGN);
  }
};

std::vector<std::string> command(const std::string& name, std::vector<std::string> arguments = {}) {
  arguments.insert(arguments.begin(), (examples() / name).string());
  return arguments;
}

tool_test::outcome outcome_of_example(const std::string& name,
                                      std::vector<std::string> arguments = {}) {
  return outcome_of(command(name, std::move(arguments)));
}

/// Seconds of the processor that programs which have ended have taken.
double cpu_of_children() {
  rusage all{};
  ::getrusage(RUSAGE_CHILDREN, &all);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(all.ru_utime) + seconds(all.ru_stime);
}

/// The models that a lab has: its programs.
std::vector<std::string> models_of(const std::string& lab) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator{examples() / lab}) {
    names.push_back(lab + "/" + entry.path().filename().string());
  }
  return names;
}

/// Answers GET /flags/CC/CC.gif, and counts. A handler waits until `together` requests are there.
class flag_site {
 public:
  /// `status`: of countries that are not to be found or fail; 0: there is no answer at all.
  explicit flag_site(int together = 1, std::map<std::string, int> status = {})
      : together_{together}, status_{std::move(status)} {
    std::promise<oneloop::cancel_handle> ready;
    auto handle = ready.get_future();
    thread_ = std::thread{[this, &ready] { run(serve(ready)); }};
    stop_ = handle.get();
  }
  ~flag_site() {
    stop_.cancel();
    thread_.join();
  }
  [[nodiscard]] std::string url(const std::string& path = "/flags") const {
    return "http://" + listener_.local_endpoint().to_string() + path;
  }
  [[nodiscard]] int most_at_once() const { return most_; }
  static std::string flag(std::string_view cc) {
    std::string image = "GIF89a";
    for (int i = 0; i < 20'000; ++i) image += static_cast<char>(i * cc[0] + cc[1]);
    return image;
  }

 private:
  task<http::server_response> answer(http::server_request& r) {
    ++now_;
    most_ = std::max<int>(most_, now_);
    if (most_ >= together_) all_there_.set();
    co_await all_there_.wait();
    co_await oneloop::sleep_for(3ms);
    --now_;
    const std::string path{r.path()};
    const std::string cc = path.size() == 16 ? path.substr(7, 2) : "";
    const auto other = status_.find(cc);
    if (other != status_.end() && other->second == 0) co_await oneloop::sleep_forever();
    if (other != status_.end()) co_return http::server_response{other->second};
    if (path != "/flags/" + cc + "/" + cc + ".gif") co_return http::server_response{200};
    co_return http::server_response{}.body(flag(cc), "image/gif");
  }
  task<> serve(std::promise<oneloop::cancel_handle>& ready) {
    (void)co_await oneloop::with_scope(
        oneloop::scope_options{}, [&](oneloop::cancel_scope& scope) -> task<> {
          ready.set_value(scope.handle());
          co_await http::serve(
              listener_, [this](http::server_request& r) { return answer(r); },
              http::server_options{}.stop_timeout(10ms));
        });
  }
  int together_;
  std::map<std::string, int> status_;
  int now_ = 0;
  std::atomic<int> most_{0};
  event all_there_;
  net::tcp_listener listener_{net::endpoint{net::ip_address::loopback_v4(), 0}};
  oneloop::cancel_handle stop_;
  std::thread thread_;
};

class temporary_folder {
 public:
  temporary_folder() {
    std::string name = testing::TempDir() + "oneloop-examples-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~temporary_folder() { fs::remove_all(path_); }
  [[nodiscard]] std::string path() const { return path_.string(); }
  [[nodiscard]] std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> all;
    for (const auto& entry : fs::directory_iterator{path_}) {
      std::ifstream in{entry.path(), std::ios::binary};
      all[entry.path().filename()] = {std::istreambuf_iterator<char>{in}, {}};
    }
    return all;
  }

 private:
  fs::path path_;
};

// ---- check_urls ----

TEST_F(example, check_urls_gives_every_url_its_verdict) {
  const site s;
  const temporary_file ca{s.ca()};
  ::setenv("SSL_CERT_FILE", ca.path().c_str(), 1);
  const std::vector<std::string> urls{
      s.url("/ok"),   s.url("/none"), s.url("/moved"), s.refused(),    s.https("/ok"),
      s.url("/loop"), s.url("/500"),  "no URL at all", s.url("/slow"), s.mutual("/ok")};
  const std::vector<std::string> expected{
      urls[0] + " OK",  urls[1] + " Bad", urls[2] + " OK",  urls[3] + " Bad", urls[4] + " OK",
      urls[5] + " Bad", urls[6] + " Bad", urls[7] + " Bad", urls[8] + " OK",  urls[9] + " Bad"};
  const auto models = models_of("check_urls");
  EXPECT_EQ(models.size(), 8u);
  for (const auto& name : models) {
    const auto o = outcome_of_example(name, urls);
    EXPECT_EQ(o.status, 0) << name;
    EXPECT_EQ(o.err, "") << name;
    EXPECT_THAT(lines_of(o.out), testing::UnorderedElementsAreArray(expected)) << name;
    if (name.ends_with("sequential")) {
      EXPECT_EQ(lines_of(o.out), expected);
    }
    EXPECT_EQ(outcome_of_example(name).out, "") << name;
  }
  ::unsetenv("SSL_CERT_FILE");
}

TEST_F(example, check_urls_asks_for_all_at_once_where_the_model_can) {
  for (const auto& name : models_of("check_urls")) {
    const bool one_by_one = name.ends_with("sequential");
    const flag_site s{one_by_one ? 1 : 10};
    std::vector<std::string> urls;
    for (int i = 0; i < 10; ++i) urls.push_back(s.url("/" + std::to_string(i)));
    const auto o = outcome_of_example(name, urls);
    EXPECT_EQ(lines_of(o.out).size(), 10u) << name;
    EXPECT_THAT(o.out, Not(HasSubstr("Bad"))) << name;
    EXPECT_EQ(s.most_at_once(), one_by_one ? 1 : 10) << name;
  }
}

// ---- link_checker ----

TEST_F(example, link_checker_reports_what_is_broken_and_stops_at_its_level) {
  const site elsewhere;  // for a port that nobody listens on
  for (const auto& name : models_of("link_checker")) {
    pages s{{{"/",
              {links_to({"/a", "b#there", "#here", "/gone", "mailto:me@example.org",
                         elsewhere.refused()}) +
               "<img src=/flag.gif><link rel=icon href=/icon.png>"}},
             {"/a", {links_to({"/deep", "/", "/a"})}},
             {"/b", {links_to({"/gone", "/error"})}},
             {"/deep", {links_to({"/deeper"})}},
             {"/error", {"", "text/html", 500}},
             {"/flag.gif", {"GIF89a", "image/gif"}}}};
    const auto o = outcome_of_example(name, {s.url()});
    EXPECT_EQ(o.status, 0) << name;
    EXPECT_EQ(o.err, "") << name;
    auto lines = lines_of(o.out);
    // Either page may be the first to name it.
    for (auto& line : lines) {
      if (line == "Broken link " + s.url("/b") + " -> " + s.url("/gone")) {
        line = "Broken link " + s.url("/") + " -> " + s.url("/gone");
      }
    }
    EXPECT_THAT(lines, UnorderedElementsAre(
                           "Broken link " + s.url("/") + " -> " + s.url("/gone"),
                           "Broken link " + s.url("/") + " -> " + elsewhere.refused() + "/",
                           "Broken link " + s.url("/b") + " -> " + s.url("/error"),
                           "Not http: mailto:me@example.org", "Not html: " + s.url("/flag.gif")))
        << name;
    for (const char* path : {"/", "/a", "/b", "/deep", "/flag.gif", "/gone", "/error"}) {
      EXPECT_EQ(s.count(std::string{"GET "} + path), 1) << name << " " << path;
    }
    EXPECT_EQ(s.requests(), 7) << name;
    EXPECT_EQ(lines_of(outcome_of_example(name, {s.url("/b"), "0"}).out).size(), 0u) << name;
    EXPECT_EQ(s.requests(), 8) << name;
    EXPECT_EQ(outcome_of_example(name).status, 2) << name;
  }
}

TEST_F(example, link_checker_ends_where_every_page_links_to_every_other) {
  std::vector<std::string> all;
  for (int i = 0; i < 150; ++i) all.push_back("/" + std::to_string(i));
  pages::map site;
  for (const auto& path : all) site[path] = {links_to(all)};
  for (const auto& name : models_of("link_checker")) {
    pages s{site};
    const auto o = outcome_of_example(name, {s.url("/0"), "3"});
    EXPECT_EQ(o.out, "") << name;
    EXPECT_EQ(s.requests(), 150) << name;
    EXPECT_LE(s.most_at_once(), 10) << name;
  }
}

// ---- flags ----

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in{line};
  return {std::istream_iterator<std::string>{in}, {}};
}

const std::vector<std::string> countries{"CN", "IN", "US", "ID", "BR", "PK", "NG",
                                         "BD", "RU", "JP", "MX", "PH", "VN", "ET",
                                         "EG", "DE", "IR", "TR", "CD", "FR"};

std::map<std::string, std::string> all_flags() {
  std::map<std::string, std::string> all;
  for (const auto& country : countries) {
    std::string cc = country;
    for (char& c : cc) c |= 0x20;
    all[cc + ".gif"] = flag_site::flag(cc);
  }
  return all;
}

std::vector<std::string> short_flags() {
  auto names = models_of("flags");
  std::erase(names, "flags/long");
  std::erase(names, "flags/server");
  return names;
}

TEST_F(example, flags_are_downloaded_and_counted) {
  for (const auto& name : short_flags()) {
    const bool one_by_one = name.ends_with("sequential");
    const flag_site s{one_by_one ? 1 : 20};
    const temporary_folder folder;
    const auto o = outcome_of_example(name, {s.url(), folder.path()});
    EXPECT_EQ(o.status, 0) << name << o.err;
    const auto lines = lines_of(o.out);
    ASSERT_EQ(lines.size(), 2u) << name << o.out;
    EXPECT_THAT(words_of(lines[0]), testing::UnorderedElementsAreArray(countries)) << name;
    EXPECT_THAT(lines[1], ContainsRegex("^20 flags downloaded in [0-9]+\\.[0-9][0-9]s$")) << name;
    EXPECT_EQ(folder.files(), all_flags()) << name;
    EXPECT_EQ(s.most_at_once(), one_by_one ? 1 : 20) << name;
    if (one_by_one) {
      EXPECT_EQ(words_of(lines[0]), countries);
    }
  }
}

TEST_F(example, a_flag_that_is_not_there_ends_the_short_forms_with_a_message) {
  const flag_site s{1, {{"de", 404}}};
  for (const auto& name : short_flags()) {
    const temporary_folder folder;
    const auto o = outcome_of_example(name, {s.url(), folder.path()});
    EXPECT_EQ(o.status, 1) << name;
    EXPECT_THAT(o.err, HasSubstr(s.url("/flags/de/de.gif") + ": 404 Not Found")) << name;
    for (const auto& [file, image] : folder.files()) {
      EXPECT_EQ(image, flag_site::flag(file)) << name << ": " << file;
    }
    const auto elsewhere = outcome_of_example(name, {s.url(), folder.path() + "/none"});
    EXPECT_EQ(elsewhere.status, 1) << name;
    EXPECT_THAT(elsewhere.err, HasSubstr("No such file or directory")) << name;
  }
}

TEST_F(example, the_long_form_counts_what_goes_wrong) {
  const flag_site s{1, {{"de", 404}, {"zz", 404}, {"fr", 503}, {"us", 0}}};
  const temporary_folder folder;
  const auto o = outcome_of_example(
      "flags/long", {"-m", "3", "-t", "1", s.url(), folder.path(), "DE", "ZZ", "FR", "US", "CN"});
  EXPECT_EQ(o.status, 0);
  const auto lines = lines_of(o.out);
  ASSERT_EQ(lines.size(), 3u) << o.out;
  EXPECT_EQ(lines[1], "1 ok, 2 not found, 2 error");
  EXPECT_THAT(lines[2], ContainsRegex("^1 flags downloaded in [0-9]+\\.[0-9][0-9]s$"));
  EXPECT_THAT(o.err, EndsWith("\r[########################################] 5/5 "));
  EXPECT_THAT(folder.files(), ElementsAre(std::pair{"cn.gif", flag_site::flag("cn")}));
  EXPECT_LE(s.most_at_once(), 3);
}

TEST_F(example, the_long_form_keeps_to_its_limit) {
  const flag_site s{4};
  const temporary_folder folder;
  const auto o = outcome_of_example("flags/long", {"-v", "-m", "4", s.url(), folder.path()});
  EXPECT_EQ(o.err, "");
  auto lines = lines_of(o.out);
  ASSERT_EQ(lines.size(), 23u);
  EXPECT_EQ(lines[21], "20 ok, 0 not found, 0 error");
  EXPECT_THAT(lines, testing::Contains("JP ok"));
  EXPECT_EQ(folder.files(), all_flags());
  EXPECT_EQ(s.most_at_once(), 4);
  EXPECT_EQ(outcome_of_example("flags/long", {"-x"}).status, 1);
  EXPECT_THAT(outcome_of_example("flags/long", {"-m", "many"}).err, HasSubstr("[-m MAX"));
}

TEST_F(example, the_flags_have_a_server_of_their_own) {
  process server{command("flags/server", {"0", "1", "0"})};
  ASSERT_TRUE(server.wait_for_output("\n"));
  const std::string base = server.out.substr(0, server.out.find('\n'));
  const temporary_folder folder;
  const auto o = outcome_of_example("flags/long", {base, folder.path(), "CN", "FR", "XX"});
  EXPECT_EQ(lines_of(o.out).at(1), "2 ok, 1 not found, 0 error") << o.out << o.err;
  EXPECT_THAT(folder.files().at("fr.gif"), StartsWith("GIF89a"));
  process faulty{command("flags/server", {"0", "1", "100"})};
  ASSERT_TRUE(faulty.wait_for_output("\n"));
  const auto none = outcome_of_example(
      "flags/long", {faulty.out.substr(0, faulty.out.find('\n')), folder.path(), "CN", "FR"});
  EXPECT_EQ(lines_of(none.out).at(1), "0 ok, 0 not found, 2 error") << none.out << none.err;
}

// ---- get_or_create, sieve ----

TEST_F(example, get_or_create_creates_what_is_not_there_only) {
  for (const auto& name : models_of("get_or_create")) {
    EXPECT_EQ(outcome_of_example(name, {"ada"}).out, "Ada Lovelace\n") << name;
    EXPECT_EQ(outcome_of_example(name, {"bob"}).out, "new user bob\n") << name;
    EXPECT_EQ(outcome_of_example(name).status, 0) << name;
  }
}

TEST_F(example, sieve_prints_the_first_primes) {
  std::string primes;
  int count = 0;
  for (int n = 2; count < 100; ++n) {
    bool prime = true;
    for (int d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
    if (prime) primes += std::to_string(n) + "\n", ++count;
  }
  for (const auto& name : models_of("sieve")) {
    const auto o = outcome_of_example(name);
    EXPECT_EQ(o.out, primes) << name;
    EXPECT_EQ(o.status, 0) << name;
    EXPECT_EQ(o.err, "") << name;
    EXPECT_EQ(outcome_of_example(name, {"3"}).out, "2\n3\n5\n") << name;
    EXPECT_EQ(outcome_of_example(name, {"0"}).out, "") << name;
  }
}

// ---- on a virtual clock ----

TEST_F(example, chess_takes_twelve_hours_or_one_and_no_time) {
  EXPECT_EQ(models_of("chess").size(), 2u);
  for (const auto& name : models_of("chess")) {
    const double before = cpu_of_children();
    const auto o = outcome_of_example(name);
    const double took = cpu_of_children() - before;
    EXPECT_EQ(o.out, "one after another: 12:00:00\nas an exhibition: 1:00:00\n") << name;
    EXPECT_EQ(o.status, 0) << name << o.err;
    // Of the processor, which a busy machine does not prolong; a few ms.
    if (!oneloop::test::sanitized) {
      EXPECT_LT(took, 0.1) << name;
    }
    EXPECT_GT(took, 0) << "it was measured";
  }
}

TEST_F(example, flaky_network_crawls_alike_for_the_same_seed) {
  const auto crawl = [](const std::string& seed, const std::string& hosts) {
    return outcome_of_example("flaky_network/async", {"--seed", seed, "--hosts", hosts});
  };
  const auto once = crawl("5", "300");
  EXPECT_EQ(once.status, 0) << once.err;
  EXPECT_EQ(once.err, "");
  EXPECT_THAT(once.out, ContainsRegex("\n[0-9]+\\.[0-9] s, trace [0-9a-f]{16}\n$"));
  std::map<std::string, int> outcomes;
  int all = 0;
  for (const auto& line : lines_of(once.out)) {
    if (line.find("trace") != line.npos) continue;
    const auto words = words_of(line);
    ASSERT_GE(words.size(), 2u) << line;
    all += outcomes[line.substr(7)] = std::stoi(words[0]);
  }
  EXPECT_GT(outcomes["ok"], 200);
  EXPECT_GT(outcomes["dns dns"], 0);
  EXPECT_GT(outcomes["refused connect"], 0);
  EXPECT_GT(outcomes["reset first_byte"], 0);
  EXPECT_GT(outcomes["timeout connect"], 0);
  EXPECT_LE(all, 300);
  EXPECT_GT(all, 270) << "the links lead nearly everywhere";
  EXPECT_EQ(crawl("5", "300").out, once.out);
  EXPECT_NE(crawl("6", "300").out, once.out);
  EXPECT_THAT(crawl("5", "1").out, StartsWith("     1 ok\n"));
  EXPECT_EQ(outcome_of_example("flaky_network/async", {"--peed", "1"}).status, 1);
}

// ---- what takes its time, all at once ----

TEST_F(example, countdowns_interleave_and_spinners_stop_when_the_answer_is_there) {
  std::map<std::string, std::unique_ptr<process>> running;
  for (const char* lab : {"countdown", "spinner", "hello", "launchpad"}) {
    for (const auto& name : models_of(lab)) {
      running[name] = std::make_unique<process>(command(name));
    }
  }
  for (auto& [name, p] : running) {
    if (name == "countdown/blocking") {  // one after the other
      ASSERT_TRUE(p->wait_for_output("\n0: ")) << p->out;
      EXPECT_THAT(p->out, testing::MatchesRegex(
                              "3: 0\\.. s\n2: ..?\\.. s\n1: ..?\\.. s\n0: ..?\\.. s\n( +3.*\n)?"));
      continue;
    }
    EXPECT_EQ(p->wait(), 0) << name;
    EXPECT_EQ(p->err, "") << name;
    if (name.starts_with("hello")) {
      EXPECT_EQ(p->out, "hello\nworld\n") << name;
    } else if (name.starts_with("launchpad")) {
      std::string steps;  // each line is A, B or C, and what it says
      for (const auto& line : lines_of(p->out)) steps += line.substr(0, 1) + line.back() + " ";
      EXPECT_EQ(steps, "As Bs Cs A5 C4 A4 B3 C3 A3 B2 C2 A2 B1 C1 A1 B! C! A! ") << name;
    } else if (name.starts_with("spinner")) {
      EXPECT_THAT(p->out, StartsWith("\r| thinking!\r\r/ thinking!\r\r- thinking!\r\r\\ thinking!"))
          << name;
      EXPECT_THAT(p->out, EndsWith("\r           \rAnswer: 42\n")) << name;
    } else {
      std::map<std::size_t, std::string> columns;
      const auto lines = lines_of(p->out);
      ASSERT_EQ(lines.size(), 16u) << name << p->out;
      for (const auto& line : lines)
        columns[line.find_first_not_of(' ')] += line[line.find(':') - 1];
      EXPECT_THAT(columns, ElementsAre(std::pair{0u, "3210"}, std::pair{12u, "3210"},
                                       std::pair{24u, "3210"}, std::pair{36u, "3210"}))
          << name;
      for (std::size_t i = 0; i < 4; ++i) EXPECT_THAT(lines[i], HasSubstr("3: 0.")) << name;
      EXPECT_THAT(lines[4], StartsWith(std::string(24, ' ') + "2: ")) << name;
      EXPECT_THAT(lines[15], StartsWith(std::string(12, ' ') + "0: ")) << name;
    }
  }
}

// ---- echo ----

task<> say(net::tcp_stream& to, const std::string& message) {
  co_await to.write_all(net::bytes_of(message));
}

task<std::string> hear(net::tcp_stream& from, std::size_t size) {
  std::string text(size, 0);
  const auto bytes = std::as_writable_bytes(std::span{text});
  for (std::size_t have = 0; have < size;) {
    const auto n = co_await from.read_some(bytes.subspan(have));
    if (n == 0) break;
    have += n;
  }
  co_return text;
}

task<> converse(net::tcp_stream peer) {
  std::minstd_rand random{7};
  for (const std::size_t size : {1024u, 10 * 1024u, 100 * 1024u}) {
    std::string message(size, 0);
    for (char& c : message) c = static_cast<char>(random());
    auto both = oneloop::gather(say(peer, message), hear(peer, size));
    const auto got = co_await std::move(both);
    EXPECT_TRUE(std::get<1>(got) == message) << size;
  }
  co_await peer.shutdown_write();
  std::byte more[1];
  const auto n = co_await peer.read_some(more);
  EXPECT_EQ(n, 0u) << "it ends when we do";
}

task<> ten_connections(nursery& n, net::endpoint at, bool one_by_one) {
  std::vector<net::tcp_stream> peers;
  for (int i = 0; i < 10; ++i) {
    auto peer = co_await net::connect(at);
    if (one_by_one) {
      auto conversation = converse(std::move(peer));
      co_await std::move(conversation);
    } else {
      peers.push_back(std::move(peer));
    }
  }
  for (auto& peer : peers) n.start(converse, std::move(peer));
}

task<> broken_connection(net::endpoint at) {
  auto peer = co_await net::connect(at);
  co_await say(peer, "hello");
  const auto heard = co_await hear(peer, 5);
  EXPECT_EQ(heard, "hello");
  // The rest is not read: closing resets the connection while the server writes.
  co_await say(peer, std::string(100'000, 'x'));
}

task<> in_time(task<> t) { co_await oneloop::fail_after(20s, std::move(t)); }

TEST_F(example, echo_serves_ten_connections) {
  const auto models = models_of("echo");
  EXPECT_GE(models.size(), 6u);
  for (const auto& name : models) {
    process server{command(name, {"0"})};
    ASSERT_TRUE(server.wait_for_output("\n")) << name << server.err;
    ASSERT_THAT(server.out, StartsWith("listening on ")) << name;
    const auto at = net::endpoint::parse(server.out.substr(13, server.out.find('\n') - 13));
    ASSERT_TRUE(at) << server.out;
    EXPECT_TRUE(at->address().is_loopback()) << name;
    EXPECT_NO_THROW(run(in_time(broken_connection(*at)))) << name;
    auto all = oneloop::with_nursery(ten_connections, *at, name.ends_with("sequential"));
    EXPECT_NO_THROW(run(in_time(std::move(all)))) << name;

    if (name != "echo/processes") {  // those share the port
      const auto taken = outcome_of_example(name, {std::to_string(at->port())});
      EXPECT_EQ(taken.status, 1) << name;
      EXPECT_THAT(taken.err, HasSubstr("Address already in use")) << name;
    }
    const auto wrong = outcome_of_example(name, {"http"});
    EXPECT_EQ(wrong.status, 1) << name;
    EXPECT_THAT(wrong.err, HasSubstr(name + " [PORT]")) << name;
  }
}

}  // namespace
}  // namespace tool_test
