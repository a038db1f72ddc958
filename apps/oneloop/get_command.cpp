#include "get_command.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "arguments.hpp"
#include "destination.hpp"
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
task<bool> fetch(get_arguments a, http::client_options options,
                 std::shared_ptr<http::cookie_jar> cookies, destination& to) {
  auto target = oneloop::url::parse(a.url);
  if (!target) {
    // What stands before the last '@' may be a password.
    throw http::http_error{
        http::error_kind::bad_url, "url", target.error(),
        "bad URL \"" + a.url.substr(a.url.rfind('@') + 1) + "\": " + target.error().message()};
  }
  http::client client{std::move(options)};
  http::request ask{a.head ? "HEAD" : "GET", *std::move(target)};
  ask.follow(!a.no_follow).cookies(cookies ? cookies : std::make_shared<http::cookie_jar>());
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
  auto cookies = cookies_of(a.transport);
  // A long body may take its time, unless somebody said how long.
  options.total_timeout(a.timeout_given ? parse_duration("--timeout", a.transport.timeout)
                                        : oneloop::duration::max());
  std::optional<oneloop::loop> loop;
  make_loop(loop, a.transport.backend);
  destination to{a.file == "-" ? std::string{} : a.file};
  try {
    const bool good = oneloop::run(*loop, fetch(a, std::move(options), std::move(cookies), to));
    good ? to.keep() : to.give_up();
    return good ? exit_ok : exit_bad;
  } catch (const oneloop::error& e) {
    complain(printable(e.what()));
    to.give_up();
    return exit_bad;
  }
}

}  // namespace tool
