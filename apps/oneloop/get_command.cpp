#include "get_command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/cookies.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/task/run.hpp"
#include "output.hpp"

namespace tool {
namespace {

using oneloop::task;
namespace http = oneloop::http;

/// Where the body goes: standard output, or a file that is there when it is whole. What there is of
/// an incomplete one stays in FILE.part.
class destination {
 public:
  explicit destination(const std::string& file) : file_{file}, part_{part_of(file)} {
    if (file.empty()) {
      out_.emplace(STDOUT_FILENO, "standard output");
      return;
    }
    const int fd = ::open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) throw usage_error{oneloop::error{"-o", part_, oneloop::system_code(errno)}.what()};
    fd_ = oneloop::descriptor::adopt(fd);
    out_.emplace(fd, part_);
  }

  task<> write(std::string_view text) {
    any_ = true;
    out_->add(text);
    return out_->flush();
  }
  /// All of it has come.
  void keep() {
    if (part_ != file_ && ::rename(part_.c_str(), file_.c_str()) != 0) {
      throw oneloop::error{"rename " + part_ + " to", file_, oneloop::system_code(errno)};
    }
  }
  /// Something went wrong: says where what has come can be found.
  void give_up() {
    if (part_ == file_) return;
    if (any_) {
      note("what has come is in " + part_);
    } else {
      ::unlink(part_.c_str());
    }
  }

 private:
  /// Beside the file; but what is a device or a pipe is written at once.
  static std::string part_of(const std::string& file) {
    struct stat about{};
    const bool special =
        file.empty() || (::stat(file.c_str(), &about) == 0 && !S_ISREG(about.st_mode));
    return special ? file : file + ".part";
  }

  std::string file_;
  std::string part_;
  oneloop::descriptor fd_;
  std::optional<output> out_;
  bool any_ = false;
};

std::string head_of(const http::response& r) {
  std::string text = fmt::format("HTTP/1.{} {} {}\r\n", r.minor_version(), r.status(), r.reason());
  for (const auto field : r.fields()) {
    text.append(field.name).append(": ").append(field.value).append("\r\n");
  }
  return text + "\r\n";
}

void tell_how_it_went(const http::response& r) {
  for (const auto& step : r.redirects()) {
    note(printable(
        fmt::format("{} from {} to {}", step.status, step.from.display(), step.to.display())));
  }
  const auto ms = [](oneloop::duration d) {
    return std::chrono::duration<double, std::milli>(d).count();
  };
  const auto t = r.times();
  note(
      printable(fmt::format("{} from {}, {} bytes in {:.1f} ms (dns {:.1f}, connect {:.1f}, tls "
                            "{:.1f}, first byte {:.1f})",
                            r.status(), r.final_url().display(), r.bytes(), ms(t.total), ms(t.dns),
                            ms(t.connect), ms(t.tls), ms(t.first_byte))));
}

task<> copy_body(http::response& from, destination& to) {
  const auto piece = std::make_unique<std::array<std::byte, 64 * 1024>>();
  while (true) {
    const auto n = co_await from.read_some(*piece);
    if (n == 0) break;
    auto writing = to.write({reinterpret_cast<const char*>(piece->data()), n});
    co_await std::move(writing);
  }
}

/// Whether all went well.
task<bool> fetch(get_arguments a, http::client_options options, destination& to) {
  auto target = oneloop::url::parse(a.url);
  if (!target) {
    // What stands before the last '@' may be a password.
    throw http::http_error{
        http::error_kind::bad_url, "url", target.error(),
        "bad URL \"" + a.url.substr(a.url.rfind('@') + 1) + "\": " + target.error().message()};
  }
  http::client client{std::move(options)};
  http::request ask{a.head ? "HEAD" : "GET", *std::move(target)};
  ask.follow(!a.no_follow).cookies(std::make_shared<http::cookie_jar>());
  auto sending = client.send(std::move(ask));
  auto response = co_await std::move(sending);
  if (a.transport.insecure && response.certificate_problem()) {
    note(printable("warning: " + *response.certificate_problem()));
  }
  if (a.include || a.head) {
    auto heading = to.write(head_of(response));
    co_await std::move(heading);
  }
  auto copying = copy_body(response, to);
  co_await std::move(copying);
  if (a.transport.verbose) tell_how_it_went(response);
  const bool good = response.status() < 400;
  if (!good) {
    complain(printable(fmt::format("{}: {} {}", response.final_url().display(), response.status(),
                                   response.reason())));
  }
  auto closing = client.close();
  co_await std::move(closing);
  co_return good;
}

}  // namespace

int get_command(get_arguments a) {
  if (a.transport.quiet) no_notes();
  auto options = client_options_of(a.transport);
  // A long body may take its time, unless somebody said how long.
  options.total_timeout(a.timeout_given ? parse_duration("--timeout", a.transport.timeout)
                                        : oneloop::duration::max());
  std::optional<oneloop::loop> loop;
  make_loop(loop, a.transport.backend);
  destination to{a.file == "-" ? std::string{} : a.file};
  try {
    const bool good = oneloop::run(*loop, fetch(a, std::move(options), to));
    good ? to.keep() : to.give_up();
    return good ? exit_ok : exit_bad;
  } catch (const oneloop::error& e) {
    complain(printable(e.what()));
    to.give_up();
    return exit_bad;
  }
}

}  // namespace tool
