// What the formats of a crawl's report share. Only crawl_report*.cpp include it.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "crawl_report.hpp"

namespace tool {

// One maker a format.
std::unique_ptr<crawl_writer> text_crawl_writer(bool verbose);
std::unique_ptr<crawl_writer> json_crawl_writer();
std::unique_ptr<crawl_writer> ndjson_crawl_writer();
std::unique_ptr<crawl_writer> junit_crawl_writer();
std::unique_ptr<crawl_writer> sarif_crawl_writer(bool verbose);
std::unique_ptr<crawl_writer> csv_crawl_writer(bool verbose);
std::unique_ptr<crawl_writer> html_crawl_writer();
std::unique_ptr<crawl_writer> github_crawl_writer();

// crawl_report_page.cpp
extern const char* const page_style;
extern const char* const page_script;

/// For formats that write as things happen: tells each broken link and fragment once, also those
/// that only the report of several runs knows.
class streaming_crawl_writer : public crawl_writer {
 public:
  std::string event(const oneloop::crawl_event& e) final;
  std::string end(const oneloop::crawl_report& r) final;

 protected:
  virtual std::string broken(const oneloop::crawl_broken_link& b) = 0;
  virtual std::string broken(const oneloop::crawl_broken_fragment& b) = 0;
  virtual std::string other(const oneloop::crawl_event& e) = 0;
  virtual std::string last(const oneloop::crawl_report&) { return {}; }

 private:
  std::vector<std::uint64_t> told_;  // a hash of each
};

/// Links to one missing place, in the order in which they were found.
struct missing_place {
  const oneloop::crawl_broken_fragment* first;
  std::vector<const oneloop::crawl_source*> sources;
};
std::vector<missing_place> by_place(const oneloop::crawl_report& r);

/// "docs/a.md:12:5", or as much of it as is known.
std::string place_of(const oneloop::crawl_source& s);
/// "no such place in the page; there is "Install""
std::string reason_of(const oneloop::crawl_broken_fragment& b);
/// "http://a/b#c"
std::string target_of(const oneloop::crawl_broken_fragment& b);
/// 301 and 308: pages had better name the end of it.
bool is_permanent(const oneloop::crawl_redirect& r) noexcept;

/// The path of a page that is a file of this machine: relative where it is below the working
/// directory, else absolute.
std::optional<std::string> file_of(std::string_view page);

/// One line of UTF-8: printable(), and U+FFFD for what is no character.
std::string plain(std::string_view text);
/// plain() as text or as a quoted attribute of HTML and XML.
std::string escaped(std::string_view text);
/// 1204 as "1,204".
std::string grouped(std::uint64_t n);
/// The same for all runs of all programs.
std::uint64_t hash_of(std::initializer_list<std::string_view> parts) noexcept;

}  // namespace tool
