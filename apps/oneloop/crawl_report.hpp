// How a crawl looks: lines for people, documents for programs, a page for everybody else.
//
//     auto w = crawl_writer::make(crawl_format::text, false);
//     out.add(w->begin());
//     out.add(w->event(e));     // for each event, in their order
//     out.add(w->end(report));  // also of a crawl that was cut short: the document is whole then
//
// *When*: text, ndjson and github write what happens as it happens. Of a crawl that goes on from an
// earlier run, end() tells what was told before it, so that one output has it all. The others write
// at the end, from the report.
// *Safety*: pages and servers may send any bytes. None of them moves a cursor, ends a string or a
// tag, or becomes a formula; what is not UTF-8 becomes U+FFFD where a format asks for UTF-8.
// *Memory*: eight bytes for each broken link told; junit keeps some passing URLs (at most 10,000).
// end() of the formats that write there gives the whole document.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "oneloop/base/clock.hpp"
#include "oneloop/check/crawl.hpp"

namespace tool {

inline constexpr const char* crawl_format_names = "text|json|ndjson|junit|sarif|csv|html|github";
enum class crawl_format { text, json, ndjson, junit, sarif, csv, html, github };  // in that order

/// The pieces of one report, in the order in which they are written. One thread at a time.
class crawl_writer {
 public:
  /// `verbose`: text tells also what was not checked, redirects and what is OK; sarif and csv also
  /// permanent redirects. The other formats are the same either way.
  static std::unique_ptr<crawl_writer> make(crawl_format f, bool verbose);

  crawl_writer() = default;
  crawl_writer(const crawl_writer&) = delete;
  crawl_writer& operator=(const crawl_writer&) = delete;
  virtual ~crawl_writer() = default;

  virtual std::string begin() { return {}; }
  /// Nothing, or whole lines. Notes are for standard error: of the formats only ndjson has them.
  virtual std::string event(const oneloop::crawl_event& e) = 0;
  virtual std::string end(const oneloop::crawl_report& r) = 0;
};

/// "1,204 pages, 20,311 links, 3,120 URLs, 12 broken, 2 fragments in 3.21 s"
std::string crawl_summary_line(const oneloop::crawl_report& r);

/// "1,204 pages, 20,311 links, 64 queued, 12 bad, 402/s, 2 hosts waiting", in `width` columns at
/// most. `time` is that since the start.
std::string crawl_progress_text(const oneloop::crawl_progress& p, oneloop::duration time,
                                bool colours, std::size_t width);

}  // namespace tool
