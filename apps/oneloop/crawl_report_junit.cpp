#include <fmt/format.h>

#include <chrono>
#include <variant>

#include "crawl_report_internal.hpp"
#include "oneloop/url/url.hpp"

namespace tool {
namespace {

/// A test case for each URL: what is broken, from the report; what is fine, by its name, as far as
/// there is room for it, and one test case for all others.
class junit_writer final : public crawl_writer {
 public:
  std::string event(const oneloop::crawl_event& e) override {
    const auto* v = std::get_if<oneloop::crawl_verdict>(&e);
    if (v == nullptr || !v->result.ok) return {};
    if (passed_.size() < most_passed && bytes_ < most_bytes) {
      bytes_ += v->result.url.size();
      passed_.push_back(v->result.url);
    }
    return {};
  }

  std::string end(const oneloop::crawl_report& r) override {
    const auto places = by_place(r);
    const std::uint64_t told = r.broken.size() + passed_.size();
    const std::uint64_t rest = r.urls > told ? r.urls - told : 0;
    const std::uint64_t links = told + (rest != 0 ? 1 : 0);
    const double seconds = std::chrono::duration<double>(r.elapsed).count();

    std::string text = fmt::format(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<testsuites name=\"oneloop crawl\" tests=\"{}\" failures=\"{}\" errors=\"0\" "
        "time=\"{:.3f}\">\n",
        links + places.size(), r.broken.size() + places.size(), seconds);
    text += suite("links", links, r.broken.size(), seconds);
    for (const auto& b : r.broken) {
      std::string where;
      for (const auto& s : b.sources) where += source(s);
      if (b.linked > b.sources.size() && !b.sources.empty()) {
        where += fmt::format("and {} more\n", grouped(b.linked - b.sources.size()));
      }
      text += failed(b.url, b.url, to_string(b.error.kind()), b.error.message(), where);
    }
    for (const auto& url : passed_) {
      text +=
          fmt::format("  <testcase classname=\"{}\" name=\"{}\"/>\n", host_of(url), escaped(url));
    }
    if (rest != 0) {
      text +=
          fmt::format("  <testcase classname=\"others\" name=\"{} more URLs\"/>\n", grouped(rest));
    }
    text += " </testsuite>\n";
    if (!places.empty()) {
      text += suite("fragments", places.size(), places.size(), 0);
      for (const auto& p : places) {
        std::string where;
        for (const auto* s : p.sources) where += source(*s);
        text += failed(p.first->url, target_of(*p.first), "fragment", reason_of(*p.first), where);
      }
      text += " </testsuite>\n";
    }
    return text + "</testsuites>\n";
  }

 private:
  static std::string suite(std::string_view name, std::uint64_t tests, std::uint64_t failures,
                           double seconds) {
    return fmt::format(
        " <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" "
        "time=\"{:.3f}\">\n",
        name, tests, failures, seconds);
  }

  static std::string failed(std::string_view url, std::string_view name, std::string_view type,
                            std::string_view reason, std::string_view where) {
    return fmt::format(
        "  <testcase classname=\"{}\" name=\"{}\">\n"
        "   <failure type=\"{}\" message=\"{}\">{}</failure>\n"
        "  </testcase>\n",
        host_of(url), escaped(name), type, escaped(reason), where);
  }

  static std::string source(const oneloop::crawl_source& s) {
    std::string line = escaped(place_of(s));
    if (!s.place.text.empty()) line += ": " + escaped(s.place.text);
    return line + "\n";
  }

  static std::string host_of(std::string_view url) {
    const auto u = oneloop::url::parse(url);
    return u && !u->host().empty() ? escaped(u->host_header()) : "files";
  }

  static constexpr std::size_t most_passed = 10'000;
  static constexpr std::size_t most_bytes = std::size_t{4} * 1024 * 1024;
  std::vector<std::string> passed_;
  std::size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<crawl_writer> junit_crawl_writer() { return std::make_unique<junit_writer>(); }

}  // namespace tool
