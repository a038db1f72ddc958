#include "oneloop/url/url.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace {

using oneloop::host_kind;
using oneloop::percent_set;
using oneloop::url;
using oneloop::url_errc;

std::string href(std::string_view input) {
  const auto u = url::parse(input);
  return u ? u->href() : "error: " + u.error().message();
}

std::string joined(std::string_view base, std::string_view reference) {
  const auto b = url::parse(base);
  if (!b) return "bad base";
  const auto u = b->resolve(reference);
  return u ? u->href() : "error: " + u.error().message();
}

std::error_code error_of(std::string_view input) {
  const auto u = url::parse(input);
  return u ? std::error_code{} : u.error();
}

TEST(url_test, parts_of_a_full_url) {
  const url u = url::parse("https://user:pa%20ss@Example.ORG:8443/a/b.html?q=1&r=2#top").value();
  EXPECT_EQ(u.scheme(), "https");
  EXPECT_EQ(u.username(), "user");
  EXPECT_EQ(u.password(), "pa%20ss");
  EXPECT_TRUE(u.has_credentials());
  EXPECT_EQ(u.host(), "example.org");
  EXPECT_EQ(u.kind_of_host(), host_kind::domain);
  EXPECT_EQ(u.port(), 8443);
  EXPECT_EQ(u.effective_port(), 8443);
  EXPECT_EQ(u.path(), "/a/b.html");
  EXPECT_EQ(u.query(), "q=1&r=2");
  EXPECT_EQ(u.fragment(), "top");
  EXPECT_TRUE(u.is_special());
  EXPECT_TRUE(u.is_http());
  EXPECT_EQ(u.href(), "https://user:pa%20ss@example.org:8443/a/b.html?q=1&r=2#top");
}

TEST(url_test, credentials_never_reach_host_origin_or_log) {
  const url u = url::parse("http://me:secret@h:81/p#f").value();
  EXPECT_EQ(u.host_header(), "h:81");
  EXPECT_EQ(u.origin(), "http://h:81");
  EXPECT_EQ(u.display(), "http://h:81/p#f");
  EXPECT_EQ(u.request_target(), "/p");
  EXPECT_EQ(url::parse("http://h/p").value().display(), "http://h/p");
}

TEST(url_test, absent_is_not_empty) {
  EXPECT_FALSE(url::parse("http://h/").value().query());
  EXPECT_EQ(url::parse("http://h/?").value().query(), "");
  EXPECT_FALSE(url::parse("http://h/?").value().fragment());
  EXPECT_EQ(url::parse("http://h/#").value().fragment(), "");
  EXPECT_EQ(href("http://h/?#"), "http://h/?#");
}

TEST(url_test, default_port_disappears) {
  EXPECT_EQ(href("http://h:80/"), "http://h/");
  EXPECT_EQ(href("https://h:443/"), "https://h/");
  EXPECT_EQ(href("http://h:443/"), "http://h:443/");
  EXPECT_EQ(href("http://h:/"), "http://h/");
  EXPECT_EQ(href("http://h:00080/"), "http://h/");
  EXPECT_EQ(url::parse("http://h/").value().effective_port(), 80);
  EXPECT_EQ(url::parse("wss://h/").value().effective_port(), 443);
  EXPECT_FALSE(url::parse("file:///x").value().effective_port());
  EXPECT_FALSE(url::parse("unknown://h/").value().effective_port());
}

TEST(url_test, white_space_and_newlines_are_ignored) {
  EXPECT_EQ(href("  \x01http://h/\r\n"), "http://h/");
  EXPECT_EQ(href("ht\ntp://h/a\tb"), "http://h/ab");
}

TEST(url_test, backslashes_are_slashes_in_special_schemes_only) {
  EXPECT_EQ(href("http:\\\\h\\a\\b"), "http://h/a/b");
  EXPECT_EQ(href("http://h/a?b\\c"), "http://h/a?b\\c");
  EXPECT_EQ(href("non-special://h/a\\b"), "non-special://h/a\\b");
}

TEST(url_test, dot_segments_are_resolved) {
  EXPECT_EQ(href("http://h/a/./b/../c"), "http://h/a/c");
  EXPECT_EQ(href("http://h/../../x"), "http://h/x");
  EXPECT_EQ(href("http://h/a/%2e%2E/b"), "http://h/b");
  EXPECT_EQ(href("http://h/a/.%2e"), "http://h/");
  EXPECT_EQ(href("http://h/a/."), "http://h/a/");
  EXPECT_EQ(href("http://h/..."), "http://h/...");
}

TEST(url_test, each_part_encodes_its_own_set) {
  EXPECT_EQ(href("http://h/a b{}\"?q '\"<>#f `"),
            "http://h/a%20b%7B%7D%22?q%20%27%22%3C%3E#f%20%60");
  EXPECT_EQ(href("http://h/\xc3\xa9?\xc3\xa9#\xc3\xa9"), "http://h/%C3%A9?%C3%A9#%C3%A9");
  EXPECT_EQ(href("http://h/%41%zz%"), "http://h/%41%zz%") << "what is encoded stays as it is";
  EXPECT_EQ(href("http://u@v:w:x@h/"), "http://u%40v:w%3Ax@h/");
}

TEST(url_test, broken_utf8_becomes_replacement_characters) {
  EXPECT_EQ(href("http://h/\xff"), "http://h/%EF%BF%BD");
  EXPECT_EQ(href("http://h/\xe2\x82|"), "http://h/%EF%BF%BD|");
  EXPECT_EQ(href("http://h/?\xed\xa0\x80"), "http://h/?%EF%BF%BD%EF%BF%BD%EF%BF%BD");
}

TEST(url_test, ipv4_in_all_its_spellings) {
  for (const char* spelling : {"127.0.0.1", "0x7f.1", "0177.0.0.1", "2130706433", "127.1",
                               "127.0.1", "0X7F000001", "127.0.0.1.", "%31%32%37.0.0.1",
                               "\xef\xbc\x91"
                               "27.0.0.1"}) {
    const auto u = url::parse(std::string{"http://"} + spelling + "/");
    ASSERT_TRUE(u) << spelling << ": " << u.error().message();
    EXPECT_EQ(u->host(), "127.0.0.1") << spelling;
    EXPECT_EQ(u->kind_of_host(), host_kind::ipv4);
  }
  for (const char* bad : {"256.1.1.1", "1.2.3.4.5", "1.2.3.256", "4294967296", "09.1.1.1",
                          "0x.0x.0z.1", "1..2", "a.b.0x1z.3", "999999999999999999999999"}) {
    EXPECT_EQ(error_of(std::string{"http://"} + bad + "/"), url_errc::invalid_ipv4) << bad;
  }
  EXPECT_EQ(url::parse("http://1.2.3.example/").value().kind_of_host(), host_kind::domain);
}

TEST(url_test, ipv6_is_compressed) {
  EXPECT_EQ(href("http://[0:0:0:0:0:0:0:1]/"), "http://[::1]/");
  EXPECT_EQ(href("http://[1:0:0:2:0:0:0:3]:8080/"), "http://[1:0:0:2::3]:8080/");
  EXPECT_EQ(href("http://[2001:DB8::A]/"), "http://[2001:db8::a]/");
  EXPECT_EQ(href("http://[::127.0.0.1]/"), "http://[::7f00:1]/");
  EXPECT_EQ(href("http://[1:0:2:3:4:5:6:7]/"), "http://[1:0:2:3:4:5:6:7]/") << "one zero stays";
  EXPECT_EQ(href("http://[1::]/"), "http://[1::]/");
  EXPECT_EQ(href("http://[::]/"), "http://[::]/");
  EXPECT_EQ(url::parse("http://[::1]:81/").value().host_header(), "[::1]:81");
  EXPECT_EQ(url::parse("http://[::1]:81/").value().kind_of_host(), host_kind::ipv6);
  for (const char* bad :
       {"[::1", "[1:2:3]", "[1:2:3:4:5:6:7:8:9]", "[::1%25eth0]", "[:1]", "[g::]", "[1::2::3]",
        "[::1.2.3]", "[::1.2.3.256]", "[::01.2.3.4]", "[]", "[1:2:3:4:5:6:7:]", "[12345::]"}) {
    EXPECT_EQ(error_of(std::string{"http://"} + bad + "/"), url_errc::invalid_ipv6) << bad;
  }
}

TEST(url_test, international_names_become_ascii) {
  EXPECT_EQ(href("http://b\xc3\xbc"
                 "cher.example/"),
            "http://xn--bcher-kva.example/");
  EXPECT_EQ(href("http://B\xc3\x9c"
                 "CHER.example/"),
            "http://xn--bcher-kva.example/");
  EXPECT_EQ(href("http://fa\xc3\x9f.de/"), "http://xn--fa-hia.de/") << "non-transitional";
  EXPECT_EQ(href("http://ex\xc2\xad"
                 "ample.com/"),
            "http://example.com/")
      << "soft hyphens vanish";
  EXPECT_EQ(href("http://a_b--c.-x-.com/"), "http://a_b--c.-x-.com/") << "names that exist, opened";
  EXPECT_EQ(href("http://example.com./"), "http://example.com./");
  EXPECT_EQ(error_of("http://a\xe2\x80\x8b\xd6\x91.xn--a\xc3\xa4/"), url_errc::invalid_domain);
  EXPECT_EQ(oneloop::domain_to_ascii("B\xc3\xbc"
                                     "cher")
                .value(),
            "xn--bcher-kva");
}

TEST(url_test, p32_names_map_as_in_unicode_16_whatever_icu_knows) {
  EXPECT_EQ(href("http://FA\u1e9e.de/"), "http://xn--fa-hia.de/");      // not "fass.de"
  EXPECT_EQ(href("http://\u04c0.com/"), "http://xn--s5a.com/");         // a capital of old
  EXPECT_EQ(href("http://\u10a0.com/"), href("http://\u2d00.com/"));    // and another
  EXPECT_EQ(href("http://look\u206bout.net/"), "http://lookout.net/");  // left out
  EXPECT_EQ(href("http://\U0002f868.com/"), "http://xn--snl.com/");
}

TEST(url_test, hosts_with_forbidden_characters_are_refused) {
  for (const char* bad :
       {"http://a b/", "http://a<b/", "http://a%23b/", "http://a%b/", "http://a^b/", "http://a|b/",
        "http://a\x7f"
        "b/",
        "http://a]b/"}) {
    EXPECT_EQ(error_of(bad), url_errc::invalid_host) << bad;
  }
  EXPECT_EQ(error_of("x://a b/"), url_errc::invalid_host);
  EXPECT_EQ(error_of("x://a[b/"), url_errc::invalid_host);
  EXPECT_EQ(href("x://a%zz\xc3\xa9/"), "x://a%zz%C3%A9/");
}

TEST(url_test, errors_say_what_is_wrong) {
  EXPECT_EQ(error_of(""), url_errc::relative);
  EXPECT_EQ(error_of("/path"), url_errc::relative);
  EXPECT_EQ(error_of("www.example.org"), url_errc::relative);
  EXPECT_EQ(error_of("http://"), url_errc::missing_host);
  EXPECT_EQ(error_of("http://:80/"), url_errc::missing_host);
  EXPECT_EQ(error_of("http://user@/"), url_errc::missing_host);
  EXPECT_EQ(error_of("http://h:65536/"), url_errc::invalid_port);
  EXPECT_EQ(error_of("http://h:8o/"), url_errc::invalid_port);
  EXPECT_EQ(error_of("http://h:-1/"), url_errc::invalid_port);
  EXPECT_EQ(url::parse("http://h:x/").error().message(),
            "the port is not a number from 0 to 65535");
  EXPECT_EQ(joined("mailto:a@b", "x"), "error: the URL is relative, but its base cannot be a base");
}

TEST(url_test, length_is_bounded) {
  const std::string ok = "http://h/" + std::string(url::max_input - 9, 'a');
  EXPECT_EQ(href(ok), ok);
  EXPECT_EQ(error_of(ok + "a"), url_errc::too_long);
  const std::string wide = "http://h/" + std::string(url::max_input - 9, '{');
  EXPECT_EQ(href(wide).size(), 9 + 3 * (url::max_input - 9));
  const url base = url::parse(wide + "").value();
  const auto result = base.resolve(std::string(url::max_input, '{'));
  ASSERT_TRUE(result) << "the last segment of the base is replaced";
  const url deep = url::parse(wide.substr(0, wide.size() - 1) + "/").value();
  const auto too_long = deep.resolve(std::string(url::max_input, '{'));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error(), url_errc::too_long);
}

TEST(url_test, relative_references) {
  const std::string base = "http://a/b/c/d;p?q";
  const std::pair<const char*, const char*> cases[] = {
      {"g:h", "g:h"},
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g/"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q#s"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"http:g", "http://a/b/c/g"},
      {"https:g", "https://g/"},
      {"\\\\g", "http://g/"},
      {" x\n", "http://a/b/c/x"},
  };
  for (const auto& [reference, expected] : cases)
    EXPECT_EQ(joined(base, reference), expected) << reference;
}

TEST(url_test, credentials_are_inherited_only_on_the_same_host) {
  EXPECT_EQ(joined("http://u:p@h/a", "b"), "http://u:p@h/b");
  EXPECT_EQ(joined("http://u:p@h/a", "/b"), "http://u:p@h/b");
  EXPECT_EQ(joined("http://u:p@h/a", "//h/b"), "http://h/b");
}

TEST(url_test, opaque_paths) {
  const url u = url::parse("mailto:me@example.org?subject=x#f").value();
  EXPECT_TRUE(u.has_opaque_path());
  EXPECT_EQ(u.path(), "me@example.org");
  EXPECT_EQ(u.kind_of_host(), host_kind::none);
  EXPECT_EQ(u.origin(), "null");
  EXPECT_EQ(joined("data:text/plain,x#a", "#b"), "data:text/plain,x#b");
  EXPECT_EQ(href("javascript:alert( 1 ) #x"), "javascript:alert( 1 )%20#x");
}

TEST(url_test, a_path_that_looks_like_a_host_is_told_apart) {
  EXPECT_EQ(href("web+demo:/.//not-a-host/"), "web+demo:/.//not-a-host/");
  EXPECT_EQ(url::parse("web+demo:/.//not-a-host/").value().path(), "//not-a-host/");
  EXPECT_EQ(joined("web+demo:/a/b", "..//p"), "web+demo:/.//p");
}

TEST(url_test, file_urls) {
  EXPECT_EQ(href("file:///C|/x/../../y"), "file:///C:/y");
  EXPECT_EQ(href("file://localhost/etc"), "file:///etc");
  EXPECT_EQ(href("file://c:/x"), "file:///c:/x");
  EXPECT_EQ(href("file:x"), "file:///x");
  EXPECT_EQ(joined("file:///C:/a/b", "/x"), "file:///C:/x");
  EXPECT_EQ(joined("file:///C:/a/b", "D|/x"), "file:///D:/x");
  EXPECT_EQ(joined("file://host/a", "b"), "file://host/b");
  EXPECT_EQ(url::parse("file:///x").value().kind_of_host(), host_kind::empty);
}

TEST(url_test, origin_of_each_kind) {
  EXPECT_EQ(url::parse("https://H:443/x").value().origin(), "https://h");
  EXPECT_EQ(url::parse("ftp://h:2121/x").value().origin(), "ftp://h:2121");
  EXPECT_EQ(url::parse("file:///x").value().origin(), "null");
  EXPECT_EQ(url::parse("blob:https://h:1/x").value().origin(), "https://h:1");
  EXPECT_EQ(url::parse("blob:x").value().origin(), "null");
}

TEST(url_test, request_target_is_never_empty_and_has_no_fragment) {
  EXPECT_EQ(url::parse("http://h").value().request_target(), "/");
  EXPECT_EQ(url::parse("http://h?x").value().request_target(), "/?x");
  EXPECT_EQ(url::parse("http://h/a%20b?c d#e").value().request_target(), "/a%20b?c%20d");
  EXPECT_EQ(url::parse("other://h?x").value().request_target(), "/?x");
}

TEST(url_test, without_fragment_makes_equal_links_one) {
  const url a = url::parse("HTTP://H:80/x#one").value();
  const url b = url::parse("http://h/x#two").value();
  EXPECT_NE(a, b);
  EXPECT_EQ(a.without_fragment(), b.without_fragment());
  EXPECT_FALSE(a.without_fragment().fragment());
  std::unordered_set<url> seen{a.without_fragment()};
  EXPECT_TRUE(seen.contains(b.without_fragment()));
}

TEST(url_test, serialised_urls_parse_to_themselves) {
  for (const char* input : {"http://u:p@h:81/a/../b?c#d", "x:y z", "x:/..//a", "file://h/C|/..",
                            "x://", "http://[1::2]/%", "data:,a b #c", "x:?", "x:#"}) {
    const std::string once = href(input);
    EXPECT_EQ(href(once), once);
  }
}

TEST(percent_test, encode_by_set) {
  EXPECT_EQ(oneloop::percent_encode("a b/c?d%", percent_set::component), "a%20b%2Fc%3Fd%25");
  EXPECT_EQ(oneloop::percent_encode("a b/c?d%", percent_set::path), "a%20b/c%3Fd%");
  EXPECT_EQ(oneloop::percent_encode("a b", percent_set::c0_control), "a b");
  EXPECT_EQ(oneloop::percent_encode("~!'()*-._", percent_set::form), "%7E%21%27%28%29*-._");
  EXPECT_EQ(oneloop::percent_encode(std::string_view{"\0\x1f\x7f\xff", 4}, percent_set::c0_control),
            "%00%1F%7F%FF");
}

TEST(percent_test, decode_leaves_what_is_not_encoded) {
  EXPECT_EQ(oneloop::percent_decode("a%20b%2fc"), "a b/c");
  EXPECT_EQ(oneloop::percent_decode("%"), "%");
  EXPECT_EQ(oneloop::percent_decode("%4"), "%4");
  EXPECT_EQ(oneloop::percent_decode("%zz%41"), "%zzA");
  EXPECT_EQ(oneloop::percent_decode("%41"), "A");
}

}  // namespace
