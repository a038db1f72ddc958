#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/check/local_internal.hpp"
#include "oneloop/loop/descriptor.hpp"

namespace oneloop::inline v0::detail {
namespace {

namespace fs = std::filesystem;

/// Nobody has a host of this name (RFC 6761), so nobody links to it.
constexpr std::string_view site_of_files = "https://site-of-files.invalid";
constexpr std::string_view machine = "/this-machine";  // below it

/// As it is written in a URL.
std::string encoded(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c == '%' || c == '\\') {
      text += c == '%' ? "%25" : "%5C";
    } else {
      text += percent_encode(std::string_view{&c, 1}, percent_set::path);
    }
  }
  return text;
}

url url_of(std::string_view before, std::string_view path) {
  auto u = url::parse(std::string{before} + encoded(path));
  if (!u) throw error{u.error(), std::string{path} + ": " + u.error().message()};
  return *std::move(u);
}

bool inside(std::string_view path, std::string_view directory) noexcept {
  return path.starts_with(directory) &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

std::string without_slash(std::string text) {
  while (!text.empty() && text.back() == '/') text.pop_back();
  return text;
}

[[noreturn]] void fail(const std::string& given, std::error_code why) {
  throw error{why, given + ": " + why.message()};
}

std::string real_path(const std::string& given) {
  std::error_code why;
  const auto real = fs::canonical(given, why);
  if (why) fail(given, why);
  return without_slash(real.string());
}

/// All documents below a directory. What begins with a dot is left out, and so are links that lead
/// out of it.
void collect(const std::string& directory, const std::string& top, int depth,
             std::vector<std::string>& to) {
  std::vector<fs::directory_entry> entries;
  std::error_code why;
  for (fs::directory_iterator at{directory, why}; !why && at != fs::directory_iterator{};
       at.increment(why)) {
    if (!at->path().filename().string().starts_with('.')) entries.push_back(*at);
  }
  if (why) fail(directory, why);
  std::ranges::sort(entries, {}, [](const auto& e) { return e.path().string(); });
  for (const auto& e : entries) {
    const std::string path = e.path().string();
    std::error_code ignored;
    if (e.is_symlink(ignored)) {
      const auto real = fs::canonical(e.path(), ignored);
      // A directory that is linked may be one above.
      if (ignored || !inside(real.string(), top) || fs::is_directory(real, ignored)) continue;
    }
    if (e.is_directory(ignored)) {
      if (depth < local_site::max_depth) collect(path, top, depth + 1, to);
    } else if (e.is_regular_file(ignored) &&
               html::media_of("", path, "x").kind != html::document_kind::none) {
      if (to.size() >= local_site::max_documents) {
        throw error{make_error_code(errc::limit_exceeded), top + ": more than a million documents"};
      }
      to.push_back(path);
    }
  }
}

std::error_code read_all(int fd, std::uint64_t size, std::string& to) {
  to.resize(size);
  std::size_t n = 0;
  while (n < to.size()) {
    const auto got = ::read(fd, to.data() + n, to.size() - n);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_code(errno);
    if (got == 0) break;
    n += static_cast<std::size_t>(got);
  }
  to.resize(n);
  return {};
}

}  // namespace

url url_of_path(std::string_view path) { return url_of("file://", path); }

url base_of_path(std::string_view path) {
  return url_of(std::string{site_of_files}.append(machine), path);
}

std::optional<std::string> path_of_url(const url& u) {
  if (!u.host().empty() && u.host() != "localhost") return {};
  std::string path = percent_decode(u.path());
  if (path.find('\0') != path.npos) return {};
  return path;
}

void local_site::root_dir(const std::string& directory) {
  root_dir_ = real_path(directory);
  std::error_code ignored;
  if (!fs::is_directory(*root_dir_ + "/", ignored)) {
    fail(directory, std::make_error_code(std::errc::not_a_directory));
  }
  add_root(*root_dir_, without_slash(directory) + "/", true);
}

/// Under the name by which it was given first.
void local_site::add_root(const std::string& path, std::string prefix, bool directory) {
  auto& known = roots_.try_emplace(path, root{std::move(prefix), false}).first->second;
  known.directory = known.directory || directory;
}

std::optional<std::vector<std::string>> local_site::add(const std::string& given) {
  std::error_code why;
  const auto status = fs::status(given, why);
  if (!fs::exists(status)) return {};
  std::vector<std::string> documents;
  if (fs::is_directory(status)) {
    const std::string real = real_path(given);
    collect(real.empty() ? "/" : real, real, 0, documents);
    add_root(real, without_slash(given) + "/", true);
    return documents;
  }
  // Beside it, by its real name; a link is a document under the name that was given.
  const auto slash = given.rfind('/');
  const std::string directory = slash == given.npos ? "" : given.substr(0, slash + 1);
  const std::string real = real_path(directory.empty() ? "." : directory);
  documents.push_back(real + "/" + given.substr(directory.size()));
  add_root(real, directory, false);
  return documents;
}

template <class F>
void local_site::roots_around(std::string_view path, F f) const {
  while (true) {
    const auto found = roots_.find(path);
    if (found != roots_.end() && f(found->first, found->second)) return;
    const auto slash = path.rfind('/');
    if (slash == path.npos) return;
    path = path.substr(0, slash);
  }
}

std::string local_site::name_of(std::string_view path) const {
  std::string name{path};
  roots_around(path, [&](const std::string& real, const root& r) {
    name = r.prefix + std::string{path.substr(std::min(path.size(), real.size() + 1))};
    return true;
  });
  return name;
}

std::string local_site::root_of(std::string_view path) const {
  if (root_dir_) return *root_dir_;
  std::string outermost;
  roots_around(path, [&](const std::string& real, const root& r) {
    if (r.directory) outermost = real;
    return false;
  });
  return outermost;
}

std::expected<url, std::error_code> local_site::place_of(const url& target,
                                                         std::string_view document) const {
  const bool of_files = target.origin() == site_of_files;
  if (!of_files && target.scheme() != "file") return target;
  std::string text{"file://"};
  std::string_view path = target.path();
  if (!of_files) {
    text.append(target.host());
  } else if (inside(path, machine)) {
    path.remove_prefix(machine.size());
  } else {
    text.append(encoded(root_of(document)));
  }
  text.append(path);
  if (const auto f = target.fragment()) text.append("#").append(*f);
  return url::parse(text);
}

bool local_site::may_read(const std::string& path) const {
  std::error_code why;
  const auto real = fs::canonical(path, why);
  bool found = false;
  if (!why) roots_around(real.string(), [&](const auto&, const auto&) { return found = true; });
  return found;
}

local_answer local_site::look(const std::string& path, bool wanted, std::uint64_t most) const {
  local_answer a;
  struct ::stat is{};
  if (::stat(path.c_str(), &is) != 0) {
    a.error = system_code(errno);
    return a;
  }
  if (S_ISDIR(is.st_mode)) {
    a.what = local_answer::kind::directory;
    struct ::stat index{};
    a.has_index = ::stat((without_slash(path) + "/index.html").c_str(), &index) == 0 &&
                  S_ISREG(index.st_mode);
    return a;
  }
  if (path.ends_with('/')) {
    a.error = std::make_error_code(std::errc::not_a_directory);
    return a;
  }
  a.what = S_ISREG(is.st_mode) ? local_answer::kind::file : local_answer::kind::other;
  a.bytes = static_cast<std::uint64_t>(is.st_size);
  if (a.what != local_answer::kind::file || !wanted || !may_read(path)) return a;
  // It may have become something else meanwhile: a pipe would wait for ever.
  const int opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened < 0 || ::fstat(opened, &is) != 0) {
    a.error = system_code(errno);
    a.what = local_answer::kind::missing;
    if (opened >= 0) ::close(opened);
    return a;
  }
  const auto fd = descriptor::adopt(opened);
  if (!S_ISREG(is.st_mode)) {
    a.what = local_answer::kind::other;
    return a;
  }
  a.bytes = static_cast<std::uint64_t>(is.st_size);
  std::string first;
  a.error = read_all(fd.fd(), std::min<std::uint64_t>(a.bytes, 4096), first);
  a.media = html::media_of("", path, first).kind;
  if (!a.error && a.media != html::document_kind::none) {
    a.too_large = a.bytes > most;
    if (!a.too_large) {
      a.error = read_all(fd.fd(), a.bytes - first.size(), a.text);
      a.text.insert(0, first);
    }
  }
  if (a.error) a.what = local_answer::kind::missing;
  return a;
}

}  // namespace oneloop::inline v0::detail
