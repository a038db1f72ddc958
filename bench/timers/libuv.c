/* timers cancelled|fired N: the same with libuv, whose timers count in milliseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <uv.h>

static long fired;
static void count(uv_timer_t* t) {
  (void)t;
  ++fired;
}
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}
static double cpu(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int fire = strcmp(argv[1], "fired") == 0;
  const long n = atol(argv[2]);
  uv_loop_t* loop = uv_default_loop();
  uv_timer_t* timers = calloc(n, sizeof *timers);
  unsigned* order = malloc(n * sizeof *order);
  for (long i = 0; i < n; ++i) uv_timer_init(loop, &timers[i]), order[i] = i;
  srandom(1);
  for (long i = n - 1; i > 0; --i) {
    const long j = random() % (i + 1);
    const unsigned t = order[i];
    order[i] = order[j], order[j] = t;
  }
  uv_update_time(loop);
  const double start = now(), used = cpu();
  for (long i = 0; i < n; ++i) uv_timer_start(&timers[i], count, (fire ? 0 : 10000) + random() % 100, 0);
  if (!fire)
    for (long i = 0; i < n; ++i) uv_timer_stop(&timers[order[i]]);
  uv_run(loop, UV_RUN_DEFAULT);
  printf("%.6f %.6f\n", now() - start, cpu() - used);
  return fired == (fire ? n : 0) ? 0 : 1;
}
