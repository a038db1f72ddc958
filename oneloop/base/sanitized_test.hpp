// Whether this is a build with a sanitizer: its frames are larger, its address space is smaller and
// its clock is slower.
#pragma once

#include <gtest/gtest.h>

namespace oneloop::inline v0::test {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace oneloop::inline v0::test
