// Files that people write for us: settings, patterns, cookies.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tool {

/// A file that options name is at most so large.
inline constexpr std::size_t max_small_file = std::size_t{4} * 1024 * 1024;

/// The whole of it. Throws bad_option if it cannot be read or is larger.
std::string read_small_file(std::string_view option, const std::string& file);

}  // namespace tool
