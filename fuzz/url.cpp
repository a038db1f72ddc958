// URLs: a line with a link, then a base.
#include "oneloop/url/url.hpp"

#include <string>

#include "fuzz/check.hpp"

namespace {

using oneloop::url;

void holds(const url& u) {
  const auto again = url::parse(u.href());
  fuzz::check(again.has_value(), "a URL that was written can be read");
  fuzz::check(again->href() == u.href(), "a URL that was written reads the same");
  fuzz::check(again->scheme() == u.scheme() && again->username() == u.username() &&
                  again->password() == u.password() && again->host() == u.host() &&
                  again->kind_of_host() == u.kind_of_host() && again->port() == u.port() &&
                  again->path() == u.path() && again->query() == u.query() &&
                  again->fragment() == u.fragment() &&
                  again->has_opaque_path() == u.has_opaque_path(),
              "its parts are the same");
  const url bare = u.without_fragment();
  fuzz::check(!bare.fragment(), "without_fragment() has none");
  if (!u.has_opaque_path()) {
    const auto empty = u.resolve("");
    fuzz::check(empty && *empty == bare, "an empty link leads to the page itself");
  }
  const auto top = u.resolve("#top");
  fuzz::check(top && top->without_fragment() == bare && top->fragment() == "top",
              "a fragment stays on the page");
  for (const char c : u.href()) {
    fuzz::check(c > 0x20 || (c == ' ' && u.has_opaque_path()), "ASCII, and no control characters");
  }
  if (u.is_http()) {
    const std::string target = u.request_target();
    fuzz::check(target.starts_with('/') && target.find_first_of("# \r\n") == target.npos,
                "a request target is one word from a slash on");
    fuzz::check(
        !u.host_header().empty() && u.host_header().find_first_of("/@ \r\n") == std::string::npos,
        "a Host field is a host");
  }
  const auto shown = url::parse(u.display());
  fuzz::check(shown && !shown->has_credentials(), "display() keeps secrets");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::input in{data, size};
  const std::string_view link = in.line();
  if (const auto u = url::parse(link)) {
    holds(*u);
    if (const auto base = url::parse(in.rest())) {
      const auto r = base->resolve(u->href());
      fuzz::check(r && *r == *u, "a whole URL needs no base");
    }
  }
  if (const auto base = url::parse(in.rest())) {
    holds(*base);
    if (const auto r = base->resolve(link)) holds(*r);
  }
  using oneloop::percent_set;
  fuzz::check(
      oneloop::percent_decode(oneloop::percent_encode(link, percent_set::component)) == link,
      "decoding undoes encoding");
  if (const auto name = oneloop::domain_to_ascii(link)) {
    const auto again = oneloop::domain_to_ascii(*name);
    fuzz::check(again && *again == *name, "a name in ASCII stays as it is");
  }
  return 0;
}
