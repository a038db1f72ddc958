// Scores oneloop's parsers against public test data. The data stays where it is; its path is given.
//
//     conformance url urltestdata.json     every case of a WHATWG URL test file: misses, then
//                                          "N passed, M failed"; also toascii.json, IdnaTestV2.json
//     conformance resolve                  "LINK<tab>BASE" lines from standard input: the URL or
//                                          "failure" for each
#include <cctype>
#include <fstream>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "oneloop/url/url.hpp"

namespace {

using nlohmann::json;
using oneloop::url;

/// The file's text with \uXXXX escapes of lone surrogates, which no UTF-8 text can hold, replaced
/// by U+FFFD: what a decoder would have made of them.
std::string without_lone_surrogates(std::string text) {
  auto unit = [&](std::size_t i) -> unsigned {
    if (i + 6 > text.size() || text[i] != '\\' || text[i + 1] != 'u') return 0;
    return static_cast<unsigned>(std::stoul(text.substr(i + 2, 4), nullptr, 16));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') continue;
    const unsigned u = unit(i), next = unit(i + 6);
    if (u >= 0xd800 && u < 0xdc00 && next >= 0xdc00 && next < 0xe000) {
      i += 11;
    } else if (u >= 0xd800 && u < 0xe000) {
      text.replace(i + 2, 4, "fffd");
      i += 5;
    } else {
      ++i;  // an escaped backslash does not start another escape
    }
  }
  return text;
}

std::string shown(const std::string& s) { return json(s).dump(); }

/// What is wrong with our answer to a case of urltestdata.json; empty if nothing.
std::string check_url(const json& test) {
  const std::string input = test.at("input");
  std::optional<url> base;
  if (test.contains("base") && test["base"].is_string()) {
    auto b = url::parse(test["base"].get<std::string>());
    if (!b) return "the base is refused: " + b.error().message();
    base = std::move(*b);
  }
  const auto got = url::parse(input, base ? &*base : nullptr);
  if (test.value("failure", false)) return got ? "accepted as " + got->href() : "";
  if (!got) return "refused: " + got.error().message();
  const std::string port = got->port() ? std::to_string(*got->port()) : "";
  const std::string query{got->query().value_or("")}, fragment{got->fragment().value_or("")};
  const std::pair<const char*, std::string> parts[] = {
      {"href", got->href()},
      {"protocol", std::string{got->scheme()} + ":"},
      {"username", std::string{got->username()}},
      {"password", std::string{got->password()}},
      {"host", got->host_header()},
      {"hostname", std::string{got->host()}},
      {"port", port},
      {"pathname", std::string{got->path()}},
      {"search", query.empty() ? "" : "?" + query},
      {"hash", fragment.empty() ? "" : "#" + fragment},
      {"origin", got->origin()},
  };
  for (const auto& [name, value] : parts) {
    if (test.contains(name) && test[name].get<std::string>() != value) {
      return std::string{name} + " is " + shown(value) + ", not " + test[name].dump();
    }
  }
  const auto again = url::parse(got->href());
  if (!again || again->href() != got->href()) return "does not survive being parsed again";
  return "";
}

/// The same for a case of toascii.json or IdnaTestV2.json: a host name.
std::string check_host(const json& test) {
  const std::string input = test.at("input");
  // Without a host "https:///x" is the host x: such a case says nothing about URLs.
  if (input.empty()) return "";
  const auto got = url::parse("https://" + input + "/x");
  const json& wanted = test.at("output");
  if (wanted.is_null()) return got ? "accepted as " + std::string{got->host()} : "";
  if (!got) return "refused: " + got.error().message() + ", not " + wanted.dump();
  return got->host() == wanted.get<std::string>()
             ? ""
             : "is " + shown(std::string{got->host()}) + ", not " + wanted.dump();
}

int score(const char* path) {
  std::ifstream file{path, std::ios::binary};
  if (!file) {
    std::cerr << "conformance: cannot read " << path << "\n";
    return 2;
  }
  const std::string text{std::istreambuf_iterator<char>{file}, {}};
  int passed = 0, failed = 0;
  for (const json& test : json::parse(without_lone_surrogates(text))) {
    if (!test.is_object()) continue;  // a comment
    const std::string miss = test.contains("output") ? check_host(test) : check_url(test);
    if (miss.empty()) {
      ++passed;
      continue;
    }
    ++failed;
    std::cout << test["input"].dump();
    if (test.contains("base") && test["base"].is_string()) std::cout << " at " << test["base"];
    std::cout << ": " << miss << "\n";
  }
  std::cout << passed << " passed, " << failed << " failed\n";
  return failed == 0 ? 0 : 1;
}

int resolve() {
  for (std::string line; std::getline(std::cin, line);) {
    const std::size_t tab = line.find('\t');
    const std::string link = line.substr(0, tab);
    std::optional<url> base;
    if (tab != std::string::npos && tab + 1 < line.size()) {
      auto b = url::parse(line.substr(tab + 1));
      if (!b) {
        std::cout << "failure\n";
        continue;
      }
      base = std::move(*b);
    }
    const auto got = url::parse(link, base ? &*base : nullptr);
    std::cout << (got ? got->href() : "failure") << "\n";
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "url" && argc == 3) return score(argv[2]);
  if (command == "resolve" && argc == 2) return resolve();
  std::cerr << "usage: conformance url FILE\n       conformance resolve < LINES\n";
  return 2;
}
