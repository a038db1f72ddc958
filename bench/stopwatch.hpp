// What the C++ programs print: seconds of wall time since it was made, and of processor time;
// memory.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>

struct stopwatch {
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  double used = processor();

  static double processor() {
    rusage u;
    getrusage(RUSAGE_SELF, &u);
    const auto seconds = [](timeval t) { return double(t.tv_sec) + double(t.tv_usec) / 1e6; };
    return seconds(u.ru_utime) + seconds(u.ru_stime);
  }
  /// A line of /proc/self/status: "VmRSS:", "VmHWM:".
  static long kilobytes(const std::string& field) {
    std::ifstream status{"/proc/self/status"};
    std::string name;
    for (long n = 0; status >> name; status.ignore(1000, '\n')) {
      if (name == field && status >> n) return n;
    }
    return 0;
  }
  void print() const {
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;
    std::printf("%.6f %.6f\n", wall.count(), processor() - used);
  }
};
