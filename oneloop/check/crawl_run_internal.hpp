// One crawl, from its starts to its report. Internal to check/.
//
//     frontier -> hand_out -> limiter -> take_turns -> visit -> (document) -> frontier
//                                                       |
//                                        settle -> publish: state file -> sink
//
// Data goes round in one direction. A URL is *open* from when the frontier has handed it out until
// all has been told about it; when none is open, and none is to be handed out, the crawl is over.
//
// What changes the frontier or the ledger runs without a wait in between: what one page says is one
// change, in memory and in the state file.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/crawl.hpp"
#include "oneloop/check/fragments_internal.hpp"
#include "oneloop/check/frontier.hpp"
#include "oneloop/check/ledger_internal.hpp"
#include "oneloop/check/local_internal.hpp"
#include "oneloop/check/probe_internal.hpp"
#include "oneloop/check/rate.hpp"
#include "oneloop/check/record_internal.hpp"
#include "oneloop/check/retry_internal.hpp"
#include "oneloop/check/robots.hpp"
#include "oneloop/check/settings_internal.hpp"
#include "oneloop/check/state.hpp"
#include "oneloop/check/teller_internal.hpp"
#include "oneloop/html/extract.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::detail {

crawl_skip_reason reason_of(url_refusal r) noexcept;

class crawl_run {
 public:
  crawl_run(std::vector<std::string> starts, crawl_sink sink, crawl_options options);
  task<crawl_report> run(crawl_report* partial);

 private:
  /// A URL's try that is made again.
  struct another_try {
    url_id id;
    check_result result;
  };
  /// A URL that has its verdict, and all that is told and kept of it.
  struct verdict {
    verdict(url_id i, check_result r, url_record m)
        : id{i}, result{std::move(r)}, record{std::move(m)} {}
    url_id id;
    check_result result;
    url_record record;
    std::uint64_t links = 0;  // to it, by then; later ones are told when they are found
    std::vector<crawl_source> sources;
    bool kept = true;                          // in the state file
    bool told = true;                          // as an event
    std::optional<crawl_skip_reason> skipped;  // in place of a verdict
  };
  /// What a visit came to, all at once.
  struct outcome {
    std::vector<verdict> verdicts;
    std::vector<crawl_event> events;  // after those of the verdicts
  };
  /// A page while its links are taken.
  struct open_page {
    url_id id;
    url_record& record;
    const html::document& links;
    outcome& out;
    std::string name;                 // for people
    std::optional<std::string> path;  // of a local one
  };
  /// Who asks an origin for its robots.txt, and who waits for it.
  struct undecided {
    url_id asker;
    std::vector<url_id> others;
  };
  struct false_url {
    std::string why;
    std::vector<crawl_source> sources;
    std::uint64_t linked = 0;
  };
  struct host_record {
    std::uint64_t requests = 0, bad = 0, pauses = 0;
    duration total{}, slowest{};
  };

  // crawl.cpp: the way round
  task<> open();
  task<> work();
  task<> hand_out();
  task<> hand_out_one(url_id id);
  void queue(url_id id, const url& target);
  static task<> take_turns(crawl_run* self, nursery* n);
  static task<> try_again(crawl_run* self);
  static task<> visit(crawl_run* self, host_limiter::turn turn, semaphore_permit place);
  task<> ask_robots(url_id id, url target);
  task<> close();
  void close_one();
  void note_progress();
  [[nodiscard]] url asked_for(url_id id) const;
  [[nodiscard]] bool is_stranger(url_id id) const;

  // crawl_starts.cpp: where it begins
  task<> claim_starts();
  task<> restore();
  void take_up(saved_verdict v);
  void take_up_fragments();
  [[nodiscard]] outcome settle_waiting();

  // crawl_visit.cpp: asking
  task<> visit_url(url_id id, url target, host_limiter::turn& turn);
  task<> visit_file(url_id id, url target);
  task<bool> look_in_cache(url_id id);
  [[nodiscard]] bool wants_body(url_id id);
  [[nodiscard]] bool moved(url_id id, check_result r, url to, const inquiry* i, outcome& out);
  void give_up_late(url_id id, outcome& out);
  void want(url_id id, bool navigated, bool anchors, url_record& record);
  [[nodiscard]] task<html::document> document_of(html::media media, std::string text, url base,
                                                 bool of_file) const;

  // crawl_links.cpp: what a page says
  /// `how`: of the document.
  struct reading_as {
    html::document_kind kind;
    bool local = false;
  };
  void read(url_id id, check_result r, url_record record, const html::document& d, reading_as how,
            outcome& out);
  void take_link(open_page& p, const html::link& l);
  void take_address(open_page& p, const url& to, bool valid, link_place place);
  void take_false_link(open_page& p, false_link l);
  void keep_false_link(url_id page, const false_link& l);
  void skip_link(open_page& p, std::string text, crawl_skip_reason why, link_place place);
  [[nodiscard]] fragment_link redirected(fragment_link l) const;
  void take_fragment(fragment_link l, url_record& record, outcome& out);
  bool check_fragment(const html::anchor_set& anchors, const fragment_link& l, outcome* out);
  void settle_fragments(url_id id, outcome& out);

  // crawl_verdicts.cpp: what it came to
  void settle(url_id id, check_result r, url_record record, outcome& out);
  void settle_all(std::vector<verdict> ready, outcome& out);
  void settle_one(verdict v, outcome& out);
  void keep_for_other_days(const verdict& v);
  void skip(url_id id, crawl_skip_reason why, outcome& out);
  void leave_out(url_id id, crawl_skip_reason why, outcome& out);
  [[nodiscard]] verdict end_of_move(url_id from, const pending_move& p);
  void count(const url_record& record) noexcept;
  void note_host(std::string_view host, bool bad, std::uint64_t requests, duration spent);
  task<> publish(outcome out);
  task<> tell(outcome& out);
  task<std::vector<crawl_source>> sources_of(url_id id, std::uint64_t most);
  [[nodiscard]] std::vector<crawl_source> sources_named(const std::vector<link_source>& all,
                                                        std::uint64_t most) const;
  [[nodiscard]] std::string name_of(url_id id) const;
  [[nodiscard]] std::string name_of(const url& u) const;
  task<crawl_report> report();

  loop& loop_;
  std::vector<std::string> starts_;
  crawl_settings settings_;
  crawl_teller teller_;
  std::optional<frontier> frontier_;  // when the starts are known
  crawl_ledger ledger_;
  fragment_book fragments_;
  local_site local_;
  check_probe probe_;
  std::optional<robots_cache> robots_;
  host_limiter limiter_;
  std::optional<crawl_state> state_;
  std::optional<verdict_cache> cache_;
  semaphore places_;

  time_point begun_;
  event changed_{true};    // something to hand out, or the end
  event retries_changed_;  // something that try_again looks at
  std::size_t open_ = 0;
  std::size_t running_ = 0;
  basic_retry_queue<another_try> later_;
  std::unordered_map<url_id, check_result> tried_;        // that are in the limiter for another try
  std::unordered_map<std::string, undecided> undecided_;  // by origin
  std::unordered_map<url_id, std::shared_ptr<http::cookie_jar>> jars_;  // that redirects set
  std::unordered_set<url_id> in_one_go_;  // redirects that the client has to follow by itself
  std::vector<url_id> reopened_;          // that have a verdict, and whose body is wanted after all

  // What it came to so far.
  crawl_report so_far_;
  std::vector<std::string> false_order_;
  std::unordered_map<std::string, false_url> false_urls_;
  std::vector<fragment_link> unknown_fragments_;  // of earlier runs
  std::unordered_map<std::string, host_record> hosts_;
  time_point looked_at_hosts_{};
};

}  // namespace oneloop::inline v0::detail
