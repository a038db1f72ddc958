// What crawl_options say, as the crawl uses it. Internal to check/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/crawl.hpp"
#include "oneloop/check/patterns_internal.hpp"
#include "oneloop/check/rate.hpp"
#include "oneloop/check/retry_internal.hpp"
#include "oneloop/check/robots.hpp"
#include "oneloop/check/state.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::detail {

class crawl_settings {
 public:
  explicit crawl_settings(crawl_options o);

  /// Statuses that are fine on this host.
  [[nodiscard]] const status_set& accepted(std::string_view host) const noexcept;
  /// Why nobody looks at links of this scheme, if so, whatever else they say.
  [[nodiscard]] std::optional<crawl_skip_reason> unasked(std::string_view scheme) const noexcept;
  /// What is asked for in place of a URL.
  [[nodiscard]] std::string remapped(const std::string& u) const {
    return remap.empty() ? u : remap.apply(u);
  }
  [[nodiscard]] bool fragment_excluded(const url& u) const {
    return !fragment_exclude.empty() && fragment_exclude.match(u.href());
  }
  /// What makes another run the same as this one.
  [[nodiscard]] crawl_identity identity(const std::vector<std::string>& starts) const;
  /// robots.txt is asked for as pages are.
  [[nodiscard]] robots_options robots_how() const;
  /// Claims file: URLs, too.
  void take_files();

  check_options check;
  frontier_options frontier;
  limiter_options limiter;
  bool robots;
  std::string agent;
  std::vector<std::pair<rate_rule, status_set>> accept;
  bool fragments;
  patterns fragment_exclude;
  bool code_blocks, mail, telephone, offline, dump;
  std::optional<url> base;
  std::string root_dir;
  replacements remap;
  std::string state_file, cache_file;
  duration cache_age;
  std::uint64_t max_page;
  crawl_progress* progress;

  // Of `check`.
  retry_rules retries;
  duration last_words;
  std::size_t concurrency;
  std::size_t max_redirects;
  check_method method;
  // Of `frontier`.
  std::size_t sources;

 private:
  std::vector<std::pair<std::string, std::string>> accept_texts_, remap_texts_;
  std::vector<std::string> fragment_exclude_texts_;
};

}  // namespace oneloop::inline v0::detail
