// An HTTP/1.1 client: requests over connections that are kept and used again, redirects, a limit on
// everything.
//
//     oneloop::task<> hello() {
//       oneloop::http::client c;
//       auto r = co_await c.get("http://example.org/");
//       auto page = co_await r.text();
//       fmt::print("{} {}, {} bytes from {}\n", r.status(), r.reason(), page.size(),
//                  r.final_url().href());
//     }
//
// A response is there as soon as its head is; the body is read as it comes. A status of 404 or 500
// is a response like any other (see expect_success); what throws is listed in error.hpp.
//
// *Cancellation*: at every wait. What was under way is closed: no descriptor is left, and no
// connection that was read half-way is ever used again.
// *Threads*: a client belongs to one loop: the one it was made on, else the one it was first used
// on. Its responses belong there too. A loop that ends closes the client's connections; the client
// may then be used on another.
// *Cost*: one allocation a response and one a connection beyond those of its strings; an idle
// connection keeps no buffer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http {

namespace detail {
class client_core;
class exchange;
}  // namespace detail

/// How long each part of an exchange may take. Going over one is an http_error of kind `timeout`
/// whose phase() is the field's name. `duration::max()`: no limit.
struct phase_timeouts {
  /// Looking up the name of the host.
  duration dns = std::chrono::seconds{10};
  /// From the address to a TCP connection, all addresses of the host together.
  duration connect = std::chrono::seconds{10};
  /// The TLS handshake.
  duration tls = std::chrono::seconds{10};
  /// Sending the request.
  duration write = std::chrono::seconds{30};
  /// From then on to the first byte of the response.
  duration first_byte = std::chrono::seconds{30};
  /// Without any byte in the middle of a response.
  duration stall = std::chrono::seconds{30};
};

/// What a client is made with. Setters chain: `client_options{}.per_host(4).ca_file("ca.pem")`.
class client_options {
 public:
  /// Bytes that text() and discard() take, unless they are told otherwise.
  static constexpr std::uint64_t default_max_body = 16 * 1024 * 1024;

  client_options& timeouts(const phase_timeouts& t) noexcept {
    timeouts_ = t;
    return *this;
  }
  /// From the start of send() to the end of the body, redirects included; the time in which the
  /// client itself holds a request back (per_host) does not count. Five minutes unless said
  /// otherwise; `duration::max()`: no limit. The phase of its error is "total".
  client_options& total_timeout(duration d) noexcept {
    total_timeout_ = d;
    return *this;
  }
  /// How many redirects are followed before it is an error. 10 unless said otherwise.
  client_options& max_redirects(int n) noexcept {
    max_redirects_ = n;
    return *this;
  }
  /// Bytes of a response's head. 64 KiB unless said otherwise, never more than 300 KiB.
  client_options& max_head(std::size_t bytes) noexcept {
    max_head_ = bytes;
    return *this;
  }
  /// Connections at a time to one origin (scheme, host and port), idle ones included; further
  /// requests wait, first come, first served. 16 unless said otherwise, at least 1.
  client_options& per_host(std::size_t n) noexcept {
    per_host_ = n == 0 ? 1 : n;
    return *this;
  }
  /// How long a connection is kept that nobody uses. 4 s unless said otherwise: common servers
  /// close after 5. Zero: none is kept.
  client_options& idle_timeout(duration d) noexcept {
    idle_timeout_ = d;
    return *this;
  }
  /// A PEM file with the authorities to trust in place of the system's.
  client_options& ca_file(std::string path) {
    ca_file_ = std::move(path);
    return *this;
  }
  /// Does not verify certificates: whoever is in between can read and change everything.
  client_options& insecure(bool on = true) noexcept {
    insecure_ = on;
    return *this;
  }
  /// The User-Agent of requests that have none of their own.
  client_options& user_agent(std::string text) {
    user_agent_ = std::move(text);
    return *this;
  }
  /// Look up names in a resolver of the client's own, made like this, instead of in the loop's.
  client_options& resolver(net::resolver_options r) {
    resolver_ = std::move(r);
    return *this;
  }

 private:
  friend class detail::client_core;
  phase_timeouts timeouts_;
  duration total_timeout_ = std::chrono::minutes{5};
  duration idle_timeout_ = std::chrono::seconds{4};
  int max_redirects_ = 10;
  std::size_t max_head_ = 64 * 1024;
  std::size_t per_host_ = 16;
  bool insecure_ = false;
  std::string ca_file_;
  std::string user_agent_ = "oneloop/0.1";
  std::optional<net::resolver_options> resolver_;
};

/// What to ask for. A value.
///
/// The client adds Host, User-Agent and Accept where they are missing, and Authorization (Basic)
/// from the user name and password of the URL. Across a redirect to another origin it drops
/// Authorization, Cookie, Proxy-Authorization and Host.
class ONELOOP_API request {
 public:
  /// `method`: "GET", "HEAD" or any other token (not CONNECT); it is sent as it stands.
  request(std::string method, url target)
      : method_{std::move(method)}, target_{std::move(target)} {}

  [[nodiscard]] const std::string& method() const noexcept { return method_; }
  [[nodiscard]] const url& target() const noexcept { return target_; }
  [[nodiscard]] headers& fields() noexcept { return fields_; }
  [[nodiscard]] const headers& fields() const noexcept { return fields_; }
  /// Whether redirects are followed (they are, unless said otherwise) or given to the caller.
  request& follow(bool on) noexcept {
    follow_ = on;
    return *this;
  }
  [[nodiscard]] bool follows() const noexcept { return follow_; }

 private:
  std::string method_;
  url target_;
  headers fields_;
  bool follow_ = true;
};

/// One redirect that was followed.
struct redirect {
  int status;
  url from;
  url to;
};

/// Where the time went. All but `total` and `queued` are those of the last exchange, the one that
/// gave the response; zero for what was not needed.
struct timing {
  duration queued{};      // held back by the client's own limit, in all exchanges
  duration dns{};         // looking up the name
  duration connect{};     // making the TCP connection
  duration tls{};         // the TLS handshake
  duration first_byte{};  // from the request's last byte to the response's first one
  duration total{};       // from send() to the end of the body; so far, if that has not come
  bool reused = false;    // over a connection that had served another request before
};

/// A response: its head at once, its body as it is read. Moves.
///
/// When it is destroyed with its body unread, its connection is closed, unless all the rest has
/// arrived already. Cancellation of read_some loses nothing: the next one goes on.
class ONELOOP_API response {
 public:
  response(response&&) noexcept;
  response& operator=(response&&) noexcept;
  ~response();

  [[nodiscard]] int status() const noexcept;
  /// As the server put it; may be empty.
  [[nodiscard]] std::string_view reason() const noexcept;
  [[nodiscard]] const headers& fields() const noexcept;
  /// Where the response came from, after all redirects, with the fragment that belongs to it.
  [[nodiscard]] const url& final_url() const noexcept;
  /// The redirects that led there, in order.
  [[nodiscard]] std::span<const redirect> redirects() const noexcept;
  [[nodiscard]] timing times() const noexcept;
  /// Bytes of the body that have been read so far.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Throws http_error ("GET http://b/: 404 Not Found") unless the status is 2xx.
  void expect_success() const;

  /// At least one byte of the body; 0 at its end (or if `to` is empty). One reader at a time.
  /// Throws http_error; then so does every later call.
  [[nodiscard]] task<std::size_t> read_some(std::span<std::byte> to);
  /// The rest of the body. Throws http_error (too_large) if that is more than `limit` bytes. If it
  /// is cancelled, what it has read is lost.
  [[nodiscard]] task<std::string> text(std::uint64_t limit = client_options::default_max_body);
  /// Reads the rest of the body and drops it, so that the connection can be used again: how many
  /// bytes it was. Throws as text() does.
  [[nodiscard]] task<std::uint64_t> discard(std::uint64_t limit = client_options::default_max_body);

 private:
  friend class detail::client_core;
  explicit response(std::unique_ptr<detail::exchange> x) noexcept;
  std::unique_ptr<detail::exchange> exchange_;
};

/// What client::statistics reports.
struct client_statistics {
  std::uint64_t opened;     // connections made
  std::uint64_t reused;     // exchanges over a connection that had served another one
  std::uint64_t discarded;  // idle connections that were found closed, or with unexpected bytes
  std::uint64_t retried;    // exchanges repeated because a kept connection turned out to be dead
  std::size_t idle;         // connections that are kept and not used
  std::size_t in_use;       // connections of exchanges and responses under way
  std::size_t waiting;      // requests that wait because of the limit per host
};

class ONELOOP_API client {
 public:
  explicit client(client_options options = {});
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;
  /// Closes idle connections. Those in use belong to their responses and are closed after them.
  ~client();

  /// Sends a request and gives the response as soon as its head has come; follows redirects. If the
  /// client is closed or destroyed meanwhile, an exchange that is under way goes on; what waits for
  /// a place, or would follow a redirect, throws closed_error.
  /// Throws http_error; closed_error after close(); wrong_thread on another loop.
  [[nodiscard]] task<response> send(request r);
  /// GET and HEAD of a URL, or of a text that is one. A text that is none: http_error (bad_url).
  [[nodiscard]] task<response> get(std::string_view text);
  [[nodiscard]] task<response> get(url target);
  [[nodiscard]] task<response> head(std::string_view text);
  [[nodiscard]] task<response> head(url target);

  [[nodiscard]] client_statistics statistics() const noexcept;

  /// Takes leave: sends the end of TLS over idle connections (for at most a second) and closes
  /// them. Requests that come later, or that wait for a place, throw closed_error; responses go on.
  [[nodiscard]] task<> close();

 private:
  std::shared_ptr<detail::client_core> core_;
};

}  // namespace oneloop::inline v0::http
