#include "oneloop/net/unix.hpp"

#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "oneloop/net/simulation_test.hpp"
#include "oneloop/net/stream.hpp"

namespace oneloop::net {
namespace {

using namespace test;

static_assert(byte_stream<unix_stream>);

template <class Base>
class in_folder : public Base {
 protected:
  in_folder() { EXPECT_NE(::mkdtemp(folder_.data()), nullptr); }
  ~in_folder() override { ::rmdir(folder_.c_str()); }
  [[nodiscard]] unix_address at(const std::string& name) const {
    return unix_address{folder_ + "/" + name};
  }

 private:
  std::string folder_ = "/tmp/oneloop_unix_XXXXXX";
};
class unix_sockets : public in_folder<on_backends_and_simulation> {};
ON_BACKENDS_AND_SIMULATION(unix_sockets);

/// What only a kernel has: files, other threads.
class unix_sockets_in_kernel : public in_folder<on_backends> {};
ON_BACKENDS(unix_sockets_in_kernel);

task<> hello_and_back(unix_listener& l) {
  auto client = co_await connect(l.local_address());
  auto server = co_await l.accept();
  (void)co_await client.write_all(bytes_of("hello"));
  co_await client.shutdown_write();
  const auto all = co_await read_all(server);
  EXPECT_EQ(all, "hello");
  (void)co_await server.write_all(bytes_of("back"));
  server.close();
  const auto back = co_await read_all(client);
  EXPECT_EQ(back, "back");
}

TEST_P(unix_sockets, path_and_abstract_name_carry_bytes_both_ways) {
  go([&]() -> task<> {
    {
      unix_listener l{at("s")};
      co_await hello_and_back(l);
    }
    unix_listener l{unix_address{"@oneloop_test_" + std::to_string(::getpid())}};
    EXPECT_TRUE(l.local_address().is_abstract());
    co_await hello_and_back(l);
  });
}

TEST_P(unix_sockets_in_kernel, missing_path_and_missing_listener_are_told_apart) {
  go([&]() -> task<> {
    const auto missing = co_await message_of(connect(at("none")));
    EXPECT_EQ(missing, "connect " + at("none").to_string() + ": No such file or directory");
    {
      unix_listener moved{at("gone")};
      ::rename(at("gone").to_string().c_str(), at("stale").to_string().c_str());
    }
    const auto stale = co_await message_of(connect(at("stale")));
    EXPECT_EQ(stale, "connect " + at("stale").to_string() + ": Connection refused");
    ::unlink(at("stale").to_string().c_str());
  });
}

TEST_P(unix_sockets, stale_path_is_replaced_only_on_request_and_a_live_one_never) {
  {
    unix_listener moved{at("a")};
    ::rename(at("a").to_string().c_str(), at("stale").to_string().c_str());
  }
  EXPECT_THROW(unix_listener{at("stale")}, error);
  {
    unix_listener l{at("stale"), true};
    EXPECT_THROW((unix_listener{at("stale"), true}), error);
  }
  EXPECT_NE(::access(at("stale").to_string().c_str(), F_OK), 0) << "close removes the path";
}

TEST_P(unix_sockets, pair_is_connected_and_cancellation_loses_nothing) {
  go([&]() -> task<> {
    auto both = unix_stream::pair();
    auto& [a, b] = both;
    const auto nothing = co_await move_on_after(5ms, read_text(a));
    EXPECT_FALSE(nothing);
    (void)co_await b.write_all(bytes_of("x"));
    const auto text = co_await read_text(a);
    EXPECT_EQ(text, "x");
    const std::string much(5'000'000, 'y');
    const auto sent = co_await move_on_after(10ms, b.write_all(bytes_of(much)));
    EXPECT_TRUE(sent && *sent > 0 && *sent < much.size());
    b.close();
    const auto rest = co_await read_all(a);
    EXPECT_EQ(rest.size(), sent.value_or(0));
  });
}

TEST_P(unix_sockets, close_ends_an_accept_that_waits) {
  go([&]() -> task<> {
    unix_listener l{at("s")};
    const auto none = co_await move_on_after(5ms, l.accept());
    EXPECT_FALSE(none);
    co_await with_nursery([&](nursery& n) -> task<> {
      n.start([&]() -> task<> {
        co_await sleep_for(5ms);
        l.close();
      });
      const auto code = co_await code_of(l.accept());
      EXPECT_EQ(code, make_error_code(errc::closed));
    });
  });
}

TEST_P(unix_sockets_in_kernel, close_on_another_thread_ends_an_accept_that_waits) {
  unix_listener l{at("s")};
  std::thread closer;
  go([&]() -> task<> {
    closer = std::thread{[&] {
      std::this_thread::sleep_for(20ms);
      l.close();
    }};
    const auto begin = loop::current()->now();
    const auto code = co_await code_of(l.accept());
    EXPECT_EQ(code, make_error_code(errc::closed));
    EXPECT_LT(loop::current()->now() - begin, 10s);
  });
  closer.join();
}

}  // namespace
}  // namespace oneloop::net
