#include "globs.hpp"

#include <fnmatch.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace tool {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view wildcards = "*?[";

/// Adds what the rest of a pattern stands for below `at`, "" or a directory with a slash behind it.
void expand(const std::string& at, std::string_view rest, std::vector<std::string>& found) {
  rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
  const auto name = rest.substr(0, rest.find('/'));
  const auto below = rest.substr(name.size());
  std::error_code none;
  if (name.empty()) {  // "docs/"
    found.push_back(at);
    return;
  }
  if (name.find_first_of(wildcards) == name.npos) {
    const std::string path = at + std::string{name};
    const auto kind = fs::status(path, none).type();
    if (below.empty() && fs::exists(fs::symlink_status(path, none))) found.push_back(path);
    if (!below.empty() && kind == fs::file_type::directory) expand(path + "/", below, found);
    return;
  }
  const bool any_depth = name == "**";
  if (any_depth && !below.empty()) expand(at, below, found);
  for (fs::directory_iterator i{at.empty() ? "." : at, none}, end; i != end; i.increment(none)) {
    const std::string entry = i->path().filename().string();
    const std::string pattern{any_depth ? "*" : name};
    if (::fnmatch(pattern.c_str(), entry.c_str(), FNM_PERIOD) != 0) continue;
    const std::string path = at + entry;
    if (below.empty()) {
      found.push_back(path);
    } else if (any_depth) {
      if (i->symlink_status(none).type() == fs::file_type::directory)
        expand(path + "/", rest, found);
    } else if (i->is_directory(none)) {
      expand(path + "/", below, found);
    }
  }
}

}  // namespace

std::vector<std::string> expand_glob(std::string_view pattern) {
  std::vector<std::string> found;
  expand(pattern.starts_with('/') ? "/" : "", pattern, found);
  std::ranges::sort(found);
  const auto twice = std::ranges::unique(found);
  found.erase(twice.begin(), twice.end());
  return found;
}

bool is_glob(const std::string& text) {
  std::error_code none;
  return text.find_first_of(wildcards) != text.npos && text.find("://") == text.npos &&
         !text.starts_with('[') && !fs::exists(fs::symlink_status(text, none));
}

}  // namespace tool
