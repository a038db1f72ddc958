#include "oneloop/net/dns.hpp"

#include <ares.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <list>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>

#include "oneloop/base/error.hpp"
#include "oneloop/loop/descriptor.hpp"
#include "oneloop/loop/io_request.hpp"
#include "oneloop/loop/socket_kernel.hpp"
#include "oneloop/loop/timer_queue.hpp"
#include "oneloop/net/hosts_internal.hpp"
#include "oneloop/net/name_answer_internal.hpp"
#include "oneloop/net/raw_address.hpp"
#include "oneloop/net/socket.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/sync/event.hpp"

namespace oneloop::inline v0::net {
namespace {

class category final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "oneloop.dns"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<dns_errc>(value)) {
      case dns_errc::no_such_host: return "no such host (NXDOMAIN)";
      case dns_errc::no_data: return "the name has no address";
      case dns_errc::server_failure: return "the name server failed (SERVFAIL)";
      case dns_errc::refused: return "the name server refused to answer (REFUSED)";
      case dns_errc::timed_out: return "the name server did not answer in time";
      case dns_errc::unreachable: return "no name server could be reached";
      case dns_errc::bad_response: return "the answer of the name server makes no sense";
      case dns_errc::bad_name: return "not a host name";
      case dns_errc::failed: return "the lookup failed";
    }
    return "unknown DNS error";
  }
};

dns_errc from_ares(int status) noexcept {
  switch (status) {
    case ARES_ENOTFOUND: return dns_errc::no_such_host;
    case ARES_ENODATA: return dns_errc::no_data;
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP: return dns_errc::server_failure;
    case ARES_EREFUSED: return dns_errc::refused;
    case ARES_ETIMEOUT: return dns_errc::timed_out;
    case ARES_ECONNREFUSED: return dns_errc::unreachable;
    case ARES_EFORMERR:
    case ARES_EBADRESP: return dns_errc::bad_response;
    case ARES_EBADNAME:
    case ARES_EBADSTR: return dns_errc::bad_name;
    default: return dns_errc::failed;
  }
}

/// Whether c-ares may be asked: the lengths of RFC 1035, and nothing that would end a C string.
bool plausible(std::string_view name) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  for (const char c : name) {
    const auto u = static_cast<unsigned char>(c);
    if (u <= ' ' || u == 0x7f || u == '\\') return false;
    if (c == '.') {
      if (label == 0) return false;
      label = 0;
    } else if (++label > 63) {
      return false;
    }
  }
  return label > 0;
}

bool is_localhost(std::string_view name) noexcept {
  if (name.ends_with('.')) name.remove_suffix(1);
  return name == "localhost" || name.ends_with(".localhost");
}

bool is_kind(const ip_address& a, family kind) noexcept {
  return kind == family::any || a.is_v6() == (kind == family::v6);
}

error lookup_error(const std::string& name, dns_errc e) {
  return error{"resolve", name, make_error_code(e)};
}

/// c-ares wants to be initialised once; it is never taken down, exit needs no order.
int initialise_once() noexcept {
  static const int status = ::ares_library_init(ARES_LIB_INIT_ALL);
  return status;
}

struct loop_resolver final : loop_extension {
  explicit loop_resolver(loop& l) : resolver_{l, resolver_options{}} {}
  resolver resolver_;
};

}  // namespace

const std::error_category& dns_category() noexcept {
  static const auto& instance = *new category;
  return instance;
}

std::error_code make_error_code(dns_errc e) noexcept {
  return {static_cast<int>(e), dns_category()};
}

// ---- options ----

resolver_options& resolver_options::servers(std::vector<endpoint> list) {
  servers_ = std::move(list);
  return *this;
}
resolver_options& resolver_options::search(std::vector<std::string> domains) {
  domains_ = std::move(domains);
  own_domains_ = true;
  return *this;
}
resolver_options& resolver_options::timeout(duration d) noexcept {
  timeout_ = d;
  return *this;
}
resolver_options& resolver_options::tries(int n) noexcept {
  tries_ = n;
  return *this;
}
resolver_options& resolver_options::hosts_file(std::string path) {
  hosts_file_ = std::move(path);
  return *this;
}
resolver_options& resolver_options::cache_size(std::size_t n) noexcept {
  cache_size_ = n;
  return *this;
}
resolver_options& resolver_options::negative_ttl(duration d) noexcept {
  negative_ttl_ = d;
  return *this;
}

// ---- the state: c-ares, its sockets, what is under way, what is remembered ----

class resolver::state {
 public:
  using key = std::pair<std::string, family>;
  struct answer {
    std::vector<ip_address> addresses;
    dns_errc error{};  // where there are none
  };
  /// A question under way, shared by all who wait for it.
  struct question {
    event done;
    answer result;
    /// What a server said that was no answer: c-ares asks the next one, and forgets it.
    dns_errc refusal{};
  };

  state(loop& l, resolver_options o)
      : loop_{l}, options_{std::move(o)}, hosts_{options_.hosts_file_} {}
  ~state() { close(); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  void configure(resolver_options o) {
    if (!under_way_.empty()) throw misuse{"resolver::configure while questions are under way"};
    close();
    cache_.clear();
    recent_.clear();
    options_ = std::move(o);
    hosts_ = net::hosts_file{options_.hosts_file_};
  }

  const std::vector<ip_address>* find_in_hosts(const std::string& name) {
    // The machine's own file says nothing of a simulation's hosts.
    if (loop_.io().sockets() != nullptr) return nullptr;
    return hosts_.find(name, loop_.now());
  }
  const answer* find_in_cache(const key& k);
  std::shared_ptr<question> ask(const key& k);

  [[nodiscard]] resolver_statistics statistics() const noexcept {
    resolver_statistics s = counts;
    s.in_flight = under_way_.size();
    s.cached = cache_.size();
    return s;
  }
  [[nodiscard]] loop& home() const noexcept { return loop_; }

  resolver_statistics counts;

 private:
  struct cached {
    answer result;
    time_point expires;
    std::list<key>::iterator place;
  };
  struct pending {
    state& owner;
    key name;
    std::shared_ptr<question> asked;
  };
  /// A question to a simulation, under way: the next try, or the answer.
  struct simulated : timer_node {
    simulated(state& s, const key& k, std::shared_ptr<question> q) noexcept
        : timer_node{[](timer_node& t) noexcept {
            auto& self = static_cast<simulated&>(t);
            self.owner.go_on(self);
          }},
          owner{s},
          name{k},
          asked{std::move(q)} {}
    state& owner;
    key name;
    std::shared_ptr<question> asked;
    int tries = 0;
    std::optional<name_answer> answer;
  };
  struct socket;
  struct socket_watch : io_watch {
    socket* owner = nullptr;
    bool wanted = false;
    bool armed = false;
    bool happened = false;
  };
  /// A socket of c-ares, with the readiness that it waits for.
  struct socket {
    state& owner;
    descriptor fd;
    bool datagrams;
    socket_watch in, out;
  };
  struct timer : timer_node {
    explicit timer(state& s) noexcept
        : timer_node{[](timer_node& t) noexcept {
            state& self = static_cast<timer&>(t).owner;
            self.call([&] { ::ares_process_fd(self.channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD); });
          }},
          owner{s} {}
    state& owner;
  };

  /// Calls c-ares. It is not re-entrant, but closing a socket may report the readiness of others:
  /// those wait until the call has returned.
  template <class F>
  void call(F f) noexcept {
    const bool outermost = !std::exchange(busy_, true);
    f();
    if (!outermost) return;
    while (process_one()) {
    }
    busy_ = false;
    arm_timer();
  }
  bool process_one() noexcept;
  void note_refusal(std::span<const std::uint8_t> message) noexcept;
  void arm(socket_watch& w) noexcept;
  void disarm(socket_watch& w) noexcept;
  void arm_timer() noexcept;
  bool open() noexcept;
  void close() noexcept;
  void go_on(simulated& s) noexcept;
  void settle(const key& k, question& q, duration ttl) noexcept;
  void remember(const key& k, const answer& a, duration ttl);
  static void ready(io_watch& w) noexcept;
  static void answered(void* arg, int status, int timeouts, ares_addrinfo* info) noexcept;
  static void wants(void* self, ares_socket_t fd, int in, int out) noexcept;
  static const ares_socket_functions socket_functions;

  loop& loop_;
  resolver_options options_;
  net::hosts_file hosts_;
  ares_channel channel_ = nullptr;
  bool busy_ = false;
  std::map<int, std::unique_ptr<socket>> sockets_;
  timer timer_{*this};
  std::map<key, std::shared_ptr<question>> under_way_;
  std::map<key, std::unique_ptr<simulated>> simulated_;
  std::map<key, cached> cache_;
  std::list<key> recent_;  // the names in the cache, the most recently used one first
};

const ares_socket_functions resolver::state::socket_functions{
    .asocket = [](int domain, int type, int protocol, void* self) -> ares_socket_t {
      const int fd = ::socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
      if (fd < 0) return ARES_SOCKET_BAD;
      auto& owner = *static_cast<state*>(self);
      try {
        auto s = std::unique_ptr<socket>(new socket{.owner = owner,
                                                    .fd = descriptor::adopt(fd),
                                                    .datagrams = type == SOCK_DGRAM,
                                                    .in = {},
                                                    .out = {}});
        for (socket_watch* w : {&s->in, &s->out}) {
          w->owner = s.get();
          w->handle = s->fd.handle();
          w->ready = ready;
        }
        s->in.way = direction::in;
        s->out.way = direction::out;
        owner.sockets_.emplace(fd, std::move(s));
      } catch (const std::bad_alloc&) {
        errno = ENOMEM;
        return ARES_SOCKET_BAD;
      }
      return fd;
    },
    .aclose = [](ares_socket_t fd, void* self) -> int {
      auto& owner = *static_cast<state*>(self);
      const auto at = owner.sockets_.find(fd);
      if (at == owner.sockets_.end()) return -1;
      // Out of the map first: closing may call back.
      const auto s = std::move(at->second);
      owner.sockets_.erase(at);
      owner.disarm(s->in);
      owner.disarm(s->out);
      s->fd.close();
      return 0;
    },
    .aconnect = [](ares_socket_t fd, const sockaddr* to, ares_socklen_t size, void*) -> int {
      return ::connect(fd, to, size);
    },
    .arecvfrom = [](ares_socket_t fd, void* to, std::size_t size, int flags, sockaddr* from,
                    ares_socklen_t* from_size, void* self) -> ares_ssize_t {
      const ssize_t n = ::recvfrom(fd, to, size, flags, from, from_size);
      auto& owner = *static_cast<state*>(self);
      const auto at = owner.sockets_.find(fd);
      if (n > 0 && at != owner.sockets_.end() && at->second->datagrams) {
        owner.note_refusal({static_cast<const std::uint8_t*>(to), static_cast<std::size_t>(n)});
      }
      return n;
    },
    .asendv = [](ares_socket_t fd, const iovec* parts, int n, void*) -> ares_ssize_t {
      msghdr m{};
      m.msg_iov = const_cast<iovec*>(parts);
      m.msg_iovlen = static_cast<std::size_t>(n);
      return ::sendmsg(fd, &m, MSG_NOSIGNAL);
    },
};

void resolver::state::arm(socket_watch& w) noexcept {
  if (!w.wanted || w.armed) return;
  w.armed = true;
  w.tried = false;
  loop_.io().watch(w);
}

void resolver::state::disarm(socket_watch& w) noexcept {
  w.happened = false;
  if (!std::exchange(w.armed, false)) return;
  loop_.io().unwatch(w);
}

void resolver::state::wants(void* self, ares_socket_t fd, int in, int out) noexcept {
  auto& owner = *static_cast<state*>(self);
  const auto at = owner.sockets_.find(fd);
  if (at == owner.sockets_.end()) return;
  for (auto [w, wanted] : {std::pair{&at->second->in, in}, std::pair{&at->second->out, out}}) {
    w->wanted = wanted != 0;
    w->wanted ? owner.arm(*w) : owner.disarm(*w);
  }
}

void resolver::state::ready(io_watch& w) noexcept {
  auto& watch = static_cast<socket_watch&>(w);
  state& self = watch.owner->owner;
  watch.armed = false;
  watch.happened = true;
  if (!self.busy_) self.call([] {});
}

bool resolver::state::process_one() noexcept {
  for (auto& [fd, s] : sockets_) {
    const bool in = std::exchange(s->in.happened, false);
    const bool out = std::exchange(s->out.happened, false);
    if (!in && !out) continue;
    const int number = fd;
    ::ares_process_fd(channel_, in ? number : ARES_SOCKET_BAD, out ? number : ARES_SOCKET_BAD);
    const auto still = sockets_.find(number);
    if (still != sockets_.end()) {
      arm(still->second->in);
      arm(still->second->out);
    }
    return true;
  }
  return false;
}

/// Keeps SERVFAIL, NOTIMP and REFUSED for those whose question it was.
void resolver::state::note_refusal(std::span<const std::uint8_t> message) noexcept {
  constexpr std::size_t header = 12;
  if (message.size() < header) return;
  dns_errc e{};
  switch (message[3] & 0x0f) {
    case 2:
    case 4: e = dns_errc::server_failure; break;
    case 5: e = dns_errc::refused; break;
    default: return;
  }
  char name[256];
  std::size_t used = 0, at = header;
  while (at < message.size() && message[at] != 0) {
    const std::size_t label = message[at++];
    if (label > 63 || at + label > message.size() || used + label + 1 > sizeof name) return;
    std::memcpy(name + used, &message[at], label);
    used += label;
    name[used++] = '.';
    at += label;
  }
  if (at + 2 >= message.size()) return;
  const family kind = message[at + 2] == 28 ? family::v6 : family::v4;
  try {
    const std::string asked = to_lower({name, used});
    for (auto& [k, q] : under_way_) {
      // The name as it stands, or with a search domain behind it.
      const std::string_view own = k.first;
      const bool same = asked.starts_with(own) && (own.ends_with('.') || asked[own.size()] == '.');
      if (same && k.second == kind) q->refusal = e;
    }
  } catch (const std::bad_alloc&) {  // then it is only "unreachable"
  }
}

void resolver::state::arm_timer() noexcept {
  loop_.timers().remove(timer_);
  timeval t{};
  if (channel_ == nullptr || ::ares_timeout(channel_, nullptr, &t) == nullptr) return;
  // A little later, lest c-ares finds that it is not quite time yet.
  const auto wait = std::chrono::seconds{t.tv_sec} + std::chrono::microseconds{t.tv_usec} +
                    std::chrono::milliseconds{1};
  loop_.timers().add(timer_, after(loop_.now(), wait));
}

bool resolver::state::open() noexcept {
  if (channel_ != nullptr) return true;
  if (initialise_once() != ARES_SUCCESS) return false;
  ares_options o{};
  int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
  const auto ms = std::chrono::ceil<std::chrono::milliseconds>(options_.timeout_).count();
  o.timeout = static_cast<int>(std::clamp<std::int64_t>(ms, 1, 3'600'000));
  o.tries = std::max(options_.tries_, 1);
  char only_servers[] = "b";
  o.lookups = only_servers;
  o.sock_state_cb = [](void* self, ares_socket_t fd, int in, int out) { wants(self, fd, in, out); };
  o.sock_state_cb_data = this;
  std::vector<char*> domains;
  for (auto& d : options_.domains_) domains.push_back(d.data());
  if (options_.own_domains_) {
    mask |= ARES_OPT_DOMAINS;
    o.domains = domains.data();
    o.ndomains = static_cast<int>(domains.size());
  }
  if (::ares_init_options(&channel_, &o, mask) != ARES_SUCCESS) {
    channel_ = nullptr;
    return false;
  }
  ::ares_set_socket_functions(channel_, &socket_functions, this);
  if (!options_.servers_.empty()) {
    std::string list;
    for (const auto& s : options_.servers_) {
      if (!list.empty()) list += ',';
      list += s.to_string();
    }
    if (::ares_set_servers_ports_csv(channel_, list.c_str()) != ARES_SUCCESS) {
      close();
      return false;
    }
  }
  return true;
}

void resolver::state::close() noexcept {
  while (!simulated_.empty()) {
    const auto s = std::move(simulated_.extract(simulated_.begin()).mapped());
    loop_.timers().remove(*s);
    s->asked->result.error = dns_errc::failed;
    settle(s->name, *s->asked, {});
  }
  if (channel_ == nullptr) return;
  // Answers everybody who waits with ARES_EDESTRUCTION, and closes the sockets.
  busy_ = true;
  ::ares_destroy(std::exchange(channel_, nullptr));
  busy_ = false;
  loop_.timers().remove(timer_);
}

std::shared_ptr<resolver::state::question> resolver::state::ask(const key& k) {
  if (const auto at = under_way_.find(k); at != under_way_.end()) {
    ++counts.shared;
    return at->second;
  }
  auto q = std::make_shared<question>();
  if (loop_.io().sockets() != nullptr) {
    auto& s = *simulated_.emplace(k, std::make_unique<simulated>(*this, k, q)).first->second;
    under_way_.emplace(k, q);
    ++counts.questions;
    go_on(s);
    return q;
  }
  // A simulated loop without a network has no name servers.
  if (!loop_.io().direct()) throw lookup_error(k.first, dns_errc::unreachable);
  if (!open()) throw lookup_error(k.first, dns_errc::failed);
  auto p = std::make_unique<pending>(pending{*this, k, q});
  under_way_.emplace(k, q);
  ++counts.questions;
  ares_addrinfo_hints hints{};
  hints.ai_family = k.second == family::v6 ? AF_INET6 : AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  call([&] {
    // The callback, which may come within the call, frees `p`.
    ::ares_getaddrinfo(
        channel_, k.first.c_str(), nullptr, &hints,
        [](void* arg, int status, int timeouts, ares_addrinfo* info) {
          answered(arg, status, timeouts, info);
        },
        p.release());
  });
  return q;
}

void resolver::state::answered(void* arg, int status, int, ares_addrinfo* info) noexcept {
  const std::unique_ptr<pending> p{static_cast<pending*>(arg)};
  state& self = p->owner;
  answer& a = p->asked->result;
  a.error = from_ares(status);
  if (status == ARES_ECONNREFUSED && p->asked->refusal != dns_errc{}) a.error = p->asked->refusal;
  duration ttl = std::chrono::hours{24};
  auto at_most = [&](int seconds) {
    ttl = std::min<duration>(ttl, std::chrono::seconds{std::max(seconds, 0)});
  };
  try {
    if (status == ARES_SUCCESS && info != nullptr) {
      for (const auto* c = info->cnames; c != nullptr; c = c->next) at_most(c->ttl);
      for (const auto* n = info->nodes; n != nullptr; n = n->ai_next) {
        if (n->ai_addr == nullptr) continue;
        raw_address raw;
        std::memcpy(raw.storage(), n->ai_addr,
                    std::min<std::size_t>(n->ai_addrlen, sizeof(sockaddr_storage)));
        const ip_address address = raw.to_endpoint().address();
        if (!is_kind(address, p->name.second)) continue;
        a.addresses.push_back(address);
        at_most(n->ai_ttl);
      }
      if (a.addresses.empty()) a.error = dns_errc::no_data;
    }
  } catch (const std::bad_alloc&) {
    a.addresses.clear();
    a.error = dns_errc::failed;
  }
  if (info != nullptr) ::ares_freeaddrinfo(info);
  self.settle(p->name, *p->asked, ttl);
}

/// The answer to a question under way is there; addresses are good for `ttl`.
void resolver::state::settle(const key& k, question& q, duration ttl) noexcept {
  const std::shared_ptr<question> kept = under_way_.extract(k).mapped();
  const answer& a = q.result;
  const bool none = a.error == dns_errc::no_such_host || a.error == dns_errc::no_data;
  try {
    if (!a.addresses.empty() || none) {
      remember(k, a, a.addresses.empty() ? options_.negative_ttl_ : ttl);
    }
  } catch (const std::bad_alloc&) {  // then it is asked again
  }
  q.done.set();
}

/// Asks the simulation, or tells what it has answered. The tries and their timeouts are those of
/// the real thing.
void resolver::state::go_on(simulated& s) noexcept {
  socket_kernel* servers = loop_.io().sockets();
  answer& result = s.asked->result;
  result.error = dns_errc::timed_out;
  if (s.answer) {
    result = {std::move(s.answer->addresses), s.answer->error};
  } else if (servers == nullptr) {
    result.error = dns_errc::unreachable;
  } else if (s.tries < std::max(options_.tries_, 1)) {
    const duration patience = options_.timeout_ * (1 << std::min(s.tries++, 16));
    name_answer said;
    try {
      servers->ask(s.name.first, s.name.second == family::v6 ? AF_INET6 : AF_INET, said);
    } catch (const std::bad_alloc&) {
      said.error = dns_errc::failed;
    }
    const duration wait = std::min(said.delay, patience);
    if (said.delay <= patience) s.answer = std::move(said);
    return loop_.timers().add(s, after(loop_.now(), wait));
  }
  const auto self = std::move(simulated_.extract(s.name).mapped());
  settle(self->name, *self->asked, self->answer ? self->answer->ttl : duration{});
}

void resolver::state::remember(const key& k, const answer& a, duration ttl) {
  if (ttl <= duration::zero() || options_.cache_size_ == 0) return;
  if (const auto old = cache_.find(k); old != cache_.end()) {
    recent_.erase(old->second.place);
    cache_.erase(old);
  }
  while (cache_.size() >= options_.cache_size_) {
    cache_.erase(recent_.back());
    recent_.pop_back();
  }
  recent_.push_front(k);
  try {
    cache_.emplace(k, cached{a, after(loop_.now(), ttl), recent_.begin()});
  } catch (...) {
    recent_.pop_front();
    throw;
  }
}

const resolver::state::answer* resolver::state::find_in_cache(const key& k) {
  const auto at = cache_.find(k);
  if (at == cache_.end()) return nullptr;
  if (at->second.expires <= loop_.now()) {
    recent_.erase(at->second.place);
    cache_.erase(at);
    return nullptr;
  }
  recent_.splice(recent_.begin(), recent_, at->second.place);
  ++counts.cache_hits;
  return &at->second.result;
}

// ---- the resolver ----

namespace {

loop& running_loop(const char* what) {
  loop* l = loop::current();
  if (l == nullptr) throw loop_not_running{what};
  return *l;
}

}  // namespace

resolver::resolver(resolver_options options)
    : resolver{running_loop("resolver"), std::move(options)} {}
resolver::resolver(loop& l, resolver_options options)
    : state_{std::make_unique<state>(l, std::move(options))} {}
resolver::~resolver() = default;

resolver& resolver::of(loop& l) { return l.extension<loop_resolver>().resolver_; }
resolver& resolver::current() { return of(running_loop("resolver::current")); }

void resolver::configure(resolver_options options) { state_->configure(std::move(options)); }
resolver_statistics resolver::statistics() const noexcept { return state_->statistics(); }

task<std::vector<ip_address>> resolver::lookup_one(std::string name, family kind) {
  state::key k{std::move(name), kind};
  ++state_->counts.lookups;
  std::shared_ptr<state::question> q;
  if (const auto* known = state_->find_in_cache(k)) {
    if (known->addresses.empty()) throw lookup_error(k.first, known->error);
    co_return known->addresses;
  }
  q = state_->ask(k);
  co_await q->done.wait();
  if (q->result.addresses.empty()) throw lookup_error(k.first, q->result.error);
  co_return q->result.addresses;
}

task<std::vector<ip_address>> resolver::lookup(std::string name, family kind) {
  state_->home().check_thread("resolver::lookup");
  std::vector<ip_address> found;
  if (const auto literal = ip_address::parse(name)) {
    if (!is_kind(*literal, kind)) throw lookup_error(name, dns_errc::no_data);
    found.push_back(*literal);
    co_return found;
  }
  std::string key = to_lower(name);
  if (!plausible(key)) throw lookup_error(name, dns_errc::bad_name);
  if (is_localhost(key)) {
    if (kind != family::v4) found.push_back(ip_address::loopback_v6());
    if (kind != family::v6) found.push_back(ip_address::loopback_v4());
    co_return found;
  }
  const std::string bare = key.substr(0, key.size() - (key.ends_with('.') ? 1 : 0));
  if (const auto* listed = state_->find_in_hosts(bare)) {
    for (const family preferred : {family::v6, family::v4}) {
      for (const auto& a : *listed) {
        if (is_kind(a, kind) && is_kind(a, preferred)) found.push_back(a);
      }
    }
    if (found.empty()) throw lookup_error(name, dns_errc::no_data);
    co_return found;
  }
  if (kind != family::any) {
    auto one = lookup_one(std::move(key), kind);
    found = co_await std::move(one);
    co_return found;
  }
  // Both kinds at once: a failure of one counts only if there is nothing of the other.
  std::exception_ptr failures[2];
  std::vector<ip_address> results[2];
  auto attempt = [&](std::size_t i, family f) -> task<> {
    try {
      auto one = lookup_one(key, f);
      results[i] = co_await std::move(one);
    } catch (const error&) {
      failures[i] = std::current_exception();
    }
  };
  auto both = gather(attempt(0, family::v6), attempt(1, family::v4));
  (void)co_await both;
  found = std::move(results[0]);
  found.insert(found.end(), results[1].begin(), results[1].end());
  if (found.empty()) {
    // "No address of this kind" says less than any other failure.
    std::size_t which = 1;
    try {
      std::rethrow_exception(failures[1]);
    } catch (const error& e) {
      if (e.code() == dns_errc::no_data) which = 0;
    }
    std::rethrow_exception(failures[which]);
  }
  co_return found;
}

}  // namespace oneloop::inline v0::net
