// The checks of streams: ours pass them, and for every rule there is a stream that is caught.
#include "oneloop/testing/stream_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oneloop/fiber/run.hpp"
#include "oneloop/net/net_test.hpp"
#include "oneloop/net/tls.hpp"
#include "oneloop/net/tls_contexts_test.hpp"
#include "oneloop/net/unix.hpp"
#include "oneloop/testing/memory_stream.hpp"
#include "oneloop/testing/network.hpp"
#include "oneloop/testing/simulation.hpp"

namespace oneloop::inline v0::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using memory_pair = std::pair<memory_stream, memory_stream>;

memory_pair make_memory() { return memory_stream_pair(); }

// ---- ours ----

class conformance : public test::on_backends {};
ON_BACKENDS(conformance);

TEST_P(conformance, tcp) {
  go([]() -> task<> {
    auto check = check_half_closeable_stream([] { return test::connected_pair(); });
    co_await std::move(check);
  });
}

TEST_P(conformance, unix_sockets) {
  go([]() -> task<> {
    auto check = check_half_closeable_stream([] { return net::unix_stream::pair(); });
    co_await std::move(check);
  });
}

TEST_P(conformance, any_stream) {
  go([]() -> task<> {
    auto check = check_half_closeable_stream([] {
      auto both = net::unix_stream::pair();
      return std::pair{net::any_stream{std::move(both.first)},
                       net::any_stream{hooked_stream{std::move(both.second)}}};
    });
    co_await std::move(check);
  });
}

template <class Stream>
using tls_pair = std::pair<net::tls_stream<Stream>, net::tls_stream<Stream>>;

template <class Stream>
task<tls_pair<Stream>> secured(std::pair<Stream, Stream> below) {
  static const test_ca ca;
  static const auto client = test::trust(ca), server = test::identity(ca);
  auto connecting = net::connect_tls(std::move(below.first), client, "localhost");
  auto accepting = net::accept_tls(std::move(below.second), server);
  auto shaking = gather(std::move(connecting), std::move(accepting));
  auto done = co_await std::move(shaking);
  tls_pair<Stream> both{std::move(std::get<0>(done)), std::move(std::get<1>(done))};
  co_return std::move(both);
}

TEST_P(conformance, tls_over_tcp) {
  go([]() -> task<> {
    auto check = check_half_closeable_stream([]() -> task<tls_pair<net::tcp_stream>> {
      auto connecting = test::connected_pair();
      auto below = co_await std::move(connecting);
      auto securing = secured(std::move(below));
      auto both = co_await std::move(securing);
      co_return std::move(both);
    });
    co_await std::move(check);
  });
}

TEST(conformance_in_memory, tls) {
  loop l{"virtual"};
  run(l, check_half_closeable_stream([] { return secured(memory_stream_pair()); }));
}

TEST(conformance_in_memory, memory_streams_of_every_capacity) {
  for (const std::size_t capacity : {0, 1, 100, 64 << 10}) {
    loop l{"virtual"};
    SCOPED_TRACE(capacity);
    const std::size_t much = capacity == 1 ? 4 << 10 : 64 << 10;
    run(l, check_half_closeable_stream(
               [=] { return memory_stream_pair(memory_options{}.capacity(capacity)); },
               stream_check_options{}.much(much).clog(much * 4)));
  }
}

TEST(conformance_in_memory, streams_without_a_bound) {
  run(check_half_closeable_stream(
      [] { return memory_stream_pair(memory_options{}.capacity(16 << 20)); },
      stream_check_options{}.clog(1 << 20)));
}

TEST(conformance_in_memory, in_a_fiber) {
  run([] { await(check_two_way_stream(make_memory)); });
}

TEST(conformance_in_memory, in_a_plain_thread) { await(check_one_way_stream(make_memory)); }

// ---- in a simulation ----

/// From the default host to `server`.
task<std::pair<net::tcp_stream, net::tcp_stream>> connected_to(host& server) {
  std::optional<net::tcp_listener> at;
  {
    const on_host there{server};
    at.emplace(server.at(0));
  }
  auto client = co_await net::connect(at->local_endpoint());
  auto accepted = co_await at->accept();
  std::pair both{std::move(client), std::move(accepted)};
  co_return std::move(both);
}

TEST(conformance_in_memory, simulated_tcp_over_a_link_that_loses_packets) {
  run_simulated(7, [](simulation& sim) -> task<> {
    sim.network().default_link().latency(delays::uniform(1ms, 20ms)).loss(0.01);
    host& server = sim.network().add_host("server");
    auto check = check_half_closeable_stream([&] { return connected_to(server); },
                                             stream_check_options{}.clog(2 << 20).limit(30min));
    co_await std::move(check);
  });
}

// ---- streams with one direction only ----

struct sink {
  memory_stream s;
  auto write_all(std::span<const std::byte> from) { return s.write_all(from); }
  void close() { s.close(); }
};
struct source {
  memory_stream s;
  auto read_some(std::span<std::byte> to) { return s.read_some(to); }
  void close() { s.close(); }
};

TEST(conformance_in_memory, one_direction_needs_no_more_than_that) {
  run(check_one_way_stream([] {
    auto both = memory_stream_pair();
    return std::pair{sink{std::move(both.first)}, source{std::move(both.second)}};
  }));
}

// ---- streams that break a rule ----

/// A memory stream to break.
struct faulty {
  explicit faulty(memory_stream m) : s{std::move(m)} {}
  virtual ~faulty() = default;
  faulty(faulty&&) = default;
  virtual task<std::size_t> read_some(std::span<std::byte> to) {
    const auto n = co_await s.read_some(to);
    co_return n;
  }
  virtual task<std::size_t> write_all(std::span<const std::byte> from) {
    const auto n = co_await s.write_all(from);
    co_return n;
  }
  virtual task<> shutdown_write() { co_await s.shutdown_write(); }
  virtual void close() { s.close(); }
  memory_stream s;
};

template <class Faulty>
std::string broken_rule() {
  loop l{"virtual"};
  try {
    run(l, check_half_closeable_stream(
               [] {
                 auto both = memory_stream_pair();
                 return std::pair{Faulty{std::move(both.first)}, Faulty{std::move(both.second)}};
               },
               stream_check_options{}.much(32 << 10).clog(256 << 10)));
  } catch (const check_failed& e) {
    EXPECT_THAT(e.what(),
                HasSubstr("check_half_closeable_stream: " + std::string{e.rule()} + ": "));
    return std::string{e.rule()};
  }
  return "none";
}

TEST(stream_check, a_sound_stream_breaks_no_rule) { EXPECT_EQ(broken_rule<faulty>(), "none"); }

TEST(stream_check, finds_bytes_that_are_changed) {
  struct changes : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      const auto n = co_await s.read_some(to);
      if (n > 100) to[100] ^= std::byte{1};
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<changes>(), "read_some gives what was written, in order");
}

TEST(stream_check, finds_a_read_that_does_not_wait) {
  struct polls : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      co_await yield_now();
      const auto n = s.try_read_some(to);
      co_return n.value_or(0);
    }
  };
  EXPECT_EQ(broken_rule<polls>(), "read_some waits for at least one byte");
}

TEST(stream_check, finds_an_empty_read_that_waits) {
  struct waits : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      std::byte one[1];
      if (to.empty()) to = one;
      const auto n = co_await s.read_some(to);
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<waits>(), "an empty read_some gives 0 at once and takes nothing");
}

TEST(stream_check, finds_a_write_that_counts_wrongly) {
  struct counts : faulty {
    using faulty::faulty;
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      const auto n = co_await s.write_all(from);
      co_return std::min<std::size_t>(n, 65'535);
    }
  };
  EXPECT_EQ(broken_rule<counts>(), "write_all gives how many bytes it was given");
}

TEST(stream_check, finds_an_empty_write_that_ends_the_stream) {
  struct ends : faulty {
    using faulty::faulty;
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      if (from.empty()) co_await s.shutdown_write();
      const auto n = co_await s.write_all(from);
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<ends>(), "an empty write_all gives 0 and sends nothing");
}

TEST(stream_check, finds_an_end_that_comes_once_only) {
  struct once : faulty {
    using faulty::faulty;
    bool ended = false;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      if (ended) co_await sleep_forever();
      const auto n = co_await s.read_some(to);
      ended = n == 0 && !to.empty();
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<once>(), "at the end of the stream read_some gives 0, again and again");
}

TEST(stream_check, finds_data_that_can_be_read_after_close) {
  struct keeps : faulty {
    using faulty::faulty;
    std::vector<std::byte> kept;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      if (kept.empty() && !to.empty()) {
        kept.resize(4096);
        std::size_t n = 0;
        try {
          n = co_await s.read_some(kept);
        } catch (const error&) {
          kept.clear();
          throw;
        } catch (const cancelled&) {
          kept.clear();
          throw;
        }
        kept.resize(n);
      }
      const std::size_t n = std::min(to.size(), kept.size());
      std::copy_n(kept.begin(), n, to.begin());
      kept.erase(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(n));
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<keeps>(), "after close() read_some fails with errc::closed");
}

TEST(stream_check, finds_waits_that_close_does_not_end) {
  struct deaf : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      try {
        const auto n = co_await s.read_some(to);
        co_return n;
      } catch (const closed_error&) {
        if (!reading_after_close) throw;
      }
      co_await sleep_forever();
      co_return 0;
    }
    void close() override {
      reading_after_close = s.statistics().reading;
      s.close();
    }
    bool reading_after_close = false;
  };
  EXPECT_EQ(broken_rule<deaf>(), "close() ends a read_some that waits, with errc::closed");
}

TEST(stream_check, finds_another_error_than_closed) {
  struct other : faulty {
    using faulty::faulty;
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      try {
        const auto n = co_await s.write_all(from);
        co_return n;
      } catch (const closed_error&) {
        throw error{"write", "it", system_code(EPIPE)};
      }
    }
  };
  EXPECT_EQ(broken_rule<other>(), "after close() write_all fails with errc::closed");
}

TEST(stream_check, finds_writes_into_nowhere) {
  struct nowhere : faulty {
    using faulty::faulty;
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      try {
        const auto n = co_await s.write_all(from);
        co_return n;
      } catch (const closed_error&) {
        throw;
      } catch (const error&) {
        co_return from.size();
      }
    }
  };
  EXPECT_EQ(broken_rule<nowhere>(), "write_all to a peer that has closed fails in the end");
}

TEST(stream_check, finds_a_cancelled_read_that_swallows_bytes) {
  struct swallows : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      const auto n = co_await s.read_some(to);
      co_await yield_now();  // a checkpoint between the bytes and the caller
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<swallows>(),
            "no byte is lost when a read_some is cancelled as bytes arrive");
}

TEST(stream_check, finds_operations_that_are_no_checkpoints) {
  struct unchecked : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte> to) override {
      if (const auto n = s.try_read_some(to)) co_return *n;
      const auto n = co_await s.read_some(to);
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<unchecked>(), "read_some in a cancelled scope takes nothing");
}

TEST(stream_check, finds_a_cancelled_write_that_does_not_say_how_far_it_came) {
  struct forgets : faulty {
    using faulty::faulty;
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      const auto n = co_await s.write_all(from);
      context::current().checkpoint();
      co_return n;
    }
  };
  EXPECT_EQ(broken_rule<forgets>(),
            "a cancelled write_all gives how many bytes had gone, and those arrive");
}

TEST(stream_check, finds_a_reader_that_holds_up_the_writer) {
  struct one_lock : faulty {
    using faulty::faulty;
    std::unique_ptr<mutex> lock = std::make_unique<mutex>();
    task<std::size_t> read_some(std::span<std::byte> to) override {
      auto held = co_await lock->lock();
      const auto n = co_await s.read_some(to);
      co_return n;
    }
    task<std::size_t> write_all(std::span<const std::byte> from) override {
      auto held = co_await lock->lock();
      const auto n = co_await s.write_all(from);
      co_return n;
    }
  };
  EXPECT_THAT(broken_rule<one_lock>(), HasSubstr("does not hold up"));
}

TEST(stream_check, finds_an_end_that_ends_both_directions) {
  struct ends : faulty {
    using faulty::faulty;
    task<> shutdown_write() override {
      co_await s.shutdown_write();
      s.close();
    }
  };
  EXPECT_EQ(broken_rule<ends>(),
            "after shutdown_write the peer reads the end, and reading goes on");
}

TEST(stream_check, finds_an_end_that_may_come_once_only) {
  struct once : faulty {
    using faulty::faulty;
    bool ended = false;
    task<> shutdown_write() override {
      co_await s.shutdown_write();
      if (std::exchange(ended, true)) throw error{"shutdown", "it", system_code(ENOTCONN)};
    }
  };
  EXPECT_EQ(broken_rule<once>(), "shutdown_write is idempotent");
}

TEST(stream_check, passes_on_what_the_maker_throws) {
  EXPECT_THROW(run(check_one_way_stream([]() -> memory_pair { throw std::bad_alloc{}; })),
               std::bad_alloc);
}

TEST(stream_check, can_be_cancelled) {
  struct never : faulty {
    using faulty::faulty;
    task<std::size_t> read_some(std::span<std::byte>) override {
      co_await sleep_forever();
      co_return 0;
    }
  };
  loop l{"virtual"};
  const bool ended = run(l, []() -> task<bool> {
    auto make = [] {
      auto both = memory_stream_pair();
      return std::pair{never{std::move(both.first)}, never{std::move(both.second)}};
    };
    auto limited = move_on_after(1s, check_one_way_stream(make));
    const bool in_time = co_await std::move(limited);
    co_return in_time;
  });
  EXPECT_FALSE(ended);
}

}  // namespace
}  // namespace oneloop::inline v0::testing
