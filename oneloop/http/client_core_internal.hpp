// What stands behind a client: its options, its connections, and the steps of a request. Internal
// to http/.
//
//   send      follows redirects, under the clock of the whole request
//   open      one exchange: a place, a connection, the request out, the head of the response in;
//             once more on a fresh connection if a kept one was dead
//   dial      a fresh connection: name, TCP, TLS (client_dial.cpp)
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "oneloop/base/config.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/client_exchange_internal.hpp"
#include "oneloop/http/client_phases_internal.hpp"
#include "oneloop/http/pool_internal.hpp"
#include "oneloop/net/dns.hpp"
#include "oneloop/net/tls_engine.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http::detail {

class client_core {
 public:
  explicit client_core(client_options options);
  ~client_core();
  client_core(const client_core&) = delete;
  client_core& operator=(const client_core&) = delete;

  static task<response> send(std::shared_ptr<client_core> self, request r);
  static task<> close(std::shared_ptr<client_core> self);
  [[nodiscard]] pool& connections() const noexcept { return *pool_; }

 private:
  using opened = std::unique_ptr<exchange>;
  task<opened> follow(request r, phase_clock& clock);
  task<opened> open(const request& r, phase_clock& clock, duration& queued);
  /// Throws http_error; also fills in the times.
  task<std::unique_ptr<connection>> dial(const url& to, phase_clock& clock, timing& times);
  [[nodiscard]] net::resolver& names();
  [[nodiscard]] const net::tls_context& trust();
  [[nodiscard]] origin_key key_of(const url& to) const;
  [[nodiscard]] std::string head_of(const request& r) const;

  client_options options_;
  std::shared_ptr<pool> pool_;
  std::optional<net::resolver> resolver_;  // if it has options of its own; of the pool's loop
  std::optional<net::tls_context> tls_;
};

}  // namespace oneloop::inline v0::http::detail
