// What stands behind a client: its options, and for each loop that it is used on a core: the
// connections there, and the steps of a request. Internal to http/.
//
//   send      follows redirects, under the clock of the whole request
//   open      one exchange: a place, a connection, the request out, the head of the response in;
//             once more on a fresh connection if a kept one was dead
//   dial      a fresh connection: name, TCP, proxy, TLS (client_dial.cpp)
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "oneloop/base/config.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/client_exchange_internal.hpp"
#include "oneloop/http/client_phases_internal.hpp"
#include "oneloop/http/pool_internal.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http::detail {

/// "Basic " and what it needs (RFC 7617).
[[nodiscard]] std::string basic(std::string_view user, std::string_view password);

/// What the steps of a dial tell of how it goes.
struct dial_progress {
  phase_clock& clock;
  timing& times;
};
struct dialled;
/// TLS that has been agreed on.
struct secured {
  net::any_stream stream;
  std::optional<std::string> certificate_problem;
};
/// A proxy that can be spoken to.
struct at_proxy {
  claim socket;
  net::any_stream stream;
};

/// One request of those that a chain of redirects makes.
struct hop {
  request ask;
  bool foreign = false;         // at another origin than the first one, or a stranger's
  bool after_https = false;     // some earlier one was over https
  std::string authorization{};  // what the URL of an earlier one said to this origin
  std::string cookies{};        // what goes into the Cookie field

  /// Over http after https: what is bound to the host is not for everybody to read.
  [[nodiscard]] bool exposed() const noexcept {
    return after_https && ask.target().scheme() == "http";
  }
};

class client_core;

/// What the cores of a client share, and the list of them. A core belongs to its loop, which ends
/// it; here it is only known. Any thread.
class client_cores : public std::enable_shared_from_this<client_cores> {
 public:
  explicit client_cores(client_options o);
  client_cores(const client_cores&) = delete;
  client_cores& operator=(const client_cores&) = delete;

  /// That of the loop that runs this; made on first use. Throws closed_error.
  [[nodiscard]] std::shared_ptr<client_core> here();
  /// The same, null if there is none.
  [[nodiscard]] std::shared_ptr<client_core> find_here() const;
  /// No request from now on. Each core ends on its loop: at once if that is the calling thread's,
  /// otherwise when it is next driven. Not the one of `except`.
  void close(const loop* except = nullptr) noexcept;
  [[nodiscard]] client_statistics statistics() const noexcept;
  /// With our own certificate, or to those who are not to see it: proxies, and strangers.
  [[nodiscard]] net::tls_context trust(bool anonymous);
  /// The core's loop has ended, or the client.
  void left(const client_core& core) noexcept;

  client_options options;  // const after construction

 private:
  struct known {
    client_core* core;
    loop* home;
    std::thread::id thread;  // that first ran it there
    bool told = false;       // the end is on its way to that loop, and must not be told twice
  };
  mutable std::mutex mutex_;
  bool closed_ = false;
  std::vector<known> cores_;
  client_statistics past_{};
  std::optional<net::tls_context> tls_;
  std::optional<net::tls_context> anonymous_tls_;
};

class client_core {
 public:
  /// On its loop.
  explicit client_core(std::shared_ptr<client_cores> all);
  ~client_core();
  client_core(const client_core&) = delete;
  client_core& operator=(const client_core&) = delete;

  static task<response> send(std::shared_ptr<client_cores> all, request r);
  static task<> close(std::shared_ptr<client_cores> all);
  [[nodiscard]] pool& connections() const noexcept { return *pool_; }
  [[nodiscard]] bool is_of(const client_cores& c) const noexcept { return all_.get() == &c; }

 private:
  using opened = std::unique_ptr<exchange>;
  /// Both keep `past` up to date; `follow` takes what is in `r`.
  task<opened> follow(request& r, phase_clock& clock, request_history& past);
  task<opened> open(const hop& h, phase_clock& clock, request_history& past);
  /// The next request of the chain.
  [[nodiscard]] static hop redirected(const hop& from, int status, const url& to);
  [[nodiscard]] cookie_jar* jar_of(const request& r) const noexcept;
  /// Throws http_error; also fills in the times.
  task<std::unique_ptr<connection>> dial(const request& r, phase_clock& clock, timing& times);
  task<std::unique_ptr<connection>> dial_directly(const request& r, dial_progress& progress);
  task<std::unique_ptr<connection>> dial_through(url proxy, const request& r,
                                                 dial_progress& progress);
  /// Name and TCP: the phases dns and connect. Only a proxy may be anywhere.
  task<dialled> reach(std::string host, std::uint16_t port, bool of_proxy, dial_progress& progress);
  /// TCP, and TLS if that is what the proxy wants. Whatever fails is the proxy's failure.
  task<at_proxy> reach_proxy(const url& proxy, dial_progress& progress);
  /// From a way to the origin: TLS, if the URL wants it.
  task<std::unique_ptr<connection>> finish(net::any_stream wire, const request& r,
                                           dial_progress& progress);
  /// At least one; with `guarded` only public ones. Nobody looks them up again before the connect.
  task<std::vector<net::ip_address>> addresses_of(std::string host, std::uint16_t port,
                                                  net::family kind, bool guarded);
  /// The phase dns begins, once it can.
  task<> enter_dns(std::string host, std::uint16_t port, dial_progress& progress);
  /// What client_options::resolve says of this host.
  [[nodiscard]] const net::ip_address* told_address(std::string_view host,
                                                    std::uint16_t port) const noexcept;
  [[nodiscard]] net::resolver& names();
  [[nodiscard]] origin_key key_of(const request& r) const;
  /// The fields of the request, and those of the client that it hasn't.
  [[nodiscard]] headers fields_of(const hop& h) const;
  [[nodiscard]] std::string authorization_of(const hop& h) const;
  [[nodiscard]] bool decodes(const request& r) const noexcept;
  [[nodiscard]] outgoing message_of(const hop& h, const connection& over) const;

  std::shared_ptr<client_cores> all_;
  const client_options& options_;
  std::shared_ptr<pool> pool_;
  std::optional<net::resolver> resolver_;  // if it has options of its own; of the pool's loop
};

}  // namespace oneloop::inline v0::http::detail
