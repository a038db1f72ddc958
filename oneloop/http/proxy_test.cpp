#include "oneloop/http/proxy.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <initializer_list>
#include <map>
#include <string>
#include <utility>

#include "oneloop/http/error.hpp"

namespace oneloop::inline v0::test {
namespace {

using http::http_error;
using http::proxy_rules;

std::string proxy_of(const proxy_rules& rules, std::string_view to) {
  const auto p = rules.for_url(url::parse(to).value());
  return p ? p->href() : "";
}

std::string refusal_of(std::string_view proxy) {
  try {
    (void)proxy_rules::all(proxy);
  } catch (const http_error& e) {
    EXPECT_EQ(e.kind(), http::error_kind::bad_url);
    return e.what();
  }
  return {};
}

/// The variables of proxies, as a test says and no others; as before at the end.
class environment {
 public:
  environment(std::initializer_list<std::pair<const char*, const char*>> wanted) {
    for (const char* name : {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy",
                             "ALL_PROXY", "no_proxy", "NO_PROXY"}) {
      const char* const old = ::getenv(name);
      if (old != nullptr) old_[name] = old;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : wanted) ::setenv(name, value, 1);
    for (const auto& [name, value] : wanted) set_.emplace_back(name);
  }
  ~environment() {
    for (const auto& name : set_) ::unsetenv(name.c_str());
    for (const auto& [name, value] : old_) ::setenv(name.c_str(), value.c_str(), 1);
  }
  environment(const environment&) = delete;
  environment& operator=(const environment&) = delete;

 private:
  std::map<std::string, std::string> old_;
  std::vector<std::string> set_;
};

TEST(http_point_28, without_rules_there_is_no_proxy) {
  EXPECT_EQ(proxy_of({}, "http://example.org/"), "");
}

TEST(http_point_28, one_proxy_for_everything_has_a_scheme_and_a_port) {
  const std::pair<const char*, const char*> forms[] = {
      {"proxy", "http://proxy/"},
      {"Proxy:3128", "http://proxy:3128/"},
      {"http://proxy:3128", "http://proxy:3128/"},
      {"https://user:pass@proxy", "https://user:pass@proxy/"},
      {"socks5://PROXY", "socks5://proxy:1080"},
      {"socks5h://user:p%40ss@proxy:9050", "socks5h://user:p%40ss@proxy:9050"},
      {"socks5://[::1]:1", "socks5://[::1]:1"},
      {"socks5://127.0.0.1", "socks5://127.0.0.1:1080"},
  };
  for (const auto& [given, meant] : forms) {
    const auto rules = proxy_rules::all(given);
    EXPECT_EQ(proxy_of(rules, "http://example.org/"), meant);
    EXPECT_EQ(proxy_of(rules, "https://example.org/"), meant);
  }
}

TEST(http_point_28, what_is_no_proxy_is_refused_without_telling_its_password) {
  EXPECT_EQ(refusal_of("ftp://proxy"),
            "bad proxy URL \"ftp://proxy/\": neither http, https, socks5 nor socks5h");
  EXPECT_EQ(refusal_of("http://a:secret@proxy/path"),
            "bad proxy URL \"http://proxy/path\": more than a host and a port");
  for (const char* bad : {"", "http://", "socks5://", "http://a:secret@proxy:port", "http://?x",
                          "http://proxy?x", "socks4://a:secret@proxy", "http://a b"}) {
    const std::string text = refusal_of(bad);
    EXPECT_TRUE(text.starts_with("bad proxy URL \"")) << bad << ": " << text;
    EXPECT_EQ(text.find("secret"), text.npos) << text;
  }
}

TEST(http_point_28, the_environment_is_read_by_the_documented_rule) {
  {
    const environment e{{"http_proxy", "plain:1"}, {"HTTPS_PROXY", "secure:2"}};
    const auto rules = proxy_rules::from_environment();
    EXPECT_EQ(proxy_of(rules, "http://x/"), "http://plain:1/");
    EXPECT_EQ(proxy_of(rules, "https://x/"), "http://secure:2/");
  }
  {
    // HTTP_PROXY is what a CGI program gets from a request's field "Proxy".
    const environment e{{"HTTP_PROXY", "evil:1"}};
    EXPECT_EQ(proxy_of(proxy_rules::from_environment(), "http://x/"), "");
  }
  {
    const environment e{{"https_proxy", "lower:1"},
                        {"HTTPS_PROXY", "upper:2"},
                        {"http_proxy", ""},
                        {"ALL_PROXY", "socks5://all"}};
    const auto rules = proxy_rules::from_environment();
    EXPECT_EQ(proxy_of(rules, "http://x/"), "socks5://all:1080");
    EXPECT_EQ(proxy_of(rules, "https://x/"), "http://lower:1/");
  }
  {
    const environment e{{"all_proxy", "all:1"}, {"NO_PROXY", "upper.test"}, {"no_proxy", "x"}};
    const auto rules = proxy_rules::from_environment();
    EXPECT_EQ(proxy_of(rules, "http://x/"), "");
    EXPECT_EQ(proxy_of(rules, "http://upper.test/"), "http://all:1/");
  }
  {
    const environment e{{"https_proxy", "gopher://x"}};
    try {
      (void)proxy_rules::from_environment();
      ADD_FAILURE() << "accepted";
    } catch (const http_error& error) {
      EXPECT_TRUE(std::string{error.what()}.starts_with("https_proxy: bad proxy URL"))
          << error.what();
    }
  }
}

TEST(http_point_28, exceptions_by_name_address_range_and_port) {
  struct row {
    const char* list;
    const char* to;
    bool direct;
  };
  const row rows[] = {
      {"*", "http://example.org/", true},
      {"example.org", "http://example.org/", true},
      {"example.org", "http://www.Example.ORG/", true},
      {"example.org", "http://www.example.org./", true},
      {"example.org.", "http://example.org/", true},
      {"example.org", "http://notexample.org/", false},
      {"example.org", "http://example.org.evil.test/", false},
      {".example.org", "http://example.org/", true},
      {".example.org", "http://a.b.example.org/", true},
      {"*.example.org", "http://a.example.org/", true},
      {"EXAMPLE.org:8080", "http://example.org:8080/", true},
      {"example.org:8080", "http://example.org/", false},
      {"example.org:443", "https://example.org/", true},
      {"example.org:80", "https://example.org/", false},
      {"*:8080", "http://any.test:8080/", true},
      {"*:8080", "http://any.test/", false},
      {"b\u00fccher.example", "http://xn--bcher-kva.example/", true},
      {"192.0.2.7", "http://192.0.2.7/", true},
      {"192.0.2.7", "http://0xc0.0.2.7/", true},
      {"192.0.2.7", "http://[::ffff:192.0.2.7]/", true},
      {"2.7", "http://192.0.2.7/", false},
      {"10.0.0.0/8", "http://10.200.1.1/", true},
      {"10.0.0.0/8", "http://11.0.0.1/", false},
      {"10.0.0.0/8:81", "http://10.0.0.1:81/", true},
      {"10.0.0.0/33", "http://10.0.0.1/", false},
      {"10.0.0.0/8", "http://ten.test/", false},
      {"::1", "http://[::1]/", true},
      {"[::1]", "http://[0::1]/", true},
      {"[::1]:81", "http://[::1]:81/", true},
      {"[::1]:81", "http://[::1]/", false},
      {"fe80::/10", "http://[febf::1]/", true},
      {"fe80::/10", "http://[fec0::1]/", false},
      {"localhost", "http://127.0.0.1/", false},
      {"", "http://localhost/", false},
      {":80", "http://localhost/", false},
      {"a, b\tc\n,,d", "http://d/", true},
      {"a, b\tc\n,,d", "http://e/", false},
  };
  for (const auto& r : rows) {
    auto rules = proxy_rules::all("proxy:1");
    rules.except(r.list);
    EXPECT_EQ(proxy_of(rules, r.to).empty(), r.direct) << r.list << " and " << r.to;
  }
}

}  // namespace
}  // namespace oneloop::inline v0::test
