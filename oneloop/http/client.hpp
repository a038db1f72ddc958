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
// *Threads*: a client may be shared by any number of loops and plain threads. It keeps connections
// for each loop (for each plain thread, which has one of its own), and its limits count for each; a
// response belongs to the loop or thread that asked for it. A loop that ends closes the connections
// it had.
// *Cost*: one allocation a response and one a connection beyond those of its strings; an idle
// connection keeps no buffer.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/http/body.hpp"
#include "oneloop/http/error.hpp"
#include "oneloop/http/message.hpp"
#include "oneloop/http/proxy.hpp"
#include "oneloop/net/address.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/task/task.hpp"
#include "oneloop/url/url.hpp"

namespace oneloop::inline v0::http {

class cookie_jar;
namespace detail {
class client_core;
class client_cores;
class exchange;
}  // namespace detail

/// How long each part of an exchange may take. Going over one is an http_error of kind `timeout`
/// whose phase() is the field's name. `duration::max()`: no limit.
struct phase_timeouts {
  /// Looking up the name of the host.
  duration dns = std::chrono::seconds{10};
  /// From the address to a TCP connection, all addresses of the host together.
  duration connect = std::chrono::seconds{10};
  /// What a proxy takes to open a tunnel (CONNECT, SOCKS5).
  duration proxy = std::chrono::seconds{10};
  /// The TLS handshake.
  duration tls = std::chrono::seconds{10};
  /// Sending the request's head, and each piece (64 KiB at most) of its body. The time that a
  /// body's source takes counts as part of the total only.
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
  [[nodiscard]] int max_redirects() const noexcept { return max_redirects_; }
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
  [[nodiscard]] std::size_t per_host() const noexcept { return per_host_; }
  /// Connections at a time in all, idle ones included; an idle one gives way to a new one, and when
  /// none is idle, requests wait. 1,024 unless said otherwise, at least 1. When the process has no
  /// descriptor left for one more, requests wait in the same way, as long as this client has some.
  client_options& max_connections(std::size_t n) noexcept {
    max_connections_ = n == 0 ? 1 : n;
    return *this;
  }
  /// Connections at a time to one IP address, whatever the names that lead there; further dials
  /// wait. No limit unless said otherwise, at least 1; none for a proxy's address.
  client_options& per_address(std::size_t n) noexcept {
    per_address_ = n == 0 ? 1 : n;
    return *this;
  }
  /// A connection that is older is not used for another request. 10 minutes unless said otherwise.
  client_options& max_age(duration d) noexcept {
    max_age_ = d;
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
  /// Our own certificate (with its chain) and its key, PEM files, for servers that ask for one and
  /// are no strangers (request::to_stranger).
  client_options& client_certificate(std::string certificate_file, std::string key_file) {
    certificate_file_ = std::move(certificate_file);
    key_file_ = std::move(key_file);
    return *this;
  }
  /// Through which proxy requests go; none unless said otherwise. See proxy.hpp for the rules of
  /// the environment's variables.
  client_options& proxies(proxy_rules rules) {
    proxies_ = std::move(rules);
    return *this;
  }
  /// Connects to no address that is private, of this machine, or otherwise not of the public
  /// Internet: tested on what names resolve to, at every redirect. Such a request fails with kind
  /// `forbidden`. A proxy's own address is not tested; what a proxy resolves cannot be: with this
  /// option names are resolved here first, and the proxy is told the address.
  client_options& exclude_private(bool on = true) noexcept {
    exclude_private_ = on;
    return *this;
  }
  /// `host` at `port` is at this address, without a lookup (curl's --resolve). The Host field, the
  /// certificate and the rest of the URL stay as they are.
  client_options& resolve(std::string host, std::uint16_t port, net::ip_address to) {
    resolve_.push_back({std::move(host), port, to});
    return *this;
  }
  /// A field for every request that has none of that name. With `host` ("example.org", or
  /// "example.org:8080" for that port alone): only for requests to that host, whatever redirect
  /// leads there, but not over http after https; it goes before one without. Without: not after a
  /// redirect to another origin, unless it is one of those that tell nothing secret (see request).
  client_options& field(std::string name, std::string value, std::string host = {}) {
    fields_.push_back({std::move(host), std::move(name), std::move(value)});
    return *this;
  }
  /// Basic credentials for requests to `host` (as in field) that have none of their own, neither
  /// in Authorization nor in their URL.
  client_options& credentials(std::string host, std::string user, std::string password) {
    credentials_.push_back({std::move(host), std::move(user), std::move(password)});
    return *this;
  }
  /// Where cookies are kept; none are kept or sent unless a jar is given. A jar may serve several
  /// clients of one loop.
  client_options& cookies(std::shared_ptr<cookie_jar> jar) noexcept {
    cookies_ = std::move(jar);
    return *this;
  }
  /// Asks for gzip, deflate, br and zstd (unless the request has an Accept-Encoding of its own) and
  /// decodes what comes: so it is, unless said otherwise. Content-Encoding and Content-Length stay
  /// in the response as they came. Requests with a Range ask for the bytes as they are, and a 206
  /// is never decoded. How much a body may grow: see decode_limits. Off: bodies are given as they
  /// come over the wire.
  client_options& decode(bool on) noexcept {
    decode_ = on;
    return *this;
  }
  /// Look up names in a resolver of the client's own, made like this, instead of in the loop's.
  client_options& resolver(net::resolver_options r) {
    resolver_ = std::move(r);
    return *this;
  }

 private:
  friend class detail::client_core;
  friend class detail::client_cores;
  phase_timeouts timeouts_;
  duration total_timeout_ = std::chrono::minutes{5};
  duration idle_timeout_ = std::chrono::seconds{4};
  int max_redirects_ = 10;
  std::size_t max_head_ = 64 * 1024;
  std::size_t per_host_ = 16;
  struct resolution {
    std::string host;
    std::uint16_t port;
    net::ip_address to;
  };
  struct default_field {
    std::string host;
    std::string name;
    std::string value;
  };
  struct basic_credentials {
    std::string host;
    std::string user;
    std::string password;
  };
  std::size_t max_connections_ = 1024;
  std::size_t per_address_ = std::numeric_limits<std::size_t>::max();
  duration max_age_ = std::chrono::minutes{10};
  bool insecure_ = false;
  bool exclude_private_ = false;
  bool decode_ = true;
  std::string ca_file_;
  std::string certificate_file_;
  std::string key_file_;
  proxy_rules proxies_;
  std::vector<resolution> resolve_;
  std::vector<default_field> fields_;
  std::vector<basic_credentials> credentials_;
  std::shared_ptr<cookie_jar> cookies_;
  std::string user_agent_ = "oneloop/0.1";
  std::optional<net::resolver_options> resolver_;
};

/// What to ask for. A value.
///
/// The client adds Host, User-Agent, Accept and Accept-Encoding where they are missing, what the
/// body needs, Cookie from a jar, and Authorization (Basic) from the user name and password of the
/// URL, which go nowhere else.
///
/// After a redirect to another origin (scheme, host or port) only these fields are left: Accept,
/// Accept-Encoding, Accept-Language, User-Agent, Cache-Control, Pragma, Range and the If-* ones;
/// and, where the body goes along, Content-Type, -Encoding, -Language and -Disposition. What the
/// client itself adds for a host (field and credentials of client_options, cookies) is decided
/// anew for each request.
class ONELOOP_API request {
 public:
  /// `method`: "GET", "HEAD" or any other token (not CONNECT); it is sent as it stands.
  request(std::string method, url target)
      : method_{std::move(method)}, target_{std::move(target)} {}

  [[nodiscard]] const std::string& method() const noexcept { return method_; }
  [[nodiscard]] const url& target() const noexcept { return target_; }
  [[nodiscard]] headers& fields() noexcept { return fields_; }
  [[nodiscard]] const headers& fields() const noexcept { return fields_; }
  /// What it carries; `type` becomes its Content-Type, unless it is empty.
  ///
  /// While a body is sent, the response is watched: a final one of 300 or more (401, 413) ends the
  /// sending, and the connection is not used again; one of 2xx is given when all has been sent
  /// (until then up to 1 MiB of its body is kept; a server that wants more of that taken before it
  /// reads on runs into the time for sending).
  request& body(request_body b, std::string_view type = {});
  request& body(std::string bytes, std::string_view type = {}) {
    return body(request_body{std::move(bytes)}, type);
  }
  [[nodiscard]] const request_body& body() const noexcept { return body_; }
  /// Asks the server first whether it wants the body (Expect: 100-continue), and waits for its
  /// answer, for a second at most: not every server knows that question. If the answer is a final
  /// response, the body is not sent; but 417 makes us ask again without the question.
  request& expect_continue(bool on = true) noexcept {
    expect_continue_ = on;
    return *this;
  }
  [[nodiscard]] bool expects_continue() const noexcept { return expect_continue_; }
  /// Whether redirects are followed (they are, unless said otherwise) or given to the caller.
  request& follow(bool on) noexcept {
    follow_ = on;
    return *this;
  }
  [[nodiscard]] bool follows() const noexcept { return follow_; }
  /// Cookies from and to this jar in place of the client's. A Cookie field of its own goes before
  /// either.
  request& cookies(std::shared_ptr<cookie_jar> jar) noexcept {
    cookies_ = std::move(jar);
    return *this;
  }
  [[nodiscard]] const std::shared_ptr<cookie_jar>& cookies() const noexcept { return cookies_; }
  /// client_options::decode for this request.
  request& decode(bool on) noexcept {
    decode_ = on;
    return *this;
  }
  [[nodiscard]] std::optional<bool> decodes() const noexcept { return decode_; }
  /// Its host is to be told nothing secret, as if a redirect from another origin led there: the
  /// client's fields without a host stay behind (see client_options::field), and so does our
  /// certificate, here and wherever it redirects to.
  request& to_stranger(bool on = true) noexcept {
    to_stranger_ = on;
    return *this;
  }
  [[nodiscard]] bool goes_to_stranger() const noexcept { return to_stranger_; }

 private:
  std::string method_;
  url target_;
  headers fields_;
  request_body body_;
  std::shared_ptr<cookie_jar> cookies_;
  std::optional<bool> decode_;
  bool follow_ = true;
  bool expect_continue_ = false;
  bool to_stranger_ = false;
};

/// One redirect that was followed.
struct redirect {
  int status;
  url from;
  url to;
  /// What its Retry-After said. The client does not wait.
  std::optional<duration> retry_after;
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

/// What a request that failed had come to: http_error::history.
struct request_history {
  std::vector<redirect> redirects;  // that were followed
  timing times;                     // of the exchange that failed, as far as it came
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
  /// HTTP/1.<minor>
  [[nodiscard]] int minor_version() const noexcept;
  [[nodiscard]] const headers& fields() const noexcept;
  /// Where the response came from, after all redirects, with the fragment that belongs to it.
  [[nodiscard]] const url& final_url() const noexcept;
  /// The redirects that led there, in order.
  [[nodiscard]] std::span<const redirect> redirects() const noexcept;
  /// Where this response itself redirects to, for those that do not let the client follow; nothing
  /// if it is no redirect. Throws http_error (redirect) if that is no place, or not http or https.
  [[nodiscard]] std::optional<url> redirect_target() const;
  [[nodiscard]] timing times() const noexcept;
  /// Bytes of the body that have been read so far, after decoding.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  /// Bytes of the body that have come so far: coded ones, if it is coded.
  [[nodiscard]] std::uint64_t wire_bytes() const noexcept;
  /// With client_options::insecure: what would have been wrong with the server's certificate.
  [[nodiscard]] const std::optional<std::string>& certificate_problem() const noexcept;
  /// Throws http_error ("GET http://b/: 404 Not Found") unless the status is 2xx.
  void expect_success() const;

  /// At least one byte of the body; 0 at its end (or if `to` is empty). One reader at a time.
  /// Throws http_error (also for a coding that is unknown, broken, cut off or a bomb: protocol or
  /// too_large, phase "body"); then so does every later call.
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
  std::size_t waiting;      // requests that wait because of a limit on connections
};

class ONELOOP_API client {
 public:
  explicit client(client_options options = {});
  client(client&&) noexcept;
  client& operator=(client&&) noexcept;
  /// Closes idle connections, those of another thread's loop when that is next driven. Those in use
  /// belong to their responses and are closed after them.
  ~client();

  /// Sends a request and gives the response as soon as its head has come; follows redirects. If the
  /// client is closed or destroyed meanwhile, an exchange that is under way goes on; what waits for
  /// a place, or would follow a redirect, throws closed_error.
  /// Throws http_error; closed_error after close().
  [[nodiscard]] task<response> send(request r);
  /// GET and HEAD of a URL, or of a text that is one. A text that is none: http_error (bad_url).
  [[nodiscard]] task<response> get(std::string_view text);
  [[nodiscard]] task<response> get(url target);
  [[nodiscard]] task<response> head(std::string_view text);
  [[nodiscard]] task<response> head(url target);
  /// POST of a body, with its Content-Type.
  [[nodiscard]] task<response> post(std::string_view text, std::string body, std::string type);
  [[nodiscard]] task<response> post(url target, request_body body, std::string type);

  /// Of all loops together. Any thread.
  [[nodiscard]] client_statistics statistics() const noexcept;

  /// Takes leave: sends the end of TLS over idle connections of this loop (for at most a second)
  /// and closes them; those of other loops are only closed. Requests that come later, or that wait
  /// for a place, throw closed_error; responses go on.
  [[nodiscard]] task<> close();

 private:
  std::shared_ptr<detail::client_cores> cores_;
};

}  // namespace oneloop::inline v0::http
