// Names of files with wildcards in them, for whoever has no shell that expands them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tool {

/// The files and directories that `pattern` stands for, sorted. "*", "?" and "[a-z]" stand for
/// parts of a name, "**" for any directories, or none; names that begin with a dot have to be
/// written with it, and "**" goes through no symbolic link. Nothing if there are none.
std::vector<std::string> expand_glob(std::string_view pattern);

/// Whether it has wildcards, is no URL, and no file has just this name.
bool is_glob(const std::string& text);

}  // namespace tool
