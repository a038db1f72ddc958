// Connections: how they begin and end, and how bytes travel.
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>

#include "oneloop/testing/simulated_sockets_internal.hpp"

namespace oneloop::inline v0::testing::detail {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t header = 40;
constexpr duration first_patience = 200ms;
constexpr duration longest_patience = 120s;
constexpr duration lingering_time = 60s;
// Linux's, of probes.
constexpr int idle_seconds = 7200;
constexpr int probe_seconds = 75;
constexpr int most_probes = 9;

const char* name_of(segment_kind k) noexcept {
  switch (k) {
    case segment_kind::opening: return "ack";
    case segment_kind::data: return "data";
    case segment_kind::fin: return "fin";
    case segment_kind::rst: return "rst";
  }
  return "";
}

}  // namespace

// ---- pieces ----

void pieces::append(std::span<const std::byte> from, std::size_t piece) {
  size_ += from.size();
  if (!pieces_.empty() && pieces_.back().size() < piece) {
    bytes& last = pieces_.back();
    const auto more = from.first(std::min(from.size(), piece - last.size()));
    last.insert(last.end(), more.begin(), more.end());
    from = from.subspan(more.size());
  }
  while (!from.empty()) {
    const auto part = from.first(std::min(from.size(), piece));
    pieces_.emplace_back(part.begin(), part.end());
    from = from.subspan(part.size());
  }
}

void pieces::append(bytes piece) {
  size_ += piece.size();
  pieces_.push_back(std::move(piece));
}

bytes pieces::take_piece(std::size_t n) {
  bytes& first = pieces_.front();
  bytes taken;
  if (offset_ == 0 && first.size() <= n) {
    taken = std::move(first);
    pieces_.pop_front();
  } else {
    const auto part = std::span{first}.subspan(offset_, std::min(n, first.size() - offset_));
    taken.assign(part.begin(), part.end());
    offset_ += part.size();
    if (offset_ == first.size()) {
      pieces_.pop_front();
      offset_ = 0;
    }
  }
  size_ -= taken.size();
  return taken;
}

std::size_t pieces::copy(std::span<std::byte> to, bool keep) {
  std::size_t copied = 0, offset = offset_;
  auto at = pieces_.begin();
  while (copied < to.size() && at != pieces_.end()) {
    const auto part = std::span{*at}.subspan(offset);
    const std::size_t n = std::min(part.size(), to.size() - copied);
    std::copy_n(part.begin(), n, to.begin() + static_cast<std::ptrdiff_t>(copied));
    copied += n;
    offset += n;
    if (n < part.size()) break;
    ++at;
    offset = 0;
  }
  if (keep) return copied;
  pieces_.erase(pieces_.begin(), at);
  offset_ = offset;
  size_ -= copied;
  return copied;
}

void pieces::clear() noexcept {
  pieces_.clear();
  offset_ = size_ = 0;
}

// ---- the beginning ----

socket::~socket() {
  timer_queue& timers = home.kernel.home.timers();
  timers.remove(arrival_);
  timers.remove(acknowledgement_);
  timers.remove(syn_);
  stop_probing();
}

void socket::start_connect() {
  at = stage::connecting;
  syn_tries = 0;
  ++home.kernel.counts.connects;
  try_syn();
}

void socket::try_syn() {
  auto& kernel = home.kernel;
  if (syn_tries > kernel.syn_retries) {
    ++kernel.counts.timed_out;
    return fail(ETIMEDOUT);
  }
  kernel.home.timers().add(syn_, after(kernel.now(), 1s * (1 << syn_tries++)));
  if (out == nullptr) return kernel.note("syn", local, peer, header, true);  // nobody is there
  kernel.send(*out, "syn", local, peer, header,
              [self = shared_from_this()] { self->syn_arrived(); });
}

void socket::syn_arrived() {
  auto& kernel = home.kernel;
  if (at != stage::connecting) return;
  machine& m = out->to;
  if (other == nullptr) {
    if (m.black_ports.contains(peer.port())) return;
    detail::socket* l = kernel.listener_at(m, peer);
    if (l == nullptr) {
      if (m.black_hole) return;
      kernel.send(*back, "rst", peer, local, header,
                  [self = shared_from_this()] { self->refused(); });
      return;
    }
    if (l->queue.size() + l->opening > static_cast<std::size_t>(l->backlog)) return;
    auto s = std::make_shared<socket>(m, kind, l->family);
    s->at = stage::connecting;
    s->embryo = true;
    s->local = peer;
    s->peer = local;
    s->out = back;
    s->back = out;
    s->options = l->options;
    s->send_buffer = l->send_buffer;
    s->receive_buffer = l->receive_buffer;
    s->listener = l->weak_from_this();
    ++l->opening;
    kernel.enter(s);
    kernel.count_connection(*s);
    s->other = shared_from_this();
    other = std::move(s);
  }
  kernel.send(*back, "syn-ack", peer, local, header,
              [self = shared_from_this()] { self->syn_ack_arrived(); });
}

void socket::syn_ack_arrived() {
  if (at != stage::connecting || other == nullptr) return;
  auto& kernel = home.kernel;
  kernel.home.timers().remove(syn_);
  ++kernel.counts.connections;
  at = stage::connected;
  sending.window_end = other->window_told = other->receive_buffer;
  other->sending.window_end = window_told = receive_buffer;
  transmit(segment_kind::opening);
  begin_probing();
  kernel.changed(*this);
}

void socket::refused() {
  if (at != stage::connecting) return;
  ++home.kernel.counts.refused;
  fail(ECONNREFUSED);
}

/// The third packet: the listener may accept it now.
void socket::opened() {
  embryo = false;
  at = stage::connected;
  const auto l = listener.lock();
  if (l == nullptr || l->at != stage::listening) {
    closed = true;
    return reset_other();
  }
  --l->opening;
  begin_probing();
  l->queue.push_back(shared_from_this());
  home.kernel.changed(*l);
}

void socket::join(const socket_ptr& a, const socket_ptr& b) {
  for (const auto& [one, two] : {std::pair{a, b}, std::pair{b, a}}) {
    one->at = stage::connected;
    one->other = two;
    one->out = &one->home.kernel.way(one->home, two->home);
    one->back = &one->home.kernel.way(two->home, one->home);
    one->sending.window_end = two->window_told = two->receive_buffer;
  }
}

// ---- sending ----

std::size_t socket::segment_size() const noexcept {
  return std::max<std::size_t>(out->set->mtu, header + 1) - header;
}

duration socket::patience(int tries) const {
  const duration first = std::max(first_patience, round_trip * 2);
  return std::min(longest_patience, first * (std::int64_t{1} << std::min(tries, 20)));
}

void socket::transmit(segment_kind kind_of, bytes data) {
  auto& kernel = home.kernel;
  const std::size_t size = data.size() + header;
  const time_point sent_at = kernel.now();
  time_point arrives = out->arrival(kernel.home, size);
  round_trip = (arrives - sent_at) * 2;
  for (int tries = 0; tries < kernel.data_retries && kernel.draw_loss(*out); ++tries) {
    ++kernel.counts.retransmissions;
    kernel.note(name_of(kind_of), local, peer, data.size(), true);
    arrives = after(arrives, patience(tries));
  }
  last_arrival = std::max(arrives, last_arrival);
  if (!data.empty()) ++kernel.counts.segments;
  sending.flying.push_back({kind_of, last_arrival, std::move(data)});
  if (!arrival_.pending()) kernel.home.timers().add(arrival_, sending.flying.front().arrives);
}

/// Sends what the window of the other end has room for.
void socket::push() {
  apply_acknowledgements();
  while (!sending.unsent.empty()) {
    const auto window = static_cast<std::size_t>(sending.window_end - sending.sent);
    const std::size_t wanted = std::min(segment_size(), sending.unsent.size());
    // A piece that is cut only because the window is nearly full waits for more of it.
    const bool in_flight = sending.sent != sending.acknowledged;
    if (window == 0 || (window < wanted && in_flight)) return expect();
    bytes data = sending.unsent.take_piece(std::min(wanted, window));
    sending.sent += data.size();
    transmit(segment_kind::data, std::move(data));
  }
  if (sending.ending && !std::exchange(sending.ended, true)) transmit(segment_kind::fin);
}

std::int64_t socket::send(std::span<const iovec> from, std::size_t at_most) {
  apply_acknowledgements();
  const std::size_t held = sending.held();
  std::size_t room = std::min(at_most, send_buffer - std::min(held, send_buffer));
  std::int64_t taken = 0;
  for (const iovec& part : from) {
    const std::size_t n = std::min(part.iov_len, room);
    sending.unsent.append({static_cast<const std::byte*>(part.iov_base), n}, segment_size());
    room -= n;
    taken += static_cast<std::int64_t>(n);
  }
  push();
  return taken;
}

// ---- arriving ----

void socket::arrive() {
  auto& kernel = home.kernel;
  const auto self = shared_from_this();
  auto& flying = sending.flying;
  while (!flying.empty() && flying.front().arrives <= kernel.now()) {
    segment& first = flying.front();
    if (!out->open()) {
      ++kernel.counts.dropped;
      kernel.note(name_of(first.kind), local, peer, first.data.size(), true);
      // Nobody is left who would send it again.
      if (at == stage::dead) {
        flying.clear();
        break;
      }
      if (++sending.tries > kernel.data_retries + 1) {
        ++kernel.counts.timed_out;
        return fail(ETIMEDOUT);
      }
      ++kernel.counts.retransmissions;
      first.arrives = after(kernel.now(), patience(sending.tries - 1));
      break;
    }
    sending.tries = 0;
    segment s = std::move(first);
    flying.pop_front();
    deliver(std::move(s));
  }
  if (!flying.empty() && !arrival_.pending()) {
    kernel.home.timers().add(arrival_, std::max(flying.front().arrives, kernel.now()));
  }
  leave_if_done();
}

void socket::deliver(segment s) {
  auto& kernel = home.kernel;
  kernel.note(name_of(s.kind), local, peer, s.data.size(), false);
  const socket_ptr to = other;
  if (to != nullptr) to->heard_of_other(kernel.now());
  switch (s.kind) {
    case segment_kind::opening:
      if (to == nullptr) return answer_with_reset();
      return to->opened();
    case segment_kind::data:
      if (to == nullptr || to->closed || to->at == stage::dead) {
        if (to != nullptr) to->fail(ECONNRESET);
        return answer_with_reset();
      }
      kernel.counts.stream_bytes += s.data.size();
      sending.delivered += s.data.size();
      if (!to->eof) to->received.append(std::move(s.data));
      acknowledge();
      return kernel.changed(*to);
    case segment_kind::fin:
      // An end that has said its own is done with us; any other does not know the connection.
      if (to == nullptr && !eof) return answer_with_reset();
      sending.arrived = true;
      if (to == nullptr) return;
      to->eof = true;
      return kernel.changed(*to);
    case segment_kind::rst:
      if (to != nullptr) to->be_reset();
      return part();
  }
}

void socket::answer_with_reset() {
  if (at == stage::dead || !out->to.up) return;
  home.kernel.send(*back, "rst", peer, local, header,
                   [self = shared_from_this()] { self->be_reset(); });
}

// ---- acknowledging ----

bool socket::cares() noexcept {
  return !sending.unsent.empty() || !requests[1].empty() || !watches[1].empty();
}

/// The other end tells how much it has and takes.
void socket::acknowledge() {
  auto& kernel = home.kernel;
  const std::uint64_t window_end = other->consumed + other->receive_buffer;
  other->window_told = window_end;
  auto& pending = sending.acknowledgements;
  time_point arrives = back->arrival(kernel.home, header);
  if (sending.waits == 0 && !back->open()) {
    sending.waits = 1;
    arrives = after(kernel.now(), patience(0));
  }
  if (!pending.empty()) arrives = std::max(arrives, pending.back().arrives);
  pending.push_back({sending.delivered, window_end, arrives});
  if (back->open()) heard_of_other(arrives);
  if (sending.waits != 0 || cares()) expect();
}

void socket::expect() {
  const auto& pending = sending.acknowledgements;
  if (pending.empty() || acknowledgement_.pending()) return;
  home.kernel.home.timers().add(acknowledgement_,
                                std::max(pending.front().arrives, home.kernel.now()));
}

void socket::apply_acknowledgements() {
  auto& pending = sending.acknowledgements;
  while (sending.waits == 0 && !pending.empty() && pending.front().arrives <= home.kernel.now()) {
    sending.acknowledged = pending.front().bytes;
    sending.window_end = std::max(sending.window_end, pending.front().window_end);
    pending.pop_front();
  }
}

void socket::acknowledged() {
  auto& kernel = home.kernel;
  const auto self = shared_from_this();
  if (sending.waits != 0) {
    // They were lost on a path that was cut: what they are for is sent again, until one arrives.
    if (!back->open() && ++sending.waits > kernel.data_retries + 1) {
      ++kernel.counts.timed_out;
      return fail(ETIMEDOUT);
    }
    if (!back->open()) {
      ++kernel.counts.retransmissions;
      return kernel.home.timers().add(acknowledgement_,
                                      after(kernel.now(), patience(sending.waits - 1)));
    }
    sending.waits = 0;
  }
  push();
  kernel.changed(*this);
  if (cares()) expect();
}

// ---- probing ----

void socket::begin_probing() {
  stop_probing();
  if (kind != protocol::tcp || at != stage::connected) return;
  if (option(SOL_SOCKET, SO_KEEPALIVE) == 0) return;
  home.kernel.probing.push_back(*this);
  heard = std::max(heard, home.kernel.now());
  expect_silence();
}

void socket::stop_probing() noexcept {
  unlink();
  home.kernel.home.timers().remove(probe_);
  probes = 0;
}

int socket::probing_option(int name, int usual) const noexcept {
  const int set = option(IPPROTO_TCP, name);
  return set > 0 ? set : usual;
}

duration socket::idle_time() const noexcept {
  return std::chrono::seconds{probing_option(TCP_KEEPIDLE, idle_seconds)};
}

bool socket::reaches_other() const noexcept {
  return other != nullptr && out->open() && back->open();
}

void socket::heard_of_other(time_point when) noexcept {
  heard = std::max(heard, when);
  probes = 0;
}

void socket::expect_silence() {
  if (probe_.pending() || reaches_other()) return;
  const time_point now = home.kernel.now();
  const duration idle = idle_time();
  if (now - heard >= idle) heard = now - (now - heard) % idle;
  home.kernel.home.timers().add(probe_, after(heard, idle));
}

void socket::probe() {
  auto& kernel = home.kernel;
  if (at != stage::connected) return stop_probing();
  const duration idle = idle_time();
  // What is on its way is sent again, and does as well.
  const bool waits = !sending.flying.empty() || !sending.unsent.empty() || sending.waits != 0;
  if (waits) heard = kernel.now();
  if (kernel.now() - heard < idle) return expect_silence();
  if (probes >= probing_option(TCP_KEEPCNT, most_probes)) {
    ++kernel.counts.timed_out;
    return fail(ETIMEDOUT);
  }
  ++probes;
  const std::chrono::seconds interval{probing_option(TCP_KEEPINTVL, probe_seconds)};
  kernel.home.timers().add(probe_, after(kernel.now(), interval));
  kernel.send(*out, "probe", local, peer, header, [self = shared_from_this()] { self->probed(); });
}

/// At the other end.
void socket::probed() {
  if (at != stage::connected) return;
  if (other == nullptr) return answer_with_reset();
  home.kernel.send(*back, "ack", peer, local, header,
                   [self = shared_from_this()] { self->answered(); });
}

void socket::answered() {
  if (at != stage::connected) return;
  heard_of_other(home.kernel.now());
  home.kernel.home.timers().remove(probe_);
  expect_silence();
}

void simulated_sockets::expect_silence() noexcept {
  for (auto* s = probing.front(); s != nullptr; s = probing.next(*s)) s->expect_silence();
}

// ---- receiving ----

std::int64_t socket::receive(std::span<const iovec> to, int flags) {
  std::int64_t got = 0;
  const bool keep = (flags & MSG_PEEK) != 0;
  for (const iovec& part : to) {
    const std::size_t n =
        received.copy({static_cast<std::byte*>(part.iov_base), part.iov_len}, keep);
    got += static_cast<std::int64_t>(n);
    if (n < part.iov_len || keep) break;
  }
  if (keep) return got;
  consumed += static_cast<std::uint64_t>(got);
  // The sender hears of new room when it is worth a segment or half of what there is.
  const std::uint64_t window_end = consumed + receive_buffer;
  if (other != nullptr && at == stage::connected &&
      window_end - window_told >= std::min(receive_buffer / 2, 2 * segment_size())) {
    other->acknowledge();
  }
  return got;
}

bool socket::readable() const noexcept {
  switch (at) {
    case stage::listening: return !queue.empty();
    case stage::connecting: return false;
    case stage::connected: return !received.empty() || eof || error != 0;
    default: return true;
  }
}

bool socket::writable() const noexcept {
  if (at == stage::connecting || at == stage::listening) return false;
  if (at != stage::connected || sending.ending || error != 0) return true;
  return send_buffer >= sending.held() + std::max<std::size_t>(send_buffer / 3, 1);
}

// ---- the end ----

void socket::end_sending() {
  if (std::exchange(sending.ending, true)) return;
  closed_first = !eof;
  push();
}

void socket::close_stream() {
  switch (at) {
    case stage::connected:
      if (linger_reset || !received.empty()) {
        reset_other();
      } else {
        end_sending();
      }
      return leave_if_done();
    case stage::connecting: return fail(ECONNABORTED);
    default: return leave_if_done();
  }
}

/// It is over on this side.
void socket::fail(int cause) {
  const auto self = shared_from_this();
  timer_queue& timers = home.kernel.home.timers();
  timers.remove(syn_);
  timers.remove(arrival_);
  timers.remove(acknowledgement_);
  stop_probing();
  at = stage::dead;
  error = cause;
  eof = true;
  closed_first = false;
  sending.unsent.clear();
  sending.flying.clear();
  sending.acknowledgements.clear();
  part();
  home.kernel.changed(*this);
  leave_if_done();
}

void socket::be_reset() {
  if (at == stage::dead || at == stage::fresh) return;
  ++home.kernel.counts.resets;
  fail(eof ? EPIPE : ECONNRESET);
}

void socket::reset_other() {
  if (at != stage::connected) return;
  const auto self = shared_from_this();
  sending.unsent.clear();
  sending.ending = sending.ended = true;
  closed_first = false;
  transmit(segment_kind::rst);
  at = stage::dead;
  eof = true;
  received.clear();
  home.kernel.changed(*this);
}

void socket::crash() {
  const auto self = shared_from_this();
  timer_queue& timers = home.kernel.home.timers();
  timers.remove(syn_);
  timers.remove(acknowledgement_);
  stop_probing();
  // What is on its way arrives; nobody hears of the rest.
  if (fd < 0) closed = true;
  const bool was_connected = at == stage::connected;
  at = stage::dead;
  error = ENETDOWN;
  eof = true;
  closed_first = false;
  sending.unsent.clear();
  received.clear();
  if (other != nullptr && other->other == self) other->other.reset();
  if (!was_connected || sending.flying.empty()) {
    timers.remove(arrival_);
    sending.flying.clear();
    part();
  }
  home.kernel.changed(*this);
  leave_if_done();
}

void socket::part() noexcept {
  const socket_ptr to = std::exchange(other, nullptr);
  if (to == nullptr || to->other.get() != this) return;
  to->other.reset();
  if (!to->embryo) return;
  if (const auto l = to->listener.lock()) --l->opening;
  to->embryo = false;
  to->closed = true;
  to->at = stage::dead;
  to->leave_if_done();
}

void socket::leave_if_done() noexcept {
  if (!closed || !sending.flying.empty()) return;
  if (at == stage::connected && !sending.arrived) return;
  part();
  leave();
}

void socket::leave() noexcept {
  auto& all = home.sockets;
  if (place >= all.size() || all[place].get() != this) return;
  const socket_ptr self = all[place];
  home.kernel.unbind(*this);
  if (std::exchange(counted, false)) {
    home.kernel.release_connection(*this, closed_first ? lingering_time : duration{});
  }
  all[place] = all.back();
  all[place]->place = place;
  all.pop_back();
}

}  // namespace oneloop::inline v0::testing::detail
