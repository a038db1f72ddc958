// Which reports of a crawl are written, and where.
#pragma once

#include <string>
#include <vector>

#include "crawl_report.hpp"

namespace tool {

struct planned_report {
  crawl_format format;
  std::string file;  // empty: standard output
  friend bool operator==(const planned_report&, const planned_report&) = default;
};

/// What the values of --format and -o, each in their order, come to:
/// - without a file, the format (text) goes to standard output;
/// - each file takes the format at its place; where there are fewer formats, the end of the file's
///   name says which;
/// - of one format more than there are files, standard output gets "text" if that is among them,
///   else the last one. "-" is standard output, too.
/// Throws usage_error.
std::vector<planned_report> plan_reports(const std::vector<std::string>& formats,
                                         const std::vector<std::string>& files);

}  // namespace tool
