// How verdicts look: lines for people, one JSON document for programs.
#pragma once

#include <string>

#include "oneloop/check/check.hpp"

namespace tool {

enum class report_format { text, json };

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

/// "12 URLs, 10 OK, 2 Bad in 1.25 s"
std::string summary_line(const oneloop::check_summary& s);

}  // namespace tool
