// How verdicts look: lines for people; for programs one JSON document, or one a line.
#pragma once

#include <string>

#include "oneloop/check/check.hpp"

namespace tool {

inline constexpr const char* format_names = "text|json|ndjson";
enum class report_format { text, json, ndjson };  // in that order

/// The pieces of a report, in the order in which they are written.
class report {
 public:
  explicit report(report_format f) noexcept : format_{f} {}
  /// One verdict.
  std::string result(const oneloop::check_result& r);
  /// The end of the document.
  std::string end(const oneloop::check_summary& s);

 private:
  report_format format_;
  bool begun_ = false;
};

/// More about a verdict, for people; a line each.
std::string details(const oneloop::check_result& r);

/// "12 URLs, 10 OK, 2 Bad in 1.25 s"
std::string summary_line(const oneloop::check_summary& s);

}  // namespace tool
