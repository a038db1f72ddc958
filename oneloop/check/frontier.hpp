// What a crawl has found: every URL once, how deep it is, where it is linked, and which of them are
// still to be asked.
//
//     oneloop::frontier f{oneloop::frontier_options{}.level(2)};
//     f.start(*oneloop::url::parse("http://example.org/"));
//     while (auto id = f.next()) {
//       auto links = ask(f.said(*id));                       // fetch, read
//       if (f.follows(*id)) for (auto& l : links) f.link(*id, l.to, l.place);
//       f.done(*id);
//     }
//
// *Claims*: a URL is claimed when it is found, so it is handed out once, whoever finds it again.
// Two URLs are one if they are equal but for the fragment and for escapes that mean nothing
// ("%7Euser", "~user"); what is asked is what the first page said.
// *The site*: URLs on the hosts of the start pages, on those that start pages redirect to, and
// those that an `internal` pattern matches. Pages of the site are followed: their links are claimed
// in turn. Others are asked only, unless `external` says otherwise.
// *Levels*: start pages are at depth 0, what a page links to is one deeper, what it redirects to is
// as deep as it is. Pages at the last level are asked and not followed; they are handed out when no
// page above is under way any more, because only then it is sure that they are the last. So are
// pages that only links with rel="nofollow" lead to. A URL that is found again at a smaller depth
// gets that depth, and so does what it links to. *Threads*: one at a time. Never waits. *Cost*:
// about 80 bytes a URL (of 80 bytes), and 28 a remembered source: a million are 110 MB. Under a
// microsecond a claim.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0 {

namespace detail {
class crawl_settings;
}

/// Stands for a URL: 0, 1, 2 and so on in the order of the claims.
using url_id = std::uint32_t;

/// Where a link stands in its page.
struct link_place {
  std::uint32_t line = 0;  // 0: not known
  std::uint32_t column = 0;
  std::string text;      // what people see
  std::string element;   // "a[href]"
  std::string fragment;  // of the link, without "#"
};

/// One link to a URL.
struct link_source {
  url_id page;
  link_place place;
};

/// Why a URL was not claimed.
enum class url_refusal : std::uint8_t {
  scheme,    // not one of frontier_options::scheme
  excluded,  // by a pattern, or included by none
  external,  // not of the site, and those are skipped
  trap,      // too much like a page that makes up links without end
};
[[nodiscard]] ONELOOP_API std::string_view to_string(url_refusal r) noexcept;

/// What became of a link.
struct url_claim {
  std::optional<url_id> id;        // nothing: refused
  bool fresh = false;              // nobody had claimed it before
  std::optional<url_refusal> why;  // it was refused
};

enum class external_links : std::uint8_t { check, skip, follow };

/// Budgets for pages that make up links without end. For pages of the site only, and never for
/// start pages.
struct trap_limits {
  std::size_t url = 8 * 1024;             // bytes
  std::size_t segments = 40;              // of the path
  std::size_t repeats = 3;                // of segments in a row: "/a/b/a/b/a/b/" are 3
  std::size_t parameters = 64;            // in the query
  std::size_t same_parameter = 8;         // of them with one name (names with "[]" apart)
  std::size_t depth = 1000;               // links from a start page
  std::size_t alike = 2'000'000;          // paths that differ in their numbers only
  std::size_t alike_with_query = 10'000;  // the same with a query of the same names
};

/// What a frontier takes. Setters chain; patterns are RE2 and match anywhere in the URL (without
/// its fragment).
class frontier_options {
 public:
  /// The depth of the last pages that are asked; no limit unless said otherwise.
  frontier_options& level(std::uint32_t n) noexcept {
    level_ = n;
    return *this;
  }
  /// How many URLs of the site are handed out; no limit unless said otherwise.
  frontier_options& limit(std::uint64_t pages) noexcept {
    limit_ = pages;
    return *this;
  }
  frontier_options& external(external_links e) noexcept {
    external_ = e;
    return *this;
  }
  /// Claims only what one of these patterns matches, and what no `exclude` does.
  frontier_options& include(std::string pattern) {
    include_.push_back(std::move(pattern));
    return *this;
  }
  frontier_options& exclude(std::string pattern) {
    exclude_.push_back(std::move(pattern));
    return *this;
  }
  /// What it matches is of the site.
  frontier_options& internal(std::string pattern) {
    internal_.push_back(std::move(pattern));
    return *this;
  }
  /// The schemes to claim ({"http", "https"}).
  frontier_options& schemes(std::vector<std::string> names) {
    schemes_ = std::move(names);
    return *this;
  }
  frontier_options& traps(const trap_limits& t) noexcept {
    traps_ = t;
    return *this;
  }
  /// How many of the links to a URL are remembered (1,000); the others are counted. While two
  /// million are remembered in memory, it is one for each further URL.
  frontier_options& sources(std::size_t most) noexcept {
    sources_ = most;
    return *this;
  }
  /// Collects what happens for a crawl_state: see frontier::changes. Sources are kept there then
  /// and not in memory.
  frontier_options& recorded(bool on = true) noexcept {
    recorded_ = on;
    return *this;
  }

 private:
  friend class frontier;
  friend class detail::crawl_settings;
  std::optional<std::uint32_t> level_;
  std::optional<std::uint64_t> limit_;
  external_links external_ = external_links::check;
  std::vector<std::string> include_, exclude_, internal_;
  std::vector<std::string> schemes_{"http", "https"};
  trap_limits traps_;
  std::size_t sources_ = 1000;
  bool recorded_ = false;
};

/// What happened to a frontier, in the words that make another one the same.
struct frontier_changes {
  struct claimed {
    url_id id;
    std::string url;  // as it was said
    std::uint32_t depth;
    bool followed;  // it is of the site
    bool led;       // by a link that may be followed
  };
  struct update {
    url_id id;
    std::uint32_t depth;
    bool followed;
    bool led;
  };
  struct edge {
    url_id from;
    url_id to;
    bool redirect;
  };
  struct source {
    url_id to;
    link_source from;
  };
  std::vector<claimed> claims;  // in the order of their ids
  std::vector<update> updates;
  std::vector<edge> links;
  std::vector<source> sources;
  std::vector<std::string> hosts;  // that came to the site

  [[nodiscard]] bool empty() const noexcept {
    return claims.empty() && updates.empty() && links.empty() && sources.empty() && hosts.empty();
  }
};

/// What frontier::statistics reports.
struct frontier_statistics {
  std::size_t urls;        // claimed
  std::size_t waiting;     // to be handed out
  std::size_t running;     // handed out and not done
  std::uint64_t links;     // claims, known ones included
  std::size_t over_limit;  // URLs that are not handed out because of `limit`
  std::size_t memory;      // bytes
};

class ONELOOP_API frontier {
 public:
  /// Throws error (misuse) if a pattern is none: "exclude "[a": missing ]".
  explicit frontier(frontier_options options = {});
  ~frontier();
  frontier(frontier&&) noexcept;
  frontier& operator=(frontier&&) noexcept;

  /// Claims a start page; its host is of the site from now on. Only its scheme can be refused.
  url_claim start(const url& page);
  /// Claims what a page links to. `from` was handed out and is followed. Unless it `leads` there
  /// (rel="nofollow"), what it links to comes with those of the last level: another link may lead
  /// there until then.
  url_claim link(url_id from, const url& to, const link_place& place = {}, bool leads = true);
  /// Claims what a URL redirects to. If `from` is a start page, the host is of the site then.
  url_claim redirect(url_id from, const url& to);

  /// The next URL to be asked, each once; nothing while there is none, which is the end when
  /// nothing is `running`.
  std::optional<url_id> next();
  /// Those that `next` has passed over since the last call, because of `limit`.
  [[nodiscard]] std::vector<url_id> left_out();
  /// Of one that was handed out: it was asked, and its links are claimed.
  void done(url_id id);

  /// The URL as it was said first, without its fragment.
  [[nodiscard]] std::string said(url_id id) const;
  [[nodiscard]] std::uint32_t depth(url_id id) const;
  /// Whether its links are to be claimed: of the site, and not at the last level.
  [[nodiscard]] bool follows(url_id id) const;
  /// Of the site (or everything is: external_links::follow).
  [[nodiscard]] bool internal(url_id id) const;
  /// Of the site as it was given: on the host of a start page (not by http if that was https), or
  /// one that an `internal` pattern matches. Others are not to be told what is secret.
  [[nodiscard]] bool given(const url& u) const;
  /// Whether it was claimed, and as what.
  [[nodiscard]] std::optional<url_id> find(const url& u) const;
  /// Links to it that were claimed, remembered ones and others; a start is none, nor a redirect.
  [[nodiscard]] std::uint32_t links_to(url_id id) const;
  /// Those that are remembered here, in the order of the claims; see frontier_options::recorded.
  [[nodiscard]] std::vector<link_source> sources(url_id id) const;
  /// They will not be asked for: the verdict is fine.
  void forget_sources(url_id id);
  /// URLs that are to be handed out: statistics().waiting, at no cost.
  [[nodiscard]] std::size_t waiting() const noexcept;
  [[nodiscard]] frontier_statistics statistics() const;

  /// What has happened since the last call, for a crawl_state. What belongs to one page (its links,
  /// or its redirect) has to be claimed without those of another in between, and taken at the end.
  [[nodiscard]] frontier_changes changes();
  /// Makes happen what happened to another frontier with the same options: in one piece or several,
  /// first all claims in their order, then the rest; before anything else. What was claimed is to
  /// be handed out.
  void restore(const frontier_changes& piece);
  /// Next, of what was restored: it was asked already.
  void restore_done(url_id id);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace oneloop::inline v0
