#include <algorithm>
#include <cerrno>

#include "oneloop/base/error.hpp"
#include "oneloop/http/pool_internal.hpp"
#include "oneloop/net/tcp.hpp"
#include "oneloop/scope/context.hpp"

namespace oneloop::inline v0::http::detail {
namespace {

/// The pools of a loop: told when it ends.
class pools_of_loop final : public loop_extension {
 public:
  explicit pools_of_loop(loop&) {}
  ~pools_of_loop() override {
    while (pool* p = pools.front()) p->detach();
  }
  intrusive_list<pool> pools;
};

}  // namespace

// ---- limits ----

claim::~claim() {
  if (limit_ == nullptr) return;
  --limit_->taken;
  limit_->news.set();
  pool_->forget_if_unused(*limit_);
}

void pool::forget_if_unused(limit& l) noexcept {
  if (l.address != nullptr && l.taken == 0 && l.waiting == 0) addresses_.erase(*l.address);
}

template <class Attempt>
task<> pool::stand_in_line(limit& l, Attempt& attempt) {
  struct counted {
    pool& p;
    limit& l;
    counted(pool& p_, limit& l_) noexcept : p{p_}, l{l_} {
      ++l.waiting;
      ++p.counts_.waiting;
    }
    ~counted() {
      --l.waiting;
      --p.counts_.waiting;
      p.forget_if_unused(l);
    }
  } waiting{*this, l};
  auto first = co_await l.first.lock();
  while (true) {
    if (closed_) throw closed_error{"http client"};
    l.news.reset();
    if (attempt()) break;
    co_await l.news.wait();
  }
}

task<claim> pool::at_address(net::ip_address a) {
  claim got;
  if (limits_.per_address == std::numeric_limits<std::size_t>::max()) co_return got;
  auto& [address, here] = *addresses_.try_emplace(a, limits_.per_address).first;
  here.address = &address;
  auto attempt = [&] {
    if (here.taken < here.most) {
      got = claim{*this, here};
      return true;
    }
    for (auto* c = idle_.front(); c != nullptr; c = idle_.next(*c)) {
      if (!c->at_address.is_of(here)) continue;
      origin_entry& o = *c->origin;
      auto gives_way = unlink(*c);
      // Its place goes from hand to hand: given back it could be the last, and the limit forgotten.
      got = std::move(gives_way->at_address);
      gives_way.reset();
      forget_if_unused(o);
      return true;
    }
    return false;
  };
  if (!at_once(here, attempt)) {
    auto waiting = stand_in_line(here, attempt);
    co_await std::move(waiting);
  }
  co_return got;
}

task<pool::socket> pool::open_socket(net::endpoint to) {
  socket made;
  auto attempt = [&] {
    while (true) {
      const int fd = net::tcp_stream::open(net::raw_address{to}.family(), true);
      if (fd >= 0) {
        made.handle = descriptor::adopt(fd);
        made.place = claim{*this, sockets_};
        return true;
      }
      const bool exhausted = fd == -EMFILE || fd == -ENFILE;
      if (exhausted && take_any_idle() != nullptr) continue;
      if (exhausted && sockets_.taken != 0) return false;
      net::detail::fail("connect", to.to_string(), fd);
    }
  };
  if (!at_once(sockets_, attempt)) {
    auto waiting = stand_in_line(sockets_, attempt);
    co_await std::move(waiting);
  }
  co_return made;
}

// ---- pool ----

pool::~pool() { detach(); }

void pool::enter(const char* what) {
  loop* const here = loop::current();
  if (here == nullptr || (home_ != nullptr && home_ != here)) throw wrong_thread{what};
  if (home_ == here) return;
  here->extension<pools_of_loop>().pools.push_back(*this);
  home_ = here;
}

void pool::drop_idle() noexcept {
  while (take_any_idle() != nullptr) {
  }
  if (home_ != nullptr) home_->timers().remove(timer_);
}

void pool::detach() noexcept {
  drop_idle();
  if (home_ == nullptr) return;
  if (on_detach) on_detach();
  list_hook::unlink();
  home_ = nullptr;
}

void pool::close() noexcept {
  closed_ = true;
  connections_.news.set();
  sockets_.news.set();
  for (auto& [address, l] : addresses_) l.news.set();
}

origin_entry& pool::entry_of(const origin_key& key) {
  auto& [stored_key, origin] = *origins_.try_emplace(key, limits_.per_host).first;
  origin.key = &stored_key;
  return origin;
}

bool pool::fill(lease& l) noexcept {
  if (l.reuse()) return true;
  if (connections_.taken >= connections_.most) (void)take_any_idle();
  if (connections_.taken >= connections_.most) return false;
  l.place_ = claim{*this, connections_};
  return true;
}

std::optional<lease> pool::take_now(const std::shared_ptr<pool>& self, const origin_key& key) {
  context::current().checkpoint();
  pool& p = *self;
  if (p.closed_) return {};
  origin_entry& origin = p.entry_of(key);
  if (auto at_origin = origin.places.try_permit()) {
    ++origin.leases;
    lease l{self, origin, std::move(at_origin)};
    auto attempt = [&] { return p.fill(l); };
    if (at_once(p.connections_, attempt)) return l;
  }
  return {};
}

task<lease> pool::take(std::shared_ptr<pool> self, const origin_key& key) {
  // Counts this request among the origin's until it has its lease, however the wait ends.
  struct counted {
    pool& p;
    origin_entry& o;
    bool waiting = true;
    counted(pool& p_, origin_entry& o_) noexcept : p{p_}, o{o_} {
      ++o.leases;
      ++p.counts_.waiting;
    }
    ~counted() {
      --p.counts_.waiting;
      if (waiting) p.leave(o);
    }
  };
  origin_entry& origin = self->entry_of(key);
  std::optional<counted> waiting;
  waiting.emplace(*self, origin);
  auto at_origin = co_await origin.places.permit();
  if (self->closed_) {
    // The place goes back before the origin may be forgotten.
    at_origin.give_back();
    throw closed_error{"http client"};
  }
  waiting->waiting = false;
  waiting.reset();
  pool& p = *self;
  lease l{std::move(self), origin, std::move(at_origin)};
  auto attempt = [&] { return p.fill(l); };
  if (!at_once(p.connections_, attempt)) {
    auto in_line = p.stand_in_line(p.connections_, attempt);
    co_await std::move(in_line);
  }
  co_return l;
}

void pool::leave(origin_entry& o) noexcept {
  --o.leases;
  forget_if_unused(o);
}

void pool::forget_if_unused(origin_entry& o) noexcept {
  if (o.leases != 0 || !o.idle.empty()) return;
  if (const auto found = origins_.find(*o.key); found != origins_.end()) origins_.erase(found);
}

std::unique_ptr<connection> pool::unlink(connection& c) noexcept {
  static_cast<list_hook<>&>(c).unlink();
  static_cast<list_hook<by_age>&>(c).unlink();
  --idle_count_;
  return std::unique_ptr<connection>{&c};
}

std::unique_ptr<connection> pool::take_idle(origin_entry& o) noexcept {
  const time_point now = home_->now();
  expire(now);
  while (connection* c = o.idle.front()) {
    auto taken = unlink(*c);
    if (too_old(*taken, now)) continue;
    if (taken->stream.quiet()) {
      taken->input = std::move(spare_);
      return taken;
    }
    ++counts_.discarded;
  }
  return nullptr;
}

std::unique_ptr<connection> pool::take_any_idle() noexcept {
  connection* const c = idle_.front();
  if (c == nullptr) return nullptr;
  origin_entry& o = *c->origin;
  auto taken = unlink(*c);
  forget_if_unused(o);
  return taken;
}

void pool::keep(std::unique_ptr<connection> c, origin_entry& o) noexcept {
  if (closed_ || home_ == nullptr || limits_.idle_timeout <= duration::zero()) return;
  const time_point now = home_->now();
  if (too_old(*c, now)) return;
  c->input.consume(c->input.size());  // what one server sent is never another's answer
  spare_ = std::move(c->input);
  c->origin = &o;
  c->kept_until = after(now, limits_.idle_timeout);
  claim* const claims[] = {&c->place, &c->at_address, &c->socket};
  connection& kept = *c.release();
  o.idle.push_front(kept);
  idle_.push_back(kept);
  ++idle_count_;
  arm();
  // It may give way to somebody.
  for (claim* held : claims) held->tell();
}

bool pool::too_old(const connection& c, time_point now) const noexcept {
  return after(c.made, limits_.max_age) <= now;
}

void pool::arm() noexcept {
  if (timer_.pending() || idle_.empty()) return;
  home_->timers().add(timer_, idle_.front()->kept_until);
}

void pool::expire(time_point now) noexcept {
  for (connection* c = idle_.front(); c != nullptr && c->kept_until <= now; c = idle_.front()) {
    origin_entry& o = *c->origin;
    (void)unlink(*c);
    forget_if_unused(o);
  }
}

void pool::expiry_timer::fired(timer_node& t) noexcept {
  pool& p = static_cast<expiry_timer&>(t).owner;
  p.expire(p.now());
  p.arm();
}

client_statistics pool::statistics() const noexcept {
  // Read elsewhere, the numbers need not be of one moment.
  const std::size_t idle = idle_count_;
  const std::size_t taken = connections_.taken;
  return {.opened = counts_.opened,
          .reused = counts_.reused,
          .discarded = counts_.discarded,
          .retried = counts_.retried,
          .idle = idle,
          .in_use = taken - std::min(taken, idle),
          .waiting = counts_.waiting};
}

// ---- lease ----

bool lease::reuse() noexcept {
  connection_ = pool_->take_idle(*origin_);
  reused_ = connection_ != nullptr;
  if (!reused_) return false;
  place_ = std::move(connection_->place);
  ++pool_->counts_.reused;
  return true;
}

void lease::adopt(std::unique_ptr<connection> c) noexcept {
  connection_ = std::move(c);
  connection_->made = pool_->now();
  reused_ = false;
  ++pool_->counts_.opened;
}

void lease::keep() noexcept {
  // The connection first: whoever gets the place finds it.
  if (connection_) {
    connection_->place = std::move(place_);
    pool_->keep(std::move(connection_), *origin_);
  }
  end();
}

void lease::end() noexcept {
  connection_.reset();
  if (origin_ == nullptr) return;
  place_ = {};
  at_origin_.give_back();
  pool_->leave(*std::exchange(origin_, nullptr));
  pool_.reset();
}

}  // namespace oneloop::inline v0::http::detail
