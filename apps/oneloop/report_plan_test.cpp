#include "report_plan.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "arguments.hpp"

namespace tool {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using f = crawl_format;
using r = planned_report;

std::string refusal(const std::vector<std::string>& formats,
                    const std::vector<std::string>& files) {
  try {
    (void)plan_reports(formats, files);
  } catch (const usage_error& e) {
    return e.what();
  }
  return {};
}

TEST(report_plan, is_text_on_standard_output_unless_something_else_is_said) {
  EXPECT_THAT(plan_reports({}, {}), ElementsAre(r{f::text, ""}));
  EXPECT_THAT(plan_reports({"sarif"}, {}), ElementsAre(r{f::sarif, ""}));
}

TEST(report_plan, pairs_files_with_formats_in_their_order) {
  EXPECT_THAT(plan_reports({"json", "junit"}, {"a", "b.html"}),
              ElementsAre(r{f::json, "a"}, r{f::junit, "b.html"}));
  EXPECT_THAT(plan_reports({"csv"}, {"a", "b.html"}),
              ElementsAre(r{f::csv, "a"}, r{f::html, "b.html"}));
}

TEST(report_plan, tells_a_format_from_the_end_of_a_name) {
  EXPECT_THAT(
      plan_reports({}, {"a.json", "a.ndjson", "a.jsonl", "a.xml", "a.sarif", "a.sarif.json",
                        "a.csv", "a.html", "a.txt", "-"}),
      ElementsAre(r{f::json, "a.json"}, r{f::ndjson, "a.ndjson"}, r{f::ndjson, "a.jsonl"},
                  r{f::junit, "a.xml"}, r{f::sarif, "a.sarif"}, r{f::sarif, "a.sarif.json"},
                  r{f::csv, "a.csv"}, r{f::html, "a.html"}, r{f::text, "a.txt"}, r{f::text, ""}));
}

TEST(report_plan, has_one_report_for_standard_output_beside_files) {
  EXPECT_THAT(plan_reports({"text", "sarif"}, {"a.sarif"}),
              ElementsAre(r{f::sarif, "a.sarif"}, r{f::text, ""}));
  EXPECT_THAT(plan_reports({"sarif", "github"}, {"a.sarif"}),
              ElementsAre(r{f::sarif, "a.sarif"}, r{f::github, ""}));
  EXPECT_THAT(plan_reports({"html", "text"}, {"a", "-"}),
              ElementsAre(r{f::html, "a"}, r{f::text, ""}));
}

TEST(report_plan, says_what_is_wrong) {
  EXPECT_EQ(refusal({"yaml"}, {}),
            "--format yaml: must be text, json, ndjson, junit, sarif, csv, html or github");
  EXPECT_THAT(refusal({"json", "csv"}, {}), HasSubstr("--format csv: 2 formats for 0 files"));
  EXPECT_THAT(refusal({}, {"report"}), HasSubstr("-o report: which format?"));
  EXPECT_EQ(refusal({}, {"a.csv", "a.csv"}), "-o a.csv: two reports in one file");
  EXPECT_EQ(refusal({"json"}, {"-", "-"}), "-o -: two reports for standard output");
}

}  // namespace
}  // namespace tool
