// Crawling: from some start pages to everything that they lead to, with a verdict on each link.
//
//     auto options = oneloop::crawl_options{}.fragments(true);
//     auto print = [](oneloop::crawl_event e) -> oneloop::task<> {
//       if (auto* b = std::get_if<oneloop::crawl_broken_link>(&e)) {
//         fmt::print("Broken link {} -> {}\n", b->source.page, b->url);
//       }
//       co_return;
//     };
//     auto report = co_await oneloop::crawl({"http://example.org/"}, print, std::move(options));
//     return report.broken.empty() ? 0 : 1;
//
// *Starts* are URLs, and files and directories of this machine, which are read as a site without
// a server: a directory stands for all documents below it. Pages of the site (frontier.hpp) are
// read and their links followed; what they lead to elsewhere is asked for once and not followed.
// *Each URL once*: a URL is claimed when it is found (frontier.hpp), and asked for with success
// once, whoever links to it; the hops of a redirect are URLs like any other and share the
// verdict. More requests than that only for a HEAD that was refused, and for what is tried again.
// *How*: pages of the site, and what may be one (a picture's link without a picture's name), are
// asked for by GET, everything else (external links, images, pages at the last level) by HEAD, and
// by GET where HEAD is refused. With fragments everything that may be a page is asked for by GET.
// *Redirects* lead to one more URL, under the same rules; the verdict on the redirect is the one
// on its end. Where that is skipped (external, robots.txt), the redirect is fine. A fragment that a
// Location has goes before that of the link.
// *What nobody asked* is no good news: a start that robots.txt denies, or that takes a network when
// there is to be none, is bad, and so is all of an origin that could not tell what its robots.txt
// allows.
// *Links that crawlers are asked not to follow* (rel=nofollow, <meta name=robots>) are checked
// and, as long as robots.txt is heeded, not followed: at the end, when no other link leads there.
// *Files* are read below a directory that was given, beside a file that was given and in
// `root_dir`; anywhere else it is only looked whether they exist. In directories, names that
// begin with a dot are passed over, and so are links that lead out of them. A directory that is
// linked leads to its index.html, if it has one. The top of the site ("/", however a link says it)
// is `root_dir`, else the directory that was given. "//host/" is of https. Queries are left out.
// Pages of the web lead to no files.
// *Retries* come at the end, when nothing fresh is left, and are those of check_urls (check.hpp).
// A host that asks for a pause (429, Retry-After) is left alone meanwhile, and only that host.
// *Events* come as things are found, each one after the verdict behind it has been committed, if
// there is a state file: what was told is never lost. What goes on from a state file asks again
// for what was under way, and for each origin's robots.txt, which may be another by now.
//
// Everything runs on the loop of whoever awaits. Memory: see frontier.hpp; beside it 4 bytes a
// URL, what is broken or redirects, and what is under way (a page under way: its text, so at most
// max_page). With fragments also the anchors of the pages that were read, up to 32 MiB; more are
// kept in a file without a name.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/check/frontier.hpp"
#include "oneloop/check/rate.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

namespace detail {
class crawl_settings;
}

/// Why a link was not checked.
enum class crawl_skip_reason : std::uint8_t {
  scheme,      // "data:", "javascript:" and others that nobody asks for
  mail,        // "mailto:", unless its address is to be checked
  telephone,   // "tel:", the same
  excluded,    // by a pattern, or included by none
  external,    // not of the site, and those are skipped
  robots,      // the site's robots.txt does not allow it
  trap,        // too much like a page that makes up links without end
  limit,       // there were `limit` pages before it
  offline,     // it would take a network
  hint,        // <link rel=preconnect> and its kin: a host, no document
  submission,  // where a form sends its data, and what is pinged: asking might do something there
};
inline constexpr std::size_t crawl_skip_reasons =
    static_cast<std::size_t>(crawl_skip_reason::submission) + 1;
/// "scheme", "robots" and so on.
[[nodiscard]] ONELOOP_API std::string_view to_string(crawl_skip_reason r) noexcept;

/// Where a link was found.
struct crawl_source {
  std::string page;  // its URL without user and password, or the path of a file, as it was given
  link_place place;
};

/// A URL has its verdict. Each URL once, over all runs of one state file.
struct crawl_verdict {
  check_result result;
  std::uint32_t depth = 0;
  bool internal = false;          // of the site
  bool read = false;              // it was a document, and its links were followed
  std::size_t links = 0;          // that were found in it
  bool from_cache = false;        // the verdict is one of an earlier day
  std::string content_type = {};  // as the server said; "" if it said nothing
};

/// A link that leads to a bad URL: of those found before the verdict the first
/// frontier_options::sources, later ones all; of one place once. A bad start page that nobody links
/// to is told once, with a `source` without a page.
struct crawl_broken_link {
  std::string url;  // without user and password
  int status = 0;   // 0: there was no response
  check_error error;
  crawl_source source;
};

/// A link to a place in a page that has no such place. The page itself is fine.
struct crawl_broken_fragment {
  std::string url;       // without the fragment
  std::string fragment;  // without "#"
  std::string hint;      // "there is \"Install\"": what may have been meant; or ""
  crawl_source source;
};

/// A link that was found and is not checked. Links to what is not asked for because of robots.txt
/// or the limit are told as those of crawl_broken_link are.
struct crawl_skipped_link {
  std::string url;  // or what the page said, where that is none; what is very long is cut
  crawl_skip_reason why;
  crawl_source source;
};

/// A page of the site that is no document with links: "Not html".
struct crawl_not_read {
  std::string url;
  std::string content_type;
};

/// With crawl_options::dump: a link that was found.
struct crawl_found_link {
  std::string url;
  crawl_source source;
};

/// Something that people should know and that is no link's fault: "robots.txt of http://a:
/// 503 Service Unavailable: nothing is asked of it".
struct crawl_note {
  std::string text;
};

using crawl_event = std::variant<crawl_verdict, crawl_broken_link, crawl_broken_fragment,
                                 crawl_skipped_link, crawl_not_read, crawl_found_link, crawl_note>;

/// Takes what happens; called for one event at a time. While it waits, the crawl waits. Not called
/// again after it threw; cancellation does not reach it, but for check_options::last_words.
using crawl_sink = std::move_only_function<task<>(crawl_event)>;

/// What goes on while a crawl runs.
struct crawl_progress {
  std::uint64_t pages = 0;          // read
  std::uint64_t links = 0;          // found
  std::uint64_t urls = 0;           // claimed
  std::uint64_t done = 0;           // that have a verdict
  std::uint64_t bad = 0;            // of them
  std::uint64_t queued = 0;         // to be asked
  std::uint64_t running = 0;        // under way
  std::uint64_t retries = 0;        // that wait for another try
  std::uint64_t hosts_waiting = 0;  // with something queued that must not be asked yet
};

/// A bad URL, and where it is linked.
struct crawl_broken_url {
  std::string url;  // without user and password
  int status = 0;
  check_error error;
  std::vector<crawl_source> sources;  // the first frontier_options::sources of them
  std::uint64_t linked = 0;           // links to it, in all
};

/// A redirect that pages lead to, and whose end is fine: people may want to write that into them.
struct crawl_redirect {
  int status = 0;
  std::string from, to;               // `to`: the end
  std::vector<crawl_source> sources;  // links to `from`, as above
};

/// What a host was asked, for people.
struct crawl_host {
  std::string name;  // as in a Host field
  std::uint64_t requests = 0;
  std::uint64_t bad = 0;
  std::uint64_t pauses = 0;  // that it asked for
  duration mean{};           // of a request
  duration slowest{};
};

/// What a crawl came to, in all its runs.
struct crawl_report {
  std::vector<std::string> start;
  std::uint64_t pages = 0;               // read
  std::uint64_t links = 0;               // found in them
  std::uint64_t urls = 0;                // with a verdict
  std::vector<crawl_broken_url> broken;  // in the order in which they were found, and last what is
                                         // no URL; none that only redirects lead to
  std::vector<crawl_broken_fragment> fragments;
  std::vector<crawl_redirect> redirects;
  std::array<std::uint64_t, crawl_skip_reasons> skipped{};
  std::uint64_t not_read = 0;     // pages that are no documents
  std::vector<crawl_host> hosts;  // the most asked first; at most max_hosts
  duration elapsed{};             // of this run
  bool resumed = false;           // an earlier run had begun
  static constexpr std::size_t max_hosts = 1000;
};

/// How to crawl. Setters chain.
class crawl_options {
 public:
  /// How each URL is asked for: concurrency, timeouts, retries, accepted statuses, the client with
  /// its agent, header fields, TLS and proxies. Its model is always async; `method` automatic means
  /// GET for pages and HEAD, then GET, for the rest.
  check_options& check() noexcept { return check_; }
  crawl_options& check(check_options o) {
    check_ = std::move(o);
    return *this;
  }
  /// What is claimed: level, limit, external, patterns, schemes, budgets, remembered sources.
  crawl_options& frontier(frontier_options o) {
    frontier_ = std::move(o);
    return *this;
  }
  /// How often and how many at a time a host is asked.
  crawl_options& limiter(limiter_options o) {
    limiter_ = std::move(o);
    return *this;
  }
  /// Whether each origin's robots.txt is asked for and heeded (true).
  crawl_options& robots(bool on) noexcept {
    robots_ = on;
    return *this;
  }
  /// The product that robots.txt is read for; the same as the client's User-Agent ("oneloop/0.1").
  crawl_options& agent(std::string text) {
    agent_ = std::move(text);
    return *this;
  }
  /// Statuses that are fine on some hosts ("*.example.org", as in rate_rule), beside what
  /// check_options::accept says of all. The first pattern that matches is for a host.
  crawl_options& accept(std::string hosts, const status_set& statuses) {
    accept_.emplace_back(std::move(hosts), statuses);
    return *this;
  }
  /// Whether fragments are looked up (false), and which are not: patterns (RE2) that match anywhere
  /// in the URL with its fragment.
  crawl_options& fragments(bool on) noexcept {
    fragments_ = on;
    return *this;
  }
  crawl_options& fragment_exclude(std::string pattern) {
    fragment_exclude_.push_back(std::move(pattern));
    return *this;
  }
  /// Links inside <pre>, <code> and the like, and in code of Markdown (false).
  crawl_options& code_blocks(bool on) noexcept {
    code_blocks_ = on;
    return *this;
  }
  /// Whether the address in a "mailto:", or the number in a "tel:", is looked at (false). Nothing
  /// is sent: it has to have the form of one.
  crawl_options& mail(bool on) noexcept {
    mail_ = on;
    return *this;
  }
  crawl_options& telephone(bool on) noexcept {
    telephone_ = on;
    return *this;
  }
  /// No request at all: only what leads to files of this machine is checked.
  crawl_options& offline(bool on) noexcept {
    offline_ = on;
    return *this;
  }
  /// Links found in the start pages are told (crawl_found_link) and not asked for.
  crawl_options& dump(bool on) noexcept {
    dump_ = on;
    return *this;
  }
  /// What relative links of local documents are resolved against, in place of their own place.
  crawl_options& base(url u) {
    base_ = std::move(u);
    return *this;
  }
  /// The directory that links of local documents that begin with "/" are looked up in.
  crawl_options& root_dir(std::string directory) {
    root_dir_ = std::move(directory);
    return *this;
  }
  /// URLs that `pattern` (RE2) matches are asked for under another name: what matched is replaced
  /// by `to`, in which \1 to \9 stand for groups. "file:" URLs may come of it. In order, each at
  /// most once a URL. Reports name the URL as the page has it.
  crawl_options& remap(std::string pattern, std::string to) {
    remap_.emplace_back(std::move(pattern), std::move(to));
    return *this;
  }
  /// The file of a crawl that can be interrupted and goes on (state.hpp).
  crawl_options& state_file(std::string path) {
    state_file_ = std::move(path);
    return *this;
  }
  /// Verdicts of other crawls that are not older than `max_age` are taken (state.hpp). Pages of the
  /// site are read all the same.
  crawl_options& cache_file(std::string path, duration max_age) {
    cache_file_ = std::move(path);
    cache_age_ = max_age;
    return *this;
  }
  /// The most bytes of a page that are read (16 MiB); what is longer is bad: "limit".
  crawl_options& max_page(std::uint64_t bytes) noexcept {
    max_page_ = bytes;
    return *this;
  }
  /// Keeps `p` up to date, on the loop's thread. It must live as long as the task.
  crawl_options& progress(crawl_progress& p) noexcept {
    progress_ = &p;
    return *this;
  }

 private:
  friend class detail::crawl_settings;
  check_options check_;
  frontier_options frontier_;
  limiter_options limiter_;
  bool robots_ = true;
  std::string agent_ = "oneloop/0.1";
  std::vector<std::pair<std::string, status_set>> accept_;
  bool fragments_ = false;
  std::vector<std::string> fragment_exclude_;
  bool code_blocks_ = false;
  bool mail_ = false;
  bool telephone_ = false;
  bool offline_ = false;
  bool dump_ = false;
  std::optional<url> base_;
  std::string root_dir_;
  std::vector<std::pair<std::string, std::string>> remap_;
  std::string state_file_;
  std::string cache_file_;
  duration cache_age_{};
  std::uint64_t max_page_ = std::uint64_t{16} * 1024 * 1024;
  crawl_progress* progress_ = nullptr;
};

/// Crawls. `starts`: URLs (with or without "http://"), and paths of files and directories; a start
/// that exists as a file is one. Everything given by value lives as long as the task.
///
/// Cancellation: no new requests; what is under way is given up and has no verdict. The state file
/// is closed whole, so that the same crawl goes on from there. Then it throws `cancelled`;
/// `partial`, if given, holds the report up to then. Errors: a start that is neither a URL nor
/// there (what is named like a document is a file), a directory without documents, a pattern that
/// is none, a state file of another crawl or in use: error, which names it. What `sink` throws ends
/// the crawl and is thrown on.
[[nodiscard]] ONELOOP_API task<crawl_report> crawl(std::vector<std::string> starts, crawl_sink sink,
                                                   crawl_options options = {},
                                                   crawl_report* partial = nullptr);

}  // namespace oneloop::inline v0
