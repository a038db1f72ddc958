"""sieve.py gevent N: the first N primes with gevent."""
import resource
import sys
import time

import gevent
from gevent.queue import Queue

primes = int(sys.argv[2])


def count(out):
    n = 2
    while True:
        out.put(n)
        n += 1


def sift(prime, source, out):
    while True:
        n = source.get()
        if n % prime:
            out.put(n)


start = time.monotonic()
source = Queue(10)
gevent.spawn(count, source)
for _ in range(primes):
    prime = source.get()
    out = Queue(10)
    gevent.spawn(sift, prime, source, out)
    source = out
wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_SELF)
print(wall, used.ru_utime + used.ru_stime, flush=True)
