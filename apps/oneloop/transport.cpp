#include "transport.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "arguments.hpp"
#include "oneloop/base/error.hpp"
#include "oneloop/http/cookies.hpp"
#include "oneloop/http/date.hpp"
#include "oneloop/http/proxy.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "output.hpp"
#include "small_file.hpp"

namespace tool {
namespace {

void must_be_readable(std::string_view option, const std::string& file) {
  if (file.empty() || ::access(file.c_str(), R_OK) == 0) return;
  throw bad_option{option, file, std::generic_category().message(errno)};
}

/// Files that cannot be used are wrong usage, and not a hundred bad verdicts.
void try_files(const transport_arguments& a) {
  if (a.ca_file.empty() && a.certificate.empty() && a.key.empty()) return;
  if (a.certificate.empty() && !a.key.empty()) {
    throw bad_option{"--key", a.key, "a key is for a certificate: name it with --cert"};
  }
  must_be_readable("--cacert", a.ca_file);
  must_be_readable("--cert", a.certificate);
  must_be_readable("--key", a.key);
  const auto trial = [](std::string_view option, const std::string& file, auto set) {
    if (file.empty()) return;
    try {
      oneloop::net::tls_client_options o;
      set(o);
      (void)oneloop::net::tls_context::client(o);
    } catch (const oneloop::error& e) {
      throw bad_option{option, file, e.what()};
    }
  };
  trial("--cacert", a.ca_file, [&](auto& o) { o.ca_file = a.ca_file; });
  trial("--cert", a.certificate, [&](auto& o) {
    o.certificate_file = a.certificate;
    o.key_file = a.key.empty() ? a.certificate : a.key;
  });
}

oneloop::http::proxy_rules proxies_of(const std::optional<std::string>& proxy) {
  using oneloop::http::proxy_rules;
  try {
    if (!proxy) return proxy_rules::from_environment();
    if (proxy->empty() || *proxy == "none") return {};
    return proxy_rules::all(*proxy);
  } catch (const oneloop::error& e) {
    // The URL may have a password in it.
    if (proxy) throw bad_option{"--proxy", "", e.what()};
    throw usage_error{e.what()};
  }
}

}  // namespace

oneloop::http::client_options client_options_of(const transport_arguments& a) {
  try_files(a);
  oneloop::http::client_options o;
  oneloop::http::phase_timeouts phases;
  const auto timeout = parse_duration("--timeout", a.timeout);
  const auto connect = std::min(parse_duration("--connect-timeout", a.connect_timeout), timeout);
  phases.dns = phases.connect = phases.proxy = phases.tls = connect;
  phases.write = phases.first_byte = phases.stall = timeout;
  o.timeouts(phases);
  o.max_redirects(static_cast<int>(parse_count("--redirects", a.redirects, 0, 100)));
  for (const auto& text : a.fields) {
    auto f = parse_field("-H", text);
    o.field(std::move(f.name), std::move(f.value), std::move(f.host));
  }
  if (!a.agent.empty()) {
    o.user_agent(parse_field("-A", "User-Agent: " + a.agent).value);
  }
  for (const auto& text : a.users) {
    auto u = parse_user("--user", text);
    o.credentials(std::move(u.host), std::move(u.name), std::move(u.password));
  }
  if (!a.ca_file.empty()) o.ca_file(a.ca_file);
  if (!a.certificate.empty()) {
    o.client_certificate(a.certificate, a.key.empty() ? a.certificate : a.key);
  }
  o.insecure(a.insecure);
  for (const auto& text : a.resolve) {
    auto r = parse_resolve("--resolve", text);
    o.resolve(std::move(r.host), r.port, r.address);
  }
  o.proxies(proxies_of(a.proxy));
  o.exclude_private(a.exclude_private);
  if (a.insecure) {
    note(
        "warning: --insecure: certificates are not verified, anybody could answer in place of the "
        "servers");
  }
  return o;
}

std::shared_ptr<oneloop::http::cookie_jar> cookies_of(const transport_arguments& a) {
  if (a.cookies.empty()) return {};
  auto jar = std::make_shared<oneloop::http::cookie_jar>();
  try {
    jar->load(read_small_file("--cookies", a.cookies), oneloop::http::wall_now());
  } catch (const oneloop::error& e) {
    throw bad_option{"--cookies", a.cookies, e.what()};
  }
  return jar;
}

void make_loop(std::optional<oneloop::loop>& in, const std::string& backend) {
  (void)parse_choice("--backend", backend, backend_names);
  try {
    // "auto" leaves the choice to the environment (ONELOOP_BACKEND), else to the library.
    in.emplace(backend == "auto" ? std::string{} : backend);
    // For the loops of threads and workers.
    if (backend != "auto") ::setenv("ONELOOP_BACKEND", backend.c_str(), 1);
  } catch (const oneloop::error& e) {
    throw bad_option{"--backend", backend, e.what()};
  }
}

}  // namespace tool
