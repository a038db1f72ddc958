#include "report_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "arguments.hpp"

namespace tool {
namespace {

/// By its end; the first that fits.
constexpr std::array<std::pair<std::string_view, crawl_format>, 10> endings{{
    {".sarif.json", crawl_format::sarif},
    {".json", crawl_format::json},
    {".ndjson", crawl_format::ndjson},
    {".jsonl", crawl_format::ndjson},
    {".xml", crawl_format::junit},
    {".sarif", crawl_format::sarif},
    {".csv", crawl_format::csv},
    {".html", crawl_format::html},
    {".htm", crawl_format::html},
    {".txt", crawl_format::text},
}};

crawl_format format_of(const std::string& file) {
  if (file == "-") return crawl_format::text;
  for (const auto& [ending, format] : endings) {
    if (file.ends_with(ending)) return format;
  }
  throw bad_option{"-o", file,
                   "which format? Name it with --format, or end the name in .json, .ndjson, .xml "
                   "(junit), .sarif, .csv, .html or .txt"};
}

}  // namespace

std::vector<planned_report> plan_reports(const std::vector<std::string>& formats,
                                         const std::vector<std::string>& files) {
  std::vector<crawl_format> named;
  for (const auto& f : formats) {
    named.push_back(static_cast<crawl_format>(parse_choice("--format", f, crawl_format_names)));
  }
  if (named.size() > files.size() + 1) {
    throw bad_option{"--format", formats.back(),
                     fmt::format("{} formats for {} file{} and standard output: name a file for "
                                 "each with -o",
                                 formats.size(), files.size(), files.size() == 1 ? "" : "s")};
  }
  std::vector<planned_report> plan;
  std::optional<crawl_format> beside;
  if (named.size() == files.size() + 1) {
    auto at = std::ranges::find(named, crawl_format::text);
    if (at == named.end()) --at;
    beside = *at;
    named.erase(at);
  }
  for (std::size_t i = 0; i < files.size(); ++i) {
    const auto format = i < named.size() ? named[i] : format_of(files[i]);
    plan.push_back({format, files[i] == "-" ? "" : files[i]});
  }
  if (beside || files.empty()) plan.push_back({beside.value_or(crawl_format::text), ""});
  for (std::size_t i = 0; i < plan.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (plan[i].file != plan[j].file) continue;
      throw usage_error{plan[i].file.empty()
                            ? "-o -: two reports for standard output"
                            : fmt::format("-o {}: two reports in one file", plan[i].file)};
    }
  }
  return plan;
}

}  // namespace tool
