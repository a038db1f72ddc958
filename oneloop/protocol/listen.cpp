#include <optional>
#include <vector>

#include "oneloop/base/log.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/net/socket.hpp"
#include "oneloop/protocol/connection_internal.hpp"
#include "oneloop/protocol/protocol.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0 {

struct listening_port::state {
  loop& home;
  std::shared_ptr<oneloop::factory> made_by;
  socket_address at;
  std::optional<net::tls_context> tls;
  std::function<void()> close;  // while it listens
  bool stopping = false;
  bool ended = false;
  std::exception_ptr failure;
  std::vector<deferred<>> waiting;  // for the end
};

namespace {

void admit(listening_port::state& s, nursery& n, connected_socket c) noexcept {
  try {
    auto p = s.made_by->build_protocol(c.peer);
    if (!p) return;
    std::optional<connection::tls_start> tls;
    if (s.tls) tls.emplace(connection::tls_start{*s.tls});
    connection::start(n, std::move(c), std::move(p), s.made_by, nullptr, tls ? &*tls : nullptr);
  } catch (...) {
    log(severity::error, "a connection at " + s.at.to_string() +
                             " was refused: " + describe(std::current_exception()));
  }
}

template <class Listener>
task<> accept_all(listening_port::state* s, nursery* n, Listener* l) {
  while (!s->stopping) {
    bool pause = false;
    try {
      auto peer = co_await l->accept();
      if (!s->stopping) admit(*s, *n, take_socket(std::move(peer)));
    } catch (const error& e) {
      if (s->stopping) break;
      if (!net::detail::accept_may_go_on(e)) throw;
      pause = true;
    }
    if (pause) co_await sleep_for(std::chrono::milliseconds{50});
  }
}

template <class Listener>
task<> keep_port(std::shared_ptr<listening_port::state> s, nursery* n, Listener l) {
  context::current().set_innermost_nursery(n);  // what build_protocol starts belongs there too
  s->close = [&l] { l.close(); };
  std::exception_ptr failure;
  try {
    auto accepting = accept_all(s.get(), n, &l);
    co_await std::move(accepting);
  } catch (...) {
    failure = std::current_exception();
  }
  s->close = nullptr;
  l.close();
  s->ended = true;
  if (!is_cancelled(failure)) s->failure = failure;
  s->made_by->do_stop();
  const auto waiting = std::exchange(s->waiting, {});
  for (const deferred<>& d : waiting) {
    if (s->failure) {
      d.errback(s->failure);
    } else {
      d.callback();
    }
  }
  // Somebody hears of it: who waits, else the nursery.
  if (failure && (waiting.empty() || !s->failure)) std::rethrow_exception(failure);
}

template <class Listener>
listening_port start_port(Listener l, socket_address at, std::shared_ptr<factory> f,
                          const net::tls_context* tls) {
  nursery& n = nursery_here("listen");
  if (!f) throw misuse{"listen without a factory"};
  auto s = std::make_shared<listening_port::state>(*loop::current(), std::move(f), std::move(at));
  if (tls != nullptr) s->tls = *tls;
  s->made_by->do_start();
  n.start(named{"port", keep_port<Listener>}, s, &n, std::move(l));
  return listening_port{std::move(s)};
}

}  // namespace

deferred<> listening_port::stop_listening() {
  state_->home.check_thread("listening_port::stop_listening");
  state_->stopping = true;
  if (state_->close) state_->close();
  return closed();
}

deferred<> listening_port::closed() {
  state_->home.check_thread("listening_port::closed");
  if (state_->ended) return state_->failure ? fail(state_->failure) : succeed();
  return state_->waiting.emplace_back();
}

const socket_address& listening_port::get_host() const noexcept { return state_->at; }

listening_port listen(net::tcp_listener l, std::shared_ptr<factory> f) {
  const socket_address at{l.local_endpoint()};
  return start_port(std::move(l), at, std::move(f), nullptr);
}

listening_port listen(net::unix_listener l, std::shared_ptr<factory> f) {
  const socket_address at{l.local_address()};
  return start_port(std::move(l), at, std::move(f), nullptr);
}

listening_port listen_tcp(const net::endpoint& at, std::shared_ptr<factory> f,
                          const net::listen_options& options) {
  return listen(net::tcp_listener{at, options}, std::move(f));
}

listening_port listen_tcp(std::uint16_t port, std::shared_ptr<factory> f) {
  return listen_tcp(net::endpoint{net::ip_address::any_v4(), port}, std::move(f));
}

listening_port listen_unix(const net::unix_address& at, std::shared_ptr<factory> f, bool replace) {
  return listen(net::unix_listener{at, replace}, std::move(f));
}

listening_port listen_tls(const net::endpoint& at, std::shared_ptr<factory> f,
                          const net::tls_context& context, const net::listen_options& options) {
  (void)net::tls_engine{context};  // throws what it has to throw here
  net::tcp_listener l{at, options};
  const socket_address host{l.local_endpoint()};
  return start_port(std::move(l), host, std::move(f), &context);
}

}  // namespace oneloop::inline v0
