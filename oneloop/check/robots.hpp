// robots.txt (RFC 9309): what a site asks of crawlers.
//
//     auto rules = oneloop::robots::parse("User-agent: *\nDisallow: /private/\n", "oneloop/0.1");
//     assert(!rules.allows(*oneloop::url::parse("http://a/private/x")));
//
//     oneloop::robots_cache cache{client, nursery, oneloop::robots_options{}.agent("oneloop/0.1")};
//     auto file = co_await cache.get(page);      // asks each origin once, whoever asks
//     if (!file->rules.allows(page)) skip(page);
//
// *Rules*: those of the groups that name the product (the agent up to the first character that is
// no letter, digit, "-" or "_"; case does not matter), all of them together; if none does, those
// for "*". The longest pattern that matches decides, and of equally long ones an Allow. "*" stands
// for anything, "$" at the end for the end. Escapes that mean the same are the same. Lines that are
// not understood are passed over, and what comes after 500 KiB is not read.
//
// *Answers* (RFC 9309, 2.3.1): 2xx has the rules. After more than 5 redirects, or with 4xx, there
// are none: everything is allowed. With 5xx, or without an answer, nothing is allowed until it is
// asked again.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/check/check.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0 {

/// What a robots.txt asks of one product. A value; what it was read from is not kept.
class ONELOOP_API robots {
 public:
  /// So much of a text is read; a line that this cuts is left out.
  static constexpr std::size_t max_bytes = std::size_t{500} * 1024;

  /// Allows everything.
  robots() = default;
  /// Reads `text` for `agent`, which may be a product ("oneloop") or a whole User-Agent
  /// ("oneloop/0.1 (+https://...)"). Never fails: what is no rule is none.
  [[nodiscard]] static robots parse(std::string_view text, std::string_view agent);
  /// Allows nothing but /robots.txt itself.
  [[nodiscard]] static robots deny_all();

  /// Whether the page may be asked for. Only its path and query count; whose rules these are is
  /// the caller's affair.
  /// Cost: linear in the path for each rule that is as long as it or shorter.
  [[nodiscard]] bool allows(const url& page) const;
  /// The time that there should be between two requests; the longest one, if several are given.
  [[nodiscard]] std::optional<duration> crawl_delay() const noexcept { return crawl_delay_; }
  /// As they are written, in order: for whoever reads them, whatever the groups say.
  [[nodiscard]] const std::vector<std::string>& sitemaps() const noexcept { return sitemaps_; }
  /// Rules that are for this product.
  [[nodiscard]] std::size_t size() const noexcept { return rules_.size(); }

 private:
  class reader;
  struct rule {
    std::string pattern;  // in one spelling, a zero byte for each "*"
    bool to_the_end;
    bool allow;
    [[nodiscard]] std::size_t length() const noexcept { return pattern.size() + to_the_end; }
    [[nodiscard]] bool matches(std::string_view path) const noexcept;
  };
  std::vector<rule> rules_;  // the one that decides first
  std::optional<duration> crawl_delay_;
  std::vector<std::string> sitemaps_;
};

/// What an origin said when it was asked for its robots.txt.
struct robots_file {
  enum class answer : std::uint8_t {
    rules,        // those in the file
    unavailable,  // it has none: everything is allowed
    unreachable,  // it could not tell: nothing is allowed
  };
  answer said = answer::unavailable;
  robots rules;
  int status = 0;                    // of the last response; 0 if there was none
  std::optional<check_error> error;  // why it is unreachable
  bool host_failed = false;          // its host could not be reached at all: nor could any page
};

/// How a robots_cache asks. Setters chain.
class robots_options {
 public:
  /// The User-Agent of the requests, which must be that of the pages, and the product that the
  /// rules are for ("oneloop/0.1").
  robots_options& agent(std::string text) {
    agent_ = std::move(text);
    return *this;
  }
  /// How long an answer holds (24 h, as the RFC has it at most), and how long that there was none
  /// (10 minutes).
  robots_options& age(duration d, duration of_failures = std::chrono::minutes{10}) noexcept {
    age_ = d;
    age_of_failures_ = of_failures;
    return *this;
  }
  /// How long one try may take, with its redirects (30 s).
  robots_options& timeout(duration d) noexcept {
    timeout_ = d;
    return *this;
  }
  /// How often what may pass is tried again (2), with the delays of check_options::backoff.
  robots_options& retries(int n) noexcept {
    retries_ = n < 0 ? 0 : n;
    return *this;
  }
  /// The longest delay before a first retry (1 s), and before any (30 s).
  robots_options& backoff(duration first, duration most = std::chrono::seconds{30}) noexcept {
    backoff_first_ = first;
    backoff_most_ = most;
    return *this;
  }
  /// Origins that are remembered (16,384); of more, those that were asked first are forgotten.
  robots_options& most(std::size_t origins) noexcept {
    most_ = origins == 0 ? 1 : origins;
    return *this;
  }

 private:
  friend class robots_cache;
  std::string agent_ = "oneloop/0.1";
  duration age_ = std::chrono::hours{24};
  duration age_of_failures_ = std::chrono::minutes{10};
  duration timeout_ = std::chrono::seconds{30};
  duration backoff_first_ = std::chrono::seconds{1};
  duration backoff_most_ = std::chrono::seconds{30};
  int retries_ = 2;
  std::size_t most_ = 16384;
};

/// The robots.txt of many origins (scheme, host and port), each fetched when it is first asked for.
///
/// On one loop. The client and the nursery must outlive it; it must outlive what it has started in
/// the nursery.
class ONELOOP_API robots_cache {
 public:
  /// Fetches through `client`, in `fetches`: whoever waits may be cancelled without harm to others
  /// that wait for the same answer.
  robots_cache(http::client& client, nursery& fetches, robots_options options = {});
  ~robots_cache();
  robots_cache(const robots_cache&) = delete;
  robots_cache& operator=(const robots_cache&) = delete;

  /// What the origin of `page` says; everything is allowed where it is not http or https. Never
  /// null. A `stranger` is told nothing secret (http::request::to_stranger) if it is asked now.
  /// Throws closed_error if the nursery was cancelled meanwhile.
  [[nodiscard]] task<std::shared_ptr<const robots_file>> get(url page, bool stranger = false);

  /// What it remembers of that page's origin; null if it would have to ask.
  [[nodiscard]] std::shared_ptr<const robots_file> known(const url& page) const;

  /// Origins that it remembers or asks right now.
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace oneloop::inline v0
