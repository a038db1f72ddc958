// Pipelines: stages between channels. Each is a task, to be started in a nursery or awaited.
//
//     channel<std::string> urls;                       // before the nursery: they outlive it
//     channel<page> pages;
//     co_await with_nursery([&](nursery& n) -> task<> {
//       n.start(read_urls, sender{urls});                             // any kind of party
//       n.start([&] { return fan_out(urls, pages, 10, fetch); });     // ten at once
//       while (auto p = co_await pages.receive()) print(*p);
//     });
//
// At the ends may be coroutines, fibers, threads and callbacks, on any loop. Where a channel is
// asked for, a `sender` or `receiver` will do.
//
// *Close* goes downstream: a stage ends when what it reads from is closed and drained, and closes
// what it writes to whenever it ends, also by failure.
// *Errors* go to whoever awaits the stage, or to its nursery, which cancels the other parties of
// the pipeline. A party that lives elsewhere (a thread of your own) hears of it by the channel: its
// receive ends; for its send put `auto_close end{urls};` before the nursery.
// *Cancellation*: ends the stage and all that it has started; what it held then is lost with it.
// *Threads*: a stage runs on the loop that awaits it. *Cost*: a task a worker or input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/sync/mutex.hpp"
#include "oneloop/task/region.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

/// In what order fan_out sends its results.
enum class results {
  as_they_come,
  in_order,  // of what they were made from; a slow one holds up at most `workers` others
};

namespace detail {

template <class T>
task<> forward_all(receiver<T> in, sender<T> out) {
  while (auto v = co_await in.receive()) co_await out.send(*std::move(v));
}

template <class T>
task<> forward_each(nursery& n, std::vector<receiver<T>> in, sender<T> out) {
  for (auto& i : in) n.start(forward_all<T>, i, out);
  co_return;
}

template <class T>
task<> fan_in_stage(sender<T> out, std::vector<receiver<T>> in) {
  const auto_close at_exit{out};
  auto all = with_nursery(forward_each<T>, std::move(in), out);
  co_await std::move(all);
}

/// In place of the sender where results are dropped.
struct nowhere {
  using value_type = std::nullptr_t;
};

/// What the workers of a fan_out share; they are all on one loop.
template <class T, class F, class Out>
struct fan_out_work {
  using call = std::invoke_result_t<F&, T>;
  static constexpr bool has_output = !std::is_same_v<Out, nowhere>;

  receiver<T> in;
  Out out;
  F fn;
  std::size_t workers;
  results order;
  mutex reading{};  // results::in_order: whoever reads takes the next turn
  std::size_t next_turn = 0;
  std::deque<channel<bool>> turns{};  // the one that may send has a value

  static task<> work(fan_out_work* self) {
    for (;;) {
      std::optional<T> v;
      std::size_t turn = 0;
      if (self->order == results::in_order) {
        auto guard = co_await self->reading.lock();
        v = co_await self->in.receive();
        turn = self->next_turn++ % self->workers;
      } else {
        v = co_await self->in.receive();
      }
      if (!v) break;
      if constexpr (awaitable<call>) {
        auto doing = std::invoke(self->fn, *std::move(v));
        if constexpr (has_output) {
          auto result = co_await std::move(doing);
          auto delivery = self->deliver(turn, std::move(result));
          co_await std::move(delivery);
        } else {
          co_await std::move(doing);
        }
      } else if constexpr (has_output) {
        auto delivery = self->deliver(turn, std::invoke(self->fn, *std::move(v)));
        co_await std::move(delivery);
      } else {
        std::invoke(self->fn, *std::move(v));
      }
    }
  }
  task<> deliver(std::size_t turn, typename Out::value_type result) {
    if (order == results::in_order) co_await turns[turn].receive();
    co_await out.send(std::move(result));
    if (order == results::in_order) static_cast<void>(turns[(turn + 1) % workers].try_send(true));
  }
  static task<> start(nursery& n, fan_out_work* self) {
    for (std::size_t i = 0; i < self->workers; ++i) n.start(work, self);
    co_return;
  }
};

template <class T, class F, class Out>
task<> fan_out_stage(receiver<T> in, Out out, std::size_t workers, F fn, results order) {
  using work = fan_out_work<T, F, Out>;
  work all{in, out, std::move(fn), workers, order};
  if (order == results::in_order) {
    for (std::size_t i = 0; i < workers; ++i) all.turns.emplace_back(1);
    static_cast<void>(all.turns.front().try_send(true));
  }
  auto run = with_nursery(work::start, &all);
  if constexpr (work::has_output) {
    const auto_close at_exit{out};
    co_await std::move(run);
  } else {
    co_await std::move(run);
  }
}

template <class T>
task<> tee_stage(receiver<T> in, std::vector<sender<T>> out) {
  std::deque<auto_close<T>> at_exit;
  for (auto& o : out) at_exit.emplace_back(o);
  while (auto v = co_await in.receive()) {
    std::vector<typename channel<T>::send_operation> sends;
    sends.reserve(out.size());
    for (auto& o : out) sends.push_back(o.send(*v));
    auto all = gather(std::move(sends));
    co_await all;
  }
}

template <class T>
task<> bridge_stage(receiver<receiver<T>> in, sender<T> out) {
  const auto_close at_exit{out};
  while (auto inner = co_await in.receive()) {
    auto all = forward_all(*inner, out);
    co_await std::move(all);
  }
}

/// The value type of a channel or a view of one.
template <class C>
using carried = typename std::remove_cvref_t<C>::value_type;
template <class C>
using receiving = receiver<carried<C>>;
template <class C>
using sending = sender<carried<C>>;

inline std::size_t some_workers(std::size_t n) {
  if (n == 0) throw misuse{"fan_out: no workers"};
  return n;
}

}  // namespace detail

/// Merges: what comes from any of `in` goes to `out`, in the order of each, until all are closed.
template <class Out, class... In>
  requires(sizeof...(In) > 0 && (std::convertible_to<In&, detail::receiving<Out>> && ...))
[[nodiscard]] task<> fan_in(Out&& out, In&&... in) {
  return detail::fan_in_stage(detail::sending<Out>{out},
                              std::vector<detail::receiving<Out>>{detail::receiving<Out>{in}...});
}
/// The same for a number of inputs that is known only at run time.
template <class Out>
[[nodiscard]] task<> fan_in(Out&& out, std::vector<detail::receiving<Out>> in) {
  return detail::fan_in_stage(detail::sending<Out>{out}, std::move(in));
}

/// Distributes: `workers` at once call fn(value) with what comes from `in` and send the results to
/// `out`. `fn` may be a function, or give a task or anything else that can be awaited (`on_pool`
/// for long computations). Throws misuse if there are no workers.
template <class In, class Out, class F>
[[nodiscard]] task<> fan_out(In&& in, Out&& out, std::size_t workers, F fn,
                             results order = results::as_they_come) {
  return detail::fan_out_stage(detail::receiving<In>{in}, detail::sending<Out>{out},
                               detail::some_workers(workers), std::move(fn), order);
}
/// The same at the end of a pipeline: what `fn` gives is dropped.
template <class In, class F>
[[nodiscard]] task<> fan_out(In&& in, std::size_t workers, F fn) {
  return detail::fan_out_stage(detail::receiving<In>{in}, detail::nowhere{},
                               detail::some_workers(workers), std::move(fn), results::as_they_come);
}

/// Copies: every value goes to every one of `out`. The next one is received when all have taken
/// the last one, so the slowest sets the pace (unless its channel is buffered).
template <class In, class... Out>
  requires(sizeof...(Out) > 0 && (std::convertible_to<Out&, detail::sending<In>> && ...))
[[nodiscard]] task<> tee(In&& in, Out&&... out) {
  return detail::tee_stage(detail::receiving<In>{in},
                           std::vector<detail::sending<In>>{detail::sending<In>{out}...});
}
template <class In>
[[nodiscard]] task<> tee(In&& in, std::vector<detail::sending<In>> out) {
  return detail::tee_stage(detail::receiving<In>{in}, std::move(out));
}

/// Flattens: a channel of channels into one, each until it is closed, one after the other.
template <class In, class Out>
[[nodiscard]] task<> bridge(In&& in, Out&& out) {
  return detail::bridge_stage(detail::receiving<In>{in}, detail::sending<Out>{out});
}

}  // namespace oneloop::inline v0
