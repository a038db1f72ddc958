#include "oneloop/protocol/datagram.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/net/socket.hpp"
#include "oneloop/protocol/connection_internal.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

datagram_protocol::~datagram_protocol() = default;

struct datagram_port::state {
  loop& home;
  std::shared_ptr<datagram_protocol> owner;
  net::udp_socket socket;
  net::endpoint host;
  bool ended = false;
  std::vector<deferred<>> waiting;  // for the end

  template <class F>
  void callback(const char* what, F&& f) noexcept {
    try {
      f();
    } catch (...) {
      log(severity::error, std::string{what} + " at " + host.to_string() +
                               " failed: " + describe(std::current_exception()));
    }
  }

  static task<> keep(std::shared_ptr<state> self, nursery* n) {
    context::current().set_innermost_nursery(n);  // what the callbacks start belongs there too
    const struct at_end {
      state& s;
      ~at_end() { s.end(); }
    } end{*self};
    self->owner->transport_ = datagram_port{self};
    self->callback("start_protocol", [&] { self->owner->start_protocol(); });
    const auto space = receive_space::of(self->home);
    while (self->socket.is_open()) {
      co_await self->socket.readable();
      for (int i = 0; i < 64 && self->receive(space); ++i) {
      }
    }
  }

  /// One datagram; false if there is none.
  bool receive(std::span<std::byte> space) {
    if (!socket.is_open()) return false;
    net::raw_address from;
    socklen_t size = from.size();
    const ssize_t n =
        sys::recvfrom(socket.fd(), space.data(), space.size(), MSG_DONTWAIT, from.data(), &size);
    if (n < 0) {
      if (errno == ECONNREFUSED) {
        callback("connection_refused", [&] { owner->connection_refused(); });
        return true;
      }
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      if (errno == EINTR) return true;
      net::detail::fail("receive", host.to_string(), -errno);
    }
    from.set_size(size);
    callback("datagram_received", [&] {
      owner->datagram_received(space.first(static_cast<std::size_t>(n)), from.to_endpoint());
    });
    return true;
  }

  bool send(std::span<const std::byte> data, const net::endpoint* to) {
    home.check_thread("datagram_port::write");
    if (!socket.is_open()) return true;
    net::raw_address address;
    if (to != nullptr) address = net::raw_address{*to};
    for (;;) {
      const ssize_t n =
          sys::sendto(socket.fd(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                      to != nullptr ? address.data() : nullptr, to != nullptr ? address.size() : 0);
      if (n >= 0) return true;
      switch (errno) {
        case EINTR:
        case ECONNREFUSED: break;  // of an earlier one: the protocol will be told when it is read
        case EAGAIN:
        case ENOBUFS: return false;
        default: net::detail::fail("send", to != nullptr ? to->to_string() : "its peer", -errno);
      }
      if (errno == ECONNREFUSED) {
        callback("connection_refused", [&] { owner->connection_refused(); });
        if (!socket.is_open()) return true;
      }
    }
  }

  void end() noexcept {
    socket.close();
    ended = true;
    callback("stop_protocol", [&] { owner->stop_protocol(); });
    owner->transport_ = {};
    owner.reset();
    for (const deferred<>& d : std::exchange(waiting, {})) d.callback();
  }
};

bool datagram_port::write(std::span<const std::byte> data, const net::endpoint& to) const {
  return !state_ || state_->send(data, &to);
}

bool datagram_port::write(std::span<const std::byte> data) const {
  return !state_ || state_->send(data, nullptr);
}

void datagram_port::connect(const net::endpoint& to) const {
  if (!state_) throw misuse{"connect of a datagram_port that has ended"};
  state_->home.check_thread("datagram_port::connect");
  state_->socket.connect(to);
  state_->host = state_->socket.local_endpoint();
}

const net::endpoint& datagram_port::get_host() const noexcept {
  static const net::endpoint none;
  return state_ ? state_->host : none;
}

deferred<> datagram_port::stop_listening() const {
  if (!state_ || state_->ended) return succeed();
  state_->home.check_thread("datagram_port::stop_listening");
  state_->socket.close();
  return state_->waiting.emplace_back();
}

datagram_port listen_udp(const net::endpoint& at, std::shared_ptr<datagram_protocol> p,
                         const net::udp_options& options) {
  nursery& n = nursery_here("listen_udp");
  if (!p) throw misuse{"listen_udp without a protocol"};
  net::udp_socket socket{at, options};
  const net::endpoint host = socket.local_endpoint();
  auto s = std::make_shared<datagram_port::state>(*loop::current(), std::move(p), std::move(socket),
                                                  host);
  n.start(named{"datagrams", datagram_port::state::keep}, s, &n);
  return datagram_port{std::move(s)};
}

}  // namespace oneloop::inline v0
