// The chain behind deferreds, without types: links that run one after the other over one result.
// Internal; see deferred.hpp.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <thread>
#include <typeinfo>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/loop/inbox.hpp"
#include "oneloop/loop/loop.hpp"

namespace oneloop::inline v0::detail {

class chain;
class chain_ref;

/// A result on its way.
struct ONELOOP_API box {
  box() = default;
  box(const box&) = delete;
  box& operator=(const box&) = delete;
  virtual ~box();
};
template <class T>
struct box_of final : box {
  template <class... A>
  explicit box_of(std::in_place_t, A&&... a) : value(std::forward<A>(a)...) {}
  T value;
};

/// One link: replaces the chain's result.
struct ONELOOP_API chain_link {
  chain_link() = default;
  chain_link(const chain_link&) = delete;
  chain_link& operator=(const chain_link&) = delete;
  virtual ~chain_link();
  /// Leaves a value or an error, or a chain to wait for. What it gives is null, or (a reference to)
  /// the chain to which it has handed the result, and which runs next.
  virtual chain* run(chain& c) noexcept = 0;
  /// False: nobody waits for it any more, and it may go without having run.
  [[nodiscard]] virtual bool wanted() const noexcept { return true; }
  chain_link* next = nullptr;
};

class ONELOOP_API chain {
 public:
  /// `type`: of what fires it.
  explicit chain(const std::type_info& type);
  chain(const chain&) = delete;
  chain& operator=(const chain&) = delete;

  void retain() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
  /// Never recurses, however chains and callbacks own each other.
  void release() noexcept;
  /// From now until it fires, one reference belongs to what will fire it (another chain, a list).
  /// If that is the only one left, nobody can cancel it any more, and what is only needed for that
  /// is let go: otherwise the two would keep each other alive.
  void kept_by_source() noexcept { kept_.store(true, std::memory_order_relaxed); }

  [[nodiscard]] bool fired() const noexcept { return fired_; }
  [[nodiscard]] const std::type_info& source() const noexcept { return *source_; }

  // ---- from any thread: elsewhere than on its loop, these are posted there ----
  /// `at`: the line that reports name.
  void fire(std::unique_ptr<box> value, std::exception_ptr error, std::source_location at);
  /// False: nobody can do that any more, its loop has ended.
  bool cancel(std::source_location at = std::source_location::current());
  /// Adds a link by `add`, on the loop; `add` gets false (and a loop that ended) if that cannot be.
  void later(std::move_only_function<void(bool)> add);

  // ---- on its loop ----
  /// Stops after the link that runs now, until as many `unpause` have come.
  void pause();
  void unpause();
  /// Throws wrong_thread elsewhere, misuse if `from` is not what the chain gives now.
  void check_add(const std::type_info& from, const char* what) const;
  /// Adds a link after which the chain gives `to`, and runs it if the chain has fired.
  void add(std::unique_ptr<chain_link> link, const std::type_info& to);
  [[nodiscard]] bool here() const noexcept;
  /// Adds a link that fires `to` with the result; this chain gives nothing from there on.
  void chain_to(chain_ref to, const std::type_info& nothing);
  /// `prompt`: if the canceller does not fire the chain, cancel does. Otherwise the canceller only
  /// asks for the end, and it comes; every cancel before that asks again.
  void set_canceller(std::move_only_function<void()> f, bool prompt) {
    canceller_ = std::move(f);
    prompt_ = prompt;
  }

  // ---- for links, while they run ----
  std::unique_ptr<box> value;
  std::exception_ptr error;
  void wait_for(chain_ref inner) noexcept;
  /// The result has been given away: nothing can be added any more.
  void given() noexcept { given_ = true; }
  /// The error has been shown to somebody: it is not reported.
  void seen() noexcept { seen_ = true; }

  // ---- for tests ----
  [[nodiscard]] std::size_t links() const noexcept;

 private:
  struct message;
  struct continuation;
  struct forwarding;
  ~chain();
  void start(std::unique_ptr<box> v, std::exception_ptr e, std::source_location at);
  void take_result_of(chain& from) noexcept;
  void run() noexcept;
  void settle_pending() noexcept;
  void push(chain_link* l) noexcept;
  chain_link* pop() noexcept;
  void sweep() noexcept;
  bool post(std::unique_ptr<message> m);
  static void reap(chain* dead) noexcept;
  void drop(bool at_home) noexcept;
  void let_go() noexcept;
  void stop_waiting() noexcept;

  std::atomic<std::uint32_t> references_{1};
  std::atomic<bool> kept_{false};  // written at home
  std::uint32_t paused_ = 0;
  const std::type_info* source_;
  const std::type_info* end_;
  inbox* mail_ = nullptr;  // of the home loop; null: made where no loop ran, and bound to none
  std::thread::id thread_;
  chain_link* first_ = nullptr;
  chain_link* last_ = nullptr;
  std::uint32_t added_ = 0;  // links, since the last sweep and before
  std::uint32_t sweep_at_ = 16;
  chain* pending_ = nullptr;  // owned: what the link that just ran wants to wait for
  chain* inner_ = nullptr;    // what this waits for; its continuation owns this
  chain* below_ = nullptr;    // in the stack of chains being run, or in the list of the dead
  std::source_location fired_at_;
  std::move_only_function<void()> canceller_;
  bool prompt_ = true;
  bool holds_inner_ = false;  // owns inner_, too
  bool fired_ = false;
  bool running_ = false;  // in the stack
  bool given_ = false;
  bool seen_ = false;
  bool suppress_ = false;  // one callback after a cancel is ignored
};

class chain_ref {
 public:
  chain_ref() noexcept = default;
  /// Takes over one reference.
  explicit chain_ref(chain* c) noexcept : chain_{c} {}
  chain_ref(const chain_ref& o) noexcept : chain_{o.chain_} {
    if (chain_ != nullptr) chain_->retain();
  }
  chain_ref(chain_ref&& o) noexcept : chain_{std::exchange(o.chain_, nullptr)} {}
  chain_ref& operator=(chain_ref o) noexcept {
    std::swap(chain_, o.chain_);
    return *this;
  }
  ~chain_ref() {
    if (chain_ != nullptr) chain_->release();
  }
  chain* operator->() const noexcept { return chain_; }
  chain& operator*() const noexcept { return *chain_; }
  [[nodiscard]] chain* get() const noexcept { return chain_; }
  chain* take() noexcept { return std::exchange(chain_, nullptr); }

 private:
  chain* chain_ = nullptr;
};

}  // namespace oneloop::inline v0::detail
