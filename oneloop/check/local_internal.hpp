// Files and directories of this machine as a site without a server. Internal to check/.
//
// Their URLs are "file:" ones with whole paths; people see the paths that they gave. What is below
// a directory that was given, beside a file that was given, or in the root directory, is of the
// site and is read; of everything else it is only asked whether it exists.
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "oneloop/html/extract.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::detail {

url url_of_path(std::string_view path);
/// Nothing for a URL of another host, or with a zero byte in it.
std::optional<std::string> path_of_url(const url& u);
/// What links of the document at a path are resolved against: a URL of https, as it will have one.
/// Where it stands on this machine is below the top of that, so that "../" leads anywhere, and what
/// leads to the top, however that is written, leads to the root of the site.
url base_of_path(std::string_view path);

/// What was found at a path.
struct local_answer {
  enum class kind : std::uint8_t { missing, file, directory, other };
  kind what = kind::missing;
  std::error_code error;    // why it is missing
  bool has_index = false;   // a directory with an index.html
  bool too_large = false;   // to be read
  std::uint64_t bytes = 0;  // of the file
  html::document_kind media = html::document_kind::none;
  std::string text;  // of a document that is wanted
};

class local_site {
 public:
  /// A directory gives no more documents, and is no deeper.
  static constexpr std::size_t max_documents = 1'000'000;
  static constexpr int max_depth = 64;

  /// In which directory links that begin with "/" are looked up. Throws error if it is none.
  void root_dir(const std::string& directory);
  /// One of the starts, if it exists as a file or directory: all documents that it stands for, in
  /// order; else nothing. Reads directories: on a thread. Throws error.
  std::optional<std::vector<std::string>> add(const std::string& given);

  [[nodiscard]] bool empty() const noexcept { return roots_.empty(); }
  /// The name for people: "docs/a.md".
  [[nodiscard]] std::string name_of(std::string_view path) const;
  /// Where a link leads that was resolved against base_of_path(document): another URL stays as it
  /// is. Queries say nothing about files.
  [[nodiscard]] std::expected<url, std::error_code> place_of(const url& target,
                                                             std::string_view document) const;
  /// Looks at a path, and reads it if it is a document of the site and `wanted`. On a thread.
  [[nodiscard]] local_answer look(const std::string& path, bool wanted, std::uint64_t most) const;

 private:
  struct root {
    std::string prefix;  // what people see in place of it and a slash: "docs/", ""
    bool directory;      // that was given as such
  };
  /// The directory that "/" means in this document; "": the machine's.
  [[nodiscard]] std::string root_of(std::string_view path) const;
  void add_root(const std::string& path, std::string prefix, bool directory);
  [[nodiscard]] bool may_read(const std::string& path) const;
  /// Calls f(path, root) for those around a path, the innermost first, until it gives true.
  template <class F>
  void roots_around(std::string_view path, F f) const;

  std::map<std::string, root, std::less<>> roots_;  // by real paths without a slash at the end
  std::optional<std::string> root_dir_;
};

}  // namespace oneloop::inline v0::detail
