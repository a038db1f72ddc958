// robots.txt: a line with the agent, one with a path, then the file.
#include "oneloop/check/robots.hpp"

#include <string>

#include "fuzz/check.hpp"
#include "oneloop/url/url.hpp"

using oneloop::robots;
using oneloop::url;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const std::string agent{in.line()};
  const auto page = url::parse("http://a/" + std::string{in.line()});
  if (!page) return 0;
  const std::string text{in.rest()};
  const auto rules = robots::parse(text, agent);
  const bool allowed = rules.allows(*page);
  fuzz::check(robots{}.allows(*page), "no rules allow everything");
  const auto same = [&](const std::string& other, const char* why) {
    const auto r = robots::parse(other, agent);
    fuzz::check(r.allows(*page) == allowed && r.size() == rules.size() &&
                    r.crawl_delay() == rules.crawl_delay() && r.sitemaps() == rules.sitemaps(),
                why);
  };
  std::string crlf, comments;
  for (const char c : text) {
    if (c == '\n') {
      crlf += '\r';
      comments += " #x\nnonsense\nunknown: /";
    }
    crlf += c;
    comments += c;
  }
  same(crlf, "CRLF ends a line as LF does");
  if (!text.starts_with("\xEF\xBB\xBF"))
    same("\xEF\xBB\xBF" + text, "a mark at the front is nothing");
  if (text.find('\r') == text.npos) same(comments, "other lines and comments change nothing");
  // Another spelling of the path.
  std::string escaped;
  bool open = true;  // not within an escape
  for (std::size_t i = 0; i < page->href().size(); ++i) {
    const char c = page->href()[i];
    if (c == '#') break;
    open = !(i >= 1 && page->href()[i - 1] == '%') && !(i >= 2 && page->href()[i - 2] == '%');
    escaped += i > 8 && open && c == 'a' ? "%61" : std::string(1, c);
  }
  const auto other = url::parse(escaped);
  fuzz::check(other && rules.allows(*other) == allowed, "an escape that means nothing is nothing");
  return 0;
}
