#include "oneloop/base/error.hpp"
#include "oneloop/http/pool_internal.hpp"

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

task<lease> pool::take(std::shared_ptr<pool> self, origin_key key) {
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
  auto& [stored_key, origin] = *self->origins_.try_emplace(std::move(key), self->per_host_).first;
  origin.key = &stored_key;
  counted waiting{*self, origin};
  auto place = co_await origin.places.permit();
  if (self->closed_) {
    // The place goes back before the origin may be forgotten.
    place.give_back();
    throw closed_error{"http client"};
  }
  waiting.waiting = false;
  ++self->counts_.in_use;
  co_return lease{std::move(self), origin, std::move(place)};
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
  expire();
  while (connection* c = o.idle.front()) {
    auto taken = unlink(*c);
    if (taken->stream.quiet()) return taken;
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
  if (closed_ || home_ == nullptr || idle_timeout_ <= duration::zero()) return;
  c->input = {};
  c->origin = &o;
  c->kept_until = after(home_->now(), idle_timeout_);
  connection& kept = *c.release();
  o.idle.push_front(kept);
  idle_.push_back(kept);
  ++idle_count_;
  arm();
}

void pool::arm() noexcept {
  if (timer_.pending() || idle_.empty()) return;
  home_->timers().add(timer_, idle_.front()->kept_until);
}

void pool::expire() noexcept {
  const time_point now = home_->now();
  for (connection* c = idle_.front(); c != nullptr && c->kept_until <= now; c = idle_.front()) {
    origin_entry& o = *c->origin;
    (void)unlink(*c);
    forget_if_unused(o);
  }
}

void pool::expiry_timer::fired(timer_node& t) noexcept {
  pool& p = static_cast<expiry_timer&>(t).owner;
  p.expire();
  p.arm();
}

client_statistics pool::statistics() const noexcept {
  client_statistics s = counts_;
  s.idle = idle_count_;
  return s;
}

// ---- lease ----

bool lease::reuse() noexcept {
  connection_ = pool_->take_idle(*origin_);
  reused_ = connection_ != nullptr;
  if (reused_) ++pool_->counts_.reused;
  return reused_;
}

void lease::adopt(std::unique_ptr<connection> c) noexcept {
  connection_ = std::move(c);
  reused_ = false;
  ++pool_->counts_.opened;
}

void lease::keep() noexcept {
  // The connection first: whoever gets the place finds it.
  if (connection_) pool_->keep(std::move(connection_), *origin_);
  end();
}

void lease::end() noexcept {
  connection_.reset();
  if (origin_ == nullptr) return;
  place_.give_back();
  --pool_->counts_.in_use;
  pool_->leave(*std::exchange(origin_, nullptr));
  pool_.reset();
}

}  // namespace oneloop::inline v0::http::detail
