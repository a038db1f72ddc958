/* libcurl's multi interface: as many easy handles as requests at a time, each used again. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct transfer {
  char body[2048];
  size_t size;
};

static size_t store(char* data, size_t one, size_t size, void* to) {
  struct transfer* t = to;
  if (t->size + size > sizeof t->body) return 0;
  memcpy(t->body + t->size, data, size);
  t->size += size;
  return one * size;
}

static double now(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char* base;
static int next_number;

static void start(CURLM* multi, CURL* easy) {
  char address[512];
  struct transfer* t;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
  t->size = 0;
  snprintf(address, sizeof address, "%s%d", base, next_number++);
  curl_easy_setopt(easy, CURLOPT_URL, address);
  curl_multi_add_handle(multi, easy);
}

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  base = argv[1];
  const int count = atoi(argv[2]), concurrency = atoi(argv[3]);
  curl_global_init(CURL_GLOBAL_ALL);
  CURLM* multi = curl_multi_init();
  curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, (long)concurrency);
  const double begun = now(CLOCK_MONOTONIC), cpu = now(CLOCK_PROCESS_CPUTIME_ID);
  for (int i = 0; i < concurrency && next_number < count; ++i) {
    CURL* easy = curl_easy_init();
    struct transfer* t = calloc(1, sizeof *t);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, store);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
    start(multi, easy);
  }
  int running = 1;
  while (running > 0) {
    curl_multi_perform(multi, &running);
    int left;
    CURLMsg* message;
    while ((message = curl_multi_info_read(multi, &left)) != NULL) {
      CURL* easy = message->easy_handle;
      struct transfer* t;
      long status = 0;
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &t);
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      if (message->data.result != CURLE_OK || status != 200 || t->size != 1024) {
        fprintf(stderr, "%s\n", curl_easy_strerror(message->data.result));
        return 1;
      }
      curl_multi_remove_handle(multi, easy);
      if (next_number < count) {
        start(multi, easy);
        running = 1;
      }
    }
    if (running > 0) curl_multi_poll(multi, NULL, 0, 1000, NULL);
  }
  printf("%.4f %.4f\n", now(CLOCK_MONOTONIC) - begun, now(CLOCK_PROCESS_CPUTIME_ID) - cpu);
  return 0;
}
