// Patterns (RE2) as users write them, compiled once. Internal to check/.
#pragma once

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"

namespace oneloop::inline v0::detail {

/// Throws error (misuse) if it is none: "exclude \"[a\": missing ]".
inline std::unique_ptr<re2::RE2> compile_pattern(std::string_view what, const std::string& text) {
  re2::RE2::Options quiet;
  quiet.set_log_errors(false);
  auto compiled = std::make_unique<re2::RE2>(text, quiet);
  if (!compiled->ok()) {
    std::string message{what};
    message.append(" \"").append(text).append("\": ").append(compiled->error());
    throw error{make_error_code(errc::misuse), message};
  }
  return compiled;
}

/// Several, of which one has to match, anywhere in the text.
class patterns {
 public:
  patterns(std::string_view what, const std::vector<std::string>& texts) {
    for (const auto& text : texts) all_.push_back(compile_pattern(what, text));
  }
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  [[nodiscard]] bool match(const std::string& text) const {
    return std::ranges::any_of(all_,
                               [&](const auto& re) { return re2::RE2::PartialMatch(text, *re); });
  }

 private:
  std::vector<std::unique_ptr<re2::RE2>> all_;
};

/// Texts that are replaced, in order, each at most once.
class replacements {
 public:
  explicit replacements(const std::vector<std::pair<std::string, std::string>>& all) {
    for (const auto& [pattern, to] : all) {
      auto compiled = compile_pattern("remap", pattern);
      if (std::string why; !compiled->CheckRewriteString(to, &why)) {
        throw error{make_error_code(errc::misuse), "remap to \"" + to + "\": " + why};
      }
      all_.emplace_back(std::move(compiled), to);
    }
  }
  [[nodiscard]] bool empty() const noexcept { return all_.empty(); }
  [[nodiscard]] std::string apply(std::string text) const {
    for (const auto& [pattern, to] : all_) re2::RE2::Replace(&text, *pattern, to);
    return text;
  }

 private:
  std::vector<std::pair<std::unique_ptr<re2::RE2>, std::string>> all_;
};

}  // namespace oneloop::inline v0::detail
