// Connections that are kept between exchanges, and the limit on how many there are to one origin.
// Internal to http/.
//
//     auto l = co_await pool::take(shared_pool, key);   // waits for a place, first come first
//     served if (!l.reuse()) l.adopt(std::move(fresh));        // a kept connection, else a new one
//     use(l->stream);
//     l.keep();                                         // otherwise it is closed with the lease
//
// A kept connection is looked at before it is used: one that the peer has closed, or on which bytes
// have arrived that nobody asked for, is discarded.
//
// *Cancellation*: of take, as of a semaphore: nothing was taken. *Threads*: one loop. *Cost*: one
// timer for all idle connections.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>

#include "oneloop/base/clock.hpp"
#include "oneloop/base/config.hpp"
#include "oneloop/base/intrusive.hpp"
#include "oneloop/http/client.hpp"
#include "oneloop/http/codec.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/net/read_buffer.hpp"
#include "oneloop/net/stream.hpp"
#include "oneloop/sync/semaphore.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0::http::detail {

class lease;
class pool;

/// What a connection can be used for. All of it must agree: a connection that was made with other
/// ideas of whom to trust must not serve this request.
struct origin_key {
  std::string scheme;
  std::string host;  // as in a URL: brackets around IPv6
  std::uint16_t port = 0;
  std::string tls_profile;  // empty without TLS

  /// "example.org:80".
  [[nodiscard]] std::string name() const { return host + ":" + std::to_string(port); }
  friend bool operator==(const origin_key&, const origin_key&) = default;
};

struct origin_hash {
  std::size_t operator()(const origin_key& k) const noexcept {
    const std::hash<std::string_view> hash;
    std::size_t h = hash(k.host) * 31 + k.port;
    h = h * 31 + hash(k.scheme);
    return h * 31 + hash(k.tls_profile);
  }
};

/// One connection. While it is idle it is linked in its origin's list and in the pool's, by age.
struct connection : list_hook<>, list_hook<struct by_age> {
  connection(net::any_stream s, bool is_tls, codec_limits limits)
      : stream{std::move(s)}, parser{limits}, tls{is_tls} {}

  net::any_stream stream;
  response_parser parser;
  net::read_buffer input;  // read and not yet parsed
  bool tls;
  time_point kept_until{};
  struct origin_entry* origin = nullptr;
};

/// What the pool knows of an origin; as long as there is a connection or somebody who waits.
struct origin_entry {
  explicit origin_entry(std::size_t most) : places{most} {}
  semaphore places;
  intrusive_list<connection> idle;  // the one that was used last in front
  std::size_t leases = 0;           // with a place, and waiting for one
  const origin_key* key = nullptr;
};

class pool : public list_hook<> {
 public:
  pool(std::size_t per_host, duration idle_timeout) noexcept
      : per_host_{per_host}, idle_timeout_{idle_timeout} {}
  ~pool();
  pool(const pool&) = delete;
  pool& operator=(const pool&) = delete;

  /// The calling code's loop becomes the pool's if it has none; else it must be that one: throws
  /// wrong_thread naming `what`.
  void enter(const char* what);
  /// The loop ends: idle connections are closed, and `on_detach` is called.
  void detach() noexcept;
  std::function<void()> on_detach;  // does not throw

  /// A place among the connections to `key`.
  static task<lease> take(std::shared_ptr<pool> self, origin_key key);

  /// From now on no place is given and no connection kept; those that are idle stay until
  /// `drop_idle`.
  void close() noexcept { closed_ = true; }
  void drop_idle() noexcept;
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] loop* home() const noexcept { return home_; }
  /// An idle connection, out of the pool; null if there is none.
  [[nodiscard]] std::unique_ptr<connection> take_any_idle() noexcept;

  /// By the clock of the pool's loop.
  [[nodiscard]] time_point now() const noexcept {
    return home_ != nullptr ? home_->now() : clock::now();
  }
  void note_retry() noexcept { ++counts_.retried; }
  [[nodiscard]] client_statistics statistics() const noexcept;

 private:
  friend class lease;
  struct expiry_timer final : timer_node {
    explicit expiry_timer(pool& p) noexcept : timer_node{&fired}, owner{p} {}
    static void fired(timer_node& t) noexcept;
    pool& owner;
  };
  std::unique_ptr<connection> unlink(connection& c) noexcept;
  std::unique_ptr<connection> take_idle(origin_entry& o) noexcept;
  void keep(std::unique_ptr<connection> c, origin_entry& o) noexcept;
  void expire() noexcept;
  void arm() noexcept;
  void leave(origin_entry& o) noexcept;
  void forget_if_unused(origin_entry& o) noexcept;

  std::size_t per_host_;
  duration idle_timeout_;
  loop* home_ = nullptr;
  bool closed_ = false;
  std::unordered_map<origin_key, origin_entry, origin_hash> origins_;
  intrusive_list<connection, struct by_age> idle_;  // the oldest in front
  std::size_t idle_count_ = 0;
  expiry_timer timer_{*this};
  client_statistics counts_{};  // opened, reused, discarded, retried, in_use, waiting
};

/// A place among an origin's connections, and the connection that has it. Closes it and gives the
/// place back when it dies.
class lease {
 public:
  lease() noexcept = default;
  lease(lease&& o) noexcept
      : pool_{std::move(o.pool_)},
        origin_{std::exchange(o.origin_, nullptr)},
        place_{std::move(o.place_)},
        connection_{std::move(o.connection_)},
        reused_{o.reused_} {}
  lease& operator=(lease&& o) noexcept {
    if (this != &o) {
      end();
      pool_ = std::move(o.pool_);
      origin_ = std::exchange(o.origin_, nullptr);
      place_ = std::move(o.place_);
      connection_ = std::move(o.connection_);
      reused_ = o.reused_;
    }
    return *this;
  }
  ~lease() { end(); }

  /// Takes a kept connection that looks usable; false if there is none.
  bool reuse() noexcept;
  /// A fresh one.
  void adopt(std::unique_ptr<connection> c) noexcept;
  /// Closes the connection and keeps the place.
  void drop() noexcept { connection_.reset(); }
  /// Gives the place back; the connection waits for the next one.
  void keep() noexcept;
  /// Gives the place back; the connection is closed.
  void end() noexcept;

  [[nodiscard]] bool reused() const noexcept { return reused_; }
  explicit operator bool() const noexcept { return connection_ != nullptr; }
  connection* operator->() const noexcept { return connection_.get(); }
  connection& operator*() const noexcept { return *connection_; }

 private:
  friend class pool;
  lease(std::shared_ptr<pool> p, origin_entry& o, semaphore_permit place) noexcept
      : pool_{std::move(p)}, origin_{&o}, place_{std::move(place)} {}

  std::shared_ptr<pool> pool_;
  origin_entry* origin_ = nullptr;
  semaphore_permit place_;
  std::unique_ptr<connection> connection_;
  bool reused_ = false;
};

}  // namespace oneloop::inline v0::http::detail
