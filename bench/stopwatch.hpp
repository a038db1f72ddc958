// What the C++ programs print: seconds of wall time since it was made, and of processor time.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstdio>

struct stopwatch {
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  double used = processor();

  static double processor() {
    rusage u;
    getrusage(RUSAGE_SELF, &u);
    const auto seconds = [](timeval t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return seconds(u.ru_utime) + seconds(u.ru_stime);
  }
  void print() const {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    std::printf("%.6f %.6f\n", wall.count(), processor() - used);
  }
};
