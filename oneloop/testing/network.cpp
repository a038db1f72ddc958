#include "oneloop/testing/network.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <numbers>

#include "oneloop/scope/local.hpp"
#include "oneloop/testing/simulated_sockets_internal.hpp"

namespace oneloop::inline v0::testing {
namespace {

task_local<host*>& current_host_of_party() {
  static task_local<host*> instance{nullptr};
  return instance;
}

std::string lower(std::string_view text) {
  if (text.ends_with('.')) text.remove_suffix(1);
  std::string s{text};
  std::ranges::transform(s, s.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return s;
}

}  // namespace

// ---- delays ----

double random_fraction(loop& l) noexcept { return static_cast<double>(l.random() >> 11) * 0x1p-53; }

delays delays::uniform(duration least, duration most) {
  return delays{[=](loop& l) {
    return least +
           duration{std::llround(random_fraction(l) * static_cast<double>((most - least).count()))};
  }};
}

delays delays::normal(duration mean, duration deviation) {
  return delays{[=](loop& l) {  // Box and Muller
    const double radius = std::sqrt(-2 * std::log(1 - random_fraction(l)));
    const double z = radius * std::cos(2 * std::numbers::pi * random_fraction(l));
    return mean + duration{std::llround(z * static_cast<double>(deviation.count()))};
  }};
}

delays delays::exponential(duration mean, duration least) {
  return delays{[=](loop& l) {
    const double x = -std::log(1 - random_fraction(l));
    return least + duration{std::llround(x * static_cast<double>(mean.count()))};
  }};
}

duration delays::draw(loop& l) const {
  return std::max(duration::zero(), draw_ ? draw_(l) : least_);
}

// ---- links ----

link& link::latency(delays d) {
  settings_->latency = std::move(d);
  return *this;
}
link& link::bandwidth(std::uint64_t bytes_a_second) noexcept {
  settings_->bandwidth = bytes_a_second;
  return *this;
}
link& link::loss(double probability) noexcept {
  settings_->loss = probability;
  return *this;
}
link& link::duplication(double probability) noexcept {
  settings_->duplication = probability;
  return *this;
}
link& link::reordering(double probability, delays delay) {
  settings_->reordering = probability;
  settings_->held_up = std::move(delay);
  return *this;
}
link& link::mtu(std::size_t bytes) noexcept {
  settings_->mtu = bytes;
  return *this;
}

namespace detail {

path::path(machine& f, machine& t, std::shared_ptr<settings> s)
    : from{f}, to{t}, set{std::move(s)}, handle{set} {}

path::~path() { from.kernel.home.timers().remove(next); }

bool path::open() const noexcept {
  if (!to.up) return false;
  return &from == &to || (!cut && !from.isolated && !to.isolated);
}

time_point path::arrival(loop& l, std::size_t size) {
  time_point sent = l.now();
  if (set->bandwidth != 0) {
    const double seconds = static_cast<double>(size) / static_cast<double>(set->bandwidth);
    busy_until = after(std::max(sent, busy_until), duration{std::llround(seconds * 1e9)});
    sent = busy_until;
  }
  return after(sent, set->latency.draw(l));
}

bool machine::has(const net::ip_address& a) const noexcept {
  return a.is_loopback() || std::ranges::find(addresses, a) != addresses.end();
}

// ---- packets ----

path& simulated_sockets::way(machine& from, machine& to) {
  auto& p = paths[std::uint64_t{from.number} << 32 | to.number];
  if (p == nullptr) {
    auto set = usual;
    if (&from == &to) {
      set = std::make_shared<settings>();
      set->latency = duration{};
      set->mtu = 65536;
    }
    p = std::make_unique<path>(from, to, std::move(set));
  }
  return *p;
}

bool simulated_sockets::draw_loss(const path& p) {
  if (p.set->loss <= 0 || random_fraction(home) >= p.set->loss) return false;
  ++counts.dropped;
  return true;
}

bool simulated_sockets::send(path& p, const char* what, const net::endpoint& from,
                             const net::endpoint& to, std::size_t size,
                             std::move_only_function<void()> f, duration held_up) {
  const time_point arrives = after(p.arrival(home, size), held_up);
  if (draw_loss(p)) {
    note(what, from, to, size, true);
    return false;
  }
  p.packets.emplace(arrives, packet{what, from, to, size, std::move(f)});
  p.expect();
  return true;
}

void path::expect() noexcept {
  timer_queue& timers = from.kernel.home.timers();
  timers.remove(next);
  if (!packets.empty()) timers.add(next, packets.begin()->first);
}

void path::deliver() {
  auto& kernel = from.kernel;
  while (!packets.empty() && packets.begin()->first <= kernel.now()) {
    packet p = std::move(packets.extract(packets.begin()).mapped());
    const bool lost = !open();
    if (lost) ++kernel.counts.dropped;
    kernel.note(p.what, p.from, p.to, p.size, lost);
    if (!lost) p.arrives();
  }
  expect();
}

void simulated_sockets::note(const char* what, const net::endpoint& from, const net::endpoint& to,
                             std::size_t size, bool is_lost) {
  const time_point t = now();
  auto mix = [this](std::uint64_t n) { fingerprint = (fingerprint ^ n) * 0x100000001b3u; };
  mix(static_cast<std::uint64_t>((t - start).count()));
  for (const net::endpoint* e : {&from, &to}) {
    for (const std::uint8_t b : e->address().bytes()) mix(b);
    mix(e->port());
  }
  mix(static_cast<std::uint64_t>(what[0]) << 40 | static_cast<std::uint64_t>(what[1]) << 32 | size);
  mix(is_lost ? 1 : 0);
  if (observer) observer(packet_event{t, what, from, to, size, is_lost});
}

// ---- hosts ----

machine& simulated_sockets::add(std::string name, std::vector<net::ip_address> addresses) {
  name = lower(name);
  if (name.empty() || by_name.contains(name)) {
    throw misuse{"network::add_host: the name \"" + name + "\" is empty or taken"};
  }
  while (addresses.empty()) {
    const std::uint32_t n = ++next_address_;
    const auto next =
        net::ip_address::v4({10, static_cast<std::uint8_t>(n >> 16),
                             static_cast<std::uint8_t>(n >> 8), static_cast<std::uint8_t>(n)});
    if (!by_address.contains(next)) addresses.push_back(next);
  }
  for (const auto& a : addresses) {
    if (by_address.contains(a)) {
      throw misuse{"network::add_host: the address " + a.to_string() + " is taken"};
    }
  }
  auto m = std::make_unique<machine>(hosts.size(), *this, name, addresses);
  hosts.emplace_back(new host{std::move(m)});
  host* h = hosts.back().get();
  h->machine_->self = h;
  by_name.emplace(std::move(name), h);
  for (const auto& a : addresses) by_address.emplace(a, h);
  return *h->machine_;
}

void simulated_sockets::crash(machine& m) {
  m.up = false;
  ++m.crashes;
  // Before their sockets fail: what waits ends as cancelled, not by an error.
  for (auto* p = m.programs.front(); p != nullptr; p = m.programs.next(*p)) {
    p->crashed = true;
    p->children.cancel();
  }
  const auto sockets = m.sockets;
  for (const socket_ptr& s : sockets) {
    unbind(*s);
    s->counted = false;
    s->mailbox.clear();
    s->crash();
  }
  m.connections.clear();
  m.ports_in_use.clear();
  m.lingering.clear();
  expect_silence();
}

void simulated_sockets::ask(const std::string& name, int family, net::name_answer& answer) {
  ++counts.questions;
  const machine& m = here();
  answer.delay = name_latency.draw(home);
  const bool reached = names_up && m.up && !m.isolated;
  const std::string key = lower(name);
  const auto host_of = by_name.find(key);
  const auto record = names.find(key);
  if (!reached || (record != names.end() && record->second.error == net::dns_errc::timed_out)) {
    answer.delay = duration::max();
    answer.error = net::dns_errc::timed_out;
    return;
  }
  answer.ttl = std::chrono::minutes{5};
  const std::vector<net::ip_address>* found = nullptr;
  if (record != names.end()) {
    answer.error = record->second.error;
    answer.ttl = record->second.ttl;
    found = &record->second.addresses;
  } else if (host_of != by_name.end()) {
    found = &host_of->second->machine_->addresses;
  } else {
    answer.error = net::dns_errc::no_such_host;
    return;
  }
  if (answer.error != net::dns_errc{}) return;
  for (const auto& a : *found) {
    if (a.is_v6() == (family == AF_INET6)) answer.addresses.push_back(a);
  }
  if (answer.addresses.empty()) answer.error = net::dns_errc::no_data;
}

}  // namespace detail

// ---- host ----

host::host(std::unique_ptr<detail::machine> m) noexcept : machine_{std::move(m)} {}
host::~host() = default;

const std::string& host::name() const noexcept { return machine_->name; }
std::span<const net::ip_address> host::addresses() const noexcept { return machine_->addresses; }
const net::ip_address& host::address() const noexcept { return machine_->addresses.front(); }

host& host::add_address(const net::ip_address& a) {
  if (!machine_->kernel.by_address.emplace(a, this).second) {
    throw misuse{"host::add_address: " + a.to_string() + " is taken"};
  }
  machine_->addresses.push_back(a);
  return *this;
}

host& host::add_name(std::string_view name) {
  if (!machine_->kernel.by_name.emplace(lower(name), this).second) {
    throw misuse{"host::add_name: " + std::string{name} + " is taken"};
  }
  return *this;
}

void host::crash() {
  if (machine_->up) machine_->kernel.crash(*machine_);
}
void host::restart() { machine_->up = true; }
bool host::up() const noexcept { return machine_->up; }
std::uint64_t host::crashes() const noexcept { return machine_->crashes; }
void host::isolate(bool on) {
  machine_->isolated = on;
  if (on) machine_->kernel.expect_silence();
}

host& host::black_hole(std::uint16_t port) {
  if (port == 0) {
    machine_->black_hole = true;
  } else {
    machine_->black_ports.insert(port);
  }
  return *this;
}
host& host::ephemeral_ports(std::uint16_t first, std::uint16_t last) noexcept {
  machine_->first_port = machine_->next_port = first;
  machine_->last_port = last;
  return *this;
}
host& host::max_descriptors(std::size_t n) noexcept {
  machine_->max_descriptors = n;
  return *this;
}
host& host::buffers(std::size_t send, std::size_t receive) noexcept {
  machine_->send_buffer = send;
  machine_->receive_buffer = receive;
  return *this;
}
void host::fail(fault f) { machine_->kernel.add_fault(f, this); }

host::program::program(host& h, nursery& n) : children{n}, host_{h}, here_{h} {
  h.machine_->programs.push_back(*this);
}
host::program::~program() { unlink(); }
void host::program::check() const {
  if (!host_.up()) throw error{"run", host_.name(), system_code(ENETDOWN)};
}

on_host::on_host(host& h) { current_host_of_party().set(&h); }
on_host::~on_host() { current_host_of_party().restore(); }

// ---- network ----

std::string packet_event::to_string(time_point start) const {
  const auto ns = static_cast<long long>((at - start).count());
  char time[40];
  std::snprintf(time, sizeof time, "+%lld.%06lld ", ns / 1'000'000'000, ns % 1'000'000'000 / 1000);
  std::string s =
      time + from.to_string() + " > " + to.to_string() + " " + what + " " + std::to_string(size);
  if (lost) s += " lost";
  return s;
}

network::network(loop& l) {
  if (l.io().direct()) {
    throw misuse{std::string{"testing::network on the backend "} + l.backend_name() +
                 ": it needs a loop with a virtual clock, loop{\"virtual\"}"};
  }
  if (l.io().sockets() != nullptr) throw misuse{"testing::network: the loop has one already"};
  sockets_ = std::make_unique<detail::simulated_sockets>(l, *this);
  sockets_->add("default", {});
}

network::~network() = default;

testing::host& network::add_host(std::string name, std::vector<net::ip_address> addresses) {
  return *sockets_->add(std::move(name), std::move(addresses)).self;
}

testing::host& network::host(std::string_view name) {
  testing::host* h = find_host(name);
  return h != nullptr ? *h : add_host(std::string{name});
}

testing::host* network::find_host(std::string_view name) const noexcept {
  const auto h = sockets_->by_name.find(lower(name));
  return h != sockets_->by_name.end() ? h->second : nullptr;
}

testing::host* network::find_host(const net::ip_address& a) const noexcept {
  const auto h = sockets_->by_address.find(a);
  return h != sockets_->by_address.end() ? h->second : nullptr;
}

testing::host& network::default_host() const noexcept { return *sockets_->hosts.front(); }

testing::host& network::current_host() const {
  testing::host* h = current_host_of_party().get();
  return h != nullptr && &h->machine_->kernel == sockets_.get() ? *h : default_host();
}

testing::link& network::default_link() noexcept { return sockets_->usual_link; }

testing::link& network::link(const testing::host& a, const testing::host& b) {
  auto& one = sockets_->way(*a.machine_, *b.machine_);
  auto& other = sockets_->way(*b.machine_, *a.machine_);
  if (one.set == sockets_->usual || one.set != other.set) {
    one.set = other.set = std::make_shared<detail::settings>(*one.set);
  }
  one.handle = testing::link{one.set};
  return one.handle;
}

testing::link& network::link_from(const testing::host& from, const testing::host& to) {
  auto& one = sockets_->way(*from.machine_, *to.machine_);
  auto& other = sockets_->way(*to.machine_, *from.machine_);
  if (one.set == sockets_->usual || (one.set == other.set && &one != &other)) {
    one.set = std::make_shared<detail::settings>(*one.set);
  }
  one.handle = testing::link{one.set};
  return one.handle;
}

void network::cut(const testing::host& from, const testing::host& to, bool both) {
  sockets_->way(*from.machine_, *to.machine_).cut = true;
  if (both) sockets_->way(*to.machine_, *from.machine_).cut = true;
  sockets_->expect_silence();
}

void network::heal(const testing::host& a, const testing::host& b) {
  sockets_->way(*a.machine_, *b.machine_).cut = false;
  sockets_->way(*b.machine_, *a.machine_).cut = false;
}

void network::partition(std::initializer_list<std::reference_wrapper<const testing::host>> one,
                        std::initializer_list<std::reference_wrapper<const testing::host>> other) {
  for (const testing::host& a : one) {
    for (const testing::host& b : other) cut(a, b);
  }
}

void network::heal() {
  for (auto& [ends, p] : sockets_->paths) p->cut = false;  // in any order
  for (auto& h : sockets_->hosts) h->isolate(false);
}

void network::add_name(std::string_view name, std::vector<net::ip_address> addresses,
                       duration ttl) {
  sockets_->names[lower(name)] = {std::move(addresses), {}, ttl};
}
void network::fail_name(std::string_view name, net::dns_errc error) {
  sockets_->names[lower(name)] = {{}, error};
}
void network::forget_name(std::string_view name) { sockets_->names.erase(lower(name)); }
void network::name_latency(delays d) { sockets_->name_latency = std::move(d); }
void network::name_servers_up(bool yes) noexcept { sockets_->names_up = yes; }

void network::fail(fault f) { sockets_->add_fault(f, nullptr); }
void network::clear_faults() noexcept { sockets_->faults.clear(); }

network& network::retries(int of_connects, int of_data) noexcept {
  sockets_->syn_retries = of_connects;
  sockets_->data_retries = of_data;
  return *this;
}

network_statistics network::statistics() const noexcept { return sockets_->counts; }
void network::on_packet(std::function<void(const packet_event&)> f) {
  sockets_->observer = std::move(f);
}
std::uint64_t network::fingerprint() const noexcept { return sockets_->fingerprint; }
time_point network::start() const noexcept { return sockets_->start; }
loop& network::home() const noexcept { return sockets_->home; }

}  // namespace oneloop::inline v0::testing
