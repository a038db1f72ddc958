// Random web sites with planted faults, the truth about them, and a server for them.
//
//     planted::site site{seed, {"site.test", "other.test"}};
//     planted::server server{site};
//     n.start([](planted::server* s, net::tcp_listener* l) { return s->serve(*l, 0); }, ...);
//     ... crawl(site.start()) ...
//     site.urls()       what each URL is: fine, or bad in which way, and how often it may be asked
//     site.links()      what each link leads to, and where it stands
//     server.counted()  how often each URL was asked
//
// Two hosts: the site itself, and another one, whose pages are not to be read. One seed makes one
// site, whatever the names of the hosts. Every page that the truth counts on can be reached.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::planted {

/// How an answer goes over the wire.
enum class manner : std::uint8_t {
  whole,            // in one piece, with its length
  chunked,          // in chunks
  unframed,         // until the connection ends
  dribble,          // a few bytes at a time
  surplus,          // the length says half of what comes
  drop,             // the connection ends without an answer
  cut,              // it ends in the middle of the body
  cut_chunked,      // the same in chunks
  bad_chunk,        // a chunk whose size is no number
  garbage,          // no HTTP at all
  hang,             // no answer, and the connection stays
  stall,            // half of the body, and no more
  endless,          // a body without end, as fast as it goes
  endless_dribble,  // a few bytes of it at a time
};

/// One answer.
struct reply {
  int status = 200;
  std::string type = "text/html; charset=utf-8";  // the Content-Type field; "": none
  std::string fields;                             // more of them, each with its CRLF
  std::string body;
  manner how = manner::whole;
  bool too_large = false;  // more than is to be read
};

/// What stands at one path.
struct resource {
  std::vector<reply> first;  // to the first requests, one each
  reply then;                // to all others
  int to_head = 0;           // unless 0: the status that every HEAD is answered with
};

/// What is true of a URL.
struct url_truth {
  bool ok = true;
  std::optional<http::error_kind> kind;  // of the failure
  std::optional<int> status;             // of the last response, where that is sure
  bool sure = true;                      // else it may also be the other way round
  bool internal = true;
  bool document = false;  // of the site, and read for links
  bool asked = true;      // at least once
  /// Answers of 2xx and 3xx that came whole; exactly so many, if the URL is asked at all.
  int successes = 1;
  /// Requests that got anything else: at most so many of each method, and at least so many in all
  /// (the tries that a passing fault deserves).
  int failed_heads = 0, failed_gets = 0, least_failed = 0;
  std::string redirect;  // where it leads in the end, if it is a redirect
  int redirect_status = 0;
};

/// What is to be made of a link.
enum class link_truth_kind : std::uint8_t {
  plain,        // it leads to `url`, whatever that is
  no_fragment,  // besides, there is no such place in that page
  other_case,   // the same, but there is one whose name differs in case
  scheme,       // skipped: "javascript:", "data:"
  mail,         // skipped
  telephone,    // skipped
  robots,       // skipped
  unsure,       // may be skipped or not
};

/// A link in a page that is read.
struct link_truth {
  link_truth_kind kind = link_truth_kind::plain;
  std::string page;  // its canonical URL
  std::uint32_t line = 0, column = 0;
  std::string element;              // "a[href]"; "" where it is not compared
  std::optional<std::string> text;  // what people see of it, where that is compared
  std::string url;                  // canonical, without a fragment; or as it is written
  std::string fragment;             // where one is missing
};

/// A part of the site that has no end.
struct zone {
  std::string prefix;  // of its canonical URLs
  int least = 1;       // requests
  int most = 0;
  bool skips = true;  // links of it are skipped as a trap
};

/// What a site is to have.
struct shape {
  int pages = 12;               // that can be read
  int faults = 14;              // kinds of them that are tried
  bool slow = true;             // answers that come too late or never
  bool unnamed = true;          // a host that does not exist
  bool traps = true;            // parts without end
  int retries = 2;              // of a check; the truth depends on it
  int alike = 40;               // trap_limits::alike
  int alike_query = 20;         // trap_limits::alike_with_query
  std::size_t cap = 64 * 1024;  // crawl_options::max_page
  std::string refused;          // "site.test:81": nobody listens there; "": no such links
};

/// The same URL in one spelling, without its fragment. What is no URL stays as it is.
std::string canonical(std::string_view url);

class site {
 public:
  /// `authorities`: of the site and of the other host, "127.0.0.1:8080".
  site(std::uint64_t seed, std::array<std::string, 2> authorities, shape how = {});

  [[nodiscard]] std::string start() const { return url_of(0, "/"); }
  [[nodiscard]] std::string url_of(int host, std::string_view path) const;
  [[nodiscard]] const shape& made_like() const noexcept { return shape_; }

  /// By canonical URL: all that are to get a verdict, but for those of zones.
  [[nodiscard]] const std::map<std::string, url_truth>& urls() const noexcept { return urls_; }
  [[nodiscard]] const std::vector<link_truth>& links() const noexcept { return links_; }
  [[nodiscard]] const std::vector<zone>& zones() const noexcept { return zones_; }
  /// The zone of a canonical URL, or null.
  [[nodiscard]] const zone* zone_of(std::string_view url) const noexcept;
  /// What was planted, for messages.
  [[nodiscard]] const std::set<std::string>& planted() const noexcept { return planted_; }

  /// What stands at a canonical URL; null: nothing.
  [[nodiscard]] const resource* find(const std::string& url) const;
  /// The same in zones: made on the spot.
  [[nodiscard]] std::optional<reply> make(std::string_view url) const;

 private:
  class builder;
  std::array<std::string, 2> authorities_;
  shape shape_;
  std::map<std::string, resource> resources_;  // by canonical URL
  std::map<std::string, url_truth> urls_;
  std::vector<link_truth> links_;
  std::vector<zone> zones_;
  std::set<std::string> planted_;
};

/// Requests for one URL.
struct request_count {
  int head = 0, get = 0;                // all of them
  int failed_head = 0, failed_get = 0;  // of them, that got no 2xx or 3xx, or not all of it
  int successes = 0;
  [[nodiscard]] int all() const noexcept { return head + get; }
};

/// Answers for a site, with whatever framing it is to have. On one loop.
class server {
 public:
  explicit server(const site& s) : site_{s} {}

  /// Until it is cancelled. `host`: 0 for the site, 1 for the other.
  task<> serve(net::tcp_listener& at, int host);
  /// Every answer comes so much later.
  server& delay(duration d) noexcept {
    delay_ = d;
    return *this;
  }

  /// By canonical URL.
  [[nodiscard]] const std::map<std::string, request_count>& counted() const noexcept {
    return counted_;
  }
  /// What was asked, in its order: "GET http://...". From any thread.
  [[nodiscard]] std::vector<std::string> log() const {
    const std::scoped_lock hold{lock_};
    return log_;
  }

 private:
  struct answer {
    reply what;
    request_count* count = nullptr;
    bool head = false;
  };
  answer answer_to(int host, std::string_view method, std::string_view target);
  task<bool> send(net::tcp_stream& to, answer a);
  task<> talk(net::tcp_stream stream, int host);

  const site& site_;
  duration delay_{};
  std::map<std::string, request_count> counted_;
  std::map<std::string, std::size_t> given_;  // of resource::first
  mutable std::mutex lock_;
  std::vector<std::string> log_;
};

}  // namespace oneloop::planted
