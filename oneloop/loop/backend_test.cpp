#include "oneloop/loop/backend.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "oneloop/loop/io.hpp"
#include "oneloop/loop/sleep.hpp"
#include "oneloop/loop/test_sockets.hpp"
#include "oneloop/loop/test_waiter.hpp"

namespace oneloop {
namespace {

using namespace std::chrono_literals;

constexpr const char* inner = "ONELOOP_TEST_REFUSED";

/// From here on the kernel refuses one system call to this process and what it executes.
void refuse(unsigned number, unsigned error) {
  std::array<sock_filter, 4> program{{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{.len = program.size(), .filter = program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    ::_exit(99);
  }
}

/// Runs the test `name` of this program in a process to which `number` is refused. 99: no filter
/// can be installed here.
int run_refused(const char* name, unsigned number, unsigned error) {
  const pid_t child = ::fork();
  if (child == 0) {
    refuse(number, error);
    ::setenv(inner, "1", 1);
    const std::string filter = std::string{"--gtest_filter="} + name;
    ::execl("/proc/self/exe", "test", filter.c_str(), "--gtest_brief=1", nullptr);
    ::_exit(98);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void exercise(loop& l) {
  test::connected c;
  std::array<std::byte, 8> b;
  auto op = io::receive(c.one, b);
  test::test_waiter w{l};
  l.post([&] {
    start(w, op);
    EXPECT_EQ(::send(c.other.fd(), "x", 1, 0), 1);
  });
  l.run_until(w.done);
  EXPECT_EQ(op.await_resume(), 1);
  const auto before = l.now();
  auto nap = sleep_for(1500us);
  test::run(l, nap);
  EXPECT_GE(l.now() - before, 1500us);
  EXPECT_LT(l.now() - before, 1s);
}

TEST(backend, is_chosen_by_name) {
  inbox* mail = inbox::create();
  EXPECT_STREQ(make_backend("epoll", *mail)->name(), "epoll");
  EXPECT_STREQ(make_backend("virtual", *mail)->name(), "virtual");
  if (uring_available()) {
    EXPECT_STREQ(make_backend("io_uring", *mail)->name(), "io_uring");
  }
  EXPECT_THROW((void)make_backend("", *mail), error);
  mail->release();
}

TEST(backend, a_kernel_that_refuses_io_uring_is_named_with_the_cause) {
  if (std::getenv(inner) == nullptr) {
    const int rc = run_refused("backend.a_kernel_that_refuses_io_uring_is_named_with_the_cause",
                               SYS_io_uring_setup, EPERM);
    if (rc == 99) GTEST_SKIP() << "no system call filters here";
    EXPECT_EQ(rc, 0);
    return;
  }
  EXPECT_FALSE(uring_available());
  EXPECT_EQ(available_backends(), "epoll virtual");
  try {
    loop l{"io_uring"};
    FAIL();
  } catch (const error& e) {
    EXPECT_STREQ(e.what(), "backend io_uring io_uring_setup: Operation not permitted");
    EXPECT_EQ(e.code(), std::errc::operation_not_permitted);
  }
  loop l{"auto"};
  EXPECT_STREQ(l.backend_name(), "epoll");
  exercise(l);
}

TEST(backend, epoll_works_without_epoll_pwait2) {
  if (std::getenv(inner) == nullptr) {
    const int rc =
        run_refused("backend.epoll_works_without_epoll_pwait2", SYS_epoll_pwait2, ENOSYS);
    if (rc == 99) GTEST_SKIP() << "no system call filters here";
    EXPECT_EQ(rc, 0);
    return;
  }
  loop l{"epoll"};
  exercise(l);
}

}  // namespace
}  // namespace oneloop
