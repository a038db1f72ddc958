#include <exception>
#include <functional>

#include "oneloop/check/teller_internal.hpp"
#include "oneloop/loop/loop.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/context.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::detail {

task<> crawl_teller::watch() {
  try {
    co_await sleep_forever();
  } catch (const cancelled&) {
    give_up_at_ = after(context::current().home()->now(), last_words_);
    if (telling_ != nullptr) telling_->set_deadline(give_up_at_);
    throw;
  }
}

task<> crawl_teller::tell(std::vector<crawl_event> events) {
  if (events.empty()) co_return;
  auto giving = [&] { return give(events); };
  co_await shielded(std::ref(giving));
}

task<> crawl_teller::give(std::vector<crawl_event>& events) {
  const auto turn = co_await turn_.lock();
  if (failed_) co_return;
  auto all = [&](cancel_scope& s) -> task<> {
    telling_ = &s;
    const struct leaving {
      crawl_teller& self;
      ~leaving() { self.telling_ = nullptr; }
    } at_end{*this};
    try {
      for (auto& e : events) {
        auto taking = sink_(std::move(e));
        co_await std::move(taking);
      }
    } catch (const std::exception&) {
      failed_ = true;
      throw;
    }
  };
  auto within = with_scope(scope_options{}.at(give_up_at_), std::ref(all));
  (void)co_await std::move(within);
}

}  // namespace oneloop::inline v0::detail
