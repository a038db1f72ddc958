/* futex N: the yardstick across threads: two threads pass N numbers through one place, a futex for "empty" or "full".
 * Prints seconds of wall time and of processor time. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic uint32_t full;
static long place, count;

static void wait_while(uint32_t value) {
  while (atomic_load(&full) == value) syscall(SYS_futex, &full, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}
static void become(uint32_t value) {
  atomic_store(&full, value);
  syscall(SYS_futex, &full, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void* sends(void* nothing) {
  for (long i = 0; i < count; ++i) {
    wait_while(1);
    place = i;
    become(1);
  }
  return nothing;
}

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  count = atol(argv[1]);
  struct timespec begun, ended;
  clock_gettime(CLOCK_MONOTONIC, &begun);
  pthread_t sender;
  if (pthread_create(&sender, NULL, sends, NULL) != 0) return 1;
  long sum = 0;
  for (long i = 0; i < count; ++i) {
    wait_while(0);
    sum += place;
    become(0);
  }
  pthread_join(sender, NULL);
  clock_gettime(CLOCK_MONOTONIC, &ended);
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  printf("%.6f %.6f\n", ended.tv_sec - begun.tv_sec + (ended.tv_nsec - begun.tv_nsec) / 1e9,
         u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
  return sum == count * (count - 1) / 2 ? 0 : 1;
}
