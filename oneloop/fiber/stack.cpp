#include "oneloop/fiber/stack.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "oneloop/base/error.hpp"
#include "oneloop/fiber/overflow_internal.hpp"

// Weak: null unless the program carries AddressSanitizer, whatever this library was built with.
extern "C" [[gnu::weak, gnu::visibility("default")]] void __asan_unpoison_memory_region(
    const volatile void*, std::size_t);

namespace oneloop::inline v0 {
namespace {

#ifndef MADV_GUARD_INSTALL
constexpr int guard_install_advice = 102;
#else
constexpr int guard_install_advice = MADV_GUARD_INSTALL;
#endif

constexpr std::size_t least_size = 16 * 1024;
constexpr std::size_t guard_bytes = 16 * 1024;  // frames are seldom larger
constexpr std::size_t guards_at_once = 32;
constexpr std::size_t first_slab_stacks = 16;
constexpr std::size_t most_slab_stacks = 1024;
constexpr std::uint32_t releases_per_trim = 4096;
constexpr std::size_t most_per_auto_trim = 64;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t frame_growth = 4;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
constexpr std::size_t frame_growth = 4;
#else
constexpr std::size_t frame_growth = 1;
#endif
#else
constexpr std::size_t frame_growth = 1;
#endif

/// `count` guards, `stride` bytes apart, by one system call: true if the kernel takes such lists
/// (PIDFD_SELF, Linux 6.14).
bool install_together(std::byte* first, std::size_t stride, std::size_t count) noexcept {
#if defined(SYS_process_madvise)
  constexpr int this_process = -10000;
  ::iovec guards[guards_at_once];
  for (std::size_t i = 0; i < count; ++i) guards[i] = {first + i * stride, guard_bytes};
  const long done =
      ::syscall(SYS_process_madvise, this_process, guards, count, guard_install_advice, 0);
  return done == static_cast<long>(count * guard_bytes);
#else
  static_cast<void>(first), static_cast<void>(stride), static_cast<void>(count);
  return false;
#endif
}

std::size_t page_size() noexcept {
  static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

/// Does this kernel know guard markers? Asked once, on a page of our own.
bool has_guard_markers() noexcept {
  static const bool answer = [] {
    void* page =
        ::mmap(nullptr, page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return false;
    const bool ok = ::madvise(page, page_size(), guard_install_advice) == 0;
    ::munmap(page, page_size());
    return ok;
  }();
  return answer;
}

std::size_t read_number(const char* path) {
  std::size_t n = 0;
  std::ifstream{path} >> n;
  return n;
}

std::size_t count_mappings() {
  std::ifstream maps{"/proc/self/maps"};
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>{maps}, {}, '\n'));
}

/// Says which limit stopped us, as far as the system lets us know.
[[noreturn]] void fail(std::string_view what, std::size_t bytes, std::size_t stacks, int err) {
  std::string text = "fiber stack: ";
  text.append(what).append(" (").append(std::to_string(bytes)).append(" bytes; ");
  text.append(std::to_string(stacks)).append(" stacks so far): ");
  text.append(system_code(err).message());
  if (err == ENOMEM) {
    const std::size_t limit = read_number("/proc/sys/vm/max_map_count");
    const std::size_t used = count_mappings();
    ::rlimit space{};
    ::getrlimit(RLIMIT_AS, &space);
    if (limit != 0 && used + 8 >= limit) {
      text.append(": the limit vm.max_map_count is reached (").append(std::to_string(used));
      text.append(" mappings of ").append(std::to_string(limit));
      text.append(
          "); raise it with `sysctl -w vm.max_map_count=N`, or use Linux 6.13, where guards "
          "need no mappings");
    } else if (space.rlim_cur != RLIM_INFINITY) {
      text.append(": the limit on address space (ulimit -v) is ");
      text.append(std::to_string(space.rlim_cur)).append(" bytes");
    } else {
      text.append(": out of memory or address space (see vm.overcommit_memory)");
    }
  }
  throw error{system_code(err), text};
}

}  // namespace

stack_pool_options stack_pool_options::from_environment() {
  stack_pool_options options;
  const char* text = std::getenv("ONELOOP_FIBER_STACK");
  if (text == nullptr || *text == '\0') return options;
  const char* end = text + std::strlen(text);
  const auto [stopped, problem] = std::from_chars(text, end, options.stack_size);
  if (problem != std::errc{} || stopped != end) {
    throw misuse{std::string{"ONELOOP_FIBER_STACK="} + text + ": not a number of bytes"};
  }
  return options;
}

stack_pool::stack_pool(stack_pool_options options) {
  const std::size_t page = page_size();
  const std::size_t wanted = std::max(options.stack_size, least_size);
  if (wanted > (std::size_t{1} << 40)) {
    throw misuse{"stack_pool: a stack of " + std::to_string(wanted) +
                 " bytes is too large (most: 1 TiB)"};
  }
  size_ = (wanted * frame_growth + page - 1) / page * page;
  guard_ = options.guard;
  if (guard_ == guard_method::automatic) {
    guard_ = has_guard_markers() ? guard_method::marker : guard_method::protect;
  } else if (guard_ == guard_method::marker && !has_guard_markers()) {
    throw error{"stack_pool", "MADV_GUARD_INSTALL", system_code(EOPNOTSUPP)};
  }
}

stack_pool::~stack_pool() {
  assert(in_use_ == 0 && "stack_pool destroyed while stacks are in use");
  for (const slab& s : slabs_) {
    forget_guards(s.base);
    if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(s.base, s.bytes);
    ::munmap(s.base, s.bytes);
  }
}

stack stack_pool::acquire() {
  stack s;
  if (!idle_.empty()) {
    s = {idle_.back(), size_};
    idle_.pop_back();
    low_water_ = std::min(low_water_, idle_.size());
    emptied_ = std::min(emptied_, idle_.size());
  } else {
    s = carve();
  }
  peak_ = std::max(peak_, ++in_use_);
  return s;
}

stack stack_pool::carve() {
  if (next_ == end_) add_slab();
  if (next_ == guarded_) place_guards();
  // Room for every stack that can ever come back, so that `release` never allocates.
  if (idle_.capacity() <= cut_) idle_.reserve(std::max<std::size_t>(16, 2 * (cut_ + 1)));
  const stack s{next_ + guard_bytes, size_};
  next_ += guard_bytes + size_;
  ++cut_;
  return s;
}

/// Of the next stack, or of the next few.
void stack_pool::place_guards() {
  const std::size_t stride = guard_bytes + size_;
  if (guard_ == guard_method::marker) {
    const std::size_t count =
        std::min(guards_at_once, static_cast<std::size_t>(end_ - next_) / stride);
    if (install_together(next_, stride, count)) {
      guarded_ = next_ + count * stride;
      return;
    }
    if (::madvise(next_, guard_bytes, guard_install_advice) != 0) {
      fail("cannot place a guard", guard_bytes, cut_, errno);
    }
  } else if (::mprotect(next_, guard_bytes, PROT_NONE) != 0) {
    fail("cannot place a guard", guard_bytes, cut_, errno);
  }
  guarded_ = next_ + stride;
}

void stack_pool::add_slab() {
  const std::size_t count =
      std::clamp(cut_, first_slab_stacks,
                 std::max(first_slab_stacks, most_slab_stacks * least_size * 4 / size_));
  const std::size_t bytes = count * (guard_bytes + size_);
  slabs_.reserve(slabs_.size() + 1);
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (base == MAP_FAILED) fail("cannot map a slab", bytes, cut_, errno);
  // A huge page would make many stacks resident with the first touch of one.
  ::madvise(base, bytes, MADV_NOHUGEPAGE);
  next_ = static_cast<std::byte*>(base);
  end_ = next_ + bytes;
  guarded_ = next_;
  slabs_.push_back({next_, bytes});
  watch_guards({next_, bytes, guard_bytes, size_});
}

void stack_pool::release(stack s) noexcept {
  assert(s.bottom != nullptr && s.size == size_ && in_use_ != 0);
  // Frames that were dropped without returning have left their poison behind.
  if (__asan_unpoison_memory_region != nullptr) __asan_unpoison_memory_region(s.bottom, s.size);
  idle_.push_back(s.bottom);
  --in_use_;
  if (++releases_ % releases_per_trim == 0) {
    empty_oldest(most_per_auto_trim);
    low_water_ = idle_.size();
  }
}

std::size_t stack_pool::trim() noexcept {
  const std::size_t emptied = empty_oldest(idle_.size());
  low_water_ = idle_.size();
  return emptied;
}

/// The first `low_water_` idle stacks have not been touched since the last trim: empties up to
/// `most` of those that still hold memory.
std::size_t stack_pool::empty_oldest(std::size_t most) noexcept {
  std::size_t emptied = 0;
  for (; emptied_ < low_water_ && emptied < most; ++emptied_, ++emptied) {
    // Guard markers survive this; the pages read as zeroes afterwards.
    ::madvise(idle_[emptied_], size_, MADV_DONTNEED);
  }
  return emptied;
}

stack_pool::statistics stack_pool::stats() const noexcept {
  std::size_t reserved = 0;
  for (const slab& s : slabs_) reserved += s.bytes;
  return {in_use_, peak_, idle_.size(), slabs_.size(), reserved};
}

}  // namespace oneloop::inline v0
