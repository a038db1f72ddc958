#include "oneloop/protocol/policies.hpp"

#include <map>
#include <utility>

#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0 {
namespace detail {

idle_timer::idle_timer(std::function<void()> expired) noexcept
    : timer_node{&fired}, expired_{std::move(expired)} {}

void idle_timer::start(duration limit) {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{"set_timeout"};
  stop();
  home_ = l;
  limit_ = limit;
  touched_ = l->now();
  l->timers().add(*this, after(touched_, limit));
}

void idle_timer::touch() noexcept {
  if (pending()) touched_ = home_->now();
}

void idle_timer::stop() noexcept {
  if (pending()) home_->timers().remove(*this);
  limit_.reset();
}

void idle_timer::fired(timer_node& t) noexcept {
  auto& self = static_cast<idle_timer&>(t);
  const time_point due = after(self.touched_, *self.limit_);
  if (due > self.home_->now()) {
    self.home_->timers().add(self, due);
  } else {
    self.limit_.reset();
    self.expired_();
  }
}

}  // namespace detail

namespace {

class limiting_factory final : public factory {
 public:
  limiting_factory(std::shared_ptr<factory> f, std::size_t total, std::size_t per_peer)
      : inner_{std::move(f)}, total_{total}, per_peer_{per_peer} {}

  std::shared_ptr<protocol> build_protocol(const socket_address& peer) override {
    const auto here = peers_.find(peer.host());
    if (open_ >= total_ || (here != peers_.end() && here->second >= per_peer_)) return nullptr;
    auto p = inner_->build_protocol(peer);
    if (p) {
      p->set_factory(*inner_);
      ++open_;
      ++peers_[peer.host()];
    }
    return p;
  }
  void start_factory() override { inner_->do_start(); }
  void stop_factory() override { inner_->do_stop(); }
  void connection_ended(protocol& p, const socket_address& peer) override {
    --open_;
    const auto here = peers_.find(peer.host());
    if (--here->second == 0) peers_.erase(here);
    inner_->connection_ended(p, peer);
  }

 private:
  std::shared_ptr<factory> inner_;
  std::size_t total_, per_peer_;
  std::size_t open_ = 0;
  std::map<net::ip_address, std::size_t> peers_;
};

}  // namespace

std::shared_ptr<factory> limit_connections(std::shared_ptr<factory> f, std::size_t total,
                                           std::size_t per_peer) {
  return std::make_shared<limiting_factory>(std::move(f), total, per_peer);
}

}  // namespace oneloop::inline v0
