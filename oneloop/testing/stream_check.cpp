#include "oneloop/testing/stream_check.hpp"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "oneloop/loop/sleep.hpp"
#include "oneloop/scope/gather.hpp"
#include "oneloop/sync/event.hpp"
#include "oneloop/task/region.hpp"

namespace oneloop::inline v0::testing::detail {
namespace {

using namespace std::chrono_literals;
using net::any_stream;

/// What a rule throws: what happened in its place.
struct broken {
  std::string happened;
};

void require(bool holds, std::string happened) {
  if (!holds) throw broken{std::move(happened)};
}

/// What a rule works on.
struct ends {
  any_stream& a;  // writes, in rules of one direction
  any_stream& b;  // reads
  nursery& n;     // is cancelled after the rule
  const stream_check_options& o;
};

/// What is at place `i` of the data that a rule sends.
std::byte byte_at(std::size_t i) { return static_cast<std::byte>((i * 31 + (i >> 8) * 7) & 0xff); }

std::vector<std::byte> bytes_from(std::size_t first, std::size_t n) {
  std::vector<std::byte> all(n);
  for (std::size_t i = 0; i < n; ++i) all[i] = byte_at(first + i);
  return all;
}

/// The places [first, first + got.size()).
void require_bytes(std::size_t first, std::span<const std::byte> got) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == byte_at(first + i)) continue;
    throw broken{"byte " + std::to_string(first + i) + " was another one than had been written"};
  }
}

/// Time for what can happen to happen.
task<> pause() {
  for (int i = 0; i < 4; ++i) co_await yield_now();
  co_await sleep_for(1ms);
  for (int i = 0; i < 4; ++i) co_await yield_now();
}

// ---- operations that run beside the rule ----

struct attempt {
  enum class kind : std::uint8_t { read, write, end };
  any_stream& stream;
  kind what;
  std::vector<std::byte> buffer{};
  bool cancelled_before = false;
  cancel_scope* scope = nullptr;

  event ended{};
  std::size_t count = 0;
  bool was_cancelled = false;
  bool failed = false;
  std::error_code code{};
  std::string error_text{};

  [[nodiscard]] std::span<const std::byte> got() const { return std::span{buffer}.first(count); }
  [[nodiscard]] bool closed() const { return failed && code == errc::closed; }
  [[nodiscard]] std::string told() const {
    if (!ended.is_set()) return "it still waits";
    if (was_cancelled) return "it was cancelled";
    if (failed) return "it failed: " + error_text + " (" + code.category().name() + ")";
    return "it gave " + std::to_string(count);
  }
};
using attempt_ptr = std::shared_ptr<attempt>;

task<> work(attempt& a) {
  switch (a.what) {
    case attempt::kind::read: {
      auto reading = a.stream.read_some(a.buffer);
      a.count = co_await std::move(reading);
      break;
    }
    case attempt::kind::write: {
      auto writing = a.stream.write_all(a.buffer);
      a.count = co_await std::move(writing);
      break;
    }
    case attempt::kind::end: {
      auto ending = a.stream.shutdown_write();
      co_await std::move(ending);
      break;
    }
  }
}

task<> work_in_scope(cancel_scope& scope, attempt& a) {
  a.scope = &scope;
  if (a.cancelled_before) scope.cancel();
  try {
    auto working = work(a);
    co_await std::move(working);
  } catch (const cancelled&) {
    a.was_cancelled = true;
    throw;
  } catch (const error& e) {
    a.failed = true;
    a.code = e.code();
    a.error_text = e.what();
  }
}

task<> carry_out(attempt_ptr a) {
  auto inside = [&](cancel_scope& scope) { return work_in_scope(scope, *a); };
  auto scoped = with_scope(scope_options{}, inside);
  (void)co_await std::move(scoped);
  a->scope = nullptr;
  a->ended.set();
}

attempt_ptr start(const ends& e, attempt::kind what, any_stream& s, std::vector<std::byte> buffer,
                  bool cancelled_before = false) {
  auto a = std::make_shared<attempt>(s, what, std::move(buffer), cancelled_before);
  e.n.start(carry_out, a);
  return a;
}
attempt_ptr start_read(const ends& e, any_stream& s, std::size_t room,
                       bool cancelled_before = false) {
  return start(e, attempt::kind::read, s, std::vector<std::byte>(room), cancelled_before);
}
attempt_ptr start_write(const ends& e, any_stream& s, std::size_t first, std::size_t n,
                        bool cancelled_before = false) {
  return start(e, attempt::kind::write, s, bytes_from(first, n), cancelled_before);
}
attempt_ptr start_end(const ends& e, any_stream& s, bool cancelled_before = false) {
  return start(e, attempt::kind::end, s, {}, cancelled_before);
}

/// Until a write has ended, which must have succeeded.
task<> written(attempt& w) {
  co_await w.ended.wait();
  require(!w.failed && !w.was_cancelled, "a write_all failed: " + w.told());
  require(w.count == w.buffer.size(), "write_all of " + std::to_string(w.buffer.size()) +
                                          " bytes gave " + std::to_string(w.count));
}

// ---- one after the other ----

task<std::size_t> read_into(any_stream& s, std::span<std::byte> to) {
  auto reading = s.read_some(to);
  const std::size_t n = co_await std::move(reading);
  require(n <= to.size(),
          "read_some gave " + std::to_string(n) + " for a buffer of " + std::to_string(to.size()));
  co_return n;
}

/// Reads the places [first, first + n).
task<> read_bytes(any_stream& s, std::size_t first, std::size_t n) {
  std::vector<std::byte> to(std::min<std::size_t>(n, 64 << 10));
  for (std::size_t have = 0; have < n;) {
    const auto room = std::span{to}.first(std::min(n - have, to.size()));
    const std::size_t got = co_await read_into(s, room);
    require(got != 0, "the stream ended after " + std::to_string(have) + " of " +
                          std::to_string(n) + " bytes");
    require_bytes(first + have, room.first(got));
    have += got;
  }
}

task<> read_end(any_stream& s) {
  std::byte to[8];
  const std::size_t got = co_await read_into(s, to);
  require(got == 0, "read_some gave " + std::to_string(got) + " where the stream should end");
}

task<> write_bytes(any_stream& s, std::size_t first, std::size_t n) {
  const auto all = bytes_from(first, n);
  auto writing = s.write_all(all);
  const std::size_t count = co_await std::move(writing);
  require(count == n, "write_all of " + std::to_string(n) + " bytes gave " + std::to_string(count));
}

task<> end(any_stream& s) {
  auto ending = s.shutdown_write();
  co_await std::move(ending);
}

/// From one end to the other, which reads meanwhile.
task<> pass(any_stream& from, any_stream& to, std::size_t first, std::size_t n) {
  auto both = gather(write_bytes(from, first, n), read_bytes(to, first, n));
  (void)co_await std::move(both);
}

std::size_t random_size(std::minstd_rand& random) {
  static constexpr std::size_t most[] = {1, 16, 1500, 20'000};
  const std::size_t limit = most[random() % std::size(most)];
  return 1 + random() % limit;
}

task<> write_much(any_stream& s, const stream_check_options& o) {
  std::minstd_rand random{o.seed()};
  for (std::size_t done = 0; done < o.much();) {
    const std::size_t n = std::min(random_size(random), o.much() - done);
    co_await write_bytes(s, done, n);
    done += n;
  }
}

task<> read_much(any_stream& s, const stream_check_options& o) {
  std::minstd_rand random{o.seed() + 1};
  std::vector<std::byte> to(20'001);
  for (std::size_t done = 0; done < o.much();) {
    const auto room = std::span{to}.first(std::min(random_size(random), o.much() - done));
    const std::size_t got = co_await read_into(s, room);
    require(got != 0, "the stream ended after " + std::to_string(done) + " bytes");
    require_bytes(done, room.first(got));
    done += got;
  }
}

task<> write_and_end(any_stream& s, std::size_t n) {
  co_await write_bytes(s, 0, n);
  co_await end(s);
}

task<> read_and_end(any_stream& s, std::size_t n) {
  co_await read_bytes(s, 0, n);
  co_await read_end(s);
}

// ---- the rules ----

task<> in_order(ends e) {
  co_await pass(e.a, e.b, 0, 1);
  co_await pass(e.a, e.b, 1, 2);
  co_await pass(e.a, e.b, 3, 1000);
  const auto w = start_write(e, e.a, 1003, 10);
  for (std::size_t i = 0; i < 10; ++i) co_await read_bytes(e.b, 1003 + i, 1);
  co_await written(*w);
}

task<> waits_for_a_byte(ends e) {
  const auto r = start_read(e, e.b, 16);
  co_await pause();
  require(!r->ended.is_set(), "nothing had been written, and " + r->told());
  const auto w = start_write(e, e.a, 0, 1);
  co_await r->ended.wait();
  require(r->count == 1, r->told());
  require_bytes(0, r->got());
  co_await written(*w);
}

task<> empty_read(ends e) {
  const auto before = start_read(e, e.b, 0);
  co_await before->ended.wait();
  require(!before->failed && before->count == 0, before->told());
  const auto w = start_write(e, e.a, 0, 3);
  co_await pause();
  const auto beside = start_read(e, e.b, 0);
  co_await beside->ended.wait();
  require(!beside->failed && beside->count == 0, beside->told());
  co_await read_bytes(e.b, 0, 3);
  co_await written(*w);
}

task<> empty_write(ends e) {
  const auto r = start_read(e, e.b, 16);
  co_await write_bytes(e.a, 0, 0);
  co_await pause();
  require(!r->ended.is_set(), "nothing had been written, and " + r->told());
  const auto w = start_write(e, e.a, 0, 1);
  co_await written(*w);
  co_await r->ended.wait();
  require(r->count == 1, r->told());
}

task<> writes_all(ends e) {
  std::size_t done = 0;
  for (const std::size_t n : {1, 1000, 70'000}) {
    co_await pass(e.a, e.b, done, n);
    done += n;
  }
}

task<> much_data(ends e) {
  auto both = gather(write_much(e.a, e.o), read_much(e.b, e.o));
  (void)co_await std::move(both);
}

task<> one_large_write(ends e) { co_await pass(e.a, e.b, 0, e.o.much()); }

task<> end_stays(ends e) {
  auto both = gather(write_and_end(e.a, 1), read_and_end(e.b, 1));
  (void)co_await std::move(both);
  co_await read_end(e.b);
  co_await read_end(e.b);
}

task<> all_before_the_end(ends e) {
  auto both = gather(write_and_end(e.a, 30'000), read_and_end(e.b, 30'000));
  (void)co_await std::move(both);
}

task<> end_wakes_a_reader(ends e) {
  const auto r = start_read(e, e.b, 16);
  co_await pause();
  co_await end(e.a);
  co_await r->ended.wait();
  require(!r->failed && r->count == 0, r->told());
}

task<> close_twice(ends e) {
  e.a.close();
  e.a.close();
  co_await pause();
  e.b.close();
  e.b.close();
  e.a.close();
}

task<> read_after_close(ends e) {
  (void)start_write(e, e.a, 0, 2);
  co_await read_bytes(e.b, 0, 1);
  e.b.close();
  const auto r = start_read(e, e.b, 16);
  co_await r->ended.wait();
  require(r->closed(), r->told());
}

task<> write_after_close(ends e) {
  e.a.close();
  const auto w = start_write(e, e.a, 0, 1);
  co_await w->ended.wait();
  require(w->closed(), w->told());
}

task<> close_ends_a_read(ends e) {
  const auto r = start_read(e, e.b, 16);
  co_await pause();
  e.b.close();
  co_await r->ended.wait();
  require(r->closed(), r->told());
}

task<> close_ends_a_write(ends e) {
  const auto w = start_write(e, e.a, 0, e.o.clog());
  co_await pause();
  const bool waited = !w->ended.is_set();
  e.a.close();
  co_await w->ended.wait();
  require(!waited || w->closed() || w->count == w->buffer.size(), w->told());
}

task<> write_to_a_closed_peer(ends e) {
  e.b.close();
  for (int i = 0; i < 1000; ++i) {
    const auto w = start_write(e, e.a, 0, 1024);
    co_await w->ended.wait();
    if (w->failed) {
      require(w->code != errc::closed, "it failed as if it had been closed here: " + w->error_text);
      co_return;
    }
    co_await pause();
  }
  throw broken{"a thousand writes, and none failed"};
}

task<> closed_peer_ends_a_write(ends e) {
  const auto w = start_write(e, e.a, 0, e.o.clog());
  co_await pause();
  if (w->ended.is_set()) co_return;
  e.b.close();
  co_await w->ended.wait();
  require(w->failed && w->code != errc::closed, w->told());
}

task<> closed_peer_ends_a_read(ends e) {
  const auto r = start_read(e, e.b, 16);
  co_await pause();
  e.a.close();
  co_await r->ended.wait();
  require(r->failed ? r->code != errc::closed : r->count == 0, r->told());
}

task<> cancelled_before_reading(ends e) {
  const auto w = start_write(e, e.a, 0, 2);
  co_await pause();
  const auto r = start_read(e, e.b, 16, true);
  co_await r->ended.wait();
  require(r->was_cancelled, r->told());
  co_await read_bytes(e.b, 0, 2);
  co_await written(*w);
}

task<> cancelled_before_writing(ends e) {
  const auto w = start_write(e, e.a, 100, 10, true);
  co_await w->ended.wait();
  require(w->was_cancelled, w->told());
  co_await pass(e.a, e.b, 0, 2);
}

void cancel(attempt& a) {
  if (a.scope != nullptr) a.scope->cancel();
}

task<> cancelled_while_reading(ends e) {
  const auto r = start_read(e, e.b, 16);
  co_await pause();
  cancel(*r);
  co_await r->ended.wait();
  require(r->was_cancelled, r->told());
  co_await pass(e.a, e.b, 0, 3);
}

task<> cancel_races_data(ends e) {
  for (std::size_t round = 0; round < 48; ++round) {
    const auto r = start_read(e, e.b, 1);
    for (std::size_t i = 0; i < round % 3; ++i) co_await yield_now();
    const auto w = start_write(e, e.a, round, 1);
    for (std::size_t i = 0; i < round % 8; ++i) co_await yield_now();
    if (round % 5 == 4) co_await pause();
    cancel(*r);
    co_await r->ended.wait();
    require(!r->failed, r->told());
    require(r->was_cancelled || r->count == 1, r->told());
    require_bytes(round, r->got());
    if (r->count == 0) co_await read_bytes(e.b, round, 1);
    co_await written(*w);
  }
}

task<> cancelled_while_writing(ends e) {
  const auto w = start_write(e, e.a, 0, e.o.clog());
  const auto first = start_read(e, e.b, 100);
  co_await first->ended.wait();
  require_bytes(0, first->got());
  co_await pause();
  cancel(*w);
  co_await w->ended.wait();
  require(!w->failed, w->told());
  require(w->was_cancelled ? first->count == 0 : w->count >= first->count,
          "of a write_all bytes had been read, and " + w->told());
  const auto next = start_write(e, e.a, w->count, 5);
  co_await read_bytes(e.b, first->count, w->count + 5 - first->count);
  co_await written(*next);
  co_await end(e.a);
  co_await read_end(e.b);
}

task<> both_ways(ends e) {
  auto all =
      gather(write_much(e.a, e.o), read_much(e.b, e.o), write_much(e.b, e.o), read_much(e.a, e.o));
  (void)co_await std::move(all);
}

task<> alternate(ends e) {
  std::minstd_rand random{e.o.seed()};
  for (int i = 0; i < 50; ++i) {
    co_await pass(e.a, e.b, 0, random_size(random));
    co_await pass(e.b, e.a, 0, random_size(random));
  }
}

task<> reader_beside_writer(ends e) {
  const auto r = start_read(e, e.a, 1);
  co_await pause();
  co_await pass(e.a, e.b, 0, 10'000);
  require(!r->ended.is_set(), "nothing had been written to it, and " + r->told());
  const auto w = start_write(e, e.b, 0, 1);
  co_await r->ended.wait();
  require(r->count == 1, r->told());
  require_bytes(0, r->got());
  co_await written(*w);
}

task<> directions_are_apart(ends e) {
  const auto w = start_write(e, e.a, 0, e.o.clog());
  co_await pause();
  co_await pass(e.b, e.a, 0, e.o.much());
  cancel(*w);
  co_await w->ended.wait();
  require(!w->failed, w->told());
}

task<> close_ends_both(ends e) {
  const auto r = start_read(e, e.a, 16);
  const auto w = start_write(e, e.a, 0, e.o.clog());
  co_await pause();
  e.a.close();
  co_await r->ended.wait();
  co_await w->ended.wait();
  require(r->closed(), "read_some: " + r->told());
  require(w->closed() || w->count == w->buffer.size(), "write_all: " + w->told());
}

task<> half_closed(ends e) {
  co_await end(e.a);
  co_await read_end(e.b);
  co_await pass(e.b, e.a, 0, e.o.much());
  co_await read_end(e.b);
}

task<> write_after_the_end(ends e) {
  co_await end(e.a);
  const auto w = start_write(e, e.a, 0, 1);
  co_await w->ended.wait();
  require(w->failed, w->told());
}

task<> end_twice(ends e) {
  co_await end(e.a);
  co_await end(e.a);
  co_await read_end(e.b);
  co_await end(e.a);
}

task<> both_end(ends e) {
  co_await end(e.a);
  co_await end(e.b);
  co_await read_end(e.a);
  co_await read_end(e.b);
}

task<> end_after_close(ends e) {
  e.a.close();
  const auto s = start_end(e, e.a);
  co_await s->ended.wait();
  require(s->closed(), s->told());
}

task<> cancelled_before_ending(ends e) {
  const auto s = start_end(e, e.a, true);
  co_await s->ended.wait();
  require(s->was_cancelled, s->told());
  co_await pass(e.a, e.b, 0, 2);
}

struct rule {
  const char* text;
  task<> (*body)(ends);
};

constexpr rule rules_of_one_way[] = {
    {"read_some gives what was written, in order", in_order},
    {"read_some waits for at least one byte", waits_for_a_byte},
    {"an empty read_some gives 0 at once and takes nothing", empty_read},
    {"an empty write_all gives 0 and sends nothing", empty_write},
    {"write_all gives how many bytes it was given", writes_all},
    {"much data arrives unchanged, whatever the sizes of reads and writes are", much_data},
    {"one large write_all arrives unchanged", one_large_write},
    {"at the end of the stream read_some gives 0, again and again", end_stays},
    {"what was written arrives before the end of the stream does", all_before_the_end},
    {"the end of the stream ends a read_some that waits, with 0", end_wakes_a_reader},
    {"close() is idempotent", close_twice},
    {"after close() read_some fails with errc::closed", read_after_close},
    {"after close() write_all fails with errc::closed", write_after_close},
    {"close() ends a read_some that waits, with errc::closed", close_ends_a_read},
    {"close() ends a write_all that waits, with errc::closed", close_ends_a_write},
    {"write_all to a peer that has closed fails in the end", write_to_a_closed_peer},
    {"a write_all that waits fails when the peer closes", closed_peer_ends_a_write},
    {"a read_some that waits ends when the peer closes, by 0 or an error", closed_peer_ends_a_read},
    {"read_some in a cancelled scope takes nothing", cancelled_before_reading},
    {"write_all in a cancelled scope sends nothing", cancelled_before_writing},
    {"a read_some that is cancelled while it waits takes nothing", cancelled_while_reading},
    {"no byte is lost when a read_some is cancelled as bytes arrive", cancel_races_data},
    {"a cancelled write_all gives how many bytes had gone, and those arrive",
     cancelled_while_writing},
};
constexpr rule rules_of_two_ways[] = {
    {"both directions carry data at the same time", both_ways},
    {"question and answer alternate", alternate},
    {"a read_some that waits does not hold up a write_all", reader_beside_writer},
    {"a write_all that waits does not hold up the other direction", directions_are_apart},
    {"close() ends a reader and a writer at the same time", close_ends_both},
};
constexpr rule rules_of_half_closing[] = {
    {"after shutdown_write the peer reads the end, and reading goes on", half_closed},
    {"after shutdown_write write_all fails", write_after_the_end},
    {"shutdown_write is idempotent", end_twice},
    {"both ends can shut down, and both read the end", both_end},
    {"after close() shutdown_write fails with errc::closed", end_after_close},
    {"shutdown_write in a cancelled scope ends nothing", cancelled_before_ending},
};

task<> run_rule(nursery& n, const rule& r, checked_pair& both, bool reversed,
                const stream_check_options& o) {
  any_stream& a = reversed ? both.second : both.first;
  any_stream& b = reversed ? both.first : both.second;
  auto running = r.body(ends{a, b, n, o});
  co_await std::move(running);
  n.cancel();
}

task<> run_in_nursery(const rule& r, checked_pair& both, bool reversed,
                      const stream_check_options& o) {
  auto run = with_nursery(run_rule, std::cref(r), std::ref(both), reversed, std::cref(o));
  co_await std::move(run);
}

/// What happened in place of the rule; empty if it held.
task<std::string> outcome_of(const rule& r, checked_pair& both, bool reversed,
                             const stream_check_options& o) {
  try {
    auto run = move_on_after(o.limit(), run_in_nursery, std::cref(r), std::ref(both), reversed,
                             std::cref(o));
    const bool in_time = co_await std::move(run);
    if (!in_time) {
      const auto seconds = std::chrono::duration<double>(o.limit()).count();
      co_return "nothing happened any more within " + std::to_string(seconds) + " s";
    }
  } catch (const broken& b) {
    co_return b.happened;
  } catch (const std::exception& e) {
    co_return std::string{"something else failed: "} + e.what();
  }
  co_return std::string{};
}

}  // namespace

task<> check_stream(stream_kind kind, make_streams make, stream_check_options options) {
  static constexpr const char* names[] = {"check_one_way_stream", "check_two_way_stream",
                                          "check_half_closeable_stream"};
  struct group {
    stream_kind from;
    std::span<const rule> rules;
    bool reversed;
  };
  const group groups[] = {
      {stream_kind::one_way, rules_of_one_way, false},
      {stream_kind::two_way, rules_of_one_way, true},
      {stream_kind::two_way, rules_of_two_ways, false},
      {stream_kind::half_closeable, rules_of_half_closing, false},
      {stream_kind::half_closeable, rules_of_half_closing, true},
  };
  for (const group& g : groups) {
    if (g.from > kind) continue;
    for (const rule& r : g.rules) {
      auto making = make();
      checked_pair both = co_await std::move(making);
      auto judging = outcome_of(r, both, g.reversed, options);
      std::string happened = co_await std::move(judging);
      if (happened.empty()) continue;
      if (g.reversed) happened += " (from the second stream to the first)";
      throw check_failed{names[static_cast<std::size_t>(kind)], r.text, happened};
    }
  }
}

}  // namespace oneloop::inline v0::testing::detail
