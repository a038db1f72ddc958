// The planted sites say what their manifests say.
#include "planted_site.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <string>

#include "oneloop/html/extract.hpp"
#include "oneloop/http/content_coding.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop {
namespace {

using planted::canonical;

std::string decoded(const planted::reply& r) {
  if (r.fields.find("Content-Encoding: gzip") == std::string::npos) return r.body;
  std::string text(std::size_t{1} << 20U, '\0');
  http::content_decoder decoder{"gzip"};
  const auto done =
      decoder.feed(std::as_bytes(std::span{r.body}), std::as_writable_bytes(std::span{text}));
  text.resize(done.produced);
  return text;
}

/// The links of a page by place: where they lead.
std::map<std::string, std::string> links_of(const std::string& at, const planted::reply& r) {
  std::string body = decoded(r);
  if (r.how == planted::manner::surplus) body.resize(body.size() / 2);
  const auto media = html::media_of(r.type, url::parse(at)->path(), body);
  const auto page = html::extract(media.kind, std::as_bytes(std::span{body}), *url::parse(at),
                                  {.charset = media.charset});
  std::map<std::string, std::string> links;
  for (const auto& l : page.links) {
    links[std::to_string(l.at.line) + ":" + std::to_string(l.at.column)] =
        l.target ? canonical(l.target->href()) : l.raw;
  }
  return links;
}

TEST(planted_site, has_the_links_of_its_manifest_and_no_others) {
  std::set<std::string> planted;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    const planted::site site{seed, {"site.test", "other.test"}};
    planted.insert(site.planted().begin(), site.planted().end());
    std::map<std::string, std::map<std::string, std::string>> said;  // by page
    std::set<std::string> reached{canonical(site.start())};
    for (const auto& l : site.links()) {
      said[l.page][std::to_string(l.line) + ":" + std::to_string(l.column)] = canonical(l.url);
      reached.insert(l.url);
    }
    for (const auto& [at, truth] : site.urls()) {
      if (!truth.redirect.empty()) reached.insert(truth.redirect);
    }
    for (const auto& [at, truth] : site.urls()) {
      const auto* r = site.find(at);
      if (truth.document) {
        EXPECT_EQ(links_of(at, r->then), said[at]) << at;
      }
      if (truth.redirect.empty() && truth.ok) {
        EXPECT_TRUE(reached.contains(at)) << at;
      }
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(planted.size(), 45u);  // all there is to plant
}

}  // namespace
}  // namespace oneloop
