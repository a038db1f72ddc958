// A sequencer: forces an order on parties that run at the same time, whatever they are.
//
//     testing::sequencer seq;
//     // one party                       // another one, a fiber
//     {                                  {
//       auto turn = co_await seq(0);       auto turn = await(seq(1));
//       write("first");                    write("second");
//     }                                  }
//     co_await seq(2);                   // a place that is not kept is left at once
//
// Places begin at 0. Each is taken once, and begins when the one before has been left: when what
// the wait gave is destroyed.
//
// *Errors*: misuse, if a place is taken a second time; and, for everybody who waits then or comes
// later, if the sequence is broken: a place was given up, because whoever waited for it was
// cancelled, or never awaited it. A place that nobody takes shows where everything stands still:
// dumps (and all_asleep on a virtual clock) name the place that is missing.
//
// *Cancellation*: a cancelled wait throws `cancelled`, and breaks the sequence for the others.
// *Threads*: any party on any loop or plain thread. It must outlive its places.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "oneloop/base/config.hpp"
#include "oneloop/sync/parking_lot.hpp"

namespace oneloop::inline v0::testing {

class sequencer;

/// While it lives, its place is the current one. Move-only, may be moved to another party.
class ONELOOP_API sequence_place {
 public:
  sequence_place(sequence_place&& o) noexcept
      : owner_{std::exchange(o.owner_, nullptr)}, place_{o.place_} {}
  sequence_place& operator=(sequence_place&&) = delete;
  ~sequence_place() { leave(); }
  /// Lets the next place begin now. Idempotent.
  void leave() noexcept;

 private:
  friend class sequencer;
  sequence_place(sequencer& s, std::size_t place) noexcept : owner_{&s}, place_{place} {}
  sequencer* owner_;
  std::size_t place_;
};

class ONELOOP_API sequencer {
 public:
  class ONELOOP_API place_operation : public parking_operation<place_operation, sequencer> {
   public:
    static constexpr const char* name = "sequencer";
    place_operation(place_operation&& o) noexcept
        : parking_operation{static_cast<parking_operation&&>(o)},
          place_{o.place_},
          pending_{std::exchange(o.pending_, false)} {}
    ~place_operation();
    bool await_suspend(waiter& w) noexcept;
    sequence_place await_resume();

   private:
    friend class sequencer;
    template <class, class>
    friend class oneloop::parking_operation;
    place_operation(sequencer& s, std::size_t place) noexcept
        : parking_operation{s}, place_{place} {}
    enlisted attempt(waiter* w) noexcept;
    static void cancel(void* op, waiter& w) noexcept;
    static std::string describe(const void* op);
    static const operation_info info;

    std::size_t place_;
    bool pending_ = true;  // the place is this operation's to take, or to give up
  };

  sequencer() = default;
  sequencer(const sequencer&) = delete;
  sequencer& operator=(const sequencer&) = delete;

  /// Until all places before `place` have been left. Result: a sequence_place. Throws misuse if it
  /// was taken before.
  place_operation operator()(std::size_t place);

  /// The place that is taken now, or is missing.
  [[nodiscard]] std::size_t current() const noexcept;
  /// Whether a place was given up.
  [[nodiscard]] bool broken() const noexcept;

 private:
  friend class sequence_place;
  template <class, class>
  friend class oneloop::parking_operation;
  void left(std::size_t place) noexcept;
  void break_at(std::size_t place) noexcept;

  static constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
  mutable std::mutex lock_;
  std::size_t current_ = 0;
  std::size_t broken_at_ = nowhere;
  // Each place that was taken and not left, and who waits for it: one or nobody.
  std::map<std::size_t, parking_lot<place_operation>> places_;
};

}  // namespace oneloop::inline v0::testing
