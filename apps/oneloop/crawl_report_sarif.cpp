#include <fmt/format.h>

#include <map>

#include "crawl_report_internal.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/url/url.hpp"
#include "report_json.hpp"

namespace tool {
namespace {

using oneloop::http::error_kind;

struct rule {
  std::string_view id;
  std::string_view name;
  std::string_view text;
  std::string_view level;
};

constexpr rule fragment_rule{"broken-fragment", "BrokenFragment",
                             "The page is there, but not the place in it that the link leads to.",
                             "warning"};
constexpr rule redirect_rule{"permanent-redirect", "PermanentRedirect",
                             "The page has moved for good: link to where it is now.", "note"};

constexpr rule rule_of(error_kind kind) noexcept {
  switch (kind) {
    case error_kind::bad_url:
      return {"broken-link/bad_url", "NotAUrl", "The link is no URL that can be fetched.", "error"};
    case error_kind::dns:
      return {"broken-link/dns", "NoSuchHost", "The host's name has no address.", "error"};
    case error_kind::refused:
      return {"broken-link/refused", "ConnectionRefused", "Nobody listens at the address.",
              "error"};
    case error_kind::unreachable:
      return {"broken-link/unreachable", "HostUnreachable", "There is no way to the host.",
              "error"};
    case error_kind::reset:
      return {"broken-link/reset", "ConnectionReset", "The connection broke before an answer.",
              "error"};
    case error_kind::tls:
      return {"broken-link/tls", "TlsFailure",
              "The TLS handshake failed, or the certificate is not to be trusted.", "error"};
    case error_kind::timeout:
      return {"broken-link/timeout", "Timeout", "The answer took too long.", "error"};
    case error_kind::protocol:
      return {"broken-link/protocol", "ProtocolError",
              "The answer is not HTTP, or not all of what was promised.", "error"};
    case error_kind::redirect:
      return {"broken-link/redirect", "RedirectLoop",
              "A redirect leads nowhere, in a circle, or is one too many.", "error"};
    case error_kind::too_large:
      return {"broken-link/too_large", "TooLarge", "The answer is larger than it may be.", "error"};
    case error_kind::status:
      return {"broken-link/status", "HttpStatus", "The server says that there is no such page.",
              "error"};
    case error_kind::proxy:
      return {"broken-link/proxy", "ProxyFailure", "The proxy did not let the request through.",
              "error"};
    case error_kind::forbidden:
      return {"broken-link/forbidden", "ForbiddenAddress",
              "The link leads to what must not be asked.", "error"};
    case error_kind::cancelled:
      return {"broken-link/cancelled", "Cancelled", "The check was given up.", "note"};
    case error_kind::missing:
      return {"broken-link/missing", "NoSuchFile", "There is no such file, or it cannot be read.",
              "error"};
  }
  return {};
}

/// SARIF 2.1.0 as code scanning takes it: a result for each link.
class sarif_writer final : public crawl_writer {
 public:
  explicit sarif_writer(bool verbose) : verbose_{verbose} {}

  std::string event(const oneloop::crawl_event&) override { return {}; }

  std::string end(const oneloop::crawl_report& r) override {
    const oneloop::crawl_source nowhere{};
    for (const auto& b : r.broken) {
      const auto& rule = rule_of(b.error.kind());
      const auto message = fmt::format("Broken link to {} ({})", b.url, b.error.message());
      for (const auto& s : b.sources) add(rule, message, b.url, s);
      if (b.sources.empty()) add(rule, message, b.url, nowhere);
    }
    for (const auto& f : r.fragments) {
      const auto target = target_of(f);
      add(fragment_rule, fmt::format("Broken link to {} ({})", target, reason_of(f)), target,
          f.source);
    }
    if (verbose_) {
      for (const auto& d : r.redirects) {
        if (!is_permanent(d)) continue;
        const auto message = fmt::format("{} has moved to {} ({})", d.from, d.to, d.status);
        for (const auto& s : d.sources) add(redirect_rule, message, d.from, s);
      }
    }
    return document();
  }

 private:
  void add(const rule& r, const std::string& message, std::string_view url,
           const oneloop::crawl_source& s) {
    if (count_++ >= most_results) return;
    const auto [at, fresh] = rules_.try_emplace(r.id, rules_.size());
    if (fresh) rules_json_.push_back(describe(r));
    json j;
    j["ruleId"] = r.id;
    j["ruleIndex"] = at->second;
    j["level"] = r.level;
    j["message"]["text"] = message;
    // A start page that is bad stands nowhere but in its own place.
    const auto page = s.page.empty() ? url : std::string_view{s.page};
    j["locations"] = json::array({location(page, s.place)});
    // The line may change, the link is the same: what tells two alerts apart is the page, what it
    // leads to and, if there are several of that, which of them it is.
    const auto hash = hash_of({r.id, page, url});
    j["partialFingerprints"]["primaryLocationLineHash"] =
        fmt::format("{:016x}:{}", hash, ++alike_[hash]);
    results_.append(results_.empty() ? "\n   " : ",\n   ").append(dump(j));
  }

  static json describe(const rule& r) {
    json j;
    j["id"] = r.id;
    j["name"] = r.name;
    j["shortDescription"]["text"] = r.text;
    j["fullDescription"]["text"] = r.text;
    j["help"]["text"] = r.text;
    j["defaultConfiguration"]["level"] = r.level;
    j["properties"]["tags"] = json::array({"links"});
    return j;
  }

  static json location(std::string_view page, const oneloop::link_place& place) {
    json physical;
    const auto file = file_of(page);
    if (!file) {
      physical["artifactLocation"]["uri"] = uri_of_page(page);
    } else if (file->starts_with('/')) {
      physical["artifactLocation"]["uri"] = "file://" + uri_of_path(*file);
    } else {
      physical["artifactLocation"]["uri"] = uri_of_path(*file);
      physical["artifactLocation"]["uriBaseId"] = "%SRCROOT%";
    }
    // Without a line, code scanning has no place for it.
    physical["region"]["startLine"] = place.line != 0 ? place.line : 1;
    if (place.line != 0 && place.column != 0) physical["region"]["startColumn"] = place.column;
    json j;
    j["physicalLocation"] = std::move(physical);
    return j;
  }

  static std::string uri_of_page(std::string_view page) {
    const auto u = oneloop::url::parse(page);
    return u ? u->display() : oneloop::percent_encode(page, oneloop::percent_set::component);
  }

  static std::string uri_of_path(std::string_view path) {
    std::string uri;
    while (true) {
      const auto end = path.find('/');
      uri += oneloop::percent_encode(path.substr(0, end), oneloop::percent_set::component);
      if (end == std::string_view::npos) return uri;
      uri += '/';
      path.remove_prefix(end + 1);
    }
  }

  std::string document() {
    json tool;
    tool["driver"]["name"] = "oneloop";
    tool["driver"]["rules"] = rules_json_;
    json invocation;
    invocation["executionSuccessful"] = true;
    if (count_ > most_results) {
      json note;
      note["level"] = "warning";
      note["message"]["text"] =
          fmt::format("{} more results were left out: code scanning takes {} at most",
                      grouped(count_ - most_results), grouped(most_results));
      invocation["toolExecutionNotifications"] = json::array({note});
    }
    std::string text =
        "{\"$schema\": "
        "\"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/"
        "sarif-schema-2.1.0.json\",\n \"version\": \"2.1.0\",\n \"runs\": [{\n  \"tool\": ";
    text += dump(tool);
    text += ",\n  \"columnKind\": \"unicodeCodePoints\"";
    text += ",\n  \"automationDetails\": {\"id\": \"oneloop/crawl/\"}";
    text += ",\n  \"invocations\": " + dump(json::array({invocation}));
    text += ",\n  \"results\": [";
    text += results_;
    text += results_.empty() ? "]\n }]}\n" : "\n  ]\n }]}\n";
    return text;
  }

  static constexpr std::uint64_t most_results = 25'000;
  bool verbose_;
  std::uint64_t count_ = 0;
  std::map<std::string_view, std::size_t> rules_;
  json rules_json_ = json::array();
  std::map<std::uint64_t, std::uint64_t> alike_;
  std::string results_;
};

}  // namespace

std::unique_ptr<crawl_writer> sarif_crawl_writer(bool verbose) {
  return std::make_unique<sarif_writer>(verbose);
}

}  // namespace tool
