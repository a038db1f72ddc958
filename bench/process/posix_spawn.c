// posix_spawn N: /bin/true N times, 50 at once, as C allows: a bare posix_spawn, and waitpid.
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
  int left = argc > 1 ? atoi(argv[1]) : 2000, running = 0;
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
  char *arguments[] = {"/bin/true", NULL};
  double begun = now();
  while (left > 0 || running > 0) {
    while (left > 0 && running < 50) {
      pid_t pid;
      if (posix_spawn(&pid, arguments[0], &files, NULL, arguments, environ) != 0) return 1;
      --left;
      ++running;
    }
    int status;
    if (waitpid(-1, &status, 0) < 0 || status != 0) return 1;
    --running;
  }
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  printf("%.6f %.6f\n", now() - begun,
         u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
}
