// as_completed: the results of several tasks or operations, in the order in which they come.
//
//     as_completed pages{n, std::move(fetches)};          // n: a nursery; a vector of tasks
//     while (auto page = co_await pages.next()) {          // await(pages.next()) in a fiber
//       use(page->index(), page->get());                   // get: the result, or what it threw
//     }
//
// The nursery owns what runs: leaving the loop early leaves the rest to it. A failure belongs to
// whoever takes it; one that comes after the as_completed has gone is the nursery's.
//
// *Threads*: on the nursery's loop, or in its plain thread. *Cancellation*: a cancelled `next`
// takes nothing; what was cancelled with the nursery does not come. *Cost*: two pooled frames an
// operation.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "oneloop/base/error.hpp"
#include "oneloop/base/log.hpp"
#include "oneloop/channel/channel.hpp"
#include "oneloop/scope/await.hpp"
#include "oneloop/scope/completion.hpp"
#include "oneloop/scope/nursery.hpp"
#include "oneloop/task/task.hpp"

namespace oneloop::inline v0 {

template <class A>
class as_completed {
 public:
  using value_type = std::remove_cvref_t<await_result<A>>;
  using result = std::conditional_t<std::is_void_v<await_result<A>>, void, value_type>;

  /// Starts all of them as children of `n`; in the nursery of a plain thread each is a thread.
  as_completed(nursery& n, std::vector<A> all)
      : done_{std::make_shared<shared>(all.size())}, left_{all.size()} {
    for (std::size_t i = 0; i < all.size(); ++i) {
      n.start(named{"as_completed", run}, std::move(all[i]), done_, i);
    }
  }
  as_completed(const as_completed&) = delete;
  as_completed& operator=(const as_completed&) = delete;
  ~as_completed() {
    done_->abandoned = true;
    while (auto c = done_->ended.try_receive()) {
      if ((*c)->failed()) {
        log(severity::error,
            "as_completed: a failure that nobody took: " + describe((*c)->error()));
      }
    }
  }

  /// The next one that ends; nothing after the last.
  [[nodiscard]] task<std::optional<completion<result>>> next() {
    if (left_ == 0) co_return std::nullopt;
    auto c = co_await done_->ended.receive();
    --left_;
    co_return std::move(**c);
  }
  /// How many have not been taken.
  [[nodiscard]] std::size_t left() const noexcept { return left_; }

 private:
  using ended_one = std::unique_ptr<completion<result>>;
  struct shared {
    explicit shared(std::size_t n) : ended{n} {}
    channel<ended_one> ended;
    std::atomic<bool> abandoned = false;
  };

  static task<> run(A what, std::shared_ptr<shared> done, std::size_t index) {
    auto c = std::make_unique<completion<result>>(index);
    try {
      if constexpr (std::is_void_v<result>) {
        co_await std::move(what);
      } else {
        auto value = co_await std::move(what);
        c->keep([&]() -> result { return std::move(value); });
      }
    } catch (const cancelled&) {
      throw;
    } catch (...) {
      if (done->abandoned) throw;
      c->fail(std::current_exception());
    }
    (void)done->ended.try_send(std::move(c));  // there is room for all of them
  }

  std::shared_ptr<shared> done_;
  std::size_t left_;
};

template <class A>
as_completed(nursery&, std::vector<A>) -> as_completed<A>;

}  // namespace oneloop::inline v0
